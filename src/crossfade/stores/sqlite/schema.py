"""The application's tables as SQLite's catalogue describes them."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass

from crossfade.stores.base import Column, ForeignKey, Index, Schema, Table
from crossfade.stores.sqlite.connection import maybe_text, quoted, text
from crossfade.stores.sqlite.sqltext import TableText, index_predicate, read_create_table
from crossfade.types import Kind, LogicalType

OURS = "crossfade_"
"""The prefix of everything that Crossfade adds to a database."""

_BY_NAME: tuple[tuple[str, Kind, int | None], ...] = (
    (r"bool(ean)?", Kind.BOOLEAN, None),
    (r"(unsigned )?(big |small |tiny |medium )?(big|small|tiny|medium)?int(eger|2|4|8)?( unsigned| signed)?",
     Kind.INTEGER, 64),
    (r"(native |national )?(varying )?n?(var)?char(acter)?2?( varying)?|n?text|tinytext|mediumtext|longtext|n?clob"
     r"|(native|varying) character", Kind.TEXT, None),
    (r"(tiny|medium|long)?blob|(var)?binary|bytea", Kind.BYTES, None),
    (r"real|double( precision)?|float(4|8)?", Kind.FLOAT, 64),
    (r"datetime(2|_text)?|timestamp|timestamp without time zone", Kind.TIMESTAMP, None),
    (r"timestamptz|timestamp with time zone|datetimeoffset", Kind.INSTANT, None),
    (r"date(_text)?", Kind.DATE, None),
    (r"time(_text)?|time without time zone", Kind.TIME, None),
    (r"jsonb?(_text)?", Kind.JSON, None),
    (r"uuid|guid|uniqueidentifier", Kind.UUID, None),
)  # fmt: skip
_DECIMAL = re.compile(r"(decimal|numeric|dec)(?:_text)?(?: ?\( ?(\d+) ?(?:, ?(\d+) ?)?\))?")
_ARGUMENTS = re.compile(r"\s*\([^)]*\)")


def affinity(declared: str, *, strict: bool = False) -> str:
    """The affinity of a declared type: INTEGER, TEXT, BLOB, REAL or NUMERIC (SQLite's five rules)."""
    name = declared.upper()
    if strict and name == "ANY":
        return "BLOB"
    if "INT" in name:
        return "INTEGER"
    if any(word in name for word in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    if "BLOB" in name or not name.strip():
        return "BLOB"
    if any(word in name for word in ("REAL", "FLOA", "DOUB")):
        return "REAL"
    return "NUMERIC"


def logical(declared: str) -> LogicalType | None:
    """The logical type that a declared type implies; None when it says nothing certain."""
    name = " ".join(declared.lower().split())
    decimal = _DECIMAL.fullmatch(name)
    if decimal:
        precision = int(decimal[2]) if decimal[2] else None
        scale = int(decimal[3]) if decimal[3] else (0 if precision is not None else None)
        return LogicalType(Kind.DECIMAL, precision=precision, scale=scale)
    plain = " ".join(_ARGUMENTS.sub("", name).split())
    for pattern, kind, bits in _BY_NAME:
        if re.fullmatch(pattern, plain):
            return LogicalType(kind, bits=bits)
    return None


@dataclass(frozen=True, slots=True)
class Entry:
    """One relation of the catalogue: ``kind`` is table, view, virtual or shadow."""

    name: str
    kind: str
    without_rowid: bool
    strict: bool
    sql: str


def entries(con: sqlite3.Connection) -> list[Entry]:
    """The application's relations, in name order."""
    rows = con.execute(
        "SELECT l.name, l.type, l.wr, l.strict, m.sql FROM pragma_table_list AS l "
        "JOIN sqlite_master AS m ON m.name = l.name AND m.type IN ('table', 'view') "
        "WHERE l.schema = 'main' ORDER BY l.name"
    ).fetchall()
    found = [Entry(text(n), text(t), bool(wr), bool(s), maybe_text(sql) or "") for n, t, wr, s, sql in rows]
    return [e for e in found if not e.name.lower().startswith((OURS, "sqlite_"))]


def tables(con: sqlite3.Connection) -> list[Entry]:
    """The application's base tables."""
    return [e for e in entries(con) if e.kind == "table"]


def columns(con: sqlite3.Connection, entry: Entry, read: TableText) -> tuple[Column, ...]:
    rows = con.execute("SELECT * FROM pragma_table_xinfo(?)", (entry.name,)).fetchall()
    keys = [row for row in rows if row[5]]
    found = []
    for _, raw_name, raw_declared, notnull, default, pk, hidden in rows:
        name, declared = text(raw_name), text(raw_declared)
        is_rowid = len(keys) == 1 and bool(pk) and declared.upper() == "INTEGER" and not entry.without_rowid
        # "INTEGER PRIMARY KEY DESC" is the one spelling that is not the rowid; its values may be NULL
        if is_rowid and _has_key_index(con, entry.name):
            is_rowid = False
        found.append(
            Column(
                name=name,
                declared=declared,
                type=logical(declared),
                nullable=not (notnull or is_rowid or (pk and entry.without_rowid)),
                default=maybe_text(default),
                generated=hidden in (2, 3),
                strict=entry.strict and declared.upper() != "ANY",
                collation=read.collations.get(name.lower()),
            )
        )
    return tuple(found)


def _has_key_index(con: sqlite3.Connection, table: str) -> bool:
    rows = con.execute("SELECT 1 FROM pragma_index_list(?) WHERE origin = 'pk'", (table,))
    return rows.fetchone() is not None


def indexes(con: sqlite3.Connection, table: str) -> tuple[Index, ...]:
    """All indexes of a table except the primary key's, in name order."""
    return tuple(index for index, origin in _all_indexes(con, table) if origin != "pk")


def _all_indexes(con: sqlite3.Connection, table: str) -> list[tuple[Index, str]]:
    found = []
    listed = con.execute('SELECT name, "unique", origin FROM pragma_index_list(?) ORDER BY name', (table,))
    for raw_name, unique, raw_origin in listed.fetchall():
        name, origin = text(raw_name), text(raw_origin)
        parts = con.execute(
            "SELECT name, coll FROM pragma_index_xinfo(?) WHERE key = 1 ORDER BY seqno", (name,)
        ).fetchall()
        sql = con.execute("SELECT sql FROM sqlite_master WHERE type='index' AND name=?", (name,)).fetchone()
        written = maybe_text(sql[0]) if sql else None
        found.append(
            (
                Index(
                    name=name,
                    columns=tuple(maybe_text(part[0]) for part in parts),
                    unique=bool(unique),
                    where=index_predicate(written) if written else None,
                    sql=written,
                    constraint=origin == "u",
                    collations=tuple(maybe_text(part[1]) for part in parts),
                ),
                origin,
            )
        )
    return found


def unique_indexes(con: sqlite3.Connection, table: str) -> list[Index]:
    """Every unique index, the primary key's included (an INTEGER PRIMARY KEY has none)."""
    return [index for index, _ in _all_indexes(con, table) if index.unique]


def foreign_keys(con: sqlite3.Connection, table: str, read: TableText) -> tuple[ForeignKey, ...]:
    rows = con.execute("SELECT * FROM pragma_foreign_key_list(?) ORDER BY id, seq", (table,)).fetchall()
    grouped: dict[int, list[tuple[object, ...]]] = {}
    for row in rows:
        grouped.setdefault(row[0], []).append(row)
    found = []
    for parts in grouped.values():
        own = tuple(text(part[3]) for part in parts)
        parent = text(parts[0][2])
        if parts[0][4] is None:
            key = con.execute("SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", (parent,))
            parents = tuple(text(row[0]) for row in key.fetchall())
        else:
            parents = tuple(text(part[4]) for part in parts)
        found.append(
            ForeignKey(
                name=f"{table}_{'_'.join(own)}_fkey",
                columns=own,
                parent=parent,
                parent_columns=parents,
                on_update=text(parts[0][5]),
                on_delete=text(parts[0][6]),
                deferrable=tuple(name.lower() for name in own) in read.deferrable,
            )
        )
    return tuple(sorted(found, key=lambda key: key.name))


def table(con: sqlite3.Connection, entry: Entry) -> Table:
    """One base table."""
    read = read_create_table(entry.sql)
    cols = columns(con, entry, read)
    by_name = {column.name: column for column in cols}
    primary = con.execute("SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", (entry.name,))
    key = tuple(text(row[0]) for row in primary.fetchall())
    all_indexes = _all_indexes(con, entry.name)
    rowid_key = len(key) == 1 and not by_name[key[0]].nullable and not any(o == "pk" for _, o in all_indexes)
    others = tuple(index for index, origin in all_indexes if origin != "pk")
    if not key:
        key = _unique_key(others, by_name)
    triggers = con.execute(
        "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE ORDER BY name",
        (entry.name,),
    )
    names = [text(row[0]) for row in triggers.fetchall()]
    return Table(
        name=entry.name,
        columns=cols,
        key=key,
        indexes=others,
        foreign_keys=foreign_keys(con, entry.name, read),
        checks=read.checks,
        triggers=tuple(name for name in names if not name.startswith(OURS)),
        sequence=key[0] if rowid_key and not entry.without_rowid else None,
        note=_note(entry, read),
    )


def _note(entry: Entry, read: TableText) -> str:
    said = [
        word
        for word, holds in (
            ("WITHOUT ROWID", entry.without_rowid),
            ("STRICT", entry.strict),
            ("AUTOINCREMENT", read.autoincrement),
        )
        if holds
    ]
    return ", ".join(said)


def _unique_key(found: tuple[Index, ...], by_name: dict[str, Column]) -> tuple[str, ...]:
    usable = []
    for index in found:
        names = tuple(name for name in index.columns if name is not None)
        whole = len(names) == len(index.columns) and index.where is None
        if index.unique and whole and all(n in by_name and not by_name[n].nullable for n in names):
            usable.append(names)
    return min(usable, key=len, default=())


def inspect(con: sqlite3.Connection) -> Schema:
    """The application's base tables, and sentences about what is not one."""
    found = entries(con)
    untranslated = []
    for entry in found:
        if entry.kind == "view":
            untranslated.append(f"view {entry.name} is not moved")
        elif entry.kind == "virtual":
            untranslated.append(f"virtual table {entry.name} is not moved; its module keeps its own data")
        elif entry.kind == "shadow":
            untranslated.append(f"table {entry.name} belongs to a virtual table and is not moved")
    base = {e.name: table(con, e) for e in found if e.kind == "table"}
    triggers = con.execute("SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger' ORDER BY name")
    for raw_name, raw_table in triggers.fetchall():
        if not text(raw_name).startswith(OURS):
            untranslated.append(f"trigger {text(raw_name)} on {text(raw_table)} is not moved")
    return Schema(tables=base, untranslated=tuple(untranslated))


@dataclass(frozen=True, slots=True)
class Physical:
    """How a table can be addressed: by which hidden name its rowid goes (None: it has none), whether it
    is STRICT, and the collation of each key column's index."""

    rowid: str | None
    strict: bool
    autoincrement: bool
    collations: tuple[str, ...]


def physical(con: sqlite3.Connection, name: str, key: tuple[str, ...]) -> Physical | None:
    """The physical facts of a table now; None when it does not exist."""
    found = con.execute(
        "SELECT l.name, l.wr, l.strict, m.sql FROM pragma_table_list(?) AS l "
        "JOIN sqlite_master AS m ON m.name = l.name AND m.type = 'table' WHERE l.schema = 'main'",
        (name,),
    ).fetchone()
    if found is None:
        return None
    entry = Entry(text(found[0]), "table", bool(found[1]), bool(found[2]), text(found[3]))
    rows = con.execute("SELECT name FROM pragma_table_xinfo(?)", (entry.name,)).fetchall()
    taken = {text(row[0]).lower() for row in rows}
    free = next((alias for alias in ("rowid", "_rowid_", "oid") if alias not in taken), None)
    collations: tuple[str, ...] = tuple("BINARY" for _ in key)
    for index in unique_indexes(con, entry.name):
        if tuple((n or "").lower() for n in index.columns) == tuple(k.lower() for k in key):
            collations = tuple((c or "BINARY").upper() for c in index.collations)
            break
    return Physical(
        rowid=None if entry.without_rowid else free,
        strict=entry.strict,
        autoincrement=read_create_table(entry.sql).autoincrement,
        collations=collations,
    )


def qualified(names: tuple[str, ...]) -> str:
    """A quoted, comma-separated list of columns."""
    return ", ".join(quoted(name) for name in names)
