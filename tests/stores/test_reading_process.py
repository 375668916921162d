"""Reading processes that are started before the database is known to anybody."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from crossfade.stores import reading_process


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    yield
    reading_process.end_spare()


def sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_those_of_a_large_database_are_started_ahead_and_used(tmp_path: Path) -> None:
    large = sparse(tmp_path / "large.db", reading_process.LARGE)
    for url in (f"sqlite:///{large}", str(large)):
        reading_process.expect(url)
        ahead = {process.pid for process in reading_process._spare}
        assert len(ahead) == 2
        first = reading_process.start()
        assert first.pid in ahead
        reading_process.end(first)
        reading_process.end_spare()
        assert not any(Path(f"/proc/{pid}").exists() for pid in ahead)


def test_none_is_started_for_a_small_database_or_another_kind(tmp_path: Path) -> None:
    small = sparse(tmp_path / "small.db", reading_process.LARGE - 1)
    for url in (f"sqlite:///{small}", "postgresql:///large", f"sqlite:///{tmp_path / 'none.db'}", ""):
        reading_process.expect(url)
        assert reading_process._spare == []


def test_one_that_has_died_meanwhile_is_not_used(tmp_path: Path) -> None:
    reading_process.expect(str(sparse(tmp_path / "large.db", reading_process.LARGE)))
    for process in reading_process._spare:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    dead = {process.pid for process in reading_process._spare}
    fresh = reading_process.start()
    assert fresh.pid not in dead
    reading_process.end(fresh)
