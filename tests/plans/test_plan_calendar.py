"""Working time is counted exactly, over any span, without walking through the days."""

from __future__ import annotations

import datetime
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.errors import UsageError
from crossfade.plans.calendar import Calendar, day_begins
from tests.plans.build import MONDAY

DAY = datetime.timedelta(days=1)

dates = st.dates(datetime.date(2024, 1, 1), datetime.date(2027, 12, 31))
calendars = st.builds(
    Calendar,
    weekdays=st.frozensets(st.integers(0, 6), min_size=1),
    hours=st.sampled_from([1.0, 6.0, 7.5, 8.0]),
    begins=st.sampled_from([datetime.time(0), datetime.time(9, 30), datetime.time(16)]),
    holidays=st.frozensets(dates, max_size=30),
)
moments = st.datetimes(datetime.datetime(2024, 1, 1), datetime.datetime(2027, 12, 31))  # noqa: DTZ001


def test_hours_are_added_over_nights_weekends_and_holidays() -> None:
    calendar = Calendar.of(holidays=[datetime.date(2026, 3, 10)])
    friday = datetime.datetime.combine(datetime.date(2026, 3, 6), datetime.time(15, 30))
    assert calendar.add(friday, 1.5).isoformat() == "2026-03-06T17:00:00"
    assert calendar.add(friday, 2).isoformat() == "2026-03-09T09:30:00"
    assert calendar.add(friday, 10).isoformat() == "2026-03-11T09:30:00"
    assert calendar.between(friday, datetime.datetime.combine(MONDAY, datetime.time(12))) == -35.5


def test_a_week_has_forty_hours_and_a_weekend_none() -> None:
    calendar = Calendar()
    assert calendar.within(MONDAY, MONDAY + 6 * DAY) == 40
    assert calendar.within(MONDAY + 5 * DAY, MONDAY + 6 * DAY) == 0


@given(calendars, dates, st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_days_are_counted_as_by_walking_through_them(
    calendar: Calendar, first: datetime.date, length: int
) -> None:
    last = first + length * DAY
    walked = [first + step * DAY for step in range(length)]
    working = [day for day in walked if calendar.works(day)]
    assert calendar.days_before(last) - calendar.days_before(first) == len(working)
    for index, day in enumerate(working):
        assert calendar.day(calendar.days_before(first) + index) == day


@given(calendars, moments, st.integers(1, 3000))
@settings(max_examples=100, deadline=None)
def test_counting_and_adding_are_each_others_inverse(
    calendar: Calendar, moment: datetime.datetime, minutes: int
) -> None:
    count = calendar.count(moment)
    for made in (calendar.beginning(count + minutes), calendar.ending(count + minutes)):
        assert calendar.count(made) == count + minutes
    assert calendar.ending(count + minutes) <= calendar.beginning(count + minutes)
    assert calendar.count(calendar.add(moment, minutes / 60)) == count + minutes
    assert calendar.works(calendar.beginning(count).date())


@given(calendars, moments, moments)
@settings(max_examples=60, deadline=None)
def test_counting_never_goes_back(
    calendar: Calendar, one: datetime.datetime, other: datetime.datetime
) -> None:
    first, last = min(one, other), max(one, other)
    assert calendar.count(first) <= calendar.count(last)
    assert calendar.count(day_begins(first.date())) == calendar.at_start(first.date())


def test_a_thousand_years_cost_no_more_than_a_day() -> None:
    calendar = Calendar.of(holidays=[datetime.date(year, 12, 25) for year in range(2000, 3000)])
    began = time.process_time()
    for _ in range(200):
        calendar.add(day_begins(MONDAY), 8 * 260 * 950.0)
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(
    ("weekdays", "hours", "begins"),
    [
        (frozenset(), 8.0, 9),
        (frozenset({7}), 8.0, 9),
        (frozenset({1}), 0.0, 9),
        (frozenset({1}), 16.0, 9),
        (frozenset({1}), float("nan"), 9),
        (frozenset({1}), float("inf"), 0),
        (frozenset({1}), -3.0, 9),
    ],
)
def test_a_calendar_in_which_nobody_works_is_refused(
    weekdays: frozenset[int], hours: float, begins: int
) -> None:
    with pytest.raises(UsageError):
        Calendar(weekdays=weekdays, hours=hours, begins=datetime.time(begins))
