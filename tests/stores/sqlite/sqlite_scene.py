"""A SQLite file as an application made it, and views on it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from crossfade.stores.base import (
    Change,
    Field,
    KeyRange,
    Lease,
    Rejected,
    Role,
    Side,
    Token,
    View,
)
from crossfade.stores.sqlite import SQLiteStore
from crossfade.types import Kind, LogicalType, StoredAs

MOVE = "m1"
LEASE = Lease(token="secret", verb="follow", host="h", pid=7, version="0.1", since=1.0, until=2.0)
TOKEN = Token(move=MOVE, epoch=0, lease="secret")


class Scene:
    """One database file: ``app`` is the application's own connection."""

    def __init__(self, path: Path, script: str = "", *, wal: bool = False) -> None:
        self.path = path
        self.app = self.connect()
        if wal:
            self.app.execute("PRAGMA journal_mode=WAL")
        self.app.executescript(script)
        self.store = SQLiteStore(path, busy_timeout=2.0)

    def connect(self, timeout: float = 5.0) -> sqlite3.Connection:
        con = sqlite3.connect(self.path, timeout=timeout, isolation_level=None, check_same_thread=False)
        con.execute("PRAGMA foreign_keys=ON")
        return con

    def close(self) -> None:
        self.store.close()
        self.app.close()

    def view(
        self,
        name: str,
        number: int = 1,
        *,
        types: Mapping[str, LogicalType | Kind] | None = None,
        stored: Mapping[str, tuple[StoredAs, ...]] | None = None,
        without: Sequence[str] = (),
    ) -> View:
        table = self.store.inspect().tables[name]
        types, stored = types or {}, stored or {}
        fields = []
        for column in table.columns:
            if column.generated or column.name in without:
                continue
            wanted = types.get(column.name) or column.type or LogicalType(Kind.TEXT)
            type_ = wanted if isinstance(wanted, LogicalType) else LogicalType(wanted)
            fields.append(Field(column.name, column, type_, stored.get(column.name, ())))
        return View(number, table, tuple(fields), table.key)

    def follow(self, *views: View) -> None:
        """Install as follower under ``LEASE``."""
        self.store.install(MOVE, Side.OLD, Role.FOLLOWER, views, peer=None)
        self.store.take_lease(MOVE, LEASE, over=None)

    def lead(self, *views: View) -> None:
        self.store.install(MOVE, Side.OLD, Role.LEADER, views, peer=None)

    def rows(self, view: View, over: KeyRange | None = None) -> list[dict[str, Any]]:
        """Scanned rows; any reject fails the test."""
        rows, rejected = self.scan(view, over)
        assert rejected == []
        return rows

    def scan(self, view: View, over: KeyRange | None = None) -> tuple[list[dict[str, Any]], list[Rejected]]:
        rejected: list[Rejected] = []
        batches = list(self.store.scan(view, over or KeyRange(), rejected.append))
        return [row for batch in batches for row in batch.to_pylist()], rejected

    def changed(self, view: View, since: str | None = None) -> set[tuple[Any, ...]]:
        """The keys logged since then."""
        with self.store.snapshot() as snapshot:
            table = snapshot.changed([view], since).get(view.id)
        return set() if table is None else {tuple(row.values()) for row in table.to_pylist()}

    def position(self) -> str:
        with self.store.snapshot() as snapshot:
            return snapshot.position

    def all(self, sql: str, *values: object) -> list[Any]:
        return self.app.execute(sql, values).fetchall()


def change(view: View, upserts: Sequence[Mapping[str, Any]] = (), deletes: Sequence[Any] = ()) -> Change:
    """A change from Python rows; single-column keys of ``deletes`` may be bare."""
    keys = [key if isinstance(key, tuple) else (key,) for key in deletes]
    gone = [dict(zip(view.key, key, strict=True)) for key in keys]
    return Change(
        view,
        pa.Table.from_pylist([dict(row) for row in upserts], schema=view.schema),
        pa.Table.from_pylist(gone, schema=view.key_schema),
    )
