"""What is set aside while rows are loaded, and brought back afterwards.

Every definition lies in ``crossfade.deferred``: written in the transaction that drops (or creates
without) it, and ticked off in the transaction that makes it.  So a kill at any moment loses nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import psycopg

from crossfade.errors import Refused
from crossfade.stores.base import View
from crossfade.stores.postgres import state
from crossfade.stores.postgres.bring_back import bring_back
from crossfade.stores.postgres.connection import Database, one
from crossfade.stores.postgres.names import OURS, ident, table_in
from crossfade.stores.postgres.waiting import patiently

_DEFERRAL = re.compile(
    r" (NOT VALID|NOT DEFERRABLE|DEFERRABLE|INITIALLY DEFERRED|INITIALLY IMMEDIATE)(?= |$)"
)

_FOREIGN = """
SELECT k.conname, pg_get_constraintdef(k.oid), k.convalidated, k.condeferrable, k.condeferred, pn.nspname, p.relname,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(n, o)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.o),
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u(n, o)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.o)
FROM pg_constraint k JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE k.conrelid = %s::regclass AND k.contype = 'f' AND k.conparentid = 0
  AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
ORDER BY k.conname
"""

_INDEXES = """
SELECT i.relname, k.conname, CASE WHEN k.oid IS NULL THEN pg_get_indexdef(i.oid) ELSE pg_get_constraintdef(k.oid) END
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
LEFT JOIN pg_constraint k ON k.conindid = i.oid AND k.conrelid = x.indrelid AND k.contype IN ('u', 'x')
WHERE x.indrelid = %s::regclass AND NOT x.indisprimary AND NOT i.relispartition
  AND NOT EXISTS (SELECT FROM pg_constraint f WHERE f.contype = 'f' AND f.conindid = i.oid)
  AND NOT x.indisreplident
  AND NOT (x.indisunique AND %s::text[] = ARRAY(
    SELECT a.attname::text FROM generate_series(0, x.indnkeyatts - 1) g
    JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[g] ORDER BY g)
    AND x.indpred IS NULL AND x.indexprs IS NULL)
ORDER BY i.relname
"""


def prepare_load(db: Database, views: Sequence[View]) -> None:
    """See ``Store.prepare_load``: all foreign keys first, because they hold on to unique indexes."""
    with db.session() as connection:
        with connection.transaction():
            state.ensure_tables(connection)
        for work in (_drop_foreign_keys, _drop_indexes):
            for view in views:
                table = table_in(db.schema, view.table.name)
                patiently(connection, db, table, partial(work, connection, view, table))


def _drop_foreign_keys(connection: psycopg.Connection[Any], view: View, table: str) -> None:
    for name, definition, valid, deferrable, deferred, at, parent, columns, theirs in connection.execute(
        _FOREIGN.encode(), [table]
    ).fetchall():
        deferral = "NOT DEFERRABLE"
        if deferrable:
            deferral = f"DEFERRABLE INITIALLY {'DEFERRED' if deferred else 'IMMEDIATE'}"
        detail = {
            "columns": columns,
            "parent": [at, parent],
            "parent_columns": theirs,
            "deferral": deferral,
        }
        shape = _DEFERRAL.sub("", definition)
        remember(
            connection, view, "fk", name,
            f"ALTER TABLE {table} ADD CONSTRAINT {ident(name)} {shape} DEFERRABLE INITIALLY IMMEDIATE",
            f"ALTER TABLE {table} VALIDATE CONSTRAINT {ident(name)}" if valid else None,
            detail,
        )  # fmt: skip
        connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {ident(name)}".encode())


def _drop_indexes(connection: psycopg.Connection[Any], view: View, table: str) -> None:
    key = [f.column.name for f in view.key_fields]
    for index, constraint, definition in connection.execute(_INDEXES.encode(), [table, key]).fetchall():
        if constraint is not None:
            make = f"ALTER TABLE {table} ADD CONSTRAINT {ident(constraint)} {definition}"
            drop = f"ALTER TABLE {table} DROP CONSTRAINT {ident(constraint)}"
        else:
            at = one(
                connection,
                "SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = %s::regclass",
                [table],
            )
            make, drop = definition, f"DROP INDEX {at}.{ident(index)}"
        remember(connection, view, "index", constraint or index, make, None, {})
        connection.execute(drop.encode())


def remember(
    connection: psycopg.Connection[Any],
    view: View,
    kind: str,
    name: str,
    definition: str,
    after: str | None,
    detail: dict[str, Any],
) -> None:
    """Note a definition, to be made by ``finish_load`` (``kind``: key, index, fk)."""
    connection.execute(
        f"INSERT INTO {OURS}.deferred (view, kind, name, definition, after, detail) "
        "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (view, kind, name) DO UPDATE SET "
        "(definition, after, made, checked) = (excluded.definition, excluded.after, false, false)",
        [view.id, kind, name, definition, after, json.dumps({"table": view.table.name} | detail)],
    )


def restore_deferral(db: Database) -> None:
    """Bring back what is still set aside, and give foreign keys their own deferrability again.
    ``Refused`` when something cannot come back: its definition would be lost with our schema."""
    failed = [f for f in bring_back(db, None) if f.check != "postgres.orphans"]
    if failed:
        raise Refused(
            f"{len(failed)} index(es) or key(s) that were set aside cannot be built: {failed[0].what}",
            where=f"{db.url} {failed[0].where}",
            todo=f"build them by hand and delete their rows from {OURS}.deferred, then run the command again",
        )
    with db.session() as connection:
        if not state.installed(connection):
            return
        rows = connection.execute(
            f"SELECT name, detail::json ->> 'table', detail::json ->> 'deferral' FROM {OURS}.deferred "
            "WHERE kind = 'fk' AND made"
        ).fetchall()
        for name, table, deferral in rows:
            target = table_in(db.schema, table)
            if deferral == "DEFERRABLE INITIALLY IMMEDIATE" or not one(
                connection,
                "SELECT 1 FROM pg_constraint WHERE conname = %s AND conrelid = to_regclass(%s)",
                [name, target],
            ):
                continue
            _set_deferral(connection, db, target, f"ALTER CONSTRAINT {ident(name)} {deferral}")


def _set_deferral(connection: psycopg.Connection[Any], db: Database, table: str, change: str) -> None:
    def work() -> None:
        connection.execute(f"ALTER TABLE {table} {change}".encode())

    patiently(connection, db, table, work)
