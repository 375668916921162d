"""The initial load: chunks of rows by COPY, each committed together with its progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pyarrow as pa

from crossfade.stores.base import Chunk, Token, View
from crossfade.stores.postgres import state
from crossfade.stores.postgres.connection import Database, one
from crossfade.stores.postgres.encode import csv_block
from crossfade.stores.postgres.names import OURS, idents, table_in

_BLOCK_ROWS = 65_536


def load(
    db: Database,
    view: View,
    batches: Iterable[pa.RecordBatch],
    chunk: Callable[[int], Chunk],
    token: Token,
) -> int:
    """See ``Store.load``.

    The token is checked without a lock first (cheap and early), and under a lock that lasts to the
    commit at the end: so loads in parallel never starve whoever takes the lease.  Commits are not
    flushed one by one; rows and progress would be lost together, and ``finish_load`` flushes.
    """
    first = chunk(0)
    with db.transaction() as connection:
        state.check_token(connection, token, db, lock="")
        known = one(
            connection,
            f"SELECT 1 FROM {OURS}.chunk WHERE move = %s AND view = %s AND number = %s",
            [token.move, first.view, first.number],
        )
        if known is not None:
            return 0
        state.pass_as_applier(connection)
        connection.execute("SET LOCAL synchronous_commit = off")
        columns = idents(f.column.name for f in view.fields)
        types = [f.type for f in view.fields]
        rows = 0
        query = f"COPY {table_in(db.schema, view.table.name)} ({columns}) FROM STDIN (FORMAT csv)"
        with (
            db.errors(f"table {view.table.name}"),
            connection.cursor() as cursor,
            cursor.copy(query.encode()) as copy,
        ):
            for batch in batches:
                for start in range(0, batch.num_rows, _BLOCK_ROWS):
                    copy.write(memoryview(csv_block(batch.slice(start, _BLOCK_ROWS), types)))
                rows += batch.num_rows
        done = chunk(rows)
        state.check_token(connection, token, db, lock="share")
        connection.execute(
            f"INSERT INTO {OURS}.chunk VALUES (%s, %s, %s, %s, %s)",
            [token.move, done.view, done.number, done.rows, done.rejected],
        )
    return rows


def chunks(db: Database, move: str) -> list[Chunk]:
    """The progress of the initial copy, in order."""
    with db.session() as connection:
        if not state.installed(connection):
            return []
        rows = connection.execute(
            f"SELECT view, number, rows, rejected FROM {OURS}.chunk WHERE move = %s ORDER BY view, number",
            [move],
        ).fetchall()
    return [Chunk(*row) for row in rows]


def restart_load(db: Database, view: View, token: Token) -> None:
    """Empty the table and forget its progress, in one transaction under ``token``."""
    with db.transaction() as connection:
        state.check_token(connection, token, db, lock="update")
        state.pass_as_applier(connection)
        connection.execute("SET CONSTRAINTS ALL DEFERRED")
        connection.execute(f"DELETE FROM {table_in(db.schema, view.table.name)}".encode())
        connection.execute(f"DELETE FROM {OURS}.chunk WHERE move = %s AND view = %s", [token.move, view.id])


def settle(db: Database, views: Sequence[View]) -> None:
    """Statistics for the planner, and every commit of the load on disk."""
    with db.session() as connection:
        for view in views:
            connection.execute(f"ANALYZE {table_in(db.schema, view.table.name)}".encode())
        connection.execute("SET synchronous_commit = on")
        with connection.transaction():
            connection.execute("SELECT pg_current_xact_id()")
