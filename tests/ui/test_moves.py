"""What the page reads from the databases of a move: its sides, and how far a copy is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from crossfade.errors import Refused
from crossfade.move import Move
from crossfade.report import Quiet
from crossfade.ui.moves import MoveSource


class Interrupted(Quiet):
    """Ends a copy after so many chunks."""

    def __init__(self, chunks: int) -> None:
        self.left = chunks

    def advance(self, table: str, rows: int) -> None:
        self.left -= 1
        if not self.left:
            raise Refused("enough", where=table)


@pytest.fixture
def spec(tmp_path: Path, postgres_url: str) -> Path:
    with closing(sqlite3.connect(tmp_path / "old.db")) as old:
        for table, rows in (("many", 1000), ("few", 3)):
            old.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, text TEXT)")
            old.executemany(f"INSERT INTO {table} VALUES (?, 'x')", [(n,) for n in range(rows)])
        old.commit()
    path = tmp_path / "crossfade.yaml"
    path.write_text(
        f"move: half\nold: {{store: 'sqlite:///{tmp_path}/old.db'}}\nnew: {{store: '{postgres_url}'}}\n"
        "guard: null\nworkers: 1\nchunk_rows: 100\n"
    )
    return path


def test_a_half_done_copy_is_shown_by_its_own_records(spec: Path) -> None:
    source = MoveSource(spec)
    try:
        assert source.status().phase == "planned"
        assert source.copying().tables == ()
        assert source.traffic().old == (), "without a router there is no traffic to see"
        with pytest.raises(Refused, match="enough"), Move.open(spec, reporter=Interrupted(5)) as move:
            move.copy()
        status = source.status()
        assert (status.phase, status.leader, status.routed, status.router) == ("copying", "old", False, None)
        tables = {one.name: one for one in source.copying().tables}
        assert tables["few"].share == 1.0
        assert tables["few"].rows == 3
        assert 0.2 < tables["many"].share < 0.8
        assert tables["many"].rows == pytest.approx(1000 * tables["many"].share, abs=150)
        with Move.open(spec) as move:
            move.copy()
            move.verify()
        done = source.copying()
        assert done.copied
        assert {one.name: (one.rows, one.share) for one in done.tables} == {
            "many": (1000, 1.0),
            "few": (3, 1.0),
        }
        assert source.copying() is done, "what cannot change any more is not asked for again"
        status = source.status()
        assert status.phase == "verified"
        assert status.verified_at is not None
        assert [(side.name, side.kind, side.leads) for side in status.sides] == [
            ("old", "SQLite", True),
            ("new", "PostgreSQL", False),
        ]
        assert "nobody follows" in status.troubles[0].what
        assert [lag for _, lag in source.lags] == [None, None, None]
        (spec.parent / "old.db").rename(spec.parent / "away.db")
        away = source.status()
        assert away.sides[0].unreachable
        assert source.copying() is done
    finally:
        source.close()
