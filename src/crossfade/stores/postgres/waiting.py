"""Waiting for locks without standing in the application's way, and naming who is in ours."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg

from crossfade.errors import StoreError
from crossfade.stores.postgres import schema
from crossfade.stores.postgres.connection import Database

WRITE_LOCKS = (
    "'RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', "
    "'AccessExclusiveLock'"
)

_PATIENCE = 60.0  # seconds that one table may keep us waiting
_TRY_MS = 300  # a waiting lock request holds up the application's writers, so each try is short


def writers(connection: psycopg.Connection[Any], app: str) -> list[str]:
    """One sentence for each transaction that holds a write lock on an application table."""
    ids = [oid for oid, *_ in schema.relations(connection, app)]
    rows = connection.execute(
        f"""
        SELECT l.pid, p.gid, a.usename, a.application_name, a.state, left(a.query, 120),
               extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared))::float8,
               string_agg(DISTINCT l.relation::regclass::text, ', ')
        FROM pg_locks l
        LEFT JOIN pg_stat_activity a ON a.pid = l.pid
        LEFT JOIN pg_locks x ON l.pid IS NULL AND x.pid IS NULL AND x.locktype = 'transactionid'
          AND x.virtualtransaction = l.virtualtransaction
        LEFT JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
        WHERE l.locktype = 'relation' AND l.granted AND l.relation = ANY(%s::oid[])
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND l.mode IN ({WRITE_LOCKS}) AND l.pid IS DISTINCT FROM pg_backend_pid()
        GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 7 DESC
        """.encode(),
        [ids],
    ).fetchall()
    return [_writer(*row) for row in rows]


def _writer(
    pid: int | None,
    gid: str | None,
    user: str,
    app: str,
    doing: str,
    query: str,
    age: float | None,
    tables: str,
) -> str:
    since = f" for {age:.1f} s" if age is not None else ""
    if pid is None:
        return f"prepared transaction {gid!r}{since} on {tables}"
    return (
        f"process {pid} ({user}, {app or 'no name'}, {doing}{since}) on {tables}: {' '.join(query.split())}"
    )


def patiently(
    connection: psycopg.Connection[Any],
    db: Database,
    table: str,
    work: Callable[[], None],
    limit: float = _PATIENCE,
) -> None:
    """Run ``work`` in a transaction that never waits long for a lock; try again for ``limit`` seconds.
    ``StoreError`` names who is in the way."""
    until = time.monotonic() + limit
    pause = 0.02
    while True:
        try:
            with connection.transaction():
                connection.execute(f"SET LOCAL lock_timeout = {_TRY_MS}")
                work()
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
            if time.monotonic() < until:
                time.sleep(pause)
                pause = min(pause * 2, 0.5)
                continue
            others = "; ".join(writers(connection, db.schema)) or "a session that has just ended"
            raise StoreError(
                f"no lock on {table} within {limit:.0f} s because of {others}",
                where=db.url,
                todo="end that transaction, then run the command again",
            ) from error
        return
