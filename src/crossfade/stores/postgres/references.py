"""Foreign keys as the applier needs them: who goes first, and what a delete would reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from crossfade.errors import Refused, StoreError
from crossfade.stores.base import Change
from crossfade.stores.postgres.connection import Database
from crossfade.stores.postgres.names import ident, same_key, table_in

_QUERY = """
SELECT k.conname, cn.nspname, c.relname, pn.nspname, p.relname, k.confdeltype::text,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(n, o)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.o),
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u(n, o)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.o)
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND pn.nspname = %s AND p.relname = ANY(%s)
ORDER BY 1, 2, 3
"""


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key that points to a table of the pass."""

    name: str
    child_schema: str
    child: str
    parent: str
    columns: tuple[str, ...]
    parent_columns: tuple[str, ...]


def references(connection: psycopg.Connection[Any], schema: str, tables: Sequence[str]) -> list[Reference]:
    """The foreign keys of the whole database that point to these tables."""
    rows = connection.execute(_QUERY.encode(), [schema, list(tables)])
    return [Reference(r[0], r[1], r[2], r[4], tuple(r[6]), tuple(r[7])) for r in rows]


def parents_first(changes: Sequence[Change], found: Sequence[Reference]) -> list[Change]:
    """The changes with parents before children; inside a cycle the given order stays."""
    by_name = {change.view.table.name: change for change in changes}
    parents: dict[str, set[str]] = {name: set() for name in by_name}
    for one in found:
        if one.child in by_name and one.parent in by_name and one.child != one.parent:
            parents[one.child].add(one.parent)
    ordered: list[Change] = []
    done: set[str] = set()
    while len(done) < len(by_name):
        ready = [n for n in by_name if n not in done and parents[n] <= done]
        for name in ready or [next(n for n in by_name if n not in done)]:
            done.add(name)
            ordered.append(by_name[name])
    return ordered


def check_reach(
    db: Database,
    connection: psycopg.Connection[Any],
    deletes: Sequence[Change],
    mapped: Sequence[Change],
    found: Sequence[Reference],
) -> None:
    """No row but those of this pass refers to what is about to be deleted.

    A row of a table that the move does not map would be deleted, emptied or orphaned with it:
    ``Refused``.  A row of a mapped table would be lost although the leader still has it: ``StoreError``.
    """
    staged = {change.view.table.name: change for change in mapped}
    going = {change.view.table.name for change in deletes}
    for one in found:
        if one.parent not in going:
            continue
        query = _reaching(db.schema, one, staged)
        row = connection.execute(query.encode()).fetchone()
        if row is not None:
            raise _error(connection, db, one, row[0], row[1])


def _reaching(schema: str, one: Reference, staged: dict[str, Change]) -> str:
    parent = staged[one.parent].view
    join = " AND ".join(
        f"c.{ident(a)} = p.{ident(b)}" for a, b in zip(one.columns, one.parent_columns, strict=True)
    )
    key = " AND ".join(same_key(f, f"p.{_column(f)}", f"d.{_column(f)}") for f in parent.key_fields)
    query = (
        f"SELECT p::text, count(*) OVER () FROM pg_temp.crossfade_del_{parent.id} d "
        f"JOIN {table_in(schema, one.parent)} p ON {key} "
        f"JOIN {table_in(one.child_schema, one.child)} c ON {join}"
    )
    child = staged.get(one.child) if one.child_schema == schema else None
    if child is not None:
        own = " AND ".join(same_key(f, f"x.{_column(f)}", f"c.{_column(f)}") for f in child.view.key_fields)
        query += f" WHERE NOT EXISTS (SELECT FROM pg_temp.crossfade_del_{child.view.id} x WHERE {own})"
    return query + " LIMIT 1"


def _column(field: Any) -> str:
    return ident(field.column.name)


def _error(
    connection: psycopg.Connection[Any], db: Database, one: Reference, row: str, count: int
) -> Refused | StoreError:
    mapped = connection.execute(
        "SELECT 1 FROM crossfade.captured WHERE schema = %s AND name = %s", [one.child_schema, one.child]
    ).fetchone()
    where = f"{db.url} table {one.parent}"
    shown = row if len(row) <= 80 else row[:77] + "..."
    if mapped is None:
        return Refused(
            f"the leader deleted row {shown}, but {count} row(s) of {one.child} (not mapped) refer to such "
            f"rows by {one.name}",
            where=where,
            todo=f"map {one.child}, or remove its rows that refer to what the application deletes",
        )
    return StoreError(
        f"the leader deleted row {shown}, but {count} row(s) of {one.child} there still refer to such rows, "
        f"which {one.name} forbids here",
        where=where,
        todo=f"remove the orphans of {one.child} on the leading side, or drop {one.name} while following",
    )
