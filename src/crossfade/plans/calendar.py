"""Working time: which minutes of which days are worked, and the arithmetic between them.

Everything is counted in *working minutes* since the first day of the calendar (1 January of the year 1), so a
sum of durations stays exact to the minute.  Counting days takes whole weeks at a time and looks the holidays
up by bisection: a plan of a hundred years costs as much as one of a week.
"""

from __future__ import annotations

import datetime
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from crossfade.errors import UsageError

_MIDNIGHT = datetime.time(0, 0)


@dataclass(frozen=True)
class Calendar:
    """When a team works: on ``weekdays`` (Monday is 0), for ``hours`` from ``begins`` on, except on ``holidays``.

    Moments are local and carry no zone.  ``UsageError`` for a calendar in which nobody ever works, or whose
    day does not end by midnight.
    """

    weekdays: frozenset[int] = frozenset({0, 1, 2, 3, 4})
    hours: float = 8.0
    begins: datetime.time = datetime.time(9, 0)
    holidays: frozenset[datetime.date] = frozenset()

    def __post_init__(self) -> None:
        if not self.weekdays or not all(0 <= day <= 6 for day in self.weekdays):
            raise UsageError(
                "a calendar needs working weekdays from 0 (Monday) to 6 (Sunday)",
                where="calendar/weekdays",
                todo="name at least one",
            )
        first = self.begins.hour * 60 + self.begins.minute
        if not (math.isfinite(self.hours) and self.minutes >= 1 and first + self.minutes <= 24 * 60):
            raise UsageError(
                f"a day of {self.hours:g} hours from {self.begins:%H:%M} on does not fit into a day",
                where="calendar/hours",
                todo="give more than 0 hours that end by midnight",
            )

    @classmethod
    def of(cls, *, holidays: Iterable[datetime.date] = (), hours: float = 8.0) -> Calendar:
        """Monday to Friday from nine o'clock on, with these holidays and hours a day."""
        return cls(hours=hours, holidays=frozenset(holidays))

    @cached_property
    def minutes(self) -> int:
        """Working minutes of a day."""
        return round(self.hours * 60) if math.isfinite(self.hours) else 0

    # --- days ---------------------------------------------------------------

    def works(self, day: datetime.date) -> bool:
        """Whether any of this day is working time."""
        return day.weekday() in self.weekdays and day not in self.holidays

    def days_before(self, day: datetime.date) -> int:
        """The number of working days before this one."""
        position = self._weekdays_before(day)
        return position - bisect_left(self._lost, position)

    def day(self, index: int) -> datetime.date:
        """The working day that has ``index`` working days before it.  ``OverflowError`` beyond the year 9999."""
        # of the holidays, in order, those count that leave at most ``index`` working days before them
        position = index + bisect_right(self._kept_before_lost, index)
        weeks, rest = divmod(position, len(self.weekdays))
        ordinal = 1 + 7 * weeks + sorted(self.weekdays)[rest]
        if ordinal > datetime.date.max.toordinal():
            raise OverflowError("no calendar goes beyond the year 9999")
        return datetime.date.fromordinal(ordinal)

    def _weekdays_before(self, day: datetime.date) -> int:
        weeks, rest = divmod(day.toordinal() - 1, 7)
        return weeks * len(self.weekdays) + self._before_in_week[rest]

    @cached_property
    def _before_in_week(self) -> tuple[int, ...]:
        return tuple(sum(1 for day in self.weekdays if day < rest) for rest in range(7))

    @cached_property
    def _lost(self) -> list[int]:
        """The holidays on working weekdays, each by the number of working weekdays before it."""
        return sorted(self._weekdays_before(day) for day in self.holidays if day.weekday() in self.weekdays)

    @cached_property
    def _kept_before_lost(self) -> list[int]:
        return [position - earlier for earlier, position in enumerate(self._lost)]

    # --- minutes ------------------------------------------------------------

    def count(self, moment: datetime.datetime) -> int:
        """Working minutes before a moment; seconds are cut off."""
        day = moment.date()
        before = self.days_before(day) * self.minutes
        if not self.works(day):
            return before
        passed = moment.hour * 60 + moment.minute - self.begins.hour * 60 - self.begins.minute
        return before + min(max(passed, 0), self.minutes)

    def at_start(self, day: datetime.date) -> int:
        """Working minutes before this day."""
        return self.days_before(day) * self.minutes

    def at_end(self, day: datetime.date) -> int:
        """Working minutes before the end of this day."""
        return self.at_start(day) + (self.minutes if self.works(day) else 0)

    def beginning(self, count: int) -> datetime.datetime:
        """The moment at which work that comes after ``count`` working minutes begins."""
        day, minute = divmod(count, self.minutes)
        return self._moment(day, minute)

    def ending(self, count: int) -> datetime.datetime:
        """The moment at which ``count`` working minutes are over: at a day's end, not the next day's beginning."""
        day, minute = divmod(count - 1, self.minutes)
        return self._moment(day, minute + 1)

    def _moment(self, index: int, minute: int) -> datetime.datetime:
        return datetime.datetime.combine(self.day(index), self.begins) + datetime.timedelta(minutes=minute)

    # --- spans --------------------------------------------------------------

    def add(self, moment: datetime.datetime, hours: float) -> datetime.datetime:
        """The end of work that begins at ``moment`` (or at the next working minute) and takes these hours."""
        start, length = self.count(moment), round(hours * 60)
        return self.ending(start + length) if length > 0 else self.beginning(start)

    def between(self, first: datetime.datetime, last: datetime.datetime) -> float:
        """Working hours from one moment to another; negative when they are the other way round."""
        return (self.count(last) - self.count(first)) / 60

    def within(self, first: datetime.date, last: datetime.date) -> float:
        """Working hours of the days ``first`` to ``last``, both included."""
        return (self.at_end(last) - self.at_start(first)) / 60


def day_begins(day: datetime.date) -> datetime.datetime:
    """Midnight, at which a day begins."""
    return datetime.datetime.combine(day, _MIDNIGHT)
