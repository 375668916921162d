"""Looking at every value: storage classes per column, and what cannot be represented."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from crossfade.stores.base import Field, Finding, KeyRange, Rejected, RejectSink, View
from crossfade.stores.sqlite import temporal
from crossfade.stores.sqlite.connection import Database, Text, quoted, text
from crossfade.stores.sqlite.courtesy import Courtesy
from crossfade.stores.sqlite.decode import TEMPORAL, decode_value
from crossfade.stores.sqlite.encode import shortened
from crossfade.stores.sqlite.forms import stored_pages
from crossfade.stores.sqlite.lookup import physical_of
from crossfade.stores.sqlite.page import shown_todo
from crossfade.stores.sqlite.reader import TableReader
from crossfade.stores.sqlite.temporal import NotExact
from crossfade.types import Kind

_VALUES = re.compile(r"'(?:[^']|\\')*'|-?[0-9][0-9.e+-]*")
"""The values in a reason: what is left tells one reason from another."""


def census(database: Database, reader: TableReader, view: View, rejects: RejectSink) -> list[Finding]:
    """One finding per column with what it holds; each unrepresentable value goes to ``rejects``, one per
    column and reason."""
    bad_in: Counter[str] = Counter()
    told: set[tuple[str, str]] = set()

    def each_column(bad: Rejected) -> None:
        # a scan names the first bad column of a row; here every one of them counts
        for field in view.fields:
            if field.column.name == bad.column:
                found: NotExact | None = NotExact(bad.reason, bad.todo)
            else:
                found = _why_not(field, bad.row[field.column.name])
            if found is None:
                continue
            bad_in[field.column.name] += 1
            reason = (field.column.name, _VALUES.sub("…", found.reason))
            if reason not in told:
                told.add(reason)
                value = shortened(bad.row[field.column.name])
                todo = shown_todo(field, found.todo)
                rejects(replace(bad, column=field.column.name, value=value, reason=found.reason, todo=todo))

    classes = storage_classes(database, view)
    for _ in reader.scan(view, KeyRange(), each_column):
        pass
    found = []
    for field in view.fields:
        name = field.column.name
        said = ", ".join(f"{count} {kind}" for kind, count in sorted(classes[name].items())) or "no rows"
        mixed = len([kind for kind in classes[name] if kind != "null"]) > 1
        level = "error" if bad_in[name] else ("warning" if mixed else "ok")
        trouble = f"; {bad_in[name]} rows cannot be represented as {field.type}" if bad_in[name] else ""
        found.append(
            Finding(level, "sqlite.census", said + trouble, where=f"tables/{view.table.name}/columns/{name}")
        )
    return found


def _why_not(field: Field, value: Any) -> NotExact | None:
    """Why a value (as a reject shows it) has no canonical form; None when it has one."""
    try:
        decode_value(field, Text(value.encode()) if isinstance(value, str) else value)
    except NotExact as error:
        return error
    return None


def storage_classes(database: Database, view: View) -> dict[str, Counter[str]]:
    """Per column the number of values of each storage class, counted in short pages.  Numbers in a column
    of dates or times are told apart by the units under which they lie between 1990 and 2100."""
    found: dict[str, Counter[str]] = {f.column.name: Counter() for f in view.fields}
    with database.reading() as con:
        shape = physical_of(con, view, database.where)
        names = ", ".join(quoted(f.column.name) for f in view.fields)
        labels = ", ".join(_label(f.type.kind, quoted(f.column.name)) for f in view.fields)
        places = [shape.rowid] if shape.rowid else [quoted(f.column.name) for f in view.key_fields]
        courtesy = Courtesy(database, con)
        for where, values, rows in stored_pages(con, quoted(view.table.name), places, courtesy):
            # numbers of columns, because labels repeat where a name is also a column's
            order = ", ".join(str(n + 1) for n in range(len(view.fields)))
            page = f"SELECT {names} FROM {quoted(view.table.name)}{where}"
            grouped = f"SELECT {labels}, count(*) FROM ({page}) GROUP BY {order}"
            for *kinds, count in courtesy.read(partial(_all, con, grouped, values), rows):
                for field, kind in zip(view.fields, kinds, strict=True):
                    found[field.column.name][text(kind)] += count
    return found


def _all(con: sqlite3.Connection, sql: str, values: Sequence[Any]) -> list[Any]:
    return con.execute(sql, values).fetchall()


def _label(kind: Kind, name: str) -> str:
    """An expression that names a value's storage class, and for a number in a time column its unit."""
    if kind not in TEMPORAL or kind is Kind.TIME:
        return f"typeof({name})"
    low, high = temporal.PLAUSIBLE
    cases = " ".join(
        f"WHEN abs({name}) BETWEEN {low // unit} AND {high // unit} THEN typeof({name}) || ' ({rule.value})'"
        for rule, unit in temporal.UNITS.items()
    )
    return f"CASE WHEN typeof({name}) NOT IN ('integer', 'real') THEN typeof({name}) {cases} ELSE typeof({name}) END"
