"""Waiting for locks without standing in the application's way, and naming who is in ours."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from crossfade.errors import StoreError
from crossfade.stores.postgres import schema
from crossfade.stores.postgres.connection import Database
from crossfade.stores.postgres.names import OURS

WRITE_LOCKS = (
    "'RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', "
    "'AccessExclusiveLock'"
)

_PATIENCE = 60.0  # seconds that one table may keep us waiting
_TRY_MS = 300  # a waiting lock request holds up the application's writers, so each try is short

STATE_WAIT = 1.0
"""Seconds that a verb waits for the state row: who holds it longer is stopped, or applies a huge pass."""
LOOK = 3.0
"""Seconds that a look at the state row waits for an answer: a server that is frozen counts as away."""
_VERB = 5.0  # seconds that a verb on the state row waits for an answer, its waits for locks included
_IDLE = 5  # seconds after which the server ends a verb of ours whose process was stopped inside it


@contextmanager
def state_verb(db: Database) -> Iterator[psycopg.Connection[Any]]:
    """A transaction on the state row, rolled back on exception.  It waits ``STATE_WAIT`` at most for each
    lock (``StoreError`` names who holds it), and ends by itself when its process is stopped inside it."""
    with db.session(answer=_VERB) as connection:
        try:
            with connection.transaction():
                connection.execute(
                    f"SELECT set_config('lock_timeout', '{int(STATE_WAIT * 1000)}ms', true), "
                    f"set_config('idle_in_transaction_session_timeout', '{_IDLE}s', true)"
                )
                yield connection
        except psycopg.errors.LockNotAvailable as error:
            raise state_locked(connection, db) from error


def state_locked(connection: psycopg.Connection[Any], db: Database) -> StoreError:
    """The error for a state row that somebody else keeps locked (outside a transaction)."""
    rows = connection.execute(
        f"""
        SELECT DISTINCT a.pid, a.usename, a.application_name, a.state,
               extract(epoch FROM clock_timestamp() - a.xact_start)::float8
        FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.relation = to_regclass('{OURS}.state') AND l.granted AND l.pid <> pg_backend_pid()
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND l.mode <> 'AccessShareLock'
        """
    ).fetchall()
    said = [
        f"process {pid} ({user}, {app or 'no name'}, {doing}, in a transaction for {age or 0:.1f} s)"
        for pid, user, app, doing, age in rows
    ]
    return StoreError(
        "the state row is locked by " + ("; ".join(said) or "a session that has just ended"),
        where=db.url,
        todo="wait until that process has finished its transaction, or end it: SELECT pg_terminate_backend(…)",
    )


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
