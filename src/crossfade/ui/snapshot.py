"""Everything that the page shows, as one frozen value.

It is gathered from the plan, the runs, the evidence, the two databases and the router; what none of them
could say in time is a `Problem` beside the last value that they gave.  Times are Unix seconds, shares 0 to 1.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something cannot be shown: what happened, where, and what to do."""

    what: str
    where: str = ""
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """What one source last gave (``value``, at the time ``at``), why its newest look failed (``problem``), and
    since when a look has been going on (``since``), which says that something does not answer."""

    value: T | None = None
    at: float | None = None
    problem: Problem | None = None
    since: float | None = None


# --- the move ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SideView:
    """One side.  ``kind`` is the kind of its store in words, ``unreachable`` what its database said instead of
    an answer."""

    name: str
    kind: str
    app: str = ""
    leads: bool = False
    unreachable: str = ""


@dataclass(frozen=True, slots=True)
class AtWork:
    """Who holds the lease of the move."""

    verb: str
    host: str
    pid: int
    since: float


@dataclass(frozen=True, slots=True)
class RouterView:
    """What the router does; ``percent`` of the reads go to the side that does not lead."""

    alive: bool
    held: bool
    leader: str | None
    percent: float
    listen: str = ""


@dataclass(frozen=True, slots=True)
class TroubleView:
    """Something that is wrong; see `crossfade.recovery.Trouble`."""

    what: str
    todo: str
    repairable: bool


@dataclass(frozen=True, slots=True)
class MoveView:
    """Where the move stands.  ``leader`` is None before the first copy and when no side leads; ``lag`` is
    seconds, None when nobody follows."""

    name: str
    phase: str
    leader: str | None
    epoch: int
    verified_at: float | None
    verify_max_age: float
    lag: float | None
    lag_limit: float
    at_work: AtWork | None
    sides: tuple[SideView, ...]
    router: RouterView | None
    routed: bool
    """Whether the spec has a router, whatever it answers."""
    troubles: tuple[TroubleView, ...] = ()
    guard: str = ""
    """What the guard watches, in words; empty when there is none."""


# --- the streams ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TableView:
    """One table.  ``share`` of its chunks are copied, ``rows`` rows so far; ``verified`` are the rows that the
    last comparison looked at, None before the first."""

    name: str
    rows: int
    share: float
    rejected: int = 0
    verified: int | None = None


@dataclass(frozen=True, slots=True)
class Copying:
    """How far each table is copied, by the follower's own records."""

    tables: tuple[TableView, ...] = ()
    copied: bool = False


# --- traffic ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bucket:
    """What one side answered in a span of time that begins at ``at``; percentiles in milliseconds, None of
    nothing."""

    at: float
    requests: int = 0
    errors: int = 0
    p50: float | None = None
    p95: float | None = None


@dataclass(frozen=True, slots=True)
class Traffic:
    """Spans of ``step`` seconds that follow each other, by side, the newest last."""

    step: float
    old: tuple[Bucket, ...] = ()
    new: tuple[Bucket, ...] = ()
    window: float = 10.0
    """Seconds that ``old_now`` and ``new_now`` look back."""
    old_now: Bucket | None = None
    new_now: Bucket | None = None


# --- evidence ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EntryView:
    """One entry of the ledger; ``text`` is what it measured, in one line."""

    seq: int
    at: float
    who: str
    event: str
    text: str
    hash: str


@dataclass(frozen=True, slots=True)
class SwitchView:
    """One change of the lead."""

    to: str
    epoch: int
    at: float
    hold_ms: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GuardSaid:
    """The guard's last verdict that is in the evidence: a breach, or that it rolled back."""

    decision: str
    why: str
    at: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """The ledger: how many entries, the last ones (newest first), and whether the chain is whole (None while
    that is not known yet)."""

    entries: int = 0
    last: tuple[EntryView, ...] = ()
    whole: bool | None = None
    broken: str = ""
    head: str = ""
    switches: tuple[SwitchView, ...] = ()
    """The newest last."""
    guard: GuardSaid | None = None
    verified: dict[str, int] = field(default_factory=dict)
    """The rows of each table that the last comparison looked at."""


# --- the plan ---------------------------------------------------------------


