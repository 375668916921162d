"""What the fields of a plan's items hold: places in the file, statuses, windows, estimates, dependencies.

All of it is part of `crossfade.plans.model`, which says what holds everywhere; import it from there.
"""

from __future__ import annotations

import datetime
import enum

from pydantic import BaseModel, ConfigDict

HOURS_PER_DAY = 8.0
"""A day of work in an estimate ("3 days" is 24 hours)."""

HOURS_PER_WEEK = 40.0
"""A week of work in an estimate."""


class Frozen(BaseModel):
    """The base of every class here: immutable, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# --- where things stand -----------------------------------------------------


class Source(Frozen):
    """Where an item begins: the file as it was named to the reader, and the 1-based line."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Span(Frozen):
    """A piece of one line: bytes ``start`` to ``end`` (0-based, end not included) of 1-based ``line``,
    counted in the line as it stands in the file."""

    line: int
    start: int
    end: int


class Insertion(Frozen):
    """How a field that a task block lacks is added: a new line after line ``after``, made from ``template``,
    in which ``{name}`` and ``{value}`` are replaced (``- **{name}**: {value}``).  ``lower`` tells that the task's
    labels are written in lower case."""

    after: int
    template: str
    lower: bool = False


class Places(Frozen):
    """What the write-back may change of an item, and where exactly that stands.

    ``box`` is the one character between the brackets of a checkbox; ``title_status`` is a status that stands
    in the title line (``#### Task 1.1: Install - ✅ COMPLETED``); ``status`` and ``progress`` are the words and
    the number themselves, without a remark behind them; the others are the text of a field or of a table's
    cell without its padding (an empty span where the field is there but empty).  ``insertion`` is set where a
    missing field can be added, so never for a table's row.
    """

    box: Span | None = None
    title_status: Span | None = None
    status: Span | None = None
    progress: Span | None = None
    started: Span | None = None
    finished: Span | None = None
    evidence: Span | None = None
    insertion: Insertion | None = None


class Notice(Frozen):
    """Something that the reader could not make sense of, and how it read it instead."""

    source: Source
    text: str

    def __str__(self) -> str:
        return f"{self.source}: {self.text}"


# --- values -----------------------------------------------------------------


class Status(enum.StrEnum):
    """How far something is.  `UNKNOWN` is a status that was written but not understood;
    an item with no status at all is `NOT_STARTED` with an empty ``status_text``."""

    NOT_STARTED = "not_started"
    IN_PROGRESS = "in_progress"
    BLOCKED = "blocked"
    DONE = "done"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"


class Unit(enum.StrEnum):
    """What a point in a time window counts; `DATE` is a calendar date."""

    DAY = "day"
    WEEK = "week"
    WEEKEND = "weekend"
    SPRINT = "sprint"
    MONTH = "month"
    QUARTER = "quarter"
    DATE = "date"


class Point(Frozen):
    """One end of a window: ``Week 7`` is unit week, number 7; ``Q3 2025`` is unit quarter, number 3, year
    2025; ``March 2025`` is unit month, number 3, year 2025; ``2025-03-01`` is unit date with ``date``.

    ``number`` is ``None`` for a ``Weekend`` without one, and for a date.  Days, weeks, sprints and months
    without a year count from the beginning of the plan (or of the window around them: `Window.within`).
    """

    unit: Unit
    number: int | None = None
    year: int | None = None
    date: datetime.date | None = None


class Window(Frozen):
    """When something happens, from the beginning of ``start`` to the end of ``end``, both included.

    ``raw`` is the text it was read from.  ``Day 2-3`` under the heading ``Week 1`` has ``within`` = ``Week 1``.
    An open window (``by Week 6``, ``from Week 3``) lacks its start or its end.
    """

    raw: str
    start: Point | None = None
    end: Point | None = None
    within: Window | None = None


class Estimate(Frozen):
    """Hours of work.  ``hours`` is the mean of ``low`` and ``high`` when a range was written ("1-2 hours"
    is 1.5): the sum of means is the fair guess of a total.  All three are equal otherwise."""

    raw: str
    hours: float
    low: float
    high: float


class DependencyKind(enum.StrEnum):
    """What a dependency points at."""

    TASK = "task"
    PHASE = "phase"
    MILESTONE = "milestone"
    TEXT = "text"


class Dependency(Frozen):
    """One thing that has to be done before.

    ``target`` is the id of the task, of the phase (all of it has to be complete) or of the milestone; for a
    `TEXT` that names nothing in the plan (``DBA sign-off``) it is ``None``.  ``known`` says whether the
    document has an item of that id: ``Task 99.9`` that nobody wrote is kind task, target ``99.9``, not known.
    """

    raw: str
    kind: DependencyKind
    target: str | None = None
    known: bool = False
    source: Source


class Approval(Frozen):
    """``2 of ops``: two people of the group ops.  ``group`` is ``None`` for anybody (``2``, ``yes``)."""

    raw: str
    count: int
    group: str | None = None


class OnFailure(enum.StrEnum):
    """What a run does when a task fails: stop there, or undo what was done in reverse order."""

    STOP = "stop"
    UNDO = "undo"


class Link(Frozen):
    """A piece of evidence that the document points at; ``text`` is empty for a bare address."""

    text: str
    target: str


class Quantity(Frozen):
    """A number with a comparison and a unit: ``< 200 ms`` is ``<``, 200, ``ms``."""

    raw: str
    comparison: str = ""
    """``<``, ``<=``, ``==``, ``>=``, ``>`` or empty."""
    number: float | None = None
    unit: str = ""
