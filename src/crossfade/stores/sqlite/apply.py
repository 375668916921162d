"""Bringing changes into a follower, in one transaction.

Order: deletes, then updates of existing rows, then inserts.  Our connections do not enforce foreign keys,
so deletes free their unique values first.  Unique values that are swapped between rows are *parked*: set
aside as NULL or as a random placeholder, then set for good.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from crossfade.errors import Refused, StoreError
from crossfade.stores.base import Applied, Change, Column, Field, ForeignKey, View
from crossfade.stores.sqlite.beside import Beside
from crossfade.stores.sqlite.connection import Database, quoted, store_error
from crossfade.stores.sqlite.encode import encode_rows, plain_values
from crossfade.stores.sqlite.install import mapped_tables
from crossfade.stores.sqlite.keys import bindable
from crossfade.stores.sqlite.lookup import Found, find_rows, physical_of, plain_keys
from crossfade.stores.sqlite.page import canonical_rows, decoded_rows, stop_at
from crossfade.stores.sqlite.schema import Physical, affinity, foreign_keys, tables, unique_indexes
from crossfade.stores.sqlite.sqltext import read_create_table

_Update = tuple[Found, list[tuple[Field, Any]]]
"""A row that is there, and the mapped columns that get another stored value."""


class SQLiteApplying:
    """The ``Applying`` of one open write transaction."""

    def __init__(self, con: sqlite3.Connection, database: Database, *, watched: bool) -> None:
        self._con = con
        self._database = database
        self._beside = Beside(con, database.where) if watched else None

    def rows(self, view: View, keys: pa.Table) -> pa.Table:
        with self._database.mapped():
            shape = physical_of(self._con, view, self._database.where)
            found = find_rows(self._con, view, shape, plain_keys(view, keys))
            batch = canonical_rows(view, [one.row for one in found], stop_at)
        return pa.Table.from_batches([batch], schema=view.schema)

    def apply(self, changes: Sequence[Change]) -> Applied:
        with self._database.mapped():
            unmapped = self._references_from_outside(changes)
            deleted = sum(self._delete(change, unmapped) for change in changes)
            counts = [self._upsert(change) for change in changes]
            if self._beside is not None:
                self._beside.check(changes)
        return Applied(
            inserted=sum(inserted for inserted, _ in counts),
            updated=sum(updated for _, updated in counts),
            deleted=deleted,
        )

    # -- deletes --

    def _references_from_outside(self, changes: Sequence[Change]) -> list[tuple[str, ForeignKey]]:
        """Foreign keys of tables that are not mapped, if any change deletes rows."""
        if not any(len(change.deletes) for change in changes):
            return []
        mapped = mapped_tables(self._con) | {change.view.table.name.lower() for change in changes}
        found = []
        for entry in tables(self._con):
            if entry.name.lower() not in mapped:
                read = read_create_table(entry.sql)
                found += [(entry.name, key) for key in foreign_keys(self._con, entry.name, read)]
        return found

    def _delete(self, change: Change, outside: Sequence[tuple[str, ForeignKey]]) -> int:
        if not len(change.deletes):
            return 0
        view = change.view
        shape = physical_of(self._con, view, self._database.where)
        there = list(find_rows(self._con, view, shape, plain_keys(view, change.deletes)))
        if not there:
            return 0
        for child, key in outside:
            if key.parent.lower() == view.table.name.lower():
                self._refuse_referenced(view, shape, there, child, key)
        where, places = _by_place(view, shape.rowid, there)
        self._con.executemany(f"DELETE FROM {quoted(view.table.name)} WHERE {where}", places)
        return len(there)

    def _refuse_referenced(
        self, view: View, shape: Physical, there: Sequence[Found], child: str, key: ForeignKey
    ) -> None:
        where, places = _by_place(view, shape.rowid, there)
        parents = ", ".join(f"p.{quoted(name)}" for name in key.parent_columns)
        own = ", ".join(f"c.{quoted(name)}" for name in key.columns)
        sql = (
            f"SELECT 1 FROM {quoted(child)} AS c, (SELECT * FROM {quoted(view.table.name)} WHERE {where}) AS p "
            f"WHERE ({own}) = ({parents}) LIMIT 1"
        )
        for found, place in zip(there, places, strict=True):
            if self._con.execute(sql, place).fetchone():
                raise Refused(
                    f"deleting the row {found.key!r} would reach rows of {child}, which is not mapped",
                    where=f"tables/{view.table.name}",
                    todo=f"map {child}, or clear its rows on this side, and let the pass run again",
                )

    # -- upserts --

    def _upsert(self, change: Change) -> tuple[int, int]:
        if not len(change.upserts):
            return 0, 0
        view = change.view
        shape = physical_of(self._con, view, self._database.where)
        wanted = change.upserts.select([field.name for field in view.fields]).combine_chunks()
        keys = plain_keys(view, wanted.select(list(view.key)))
        there = {found.key: found for found in find_rows(self._con, view, shape, keys)}
        updates = self._differing(view, wanted, keys, there)
        if updates:
            self._update(view, shape, updates)
        new = [place for place, key in enumerate(keys) if key not in there]
        if new:
            self._insert(view, wanted.take(pa.array(new)))
        return len(new), len(updates)

    def _differing(
        self,
        view: View,
        wanted: pa.Table,
        keys: Sequence[tuple[Any, ...]],
        there: dict[tuple[Any, ...], Found],
    ) -> list[_Update]:
        """Rows with a canonical difference, and only the columns that differ.  A stored value without a
        canonical form differs from everything."""
        present = [place for place, key in enumerate(keys) if key in there]
        if not present:
            return []
        found = [there[keys[place]] for place in present]
        target = wanted.take(pa.array(present))
        changes: list[list[tuple[Field, Any]]] = [[] for _ in present]
        stored_now = list(zip(*(one.row for one in found), strict=True))
        for place, field in enumerate(view.fields):
            if field.name in view.key:
                continue
            single = View(view.id, view.table, (field,), ())
            now, bad = decoded_rows(single, [(value,) for value in stored_now[place]])
            before = plain_values(field, now.column(0))
            after = plain_values(field, target.column(field.name).combine_chunks())
            differing = [n for n, (a, b) in enumerate(zip(before, after, strict=True)) if a != b or n in bad]
            if differing:
                column = target.select([field.name]).take(pa.array(differing))
                stored = encode_rows([field], column, view.table.name)
                for n, (value,) in zip(differing, stored, strict=True):
                    changes[n].append((field, value))
        return [(one, change) for one, change in zip(found, changes, strict=True) if change]

    def _update(self, view: View, shape: Physical, updates: Sequence[_Update]) -> None:
        self._con.execute("SAVEPOINT crossfade_update")
        try:
            self._set(view, shape, updates)
        except sqlite3.IntegrityError as error:
            self._con.execute("ROLLBACK TO crossfade_update")
            if error.sqlite_errorcode not in (
                sqlite3.SQLITE_CONSTRAINT_UNIQUE,
                sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
                sqlite3.SQLITE_CONSTRAINT_ROWID,
            ):
                raise
            self._park(view, shape, updates)
            self._set(view, shape, updates)
        self._con.execute("RELEASE crossfade_update")

    def _set(self, view: View, shape: Physical, updates: Sequence[_Update]) -> None:
        """Write the changed columns, rows with the same columns together."""
        groups: dict[tuple[str, ...], list[_Update]] = {}
        for update in updates:
            groups.setdefault(tuple(field.column.name for field, _ in update[1]), []).append(update)
        for names, members in groups.items():
            assignments = ", ".join(f"{quoted(name)} = ?" for name in names)
            where, places = _by_place(view, shape.rowid, [found for found, _ in members])
            values = [
                (*(v for _, v in change), *place) for (_, change), place in zip(members, places, strict=True)
            ]
            self._con.executemany(f"UPDATE {quoted(view.table.name)} SET {assignments} WHERE {where}", values)

    def _park(self, view: View, shape: Physical, updates: Sequence[_Update]) -> None:
        """Give the changed unique columns values that meet nobody else's."""
        unique = {
            (name or "").lower()
            for index in unique_indexes(self._con, view.table.name)
            for name in index.columns
        }
        parked: list[_Update] = []
        for found, change in updates:
            aside = [(f, _placeholder(f.column)) for f, _ in change if f.column.name.lower() in unique]
            if aside:
                parked.append((found, aside))
        try:
            self._set(view, shape, parked)
        except sqlite3.IntegrityError as error:
            raise StoreError(
                f"unique values of {view.table.name} are exchanged between rows, and cannot be set aside for "
                f"a moment: {error}",
                where=self._database.where,
                todo="a CHECK or NOT NULL constraint forbids the placeholder; relax it on this side",
            ) from error

    def _insert(self, view: View, rows: pa.Table) -> None:
        names = ", ".join(quoted(field.column.name) for field in view.fields)
        marks = ", ".join("?" * len(view.fields))
        values = encode_rows(view.fields, rows, view.table.name)
        try:
            self._con.executemany(f"INSERT INTO {quoted(view.table.name)} ({names}) VALUES ({marks})", values)
        except sqlite3.IntegrityError as error:
            raise store_error(error, f"{self._database.where}/{view.table.name}") from error


