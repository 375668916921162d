"""Planning ranges of a table and reading them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from crossfade.stores import reading_process
from crossfade.stores.base import KeyRange, RejectSink, View
from crossfade.stores.sqlite.columnar import Readers
from crossfade.stores.sqlite.connection import Database, quoted
from crossfade.stores.sqlite.courtesy import Courtesy
from crossfade.stores.sqlite.decode import canonical_array
from crossfade.stores.sqlite.forms import Form, stored_bound, uniform_forms
from crossfade.stores.sqlite.keys import in_stored_order, plain_key
from crossfade.stores.sqlite.listing import Listing
from crossfade.stores.sqlite.lookup import columns_sql, physical_of
from crossfade.stores.sqlite.page import canonical_rows
from crossfade.stores.sqlite.scan import PageSql, TableScan
from crossfade.stores.sqlite.temporal import NotExact
from crossfade.types import Kind

_NULL_KEYS_PER_PAGE = 1_000
_CLOSE = 0.5
_PLACES = 32
_LOOK = 64


class TableReader:
    """Plans and scans; the reading processes it starts end with ``close``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._readers = Readers(database)
        self._paces: dict[str, int] = {}
        self._listings: dict[str, Listing] = {}
        self._forms: dict[str, Mapping[str, Form]] = {}

    def close(self) -> None:
        self._readers.close()

    def expect_scans(self) -> None:
        """Start the reading processes of a large database; a small one may never need them."""
        with contextlib.suppress(OSError):
            if self._database.path.stat().st_size >= reading_process.LARGE:
                self._readers.warm(reading_process.AT_ONCE)

    def plan(self, view: View, rows: int) -> list[KeyRange]:
        """Ranges of about ``rows`` rows, found by short reads of the key's index."""
        if not view.key:
            return [KeyRange()]
        with self._database.reading() as con:
            courtesy = Courtesy(self._database, con)
            shape = physical_of(con, view, self._database.where)
            if _more_than(con, view, rows):
                self._readers.warm(reading_process.AT_ONCE)
            forms = self._forms[view.table.name] = uniform_forms(
                con, view, shape, Courtesy(self._database, con)
            )
            if in_stored_order(view, shape, forms):
                sql = PageSql(view, shape)
                with self._database.reading(timeout=0) as quick:  # what waits for a lock holds none
                    look = Courtesy(self._database, quick)
                    even = _even_boundaries(quick, view, sql, rows, look)
                    bounds = list(_boundaries(quick, view, sql, rows, look) if even is None else even)
            else:
                listing = self._listings[view.table.name] = Listing(con, view, shape, courtesy)
                keys = listing.keys
                # the last boundary must leave rows behind it
                bounds = [_canonical(view, keys[place]) for place in range(rows - 1, len(keys) - 1, rows)]
        return [KeyRange(after, upto) for after, upto in zip([None, *bounds], [*bounds, None], strict=True)]

    def scan(self, view: View, over: KeyRange, rejects: RejectSink) -> Iterator[pa.RecordBatch]:
        """The rows of a range, canonical, in key order."""
        with self._database.mapped():
            with self._database.reading() as con:
                courtesy = Courtesy(self._database, con)
                shape = physical_of(con, view, self._database.where)
                if over.after is None:
                    _reject_null_keys(con, view, rejects)
                forms = self._forms.get(view.table.name)
                if forms is None or over == KeyRange():
                    forms = uniform_forms(con, view, shape, courtesy)
                if view.key and not in_stored_order(view, shape, forms):
                    # a plan's list serves its ranges; what is written since is in the log
                    listing = self._listings.get(view.table.name) or Listing(con, view, shape, courtesy)
                    if over.after is None:
                        listing.reject(con, rejects)
                    yield from listing.batches(con, over, rejects)
                    if over.upto is None:
                        self._listings.pop(view.table.name, None)
                    return
            after = None if over.after is None else stored_bound(view, over.after, forms)
            upto = None if over.upto is None else stored_bound(view, over.upto, forms)
            scan = TableScan(self._database, self._readers, view, shape, rejects)
            try:
                yield from scan.batches(after, upto, known=self._paces.get(view.table.name))
            finally:
                if scan.columnar:
                    self._paces[view.table.name] = scan.pace


