"""Estimates in hours of work, time-outs in seconds by the clock."""

from __future__ import annotations

import pytest

from crossfade.plans.durations import parse_estimate, parse_seconds


@pytest.mark.parametrize(
    ("text", "low", "hours", "high"),
    [
        ("2 hours", 2, 2, 2),
        ("1.5h", 1.5, 1.5, 1.5),
        ("1,5 h", 1.5, 1.5, 1.5),
        ("3 days", 24, 24, 24),
        ("30 min", 0.5, 0.5, 0.5),
        ("90 minutes", 1.5, 1.5, 1.5),
        ("1-2 hours", 1, 1.5, 2),
        ("1–2h", 1, 1.5, 2),
        ("2 to 3 days", 16, 20, 24),
        ("30 min - 1 hour", 0.5, 0.75, 1),
        ("2h 30min", 2.5, 2.5, 2.5),
        ("2h30", 2.5, 2.5, 2.5),
        ("1 day 4 hours", 12, 12, 12),
        ("half a day", 4, 4, 4),
        ("½ day", 4, 4, 4),
        ("an hour", 1, 1, 1),
        ("~4h", 4, 4, 4),
        ("2 person-days", 16, 16, 16),
        ("1 week", 40, 40, 40),
        ("1,500 hours", 1500, 1500, 1500),
        ("16 hours (estimated) / 1 day (actual)", 16, 16, 16),
        ("about 31 hours", 31, 31, 31),
    ],
)
def test_parse_estimate(text: str, low: float, hours: float, high: float) -> None:
    estimate = parse_estimate(text)
    assert estimate is not None
    assert (estimate.low, estimate.hours, estimate.high) == pytest.approx((low, hours, high))
    assert estimate.raw == text


@pytest.mark.parametrize("text", ["TBD", "", "Week 3", "5", "$2,000/month", "soon", "v1.2", "10 % of it"])
def test_no_estimate(text: str) -> None:
    assert parse_estimate(text) is None


def test_a_mere_number_is_hours_only_where_the_column_says_hours() -> None:
    estimate = parse_estimate("12-20", bare_hours=True)
    assert estimate is not None
    assert (estimate.low, estimate.hours, estimate.high) == (12, 16, 20)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("30 min", 1800), ("2h", 7200), ("3 days", 259_200), ("1h 30m", 5400)],
)
def test_parse_seconds(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


def test_no_seconds() -> None:
    assert parse_seconds("none") is None