def _by_place(view: View, rowid: str | None, rows: Sequence[Found]) -> tuple[str, list[tuple[Any, ...]]]:
    """A condition that finds exactly these rows, and its values per row."""
    if all(found.rowid is not None for found in rows):
        return f"{rowid} = ?", [(found.rowid,) for found in rows]
    # without a rowid the key as stored; = lets the index find it, IS … BINARY tells 'A' from 'a'
    names = [field.name for field in view.fields]
    keys = [quoted(field.column.name) for field in view.key_fields]
    tests = [f"{key} = ? AND {key} IS ? COLLATE BINARY" for key in keys]
    places = [names.index(name) for name in view.key]
    stored = [[bindable(found.row[place]) for place in places for _ in range(2)] for found in rows]
    return " AND ".join(tests), [tuple(values) for values in stored]


def _placeholder(column: Column) -> Any:
    """A value that no other row has and that the column takes for a moment."""
    if column.nullable:
        return None
    declared = column.declared.upper()
    if not column.strict:
        return secrets.token_bytes(16)
    if affinity(declared, strict=True) == "INTEGER":
        return -1 - secrets.randbits(62)
    if affinity(declared, strict=True) == "REAL":
        return -float(secrets.randbits(52)) - 0.5
    return secrets.token_hex(16) if affinity(declared, strict=True) == "TEXT" else secrets.token_bytes(16)
