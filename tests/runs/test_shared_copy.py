"""One copy whose chunks several workers take from the queue."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from crossfade.engine import Engine
from crossfade.move import Move
from crossfade.runs.chunks import ChunkOrder, ChunkState, ChunkStatus
from crossfade.sharing import Loader, agreed
from crossfade.stores.base import Side
from crossfade.stores.postgres.embedded import EmbeddedPostgres
from tests.runs.scene import ROOT, until

ROWS = 2_000
CHUNKS = 20


class Shop:
    """A move with a table of twenty chunks, its state database, and workers of the command line."""

    def __init__(self, folder: Path, new: str, state: str) -> None:
        self.folder = folder
        self.new = new
        self.state = state
        self.old = folder / "old.db"
        self.spec = self.write("crossfade.yaml")
        self.processes: list[subprocess.Popen[bytes]] = []
        with closing(sqlite3.connect(self.old)) as db:
            db.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
            db.executemany("INSERT INTO notes VALUES (?, ?)", [(n, f"text {n}") for n in range(ROWS)])
            db.commit()
        self.desk = Engine(state, folder=folder / "desk", move="shop")
        self.desk.prepare()

    def write(self, name: str, extra: str = "", new: str | None = None) -> Path:
        path = self.folder / name
        path.write_text(
            f'move: shop\nold: {{store: "sqlite:///{self.old}"}}\nnew: {{store: "{new or self.new}"}}\n'
            f'state: "{self.state}"\nchunk_rows: 100\nworkers: 1\n{extra}'
        )
        return path

    def start(self, *command: str, spec: Path | None = None) -> subprocess.Popen[bytes]:
        with (self.folder / f"{'-'.join(command[:3])}.txt").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "crossfade", *command, "--spec", str(spec or self.spec)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def worker(self, name: str, spec: Path | None = None) -> subprocess.Popen[bytes]:
        process = self.start("worker", "--name", name, spec=spec)
        until(lambda: self.executor(name), f"worker {name} works")
        return process

    def executor(self, name: str) -> str:
        return next((one.executor for one in self.desk.living_workers() if one.name == name), "")

    def copy(self) -> subprocess.Popen[bytes]:
        return self.start("copy")

    def said(self) -> str:
        return (self.folder / "copy.txt").read_text()

    def copied(self, process: subprocess.Popen[bytes]) -> tuple[int, dict[str, int]]:
        """The rows of a copy that went through, and who had taken how many chunks."""
        assert process.wait(60) == 0, self.said()
        with Move.open(self.spec) as move:
            [done] = [entry.data for entry in move.ledger.read() if entry.event == "copy.done"]
        return done["rows"]["notes"], done["shared"]

    @contextmanager
    def gate(self) -> Iterator[None]:
        """While it is closed, whoever has a chunk waits with it."""
        with psycopg.connect(self.new, autocommit=True) as holder:
            holder.execute("SELECT pg_advisory_lock(42)")
            holder.execute(
                "CREATE FUNCTION wait() RETURNS bool LANGUAGE plpgsql AS "
                "'BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN true; END'"
            )
            holder.execute("CREATE TABLE notes (id bigint PRIMARY KEY, text text NOT NULL CHECK (wait()))")
            yield

    def states(self) -> list[ChunkState]:
        """The chunks of the copy that is under way."""
        with Move.open(self.spec) as move:
            state = move.standing().states[Side.NEW]
        return self.desk.chunk_states(state.lease.token) if state is not None and state.lease else []

    def busy(self, name: str) -> bool:
        """Whether that worker has a chunk in its hands."""
        me = self.executor(name)
        return any(one.status is ChunkStatus.RUNS and one.worker == me for one in self.states())

    def equal(self) -> None:
        """Every row is on the new side, once."""
        with psycopg.connect(self.new) as connection:
            rows = connection.execute("SELECT id, text FROM notes ORDER BY id").fetchall()
        assert rows == [(n, f"text {n}") for n in range(ROWS)]
        with Move.open(self.spec) as move:
            assert not move.verify().differences

    def close(self) -> None:
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.desk.close()


@pytest.fixture
def shop(tmp_path: Path, postgres_server: EmbeddedPostgres, postgres_url: str) -> Iterator[Shop]:
    name = postgres_url.rpartition("/")[2].partition("?")[0] + "_state"
    with psycopg.connect(postgres_server.url(), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    made = Shop(tmp_path, postgres_url, postgres_server.url(name))
    try:
        yield made
    finally:
        made.close()
        with psycopg.connect(postgres_server.url(), autocommit=True) as admin:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_two_workers_share_a_copy_and_one_is_killed(shop: Shop) -> None:
    with shop.gate():
        first = shop.worker("w1")
        shop.worker("w2")
        copy = shop.copy()
        until(lambda: shop.busy("w1") and shop.busy("w2"), "both have a chunk in their hands")
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    assert shop.copied(copy) == (ROWS, {"w2": CHUNKS})
    shop.equal()


def test_a_copy_without_a_worker_is_done_by_itself(shop: Shop) -> None:
    assert shop.copied(shop.copy()) == (ROWS, {})
    shop.equal()


def test_the_last_worker_is_killed_and_the_copy_ends_all_the_same(shop: Shop) -> None:
    with shop.gate():
        worker = shop.worker("w1")
        copy = shop.copy()
        until(lambda: shop.busy("w1"), "the worker has a chunk in its hands")
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
    assert shop.copied(copy) == (ROWS, {})
    assert "this process copies them" in shop.said()
    shop.equal()


@pytest.mark.parametrize("what", ["tables", "schema", "type"])
def test_a_worker_with_another_spec_copies_nothing(shop: Shop, what: str) -> None:
    """It would read or write something else, and record that as the chunk."""
    with closing(sqlite3.connect(shop.old)) as db:
        db.execute("CREATE TABLE others (id INTEGER PRIMARY KEY)")
        db.commit()
    if what == "schema":
        with psycopg.connect(shop.new, autocommit=True) as connection:
            connection.execute("CREATE SCHEMA blue")
            for schema in ("public", "blue"):  # alike, so that nothing but the schema tells them apart
                connection.execute(
                    f"CREATE TABLE {schema}.notes (id bigint PRIMARY KEY, text text NOT NULL)".encode()
                )
                connection.execute(f"CREATE TABLE {schema}.others (id bigint PRIMARY KEY)".encode())
    other = shop.write(
        "other.yaml",
        {
            "tables": "tables: {exclude: [others]}\n",
            "schema": "",
            "type": "tables: {rules: {notes: {columns: {text: {type: text}}}}}\n",
        }[what],
        new=f"{shop.new}{'&' if '?' in shop.new else '?'}options=-csearch_path%3Dblue"
        if what == "schema"
        else None,
    )
    shop.worker("w1", other)
    assert shop.copied(shop.copy()) == (ROWS, {})
    assert "other databases or other tables" in shop.said()
    shop.equal()


def test_a_chunk_of_a_copy_that_has_ended_is_not_copied(shop: Shop) -> None:
    """One that waits in the queue while the copy dies is nobody's order any more."""
    copy = shop.copy()
    shop.copied(copy)
    with Move.open(shop.spec) as move:
        move.mapping(again=True)
        mark = agreed(move)
    loader = Loader(shop.spec)
    try:
        order = ChunkOrder(move="shop", epoch=0, lease="gone", table=1, number=0, agreed=mark)
        with pytest.raises(Exception, match="nobody copies under that lease"):
            loader(order)
    finally:
        loader.close()
    shop.equal()
