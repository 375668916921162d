"""Copying and following a database that other processes write to at full speed ends exactly equal."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crossfade.errors import LeaseLost, Refused, SchemaChanged
from crossfade.move import Move
from crossfade.stores.base import Side
from tests.e2e import workload
from tests.e2e.scene import ROOT

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(params=["delete", "wal"])
def spec(request: pytest.FixtureRequest, tmp_path: Path, postgres_url: str) -> Path:
    database = tmp_path / "live.db"
    workload.create(database, journal=request.param)
    return _spec(tmp_path, postgres_url)


@pytest.fixture
def quiet_spec(tmp_path: Path, postgres_url: str) -> Path:
    workload.create(tmp_path / "live.db", people=300)
    return _spec(tmp_path, postgres_url)


def _spec(folder: Path, new: str) -> Path:
    path = folder / "crossfade.yaml"
    path.write_text(
        f"""
move: live
old: {{store: "sqlite:///{folder / "live.db"}"}}
new: {{store: "{new}"}}
chunk_rows: 500
tables: {{rules: {{audit: {{allow_no_key: true}}}}}}
"""
    )
    return path


@pytest.fixture
def writers(request: pytest.FixtureRequest) -> Iterator[list[subprocess.Popen[str]]]:
    running: list[subprocess.Popen[str]] = []
    yield running
    for process in running:
        if process.poll() is None:
            process.kill()
            process.wait()


def _writer(folder: Path, seed: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.workload", f"sqlite:///{folder / 'live.db'}", "--seed", str(seed), "--seconds", "120"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def _ended(process: subprocess.Popen[str]) -> dict[str, object]:
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    return dict(json.loads(output))


def test_a_copy_under_full_load_ends_exactly_equal(
    spec: Path, tmp_path: Path, writers: list[subprocess.Popen[str]]
) -> None:
    writers.extend(_writer(tmp_path, seed) for seed in (1, 2))
    with Move.open(spec) as move:
        move.copy()
        with move.following() as (_, passes, _standing):
            for _ in range(30):
                passes.run()
        move.verify()  # while they write
        done = [_ended(writer) for writer in writers]
        assert all(result["locked"] == 0 for result in done), done
        assert sum(int(str(result["transactions"])) for result in done) > 100, done
        with move.following() as (_, passes, _standing):
            assert passes.run().settled.differing == 0
            assert passes.run().keys == 0
        found = move.verify()
    assert found.differing == 0
    assert found.tables["people"] > 0
    assert found.tables["audit"] == 3


def test_a_switch_refuses_a_table_without_a_key_unless_allowed(quiet_spec: Path) -> None:
    quiet_spec.write_text(quiet_spec.read_text().replace("allow_no_key: true", "allow_no_key: false"))
    with Move.open(quiet_spec) as move:
        move.copy()
        move.verify()
        with pytest.raises(Refused, match="has no key"):
            move.cutover()
        assert move.standing().leader is Side.OLD


def test_the_lead_goes_there_and_back_with_every_write(quiet_spec: Path, tmp_path: Path) -> None:
    """Both directions on awkward tables: the new side's own writes arrive on the old side."""
    import psycopg

    with Move.open(quiet_spec) as move:
        move.copy()
        move.verify()
        assert move.cutover().to is Side.NEW
        with psycopg.connect(move.spec.new.store.get_secret_value()) as new:
            new.execute("UPDATE seats SET place = -place - 1 WHERE id < 20")
            new.execute("DELETE FROM people WHERE id = 7")
            new.execute("INSERT INTO people(email, active, score) VALUES ('new@x', true, 0.1)")
            new.execute("UPDATE clubs SET code = 'renamed' WHERE code = 'c3'")
            new.execute("UPDATE settings SET value = decode('00ff', 'hex') WHERE scope = 's1'")
            new.commit()
        with move.following() as (_, passes, _standing):
            assert passes.run().keys > 20
        move.verify()
        assert move.rollback().to is Side.OLD
        move.verify()
    with sqlite3.connect(tmp_path / "live.db") as db:
        assert db.execute("SELECT count(*) FROM people WHERE email = 'new@x' AND active = 1").fetchone() == (
            1,
        )
        assert db.execute("SELECT count(*) FROM people WHERE id = 7").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM memberships WHERE club = 'c3'").fetchone() == (0,)
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        db.execute("INSERT INTO people(email) VALUES ('after@x')")
        new_id, highest = db.execute("SELECT max(id), max(id) FROM people").fetchone()
        assert new_id == highest
    db.close()


