"""Setting up and taking down what Crossfade keeps in the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from crossfade.errors import Refused
from crossfade.stores.base import Role, Side, View
from crossfade.stores.sqlite.capture import LOG, STATE, arm, missing, present, wanted
from crossfade.stores.sqlite.connection import quoted, text
from crossfade.stores.sqlite.schema import OURS, tables
from crossfade.stores.sqlite.state import CREATE_STATE, has_state

MAPPED = f"{OURS}mapped"
CHUNKS = f"{OURS}chunks"
DEFERRED = f"{OURS}deferred"
CREATE_DEFERRED = (
    f"CREATE TABLE IF NOT EXISTS {DEFERRED} (name TEXT PRIMARY KEY, tbl TEXT NOT NULL, sql TEXT NOT NULL)"
)
_CREATE = (
    CREATE_STATE,
    f"CREATE TABLE IF NOT EXISTS {MAPPED} (tbl INTEGER PRIMARY KEY, name TEXT NOT NULL)",
    f"CREATE TABLE IF NOT EXISTS {LOG} (seq INTEGER PRIMARY KEY AUTOINCREMENT, tbl INTEGER NOT NULL, k1)",
    f"CREATE TABLE IF NOT EXISTS {CHUNKS} (tbl INTEGER NOT NULL, number INTEGER NOT NULL, "
    "rows INTEGER NOT NULL, rejected INTEGER NOT NULL, PRIMARY KEY (tbl, number))",
    CREATE_DEFERRED,
)


def install(
    con: sqlite3.Connection,
    move: str,
    side: Side,
    role: Role,
    views: Sequence[View],
    peer: str | None,
    where: str,
) -> None:
    """Everything in the caller's transaction.  Idempotent; re-arms what a schema change removed."""
    for statement in _CREATE:
        con.execute(statement)
    other = con.execute(f"SELECT move FROM {STATE} WHERE move <> ?", (move,)).fetchone()
    if other:
        raise Refused(
            f"this database already takes part in the move {text(other[0])!r}",
            where=where,
            todo="complete or abort that move first",
        )
    _widen_log(con, max((len(view.key) for view in views), default=1))
    con.execute(
        f"INSERT OR IGNORE INTO {STATE} (move, side, role, epoch, attempt, fenced, bypass, peer, notes) "
        "VALUES (?, ?, ?, 0, 0, ?, 0, ?, '{}')",
        (move, side, role, int(role is Role.FOLLOWER), peer),
    )
    if peer is not None:
        con.execute(f"UPDATE {STATE} SET peer = ? WHERE move = ?", (peer, move))
    con.execute(f"DELETE FROM {MAPPED}")
    con.executemany(f"INSERT INTO {MAPPED} VALUES (?, ?)", [(view.id, view.table.name) for view in views])
    arm(con, wanted(con, move, views, [entry.name for entry in tables(con)]))


def _widen_log(con: sqlite3.Connection, parts: int) -> None:
    rows = con.execute("SELECT name FROM pragma_table_info(?)", (LOG,)).fetchall()
    there = {text(row[0]) for row in rows}
    for number in range(1, parts + 1):
        if f"k{number}" not in there:
            con.execute(f"ALTER TABLE {LOG} ADD COLUMN k{number}")


def armed(con: sqlite3.Connection, views: Sequence[View]) -> list[str]:
    """See ``Store.armed``."""
    row = con.execute(f"SELECT move FROM {STATE}").fetchone() if has_state(con) else None
    if row is None:
        return ["Crossfade is not installed in this database"]
    return missing(con, wanted(con, text(row[0]), views, [entry.name for entry in tables(con)]))


def mapped_tables(con: sqlite3.Connection) -> set[str]:
    """Lower-case names of the tables that the installation mapped."""
    there = con.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (MAPPED,)).fetchone()
    if there is None:
        return set()
    return {text(row[0]).lower() for row in con.execute(f"SELECT name FROM {MAPPED}").fetchall()}


def uninstall(con: sqlite3.Connection) -> None:
    """Remove every trigger and table of ours, triggers first: they read the state row."""
    for name in present(con):
        con.execute(f"DROP TRIGGER {quoted(name)}")
    for name in (LOG, CHUNKS, DEFERRED, MAPPED, STATE):
        con.execute(f"DROP TABLE IF EXISTS {name}")
    # an application that had no AUTOINCREMENT table keeps the empty sqlite_sequence: SQLite never drops it
