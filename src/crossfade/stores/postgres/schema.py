"""What the catalogue says: the application's tables, their columns, keys, indexes and triggers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import psycopg

from crossfade.stores.base import Column, ForeignKey, Index, Schema, Table
from crossfade.stores.postgres.names import OURS
from crossfade.types import Kind, LogicalType

_NOT_OF_EXTENSIONS = (
    "NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid "
    "AND e.deptype = 'e')"
)

_COLUMNS = f"""
SELECT c.oid, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), bt.typname, bt.typtype,
       b.mod, a.attnotnull OR t.typnotnull, pg_get_expr(d.adbin, d.adrelid), a.attgenerated, a.attidentity,
       CASE WHEN a.attcollation NOT IN (0, 100) THEN l.collname END,
       pg_get_serial_sequence(format('%%I.%%I', n.nspname, c.relname), a.attname),
       format_type(b.base, b.mod)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
CROSS JOIN LATERAL (
  WITH RECURSIVE down(oid, mod) AS (
    SELECT a.atttypid, a.atttypmod
    UNION ALL
    SELECT d.typbasetype, CASE WHEN d.typtypmod >= 0 THEN d.typtypmod ELSE down.mod END
    FROM down JOIN pg_type d ON d.oid = down.oid AND d.typtype = 'd')
  SELECT down.oid, down.mod FROM down JOIN pg_type u ON u.oid = down.oid AND u.typtype <> 'd'
) AS b(base, mod)
JOIN pg_type bt ON bt.oid = b.base
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE n.nspname = %(schema)s AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND {_NOT_OF_EXTENSIONS}
ORDER BY c.relname, a.attnum
"""

_INDEXES = f"""
SELECT c.oid, i.relname, x.indisunique, x.indisprimary, x.indimmediate, pg_get_expr(x.indpred, x.indrelid),
       pg_get_indexdef(x.indexrelid), k.oid IS NOT NULL, coalesce(k.condeferrable, false), x.indisvalid,
       ARRAY(SELECT a.attname::text FROM generate_series(0, x.indnkeyatts - 1) g
             LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = x.indkey[g] AND x.indkey[g] <> 0
             ORDER BY g),
       ARRAY(SELECT CASE WHEN l.oid IS NULL OR l.oid = 100 THEN NULL ELSE l.collname::text END
             FROM generate_series(0, x.indnkeyatts - 1) g
             LEFT JOIN pg_collation l ON l.oid = x.indcollation[g] ORDER BY g)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_index x ON x.indrelid = c.oid
JOIN pg_class i ON i.oid = x.indexrelid
LEFT JOIN pg_constraint k ON k.conindid = i.oid AND k.conrelid = c.oid AND k.contype IN ('p', 'u', 'x')
WHERE n.nspname = %(schema)s AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND {_NOT_OF_EXTENSIONS}
ORDER BY c.relname, i.relname
"""

_CONSTRAINTS = f"""
SELECT c.oid, k.conname, k.contype, pg_get_constraintdef(k.oid), k.confdeltype, k.confupdtype,
       k.condeferrable, CASE WHEN k.confrelid <> 0 THEN p.relname END,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(n, o)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.o),
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u(n, o)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.o)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype IN ('c', 'f') AND k.conparentid = 0
LEFT JOIN pg_class p ON p.oid = k.confrelid
WHERE n.nspname = %(schema)s AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND {_NOT_OF_EXTENSIONS}
ORDER BY c.relname, k.conname
"""

_TRIGGERS = f"""
SELECT c.oid, g.tgname
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_trigger g ON g.tgrelid = c.oid AND NOT g.tgisinternal
JOIN pg_proc f ON f.oid = g.tgfoid
JOIN pg_namespace fn ON fn.oid = f.pronamespace AND fn.nspname <> '{OURS}'
WHERE n.nspname = %(schema)s AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY c.relname, g.tgname
"""

_UNTRANSLATED = f"""
SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialised view' WHEN 'f' THEN 'foreign table' END
       || ' ' || c.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relkind IN ('v', 'm', 'f') AND {_NOT_OF_EXTENSIONS}
UNION ALL
SELECT 'routine ' || f.proname FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace
WHERE n.nspname = %(schema)s AND NOT EXISTS (
  SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = f.oid AND e.deptype = 'e')
