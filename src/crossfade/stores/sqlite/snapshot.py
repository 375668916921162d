"""One consistent read of the database: log position, changed keys, rows, fingerprints."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from crossfade.errors import Refused
from crossfade.stores.base import RejectSink, View
from crossfade.stores.sqlite.capture import LOG, STATE
from crossfade.stores.sqlite.connection import Database, maybe_text, quoted, text
from crossfade.stores.sqlite.decode import canonical_array
from crossfade.stores.sqlite.keys import bound, plain_key
from crossfade.stores.sqlite.lookup import find_rows, physical_of, plain_keys
from crossfade.stores.sqlite.page import canonical_rows, stop_at
from crossfade.stores.sqlite.schema import OURS
from crossfade.stores.sqlite.temporal import NotExact


def log_position(con: sqlite3.Connection) -> int:
    """The highest sequence number ever given to a log row that was committed."""
    row = con.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (LOG,)).fetchone()
    return int(row[0]) if row else 0


def key_table(view: View, keys: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Plain keys as the view's key table."""
    columns = list(zip(*keys, strict=True)) if keys else [()] * len(view.key)
    arrays = [canonical_array(f.type, values) for f, values in zip(view.key_fields, columns, strict=True)]
    return pa.Table.from_arrays(arrays, schema=view.key_schema)


class Fingerprints:
    """Hashes of table definitions, remembered while ``schema_version`` stays what it was."""

    def __init__(self) -> None:
        self._known: tuple[int, Mapping[str, str]] = (-1, {})

    def of(self, con: sqlite3.Connection, views: Sequence[View]) -> dict[int, str]:
        version = con.execute("PRAGMA schema_version").fetchone()[0]
        known_version, hashes = self._known
        if known_version != version:
            hashes = self._compute(con)
            self._known = (version, hashes)
        return {view.id: hashes.get(view.table.name.lower(), "gone") for view in views}

    def _compute(self, con: sqlite3.Connection) -> dict[str, str]:
        """The hash of a table's SQL, its indexes' SQL and our triggers' SQL, by lower-case name."""
        parts: dict[str, list[str]] = {}
        rows = con.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name")
        for raw_kind, raw_name, raw_table, raw_sql in rows.fetchall():
            kind, name = text(raw_kind), text(raw_name)
            if kind == "trigger" and not name.startswith(OURS):
                continue
            parts.setdefault(text(raw_table).lower(), []).append(f"{kind}\0{name}\0{maybe_text(raw_sql)}")
        return {
            table: hashlib.sha256("\0\0".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
            for table, lines in parts.items()
        }


class SQLiteSnapshot:
    """The ``Snapshot`` of one open read transaction."""

    def __init__(self, con: sqlite3.Connection, database: Database, prints: Fingerprints) -> None:
        self._con = con
        self._database = database
        self._prints = prints
        self._position = log_position(con)

    @property
    def position(self) -> str:
        return str(self._position)

    def fingerprints(self, views: Sequence[View]) -> Mapping[int, str]:
        with self._database.mapped():
            return self._prints.of(self._con, views)

    def changed(self, views: Sequence[View], since: str | None) -> Mapping[int, pa.Table]:
        begin = int(since or 0)
        if begin > self._position:
            raise Refused(
                f"the log ends at {self._position}, but changes up to {begin} were already read from it",
                where=self._database.where,
                todo="the database was restored or replaced; compare both sides completely before going on",
            )
        found: dict[int, pa.Table] = {}
        with self._database.mapped():
            row = self._con.execute(f"SELECT trimmed FROM {STATE}").fetchone()
            if row is not None and row[0] is not None and begin < row[0]:
                raise Refused(
                    f"the log was already trimmed up to {row[0]}, but the follower's position is {begin}: it has "
                    "lost what it had committed",
                    where=self._database.where,
                    todo="copy again, because what was trimmed cannot be brought over any more",
                )
            for view in views:
                if view.key and (keys := self._keys(view, begin)):
                    found[view.id] = key_table(view, keys)
        return found

    def _keys(self, view: View, begin: int) -> list[tuple[Any, ...]]:
        marks = [f"k{n + 1}" for n in range(len(view.key))]
        # DISTINCT takes 1 and 1.0 for one; a key's storage class tells them apart
        classes = [f"typeof({mark})" for mark in marks]
        rows = self._con.execute(
            f"SELECT DISTINCT {', '.join(marks + classes)} FROM {LOG} WHERE seq > ? AND tbl = ?",
            (begin, view.id),
        ).fetchall()
        keys: dict[tuple[Any, ...], None] = {}
        for row in rows:
            stored = row[: len(marks)]
            try:
                keys[plain_key(view, stored)] = None
            except NotExact:
                self._stop_if_present(view, stored)
        return list(keys)

    def _stop_if_present(self, view: View, stored: Sequence[Any]) -> None:
        """A logged key that has no canonical form stops the pass while a row has it; once the row is gone
        or corrected, nothing of it can be on the other side."""
        marks, values = bound(stored)
        tests = [
            f"{quoted(f.column.name)} IS {mark} COLLATE BINARY"
            for f, mark in zip(view.key_fields, marks, strict=True)
        ]
        columns = ", ".join(quoted(f.column.name) for f in view.fields)
        rows = self._con.execute(
            f"SELECT {columns} FROM {quoted(view.table.name)} WHERE {' AND '.join(tests)}", values
        ).fetchall()
        canonical_rows(view, rows, stop_at)

    def rows(self, view: View, keys: pa.Table, rejects: RejectSink) -> pa.Table:
        with self._database.mapped():
            shape = physical_of(self._con, view, self._database.where)
            found = find_rows(self._con, view, shape, plain_keys(view, keys))
            batch = canonical_rows(view, [one.row for one in found], rejects)
        return pa.Table.from_batches([batch], schema=view.schema)
