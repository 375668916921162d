"""Generated keys: what may have been given out, and the rehearsal of a write."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from crossfade.errors import StoreError
from crossfade.stores.base import View
from crossfade.stores.sqlite.connection import quoted
from crossfade.stores.sqlite.schema import physical


def last_values(con: sqlite3.Connection, views: Sequence[View]) -> dict[int, int]:
    """Per view id with a generated key the largest value that was given out."""
    found = {}
    for view in views:
        column = view.table.sequence
        if column is not None:
            row = con.execute(f"SELECT max({quoted(column)}) FROM {quoted(view.table.name)}").fetchone()
            largest = row[0] if isinstance(row[0], int) else 0
            found[view.id] = max(largest, _recorded(con, view.table.name), 0)
    return found


def _recorded(con: sqlite3.Connection, table: str) -> int:
    """What AUTOINCREMENT remembers (0: nothing, or the table has none)."""
    there = con.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone()
    if there is None:
        return 0
    row = con.execute(
        "SELECT max(seq) FROM sqlite_sequence WHERE name = ? COLLATE NOCASE", (table,)
    ).fetchone()
    return row[0] if isinstance(row[0], int) else 0


def raise_to(con: sqlite3.Connection, views: Sequence[View], least: Mapping[int, int], where: str) -> None:
    """Make AUTOINCREMENT go on above ``least``; SQLite itself goes on above the largest key.

    A plain INTEGER PRIMARY KEY has nothing to raise: SQLite gives max(rowid) + 1, which is above every key
    present but may repeat the key of a row that was deleted.
    """
    for view in views:
        if view.id not in least or view.table.sequence is None:
            continue
        shape = physical(con, view.table.name, ())
        if shape is None:
            raise StoreError(f"the table {view.table.name} is gone", where=where)
        if not shape.autoincrement:
            continue
        value = least[view.id]
        done = con.execute(
            "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ? COLLATE NOCASE",
            (value, view.table.name),
        )
        if done.rowcount == 0:
            con.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (view.table.name, value))
