"""What a plan says: phases, tasks, milestones, gates, risks, decisions, metrics, people.

The reader makes one `Plan` of one Markdown document.  Nothing in it changes afterwards: the whole model is
frozen, and ``Plan.model_validate(plan.model_dump(mode="json"))`` gives an equal plan, so that a run can carry
the plan as its input and never reads the file again.

Three rules hold everywhere:

- **Every item says where it stands**: ``source`` is the file and the 1-based line on which the item begins.
- **Nothing is lost in translation**: beside each structured value stands the text it was read from (``raw``,
  ``status_text``), and a field that was not written is ``None``, an empty text or an empty tuple.
- **Every task is met once** by walking ``phases[].tasks[]``.  A task that stands under no phase belongs to a
  phase that carries the document's title and whose ``id`` is ``document`` (see `Phase.implicit`).

Hours are hours of work: a day counts `HOURS_PER_DAY`, a week `HOURS_PER_WEEK`.
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import Iterator

from pydantic import Field

from crossfade.plans.values import (
    HOURS_PER_DAY,
    HOURS_PER_WEEK,
    Approval,
    Dependency,
    DependencyKind,
    Estimate,
    Frozen,
    Insertion,
    Link,
    Notice,
    OnFailure,
    Places,
    Point,
    Quantity,
    Source,
    Span,
    Status,
    Unit,
    Window,
)

__all__ = [
    "HOURS_PER_DAY",
    "HOURS_PER_WEEK",
    "Approval",
    "Decision",
    "Dependency",
    "DependencyKind",
    "Estimate",
    "Frozen",
    "Gate",
    "GateKind",
    "Insertion",
    "Link",
    "Metric",
    "Milestone",
    "Notice",
    "OnFailure",
    "Phase",
    "Places",
    "Plan",
    "Point",
    "Quantity",
    "Risk",
    "Source",
    "Span",
    "Stakeholder",
    "Status",
    "Task",
    "TaskKind",
    "Total",
    "Unit",
    "Window",
    "Workstream",
]


class TaskKind(enum.StrEnum):
    """The shape in which a task was written."""

    TASK = "task"
    SLICE = "slice"
    CHECKBOX = "checkbox"
    ROW = "row"
    BULLET = "bullet"


class Task(Frozen):
    """One piece of work.

    ``id`` is the stated one (``28.1``) or, with ``id_stated`` false, a slug of the title; it is unique in the
    plan: of two tasks that state the same id the second one reads ``28.1~2``, and a notice says so.

    ``progress`` is 0 to 100, or ``None`` when neither a percentage nor nested checkboxes nor a status say it.
    ``run`` and ``undo`` are commands in order; ``timeout`` is seconds; ``retry`` is the number of further
    attempts.  ``other`` keeps the fields that have no name of their own here, by their name in lower case.
    ``lines`` gives the line of each field that was written, by the name it has in this class.
    """

    id: str
    id_stated: bool = True
    title: str
    kind: TaskKind
    source: Source
    phase: str = ""
    """The id of the phase that it stands in."""
    path: tuple[str, ...] = ()
    """The headings above it, outermost first, the document's title not included."""

    description: str = ""
    files: tuple[str, ...] = ()
    owner: str = ""
    priority: str = ""
    workstream: str = ""
    estimate: Estimate | None = None
    window: Window | None = None
    deliverables: tuple[str, ...] = ()
    dependencies: tuple[Dependency, ...] = ()

    status: Status = Status.NOT_STARTED
    status_text: str = ""
    progress: float | None = None
    started: datetime.date | None = None
    finished: datetime.date | None = None
    evidence: tuple[Link, ...] = ()

    run: tuple[str, ...] = ()
    gate: str = ""
    approve: Approval | None = None
    undo: tuple[str, ...] = ()
    timeout: float | None = None
    retry: int | None = None
    on_failure: OnFailure | None = None

    subtasks: tuple[Task, ...] = ()
    other: dict[str, str] = Field(default_factory=dict)
    lines: dict[str, int] = Field(default_factory=dict)
    places: Places = Places()

    def walk(self) -> Iterator[Task]:
        """This task and all that is nested in it, in the document's order."""
        waiting = [self]
        while waiting:
            task = waiting.pop()
            yield task
            waiting.extend(reversed(task.subtasks))


class Phase(Frozen):
    """A phase, week, sprint, stage or workstream heading and the tasks right under it.

    Phases that nest (``Week 7`` under ``Phase 4``) are all in `Plan.phases`, in the document's order;
    ``parent`` is the id of the one around, ``path`` the headings from the outermost down to this one.
    ``id`` is the stated one (``Phase 4``, ``Week 7``; under a parent and not unique by itself
    ``Phase 4/Week 1``) or a slug of the title.  ``gates`` are the ids of its own gates
    in `Plan.gates`, without the criteria of single tasks.
    """

    id: str
    title: str
    """The whole heading, without its marks."""
    source: Source
    path: tuple[str, ...] = ()
    parent: str | None = None
    implicit: bool = False
    """True for the phase that stands for the document itself and holds the tasks under no phase."""

    window: Window | None = None
    estimate: Estimate | None = None
    """The total that the document states ("Estimated: 30 hours"), not a sum; see also `Plan.totals`."""
    status: Status = Status.NOT_STARTED
    status_text: str = ""
    progress: float | None = None
    """The stated progress."""
    owner: str = ""
    goal: str = ""
    deliverables: tuple[str, ...] = ()
    dependencies: tuple[Dependency, ...] = ()
    tasks: tuple[Task, ...] = ()
    gates: tuple[str, ...] = ()
    lines: dict[str, int] = Field(default_factory=dict)
    places: Places = Places()


