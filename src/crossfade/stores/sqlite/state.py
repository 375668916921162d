"""The state row, and the compare-and-set transactions on it: lease, switch, fence."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from crossfade.errors import AttemptOver, BudgetOver, LeaseHeld, LeaseLost, StoreError, StoreUnreachable
from crossfade.stores.base import UNSENT, Lease, Role, Side, State, Token
from crossfade.stores.sqlite.capture import LOG, STATE, arm, fence_triggers
from crossfade.stores.sqlite.connection import (
    Database,
    begin_immediate,
    commit,
    is_busy,
    maybe_text,
    rollback,
    text,
)
from crossfade.stores.sqlite.schema import tables

CREATE_STATE = f"""CREATE TABLE IF NOT EXISTS {STATE} (
    move TEXT PRIMARY KEY, side TEXT NOT NULL, role TEXT NOT NULL, epoch INTEGER NOT NULL,
    attempt INTEGER NOT NULL, fenced INTEGER NOT NULL, bypass INTEGER NOT NULL, position TEXT,
    verified_at REAL, peer TEXT, notes TEXT NOT NULL, lease_token TEXT, lease_verb TEXT, lease_host TEXT,
    lease_pid INTEGER, lease_version TEXT, lease_since REAL, lease_until REAL,
    trimmed INTEGER)"""
_LEASE = "lease_token, lease_verb, lease_host, lease_pid, lease_version, lease_since, lease_until"
_LEASE_SET = ", ".join(f"{name.strip()} = ?" for name in _LEASE.split(","))


def has_state(con: sqlite3.Connection) -> bool:
    """Whether Crossfade is installed here."""
    row = con.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (STATE,)).fetchone()
    return row is not None


def read_state(con: sqlite3.Connection, move: str) -> State | None:
    """The state row of the move, or None."""
    if not has_state(con):
        return None
    row = con.execute(
        f"SELECT side, role, epoch, attempt, fenced, position, verified_at, peer, notes, {_LEASE} "
        f"FROM {STATE} WHERE move = ?",
        (move,),
    ).fetchone()
    if row is None:
        return None
    side, role, epoch, attempt, fenced, position, verified_at, peer, notes, *lease = row
    token, verb, host, pid, version, since, until = lease
    return State(
        move=move,
        side=Side(text(side)),
        role=Role(text(role)),
        epoch=epoch,
        attempt=attempt,
        fenced=bool(fenced),
        lease=None
        if token is None
        else Lease(text(token), text(verb), text(host), pid, text(version), since, until),
        position=maybe_text(position),
        verified_at=verified_at,
        peer=maybe_text(peer),
        notes=json.loads(text(notes)),
    )


def _lease_values(lease: Lease | None) -> tuple[object, ...]:
    if lease is None:
        return (None,) * 7
    return (lease.token, lease.verb, lease.host, lease.pid, lease.version, lease.since, lease.until)


def check_token(con: sqlite3.Connection, token: Token, where: str) -> None:
    """Raise ``LeaseLost`` unless this side follows at the token's epoch under the token's lease."""
    row = con.execute(
        f"SELECT role, epoch, lease_token FROM {STATE} WHERE move = ?", (token.move,)
    ).fetchone()
    if row is None:
        raise not_installed(token.move, where)
    role, epoch, lease = text(row[0]), row[1], maybe_text(row[2])
    if role == Role.FOLLOWER and epoch == token.epoch and lease == token.lease:
        return
    if role != Role.FOLLOWER or epoch != token.epoch:
        why = f"this side is {role} at epoch {epoch}, not follower at epoch {token.epoch}"
    else:
        why = "the lease has passed to somebody else" if lease else "the lease was given back"
    raise LeaseLost(f"nothing was written: {why}", where=where, todo="look at `crossfade status`")


@contextmanager
def bypass(con: sqlite3.Connection, move: str, *, captured: bool = False) -> Iterator[None]:
    """Write without being fenced, and without being captured unless ``captured``, inside the caller's own
    write transaction.  Nobody else can see the flag: there is one writer at a time, and the flag is down
    again before COMMIT."""
    con.execute(f"UPDATE {STATE} SET bypass = ? WHERE move = ?", (2 if captured else 1, move))
    yield
    con.execute(f"UPDATE {STATE} SET bypass = 0 WHERE move = ?", (move,))


def not_installed(move: str, where: str) -> StoreError:
    return StoreError(
        f"the move {move!r} is not installed in this database", where=where, todo="run `crossfade copy` first"
    )


class StateVerbs:
    """The verbs of the protocol that touch nothing but the state row (and the log)."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def state(self, move: str) -> State | None:
        with self._db.reading() as con:
            return read_state(con, move)

    def _known(self, move: str) -> State:
        found = self.state(move)
        if found is None:
            raise not_installed(move, self._db.where)
        return found

    # -- lease --

    def take_lease(self, move: str, lease: Lease, *, over: str | None) -> None:
        sql = f"UPDATE {STATE} SET {_LEASE_SET} WHERE move = ? AND lease_token IS ?"
        if self._db.changed_one(sql, (*_lease_values(lease), move, over)):
            return
        held = self._known(move).lease
        if held is None:
            raise LeaseHeld("the lease was given back meanwhile", where=self._db.where, todo="try again")
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(held.since))
        raise LeaseHeld(
            f"`crossfade {held.verb}` holds the lease: host {held.host}, process {held.pid}, since {since}",
            where=self._db.where,
            todo="wait for it to end, or end that process; a lease that is past its time can be taken over",
        )

    def renew_lease(self, move: str, token: str, until: float) -> None:
        sql = f"UPDATE {STATE} SET lease_until = ? WHERE move = ? AND lease_token = ?"
        if not self._db.changed_one(sql, (until, move, token)):
            self._known(move)
            raise LeaseLost("another process holds the lease now", where=self._db.where)

    def drop_lease(self, move: str, token: str) -> None:
        sql = f"UPDATE {STATE} SET {_LEASE_SET} WHERE move = ? AND lease_token = ?"
        self._db.changed_one(sql, (*_lease_values(None), move, token))

    def note(self, move: str, notes: Mapping[str, Any], *, token: Token | None = None) -> None:
        with self._db.writing() as con:
            if token is not None:
                check_token(con, token, self._db.where)
            self._write_notes(con, move, notes)

    def _write_notes(self, con: sqlite3.Connection, move: str, notes: Mapping[str, Any]) -> None:
        row = con.execute(f"SELECT notes FROM {STATE} WHERE move = ?", (move,)).fetchone()
        if row is None:
            raise not_installed(move, self._db.where)
        merged = json.loads(text(row[0])) | dict(notes)
        kept = {name: value for name, value in merged.items() if value is not None}
        con.execute(f"UPDATE {STATE} SET notes = ? WHERE move = ?", (json.dumps(kept), move))

    def forget_verification(self, move: str) -> None:
        if not self._db.changed_one(f"UPDATE {STATE} SET verified_at = NULL WHERE move = ?", (move,)):
            raise not_installed(move, self._db.where)

    # -- switch --

    def begin_attempt(self, move: str, epoch: int, attempt: int) -> None:
        sql = f"UPDATE {STATE} SET attempt = ? WHERE move = ? AND epoch = ? AND attempt < ?"
        if not self._db.changed_one(sql, (attempt, move, epoch, attempt)):
            raise self._over(move, epoch, attempt)

    def abort_attempt(self, move: str, epoch: int, attempt: int) -> None:
        sql = f"UPDATE {STATE} SET attempt = attempt + 1 WHERE move = ? AND epoch = ? AND attempt = ?"
        if not self._db.changed_one(sql, (move, epoch, attempt)):
            raise self._over(move, epoch, attempt)

    def announce_commit(self, move: str, epoch: int, attempt: int) -> None:
        def announce(con: sqlite3.Connection) -> bool:
            found = read_state(con, move)
            if found is None or not found.fenced:
                return False
            if (found.role, found.epoch, found.attempt) != (Role.LEADER, epoch, attempt):
                return False
            self._write_notes(con, move, {UNSENT: None})
            return True

        if not self._db.repeatedly(announce):
            raise self._over(move, epoch, attempt)

    def lead(self, move: str, epoch: int, attempt: int) -> None:
        with self._db.mapped():
            con = self._db.open()
            try:
                begin_immediate(con, self._db.wait)
                done = con.execute(
                    f"UPDATE {STATE} SET role = ?, epoch = epoch + 1, fenced = 0, position = NULL, "
                    "trimmed = NULL "
                    "WHERE move = ? AND role = ? AND epoch = ? AND attempt = ?",
                    (Role.LEADER, move, Role.FOLLOWER, epoch, attempt),
                )
                if done.rowcount != 1:
                    rollback(con)
                    raise self._over(move, epoch, attempt)
                con.execute(f"DELETE FROM {LOG}")
                self._commit_lead(con)
            finally:
                con.close()

    def _commit_lead(self, con: sqlite3.Connection) -> None:
        try:
            commit(con, self._db.wait)
        except sqlite3.Error as error:
            if is_busy(error) and con.in_transaction:
                con.execute("ROLLBACK")  # certain: nothing was committed
                raise
            raise StoreUnreachable(
                f"the outcome of taking the lead is unknown: {error}",
                where=self._db.where,
                todo="ask this database again for its state before anything is un-fenced: `crossfade doctor`",
            ) from error

    def follow(self, move: str, epoch: int, lease: Lease | None, verified_at: float | None) -> None:
        sql = (
            f"UPDATE {STATE} SET role = ?, epoch = ?, fenced = 1, position = NULL, verified_at = ?, "
            f"{_LEASE_SET} WHERE move = ? AND epoch < ?"
        )
        values = (Role.FOLLOWER, epoch, verified_at, *_lease_values(lease), move, epoch)
        if self._db.changed_one(sql, values):
            return
        found = self._known(move)
        if found.role is not Role.FOLLOWER or found.epoch != epoch:  # else a retry of what succeeded
            raise self._over(move, epoch, found.attempt)

    def unfence(self, move: str, epoch: int, attempt: int) -> None:
        sql = f"UPDATE {STATE} SET fenced = 0 WHERE move = ? AND role = ? AND epoch = ? AND attempt = ?"
        if not self._db.changed_one(sql, (move, Role.LEADER, epoch, attempt)):
            raise self._over(move, epoch, attempt)

    def fence(self, move: str, epoch: int, attempt: int, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        with self._db.mapped():
            con = self._db.open(timeout=timeout)
            try:
                self._begin_in(con, timeout)
                done = con.execute(
                    f"UPDATE {STATE} SET fenced = 1 WHERE move = ? AND role = ? AND epoch = ? AND attempt = ?",
                    (move, Role.LEADER, epoch, attempt),
                )
                if done.rowcount != 1:
                    rollback(con)
                    raise self._over(move, epoch, attempt)
                self._write_notes(con, move, {UNSENT: attempt})
                # a table made or rebuilt since the installation has no fence of its own yet
                arm(
                    con,
                    [t for entry in tables(con) for t in fence_triggers(move, entry.name)],
                    keep_others=True,
                )
                self._commit_by(con, deadline, timeout)
            finally:
                con.close()

    def _begin_in(self, con: sqlite3.Connection, timeout: float) -> None:
        try:
            begin_immediate(con, timeout)
        except sqlite3.Error as error:
            if not is_busy(error):
                raise
            raise self._fence_late("a write transaction stayed open", timeout) from error

    def _commit_by(self, con: sqlite3.Connection, deadline: float, timeout: float) -> None:
        """In rollback-journal mode COMMIT waits until the last reader has gone."""
        while True:
            left = deadline - time.monotonic()
            con.execute(f"PRAGMA busy_timeout={max(1, int(left * 1000))}")
            try:
                con.execute("COMMIT")
            except sqlite3.Error as error:
                if not is_busy(error) or not con.in_transaction:
                    raise
                if time.monotonic() < deadline:
                    continue
                con.execute("ROLLBACK")
                raise self._fence_late("a reader kept the commit from finishing", timeout) from error
            return

    def _fence_late(self, why: str, timeout: float) -> BudgetOver:
        return BudgetOver(
            f"the fence was not taken within {timeout:g} s: {why}; nothing is fenced",
            where=self._db.where,
            todo="SQLite does not say which process; `fuser` or `lsof` on the file list those that have it open",
        )

    def _over(self, move: str, epoch: int, attempt: int) -> AttemptOver:
        found = self._known(move)
        return AttemptOver(
            f"epoch {epoch} attempt {attempt} is over: this side is {found.role} at epoch {found.epoch}, "
            f"attempt {found.attempt}",
            where=self._db.where,
            todo="look at `crossfade status`; nothing was changed by this call",
        )
