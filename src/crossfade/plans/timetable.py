"""What a schedule says: activities, phases, milestones, the critical path, and each owner's load."""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass
from typing import Any

from crossfade.plans.calendar import Calendar
from crossfade.plans.load import Load
from crossfade.plans.model import Source, Status
from crossfade.plans.work import Basis


@dataclass(frozen=True, slots=True)
class Activity:
    """One task in time.  Moments are local; hours are working hours.

    ``hours`` is the work left and ``total`` all of it, as ``basis`` tells.  ``slack`` is how much later it can
    end without moving the end of the plan, ``free_slack`` without moving any other activity.  ``started`` and
    ``finished`` are the dates that the document tells; of a done task without them the times are where it
    was planned.  ``due`` is the end of its window, and ``late`` says that it will not keep it.  ``after`` are the
    ids of the tasks that it names as dependencies, ``after_phases`` those of the phases.
    """

    id: str
    id_stated: bool
    """False for an id that was made of the title."""
    title: str
    phase: str
    source: Source
    owner: str
    owners: tuple[str, ...]
    status: Status
    progress: float | None
    executable: bool
    hours: float
    total: float
    basis: Basis
    earliest_start: datetime.datetime
    earliest_end: datetime.datetime
    latest_start: datetime.datetime
    latest_end: datetime.datetime
    slack: float
    free_slack: float
    critical: bool
    started: datetime.date | None = None
    finished: datetime.date | None = None
    due: datetime.datetime | None = None
    late: bool = False
    after: tuple[str, ...] = ()
    after_phases: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        return self.status is Status.DONE

    @property
    def start(self) -> datetime.datetime:
        """When it begins, or began: the date that the document tells, else the earliest start."""
        if self.started is None or self.done:
            return self.earliest_start
        begun = datetime.datetime.combine(self.started, self.earliest_start.time())
        return min(begun, self.earliest_start)

    @property
    def end(self) -> datetime.datetime:
        """When it ends, or ended."""
        return self.earliest_end


@dataclass(frozen=True, slots=True)
class PhaseSpan:
    """A phase from the first beginning to the last end of what is inside it; ``depth`` is 0 for an outermost
    one.  A phase that has no tasks spans its window.  ``activities`` are the ids right in it."""

    id: str
    title: str
    source: Source
    depth: int
    start: datetime.datetime
    end: datetime.datetime
    status: Status
    progress: float
    """By the hours of its activities, 0 to 100."""
    activities: tuple[str, ...] = ()
    implicit: bool = False


@dataclass(frozen=True, slots=True)
class MilestoneDate:
    """A milestone at the end of its window, else at the end of its phase; ``due`` says that it is its window."""

    id: str
    title: str
    source: Source
    status: Status
    phase: str | None
    at: datetime.datetime
    due: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the schedule as a table.  ``slack`` is ``None`` for what is done; ``notes`` are remarks such
    as ``done``, ``late``, ``assumed``."""

    phase: str
    id: str
    title: str
    owner: str
    start: datetime.datetime
    end: datetime.datetime
    hours: float
    slack: float | None
    critical: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A plan in time.

    ``end`` is when the last open activity ends, or when the last one ended if all are done.  ``critical_path``
    are ids in order: the open activities that decide the end.  ``hours`` are its working hours from ``start`` on,
    waiting for windows included.  ``assumed`` are the ids of the tasks of which nobody knows the duration and for
    which ``assumed_hours`` are taken.  ``notes`` tell what could not be reckoned with.
    """

    title: str
    start: datetime.datetime
    end: datetime.datetime
    hours: float
    calendar: Calendar
    activities: tuple[Activity, ...]
    phases: tuple[PhaseSpan, ...]
    milestones: tuple[MilestoneDate, ...]
    critical_path: tuple[str, ...]
    loads: tuple[Load, ...]
    assumed: tuple[str, ...]
    assumed_hours: float
    notes: tuple[str, ...] = ()
    today: datetime.date | None = None

    def activity(self, identifier: str) -> Activity | None:
        """The activity of that task."""
        return next((one for one in self.activities if one.id == identifier), None)

    @property
    def overloads(self) -> tuple[Load, ...]:
        """The weeks in which an owner has more work than hours."""
        return tuple(load for load in self.loads if load.overload)

    def rows(self) -> tuple[Row, ...]:
        """The activities as lines of a table, in the document's order."""
        titles = {phase.id: phase.title for phase in self.phases}
        return tuple(
            Row(
                phase=titles.get(one.phase, one.phase),
                id=one.id,
                title=one.title,
                owner=one.owner,
                start=one.start,
                end=one.end,
                hours=one.hours,
                slack=None if one.done else one.slack,
                critical=one.critical,
                notes=self._notes(one),
            )
            for one in self.activities
        )

    def _notes(self, one: Activity) -> tuple[str, ...]:
        found: list[str] = []
        if one.done:
            found.append("done")
        elif one.progress:
            found.append(f"{one.progress:g} %")
        if one.late and one.due is not None:
            found.append(f"late: due {one.due:%Y-%m-%d}")
        if not one.done and one.basis is Basis.ASSUMED:
            found.append(f"assumed {self.assumed_hours:g} h")
        elif not one.done and one.basis is Basis.MEASURED:
            found.append("measured")
        return tuple(found)

    def as_json(self) -> dict[str, Any]:
        """The shape that ``--json`` prints; moments in ISO 8601."""
        told = asdict(self)
        del told["calendar"]
        for one, activity in zip(told["activities"], self.activities, strict=True):
            one["start"], one["end"] = activity.start, activity.end
        for one, load in zip(told["loads"], self.loads, strict=True):
            one["overload"] = load.overload
        for one in (*told["activities"], *told["phases"], *told["milestones"]):
            one["source"] = one["source"].model_dump()
        plain: dict[str, Any] = _plain(told)
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime.date):
        return value.isoformat()
    return value
