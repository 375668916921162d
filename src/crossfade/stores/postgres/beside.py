"""What an apply transaction changed beside the rows it was given: by triggers, cascades and deferred
constraint triggers of the following side.

A row of the pass is read back and proven by it, whoever changed it.  Any other row of a mapped table would be
different from the leader's, and nobody would look at it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from crossfade.errors import Different
from crossfade.stores.base import Change, View
from crossfade.stores.postgres.connection import Database, one
from crossfade.stores.postgres.names import OURS, ident, stage


def check_beside(db: Database, connection: psycopg.Connection[Any], changes: Sequence[Change]) -> None:
    """Let everything that is deferred happen now, then look at what capture noted.  ``Different`` names a row
    of a mapped table that is not one of the pass.  The staging tables must still be filled."""
    with connection.pipeline():
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        noted = connection.execute(
            f"DELETE FROM {OURS}.nested WHERE xid = pg_current_xact_id() RETURNING view, key"
        )
    touched: dict[int, list[list[str] | None]] = {}
    for number, key in noted.fetchall():
        touched.setdefault(number, []).append(key)
    views = {change.view.id: change.view for change in changes}
    for number, keys in touched.items():
        known = [key for key in keys if key is not None]
        if len(known) < len(keys):
            raise _error(db, connection, number, "emptied it")
        stray = known[0] if number not in views else _stray(connection, views[number], known)
        if stray is not None:
            raise _error(db, connection, number, f"changed its row ({', '.join(stray)})")


def _stray(connection: psycopg.Connection[Any], view: View, keys: Sequence[list[str]]) -> list[str] | None:
    """One of these keys (as texts) that is not in the view's staging tables."""
    names = [ident(f.column.name) for f in view.key_fields]
    arrays = ", ".join(["%s::text[]"] * len(names))
    known = ", ".join(f"k{i}" for i in range(len(names)))
    same = " AND ".join(f's.{name}::text COLLATE "C" = n.k{i} COLLATE "C"' for i, name in enumerate(names))
    row = connection.execute(
        f"SELECT ARRAY[{known}] FROM unnest({arrays}) AS n({known}) "
        f"WHERE NOT EXISTS (SELECT FROM {stage(view, 'up')} s WHERE {same}) "
        f"AND NOT EXISTS (SELECT FROM {stage(view, 'del')} s WHERE {same}) LIMIT 1".encode(),
        [list(column) for column in zip(*keys, strict=True)],
    ).fetchone()
    return None if row is None else list(row[0])


def _error(db: Database, connection: psycopg.Connection[Any], number: int, what: str) -> Different:
    name = one(connection, f"SELECT name FROM {OURS}.captured WHERE view = %s", [number])
    return Different(
        f"a trigger or a cascade on the following side {what}, which the leader did not; nothing was written",
        where=f"{db.url} table {name}",
        todo="drop or disable that trigger, or the ON UPDATE or ON DELETE action, on the following side while "
        "it follows",
    )
