"""Sequences: what may have been given out on one side must never be given out again on the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from crossfade.stores.base import View
from crossfade.stores.postgres.connection import Database, one
from crossfade.stores.postgres.names import ident, table_in

_FILLED = """
SELECT a.attname, format('%%I.%%I', n.nspname, s.relname), q.seqincrement, q.seqcache, q.seqmax
FROM pg_attribute a
JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid
  AND d.refobjsubid = a.attnum AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_namespace n ON n.oid = s.relnamespace
JOIN pg_sequence q ON q.seqrelid = s.oid
WHERE a.attrelid = %s::regclass AND NOT a.attisdropped
ORDER BY a.attname = ANY(%s) DESC, a.attnum
"""


def _of(connection: psycopg.Connection[Any], db: Database, view: View) -> list[Any]:
    """``(column, sequence, increment, cache, max)`` of each filled column, the key's first."""
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
            _, name, increment, cache, _ = rows[0]
            row = connection.execute(f"SELECT last_value, is_called FROM {name}".encode()).fetchone()
            if row is not None:
                found[view.id] = row[0] + increment * cache if row[1] else row[0] - increment
    return found


def raise_sequences(db: Database, views: Sequence[View], least: Mapping[int, int]) -> None:
    """Set each sequence past ``least`` and past the largest value present; never back."""
    with db.session() as connection:
        for view in views:
            for number, (column, name, increment, _, most) in enumerate(_of(connection, db, view)):
                if increment < 0:
                    continue
                table = table_in(db.schema, view.table.name)
                floor = least.get(view.id) if number == 0 else None
                present = one(connection, f"SELECT max({ident(column)})::bigint FROM {table}")
                wanted = max((v for v in (floor, present) if v is not None), default=None)
                if wanted is None:
                    continue
                connection.execute(
                    f"SELECT setval(%s::regclass, least(%s, %s::bigint)) FROM {name} s "
                    "WHERE s.last_value < %s OR NOT s.is_called AND s.last_value = %s".encode(),
                    [name, most, wanted, wanted, wanted],
                )
