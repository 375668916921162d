"""The triggers that log which rows changed, and those that refuse writes on a side that follows.

The SQL of a trigger is parsed by whatever SQLite library the application links, so it uses nothing newer
than 2010: no upsert, no RETURNING, no RAISE with an expression.

What capture has to know of SQLite:

* ``INSERT OR REPLACE`` and ``UPDATE OR REPLACE`` remove rows without firing a delete trigger.  A BEFORE
  *probe* on every unique index logs the key of each row that such a statement would remove.
* A NULL that OR REPLACE turns into a NOT NULL column's default is still NULL in a BEFORE trigger.
* A key can change without changing by ``=``: 'A' to 'a' under NOCASE, 1 to 1.0 without a type.

Logging a key too often is harmless: a pass reads the row as it is.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from crossfade.stores.base import Column, Index, Table, View
from crossfade.stores.sqlite.connection import literal, quoted, text
from crossfade.stores.sqlite.schema import OURS, affinity, unique_indexes
from crossfade.stores.sqlite.sqltext import default_expression

LOG = "crossfade_log"
STATE = "crossfade_state"
FENCED = "this side follows; writes are fenced"
_FENCE = f"{OURS}fence_"


@dataclass(frozen=True, slots=True)
class Trigger:
    """One trigger of ours: its name, its table and its exact text."""

    name: str
    table: str
    sql: str


def _logged(view: View, row: str) -> str:
    """Log the key of OLD or NEW."""
    keys = _key_columns(view)
    marks = ", ".join(f"k{n + 1}" for n in range(len(keys)))
    values = ", ".join(f"{row}.{quoted(key)}" for key in keys)
    return f"INSERT INTO {LOG} (tbl, {marks}) VALUES ({view.id}, {values})"


def _key_columns(view: View) -> list[str]:
    return [field.column.name for field in view.key_fields]


def capture_triggers(view: View, unique: Sequence[Index]) -> list[Trigger]:
    """Every capture trigger of a mapped table; none for a table without a key."""
    if not view.key:
        return []
    keys = _key_columns(view)
    table = view.table
    # 1: the applier, alone; 2: the applier, beside triggers of the application that have to be seen
    active = f"(SELECT bypass FROM {STATE}) <> 1"
    changed = " OR ".join(
        f"NEW.{quoted(k)} IS NOT OLD.{quoted(k)} COLLATE BINARY OR typeof(NEW.{quoted(k)}) <> typeof(OLD.{quoted(k)})"
        for k in keys
    )
    marks = ", ".join(f"k{n + 1}" for n in range(len(keys)))
    new_key = ", ".join(f"NEW.{quoted(k)}" for k in keys)
    new_if_changed = f"INSERT INTO {LOG} (tbl, {marks}) SELECT {view.id}, {new_key} WHERE {changed}"
    bodies = [
        ("ins", "AFTER INSERT", active, [_logged(view, "NEW")]),
        ("upd", "AFTER UPDATE", active, [_logged(view, "OLD"), new_if_changed]),
        ("del", "AFTER DELETE", active, [_logged(view, "OLD")]),
    ]
    for number, index in enumerate(_probed(view, unique)):
        probe = _probe(view, index)
        touched = " OR ".join(
            f"NEW.{quoted(c)} IS NOT OLD.{quoted(c)} COLLATE BINARY" for c in index.columns if c is not None
        )
        if index.where is not None:
            # a partial index can begin to cover a row whose indexed columns did not change; its probe also
            # names rows that the index does not cover, which an applier has not touched
            when = begins = f"(SELECT bypass FROM {STATE}) = 0"
        else:
            when, begins = f"{active} AND ({touched})", active
        bodies.append((f"pri{number}", "BEFORE INSERT", begins, [probe]))
        bodies.append((f"pru{number}", "BEFORE UPDATE", when, [probe]))
    found = []
    for suffix, event, when, statements in bodies:
        name = f"{OURS}{view.id}_{suffix}"
        body = "; ".join(statements)
        sql = f"CREATE TRIGGER {quoted(name)} {event} ON {quoted(table.name)} WHEN {when} BEGIN {body}; END"
        found.append(Trigger(name, table.name, sql))
    return found


def _probed(view: View, unique: Sequence[Index]) -> list[Index]:
    """The unique indexes through which OR REPLACE can remove a row whose key is not the new row's."""
    keys = [name.lower() for name in _key_columns(view)]
    found = []
    for index in unique:
        names = [(name or "").lower() for name in index.columns]
        if None in index.columns:
            continue  # an expression: preflight refuses the table
        same_key = names == keys and index.where is None
        if same_key and all(map(_equal_is_same, index.columns, index.collations, [view.table] * len(names))):
            continue
        found.append(index)
    return found


