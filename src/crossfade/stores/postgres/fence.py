"""The fence, and the passing of the lead: every statement here is a compare-and-set on the state row.

The fence is a trigger function whose *body* is replaced.  A body is read afresh by every statement,
whatever snapshot its transaction has; a state row would be read in the writer's old snapshot and leak.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg

from crossfade.errors import AttemptOver, BudgetOver, StoreError
from crossfade.stores.base import UNSENT, Lease, Role
from crossfade.stores.postgres import schema, state
from crossfade.stores.postgres.connection import Database, one
from crossfade.stores.postgres.names import OURS, table_in
from crossfade.stores.postgres.triggers import arm_fence, closed_body, open_body, set_body
from crossfade.stores.postgres.waiting import WRITE_LOCKS, state_verb, writers

_IDLE_MS = 5_000  # a process stopped while it holds the tables keeps the application waiting no longer


def fence(db: Database, move: str, epoch: int, attempt: int, timeout: float) -> None:
    """Refuse writes once every open write transaction has ended; ``BudgetOver`` after ``timeout`` s."""
    until = time.monotonic() + timeout
    with db.session() as connection:
        _may_fence(connection, db, move, epoch, attempt, lock=False)
        _drain(connection, db, until, lambda: _close(connection, db, move, epoch, attempt))


def _may_fence(
    connection: psycopg.Connection[Any], db: Database, move: str, epoch: int, attempt: int, *, lock: bool
) -> str:
    row = connection.execute(
        f"SELECT role, epoch, attempt, side FROM {OURS}.state WHERE move = %s{' FOR UPDATE' if lock else ''}",
        [move],
    ).fetchone()
    if row is None or row[:3] != (Role.LEADER.value, epoch, attempt):
        raise _over(db, move, "to fence the leader")
    return str(row[3])


def _close(connection: psycopg.Connection[Any], db: Database, move: str, epoch: int, attempt: int) -> None:
    side = _may_fence(connection, db, move, epoch, attempt, lock=True)
    set_body(connection, closed_body(move, side))
    connection.execute(f"UPDATE {OURS}.state SET fenced = true WHERE move = %s", [move])
    state.write_notes(connection, move, {UNSENT: attempt})


def _drain(connection: psycopg.Connection[Any], db: Database, until: float, close: Any) -> None:
    """Lock every table, arm what a schema change left unfenced, ``close()``, commit.

    A try never waits as long as the deadlock detector: a transaction that already wrote to one table
    and now waits behind our lock on the next must never be chosen as the victim.
    """
    patience = float(
        one(connection, "SELECT setting::float8 FROM pg_settings WHERE name = 'deadlock_timeout'")
    )
    while True:
        left = until - time.monotonic()
        if left <= 0:
            raise _budget_over(connection, db)
        try:
            with connection.transaction():
                tables = schema.relations(connection, db.schema)
                wait = max(1, int(min(left * 1000, patience * 0.8)))
                connection.execute(f"SET LOCAL statement_timeout = {wait}")
                if tables:
                    names = ", ".join(f"ONLY {table_in(s, n)}" for _, s, n, _ in tables)
                    connection.execute(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE".encode())
                connection.execute(
                    f"SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '{wait}', "
                    f"true), set_config('idle_in_transaction_session_timeout', '{_IDLE_MS}', true)".encode()
                )
                arm_fence(connection, db.schema)
                close()
        except (
            psycopg.errors.QueryCanceled,
            psycopg.errors.LockNotAvailable,
            psycopg.errors.DeadlockDetected,
        ):
            continue
        except psycopg.errors.UndefinedTable:
            continue  # a table was dropped between the two statements: look again
        return


def _over(db: Database, move: str, what: str) -> AttemptOver:
    found = state.read(db, move)
    now = f"role {found.role}, epoch {found.epoch}, attempt {found.attempt}" if found else "not set up"
    return AttemptOver(
        f"not allowed {what}: the state row says {now}",
        where=db.url,
        todo="run `crossfade doctor`, which reads both databases and says who leads",
    )


def _budget_over(connection: psycopg.Connection[Any], db: Database) -> BudgetOver:
    others = writers(connection, db.schema)
    names = "; ".join(others) or "the sessions that were in the way have just ended"
    return BudgetOver(
        f"the fence was not granted in time, writes are still open: {names}",
        where=db.url,
        todo="end these transactions (ROLLBACK PREPARED for prepared ones), or raise hold_budget",
    )


def unfence(db: Database, move: str, epoch: int, attempt: int) -> None:
    """Let the leader write again.  ``AttemptOver`` unless role, epoch and attempt match."""
    with state_verb(db) as connection:
        done = connection.execute(
            f"UPDATE {OURS}.state SET fenced = false WHERE move = %s AND role = 'leader' AND epoch = %s "
            "AND attempt = %s",
            [move, epoch, attempt],
        )
        if done.rowcount == 0:
            raise _over(db, move, f"to lift the fence at epoch {epoch}")
        set_body(connection, open_body())


def announce_commit(db: Database, move: str, epoch: int, attempt: int) -> None:
    """From here on COMMIT may have been sent; ``AttemptOver`` unless this attempt's fence stands."""
    with state_verb(db) as connection:
        if not one(
            connection,
            f"SELECT true FROM {OURS}.state WHERE move = %s AND role = 'leader' AND fenced AND epoch = %s "
            "AND attempt = %s FOR UPDATE",
            [move, epoch, attempt],
        ):
            raise _over(db, move, f"to commit attempt {attempt} of epoch {epoch}")
        state.write_notes(connection, move, {UNSENT: None})


