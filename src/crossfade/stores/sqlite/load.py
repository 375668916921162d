"""SQLite as the target of a move: tables, indexes set aside while rows are loaded, and the load itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence

import pyarrow as pa

from crossfade.stores.base import Chunk, Field, Finding, Index, Table, Token, View
from crossfade.stores.sqlite.capture import STATE, arm, wanted
from crossfade.stores.sqlite.connection import Database, maybe_text, quoted, text
from crossfade.stores.sqlite.encode import encode_rows
from crossfade.stores.sqlite.install import CHUNKS, CREATE_DEFERRED, DEFERRED
from crossfade.stores.sqlite.schema import qualified, tables
from crossfade.stores.sqlite.sqltext import index_predicate
from crossfade.stores.sqlite.state import bypass, check_token, has_state
from crossfade.types import Kind, StoredAs

_DECLARED: dict[Kind, str] = {
    Kind.BOOLEAN: "BOOLEAN",
    Kind.INTEGER: "INTEGER",
    Kind.FLOAT: "REAL",
    Kind.DECIMAL: "TEXT",  # a numeric affinity would round what a double does not hold
    Kind.BYTES: "BLOB",
    Kind.DATE: "DATE",
    Kind.TIMESTAMP: "DATETIME",
    Kind.INSTANT: "DATETIME",
    Kind.TIME: "TIME",
}


class Loading:
    """The verbs of the protocol for the initial load."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def create_tables(self, views: Sequence[View], source: Mapping[int, Table]) -> list[Finding]:
        findings: list[Finding] = []
        names = {source[view.id].name: view for view in views if view.id in source}
        with self._db.writing(create=True) as con:
            there = {entry.name.lower() for entry in tables(con)}
            for view in views:
                if view.table.name.lower() in there:
                    continue
                origin = source.get(view.id, view.table)
                con.execute(_create_sql(view, origin, names, findings))
                for index in origin.indexes:
                    _create_index(con, view, index, findings)
        return findings

    def prepare_load(self, views: Sequence[View]) -> None:
        with self._db.writing() as con:
            con.execute(CREATE_DEFERRED)
            for view in views:
                rows = con.execute(
                    "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL "
                    "AND tbl_name = ? COLLATE NOCASE",
                    (view.table.name,),
                ).fetchall()
                for name, sql in rows:
                    values = (text(name), view.table.name, text(sql))
                    con.execute(f"INSERT OR REPLACE INTO {DEFERRED} VALUES (?, ?, ?)", values)
                    con.execute(f"DROP INDEX {quoted(text(name))}")

    def load(
        self, view: View, batches: Iterable[pa.RecordBatch], chunk: Callable[[int], Chunk], token: Token
    ) -> int:
        names = qualified(tuple(field.column.name for field in view.fields))
        marks = ", ".join("?" * len(view.fields))
        insert = f"INSERT INTO {quoted(view.table.name)} ({names}) VALUES ({marks})"
        number = chunk(0).number
        with self._db.writing() as con:
            check_token(con, token, self._db.where)
            known = con.execute(f"SELECT 1 FROM {CHUNKS} WHERE tbl = ? AND number = ?", (view.id, number))
            if known.fetchone():
                return 0
            count = 0
            with bypass(con, token.move):
                for batch in batches:
                    rows = encode_rows(view.fields, pa.Table.from_batches([batch]), view.table.name)
                    con.executemany(insert, rows)
                    count += len(rows)
            done = chunk(count)
            con.execute(
                f"INSERT INTO {CHUNKS} VALUES (?, ?, ?, ?)",
                (done.view, done.number, done.rows, done.rejected),
            )
        return count

    def restart_load(self, view: View, token: Token) -> None:
        with self._db.writing() as con:
            check_token(con, token, self._db.where)
            with bypass(con, token.move):
                con.execute(f"DELETE FROM {quoted(view.table.name)}")
            con.execute(f"DELETE FROM {CHUNKS} WHERE tbl = ?", (view.id,))

    def chunks(self, move: str) -> list[Chunk]:
        with self._db.reading() as con:
            if not has_state(con):
                return []
            if con.execute(f"SELECT 1 FROM {STATE} WHERE move = ?", (move,)).fetchone() is None:
                return []
            rows = con.execute(f"SELECT tbl, number, rows, rejected FROM {CHUNKS} ORDER BY tbl, number")
            return [Chunk(*row) for row in rows.fetchall()]

    def finish_load(self, views: Sequence[View]) -> list[Finding]:
        findings: list[Finding] = []
        with self._db.writing() as con:
            con.execute(CREATE_DEFERRED)
            for view in views:
                findings += _restore_indexes(con, view.table.name)
                findings += orphans(con, view.table.name)
            if has_state(con):
                # an index that came back may need a probe
                row = con.execute(f"SELECT move FROM {STATE}").fetchone()
                if row is not None:
                    arm(con, wanted(con, text(row[0]), views, []), keep_others=True)
        return findings


