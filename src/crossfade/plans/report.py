"""What a status report says.  `crossfade.plans.report_build.build` makes one; `crossfade.plans.report_markdown`
and `crossfade.plans.report_html` write it; ``model_dump(mode="json")`` is its JSON.

Moments are in the zone of ``now``; shares are 0 to 1; hours are hours of work.
"""

from __future__ import annotations

import datetime
from typing import Any

from pydantic import Field

from crossfade.plans.targets import MetricLine, Outcome
from crossfade.plans.traffic import Bucket
from crossfade.plans.truth import Progress, Proof, State
from crossfade.plans.values import Frozen, Status

__all__ = [
    "Bucket",
    "DecisionLine",
    "EvidenceLine",
    "GateLine",
    "GroupLine",
    "LagPoint",
    "LoadLine",
    "MetricLine",
    "MilestoneLine",
    "Outcome",
    "Progress",
    "Proof",
    "Report",
    "RiskLine",
    "SlipLine",
    "State",
    "SwitchLine",
    "TaskLine",
]


class GroupLine(Frozen):
    """A phase or a workstream.  ``depth`` is 0 for an outermost phase."""

    title: str
    depth: int = 0
    progress: Progress
    slipped: int = 0
    end: datetime.datetime | None = None
    """When its last activity ends, by the schedule."""


class TaskLine(Frozen):
    """One task.  ``name`` is its id and title; ``note`` why it stands as it does, or what it waits for."""

    id: str
    name: str
    phase: str = ""
    owner: str = ""
    state: State
    hours: float | None = None
    start: datetime.datetime | None = None
    due: datetime.datetime | None = None
    critical: bool = False
    proof: Proof | None = None
    note: str = ""


class SlipLine(TaskLine):
    """A task that should be done and is not: ``late`` by how much since ``due``, which is the end of its
    ``basis`` (its window, or the schedule).  ``expected`` is when it will be done now."""

    late: datetime.timedelta
    basis: str
    expected: datetime.datetime | None = None


class MilestoneLine(Frozen):
    """A milestone; ``late`` when its time is over and it is not done."""

    title: str
    at: datetime.datetime | None = None
    text: str = ""
    """When it is, as the document says it."""
    status: Status
    late: bool = False


class RiskLine(Frozen):
    """A risk.  ``score`` is probability times impact, each 1 to 5; None when one of them cannot be read."""

    title: str
    probability: str = ""
    impact: str = ""
    score: float | None = None
    mitigation: str = ""
    owner: str = ""
    status: str = ""
    closed: bool = False


class DecisionLine(Frozen):
    """A decision that is still to be made."""

    title: str
    owner: str = ""
    due: datetime.date | None = None
    text: str = ""
    """When it is due, as the document says it."""
    overdue: bool = False


class GateLine(Frozen):
    """A gate: a task's condition with what it was judged last, or a criterion that people judge (``passed`` is
    None until somebody did)."""

    text: str
    kind: str
    belongs: str = ""
    passed: bool | None = None
    claimed: bool = False
    """That the document says so, with no evidence."""
    note: str = ""
    proof: Proof | None = None


class LoadLine(Frozen):
    """What an owner (empty: nobody) has to do: open tasks, hours that are left, the busiest week, and the weeks
    with more work than there are hours."""

    owner: str
    tasks: int
    hours: float
    peak: float = 0.0
    peak_week: datetime.date | None = None
    capacity: float = 0.0
    overloaded: int = 0


class SwitchLine(Frozen):
    """The lead changed hands, or was about to (``aborted`` says why it did not)."""

    at: datetime.datetime
    to: str
    verb: str = ""
    why: str = ""
    epoch: int | None = None
    hold_ms: float | None = None
    cut_off: int = 0
    maybe_lost: str = ""
    aborted: str = ""
    entry: int


class LagPoint(Frozen):
    """How many seconds the follower was behind."""

    at: datetime.datetime
    seconds: float


class EvidenceLine(Frozen):
    """The number of the ledger's last entry, and its hash."""

    entries: int
    head: str = ""


class Report(Frozen):
    """One status report; ``since`` is the moment of the last one (None: everything is told)."""

    title: str
    plan: str
    owner: str = ""
    now: datetime.datetime
    since: datetime.datetime | None = None
    progress: Progress
    end: datetime.datetime | None = None
    """When the plan ends, by the schedule."""
    due: datetime.date | None = None
    """When it should end, by the document."""

    phases: tuple[GroupLine, ...] = ()
    workstreams: tuple[GroupLine, ...] = ()
    done: tuple[TaskLine, ...] = ()
    """Since ``since``, the latest first."""
    undone: tuple[TaskLine, ...] = ()
    """What was done, and was undone or rewritten since."""
    claimed: tuple[TaskLine, ...] = ()
    in_progress: tuple[TaskLine, ...] = ()
    next: tuple[TaskLine, ...] = ()
    slipped: tuple[SlipLine, ...] = ()
    milestones: tuple[MilestoneLine, ...] = ()
    risks: tuple[RiskLine, ...] = ()
    decisions: tuple[DecisionLine, ...] = ()
    metrics: tuple[MetricLine, ...] = ()
    gates: tuple[GateLine, ...] = ()
    loads: tuple[LoadLine, ...] = ()

    traffic: tuple[Bucket, ...] = ()
    lag: tuple[LagPoint, ...] = ()
    switches: tuple[SwitchLine, ...] = ()

    notices: int = 0
    problems: dict[str, int] = Field(default_factory=dict)
    """What the check of the plan found, by level."""
    evidence: EvidenceLine
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The shape that ``--json`` prints."""
        return self.model_dump(mode="json")
