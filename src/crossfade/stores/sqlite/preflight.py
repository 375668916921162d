"""What a SQLite database has to say before a move."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import psutil

from crossfade.stores.base import Finding, View
from crossfade.stores.sqlite.connection import Database, quoted, text
from crossfade.stores.sqlite.load import orphans
from crossfade.stores.sqlite.schema import OURS, entries, unique_indexes

_OLDEST = (3, 37, 0)
_CHECK_SECONDS = 20.0
"""How long one look at the whole database may take before it is left unfinished."""

_BLOCKING_SECONDS = 0.1
"""The same in rollback-journal mode, where a read keeps writers waiting."""

Result = TypeVar("Result")


def preflight(database: Database, con: sqlite3.Connection, views: Sequence[View]) -> list[Finding]:
    """Findings about the file, the mode, other processes, and what capture cannot follow."""
    found = [
        _version(),
        _journal(con),
        _encoding(con),
        *_permissions(database),
        _disk(database),
        _processes(database),
        _integrity(con),
        *_not_captured(con),
    ]
    for view in views:
        found += _table(con, view)
    return found


def _version() -> Finding:
    if sqlite3.sqlite_version_info >= _OLDEST:
        return Finding("ok", "sqlite.version", f"SQLite {sqlite3.sqlite_version}")
    return Finding(
        "error",
        "sqlite.version",
        f"Crossfade's own SQLite library is {sqlite3.sqlite_version}, older than 3.37",
        todo="run Crossfade with a newer Python or libsqlite3; the application's own library does not matter",
    )


def _journal(con: sqlite3.Connection) -> Finding:
    mode = text(con.execute("PRAGMA journal_mode").fetchone()[0])
    if mode == "wal":
        return Finding("ok", "sqlite.journal_mode", "WAL: readers and the writer do not wait for each other")
    return Finding(
        "warning",
        "sqlite.journal_mode",
        f"journal mode {mode}: every read keeps writers from committing while it lasts",
        todo="Crossfade reads in pages of milliseconds; give the application a busy timeout of a second or "
        "more, or switch the database to WAL",
    )


def _encoding(con: sqlite3.Connection) -> Finding:
    name = text(con.execute("PRAGMA encoding").fetchone()[0])
    if name == "UTF-8":
        return Finding("ok", "sqlite.encoding", name)
    return Finding(
        "error",
        "sqlite.encoding",
        f"the database stores text as {name}, whose byte order is not that of UTF-8",
        todo="rebuild it as UTF-8: .dump into a new database with PRAGMA encoding='UTF-8'",
    )


def _permissions(database: Database) -> list[Finding]:
    found = []
    for path, what in ((database.path, "file"), (database.path.parent, "directory")):
        if not os.access(path, os.W_OK):
            found.append(
                Finding(
                    "error",
                    "sqlite.permissions",
                    f"this user may not write the {what}, so triggers cannot be installed",
                    where=str(path),
                    todo="run as the application's user, or give this one write permission",
                )
            )
    return found or [Finding("ok", "sqlite.permissions", "file and directory may be written")]


def _disk(database: Database) -> Finding:
    size, free = database.path.stat().st_size, shutil.disk_usage(database.path.parent).free
    said = f"{free // 2**20} MiB free for a database of {size // 2**20} MiB"
    if free > 2 * size:
        return Finding("ok", "sqlite.disk", said)
    return Finding(
        "warning",
        "sqlite.disk",
        said,
        where=str(database.path.parent),
        todo="a backup needs as much space again",
    )


def _processes(database: Database) -> Finding:
    """Best effort: processes of other users cannot be looked into."""
    own, found = os.getpid(), []
    for process in psutil.process_iter(["pid", "name"]):
        if process.pid == own:
            continue
        try:
            names = {file.path for file in process.open_files()}
        except (psutil.Error, OSError):
            continue
        if str(database.path.resolve()) in names:
            found.append(f"{process.pid} ({process.info['name']})")
    said = f"open in {len(found)} other processes: {', '.join(found)}" if found else "no other process seen"
    return Finding("ok", "sqlite.processes", said)


def _briefly(con: sqlite3.Connection, action: Callable[[], Result]) -> Result | None:
    """The result of a long read, or None when it would have taken too long: in rollback-journal mode a read
    keeps the application's writers from committing while it lasts."""
    blocks = text(con.execute("PRAGMA journal_mode").fetchone()[0]) != "wal"
    deadline = time.monotonic() + (_BLOCKING_SECONDS if blocks else _CHECK_SECONDS)
    con.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
    try:
        return action()
    except sqlite3.OperationalError as error:
        if "interrupted" not in str(error):
            raise
        return None
    finally:
        con.set_progress_handler(None, 0)