def lead(db: Database, move: str, epoch: int, attempt: int) -> None:
    """The commit point of a switch: one transaction, see ``Store.lead``."""
    with state_verb(db) as connection:
        done = connection.execute(
            f"UPDATE {OURS}.state SET role = 'leader', epoch = epoch + 1, fenced = false, position = NULL, "
            "trimmed = NULL "
            "WHERE move = %s AND role = 'follower' AND epoch = %s AND attempt = %s",
            [move, epoch, attempt],
        )
        if done.rowcount == 0:
            raise _over(db, move, f"to lead after epoch {epoch}, attempt {attempt}")
        set_body(connection, open_body())
        for (view,) in connection.execute(f"SELECT view FROM {OURS}.captured WHERE key <> '{{}}'").fetchall():
            connection.execute(f"DELETE FROM {OURS}.log_{view}".encode())
        connection.execute(f"DELETE FROM {OURS}.mark")


def follow(
    db: Database,
    move: str,
    epoch: int,
    lease: Lease | None,
    verified_at: float | None,
    *,
    patience: float = 10.0,
) -> None:
    """Become follower at ``epoch``; a side that was never fenced is drained first (``BudgetOver``)."""
    until = time.monotonic() + patience

    def become(connection: psycopg.Connection[Any], *, drained: bool) -> bool:
        """False: the side is not fenced, and open writes have to end first."""
        row = connection.execute(
            f"SELECT role, epoch, fenced, side FROM {OURS}.state WHERE move = %s FOR UPDATE", [move]
        ).fetchone()
        if row is None:
            raise state.not_installed(db, move)
        if row[0] == Role.FOLLOWER.value and row[1] == epoch:
            return True  # said before, by a coordinator that died after it
        if row[1] >= epoch:
            raise _over(db, move, f"to follow at epoch {epoch}")
        if not (row[2] or drained):
            return False
        connection.execute(
            f"UPDATE {OURS}.state SET role = 'follower', epoch = %s, fenced = true, position = NULL, "
            "verified_at = %s WHERE move = %s",
            [epoch, verified_at, move],
        )
        state.set_lease(connection, move, lease)
        set_body(connection, closed_body(move, str(row[3])))
        return True

    with state_verb(db) as connection:
        if become(connection, drained=False):
            return
    with db.session() as connection:
        _drain(connection, db, until, lambda: become(connection, drained=True))


def begin_attempt(db: Database, move: str, epoch: int, attempt: int) -> None:
    """Number a switch attempt; ``AttemptOver`` when it is not the newest."""
    with state_verb(db) as connection:
        done = connection.execute(
            f"UPDATE {OURS}.state SET attempt = %s WHERE move = %s AND epoch = %s AND attempt < %s",
            [attempt, move, epoch, attempt],
        )
    if done.rowcount == 0:
        raise _over(db, move, f"to begin attempt {attempt} of epoch {epoch}")


def abort_attempt(db: Database, move: str, epoch: int, attempt: int) -> None:
    """End an attempt, so that its coordinator can neither fence nor commit; ``AttemptOver`` when it is
    over already, or did commit."""
    with state_verb(db) as connection:
        done = connection.execute(
            f"UPDATE {OURS}.state SET attempt = attempt + 1 WHERE move = %s AND epoch = %s AND attempt = %s",
            [move, epoch, attempt],
        )
    if done.rowcount == 0:
        raise _over(db, move, f"to end attempt {attempt} of epoch {epoch}")


def cut_off(db: Database) -> int:
    """End the sessions (never ours) that hold write locks on what the fence has to lock: every table, and
    every partition of one."""
    with db.session() as connection:
        ids = [oid for oid, *_ in schema.relations(connection, db.schema)]
        pids = connection.execute(
            f"""
            SELECT DISTINCT l.pid FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
            WHERE l.locktype = 'relation' AND l.granted AND l.relation = ANY(%s::oid[])
              AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND l.mode IN ({WRITE_LOCKS}) AND a.application_name <> 'crossfade' AND l.pid <> pg_backend_pid()
            """.encode(),
            [ids],
        ).fetchall()
        ended = 0
        for (pid,) in pids:
            try:
                ended += bool(one(connection, "SELECT pg_terminate_backend(%s)", [pid]))
            except psycopg.errors.InsufficientPrivilege as error:
                raise StoreError(
                    f"may not end process {pid}: {error.diag.message_primary}",
                    where=db.url,
                    todo="grant pg_signal_backend to the role, or end that session yourself",
                ) from error
        return ended
