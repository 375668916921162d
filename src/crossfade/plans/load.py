"""How many hours of work each owner has in each week."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, field

from crossfade.plans.calendar import Calendar

_WEEK = datetime.timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Load:
    """The hours of one owner in one ISO week, which begins on ``monday``.  ``owner`` is empty for the work that
    nobody owns, which has no capacity and is never an overload."""

    owner: str
    year: int
    week: int
    monday: datetime.date
    hours: float
    capacity: float

    @property
    def overload(self) -> bool:
        """Whether it is more than the owner can work."""
        return bool(self.owner) and self.hours > self.capacity + 1e-9


@dataclass(frozen=True, slots=True)
class Share:
    """Work of minutes ``first`` to ``last`` (see `Calendar.count`) that these owners share equally."""

    owners: tuple[str, ...]
    first: int
    last: int


@dataclass(slots=True)
class _Weeks:
    """Minutes by week: single ones, and how many shares fill whole weeks from one on and until before another."""

    name: str
    single: dict[int, float] = field(default_factory=dict)
    change: dict[int, float] = field(default_factory=dict)

    def add(self, week: int, minutes: float) -> None:
        self.single[week] = self.single.get(week, 0.0) + minutes

    def fill(self, first: int, until: int, share: float) -> None:
        self.change[first] = self.change.get(first, 0.0) + share
        self.change[until] = self.change.get(until, 0.0) - share


def loads(shares: Iterable[Share], calendar: Calendar, capacity: float) -> tuple[Load, ...]:
    """The weeks in which somebody has work, by owner as first met and then by time.

    It is assumed that an owner works on a task steadily from its beginning to its end.
    """
    owners: dict[str, _Weeks] = {}
    for share in shares:
        if share.last <= share.first:
            continue
        names = share.owners or ("",)
        part = 1 / len(names)
        first, last = _week(calendar, share.first), _week(calendar, share.last - 1)
        for name in names:
            weeks = owners.setdefault(name.casefold(), _Weeks(name))
            if first == last:
                weeks.add(first, part * (share.last - share.first))
                continue
            weeks.add(first, part * (calendar.at_start(_monday(first + 1)) - share.first))
            weeks.add(last, part * (share.last - calendar.at_start(_monday(last))))
            weeks.fill(first + 1, last, part)
    return tuple(load for weeks in owners.values() for load in _listed(weeks, calendar, capacity))


def _listed(weeks: _Weeks, calendar: Calendar, capacity: float) -> Iterable[Load]:
    full = 0.0
    edges = sorted({*weeks.single, *weeks.change})
    for edge, following in zip(edges, (*edges[1:], edges[-1] + 1), strict=True):
        full += weeks.change.get(edge, 0.0)
        for week in range(edge, following if full > 1e-9 else edge + 1):
            monday = _monday(week)
            minutes = weeks.single.get(week, 0.0)
            if full > 1e-9:
                minutes += full * (calendar.at_start(monday + _WEEK) - calendar.at_start(monday))
            if minutes > 1e-6:
                year, number, _ = monday.isocalendar()
                yield Load(weeks.name, year, number, monday, round(minutes / 60, 4), capacity)


def _week(calendar: Calendar, minute: int) -> int:
    """The number of the week in which a working minute lies, counted from the calendar's first Monday."""
    return (calendar.day(minute // calendar.minutes).toordinal() - 1) // 7


def _monday(week: int) -> datetime.date:
    return datetime.date.fromordinal(1 + 7 * week)
