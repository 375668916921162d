"""A whole move for tests: two applications, both stores, Caddy, ``crossfade follow``, and clients that keep a
ledger of every acknowledged write."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from crossfade.move import Move
from tests.ending import end_all_in

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(what: str, true: Callable[[], bool], *, seconds: float = 30.0) -> None:
    """Wait for a condition, at most so long."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s in vain until {what}")
        time.sleep(0.01)


def start(*command: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass
class Clients:
    """Threads that write notes through the router, one connection per request, nothing sent twice."""

    port: int
    threads: int = 4
    pause: float = 0.01
    acknowledged: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    longest: float = 0.0
    _stopped: threading.Event = field(default_factory=threading.Event)
    _running: list[threading.Thread] = field(default_factory=list)

    def begin(self) -> None:
        self._stopped.clear()
        self._running = [threading.Thread(target=self._write, daemon=True) for _ in range(self.threads)]
        for thread in self._running:
            thread.start()

    def finish(self) -> None:
        self._stopped.set()
        for thread in self._running:
            thread.join(30)
            assert not thread.is_alive(), "a client waits for an answer that never comes"

    def more(self, count: int, *, seconds: float = 30.0) -> None:
        """Wait for that many more acknowledged writes."""
        target = len(self.acknowledged) + count
        until(
            f"{count} more writes are acknowledged", lambda: len(self.acknowledged) >= target, seconds=seconds
        )

    def _write(self) -> None:
        while not self._stopped.wait(self.pause):
            name = uuid.uuid4().hex
            began = time.monotonic()
            try:
                status, body, _ = request(self.port, "POST", "/notes", {"id": name, "text": "ünï" + name})
            except (OSError, http.client.HTTPException) as error:
                self.failed.append((name, repr(error)))
                continue
            self.longest = max(self.longest, time.monotonic() - began)
            if status == 201:
                self.acknowledged.append(name)
            elif status == 503:
                self.refused.append(name)
            else:
                self.failed.append((name, f"{status} {body}"))


def request(
    port: int, method: str, path: str, body: dict[str, Any] | None = None, *, timeout: float = 20.0
) -> tuple[int, Any, dict[str, str]]:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        raw = None if body is None else json.dumps(body)
        connection.request(method, path, raw, {"Content-Type": "application/json", "Connection": "close"})
        answer = connection.getresponse()
        text = answer.read()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, json.loads(text) if text[:1] in (b"{", b"[") else text, headers
    finally:
        connection.close()


@dataclass
class Scene:
    """Everything that runs; ``spec`` is the move's file."""

    folder: Path
    old_url: str
    new_url: str
    port: int
    ports: dict[str, int]
    spec: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def app(self, side: str) -> None:
        url = self.old_url if side == "old" else self.new_url
        self.processes[side] = start(
            "tests.e2e.notes_app", url, str(self.ports[side]), log=self.folder / f"{side}.log"
        )
        until(f"the {side} app answers", lambda: _answers(self.ports[side]))

    def follow(self) -> None:
        self.processes["follow"] = start(
            "crossfade",
            "follow",
            "--spec",
            str(self.spec),
            "--interval",
            "0.02",
            log=self.folder / "follow.log",
        )
        until("somebody follows", self.is_followed)

    def is_followed(self) -> bool:
        with self.move() as move:
            lease = move.status().lease
        return lease is not None and lease.verb == "follow"

    @contextmanager
    def move(self) -> Iterator[Move]:
        with Move.open(self.spec) as move:
            yield move

    def leader(self) -> str | None:
        with self.move() as move:
            standing = move.standing()
        return standing.leader.value if standing.leader else None

    def notes(self, side: str) -> dict[str, str]:
        """What a side's database holds."""
        sql = "SELECT id, text FROM notes"
        if side == "old":
            with sqlite3.connect(self.old_url.removeprefix("sqlite:///"), timeout=10) as db:
                found = dict(db.execute(sql).fetchall())
            db.close()
            return found
        with psycopg.connect(self.new_url) as connection:
            return dict(connection.execute(sql).fetchall())

    def can_write(self, side: str) -> bool:
        """Whether that side's database takes a write from an ordinary client (it is rolled back)."""
        sql = "INSERT INTO notes(id, text) VALUES ('probe', 'probe')"
        if side == "old":
            db = sqlite3.connect(self.old_url.removeprefix("sqlite:///"), timeout=10, isolation_level=None)
            try:
                db.execute("BEGIN IMMEDIATE")
                db.execute(sql)
            except sqlite3.Error as error:
                assert "crossfade" in str(error), error
                return False
            else:
                return True
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                db.close()
        with psycopg.connect(self.new_url) as connection:
            try:
                connection.execute(sql)
            except psycopg.Error as error:
                assert "crossfade" in str(error), error
                return False
            else:
                return True
            finally:
                connection.rollback()

    def audit(self, clients: Clients, side: str) -> None:
        """Nothing failed, nothing acknowledged is missing, nothing refused was executed."""
        notes = self.notes(side)
        assert clients.failed == []
        assert [name for name in clients.acknowledged if name not in notes] == [], "lost writes"
        assert [name for name in clients.refused if name in notes] == [], "refused, but executed"
        assert len(notes) == len(clients.acknowledged) + self.seeded

    seeded: int = 500

    def close(self) -> None:
        for process in self.processes.values():
            end(process)
        with self.move() as move:
            if move.router is not None:
                move.router.stop()
        end_all_in(self.folder)


def build(folder: Path, new_url: str, *, settings: str = "", journal: str = "delete") -> Scene:
    """Both applications and the router run, nothing is copied yet."""
    old = folder / "old.db"
    db = sqlite3.connect(old)
    db.execute(f"PRAGMA journal_mode={journal}")
    from tests.e2e.notes_app import SQLITE

    db.execute(SQLITE)
    db.executemany(
        "INSERT INTO notes(id, text) VALUES (?, ?)", [(f"seed{n}", f"text {n}") for n in range(500)]
    )
    db.commit()
    db.close()
    ports = {"old": free_port(), "new": free_port(), "router": free_port()}
    spec = folder / "crossfade.yaml"
    spec.write_text(
        f"""
move: notes
old: {{store: "sqlite:///{old}", app: "http://127.0.0.1:{ports["old"]}", health: /health}}
new: {{store: "{new_url}", app: "http://127.0.0.1:{ports["new"]}", health: /health}}
router: {{listen: "127.0.0.1:{ports["router"]}"}}
guard: null
{settings}
"""
    )
    scene = Scene(folder, f"sqlite:///{old}", new_url, ports["router"], ports, spec)
    try:
        scene.app("old")
        scene.app("new")
        with scene.move() as move:
            move.shift(0)
    except BaseException:
        scene.close()
        raise
    return scene


@contextmanager
def verified(folder: Path, new_url: str) -> Iterator[Scene]:
    """Applications and a router; copied and verified; nobody follows."""
    scene = build(folder, new_url, settings="hold_budget: 700ms\ndrain_budget: 300ms\nlag_limit: 2s")
    try:
        with scene.move() as move:
            move.copy()
            move.verify()
        yield scene
    finally:
        scene.close()


def bare(folder: Path, new_url: str) -> Scene:
    """Two databases and nothing else; copied and verified."""
    old = folder / "old.db"
    with closing(sqlite3.connect(old)) as db:
        db.execute("CREATE TABLE notes (id TEXT PRIMARY KEY, text TEXT NOT NULL)")
        db.execute("INSERT INTO notes VALUES ('a', 'one')")
        db.commit()
    spec = folder / "crossfade.yaml"
    spec.write_text(
        f'move: notes\nold: {{store: "sqlite:///{old}"}}\nnew: {{store: "{new_url}"}}\nguard: null\n'
    )
    scene = Scene(folder, f"sqlite:///{old}", new_url, 0, {}, spec)
    with scene.move() as move:
        move.copy()
        move.verify()
    return scene


def _answers(port: int) -> bool:
    try:
        return request(port, "GET", "/health")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
