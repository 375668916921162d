"""Sequences: what may have been given out on one side must never be given out again on the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from crossfade.stores.base import View
from crossfade.stores.postgres.connection import Database, one
from crossfade.stores.postgres.names import ident, table_in

_FILLED = """
SELECT a.attname, format('%%I.%%I', n.nspname, s.relname), q.seqincrement, q.seqcache, q.seqmax,
       coalesce(nullif(t.typbasetype, 0), t.oid) IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype,
                                                     'numeric'::regtype)
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid
CROSS JOIN LATERAL (
  SELECT d.objid AS sequence FROM pg_depend d
  WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum
    AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
  UNION
  SELECT d.refobjid FROM pg_attrdef e
  JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = e.oid
    AND d.refclassid = 'pg_class'::regclass
  WHERE e.adrelid = a.attrelid AND e.adnum = a.attnum
) AS filled
JOIN pg_class s ON s.oid = filled.sequence AND s.relkind = 'S'
JOIN pg_namespace n ON n.oid = s.relnamespace
JOIN pg_sequence q ON q.seqrelid = s.oid
WHERE a.attrelid = %s::regclass AND NOT a.attisdropped
ORDER BY a.attname = ANY(%s) DESC, a.attnum, s.oid
"""
"""Sequences that a column owns, and those that its default names: a default may use a sequence that nobody
owns, or that another table does."""


def _of(connection: psycopg.Connection[Any], db: Database, view: View) -> list[Any]:
    """``(column, sequence, increment, cache, max, whether it holds numbers)`` of each filled column, the
    key's first."""
    key = [f.column.name for f in view.key_fields]
    return connection.execute(_FILLED.encode(), [table_in(db.schema, view.table.name), key]).fetchall()


def sequences(db: Database, views: Sequence[View]) -> Mapping[int, int]:
    """Per view the last value that may have been given out, session caches and hi/lo blocks included."""
    found: dict[int, int] = {}
    with db.session() as connection:
        for view in views:
            rows = _of(connection, db, view)
            if not rows:
                continue
            _, name, increment, cache, *_ = rows[0]
            row = connection.execute(f"SELECT last_value, is_called FROM {name}".encode()).fetchone()
            if row is not None:
                found[view.id] = row[0] + increment * cache if row[1] else row[0] - increment
    return found


def raise_sequences(db: Database, views: Sequence[View], least: Mapping[int, int]) -> None:
    """Set each sequence past ``least`` and past the largest value present; never back."""
    with db.session() as connection:
        for view in views:
            for number, (column, name, increment, _, most, numbers) in enumerate(_of(connection, db, view)):
                if increment < 0:
                    continue
                table = table_in(db.schema, view.table.name)
                floor = least.get(view.id) if number == 0 else None
                present = None
                if numbers:
                    present = one(connection, f"SELECT max({ident(column)})::bigint FROM {table}")
                wanted = max((v for v in (floor, present) if v is not None), default=None)
                if wanted is None:
                    continue
                connection.execute(
                    f"SELECT setval(%s::regclass, least(%s, %s::bigint)) FROM {name} s "
                    "WHERE s.last_value < %s OR NOT s.is_called AND s.last_value = %s".encode(),
                    [name, most, wanted, wanted, wanted],
                )
