"""Reading the access log: what a line means, what is read again and what is not, rotation, and cost."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from crossfade.errors import RouterError
from crossfade.routers.access_log import AccessLog
from crossfade.stores.base import Side

SIDES = {"127.0.0.1:1001": Side.OLD, "127.0.0.1:1002": Side.NEW}


def line(when: float, upstream: str = "tcp/127.0.0.1:1001", status: int = 200, **more: Any) -> str:
    entry = {"ts": when, "duration": 0.5, "status": status, "upstream": upstream, "app_ms": 10.0}
    return json.dumps(entry | more) + "\n"


def append(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.write("".join(lines))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def test_lines_are_counted_by_side_status_and_span(path: Path) -> None:
    append(
        path,
        line(100.0),
        line(101.0, status=500),
        line(102.0, "tcp/127.0.0.1:1002", status=404),
        line(103.0, "tcp/127.0.0.1:1002", status=502, app_ms=None),
        line(104.0, "unix//dev/null/crossfade-held", status=503, app_ms=None, held="expired"),
        line(105.0, "unix//dev/null/crossfade-held", status=499, app_ms=None),
        line(106.0, "tcp/elsewhere:80", status=500),
    )
    log = AccessLog(path, SIDES)
    stats = log.stats(0)
    assert (stats[Side.OLD].requests, stats[Side.OLD].errors) == (2, 1)
    assert (stats[Side.NEW].requests, stats[Side.NEW].errors) == (2, 1)
    assert stats[Side.NEW].durations == (0.01, 0.5), "without an answer the whole time counts"
    assert log.expired_holds(0) == 1
    assert log.expired_holds(104.5) == 0
    assert log.stats(101.0)[Side.OLD].requests == 1, "since is included"
    assert log.stats(100.0, 101.0)[Side.OLD].requests == 1, "until is not"


def test_only_what_is_new_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(path, *(line(100.0 + n / 1000) for n in range(1000)))
    log = AccessLog(path, SIDES)
    assert log.stats(0)[Side.OLD].requests == 1000
    parsed, loads = 0, json.loads

    def counted(text: bytes) -> Any:
        nonlocal parsed
        parsed += 1
        return loads(text)

    monkeypatch.setattr("crossfade.routers.access_log.json.loads", counted)
    append(path, line(102.0), line(103.0))
    assert log.stats(0)[Side.OLD].requests == 1002
    assert log.stats(50)[Side.OLD].requests == 1002
    assert parsed <= 4, "two lines, and the first one of the file at each call"


def test_half_written_line_is_read_when_it_is_whole(path: Path) -> None:
    whole = line(101.0)
    append(path, whole[:20])
    log = AccessLog(path, SIDES)
    assert log.stats(0)[Side.OLD].requests == 0
    append(path, whole[20:])
    assert log.stats(0)[Side.OLD].requests == 1
    append(path, line(102.0), whole[:30])
    assert log.stats(0)[Side.OLD].requests == 2
    append(path, whole[30:])
    assert log.stats(0)[Side.OLD].requests == 3


def test_rotation_loses_and_doubles_nothing(path: Path) -> None:
    log = AccessLog(path, SIDES)
    total = 0
    for generation in range(6):
        for n in range(5):
            append(path, line(100.0 + generation + n / 10))
            total += 1
            if n == 2 and generation % 2:
                assert log.stats(0)[Side.OLD].requests == total
        path.rename(path.with_name(f"access-2026-01-01T00-00-0{generation}.000-size.log"))
    append(path, line(200.0))
    assert log.stats(0)[Side.OLD].requests == total + 1
    assert AccessLog(path, SIDES).stats(0)[Side.OLD].requests == total + 1
    assert AccessLog(path, SIDES).stats(104.0)[Side.OLD].requests == 6 + 5


def test_file_that_was_rotated_away_and_its_inode_used_again(path: Path) -> None:
    append(path, line(100.0), line(101.0))
    log = AccessLog(path, SIDES)
    assert log.stats(0)[Side.OLD].requests == 2
    inode = path.stat().st_ino
    with path.open("r+b") as file:
        file.truncate(0)
    append(path, line(102.0), line(103.0), line(104.0))
    assert path.stat().st_ino == inode
    assert log.stats(102.0)[Side.OLD].requests == 3


def test_older_question_reads_the_files_again(path: Path) -> None:
    append(path, *(line(100.0 + n) for n in range(1000)))
    log = AccessLog(path, SIDES)
    assert log.stats(1050.0)[Side.OLD].requests == 50
    assert log.stats(100.0)[Side.OLD].requests == 1000
    assert log.stats(1050.0)[Side.OLD].requests == 50


def test_what_is_rotated_away_is_forgotten(path: Path) -> None:
    log = AccessLog(path, SIDES)
    for generation in range(10):
        append(path, *(line(100.0 * generation + n / 10) for n in range(1000)))
        assert log.stats(100.0 * generation)[Side.OLD].requests == 1000
        path.rename(path.with_name(f"access-{generation}.log"))
        if generation >= 2:
            path.with_name(f"access-{generation - 2}.log").unlink()
        assert log.stats(0)[Side.OLD].requests >= 1000
        assert len(log._when) == len(log._took) == len(log._what) <= 3000


def test_damaged_lines_are_passed_over(path: Path) -> None:
    append(
        path, line(100.0), "not json\n", '{"ts": 1}\n', "[]\n", "\n", line(101.0, status=None), line(102.0)
    )
    assert AccessLog(path, SIDES).stats(0)[Side.OLD].requests >= 2


def test_no_log_yet(path: Path) -> None:
    log = AccessLog(path, SIDES)
    assert log.stats(0)[Side.OLD].requests == 0
    assert log.expired_holds(0) == 0
    append(path, line(100.0))
    assert log.stats(0)[Side.OLD].requests == 1


def test_log_that_cannot_be_read_is_a_router_error(path: Path) -> None:
    path.mkdir()
    with pytest.raises(RouterError, match="cannot be read"):
        AccessLog(path, SIDES).stats(0)


def test_a_long_log_is_entered_near_its_end(path: Path) -> None:
    append(path, *(line(100.0 + n / 100) for n in range(50_000)))
    log = AccessLog(path, SIDES)
    begin = time.process_time()
    assert log.stats(590.0)[Side.OLD].requests == 1000
    near = time.process_time() - begin
    begin = time.process_time()
    assert AccessLog(path, SIDES).stats(0)[Side.OLD].requests == 50_000
    assert near < (time.process_time() - begin) / 5
    assert os.path.getsize(path) > 4_000_000  # noqa: PTH202