class Word(enum.StrEnum):
    """How far a task is, as the page says it."""

    NOT_STARTED = "not started"
    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    APPROVAL = "approval needed"
    GATE = "gate closed"
    DONE = "done"
    CLAIMED = "claimed"
    IN_PROGRESS = "in progress"
    BLOCKED = "blocked"
    FAILED = "failed"
    REJECTED = "rejected"
    UNKNOWN = "outcome unknown"
    UNDOING = "being undone"
    UNDONE = "undone"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class SaidView:
    """What one person said to a request for approval."""

    who: str
    at: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalView:
    """A task's approval: how many people (of which group), who has approved, who rejected it, and until when
    it is waited for.  ``open`` is True while answers count."""

    needed: int
    group: str = ""
    given: tuple[SaidView, ...] = ()
    rejected: SaidView | None = None
    expires_at: float | None = None
    open: bool = False


@dataclass(frozen=True, slots=True)
class GateView:
    """A task's gate, and its last verdict: ``passed`` is None before the first, ``seen`` are the values that it
    rests on."""

    expression: str
    passed: bool | None = None
    text: str = ""
    seen: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ProofView:
    """The entry of the ledger that a task's state rests on."""

    entry: int
    hash: str
    at: float
    by: str = ""


@dataclass(frozen=True, slots=True)
class TaskView:
    """One task of the plan, with what is true of it."""

    id: str
    title: str
    word: Word
    runs: bool = False
    """Whether a run has anything to do for it."""
    owner: str = ""
    window: str = ""
    estimate: str = ""
    line: int = 0
    progress: float | None = None
    description: str = ""
    deliverables: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    subtasks: tuple[tuple[str, Word], ...] = ()
    gate: GateView | None = None
    approval: ApprovalView | None = None
    proof: ProofView | None = None
    note: str = ""
    attempt: int = 0
    started_at: float | None = None
    finished_at: float | None = None
    output: str = ""
    """The end of what its last command printed."""
    doubt: str = ""
    """The command of which nobody knows how it ended, so that a person has to say."""
    measured: tuple[tuple[str, str], ...] = ()
    error: Problem | None = None


@dataclass(frozen=True, slots=True)
class PhaseView:
    """One phase and the tasks right under it; ``depth`` is 0 for an outermost one."""

    id: str
    title: str
    depth: int = 0
    goal: str = ""
    window: str = ""
    done: int = 0
    claimed: int = 0
    total: int = 0
    tasks: tuple[TaskView, ...] = ()


@dataclass(frozen=True, slots=True)
class RunView:
    """The run of the plan that is under way, or was the last one."""

    id: str
    state: str
    started_by: str = ""
    started_at: float | None = None
    active: bool = False


@dataclass(frozen=True, slots=True)
class PlanView:
    """The plan; ``done`` and ``claimed`` are shares of its work, ``more`` how many tasks are left out because
    there are too many to show."""

    title: str
    path: str
    phases: tuple[PhaseView, ...] = ()
    done: float = 0.0
    claimed: float = 0.0
    tasks: int = 0
    done_tasks: int = 0
    more: int = 0
    run: RunView | None = None

    def walk(self) -> tuple[TaskView, ...]:
        """Every task that is shown, in the document's order."""
        return tuple(task for phase in self.phases for task in phase.tasks)

    def task(self, identifier: str) -> TaskView | None:
        """The task of that id."""
        return next((task for task in self.walk() if task.id == identifier), None)

    @property
    def asking(self) -> tuple[TaskView, ...]:
        """The tasks that wait for people: for an approval, or to be told how a command ended."""
        return tuple(
            task for task in self.walk() if task.doubt or (task.approval is not None and task.approval.open)
        )


# --- what is being done -----------------------------------------------------


class Outcome(enum.StrEnum):
    """How a verb ended; ``RUNNING`` while it has not."""

    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Act:
    """A verb that somebody runs, or ran, from this page.  ``lines`` is its answer in words."""

    number: int
    verb: str
    title: str
    by: str
    started: float
    finished: float | None = None
    outcome: Outcome = Outcome.RUNNING
    lines: tuple[tuple[str, str], ...] = ()
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look at everything.  A part is None where there is nothing to look at: no spec, or no plan."""

    at: float
    move: Part[MoveView] | None = None
    copying: Part[Copying] | None = None
    lags: tuple[tuple[float, float | None], ...] = ()
    """Time and seconds behind (None when nobody followed), the newest last."""
    traffic: Part[Traffic] | None = None
    evidence: Part[Evidence] | None = None
    plan: Part[PlanView] | None = None
    runs: Part[Any] | None = None
    acts: tuple[Act, ...] = ()
    """The newest first; at most one of them is running."""

    @property
    def running(self) -> Act | None:
        """The verb that is at work now, if it was started from this page."""
        return next((act for act in self.acts if act.outcome is Outcome.RUNNING), None)
