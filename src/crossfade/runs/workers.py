"""Who is at work: one row for each worker, with signs of life.

A worker's name is held by one living process.  Each process of that name has an executor id of its own, so that
whatever a dead one left behind cannot be taken for the work of its successor.
"""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass
from typing import Any

import psutil

from crossfade import __version__
from crossfade.errors import LeaseHeld, LeaseLost
from crossfade.runs import machine
from crossfade.runs.database import Database, Transaction

BEAT = 2.0
"""Seconds between two signs of life."""

STALE = 10.0
"""Seconds without one after which a worker on another machine counts as dead."""

_FORGOTTEN = 86_400.0
"""Seconds without a sign of life after which a worker's row is of no use to anybody."""

MENDING = "mending"
"""The name under which one process at a time gives dead workers' work away."""

_COLUMNS = "name, token, executor, host, boot, pid, started, heartbeat, version"


@dataclass(frozen=True, slots=True)
class Worker:
    """One row; times are seconds since 1970 by the database's clock, ``started`` by the process's own."""

    name: str
    token: str
    executor: str
    host: str
    boot: str
    pid: int
    started: float
    heartbeat: float
    version: str

    def is_alive(self, now: float) -> bool:
        """Whether it may still be at work: on this machine its process is asked, elsewhere its signs of life."""
        if self.host == machine.host() and self.boot == machine.boot():
            return _runs(self.pid, self.started)
        return now - self.heartbeat < STALE


def _runs(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:  # dead, and only not yet taken note of
            return False
        return abs(process.create_time() - started) < 0.1
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


class Workers:
    """The table of workers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[Worker]:
        """Every row, dead or alive."""
        rows = self._database.look(
            lambda t: t.run(f"SELECT {_COLUMNS} FROM {{workers}} WHERE name <> ? ORDER BY name", [MENDING])
        )
        return [Worker(*row) for row in rows]

    def living(self) -> list[Worker]:
        """Those that may be at work."""
        now = self._database.now()
        return [worker for worker in self.all() if worker.is_alive(now)]

    def enlist(self, name: str) -> Worker:
        """Take that name for this process.  ``LeaseHeld`` while another living one has it."""
        token = secrets.token_hex(16)
        me = Worker(
            name=name,
            token=token,
            executor=f"{name}.{token[:12]}",
            host=machine.host(),
            boot=machine.boot(),
            pid=os.getpid(),
            started=psutil.Process().create_time(),
            heartbeat=0.0,
            version=__version__,
        )

        def take(transaction: Transaction) -> Worker | None:
            now = self._database.clock(transaction)
            self._database.lock(transaction, "workers")
            rows = transaction.run(f"SELECT {_COLUMNS} FROM {{workers}} WHERE name = ?", [name])
            holder = Worker(*rows[0]) if rows else None
            if holder is not None and holder.token != token and holder.is_alive(now):
                return holder
            transaction.run("DELETE FROM {workers} WHERE name = ?", [name])
            # rows of the dead, whose work was given away long ago
            transaction.run(
                "DELETE FROM {workers} WHERE name <> ? AND heartbeat < ?", [MENDING, now - _FORGOTTEN]
            )
            values: list[Any] = [*(me.name, me.token, me.executor, me.host, me.boot, me.pid), me.started, now]
            transaction.run(
                f"INSERT INTO {{workers}} ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [*values, me.version],
            )
            return None

        holder = self._database.work(take)
        if holder is not None:
            raise held(holder)
        return me

    def beat(self, me: Worker) -> None:
        """Give a sign of life.  ``LeaseLost`` when somebody else has the name now."""
        rows = self._database.work(
            lambda t: t.run(
                "UPDATE {workers} SET heartbeat = ? WHERE name = ? AND token = ? RETURNING name",
                [self._database.clock(t), me.name, me.token],
            )
        )
        if not rows:
            raise LeaseLost(
                f"another process works under the name {me.name!r} now",
                where=self._database.where,
                todo="this one was taken for dead; give each worker a name of its own",
            )

    def leave(self, me: Worker) -> None:
        """Give the name back: what this process has not finished is given to others at once."""
        self._database.work(
            lambda t: t.run("DELETE FROM {workers} WHERE name = ? AND token = ?", [me.name, me.token])
        )

    def may_mend(self, token: str, seconds: float) -> bool:
        """Whether this process is the one to give dead workers' work away for the next seconds."""

        def take(transaction: Transaction) -> bool:
            now = self._database.clock(transaction)
            self._database.lock(transaction, "workers")
            rows = transaction.run("SELECT token, heartbeat FROM {workers} WHERE name = ?", [MENDING])
            if rows and rows[0][0] != token and now < rows[0][1]:
                return False
            transaction.run("DELETE FROM {workers} WHERE name = ?", [MENDING])
            transaction.run(
                f"INSERT INTO {{workers}} ({_COLUMNS}) VALUES (?, ?, '', ?, ?, ?, ?, ?, ?)",
                [
                    *(MENDING, token, machine.host(), machine.boot(), os.getpid(), time.time()),
                    *(now + seconds, __version__),
                ],
            )
            return True

        return self._database.work(take)

    def mended(self, token: str) -> None:
        """The work was given away."""
        self._database.work(
            lambda t: t.run("DELETE FROM {workers} WHERE name = ? AND token = ?", [MENDING, token])
        )


def held(worker: Worker) -> LeaseHeld:
    """Who works under a name, since when."""
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(worker.started))
    return LeaseHeld(
        f"a worker of the name {worker.name!r} is at work on {worker.host} (process {worker.pid}, version "
        f"{worker.version}), since {since}",
        where="worker",
        todo="end it, or give this one another name",
    )
