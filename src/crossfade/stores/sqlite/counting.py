"""Counting rows without keeping a writer from committing for longer than a page of a scan would."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from crossfade.stores.sqlite.connection import Database, quoted, row_value, text
from crossfade.stores.sqlite.courtesy import FIRST_ROWS, PAGE_SECONDS, Courtesy
from crossfade.stores.sqlite.keys import bound
from crossfade.stores.sqlite.schema import physical


def count(database: Database, table: str) -> int:
    """The rows of a table, about which it is exact only while nobody writes."""
    with database.reading(timeout=0) as con:
        courtesy = Courtesy(database, con)
        places = courtesy.patiently(partial(_places, con, table)) if courtesy.blocks else []
        whole = f"SELECT count(*) FROM {quoted(table)}"
        if not places:
            return int(courtesy.read(partial(_first, con, whole, ()))[0])
        found = courtesy.patiently(partial(_in_time, database, con, whole))
        return _by_pages(con, table, places, courtesy) if found is None else found


def _in_time(database: Database, con: sqlite3.Connection, sql: str) -> int | None:
    """The count, or None when it took longer than a page may."""
    began = time.monotonic()
    late = threading.Timer(PAGE_SECONDS, con.interrupt)
    late.start()
    try:
        return int(con.execute(sql).fetchone()[0])
    except sqlite3.OperationalError as error:
        if str(error) != "interrupted":
            raise
        return None
    finally:
        late.cancel()
        late.join()
        database.locks.note(time.monotonic() - began)


def _by_pages(con: sqlite3.Connection, table: str, places: Sequence[str], courtesy: Courtesy) -> int:
    left, order = row_value(places), ", ".join(places)
    courtesy.pace.rows = FIRST_ROWS
    total = 0
    after: Sequence[Any] | None = None
    while True:
        marks, values = ([], []) if after is None else bound(after)
        where = f" WHERE {left} > {row_value(marks)}" if marks else ""
        rows = courtesy.pace.rows
        step = f"SELECT {order} FROM {quoted(table)}{where} ORDER BY {order} LIMIT 1 OFFSET {rows - 1}"
        after = courtesy.read(partial(_first, con, step, values), rows)
        if after is None:
            rest = f"SELECT count(*) FROM (SELECT 1 FROM {quoted(table)}{where} LIMIT {rows})"
            return total + int(courtesy.read(partial(_first, con, rest, values))[0])
        total += rows


def _places(con: sqlite3.Connection, table: str) -> list[str]:
    """What a table's rows lie in the order of, as SQL; nothing when it cannot be named."""
    shape = physical(con, table, ())
    if shape is None:
        return []
    if shape.rowid is not None:
        return [shape.rowid]
    rows = con.execute("SELECT name FROM pragma_table_info(?) WHERE pk ORDER BY pk", (table,)).fetchall()
    return [quoted(text(row[0])) for row in rows]


def _first(con: sqlite3.Connection, sql: str, values: Sequence[Any]) -> Any:
    return con.execute(sql, values).fetchone()
