"""Reading a table by key range in short pages, so that nobody's write waits longer than one page.

In rollback-journal mode every open read keeps writers from committing; a page is therefore read to its end
into memory, in a time that is measured and kept under ``PAGE_SECONDS``, and decoded when nothing is locked
any more.  Pages are read column-wise by another process while this one decodes the page before; a page that
the column-wise way cannot prove exact is read again row by row and decoded value by value.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from crossfade.stores.base import RejectSink, View
from crossfade.stores.sqlite.columnar import (
    ColumnarReader,
    ReaderGone,
    Readers,
    class_column,
    decode_column,
    findable,
    needs_classes,
)
from crossfade.stores.sqlite.connection import Database, Text, patiently, quoted, row_value
from crossfade.stores.sqlite.courtesy import (
    FIRST_ROWS,
    MOST_ROWS,
    PAGE_BYTES,
    Courtesy,
    Pace,
)
from crossfade.stores.sqlite.encode import field_affinity
from crossfade.stores.sqlite.keys import bound
from crossfade.stores.sqlite.page import StoredRow, canonical_rows
from crossfade.stores.sqlite.schema import Physical

LARGE_ROW = 64 * 2**10
"""A row above this many bytes sends its page to the row-by-row way, which stops by bytes."""
_FIRST_PAGES = 2
_DOUBTS = 3
"""After so many pages in doubt, one after another, a scan stays with the row-by-row way."""


_Left = tuple[Sequence[Any] | None, bool]
"""The stored key from which a range has still to be read, and whether it is done."""


@dataclass(frozen=True)
class PageSql:
    """The statements of one table's pages, by the stored key or by the rowid."""

    view: View
    shape: Physical

    @property
    def by_rowid(self) -> bool:
        return not self.view.key

    @property
    def keys(self) -> tuple[str, ...]:
        """The expressions that a page is ordered by."""
        if self.by_rowid:
            return (self.shape.rowid,) if self.shape.rowid else ()
        return tuple(quoted(f.column.name) for f in self.view.key_fields)

    def where(self, after: Sequence[Any] | None, upto: Sequence[Any] | None) -> tuple[str, list[Any]]:
        tests, values = [], []
        left = row_value(self.keys)
        for limit, sign in ((after, ">"), (upto, "<=")):
            if limit is not None:
                marks, bindings = bound(limit)
                tests.append(f"{left} {sign} {row_value(marks)}")
                values += bindings
        if not self.by_rowid:
            tests += [
                f"{quoted(f.column.name)} IS NOT NULL" for f in self.view.key_fields if f.column.nullable
            ]
        return (f" WHERE {' AND '.join(tests)}" if tests else ""), values

    def select(self, expressions: Sequence[str], where: str, rows: int | None) -> str:
        order = f" ORDER BY {', '.join(self.keys)}" if self.keys else ""
        limit = "" if rows is None else f" LIMIT {rows}"
        return f"SELECT {', '.join(expressions)} FROM {quoted(self.view.table.name)}{where}{order}{limit}"


