"""What must not be believed: tables that came, went or were rebuilt, rows that nobody followed, and a baseline that
was never proven.  Each of these once let a write be lost in silence."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from crossfade.errors import CrossfadeError, Different, Refused, SchemaChanged
from crossfade.lease import Held
from crossfade.move import Move
from crossfade.plain import copy_plain, spec_of
from crossfade.report import Quiet
from crossfade.stores.base import Side

OLD = """
CREATE TABLE a (id INTEGER PRIMARY KEY, x TEXT);
CREATE TABLE b (id INTEGER PRIMARY KEY, x TEXT);
INSERT INTO a VALUES (1, 'one'), (2, 'two');
INSERT INTO b VALUES (1, 'one'), (2, 'two');
"""
REBUILD = """
CREATE TABLE {0}_ (id INTEGER PRIMARY KEY, x TEXT);
INSERT INTO {0}_ SELECT * FROM {0};
DROP TABLE {0};
ALTER TABLE {0}_ RENAME TO {0};
"""


class Ground:
    """One move of two small tables, and both databases to meddle with."""

    def __init__(self, folder: Path, new_url: str) -> None:
        self.folder = folder
        self.new_url = new_url
        self.file = folder / "old.db"
        self.old(OLD)
        self.rules = ""

    def old(self, script: str) -> None:
        with closing(sqlite3.connect(self.file)) as db:
            db.executescript(script)

    def new(self, sql: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.new_url) as connection:
            done = connection.execute(sql.encode())
            return done.fetchall() if done.description else []

    def move(self) -> Move:
        spec = self.folder / "crossfade.yaml"
        spec.write_text(
            f"move: sound\nold: {{store: 'sqlite:///{self.file}'}}\nnew: {{store: '{self.new_url}'}}\n{self.rules}"
        )
        return Move.open(spec)


@pytest.fixture
def ground(tmp_path: Path, postgres_url: str) -> Ground:
    return Ground(tmp_path, postgres_url)


def ready(move: Move) -> None:
    move.copy()
    move.verify()


def test_a_rearm_that_is_interrupted_begins_again(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write between a rebuild and the re-arm is found, although the first re-arm never ended."""
    with ground.move() as move:
        ready(move)
        ground.old(REBUILD.format("a") + "UPDATE a SET x = 'unseen' WHERE id = 1;")
        with move.following() as (held, passes, _standing):
            with pytest.raises(SchemaChanged):
                passes.run()
            with monkeypatch.context() as patch:
                patch.setattr(Move, "_compare", _dies)
                with pytest.raises(_Died):
                    move.rearm(passes, held)
        with pytest.raises(CrossfadeError):
            move.cutover()
        assert move.standing().leader is Side.OLD
        with move.following() as (held, passes, _standing):
            with pytest.raises(SchemaChanged):
                passes.run()
            move.rearm(passes, held)
        move.verify()
        move.cutover()
    assert ground.new("SELECT x FROM a WHERE id = 1") == [("unseen",)]


class _Died(Exception):
    pass


def _dies(*_: object, **__: object) -> None:
    raise _Died


