"""Reading rows in bulk: ranges of keys, and rows in key order as Arrow batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from crossfade.stores.base import KeyRange, Rejected, RejectSink, View
from crossfade.stores.postgres.connection import Database, one
from crossfade.stores.postgres.encode import texts
from crossfade.stores.postgres.names import (
    array_literal,
    base_type,
    element_type,
    ident,
    idents,
    key_expression,
    key_order,
    literal,
    same_key,
    table_in,
)
from crossfade.stores.postgres.values import beyond, canonical, copy_select, read_copy, select_list

BATCH_BYTES = 8 << 20
"""About how many bytes of rows one batch of ``scan`` holds."""

KEYS_AT_ONCE = 5_000
"""How many keys one query asks for."""

_WALK_LIMIT = 20_000_000  # rows up to which ``plan`` walks the whole index instead of sampling


def order_is_bytewise(db: Database) -> bool:
    """Whether the database's own order of text is that of its UTF-8 bytes, so that indexes serve it."""
    with db.session() as connection:
        row = connection.execute(
            "SELECT datlocprovider::text, datcollate, to_jsonb(d) ->> 'datlocale' FROM pg_database d "
            "WHERE datname = current_database()"
            if db.version >= 150000
            else "SELECT 'c', datcollate, NULL FROM pg_database WHERE datname = current_database()"
        ).fetchone()
    if row is None:
        return False
    names = {"C", "POSIX", "C.UTF-8", "C.UTF8", "C.utf8"}
    return row[1] in names if row[0] == "c" else row[0] == "b" and row[2] in names


def scan(
    db: Database, view: View, over: KeyRange, rejects: RejectSink, bytewise: bool
) -> Iterator[pa.RecordBatch]:
    """See ``Store.scan``."""
    order = key_order(view, bytewise)
    query = (
        f"SELECT {select_list(view.fields)} FROM {table_in(db.schema, view.table.name)}"
        f"{_condition(view, over, bytewise)}{f' ORDER BY {order}' if order else ''}"
    )
    schema = view.schema
    with db.bulk() as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)})
        cursor.execute(query)
        for batch in cursor.fetch_record_batch():
            if batch.num_rows:
                yield clean(canonical(batch, view.fields, schema), view, rejects)


def _condition(view: View, over: KeyRange, bytewise: bool) -> str:
    key = view.key_fields
    if not key:
        return ""
    left = f"({', '.join(key_expression(f, bytewise) for f in key)})"
    parts = []
    for sign, bound in ((">", over.after), ("<=", over.upto)):
        if bound is not None:
            values = ", ".join(literal(v, f) for v, f in zip(bound, key, strict=True))
            parts.append(f"{left} {sign} ({values})")
    return f" WHERE {' AND '.join(parts)}" if parts else ""


def clean(batch: pa.RecordBatch, view: View, rejects: RejectSink) -> pa.RecordBatch:
    """The batch without rows whose instants canonical form cannot hold; those go to ``rejects``."""
    found = beyond(batch, view.fields)
    if not found:
        return batch
    bad = np.zeros(len(batch), dtype=bool)
    for i, mask in found.items():
        for row in np.flatnonzero(mask & ~bad):
            rejects(
                Rejected(
                    table=view.table.name,
                    key=tuple(batch.column(name)[int(row)].as_py() for name in view.key),
                    column=view.fields[i].column.name,
                    value="a time after the year 294247",
                    reason="microseconds since 1970 do not fit 64 bits",
                    todo="correct the value, or exclude the column",
                )
            )
        bad |= mask
    return batch.filter(pa.array(~bad))


def plan(db: Database, view: View, rows: int, bytewise: bool) -> list[KeyRange]:
    """Ranges of about ``rows`` rows: an ordered walk of the key, or quantiles of a sample where the
    table is large, so that gaps and skew do not matter."""
    if not view.key:
        return [KeyRange()]
    table = table_in(db.schema, view.table.name)
    order = key_order(view, bytewise)
    with db.session() as connection:
        guess = float(
            one(
                connection,
                "SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::float8 FROM pg_class c WHERE c.oid IN "
                "(SELECT relid FROM pg_partition_tree(%s::regclass) UNION SELECT %s::regclass)",
                [table, table],
            )
        )
    source, step = table, max(1, rows)
    if guess > _WALK_LIMIT:
        percent = max(0.01, min(100.0, 100.0 * 200.0 / step))
        source, step = f"{table} TABLESAMPLE SYSTEM ({percent:.4f})", max(1, round(step * percent / 100))
    columns = [f.column.name for f in view.key_fields]
    query = (
        f"SELECT {select_list(view.key_fields)} FROM (SELECT {idents(columns)}, "
        f"row_number() OVER (ORDER BY {order}) AS crossfade_n FROM {source}) q "
        f"WHERE crossfade_n %% {step} = 0 ORDER BY {order}"
    ).replace("%%", "%")
    with db.bulk() as connection, connection.cursor() as cursor:
        cursor.execute(query)
        found = cursor.fetch_arrow_table()
    bounds = [
        tuple(row[name] for name in view.key)
        for batch in found.to_batches()
        for row in canonical(batch, view.key_fields, view.key_schema).to_pylist()
    ]
    edges: list[tuple[Any, ...] | None] = [None, *bounds, None]
    return [KeyRange(a, b) for a, b in itertools.pairwise(edges)]


def by_keys(db: Database, view: View, keys: pa.Table) -> str:
    """The FROM clause of the rows with these keys (alias ``t``)."""
    arrays, conditions, names = [], [], []
    for i, field in enumerate(view.key_fields):
        column = texts(keys.column(field.name), field.type)
        arrays.append(f"{array_literal(column)}::{element_type(field)}[]")
        wanted = f"k.k{i}" if element_type(field) != "text" else f"k.k{i}::{base_type(field)}"
        conditions.append(same_key(field, f"t.{ident(field.column.name)}", wanted))
        names.append(f"k{i}")
    return (
        f"FROM {table_in(db.schema, view.table.name)} t JOIN unnest({', '.join(arrays)}) "
        f"AS k({', '.join(names)}) ON {' AND '.join(conditions)}"
    )


def key_slices(keys: pa.Table) -> Iterator[pa.Table]:
    """The keys in portions that one query asks for."""
    for start in range(0, keys.num_rows, KEYS_AT_ONCE):
        yield keys.slice(start, KEYS_AT_ONCE)


def read_back(db: Database, connection: Any, view: View, keys: pa.Table) -> pa.Table:
    """The rows with these keys as that connection's own transaction sees them."""
    parts = []
    chosen = ", ".join(copy_select(f, "t.") for f in view.fields)
    for some in key_slices(keys):
        query = f"COPY (SELECT {chosen} {by_keys(db, view, some)}) TO STDOUT (FORMAT csv)"
        with connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
            data = b"".join(bytes(block) for block in copy)
        parts.append(read_copy(data, view.fields, view.schema))
    return pa.concat_tables(parts) if parts else view.schema.empty_table()


def count(db: Database, table: str) -> int:
    """The number of rows of a table."""
    with db.session() as connection:
        return int(one(connection, f"SELECT count(*) FROM {table_in(db.schema, table)}"))
