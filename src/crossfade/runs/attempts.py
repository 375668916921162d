"""Attempts: the written record of every command that a run starts.

A step of a durable workflow may be done again after a crash, but a command must not: so each one is asked for
in a row of the state database first, a runner claims that row by compare-and-set before it starts anything,
and whatever is known of it later stands in the row.  States::

    asked → claimed → finished
              └─────→ unknown     (the runner is gone and left no result)
    asked → withdrawn             (the run was cancelled before anybody began)
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossfade.runs import machine
from crossfade.runs.database import Database, Transaction

BEAT = 2.0
"""Seconds between two signs of life of a runner."""

STALE = 30.0
"""Seconds without a sign of life after which a runner on another machine counts as gone."""

_COLUMNS = (
    "key, run, task, number, command_index, command, state, stop, token, host, boot, pid, started, heartbeat, folder, "
    "lock, finished, result"
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One row.  Times are seconds since 1970; ``result`` is what the runner found, once it is finished."""

    key: str
    run: str
    task: str
    number: int
    command_index: int
    command: str
    state: str
    stop: int
    token: str | None
    host: str | None
    boot: str | None
    pid: int | None
    started: float | None
    heartbeat: float | None
    folder: str | None
    lock: str | None
    finished: float | None
    result: dict[str, Any] | None


def key_of(run: str, task: str, number: int, index: int) -> str:
    """The name of an attempt; it is also the idempotency key that the command is given."""
    return f"{run}/{task}/{number}/{index}"


class Attempts:
    """The table of attempts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, run: str, task: str, number: int, index: int, *, command: str, sha256: str, by: str) -> str:
        """Write down that a command is to be run, unless that was done before; its key."""
        key = key_of(run, task, number, index)

        def insert(transaction: Transaction) -> None:
            transaction.run(
                "INSERT INTO {attempts} (key, run, task, number, command_index, command, command_sha256, state, "
                "asked, asked_by) VALUES (?, ?, ?, ?, ?, ?, ?, 'asked', ?, ?) ON CONFLICT (key) DO NOTHING",
                [key, run, task, number, index, command, sha256, self._database.clock(transaction), by],
            )

        self._database.work(insert)
        return key

    def get(self, key: str) -> Attempt | None:
        """The row of that key."""
        rows = self._database.look(
            lambda t: t.run(f"SELECT {_COLUMNS} FROM {{attempts}} WHERE key = ?", [key])
        )
        return _attempt(rows[0]) if rows else None

    def of_run(self, run: str) -> list[Attempt]:
        """Every attempt of a run, in the order in which they were asked for."""
        rows = self._database.look(
            lambda t: t.run(f"SELECT {_COLUMNS} FROM {{attempts}} WHERE run = ? ORDER BY asked, key", [run])
        )
        return [_attempt(row) for row in rows]

    def unsettled_here(self) -> list[Attempt]:
        """What this machine's runners claimed and have not reported the end of."""
        rows = self._database.look(
            lambda t: t.run(
                f"SELECT {_COLUMNS} FROM {{attempts}} WHERE state IN ('claimed', 'unknown') AND host = ?",
                [machine.host()],
            )
        )
        return [_attempt(row) for row in rows]

    # --- the runner -----------------------------------------------------------

    def claim(self, key: str, token: str, *, started: float, folder: str, lock: str) -> bool:
        """Take it for this process; False when somebody else did, or when it is not wanted any more."""

        def update(transaction: Transaction) -> bool:
            rows = transaction.run(
                "UPDATE {attempts} SET state = 'claimed', token = ?, host = ?, boot = ?, pid = ?, started = ?, "
                "heartbeat = ?, folder = ?, lock = ? WHERE key = ? AND (state = 'asked' OR token = ?) RETURNING key",
                [
                    *(token, machine.host(), machine.boot(), os.getpid(), started),
                    *(self._database.clock(transaction), folder, lock, key, token),
                ],
            )
            return bool(rows)

        return self._database.work(update)

    def beat(self, key: str, token: str) -> bool:
        """Give a sign of life; True when the command is to be stopped."""

        def update(transaction: Transaction) -> bool:
            rows = transaction.run(
                "UPDATE {attempts} SET heartbeat = ? WHERE key = ? AND token = ? RETURNING stop",
                [self._database.clock(transaction), key, token],
            )
            return not rows or bool(rows[0][0])

        return self._database.work(update)

    def finish(self, key: str, token: str, result: Mapping[str, Any]) -> bool:
        """Write the result; False when the row belongs to somebody else.  Also where it was thought unknown."""

        def update(transaction: Transaction) -> bool:
            rows = transaction.run(
                "UPDATE {attempts} SET state = 'finished', result = ?, finished = ? "
                "WHERE key = ? AND token = ? AND state IN ('claimed', 'unknown', 'finished') RETURNING key",
                [json.dumps(result), result.get("finished"), key, token],
            )
            return bool(rows)

        return self._database.work(update)

    # --- whoever waits for it -------------------------------------------------

    def doubt(self, attempt: Attempt) -> None:
        """Its runner is gone without a result: from now on its outcome is unknown."""
        self._database.work(
            lambda t: t.run(
                "UPDATE {attempts} SET state = 'unknown' WHERE key = ? AND token = ? AND state = 'claimed' "
                "AND heartbeat = ?",
                [attempt.key, attempt.token, attempt.heartbeat],
            )
        )

    def stop(self, *, run: str | None = None, key: str | None = None) -> None:
        """Have the commands of a run, or one command, stopped; what nobody has begun is withdrawn."""

        def update(transaction: Transaction) -> None:
            column, value = ("run", run) if run is not None else ("key", key)
            transaction.run(
                f"UPDATE {{attempts}} SET state = 'withdrawn' WHERE {column} = ? AND state = 'asked'", [value]
            )
            transaction.run(
                f"UPDATE {{attempts}} SET stop = 1 WHERE {column} = ? AND state IN ('claimed', 'unknown')",
                [value],
            )

        self._database.work(update)

    def is_alive(self, attempt: Attempt) -> bool:
        """Whether its runner, or what it started, may still be at work."""
        if attempt.host == machine.host() and attempt.boot == machine.boot() and attempt.lock:
            held = is_held(Path(attempt.lock))
            if held is not None:
                return held
        if attempt.heartbeat is None:
            return False
        return self._database.now() - attempt.heartbeat < STALE


def is_held(lock: Path) -> bool | None:
    """Whether somebody holds that file's lock; None when the file cannot be asked.

    A runner takes the lock before it claims, and its command inherits it: the kernel lets go of it when the last
    of them has ended, however they end.
    """
    try:
        file = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(file)
    return False


def left_behind(attempt: Attempt) -> dict[str, Any] | None:
    """The result that a runner wrote to its folder on this machine and could not report any more."""
    if attempt.folder is None or attempt.host != machine.host():
        return None
    path = result_file(Path(attempt.folder), attempt.number, attempt.command_index)
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict) and found.get("token") == attempt.token and "result" in found:
            return dict(found["result"])
    return None


def result_file(folder: Path, number: int, index: int) -> Path:
    """Where a runner writes its result before it reports it."""
    return folder / f"{number}-{index}.json"


def _attempt(row: tuple[Any, ...]) -> Attempt:
    values = (*row[:-1], json.loads(row[-1]) if row[-1] else None)
    return Attempt(*values)