def _integrity(con: sqlite3.Connection) -> Finding:
    said = _briefly(con, lambda: [text(row[0]) for row in con.execute("PRAGMA quick_check(5)").fetchall()])
    if said is None:
        return Finding(
            "ok",
            "sqlite.integrity",
            "not checked here, because that would keep the application waiting; `crossfade backup` checks the "
            "restored copy whole",
        )
    if said == ["ok"]:
        return Finding("ok", "sqlite.integrity", "quick_check: ok")
    return Finding("error", "sqlite.integrity", "; ".join(said), todo="restore a backup, or dump and reload")


def _not_captured(con: sqlite3.Connection) -> list[Finding]:
    return [
        Finding(
            "warning",
            "sqlite.virtual_table",
            f"virtual table {entry.name} can neither be followed nor fenced",
            where=f"tables/{entry.name}",
            todo="rebuild its content on the new side after the switch",
        )
        for entry in entries(con)
        if entry.kind == "virtual"
    ]


def _table(con: sqlite3.Connection, view: View) -> list[Finding]:
    where = f"tables/{view.table.name}"
    found: list[Finding] = []
    if not view.key:
        found.append(
            Finding(
                "warning",
                "sqlite.no_key",
                "the table has no key: it is copied, not followed",
                where=where,
                todo="add a primary key, or a unique index over NOT NULL columns",
            )
        )
    expressions = [i.name for i in unique_indexes(con, view.table.name) if None in i.columns]
    if expressions and view.key:
        found.append(
            Finding(
                "error",
                "sqlite.expression_unique",
                f"unique index on an expression: {', '.join(expressions)}; capture misses a row that "
                "INSERT OR REPLACE or UPDATE OR REPLACE removes through it",
                where=where,
                todo="accept this finding if the application never writes this table with OR REPLACE",
            )
        )
    rows = con.execute(
        "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE",
        (view.table.name,),
    ).fetchall()
    triggers = [text(row[0]) for row in rows if not text(row[0]).startswith(OURS)]
    if triggers:
        found.append(
            Finding(
                "warning",
                "sqlite.app_triggers",
                f"the application's triggers would also fire when rows are applied here: {', '.join(triggers)}",
                where=where,
                todo="make sure that firing twice is harmless, or drop them while this side follows",
            )
        )
    found += _null_keys(con, view, where)
    without = _briefly(con, lambda: orphans(con, view.table.name))
    if without is None:
        said = "not checked here, because that would keep the application waiting; the copy validates them"
        without = [Finding("ok", "sqlite.orphans", f"foreign keys were {said}", where=where)]
    return found + without


def _null_keys(con: sqlite3.Connection, view: View, where: str) -> list[Finding]:
    tests = [f"{quoted(f.column.name)} IS NULL" for f in view.key_fields if f.column.nullable]
    if not tests:
        return []
    query = f"SELECT count(*) FROM {quoted(view.table.name)} WHERE {' OR '.join(tests)}"
    row = _briefly(con, lambda: con.execute(query).fetchone())
    if row is None:
        said = "NULL in the key was not looked for, because that would keep the application waiting; the copy stops at it"
        return [Finding("ok", "sqlite.null_keys", said, where=where)]
    if not row[0]:
        return []
    return [
        Finding(
            "error",
            "sqlite.null_keys",
            f"{row[0]} rows have NULL in their primary key, which SQLite allows",
            where=where,
            todo="give those rows a key, or delete them",
        )
    ]
