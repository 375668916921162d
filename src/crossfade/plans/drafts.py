"""Items while they are being read: mutable, without ids, to be finished when the whole document is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from crossfade.plans.model import GateKind, Places, Status, TaskKind
from crossfade.plans.outline import Item, Piece
from crossfade.plans.values import Insertion, Span, Window


@dataclass(slots=True)
class Value:
    """The value of a field or cell.  ``piece`` is where its first line stands; ``text`` is all of its first
    paragraph as it was meant, Markdown kept; ``items`` are bullets below it, ``code`` the fenced blocks below."""

    piece: Piece
    text: str
    items: list[Item] = field(default_factory=list)
    code: list[str] = field(default_factory=list)
    last: int = -1
    """The index of the last line of a value that goes on over lines; -1 for its first line."""

    @property
    def end(self) -> int:
        """The index of the last line of its paragraph."""
        return max(self.last, self.piece.index)


def _finished(places: dict[str, Span | Insertion | None]) -> Places:
    return Places.model_validate({name: place for name, place in places.items() if place is not None})


@dataclass(slots=True)
class Depends:
    """What a dependency field says, before anything is resolved."""

    text: str
    index: int


@dataclass(slots=True, eq=False)
class TaskDraft:
    """A task; ``values`` are fields of `crossfade.plans.model.Task` under their names."""

    title: str
    kind: TaskKind
    index: int
    id: str = ""
    weak: bool = False
    phase: PhaseDraft | None = None
    path: tuple[str, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    places: dict[str, Span | Insertion | None] = field(default_factory=dict)
    depends: list[Depends] = field(default_factory=list)
    subtasks: list[TaskDraft] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    strays: list[tuple[str, str, int, bool]] = field(default_factory=list)
    """Fields that nobody knows and that are nearly ones which are known: the label, the field that may be meant,
    the index of the line, and whether the value has code in it."""
    box: Status | None = None
    plain: bool = False
    """A plain bullet that counts as a task only where its phase has no tasks in another shape, or if it has
    ``said`` more of itself than words."""
    said: bool = False
    styled: bool = False
    """Whether a field has told how another one would be added; until then it is a guess."""
    due: bool = False
    """Whether its window is only the day on which it is due."""
    final_id: str = ""

    def finished_places(self) -> Places:
        """The places as the model keeps them."""
        return _finished(self.places)


@dataclass(slots=True, eq=False)
class PhaseDraft:
    """A phase; ``values`` are fields of `crossfade.plans.model.Phase`."""

    name: str
    title: str
    index: int
    path: tuple[str, ...] = ()
    parent: PhaseDraft | None = None
    implicit: bool = False
    section: bool = False
    """Made of a heading that announces no phase, because tasks stand under it and under no phase."""
    window: Window | None = None
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    places: dict[str, Span | Insertion | None] = field(default_factory=dict)
    depends: list[Depends] = field(default_factory=list)
    deliverables: list[str] = field(default_factory=list)
    tasks: list[TaskDraft] = field(default_factory=list)
    due: bool = False
    """Whether its window is only the day on which it is due."""
    final_id: str = ""

    def finished_places(self) -> Places:
        """The places as the model keeps them."""
        return _finished(self.places)


@dataclass(slots=True, eq=False)
class Record:
    """An entry of a register (a gate, risk, decision, metric, milestone, stakeholder, workstream).

    ``values`` are fields of its class in the model.  ``refers`` names the phase it speaks of; ``phase`` is the
    one it stands in; ``task`` the one whose criterion it is.
    """

    index: int
    values: dict[str, Any]
    phase: PhaseDraft | None = None
    refers: str = ""
    task: TaskDraft | None = None
    gate: GateKind | None = None
    places: dict[str, Span | Insertion | None] = field(default_factory=dict)

    def finished_places(self) -> Places:
        """The places as the model keeps them."""
        return _finished(self.places)
