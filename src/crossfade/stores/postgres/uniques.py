"""Parking: how rows exchange the values of a unique index that is checked at once.

A value that a staged row wants may be held by another row which this pass rewrites or deletes as well.
That row's value is set aside first (NULL, or a placeholder); the merge writes its true value right after.
Rows outside the pass are never parked: a value they hold is a true conflict, and fails as one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from crossfade.stores.base import Field, View
from crossfade.stores.postgres.names import ident, same_key, table_in
from crossfade.types import Kind

_QUERY = """
SELECT c.relname, to_jsonb(x) ->> 'indnullsnotdistinct',
       ARRAY(SELECT pg_get_indexdef(x.indexrelid, g, true) FROM generate_series(1, x.indnkeyatts) g ORDER BY g),
       ARRAY(SELECT a.attname::text FROM generate_series(0, x.indnkeyatts - 1) g
             LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = x.indkey[g] AND x.indkey[g] <> 0
             ORDER BY g),
       ARRAY(SELECT DISTINCT a.attname::text FROM pg_depend d JOIN pg_attribute a
             ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
             WHERE d.classid = 'pg_class'::regclass AND d.objid = x.indexrelid
               AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid > 0
             UNION
             SELECT DISTINCT a.attname::text FROM pg_constraint k, pg_attribute a
             WHERE k.conindid = x.indexrelid AND k.conrelid = c.oid AND k.contype IN ('u', 'p')
               AND a.attrelid = c.oid AND a.attnum = ANY(k.conkey))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_index x ON x.indrelid = c.oid
WHERE n.nspname = %s AND c.relname = ANY(%s) AND x.indisunique AND x.indimmediate AND x.indisvalid
"""


@dataclass(frozen=True, slots=True)
class Unique:
    """A unique index that is checked at once: its parts as SQL, and every column they read."""

    parts: tuple[str, ...]
    plain: tuple[str | None, ...]
    columns: frozenset[str]
    nulls_equal: bool


def unique_indexes(
    connection: psycopg.Connection[Any], schema: str, tables: Sequence[str]
) -> Mapping[str, Sequence[Unique]]:
    """Per table its unique indexes that are not deferrable."""
    found: dict[str, list[Unique]] = {}
    for table, nulls, parts, plain, columns in connection.execute(_QUERY.encode(), [schema, list(tables)]):
        found.setdefault(table, []).append(
            Unique(tuple(parts), tuple(plain), frozenset(columns), nulls in ("true", "t"))
        )
    return found


def parking(schema: str, view: View, indexes: Sequence[Unique]) -> Iterator[str]:
    """One statement per unique index whose values may change hands."""
    fields = {f.column.name: f for f in view.fields}
    key = {f.column.name for f in view.key_fields}
    table = table_in(schema, view.table.name)
    up, gone = f"pg_temp.crossfade_up_{view.id}", f"pg_temp.crossfade_del_{view.id}"
    for index in indexes:
        if index.columns <= key or not index.columns <= fields.keys():
            continue
        place = _place([fields[name] for name in sorted(index.columns - key)], index.nulls_equal)
        if place is None:
            continue
        column, value = place
        columns = ", ".join(ident(n) for n in sorted(index.columns | key))
        parts = ", ".join(f"{part} AS u{i}" for i, part in enumerate(index.parts))
        equal = "IS NOT DISTINCT FROM" if index.nulls_equal else "="
        same = " AND ".join(_same(i, plain, equal) for i, plain in enumerate(index.plain))
        yield (
            f"UPDATE {table} t SET {ident(column)} = {value} FROM ("
            f"SELECT r.crossfade_at, r.crossfade_in, row_number() OVER () AS n "
            f"FROM (SELECT {columns}, {parts} FROM {up}) s "
            f"JOIN (SELECT {columns}, {parts}, ctid AS crossfade_at, tableoid AS crossfade_in FROM {table}) r "
            f"ON {same} WHERE NOT ({_match(view, 'r', 's')}) AND ("
            f"EXISTS (SELECT FROM {up} x WHERE {_match(view, 'x', 'r')}) OR "
            f"EXISTS (SELECT FROM {gone} x WHERE {_match(view, 'x', 'r')}))) q "
            f"WHERE t.ctid = q.crossfade_at AND t.tableoid = q.crossfade_in"
        )


def _same(i: int, plain: str | None, equal: str) -> str:
    # A plain column is compared by its own name, so that the planner can use the index.
    return f"r.{ident(plain)} {equal} s.{ident(plain)}" if plain else f"r.u{i} {equal} s.u{i}"


def _match(view: View, left: str, right: str) -> str:
    return " AND ".join(
        same_key(f, f"{left}.{ident(f.column.name)}", f"{right}.{ident(f.column.name)}")
        for f in view.key_fields
    )


def _place(fields: Sequence[Field], nulls_equal: bool) -> tuple[str, str] | None:
    """The column to park in, and the value: NULL where that is allowed, else one that nobody has."""
    if not nulls_equal:
        for field in fields:
            if field.column.nullable:
                return field.column.name, "NULL"
    for field in fields:
        value = _placeholder(field)
        if value is not None:
            return field.column.name, value
    return None


def _placeholder(field: Field) -> str | None:
    own = field.column.type or field.type
    kind = own.kind
    if kind is Kind.UUID:
        return "gen_random_uuid()"
    if kind is Kind.TEXT:
        digits = "replace(gen_random_uuid()::text, '-', '')"
        return digits if own.length is None or own.length >= 32 else f"left({digits}, {own.length})"
    if kind is Kind.INTEGER:
        least = {16: "-32768", 32: "-2147483648"}.get(own.bits or 64, "-9223372036854775808")
        return f"({least}) + q.n"
    if kind is Kind.DECIMAL:
        digits_before = 100 if own.precision is None else own.precision - (own.scale or 0)
        return f"q.n - (10::numeric ^ {digits_before})" if digits_before > 0 else None
    if kind is Kind.FLOAT:
        return "q.n * -1e300" if own.bits != 32 else "q.n * -1e30"
    if kind is Kind.BYTES:
        return "decode(replace(gen_random_uuid()::text, '-', ''), 'hex')"
    if kind is Kind.DATE:
        return "DATE '4713-01-01 BC' + q.n::int"
    if kind in (Kind.TIMESTAMP, Kind.INSTANT):
        return "TIMESTAMP '4713-01-01 00:00:00 BC' + q.n * INTERVAL '1 second'"
    return None