UNION ALL
SELECT 'large objects are not moved' WHERE EXISTS (SELECT FROM pg_largeobject_metadata)
ORDER BY 1
"""

_ACTIONS = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}

_KINDS: Mapping[str, Kind] = {
    "bool": Kind.BOOLEAN,
    "int2": Kind.INTEGER,
    "int4": Kind.INTEGER,
    "int8": Kind.INTEGER,
    "float4": Kind.FLOAT,
    "float8": Kind.FLOAT,
    "numeric": Kind.DECIMAL,
    "text": Kind.TEXT,
    "varchar": Kind.TEXT,
    "bpchar": Kind.TEXT,
    "citext": Kind.TEXT,
    "name": Kind.TEXT,
    "bytea": Kind.BYTES,
    "date": Kind.DATE,
    "time": Kind.TIME,
    "timestamp": Kind.TIMESTAMP,
    "timestamptz": Kind.INSTANT,
    "uuid": Kind.UUID,
    "json": Kind.JSON,
    "jsonb": Kind.JSONB,
}


def logical_type(typname: str, typtype: str, typmod: int, shown: str) -> LogicalType:
    """The logical type of a PostgreSQL base type; ``shown`` is how ``format_type`` spells it."""
    kind = _KINDS.get(typname) if typtype == "b" else None
    if kind is None:
        return LogicalType(Kind.OPAQUE, native=shown)
    if kind in (Kind.INTEGER, Kind.FLOAT):
        return LogicalType(kind, bits=int(typname.removeprefix("int").removeprefix("float")) * 8)
    if kind is Kind.DECIMAL and typmod >= 4:
        precision, scale = (typmod - 4) >> 16 & 0xFFFF, (typmod - 4) & 0x7FF
        return LogicalType(kind, precision=precision, scale=scale - 2048 if scale > 1023 else scale)
    if kind in (Kind.TIME, Kind.TIMESTAMP, Kind.INSTANT):
        return LogicalType(kind, precision=typmod if typmod >= 0 else 6)
    if typname in ("varchar", "bpchar"):
        native = shown if typname == "bpchar" else None
        return LogicalType(kind, length=typmod - 4 if typmod >= 4 else None, native=native)
    return LogicalType(kind, native=typname) if typname in ("citext", "name") else LogicalType(kind)


class _Found(NamedTuple):
    columns: dict[int, list[Any]]
    names: dict[int, str]
    rows: dict[str, dict[int, list[Any]]]


def inspect(connection: psycopg.Connection[Any], schema: str) -> Schema:
    """The base tables of that schema; partitions belong to their parents, extensions' tables to them."""
    found = _Found({}, {}, {})
    for row in connection.execute(_COLUMNS.encode(), {"schema": schema}):
        found.names[row[0]] = row[1]
        found.columns.setdefault(row[0], []).append(row)
    for name, query in (("index", _INDEXES), ("constraint", _CONSTRAINTS), ("trigger", _TRIGGERS)):
        rows: dict[int, list[Any]] = defaultdict(list)
        for row in connection.execute(query.encode(), {"schema": schema}):
            rows[row[0]].append(row)
        found.rows[name] = rows
    tables = {name: _table(oid, found) for oid, name in found.names.items()}
    other = tuple(row[0] for row in connection.execute(_UNTRANSLATED.encode(), {"schema": schema}))
    return Schema({name: tables[name] for name in sorted(tables)}, other)


def _table(oid: int, found: _Found) -> Table:
    columns = tuple(_column(row) for row in found.columns[oid])
    indexes = found.rows["index"].get(oid, [])
    constraints = found.rows["constraint"].get(oid, [])
    filled = [row[2] for row in found.columns[oid] if row[12] is not None]
    return Table(
        name=found.names[oid],
        columns=columns,
        key=_key(columns, indexes),
        indexes=tuple(_index(row) for row in indexes if not row[3]),
        foreign_keys=tuple(_foreign_key(row) for row in constraints if row[2] == "f"),
        checks=tuple(row[3] for row in constraints if row[2] == "c"),
        triggers=tuple(row[1] for row in found.rows["trigger"].get(oid, [])),
        sequence=filled[0] if filled else None,
    )


def _column(row: Any) -> Column:
    return Column(
        name=row[2],
        declared=row[3] if row[5] != "d" else row[13],
        type=logical_type(row[4], row[5], row[6], row[13]),
        nullable=not row[7],
        default=row[8] if not row[9] else None,
        generated=bool(row[9]),
        identity=bool(row[10]) or row[12] is not None,
        collation=row[11],
    )


def _key(columns: Iterable[Column], indexes: Iterable[Any]) -> tuple[str, ...]:
    """The primary key, else the shortest plain unique index over NOT NULL columns."""
    required = {c.name for c in columns if not c.nullable}
    candidates = []
    for row in indexes:
        names = tuple(row[10])
        if row[3]:
            return names
        if row[2] and row[4] and row[9] and row[5] is None and all(n in required for n in names):
            candidates.append((len(names), row[1], names))
    return min(candidates)[2] if candidates else ()


def _index(row: Any) -> Index:
    return Index(
        name=row[1],
        columns=tuple(row[10]),
        unique=row[2],
        where=row[5],
        sql=row[6],
        constraint=row[7],
        deferrable=row[8],
        collations=tuple(row[11]),
    )


def _foreign_key(row: Any) -> ForeignKey:
    return ForeignKey(
        name=row[1],
        columns=tuple(row[8]),
        parent=row[7],
        parent_columns=tuple(row[9]),
        on_delete=_ACTIONS[row[4]],
        on_update=_ACTIONS[row[5]],
        deferrable=row[6],
    )


def relations(connection: psycopg.Connection[Any], schema: str) -> list[tuple[int, str, str, bool]]:
    """``(oid, schema, name, is a partition)`` of every application table and every partition of one,
    in a fixed order, so that everybody who locks several of them does so in the same order."""
    query = f"""
    SELECT c.oid, n.nspname, c.relname, c.relispartition
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND {_NOT_OF_EXTENSIONS}
      AND (n.nspname = %(schema)s OR c.relispartition AND EXISTS (
        SELECT FROM pg_partition_ancestors(c.oid) a(oid) JOIN pg_class p ON p.oid = a.oid
        JOIN pg_namespace m ON m.oid = p.relnamespace WHERE m.nspname = %(schema)s))
    ORDER BY c.relispartition, n.nspname, c.relname
    """
    return [tuple(row) for row in connection.execute(query.encode(), {"schema": schema})]