def _more_than(con: sqlite3.Connection, view: View, rows: int) -> bool:
    sql = f"SELECT 1 FROM {quoted(view.table.name)} LIMIT 1 OFFSET {rows}"
    return con.execute(sql).fetchone() is not None


def _even_boundaries(
    con: sqlite3.Connection, view: View, sql: PageSql, rows: int, courtesy: Courtesy
) -> list[tuple[Any, ...]] | None:
    """Bounds of ranges that are equally wide; None unless the key is an integer and its numbers lie so close that
    no range can hold more than twice as many ``rows``.  Finding every ``rows``-th key would read the whole index,
    which for a rowid is the table."""
    if [f.type.kind for f in view.key_fields] != [Kind.INTEGER]:
        return None
    where, values = sql.where(None, None)
    ends = [sql.select(sql.keys, where, 1), sql.select(sql.keys, where, None) + " DESC LIMIT 1"]
    found = [row[0] for step in ends for row in courtesy.read(partial(_all, con, step, values))]
    if len(found) < 2 or not all(isinstance(key, int) for key in found):
        return None
    first, last = found
    if last - first < rows:
        return []
    if (
        last - first > courtesy.patiently(lambda: _most_rows(con))
        or (share := _density(con, sql, first, last, courtesy)) < _CLOSE
    ):
        return None
    width = int(rows / share)
    return [(bound,) for bound in range(first + width - 1, last, width)]


def _most_rows(con: sqlite3.Connection) -> int:
    """More rows than the file has room for: a row takes a pointer of two bytes, its length and its key."""
    pages, size = (con.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(pages) * int(size) // 4


def _density(con: sqlite3.Connection, sql: PageSql, first: int, last: int, courtesy: Courtesy) -> float:
    """About the share of the numbers in this span that are keys, by looks at a few places of it."""
    shares = []
    for place in range(first, last, max(1, (last - first) // _PLACES)):
        where, values = sql.where(None if place == first else (place - 1,), None)
        keys = courtesy.read(partial(_all, con, sql.select(sql.keys, where, _LOOK), values))
        end = keys[-1][0] if len(keys) == _LOOK and isinstance(keys[-1][0], int) else last
        shares.append(len(keys) / (end - place + 1))
    return sum(shares) / len(shares)


def _boundaries(
    con: sqlite3.Connection, view: View, sql: PageSql, rows: int, courtesy: Courtesy
) -> Iterator[tuple[Any, ...]]:
    """Every ``rows``-th canonical key, except the last."""
    after: Sequence[Any] | None = None
    while True:
        where, values = sql.where(after, None)
        step = sql.select(sql.keys, where, 2) + f" OFFSET {rows - 1}"
        found = courtesy.read(partial(_all, con, step, values))
        if len(found) < 2:
            return
        after = found[0]
        try:
            yield _canonical(view, plain_key(view, after))
        except NotExact:
            continue  # a key without a canonical form bounds nothing; its range only grows


def _all(con: sqlite3.Connection, sql: str, values: Sequence[Any]) -> list[Any]:
    return con.execute(sql, values).fetchall()


def _canonical(view: View, plain: Sequence[Any]) -> tuple[Any, ...]:
    """A key as canonical Python values, as ``KeyRange`` wants them."""
    return tuple(
        canonical_array(f.type, [value])[0].as_py() for f, value in zip(view.key_fields, plain, strict=True)
    )


def _reject_null_keys(con: sqlite3.Connection, view: View, rejects: RejectSink) -> None:
    tests = [f"{quoted(f.column.name)} IS NULL" for f in view.key_fields if f.column.nullable]
    if not tests:
        return
    done = 0
    while True:
        rows = con.execute(
            f"SELECT {columns_sql(view)} FROM {quoted(view.table.name)} WHERE {' OR '.join(tests)} "
            f"LIMIT {_NULL_KEYS_PER_PAGE} OFFSET {done}"
        ).fetchall()
        canonical_rows(view, rows, rejects)
        done += len(rows)
        if len(rows) < _NULL_KEYS_PER_PAGE:
            return
