"""Reading in canonical key order where SQLite's own order is another: a list of all keys, sorted.

Needed for keys that are stored in several forms (UUIDs as text and blobs, times, decimals), and for text
keys whose index folds case.  The keys of the table are read in short pages, sorted here, and the rows then
fetched by key.  A key that is written after the list was made is missed, and is in the log.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import pyarrow as pa

from crossfade.stores.base import KeyRange, RejectSink, View
from crossfade.stores.sqlite.connection import quoted, row_value
from crossfade.stores.sqlite.courtesy import Courtesy
from crossfade.stores.sqlite.keys import bound, canonical_bound, plain_key
from crossfade.stores.sqlite.lookup import columns_sql, find_rows
from crossfade.stores.sqlite.page import canonical_rows
from crossfade.stores.sqlite.schema import Physical
from crossfade.stores.sqlite.temporal import NotExact
from crossfade.types import Kind

_KEYS_PER_PAGE = 20_000
_ROWS_PER_PAGE = 500
Key = tuple[Any, ...]


class Listing:
    """All canonical keys of a table in canonical order (text by its UTF-8 bytes, decimals by value)."""

    def __init__(self, con: sqlite3.Connection, view: View, shape: Physical, courtesy: Courtesy) -> None:
        self._view = view
        self._shape = shape
        self._names = [quoted(f.column.name) for f in view.key_fields]
        # a table without a rowid is read in the order of its key, whatever the collation
        self._places = [shape.rowid] if shape.rowid else self._names
        self._decimals = [f.type.kind is Kind.DECIMAL for f in view.key_fields]
        self._unusable: list[Sequence[Any]] = []
        self.keys: list[Key] = sorted(self._read(con, courtesy), key=self._rank)

    def _rank(self, key: Sequence[Any]) -> Key:
        return tuple(Decimal(v) if d else v for v, d in zip(key, self._decimals, strict=True))

    def _read(self, con: sqlite3.Connection, courtesy: Courtesy) -> Iterator[Key]:
        width = len(self._places)
        present = [f"{quoted(f.column.name)} IS NOT NULL" for f in self._view.key_fields if f.column.nullable]
        after: Sequence[Any] | None = None
        while True:
            tests, values = list(present), list[Any]()
            if after is not None:
                marks, values = bound(after)
                tests.append(f"{row_value(self._places)} > {row_value(marks)}")
            where = f" WHERE {' AND '.join(tests)}" if tests else ""
            wanted = min(courtesy.pace.rows, _KEYS_PER_PAGE)
            page = (
                f"SELECT {', '.join([*self._places, *self._names])} FROM {quoted(self._view.table.name)}{where} "
                f"ORDER BY {', '.join(self._places)} LIMIT {wanted}"
            )
            rows = courtesy.read(partial(_all, con, page, values), wanted)
            for row in rows:
                try:
                    yield plain_key(self._view, row[width:])
                except NotExact:
                    self._unusable.append(row[:width])
            if len(rows) < wanted:
                return
            after = rows[-1][:width]

    def reject(self, con: sqlite3.Connection, rejects: RejectSink) -> None:
        """Report the rows whose key has no canonical form."""
        for place in self._unusable:
            marks, values = bound(place)
            rows = con.execute(
                f"SELECT {columns_sql(self._view)} FROM {quoted(self._view.table.name)} "
                f"WHERE {row_value(self._places)} = {row_value(marks)}",
                values,
            ).fetchall()
            canonical_rows(self._view, rows, rejects)

    def _position(self, limit: Sequence[Any] | None, default: int) -> int:
        if limit is None:
            return default
        plain = tuple(canonical_bound(f, v) for f, v in zip(self._view.key_fields, limit, strict=True))
        return bisect_right(self.keys, self._rank(plain), key=self._rank)

    def batches(
        self, con: sqlite3.Connection, over: KeyRange, rejects: RejectSink
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a range, in canonical key order."""
        start, end = self._position(over.after, 0), self._position(over.upto, len(self.keys))
        for begin in range(start, end, _ROWS_PER_PAGE):
            keys = self.keys[begin : min(begin + _ROWS_PER_PAGE, end)]
            rank = {key: number for number, key in enumerate(keys)}
            found = sorted(find_rows(con, self._view, self._shape, keys), key=lambda f: rank[f.key])
            batch = canonical_rows(self._view, [one.row for one in found], rejects)
            if batch.num_rows:
                yield batch


def _all(con: sqlite3.Connection, sql: str, values: Sequence[Any]) -> list[Any]:
    return con.execute(sql, values).fetchall()