class TableScan:
    """One scan of one range ``(after, upto]`` of stored keys."""

    def __init__(
        self, database: Database, readers: Readers, view: View, shape: Physical, rejects: RejectSink
    ) -> None:
        self._database = database
        self._readers = readers
        self._view = view
        self._sql = PageSql(view, shape)
        self._rejects = rejects
        self._pace = Pace()
        self._courtesy: Courtesy | None = None
        self.columnar = False
        self._width = len(self._sql.keys)
        names = [f.name for f in view.fields]
        self._key_places = [names.index(name) for name in view.key]

    @property
    def pace(self) -> int:
        """The rows that the next page would take."""
        return self._pace.rows

    def batches(
        self, after: Sequence[Any] | None, upto: Sequence[Any] | None, *, known: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of the range, in key order.  ``known`` is the pace of an earlier, column-wise scan of
        the same table."""
        if not self._sql.keys:
            yield from self._whole()
            return
        with self._database.reading(timeout=0) as con:
            self._courtesy = Courtesy(self._database, con)
            # small ranges end before a reading process would have started
            self._pace = self._courtesy.pace = Pace(known or FIRST_ROWS)
            for _ in range(0 if known or self._readers.waiting else _FIRST_PAGES):
                rows, after, done = self._page(con, after, upto)
                yield from self._decoded(rows)
                if done:
                    return
            after, done = yield from self._columnar(con, after, upto)
            if done:
                return
            done = False
            while not done:
                rows, after, done = self._page(con, after, upto)
                yield from self._decoded(rows)

    def _give_way(self, seconds: float) -> None:
        if self._courtesy is not None:
            self._courtesy.give_way(seconds)

    # -- row by row --

    def _page(
        self, con: sqlite3.Connection, after: Sequence[Any] | None, upto: Sequence[Any] | None
    ) -> tuple[list[StoredRow], Sequence[Any] | None, bool]:
        """One page by the standard library: its rows, its last stored key, and whether it is the last."""
        where, values = self._sql.where(after, upto)
        columns = [quoted(f.column.name) for f in self._view.fields]
        wanted = self._pace.rows
        sql = self._sql.select((*self._sql.keys, *columns), where, wanted)
        cursor = patiently(lambda: con.execute(sql, values), self._database.busy_timeout)
        began = time.monotonic()
        rows: list[StoredRow] = []
        size = 0
        stopped = False
        last: Sequence[Any] | None = after
        try:
            for row in cursor:
                rows.append(row[self._width :])
                last = row[: self._width]
                size += sum(len(v) if isinstance(v, bytes) else 8 for v in row)
                if size > PAGE_BYTES or (
                    len(rows) % 64 == 0 and time.monotonic() - began > self._pace.seconds
                ):
                    stopped = True
                    break
        finally:
            cursor.close()
        self._give_way(time.monotonic() - began)
        done = not stopped and len(rows) < wanted
        if not done:
            self._pace.learn(len(rows), size, time.monotonic() - began)
        return rows, last, done

    def _decoded(self, rows: Sequence[StoredRow]) -> Iterator[pa.RecordBatch]:
        if rows:
            batch = canonical_rows(self._view, rows, self._rejects)
            if batch.num_rows:
                yield batch

    def _whole(self) -> Iterator[pa.RecordBatch]:
        """A table with neither a key nor an addressable rowid is read in one go."""
        with self._database.reading() as con:
            columns = [quoted(f.column.name) for f in self._view.fields]
            rows = con.execute(self._sql.select(columns, "", None)).fetchall()
        for start in range(0, len(rows), MOST_ROWS):
            yield from self._decoded(rows[start : start + MOST_ROWS])

    # -- column-wise --

    def _columnar(
        self, con: sqlite3.Connection, after: Sequence[Any] | None, upto: Sequence[Any] | None
    ) -> Generator[pa.RecordBatch, None, _Left]:
        """Pages from a reading process, and what they leave to the row-by-row way."""
        try:
            reader = self._readers.take()
        except ReaderGone:
            return after, False
        try:
            left = yield from self._pages(reader, con, after, upto)
        finally:
            self._readers.give(reader)
        return left

    def _pages(
        self,
        reader: ColumnarReader,
        con: sqlite3.Connection,
        after: Sequence[Any] | None,
        upto: Sequence[Any] | None,
    ) -> Generator[pa.RecordBatch, None, _Left]:
        doubts = 0
        try:
            asked = self._ask(reader, after, upto)
            while doubts < _DOUBTS:
                page = reader.answer()
                if page.table is not None and not len(page.table):
                    return after, True
                last = None if page.table is None else self._last_key(page.table)
                if page.table is None or last is None:
                    # rows too large, or a key in doubt: one page row by row, then try again
                    doubts += 1
                    rows, after, done = self._page(con, after, upto)
                    yield from self._decoded(rows)
                    if done:
                        return after, True
                    asked = self._ask(reader, after, upto)
                    continue
                more = len(page.table) == asked
                self._give_way(page.seconds)
                if more:  # the process reads the next page while this one is decoded
                    self._pace.learn(len(page.table), page.table.nbytes, page.seconds)
                    asked = self._ask(reader, last, upto)
                batch = self._decode_page(page.table)
                if batch is not None:
                    doubts = 0
                    self.columnar = True
                    yield batch
                else:
                    doubts += 1
                    yield from self._again(con, after, last)
                after = last
                if not more:
                    return after, True
        except ReaderGone:
            return after, False
        return after, False

    def _again(
        self, con: sqlite3.Connection, after: Sequence[Any] | None, last: Sequence[Any]
    ) -> Iterator[pa.RecordBatch]:
        done = False
        while not done:
            rows, after, done = self._page(con, after, last)
            yield from self._decoded(rows)

    def _ask(self, reader: ColumnarReader, after: Sequence[Any] | None, upto: Sequence[Any] | None) -> int:
        where, values = self._sql.where(after, upto)
        rows = self._pace.rows
        names = [quoted(f.column.name) for f in self._view.fields]
        expressions = [f"{name} AS c{n}" for n, name in enumerate(names)]
        expressions += [
            f"{class_column(name)} AS t{n}"
            for n, (name, f) in enumerate(zip(names, self._view.fields, strict=True))
            if needs_classes(f)
        ]
        if self._sql.by_rowid:
            expressions.append(f"{self._sql.keys[0]} AS r")
        where += f"{' AND ' if where else ' WHERE '}{guard}" if (guard := self._guard()) else ""
        reader.ask(self._sql.select(expressions, where, rows), values, rows)
        return rows

    def _guard(self) -> str:
        """A condition that ends the statement (``columnar_process.TOO_LARGE``) at a row that is too large, before
        its values are read.  ``octet_length`` looks at headers only; of a number it would make text, so columns of
        numbers are left out: a huge text in one costs memory, not exactness."""
        loose = [f.column.name for f in self._view.fields if field_affinity(f) in ("TEXT", "BLOB")]
        if not loose:
            return ""
        size = " + ".join(f"coalesce(octet_length({quoted(name)}), 0)" for name in loose)
        # the least integer has no absolute value
        return f"abs(({size} > {LARGE_ROW}) * {-(2**63)}) = 0"

    def _last_key(self, table: pa.Table) -> tuple[Any, ...] | None:
        """The stored key of the page's last row, or None when a key column's type is in doubt."""
        if not len(table):
            return ()
        if self._sql.by_rowid:
            return (table.column("r")[-1].as_py(),)
        found = []
        for place in self._key_places:
            f = self._view.fields[place]
            classes = table.column(f"t{place}").combine_chunks() if needs_classes(f) else None
            column = table.column(f"c{place}").combine_chunks()
            if decode_column(f, column, classes) is None:
                return None
            value = column[len(column) - 1].as_py()
            if value is None:
                return None
            found.append(Text(value.encode()) if isinstance(value, str) else value)
        return tuple(found)

    def _decode_page(self, table: pa.Table) -> pa.RecordBatch | None:
        arrays = []
        for place, f in enumerate(self._view.fields):
            classes = table.column(f"t{place}").combine_chunks() if needs_classes(f) else None
            array = decode_column(f, table.column(f"c{place}").combine_chunks(), classes)
            if array is None or (place in self._key_places and not findable(f, table.column(f"c{place}"))):
                return None
            arrays.append(array)
        return pa.RecordBatch.from_arrays(arrays, schema=self._view.schema)
