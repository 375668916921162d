"""The time axis of a drawing: moments as positions, and where grid lines and labels go."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass

_DAY = datetime.timedelta(days=1)
_STEPS = (1, 2, 4, 8, 13, 26, 52, 104, 260, 520, 1040)
_YEARS = (1, 2, 5, 10, 20, 50, 100, 500, 1000)
_HALF_HOUR = datetime.timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Tick:
    """A grid line; ``label`` is empty where there is no room for one."""

    x: float
    label: str
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """A named stretch of the axis, such as a month."""

    x: float
    width: float
    label: str


class Timescale:
    """Maps calendar time to pixels, from ``left`` to ``right``.

    The axis begins ``origin`` days or whole weeks earlier, so that weeks are the plan's own: week 1 begins on the
    plan's first day.  It covers at least a week.
    """

    def __init__(
        self,
        origin: datetime.date,
        first: datetime.datetime,
        last: datetime.datetime,
        left: float,
        right: float,
    ) -> None:
        self.origin = origin
        weeks_before = max(0, -(-(origin - first.date()).days // 7))
        self.first = origin - 7 * min(weeks_before, (origin.toordinal() - 1) // 7) * _DAY
        days = max(7, -(-((last - _midnight(self.first)) // _HALF_HOUR + 1) // 48))
        self.days = min(-(-days // 7) * 7, (datetime.date.max - self.first).days)
        self.left = left
        self.right = right
        self.day = (right - left) / self.days
        """Pixels of a day."""

    def x(self, moment: datetime.datetime | datetime.date) -> float:
        """The position of a moment (of a date: of its beginning)."""
        if not isinstance(moment, datetime.datetime):
            moment = _midnight(moment)
        passed = (moment - _midnight(self.first)) / _DAY
        return self.left + min(max(passed, 0.0), float(self.days)) * self.day

    def holds(self, day: datetime.date) -> bool:
        """Whether a day lies on the axis."""
        return 0 <= (day - self.first).days < self.days

    def ticks(self) -> Iterator[Tick]:
        """The weeks (``W1`` is the plan's first one), or the days of a short axis."""
        if self.day >= 30:
            for index in range(self.days):
                day = self.first + index * _DAY
                label = f"{day:%a} {day.day}" if self.day >= 44 else str(day.day)
                yield Tick(self.left + index * self.day, label, (day - self.origin).days % 7 == 0)
            return
        week = 7 * self.day
        lines = next((step for step in _STEPS if step * week >= 7), _STEPS[-1])
        labels = next((step for step in _STEPS if step * week >= 30 and step % lines == 0), _STEPS[-1])
        zero = (self.origin - self.first).days // 7
        for index in range(self.days // 7):
            number = index - zero
            if number % lines == 0:
                shown = number % labels == 0
                x = self.left + index * week
                fits = shown and x + 28 <= self.right
                yield Tick(x, f"W{number + 1 if number >= 0 else number}" if fits else "", shown)

    def bands(self) -> Iterator[Band]:
        """Months, or years (or decades, or more) where months have no room."""
        months = self.day * 30 >= 34
        years = next((step for step in _YEARS if step * 365 * self.day >= 34), _YEARS[-1])
        start = self.first
        end = self.first + self.days * _DAY
        while start < end:
            until = min(_month_after(start) if months else _years_after(start, years), end)
            x, width = self.x(start), self.x(until) - self.x(start)
            if not months:
                label = f"{start.year}"
            else:
                label = next(
                    (
                        text
                        for text, room in ((f"{start:%B %Y}", 92), (f"{start:%b %y}", 44))
                        if width >= room
                    ),
                    f"{start:%b}",
                )
            yield Band(x, width, label if width >= 24 else "")
            start = until

    def idle(self, works: frozenset[int]) -> Iterator[Band]:
        """The days of the week on which nobody works, where they are wide enough to be seen."""
        if self.day < 2.5:
            return
        start: int | None = None
        for index in range(self.days + 1):
            idle = index < self.days and (self.first + index * _DAY).weekday() not in works
            if idle and start is None:
                start = index
            elif not idle and start is not None:
                yield Band(self.left + start * self.day, (index - start) * self.day, "")
                start = None


def _midnight(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time(0))


def _month_after(day: datetime.date) -> datetime.date:
    """The first day of the next month, or the last day there is."""
    if (day.year, day.month) == (datetime.MAXYEAR, 12):
        return datetime.date.max
    return datetime.date(day.year + day.month // 12, day.month % 12 + 1, 1)


def _years_after(day: datetime.date, years: int) -> datetime.date:
    """The beginning of the next year that can be divided by that number, or the last day there is."""
    following = (day.year // years + 1) * years
    return datetime.date(following, 1, 1) if following <= datetime.MAXYEAR else datetime.date.max
