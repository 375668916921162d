"""The initial load: chunks of rows by COPY, each committed together with its progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import psycopg
import pyarrow as pa

from crossfade.errors import StoreUnreachable
from crossfade.stores.base import Chunk, Token, View
from crossfade.stores.postgres import state
from crossfade.stores.postgres.connection import Database, one
from crossfade.stores.postgres.encode import csv_block
from crossfade.stores.postgres.encode_binary import SIGNATURE, TRAILER, binary_block, binary_encoders
from crossfade.stores.postgres.names import OURS, idents, table_in

_BLOCK_ROWS = 65_536

_CHUNKS = 2**32
"""More chunks than a table has."""

_PATIENCE = 20
"""Seconds that somebody else may still be at a chunk that was given to us."""

_ROUNDS = 3

_END_HOLDER = """
    SELECT pg_terminate_backend(l.pid)
    FROM pg_locks l, (SELECT hashtextextended(%s, %s) AS key) k
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.classid::bigint = (k.key >> 32) & 4294967295 AND l.objid::bigint = k.key & 4294967295
"""
"""A lock by one number of 64 bits is told as two of 32."""


@dataclass(frozen=True, slots=True)
class _Form:
    """A format of COPY: its name, what encodes a batch, and what stands before and after all of them."""

    name: str
    block: Callable[[pa.RecordBatch], pa.Buffer]
    begin: bytes = b""
    end: bytes = b""


def _form(view: View) -> _Form:
    """The binary format, which spares the server the parsing; CSV where a column's type has no encoder
    (enums, arrays, intervals, addresses, …: the type itself reads those)."""
    encoders = binary_encoders(view.fields)
    if encoders is None:
        types = [f.type for f in view.fields]
        return _Form("csv", lambda batch: csv_block(batch, types))
    return _Form("binary", lambda batch: binary_block(batch, encoders), SIGNATURE, TRAILER)


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
        _alone(connection, f"{OURS} chunk {token.move}", first.view * _CHUNKS + first.number)
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
        form = _form(view)
        rows = 0
        query = f"COPY {table_in(db.schema, view.table.name)} ({columns}) FROM STDIN (FORMAT {form.name})"
        with (
            db.errors(f"table {view.table.name}"),
            connection.cursor() as cursor,
            cursor.copy(query.encode()) as copy,
        ):
            copy.write(form.begin)
            for batch in batches:
                for start in range(0, batch.num_rows, _BLOCK_ROWS):
                    copy.write(memoryview(form.block(batch.slice(start, _BLOCK_ROWS))))
                rows += batch.num_rows
            copy.write(form.end)
        done = chunk(rows)
        state.check_token(connection, token, db, lock="share")
        connection.execute(
            f"INSERT INTO {OURS}.chunk VALUES (%s, %s, %s, %s, %s)",
            [token.move, done.view, done.number, done.rows, done.rejected],
        )
    return rows


def _alone(connection: psycopg.Connection[Any], name: str, number: int) -> None:
    """Have this chunk for this transaction alone: whoever comes second waits, and finds it recorded.

    A worker that was taken for dead may still be at the chunk.  One that does not end within `_PATIENCE` was stopped
    in the middle of it, for nothing else takes a chunk that somebody alive has: its session is ended, and with it
    what it had written.
    """
    key = [name, number]
    for _ in range(_ROUNDS):
        connection.execute(f"SET LOCAL lock_timeout = '{_PATIENCE}s'")
        try:
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))", key)
        except psycopg.errors.LockNotAvailable:
            connection.execute(_END_HOLDER, key)
        else:
            connection.execute("SET LOCAL lock_timeout = 0")
            return
    raise StoreUnreachable(
        "another session keeps a chunk of the copy and cannot be ended",
        where="copy",
        todo="end it (see pg_stat_activity), then run `crossfade copy` again",
    )


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


def settle(db: Database) -> None:
    """Every commit of the load and of what was built after it, on disk."""
    with db.session() as connection, connection.transaction():
        connection.execute("SET LOCAL synchronous_commit = on")
        # a commit is flushed only if its transaction wrote something: this writes a lock to the log
        connection.execute(f"SELECT 1 FROM {OURS}.secret FOR UPDATE")
