"""Traffic over time, from an access log as the router writes it."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from crossfade.errors import UsageError
from crossfade.plans.traffic import traffic_over
from crossfade.routers.access_log import AccessLog
from crossfade.stores.base import Side

BEGIN = datetime.datetime(2026, 3, 2, 9, 0, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)


def log_of(path: Path, lines: list[tuple[float, str, int, float]]) -> AccessLog:
    """``lines``: seconds since the beginning, the side, the status, the milliseconds of the app."""
    addresses = {"old": "127.0.0.1:1", "new": "127.0.0.1:2"}
    rows = (
        {
            "ts": BEGIN.timestamp() + second,
            "upstream": addresses[side],
            "status": status,
            "duration": took / 1000 + 0.5,
            "app_ms": took,
        }
        for second, side, status, took in lines
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return AccessLog(path, {addresses[side.value]: side for side in Side})


def test_requests_errors_and_p95_of_each_side(tmp_path: Path) -> None:
    lines = [(second, "old", 200, 10.0) for second in range(60)]
    lines += [
        (60 + second / 2, "new", 500 if second % 10 == 0 else 200, 20.0 + second) for second in range(120)
    ]
    log = log_of(tmp_path / "access.log", lines)
    first, second = traffic_over(log.stats, BEGIN, BEGIN + 2 * datetime.timedelta(minutes=1), most=3)
    assert (first.at, first.seconds) == (BEGIN, 60)
    assert (first.old.requests, first.old.per_second, first.old.errors, first.old.p95) == (60, 1.0, 0, 10.0)
    assert (first.new.requests, first.new.error_rate, first.new.p95) == (0, None, None)
    assert (second.new.requests, second.new.per_second, second.new.errors) == (120, 2.0, 12)
    assert second.new.error_rate == pytest.approx(0.1)
    assert second.new.p95 == pytest.approx(20 + 0.95 * 119)


def test_every_request_is_counted_once(tmp_path: Path) -> None:
    log = log_of(tmp_path / "access.log", [(7.3 * index, "old", 200, 1.0) for index in range(1_000)])
    found = traffic_over(log.stats, BEGIN, BEGIN + 3 * HOUR)
    assert sum(bucket.old.requests for bucket in found) == 1_000
    assert len(found) <= 120
    assert all(bucket.at.timestamp() % bucket.seconds == 0 for bucket in found)


def test_a_beginning_between_two_round_times_is_no_dent(tmp_path: Path) -> None:
    log = log_of(tmp_path / "access.log", [(second, "old", 200, 1.0) for second in range(7_200)])
    found = traffic_over(log.stats, BEGIN + datetime.timedelta(seconds=100), BEGIN + 2 * HOUR)
    assert [bucket.old.per_second for bucket in found] == pytest.approx([1.0] * len(found), abs=0.03)


def test_silence_around_the_traffic_is_left_out(tmp_path: Path) -> None:
    log = log_of(tmp_path / "access.log", [(7_200.0, "old", 200, 1.0), (10_800.0, "new", 200, 1.0)])
    found = traffic_over(log.stats, BEGIN - 24 * HOUR, BEGIN + 24 * HOUR)
    assert found[0].at == BEGIN + 2 * HOUR
    assert found[-1].at == BEGIN + 3 * HOUR
    assert traffic_over(log.stats, BEGIN + 20 * HOUR, BEGIN + 24 * HOUR) == ()
    assert traffic_over(log.stats, BEGIN, BEGIN) == ()


def test_a_moment_without_a_zone_is_refused(tmp_path: Path) -> None:
    log = log_of(tmp_path / "access.log", [])
    with pytest.raises(UsageError):
        traffic_over(log.stats, BEGIN.replace(tzinfo=None), BEGIN)
