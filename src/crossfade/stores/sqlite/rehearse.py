"""The rehearsal of a lead: a write as the application's, seen in the log and refused by the fence."""

from __future__ import annotations

import sqlite3

from crossfade.errors import StoreError
from crossfade.stores.base import View
from crossfade.stores.sqlite.capture import FENCED, LOG, STATE, present, wanted
from crossfade.stores.sqlite.connection import quoted
from crossfade.stores.sqlite.snapshot import log_position
from crossfade.stores.sqlite.state import not_installed, read_state

_TODO = "run `crossfade doctor --repair`: a table rebuild or DDL has removed or changed the triggers"


def rehearse(con: sqlite3.Connection, move: str, view: View | None, where: str) -> None:
    """Inside the caller's write transaction, which the caller rolls back."""
    if read_state(con, move) is None:
        raise not_installed(move, where)
    if view is None:
        return
    place = f"{where}/{view.table.name}"
    there = present(con)
    for trigger in wanted(con, move, [view], [view.table.name]):
        if there.get(trigger.name) != trigger.sql:
            raise StoreError(f"the trigger {trigger.name} is missing or altered", where=place, todo=_TODO)
    statement = _harmless_write(con, view)
    con.execute(f"UPDATE {STATE} SET fenced = 0, bypass = 0")
    before = log_position(con)
    if statement is None or not _works(con, statement):
        return  # an empty table that takes no made-up row: its triggers were compared above
    if view.key and not _logged_since(con, view, before):
        raise StoreError("a write was not captured", where=place, todo=_TODO)
    con.execute(f"UPDATE {STATE} SET fenced = 1")
    try:
        con.execute(statement)
    except sqlite3.IntegrityError as error:
        if FENCED in str(error):
            return
        raise
    raise StoreError("the fence let a write through", where=place, todo=_TODO)


def _logged_since(con: sqlite3.Connection, view: View, position: int) -> bool:
    row = con.execute(f"SELECT count(*) FROM {LOG} WHERE seq > ? AND tbl = ?", (position, view.id)).fetchone()
    return bool(row[0])


def _harmless_write(con: sqlite3.Connection, view: View) -> str | None:
    """An update that changes nothing, or the insert of a row of defaults when the table is empty."""
    table = quoted(view.table.name)
    if con.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is None:
        return f"INSERT INTO {table} DEFAULT VALUES"
    column = quoted(view.fields[0].column.name)
    if not view.key:
        return f"UPDATE {table} SET {column} = {column}"
    keys = ", ".join(quoted(f.column.name) for f in view.key_fields)
    row = f"({keys}) = (SELECT {keys} FROM {table} LIMIT 1)"
    return f"UPDATE {table} SET {column} = {column} WHERE {row}"


def _works(con: sqlite3.Connection, statement: str) -> bool:
    try:
        con.execute(statement)
    except sqlite3.IntegrityError:
        return False
    return True