def test_a_second_rebuild_while_the_first_is_compared_loses_nothing(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ground.move() as move:
        ready(move)
        ground.old(REBUILD.format("a") + "UPDATE a SET x = 'unseen' WHERE id = 1;")
        compare: Callable[..., object] = Move._compare
        rebuilt: list[int] = []

        def rebuild_b(self: Move, *arguments: object) -> object:
            if not rebuilt:
                rebuilt.append(1)
                ground.old(REBUILD.format("b") + "UPDATE b SET x = 'unseen too' WHERE id = 1;")
            return compare(self, *arguments)

        monkeypatch.setattr(Move, "_compare", rebuild_b)
        with move.following() as (held, passes, _standing):
            with pytest.raises(SchemaChanged):
                passes.run()
            with pytest.raises(SchemaChanged):
                move.rearm(passes, held)
            move.rearm(passes, held)
        move.verify()
        move.cutover()
    assert ground.new("SELECT x FROM a WHERE id = 1") == [("unseen",)]
    assert ground.new("SELECT x FROM b WHERE id = 1") == [("unseen too",)]


def test_a_table_that_appears_after_the_copy_is_not_switched_without_its_rows(ground: Ground) -> None:
    with ground.move() as move:
        ready(move)
        ground.old("CREATE TABLE c (id INTEGER PRIMARY KEY); INSERT INTO c VALUES (1);")
        ground.new("CREATE TABLE c (id bigint PRIMARY KEY)")
        with pytest.raises(Refused, match="appeared after the copy"):
            move.cutover()
    ground.rules = "tables: {exclude: [c]}\n"
    with ground.move() as move:
        assert move.cutover().to is Side.NEW


def test_a_table_that_went_and_came_back_is_compared_whole(ground: Ground) -> None:
    with ground.move() as move:
        ready(move)
        ground.old("DROP TABLE b;")
        with pytest.raises(Refused, match="is gone"), move.following():
            pass
        ground.old("CREATE TABLE b (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO b VALUES (7, 'acked');")
        with pytest.raises(CrossfadeError):
            move.cutover()
        move.mapping(again=True)
        with move.following() as (held, passes, _standing):
            with pytest.raises(SchemaChanged):
                passes.run()
            move.rearm(passes, held)
        move.cutover()
    assert ground.new("SELECT id, x FROM b") == [(7, "acked")]


def test_a_follower_that_lost_its_fence_is_armed_and_verified_before_it_may_lead(ground: Ground) -> None:
    with ground.move() as move:
        ready(move)
        move.cutover()
        ground.old(REBUILD.format("b") + "INSERT INTO b VALUES (9, 'written to the follower');")
        with pytest.raises(Refused, match="was changed while it followed"):
            move.rollback()
        with pytest.raises(Refused, match="never compared"):
            move.rollback()
        with pytest.raises(Different, match="key 9"):
            move.verify()
        move.verify(repair=True)
        assert move.rollback().to is Side.OLD
    with closing(sqlite3.connect(ground.file)) as db:
        assert db.execute("SELECT count(*) FROM b WHERE id = 9").fetchone() == (0,)


def test_a_completion_that_died_half_way_is_finished_and_nothing_leads_back(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ground.move() as move:
        ready(move)
        move.cutover()
        store = move.stores[Side.NEW]
        with monkeypatch.context() as patch:
            patch.setattr(type(store), "uninstall", _dies)
            with pytest.raises(_Died):
                move.complete()
        for loss in (False, True):
            with pytest.raises(Refused, match="complete"):
                move.rollback(accept_loss=loss)
        move.complete()
        assert store.state("sound") is None
        ground.new("INSERT INTO a VALUES (3, 'home')")


def test_a_completion_whose_lease_was_taken_over_changes_nothing(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was paused after it looked; a rollback went through; it wakes."""
    with ground.move() as move, ground.move() as other:
        ready(move)
        move.cutover()
        demand = Held.demand
        rolled: list[int] = []

        def demand_then_pause(self: Held) -> None:
            demand(self)
            if self.lease.verb == "complete" and not rolled:
                rolled.append(1)
                with monkeypatch.context() as patch:
                    patch.setattr("crossfade.lease.is_alive", lambda _lease, _now: False)
                    patch.setattr("crossfade.standing.is_alive", lambda _lease, _now: False)
                    other.rollback()

        monkeypatch.setattr(Held, "demand", demand_then_pause)
        with pytest.raises(CrossfadeError):
            move.complete()
        standing = move.standing()
        assert standing.leader is Side.OLD
        assert not standing.completed
        assert standing.states[Side.NEW] is not None
        with pytest.raises(psycopg.Error, match="crossfade"):
            ground.new("INSERT INTO a VALUES (3, 'stray')")


def test_a_plain_copy_does_not_resume_from_another_source(tmp_path: Path, postgres_url: str) -> None:
    class Dies(Quiet):
        def advance(self, table: str, rows: int) -> None:
            raise _Died

    for name in ("one", "two"):
        with closing(sqlite3.connect(tmp_path / f"{name}.db")) as db:
            db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")
            db.executemany("INSERT INTO t(x) VALUES (?)", [(name,)] * 300)
            db.commit()
    with pytest.raises(_Died):
        copy_plain(spec_of(str(tmp_path / "one.db"), postgres_url, chunk_rows=100), reporter=Dies())
    with pytest.raises(Refused, match="another source"):
        copy_plain(spec_of(str(tmp_path / "two.db"), postgres_url, chunk_rows=100))
    done = copy_plain(spec_of(str(tmp_path / "one.db"), postgres_url, chunk_rows=100))
    assert done.copied.total + done.copied.resumed == 300


def test_a_difference_in_a_table_without_a_key_is_not_forgotten(ground: Ground) -> None:
    ground.old("CREATE TABLE z (x TEXT); INSERT INTO z VALUES ('same');")
    with ground.move() as move:
        move.copy()
        ground.old("INSERT INTO z VALUES ('more');")
        with pytest.raises(Different, match="1 rows differ"):
            move.verify()
        with pytest.raises(Refused):
            move.cutover()
    ground.rules = "tables: {rules: {z: {allow_no_key: true}}}\n"
    with ground.move() as move:
        assert move.verify().unkeyed == {"z": 1}
        move.cutover()


def test_rejected_rows_do_not_bar_the_way_back(ground: Ground) -> None:
    ground.old("UPDATE a SET x = 'nul' || char(0) WHERE id = 2;")
    ground.rules = "on_unrepresentable: reject\n"
    with ground.move() as move:
        ready(move)
        move.cutover()
        assert move.verify().rows == 3
        move.rollback()
    with closing(sqlite3.connect(ground.file)) as db:
        assert db.execute("SELECT count(*) FROM a").fetchone() == (2,)


def test_a_copy_whose_source_was_rebuilt_between_two_runs_compares_it(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ground.move() as move:
        store = move.stores[Side.NEW]
        with monkeypatch.context() as patch:
            patch.setattr(type(store), "finish_load", _dies)
            with pytest.raises(_Died):
                move.copy()
        ground.old(REBUILD.format("a") + "UPDATE a SET x = 'unseen' WHERE id = 1;")
        move.copy()
        move.verify()
    assert ground.new("SELECT x FROM a WHERE id = 1") == [("unseen",)]