class Milestone(Frozen):
    """A named point in time.  ``criteria`` are the bullets under it."""

    id: str
    title: str
    source: Source
    phase: str | None = None
    window: Window | None = None
    status: Status = Status.NOT_STARTED
    status_text: str = ""
    owner: str = ""
    description: str = ""
    criteria: tuple[str, ...] = ()
    places: Places = Places()


class GateKind(enum.StrEnum):
    """What a gate decides."""

    QUALITY = "quality_gate"
    SUCCESS = "success_criterion"
    ROLLBACK = "rollback_trigger"


class Gate(Frozen):
    """One condition.  ``text`` is the sentence; ``action`` what follows when it holds (a trigger's response).
    ``phase`` and ``task`` say what it belongs to, where it belongs to something."""

    id: str
    kind: GateKind
    text: str
    source: Source
    phase: str | None = None
    task: str | None = None
    path: tuple[str, ...] = ()
    threshold: str = ""
    action: str = ""
    owner: str = ""
    status: Status = Status.NOT_STARTED
    status_text: str = ""
    places: Places = Places()


class Risk(Frozen):
    """Something that may go wrong; probability and impact as written (``High``, ``3``, ``20%``)."""

    id: str
    title: str
    source: Source
    phase: str | None = None
    description: str = ""
    probability: str = ""
    impact: str = ""
    severity: str = ""
    mitigation: str = ""
    contingency: str = ""
    owner: str = ""
    status_text: str = ""


class Decision(Frozen):
    """A decision record.  ``outcome`` is what was decided; ``due`` is set on one that is still to be made."""

    id: str
    title: str
    source: Source
    status_text: str = ""
    outcome: str = ""
    rationale: str = ""
    alternatives: str = ""
    consequences: str = ""
    context: str = ""
    owner: str = ""
    date: datetime.date | None = None
    due: Window | None = None


class Metric(Frozen):
    """A KPI: what it is now and what it shall be."""

    name: str
    source: Source
    phase: str | None = None
    current: Quantity | None = None
    target: Quantity | None = None
    unit: str = ""
    measured_by: str = ""
    owner: str = ""
    status_text: str = ""


class Stakeholder(Frozen):
    """Somebody with a part in it."""

    name: str
    source: Source
    role: str = ""
    responsibility: str = ""
    contact: str = ""


class Workstream(Frozen):
    """A line of work that runs through the phases."""

    name: str
    source: Source
    owner: str = ""
    description: str = ""


class Total(Frozen):
    """A sum that the document states: ``**Day 51 Total**: 7 hours``, the last row of a table.

    ``phase`` is the id of the phase that it speaks of, ``None`` for the whole document; ``workstream`` is set
    for the total of a workstream's table.
    """

    raw: str
    estimate: Estimate
    source: Source
    phase: str | None = None
    workstream: str = ""


class Plan(Frozen):
    """One document.  See the module's head for what holds everywhere."""

    title: str
    path: str
    """The file as it was named to the reader."""
    owner: str = ""
    window: Window | None = None
    estimate: Estimate | None = None
    """The total of hours that the document's head states."""
    status: Status = Status.NOT_STARTED
    status_text: str = ""
    progress: float | None = None
    lines: dict[str, int] = Field(default_factory=dict)
    phases: tuple[Phase, ...] = ()
    milestones: tuple[Milestone, ...] = ()
    gates: tuple[Gate, ...] = ()
    risks: tuple[Risk, ...] = ()
    decisions: tuple[Decision, ...] = ()
    metrics: tuple[Metric, ...] = ()
    stakeholders: tuple[Stakeholder, ...] = ()
    workstreams: tuple[Workstream, ...] = ()
    totals: tuple[Total, ...] = ()
    notices: tuple[Notice, ...] = ()
    mojibake: bool = False
    """True when some lines had to be repaired for reading; see `crossfade.plans.mojibake`."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Every task of every phase, in the document's order, without what is nested in them."""
        return tuple(task for phase in self.phases for task in phase.tasks)

    def walk(self) -> Iterator[Task]:
        """Every task and subtask, in the document's order."""
        for task in self.tasks:
            yield from task.walk()

    def task(self, identifier: str) -> Task | None:
        """The task or subtask of that id."""
        return next((task for task in self.walk() if task.id == identifier), None)

    def phase(self, identifier: str) -> Phase | None:
        """The phase of that id."""
        return next((phase for phase in self.phases if phase.id == identifier), None)

    def inside(self, phase: Phase) -> tuple[Task, ...]:
        """The tasks of a phase and of every phase nested in it."""
        ids = {phase.id}
        for other in self.phases:
            if other.parent in ids:
                ids.add(other.id)
        return tuple(task for one in self.phases if one.id in ids for task in one.tasks)
