"""Time windows in the words of plans."""

from __future__ import annotations

import datetime

import pytest

from crossfade.plans.values import Point, Unit, Window
from crossfade.plans.windows import find_window, parse_date, parse_window


def shown(point: Point | None) -> str:
    if point is None:
        return "open"
    if point.date is not None:
        return point.date.isoformat()
    number = "" if point.number is None else f" {point.number}"
    return f"{point.unit.value}{number}" + (f" of {point.year}" if point.year else "")


def both(window: Window | None) -> str:
    return "none" if window is None else f"{shown(window.start)} to {shown(window.end)}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Week 7", "week 7 to week 7"),
        ("week 7", "week 7 to week 7"),
        ("Weeks 7-14", "week 7 to week 14"),
        ("Weeks 7–14", "week 7 to week 14"),
        ("Weeks 7 to 9", "week 7 to week 9"),
        ("Week 7 - Week 9", "week 7 to week 9"),
        ("week 7 & 8", "week 7 to week 8"),
        ("W7", "week 7 to week 7"),
        ("W7-W9", "week 7 to week 9"),
        ("Wk 3", "week 3 to week 3"),
        ("Day 2-3", "day 2 to day 3"),
        ("Days 51-55", "day 51 to day 55"),
        ("Weekend", "weekend to weekend"),
        ("Weekend 2", "weekend 2 to weekend 2"),
        ("Sprint 3", "sprint 3 to sprint 3"),
        ("Iteration 4", "sprint 4 to sprint 4"),
        ("Months 6-24", "month 6 to month 24"),
        ("Q3 2025", "quarter 3 of 2025 to quarter 3 of 2025"),
        ("2025-Q3", "quarter 3 of 2025 to quarter 3 of 2025"),
        ("Q1-Q2 2026", "quarter 1 of 2026 to quarter 2 of 2026"),
        ("Q3 2025 – Q1 2026", "quarter 3 of 2025 to quarter 1 of 2026"),
        ("2025-03-01", "2025-03-01 to 2025-03-01"),
        ("2025-03-01 to 2025-03-05", "2025-03-01 to 2025-03-05"),
        ("2025-03-01/2025-03-05", "2025-03-01 to 2025-03-05"),
        ("2025-03-01T22:00Z", "2025-03-01 to 2025-03-01"),
        ("March 3, 2025", "2025-03-03 to 2025-03-03"),
        ("Mar 3rd 2025", "2025-03-03 to 2025-03-03"),
        ("3-7 March 2025", "2025-03-03 to 2025-03-07"),
        ("03.03.2025", "2025-03-03 to 2025-03-03"),
        ("March 2025", "month 3 of 2025 to month 3 of 2025"),
        ("by Week 6", "open to week 6"),
        ("end of Week 2", "open to week 2"),
        ("until 2025-03-01", "open to 2025-03-01"),
        ("from Week 3", "week 3 to open"),
        ("10 days (Weeks 11-12)", "week 11 to week 12"),
        ("2 weeks", "none"),
        ("12-24 months", "none"),
        ("2025-13-01", "none"),
        ("31.02.2025", "none"),
        ("03/04/2025", "none"),
        ("weekly", "none"),
        ("", "none"),
    ],
)
def test_parse_window(text: str, expected: str) -> None:
    window = parse_window(text)
    assert both(window) == expected
    assert window is None or window.raw == text


def test_bare_numbers_take_the_unit_of_their_column() -> None:
    assert both(parse_window("7-14", Unit.WEEK)) == "week 7 to week 14"
    assert both(parse_window("3", Unit.DAY)) == "day 3 to day 3"
    assert parse_window("7-14") is None


def test_a_smaller_window_lies_within_the_larger_one_before_it() -> None:
    window = parse_window("Week 3, Day 2")
    assert window is not None
    assert both(window) == "day 2 to day 2"
    assert both(window.within) == "week 3 to week 3"


def test_find_window_gives_its_columns() -> None:
    text = "Foundation (Weeks 1-2) and more"
    found = find_window(text)
    assert found is not None
    assert text[found.start : found.end] == found.window.raw == "Weeks 1-2"


def test_parse_date_takes_only_days_of_the_calendar() -> None:
    assert parse_date("done on 2025-03-01, late") == datetime.date(2025, 3, 1)
    assert parse_date("Week 7") is None
    assert parse_date("March 2025") is None
