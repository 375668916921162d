"""Where a time window lies: its first and last calendar date, reckoned from the plan's first day.

``Week 7`` begins 42 days after the first day; ``Day 8`` is the eighth *working* day; a sprint without dates takes
two weeks; ``Month 2`` begins a calendar month after the first day.  A window inside another one is read as
plans write it: ``Day 51`` under ``Week 11`` counts from the plan's beginning, because that lies in week 11, and
``Day 2`` under it counts from the week's, because otherwise it would lie outside.
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import Iterator
from dataclasses import dataclass, replace

from crossfade.plans.calendar import Calendar
from crossfade.plans.model import Point, Unit, Window

SPRINT_DAYS = 14
"""Length of a sprint whose dates nobody wrote."""

_DAY = datetime.timedelta(days=1)
_SATURDAY = 5


class Axis(enum.StrEnum):
    """What a window was counted in.  Two windows on one axis can be compared though nobody knows the plan's
    first day; ``Week 3`` and ``2025-03-01`` cannot."""

    DATES = "dates"
    DAYS = "days"
    WEEKS = "weeks"
    SPRINTS = "sprints"
    MONTHS = "months"


@dataclass(frozen=True, slots=True)
class Stretch:
    """From the beginning of ``first`` to the end of ``last``; ``None`` for an open end.  ``axis`` is ``None``
    where the window mixes several."""

    first: datetime.date | None
    last: datetime.date | None
    axis: Axis | None

    def holds(self, other: Stretch) -> bool:
        """Whether the other one lies inside as far as its ends are known."""
        dates = [date for date in (other.first, other.last) if date is not None]
        return all(
            (self.first is None or self.first <= date) and (self.last is None or date <= self.last)
            for date in dates
        )


class _Count(enum.Enum):
    """How the numbers inside a window can be meant; tried in this order."""

    WORKING = "working days from the plan's beginning"
    CALENDAR = "calendar days from the plan's beginning"
    LOCAL = "working days from the beginning of the window around"
    LOCAL_CALENDAR = "calendar days from the beginning of the window around"


_UNIT_AXES = {
    Unit.DATE: Axis.DATES,
    Unit.DAY: Axis.DAYS,
    Unit.WEEK: Axis.WEEKS,
    Unit.WEEKEND: Axis.WEEKS,
    Unit.SPRINT: Axis.SPRINTS,
    Unit.MONTH: Axis.MONTHS,
}


class Placement:
    """Places the windows of a plan whose first day is ``start``."""

    def __init__(self, start: datetime.date, calendar: Calendar) -> None:
        self._start = start
        self._calendar = calendar

    def place(self, window: Window | None) -> Stretch | None:
        """The dates of a window; ``None`` when it says none (``Weekend`` of nobody knows which week)."""
        if window is None or (window.start is None and window.end is None):
            return None
        around = self.place(window.within)
        if around is None or around.first is None:
            return self._stretch(window, self._start, None, _Count.WORKING)
        for count in _Count:
            local = count in (_Count.LOCAL, _Count.LOCAL_CALENDAR)
            stretch = self._stretch(window, around.first if local else self._start, around, count)
            if stretch is not None and around.holds(stretch):
                absolute = stretch.axis is Axis.DATES
                return stretch if absolute or not local else replace(stretch, axis=around.axis)
        return around

    def _stretch(
        self, window: Window, origin: datetime.date, around: Stretch | None, count: _Count
    ) -> Stretch | None:
        first = self._dates(window.start, origin, around, count)
        last = self._dates(window.end, origin, around, count)
        if first is None and last is None:
            return None
        axes = set(self._axes(window, around))
        axis = axes.pop() if len(axes) == 1 else None
        return Stretch(first[0] if first else None, last[1] if last else None, axis)

    @staticmethod
    def _axes(window: Window, around: Stretch | None) -> Iterator[Axis | None]:
        for point in (window.start, window.end):
            if point is not None:
                if point.year is not None:
                    yield Axis.DATES
                elif around is not None and point.unit in (Unit.DAY, Unit.WEEKEND, Unit.WEEK):
                    yield around.axis
                else:
                    yield _UNIT_AXES.get(point.unit)

    def _dates(
        self, point: Point | None, origin: datetime.date, around: Stretch | None, count: _Count
    ) -> tuple[datetime.date, datetime.date] | None:
        if point is None:
            return None
        try:
            return self._bounds(point, origin, around, count)
        except (OverflowError, ValueError):  # beyond the calendar: year 0, year 12000
            return None

    def _bounds(
        self, point: Point, origin: datetime.date, around: Stretch | None, count: _Count
    ) -> tuple[datetime.date, datetime.date] | None:
        if point.date is not None:
            return point.date, point.date
        number = point.number
        if point.unit is Unit.WEEKEND:
            return _weekend(number, origin, around)
        if number is None:
            return None
        if point.unit is Unit.DAY:
            if count in (_Count.CALENDAR, _Count.LOCAL_CALENDAR):
                day = origin + (number - 1) * _DAY
            else:
                day = self._calendar.day(max(0, self._calendar.days_before(origin) + number - 1))
            return day, day
        if point.unit in (Unit.WEEK, Unit.SPRINT):
            length = 7 if point.unit is Unit.WEEK else SPRINT_DAYS
            first = origin + (number - 1) * length * _DAY
            return first, first + (length - 1) * _DAY
        if point.unit is Unit.MONTH:
            if point.year is not None:
                return _months(datetime.date(point.year, number, 1), 0, 1)
            return _months(origin, number - 1, 1)
        if point.unit is Unit.QUARTER:
            return self._quarter(number, point.year)
        return None

    def _quarter(self, number: int, year: int | None) -> tuple[datetime.date, datetime.date]:
        """A quarter without a year is the next one that is not over when the plan begins."""
        first, last = _months(datetime.date(year or self._start.year, 3 * number - 2, 1), 0, 3)
        if year is None and last < self._start:
            return _months(datetime.date(self._start.year + 1, 3 * number - 2, 1), 0, 3)
        return first, last


def _weekend(
    number: int | None, origin: datetime.date, around: Stretch | None
) -> tuple[datetime.date, datetime.date] | None:
    """Saturday and Sunday of that week; without a number, the first ones in the window around."""
    if number is not None:
        origin = origin + (number - 1) * 7 * _DAY
    elif around is not None and around.first is not None:
        origin = around.first
    else:
        return None
    saturday = origin + (_SATURDAY - origin.weekday()) % 7 * _DAY
    return saturday, saturday + _DAY


def _months(origin: datetime.date, after: int, length: int) -> tuple[datetime.date, datetime.date]:
    return _plus_months(origin, after), _plus_months(origin, after + length) - _DAY


def _plus_months(day: datetime.date, months: int) -> datetime.date:
    """The same day of the month so many months later; the month's last day where it has no such day."""
    years, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    following = datetime.date(years + (month == 11), (month + 1) % 12 + 1, 1)
    return min(datetime.date(years, month + 1, 1) + (day.day - 1) * _DAY, following - _DAY)
