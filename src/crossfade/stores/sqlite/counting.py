"""Counting rows without keeping a writer from committing for longer than a page of a scan would."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from crossfade.stores.sqlite.connection import Database, quoted, text
from crossfade.stores.sqlite.courtesy import PAGE_SECONDS, Courtesy
from crossfade.stores.sqlite.forms import stored_pages
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
    total = 0
    for where, values, rows in stored_pages(con, quoted(table), places, courtesy):
        last = f"SELECT count(*) FROM {quoted(table)}{where}"
        total += rows or int(courtesy.read(partial(_first, con, last, values))[0])
    return total


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
