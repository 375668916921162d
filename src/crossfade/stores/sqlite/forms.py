"""UUID keys that are all stored in one form, and can therefore be read in SQLite's own order.

The forms are checked by short reads of the key's index before a scan.  A key that is written in another
form afterwards is still read exactly once, only not in its canonical place; it is in the log.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from crossfade.stores.base import Field, View
from crossfade.stores.sqlite.connection import Text, quoted, row_value
from crossfade.stores.sqlite.courtesy import Courtesy
from crossfade.stores.sqlite.encode import encode_value, field_affinity
from crossfade.stores.sqlite.keys import bound, canonical_bound
from crossfade.stores.sqlite.schema import Physical
from crossfade.types import Kind

_MOST_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Form:
    """One way to store a UUID: how to tell it in SQL (``{}`` is the column), and how to write it."""

    test: str
    write: Callable[[str], Any]


def _text(length: int, case: str) -> str:
    return f"typeof({{0}}) = 'text' AND length({{0}}) = {length} AND {{0}} = {case}({{0}}) COLLATE BINARY"


_BLOB = Form("typeof({0}) = 'blob' AND length({0}) = 16", lambda u: bytes.fromhex(u.replace("-", "")))
_LOWER = Form(_text(36, "lower"), str)
_UPPER = Form(_text(36, "upper"), str.upper)
_LOWER_HEX = Form(_text(32, "lower"), lambda u: u.replace("-", ""))
_UPPER_HEX = Form(_text(32, "upper"), lambda u: u.replace("-", "").upper())


def _form_of(field: Field, value: Any) -> Form | None:
    if isinstance(value, Text):
        lower = value == value.lower()
        if len(value) == 36:
            return _LOWER if lower else _UPPER
        # 32 digits alone would be bound as a number where the affinity is numeric
        if len(value) == 32 and field_affinity(field) in ("TEXT", "BLOB"):
            return _LOWER_HEX if lower else _UPPER_HEX
        return None
    return _BLOB if isinstance(value, bytes) else None


def uniform_forms(
    con: sqlite3.Connection, view: View, shape: Physical, courtesy: Courtesy
) -> Mapping[str, Form]:
    """Per batch name of a UUID key field the one form of all its keys.  Empty when there is not one."""
    fields = [
        field
        for field, collation in zip(view.key_fields, shape.collations, strict=True)
        if field.type.kind is Kind.UUID and collation == "BINARY"
    ]
    if not fields:
        return {}
    table = quoted(view.table.name)
    names = [quoted(field.column.name) for field in fields]
    first = con.execute(f"SELECT {', '.join(names)} FROM {table} LIMIT 1").fetchone()
    if first is None:
        return {field.name: _LOWER for field in fields}
    forms = [_form_of(field, value) for field, value in zip(fields, first, strict=True)]
    known = {field.name: form for field, form in zip(fields, forms, strict=True) if form is not None}
    if len(known) < len(fields):
        return {}
    tests = " AND ".join(f"({known[f.name].test.format(n)})" for f, n in zip(fields, names, strict=True))
    keys = [quoted(field.column.name) for field in view.key_fields]
    for where, values, rows in stored_pages(con, table, keys, courtesy):
        page = f"SELECT {', '.join(keys)} FROM {table}{where}"
        odd = f"SELECT 1 FROM ({page}) WHERE NOT ({tests}) LIMIT 1"
        if courtesy.read(partial(_first, con, odd, values), rows):
            return {}
    return known


def stored_bound(view: View, limit: Sequence[Any], forms: Mapping[str, Form]) -> tuple[Any, ...]:
    """The stored values of a range's bound.  Only for keys that are read in stored order."""
    found = []
    for field, value in zip(view.key_fields, limit, strict=True):
        form = forms.get(field.name)
        plain = canonical_bound(field, value)
        found.append(encode_value(field, plain) if form is None else form.write(plain))
    return tuple(found)


def stored_pages(
    con: sqlite3.Connection, table: str, places: Sequence[str], courtesy: Courtesy
) -> Iterator[tuple[str, list[Any], int]]:
    """Conditions that cut a table into pages in its stored order, and their rows, for statements that each
    end soon: run them by ``courtesy.read``, which learns how large the next page may be."""
    if not places:
        yield "", [], 0
        return
    left, order = row_value(places), ", ".join(places)
    after: Sequence[Any] | None = None
    while True:
        marks, values = ([], []) if after is None else bound(after)
        begin = f" WHERE {left} > {row_value(marks)}" if marks else ""
        rows = min(courtesy.pace.rows, _MOST_ROWS)
        step = f"SELECT {order} FROM {table}{begin} ORDER BY {order} LIMIT 1 OFFSET {rows - 1}"
        end = courtesy.read(partial(_first, con, step, values), rows)
        if end is None:
            yield begin, values, 0
            return
        last_marks, last = bound(end)
        where = f"{begin}{' AND' if begin else ' WHERE'} {left} <= {row_value(last_marks)}"
        yield where, [*values, *last], rows
        after = end


def _first(con: sqlite3.Connection, sql: str, values: Sequence[Any]) -> Any:
    return con.execute(sql, values).fetchone()