def _restore_indexes(con: sqlite3.Connection, table: str) -> list[Finding]:
    findings = []
    rows = con.execute(f"SELECT name, sql FROM {DEFERRED} WHERE tbl = ?", (table,)).fetchall()
    for raw_name, sql in rows:
        name = text(raw_name)
        con.execute("SAVEPOINT crossfade_index")
        try:
            con.execute(text(sql))
            con.execute(f"DELETE FROM {DEFERRED} WHERE name = ?", (name,))
        except sqlite3.IntegrityError as error:
            con.execute("ROLLBACK TO crossfade_index")
            findings.append(
                Finding(
                    "error",
                    "sqlite.index",
                    f"the index {name} cannot be built: {error}",
                    where=f"tables/{table}",
                    todo="the rows of the other side are not unique by this index's rules; correct them",
                )
            )
        con.execute("RELEASE crossfade_index")
    return findings


def orphans(con: sqlite3.Connection, table: str) -> list[Finding]:
    """Rows whose foreign keys have no parent, counted per parent."""
    rows = con.execute(
        'SELECT "parent", count(*) FROM pragma_foreign_key_check(?) GROUP BY 1 ORDER BY 1', (table,)
    ).fetchall()
    return [
        Finding(
            "warning",
            "sqlite.orphans",
            f"{count} foreign keys to {maybe_text(parent)} have no parent row",
            where=f"tables/{table}",
            todo="delete or repair those rows, or leave that foreign key out on the other side",
        )
        for parent, count in rows
    ]


# --- definitions ------------------------------------------------------------


def declared_type(field: Field) -> str:
    """The type to declare for a field: what the view says, else one that holds the kind exactly."""
    if field.column.declared:
        return field.column.declared
    first = field.stored_as[0] if field.stored_as else None
    if first is not None and first in (StoredAs.EPOCH_S, StoredAs.EPOCH_MS, StoredAs.EPOCH_US):
        return "INTEGER"
    return _DECLARED.get(field.type.kind, "TEXT")


def _own_name(view: View, name: str) -> str | None:
    """The column of this side that carries the other side's column of that name."""
    for field in view.fields:
        if name == field.name:
            return field.column.name
    return next((f.column.name for f in view.fields if f.column.name == name), None)


def _own_names(view: View, names: Sequence[str | None]) -> tuple[str, ...] | None:
    found = [_own_name(view, name) if name is not None else None for name in names]
    return None if None in found else tuple(name for name in found if name is not None)


def _create_sql(view: View, origin: Table, names: Mapping[str, View], findings: list[Finding]) -> str:
    key = tuple(field.column.name for field in view.key_fields)
    parts = []
    for field in view.fields:
        alone = key == (field.column.name,) and field.type.kind is Kind.INTEGER
        if alone:
            grows = " AUTOINCREMENT" if origin.sequence is not None else ""
            parts.append(f"{quoted(field.column.name)} INTEGER PRIMARY KEY{grows}")
            continue
        nullable = field.column.nullable and field.name not in view.key
        parts.append(f"{quoted(field.column.name)} {declared_type(field)}{'' if nullable else ' NOT NULL'}")
    if key and not any("PRIMARY KEY" in part for part in parts):
        parts.append(f"PRIMARY KEY ({qualified(key)})")
    for foreign in origin.foreign_keys:
        parent = names.get(foreign.parent)
        own = _own_names(view, foreign.columns)
        theirs = _own_names(parent, foreign.parent_columns) if parent is not None else None
        if parent is None or own is None or theirs is None:
            findings.append(_lost(view, f"the foreign key {foreign.name} to {foreign.parent}"))
            continue
        parts.append(
            f"FOREIGN KEY ({qualified(own)}) REFERENCES {quoted(parent.table.name)} ({qualified(theirs)}) "
            f"ON DELETE {foreign.on_delete} ON UPDATE {foreign.on_update} DEFERRABLE INITIALLY DEFERRED"
        )
    findings += [_lost(view, f"the check {check}") for check in origin.checks]
    return f"CREATE TABLE {quoted(view.table.name)} ({', '.join(parts)})"


def _create_index(con: sqlite3.Connection, view: View, index: Index, findings: list[Finding]) -> None:
    own = _own_names(view, index.columns)
    where = index.where or (index_predicate(index.sql) if index.sql else None)
    if own is None or where is not None:
        findings.append(_lost(view, f"the index {index.name}"))
        return
    unique = "UNIQUE " if index.unique else ""
    name = f"{view.table.name}_{index.name}"
    con.execute(f"CREATE {unique}INDEX {quoted(name)} ON {quoted(view.table.name)} ({qualified(own)})")


def _lost(view: View, what: str) -> Finding:
    return Finding(
        "warning",
        "sqlite.untranslated",
        f"{what} is not translated",
        where=f"tables/{view.table.name}",
        todo="create it by hand if the application needs it",
    )
