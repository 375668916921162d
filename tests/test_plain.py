"""A plain copy decides its ranges while tables are made, and only those that no earlier copy has decided."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from crossfade import plain
from crossfade.report import Quiet
from crossfade.stores.base import KeyRange


@pytest.fixture
def urls(tmp_path: Path) -> tuple[str, str]:
    with closing(sqlite3.connect(tmp_path / "old.db")) as db:
        for table in ("a", "b"):
            db.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, v TEXT)")
            db.executemany(f"INSERT INTO {table} VALUES (?, 'x')", [(n,) for n in range(500)])
        db.commit()
    sqlite3.connect(tmp_path / "new.db").execute("VACUUM").connection.close()  # an empty database
    return f"sqlite:///{tmp_path}/old.db", f"sqlite:///{tmp_path}/new.db"


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> list[dict[int, list[KeyRange]]]:
    """What each copy was told of its ranges."""
    told: list[dict[int, list[KeyRange]]] = []
    real = plain.copy

    def copy(*given: Any, **options: Any) -> Any:
        told.append(options["decided"])
        return real(*given, **options)

    monkeypatch.setattr(plain, "copy", copy)
    return told


def rows(url: str) -> int:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as db:
        return sum(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("a", "b"))


def test_ranges_are_decided_for_every_table(urls: tuple[str, str], decided: list[Any]) -> None:
    assert plain.copy_plain(plain.spec_of(*urls, chunk_rows=100)).copied.total == 1_000
    assert sorted(len(found) for found in decided[0].values()) == [5, 5]
    assert rows(urls[1]) == 1_000


class Killed(Quiet):
    """Ends the copy with its first chunk."""

    def advance(self, table: str, rows: int) -> None:
        raise KeyboardInterrupt


def test_a_copy_that_goes_on_keeps_the_ranges_that_were_noted(
    urls: tuple[str, str], decided: list[Any]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        plain.copy_plain(plain.spec_of(*urls, chunk_rows=100), reporter=Killed())
    assert 0 < rows(urls[1]) < 1_000
    done = plain.copy_plain(plain.spec_of(*urls, chunk_rows=300)).copied
    assert decided[1] == {}
    assert done.resumed + done.total == rows(urls[1]) == 1_000


def test_ranges_of_a_key_that_is_taken_for_something_else_are_not_used(
    urls: tuple[str, str], decided: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = plain._decide

    def of_other_keys(*given: Any) -> Any:
        counts, found = real(*given)
        return counts, {(table, ()): over for (table, _), over in found.items()}

    monkeypatch.setattr(plain, "_decide", of_other_keys)
    assert plain.copy_plain(plain.spec_of(*urls, chunk_rows=100)).copied.total == 1_000
    assert decided == [{}]
