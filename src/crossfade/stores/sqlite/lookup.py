"""Rows by their canonical keys."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import pyarrow as pa

from crossfade.errors import SchemaChanged
from crossfade.stores.base import View
from crossfade.stores.sqlite.connection import quoted, row_value
from crossfade.stores.sqlite.encode import plain_values
from crossfade.stores.sqlite.keys import bound, key_forms, plain_key
from crossfade.stores.sqlite.page import StoredRow
from crossfade.stores.sqlite.schema import Physical, physical
from crossfade.stores.sqlite.temporal import NotExact

_PARAMETERS = 900
"""Bound values per statement; every SQLite allows 999."""


def physical_of(con: sqlite3.Connection, view: View, where: str) -> Physical:
    """How the view's table can be addressed now.  Raises ``SchemaChanged`` when it is gone."""
    found = physical(con, view.table.name, tuple(field.column.name for field in view.key_fields))
    if found is None:
        raise SchemaChanged(
            f"the table {view.table.name} is gone", where=where, todo="inspect the schema again and re-arm"
        )
    return found


def columns_sql(view: View) -> str:
    return ", ".join(quoted(field.column.name) for field in view.fields)


def plain_keys(view: View, keys: pa.Table) -> list[tuple[Any, ...]]:
    """The keys of a key table as tuples of plain values."""
    columns = [plain_values(f, keys.column(f.name).combine_chunks()) for f in view.key_fields]
    return list(zip(*columns, strict=True))


@dataclass(frozen=True, slots=True)
class Found:
    """A row that was looked up: its canonical key, its rowid (None if the table has none), its values."""

    key: tuple[Any, ...]
    rowid: int | None
    row: StoredRow


def find_rows(
    con: sqlite3.Connection, view: View, shape: Physical, keys: Sequence[tuple[Any, ...]]
) -> Iterator[Found]:
    """The rows with these canonical keys.  A row whose own key has no canonical form is not one of them."""
    wanted = set(keys)
    names = [quoted(field.column.name) for field in view.key_fields]
    left = row_value(names)
    rowid = shape.rowid or "NULL"
    names_in_row = [f.name for f in view.fields]
    places = [names_in_row.index(name) for name in view.key]
    head = f"SELECT {rowid}, {columns_sql(view)} FROM {quoted(view.table.name)} WHERE {left} IN"
    for forms in _batches(view, keys):
        marks, values = _in_list(forms, len(names))
        for rowid_found, *row in con.execute(f"{head} {marks}", values):
            try:
                key = plain_key(view, [row[place] for place in places])
            except NotExact:
                continue
            if key in wanted:
                yield Found(key, rowid_found, row)


def _batches(view: View, keys: Sequence[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    """The stored forms of the keys, in lots that fit one statement."""
    lot: list[tuple[Any, ...]] = []
    width = len(view.key)
    for key in keys:
        each = [key_forms(f, value) for f, value in zip(view.key_fields, key, strict=True)]
        forms = list(product(*each))
        if lot and (len(lot) + len(forms)) * width > _PARAMETERS:
            yield lot
            lot = []
        lot += forms
    if lot:
        yield lot


def _in_list(forms: list[tuple[Any, ...]], width: int) -> tuple[str, list[Any]]:
    values: list[Any] = []
    rows = []
    for form in forms:
        marks, bindings = bound(form)
        values += bindings
        rows.append(", ".join(marks))
    if width == 1:
        return f"({', '.join(rows)})", values
    return f"(VALUES {', '.join(f'({row})' for row in rows)})", values