def test_a_table_rebuilt_while_followed_is_noticed_rearmed_and_compared(
    quiet_spec: Path, tmp_path: Path
) -> None:
    with Move.open(quiet_spec) as move:
        move.copy()
        with move.following() as (held, passes, _standing):
            passes.run()
            with sqlite3.connect(tmp_path / "live.db") as db:
                db.executescript(
                    """
                    CREATE TABLE seats2 (id INTEGER PRIMARY KEY, place INTEGER NOT NULL UNIQUE, holder TEXT);
                    INSERT INTO seats2 SELECT * FROM seats;
                    DROP TABLE seats;
                    ALTER TABLE seats2 RENAME TO seats;
                    UPDATE seats SET holder = 'unseen' WHERE id = 5;
                    DELETE FROM seats WHERE id = 6;
                    """
                )
            db.close()
            with pytest.raises(SchemaChanged, match="seats"):
                passes.run()
            move.rearm(passes, held)
            passes.run()
        move.verify()
        with sqlite3.connect(tmp_path / "live.db") as db:
            db.execute("UPDATE seats SET holder = 'seen again' WHERE id = 7")
        db.close()
        with move.following() as (_, passes, _standing):
            assert passes.run().keys == 1


def test_a_schema_change_inside_the_fence_aborts_the_switch(quiet_spec: Path, tmp_path: Path) -> None:
    def rebuild(number: int, when: str) -> None:
        if (number, when) == (4, "before"):
            with sqlite3.connect(tmp_path / "live.db") as db:
                db.execute("ALTER TABLE seats ADD COLUMN colour TEXT")
            db.close()

    with Move.open(quiet_spec) as move:
        move.copy()
        move.verify()
        with pytest.raises(SchemaChanged, match="seats"):
            move.cutover(observe=rebuild)
        standing = move.standing()
        assert standing.leader is Side.OLD
        assert standing.leader_state is not None
        assert not standing.leader_state.fenced


def test_a_copy_killed_half_way_goes_on_where_it_was(tmp_path: Path, postgres_url: str) -> None:
    workload.create(tmp_path / "live.db", people=20_000)
    spec = _spec(tmp_path, postgres_url)
    killed = subprocess.run(
        [sys.executable, "-m", "tests.e2e.copy_driver", str(spec), "10"], cwd=ROOT, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    with Move.open(spec) as move:
        copied = move.copy()
        assert copied.resumed >= 10 * 400
        move.verify()


def test_an_applier_stopped_across_a_switch_writes_nothing_when_it_wakes(
    quiet_spec: Path, tmp_path: Path
) -> None:
    with Move.open(quiet_spec) as sleeper, Move.open(quiet_spec) as move:
        move.copy()
        move.verify()
        with sleeper.following() as (_, stale, _standing):
            stale.run()
            with sqlite3.connect(tmp_path / "live.db") as db:
                db.execute("UPDATE seats SET holder = 'late' WHERE id = 1")
            db.close()
            move.cutover()
            move.rollback()
            move.cutover()
            with pytest.raises(LeaseLost):
                stale.run()
        move.verify()


def test_two_workers_the_second_is_told_who_holds_the_lease(quiet_spec: Path) -> None:
    with Move.open(quiet_spec) as one, Move.open(quiet_spec) as other:
        one.copy()
        one.verify()
        with (
            one.following(),
            pytest.raises(Refused, match=rf"crossfade follow.*process {os.getpid()}.*since"),
            other.following(),
        ):
            pass

        def second(number: int, when: str) -> None:
            if (number, when) == (4, "before"):
                with pytest.raises(Refused, match=rf"crossfade cutover.*process {os.getpid()}.*since"):
                    other.cutover()

        assert one.cutover(observe=second).to is Side.NEW