def _equal_is_same(name: str | None, collation: str | None, table: Table) -> bool:
    """Whether two values of the column that are equal in the index are the same stored value."""
    stored = affinity(table.column(name or "").declared)
    if stored == "TEXT":
        return (collation or "BINARY").upper() == "BINARY"
    return stored != "BLOB"


def _probe(view: View, index: Index) -> str:
    keys = _key_columns(view)
    marks = ", ".join(f"k{n + 1}" for n in range(len(keys)))
    selected = ", ".join(quoted(key) for key in keys)
    tests = []
    for name, collation in zip(index.columns, index.collations, strict=True):
        if name is not None:
            tests.append(
                f"{quoted(name)} = {_new_value(view.table.column(name))} COLLATE {quoted(collation or 'BINARY')}"
            )
    return (
        f"INSERT INTO {LOG} (tbl, {marks}) SELECT {view.id}, {selected} "
        f"FROM {quoted(view.table.name)} WHERE {' AND '.join(tests)}"
    )


def _new_value(column: Column) -> str:
    new = f"NEW.{quoted(column.name)}"
    if column.nullable or column.default is None:
        return new
    return f"coalesce({new}, {default_expression(column.default)})"


def fence_triggers(move: str, table: str) -> list[Trigger]:
    """The triggers that refuse writes to a table while this side follows."""
    digest = hashlib.sha256(table.lower().encode()).hexdigest()[:16]
    message = literal(f"crossfade: {move}: {FENCED}")
    found = []
    for suffix, event in (("ins", "INSERT"), ("upd", "UPDATE"), ("del", "DELETE")):
        name = f"{_FENCE}{digest}_{suffix}"
        sql = (
            f"CREATE TRIGGER {quoted(name)} BEFORE {event} ON {quoted(table)} "
            f"WHEN (SELECT fenced = 1 AND bypass = 0 FROM {STATE}) "
            f"BEGIN SELECT RAISE(ABORT, {message}); END"
        )
        found.append(Trigger(name, table, sql))
    return found


def wanted(con: sqlite3.Connection, move: str, views: Iterable[View], names: Iterable[str]) -> list[Trigger]:
    """Every trigger that should be there: capture on mapped tables, the fence on all of ``names``."""
    found = []
    for view in views:
        found += capture_triggers(view, unique_indexes(con, view.table.name))
    for name in names:
        found += fence_triggers(move, name)
    return found


def present(con: sqlite3.Connection) -> dict[str, str]:
    """Our triggers that are there: name → SQL."""
    rows = con.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    return {text(name): text(sql) for name, sql in rows if text(name).startswith(OURS)}


def application_triggers(con: sqlite3.Connection) -> bool:
    """Whether there is a trigger that is not ours."""
    rows = con.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    return any(not text(name).startswith(OURS) for (name,) in rows)


def missing(con: sqlite3.Connection, triggers: Iterable[Trigger]) -> list[str]:
    """One sentence for each of these triggers that is not there, or not as it was made."""
    there = present(con)
    return [
        f"the trigger {trigger.name} of table {trigger.table} is "
        + ("altered" if trigger.name in there else "missing")
        for trigger in triggers
        if there.get(trigger.name) != trigger.sql
    ]


def arm(con: sqlite3.Connection, triggers: Iterable[Trigger], *, keep_others: bool = False) -> None:
    """Create what is missing, replace what differs, and drop triggers of ours that are not wanted."""
    there = present(con)
    by_name = {trigger.name: trigger for trigger in triggers}
    for name in there:
        if name not in by_name and not keep_others:
            con.execute(f"DROP TRIGGER {quoted(name)}")
    for trigger in by_name.values():
        if there.get(trigger.name) == trigger.sql:
            continue
        con.execute(f"DROP TRIGGER IF EXISTS {quoted(trigger.name)}")
        con.execute(trigger.sql)
