"""The evidence of runs: every entry once, in the shared state database first and from there in the ledger.

Steps may be done again after a crash, so each entry has a key, and what has its key already is not entered
again.  Workers on several machines write to one table; every machine that has the move's ledger copies the
entries of that move into it (`crossfade.ledger`), each of them once.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crossfade.ledger import Ledger
from crossfade.runs.database import Database, Transaction
from crossfade.runs.order import Earlier, Mode
from crossfade.runs.secrecy import masked

_OVERLAP = 200
"""Entries that are looked at again: the numbers of a PostgreSQL sequence do not become visible in their order."""

_COLUMNS = "seq, key, at, run, event, data"


@dataclass(frozen=True, slots=True)
class Entered:
    """One entry of the table; ``at`` is RFC 3339 in UTC."""

    seq: int
    key: str
    at: str
    run: str
    event: str
    data: dict[str, Any]


class Evidence:
    """The entries of one move.

    ``ledger`` is None on a machine that does not keep one.  ``by`` names who records (a worker on a machine).
    """

    def __init__(
        self,
        database: Database,
        *,
        move: str = "",
        ledger: Ledger | None = None,
        secrets: Sequence[str] = (),
        by: str = "",
    ) -> None:
        self._database = database
        self._move = move
        self._ledger = ledger
        self._secrets = tuple(secrets)
        self._by = by
        self._lock = threading.Lock()
        self._copied = 0
        self._recent: set[int] = set()

    def record(self, run: str, event: str, key: str, data: Mapping[str, Any]) -> bool:
        """Enter it, unless an entry of that key is there; True when it was entered.  Secrets are masked."""
        body = masked({**data, "run": run, "by": self._by}, self._secrets)
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())

        def insert(transaction: Transaction) -> bool:
            return bool(
                transaction.run(
                    "INSERT INTO {evidence} (key, at, move, run, event, data) VALUES (?, ?, ?, ?, ?, ?) "
                    "ON CONFLICT (key) DO NOTHING RETURNING seq",
                    [key, f"{at}Z", self._move, run, event, json.dumps(body, ensure_ascii=True)],
                )
            )

        return self._database.work(insert)

    def entries(self, *, run: str | None = None, events: Sequence[str] = ()) -> list[Entered]:
        """The entries of the move, oldest first; only those of one run, or of some events."""
        where, parameters = "move = ?", [self._move]
        if run is not None:
            where, parameters = f"{where} AND run = ?", [*parameters, run]
        if events:
            where = f"{where} AND event IN ({', '.join('?' * len(events))})"
            parameters = [*parameters, *events]
        rows = self._database.look(
            lambda t: t.run(f"SELECT {_COLUMNS} FROM {{evidence}} WHERE {where} ORDER BY seq", parameters)
        )
        return [_entered(row) for row in rows]

    def copy(self) -> int:
        """Bring what is new into the ledger; how many entries were.  ``LedgerError`` as the ledger raises it."""
        if self._ledger is None:
            return 0
        added = 0
        with self._lock:
            fresh = self._database.look(
                lambda t: t.run(
                    "SELECT seq, key FROM {evidence} WHERE move = ? AND seq > ? ORDER BY seq",
                    [self._move, max(self._copied - _OVERLAP, 0)],
                )
            )
            # what this process has copied itself need not be asked for again
            asked = {key: seq for seq, key in fresh if seq not in self._recent}
            for key in self._ledger.lacking(list(asked)):
                entry = self._entry(asked[key])
                data = {name: value for name, value in entry.data.items() if name not in ("key", "at")}
                if self._ledger.append_once(entry.event, entry.key, at=entry.at, **data) is not None:
                    added += 1
            self._copied = max([self._copied, *(seq for seq, _ in fresh)])
            self._recent = {seq for seq, _ in fresh if seq > self._copied - _OVERLAP}
        return added

    def _entry(self, seq: int) -> Entered:
        statement = f"SELECT {_COLUMNS} FROM {{evidence}} WHERE seq = ?"
        return _entered(self._database.look(lambda t: t.run(statement, [seq]))[0])

    def done_tasks(self, plan: str, mode: Mode = Mode.LIVE) -> dict[str, Earlier]:
        """What earlier runs of the plan of that title have proven, by the ids of the tasks."""
        entries = self.entries(events=("task.done", "task.undone"))
        return done_tasks(((one.event, one.data) for one in entries), plan, mode)


def _entered(row: tuple[Any, ...]) -> Entered:
    values = (*row[:-1], json.loads(row[-1]))
    return Entered(*values)


def done_tasks(
    entries: Iterable[tuple[str, Mapping[str, Any]]], plan: str, mode: Mode = Mode.LIVE
) -> dict[str, Earlier]:
    """The tasks of a plan that the evidence proves to be done, in whatever order they were.

    ``entries`` are events with their data, oldest first, of the table or of the ledger.  What was undone
    later is not done any more.  ``digest`` of each says of which commands, gate and approval it is proof.
    """
    found: dict[str, Earlier] = {}
    for event, data in entries:
        if data.get("plan") != plan or data.get("mode") != mode or "task" not in data:
            continue
        task = str(data["task"])
        if event == "task.done":
            found[task] = Earlier(
                run=str(data.get("run", "")),
                at=str(data.get("finished_at", "")),
                digest=str(data.get("digest", "")),
                result=data.get("measured"),
            )
        elif event == "task.undone":
            found.pop(task, None)
    return found
