"""Counting rows in short looks."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.stores.sqlite import counting, forms
from crossfade.stores.sqlite.connection import Database
from tests.stores.sqlite.sqlite_scene import Scene

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def paged(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no table could be counted in time."""
    monkeypatch.setattr(counting, "_in_time", lambda *_: None)


@pytest.mark.parametrize("rows", [0, 1, 999, 1_000, 1_001, 25_000])
@pytest.mark.parametrize("key", ["id INTEGER PRIMARY KEY", "id INT", "rowid INT, _rowid_ INT, id TEXT"])
def test_pages_add_up(scene: Any, monkeypatch: pytest.MonkeyPatch, key: str, rows: int) -> None:
    made: Scene = scene(f"CREATE TABLE t ({key})")
    made.app.execute("BEGIN")
    made.app.executemany("INSERT INTO t (id) VALUES (?)", [(n * 7 - 3_000,) for n in range(rows)])
    made.app.execute("COMMIT")
    assert made.store.count("t") == rows
    paged(monkeypatch)
    assert made.store.count("t") == rows


@settings(max_examples=20, deadline=None)
@given(
    st.sets(
        st.tuples(st.text(max_size=3), st.one_of(st.integers(-5, 5), st.floats(-1, 1))),
        min_size=20,
        max_size=60,
    )
)
def test_tables_without_a_rowid_are_paged_by_their_key(keys: set[tuple[str, Any]]) -> None:
    script = "CREATE TABLE t (a TEXT COLLATE NOCASE, b, PRIMARY KEY (b DESC, a)) WITHOUT ROWID"
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Scene(Path(folder) / "app.db", script)) as made,
        pytest.MonkeyPatch.context() as monkeypatch,
    ):
        made.app.executemany("INSERT OR IGNORE INTO t VALUES (?, ?)", list(keys))
        expected = made.all("SELECT count(*) FROM t")[0][0]
        paged(monkeypatch)
        monkeypatch.setattr(forms, "_MOST_ROWS", 3)
        assert made.store.count("t") == expected


def test_a_count_that_takes_longer_than_a_page_is_ended(scene: Any) -> None:
    made: Scene = scene("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    database: Database = made.store._db
    with database.reading(timeout=0) as con:
        assert counting._in_time(database, con, ENDLESS) is None
        assert counting._in_time(database, con, "SELECT 5") == 5
    assert database.locks.longest >= counting.PAGE_SECONDS


def test_a_count_waits_for_whoever_writes(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made: Scene = scene("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)")
    tries: list[float] = []
    real = counting._places

    def locked(*given: Any) -> list[str]:
        found = real(*given)
        made.app.execute("BEGIN EXCLUSIVE")
        made.app.execute("INSERT INTO t VALUES (2)")
        return found

    def look_again(seconds: float) -> None:
        tries.append(seconds)
        if len(tries) == 20:
            made.app.execute("COMMIT")

    monkeypatch.setattr(counting, "_places", locked)
    monkeypatch.setattr("crossfade.stores.sqlite.connection.time.sleep", look_again)
    assert made.store.count("t") == 2
    assert len(tries) >= 20
