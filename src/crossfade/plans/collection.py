"""What has been read so far, and where in the document the reader is."""

from __future__ import annotations

from dataclasses import dataclass, field

from crossfade.plans.drafts import PhaseDraft, Record, TaskDraft
from crossfade.plans.headings import Category
from crossfade.plans.manuscript import Manuscript
from crossfade.plans.model import GateKind
from crossfade.plans.records import Register
from crossfade.plans.values import Estimate

MOST_TASKS = 100_000
"""Tasks in one plan; what stands behind them is not read, and a notice says so."""


@dataclass(slots=True)
class TotalDraft:
    """A stated sum; ``refers`` names its phase."""

    raw: str
    estimate: Estimate
    index: int
    refers: str = ""
    phase: PhaseDraft | None = None
    workstream: str = ""


@dataclass(slots=True)
class PhaseRow:
    """A row of a table of phases: what it says about a phase that may have a heading of its own."""

    draft: PhaseDraft


@dataclass
class Collection:
    """Everything that becomes the plan."""

    book: Manuscript
    document: PhaseDraft
    phases: list[PhaseDraft] = field(default_factory=list)
    rows: list[PhaseRow] = field(default_factory=list)
    records: dict[Register, list[Record]] = field(default_factory=lambda: {one: [] for one in Register})
    totals: list[TotalDraft] = field(default_factory=list)
    phase_names: set[str] = field(default_factory=set)
    """The names of all phases that have a heading, in lower case; known before the blocks are read."""
    tasks: int = 0
    of_items: dict[int, TaskDraft] = field(default_factory=dict)
    """The tasks that are bullets, by the index of their line."""
    told: set[str] = field(default_factory=set)
    """The columns of tables that were told to be misspelt."""
    tables: set[int] = field(default_factory=set)
    """The tables that were read, by the index of their head."""

    def full(self, index: int) -> bool:
        """Whether no more tasks are taken; the first one too many leaves a notice."""
        self.tasks += 1
        if self.tasks == MOST_TASKS + 1:
            self.book.notice(index, f"more than {MOST_TASKS:,} tasks: what follows is not read")
        return self.tasks > MOST_TASKS


@dataclass(slots=True)
class Context:
    """Where the reader is: under which heading, phase, task.

    ``counts`` tells whether plain bullets are tasks here (see `crossfade.plans.reading`), ``firm`` whether they
    are so for certain (under a heading that says tasks).  ``mitigates`` is set under ``Risk Mitigation``, where
    ``**Data loss**: backups`` names the cure.
    """

    category: Category
    path: tuple[str, ...] = ()
    heading: str = ""
    index: int = 0
    phase: PhaseDraft | None = None
    task: TaskDraft | None = None
    gate: GateKind | None = None
    refers: str = ""
    workstream: str = ""
    mitigates: bool = False
    counts: bool = False
    firm: bool = False
    register: Register | None = None
    last_record: Record | None = None
    last_register: Register | None = None
    parent: Context | None = None
