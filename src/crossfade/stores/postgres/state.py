"""The state row, the lease and the notes: who leads, who works, how far the follower is.

``state`` carries what an apply transaction locks and checks.  What changes often or for its own sake
(the lease's end, the notes) lies in tables of its own, so that a heartbeat never waits for a pass.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

import psycopg

from crossfade.errors import LeaseHeld, LeaseLost, Refused, StoreError
from crossfade.stores.base import Lease, Role, Side, State, Token
from crossfade.stores.postgres.connection import Database, one
from crossfade.stores.postgres.names import OURS
from crossfade.stores.postgres.waiting import LOOK, state_verb

_TABLES = f"""
CREATE TABLE IF NOT EXISTS {OURS}.state (
  move text PRIMARY KEY, side text NOT NULL, role text NOT NULL, epoch bigint NOT NULL,
  attempt bigint NOT NULL, fenced boolean NOT NULL, lease text, position text,
  verified_at float8, peer text, trimmed text);
CREATE TABLE IF NOT EXISTS {OURS}.lease (
  move text PRIMARY KEY, token text NOT NULL, verb text NOT NULL, host text NOT NULL, pid bigint NOT NULL,
  version text NOT NULL, since float8 NOT NULL, until float8 NOT NULL);
CREATE TABLE IF NOT EXISTS {OURS}.note (
  move text, name text, value text NOT NULL, PRIMARY KEY (move, name));
CREATE TABLE IF NOT EXISTS {OURS}.secret (value text NOT NULL);
CREATE TABLE IF NOT EXISTS {OURS}.captured (
  view int PRIMARY KEY, schema text NOT NULL, name text NOT NULL, key text[] NOT NULL);
CREATE TABLE IF NOT EXISTS {OURS}.mark (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, view int NOT NULL,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(), reason text NOT NULL);
CREATE TABLE IF NOT EXISTS {OURS}.nested (
  view int NOT NULL, key text[], xid xid8 NOT NULL DEFAULT pg_current_xact_id());
CREATE TABLE IF NOT EXISTS {OURS}.chunk (
  move text NOT NULL, view int NOT NULL, number bigint NOT NULL, rows bigint NOT NULL,
  rejected bigint NOT NULL, PRIMARY KEY (move, view, number));
CREATE TABLE IF NOT EXISTS {OURS}.deferred (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, view int NOT NULL, kind text NOT NULL,
  name text NOT NULL, definition text NOT NULL, after text, detail text,
  made boolean NOT NULL DEFAULT false, checked boolean NOT NULL DEFAULT false, UNIQUE (view, kind, name));
"""


def ensure_tables(connection: psycopg.Connection[Any]) -> None:
    """Create our schema and its fixed tables where they are missing (inside a transaction)."""
    if one(connection, f"SELECT to_regclass('{OURS}.deferred') IS NOT NULL"):
        return
    connection.execute("SELECT pg_advisory_xact_lock(hashtext('crossfade.install'))")
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {OURS}")
    connection.execute(_TABLES.encode())
    if one(connection, f"SELECT count(*) FROM {OURS}.secret") == 0:
        connection.execute(f"INSERT INTO {OURS}.secret VALUES (%s)", [secrets.token_hex(16)])


def installed(connection: psycopg.Connection[Any]) -> bool:
    """Whether our tables are there."""
    return bool(one(connection, f"SELECT to_regclass('{OURS}.deferred') IS NOT NULL"))


def secret(connection: psycopg.Connection[Any]) -> str:
    """What an applier says so that capture and fence let it pass."""
    return str(one(connection, f"SELECT value FROM {OURS}.secret"))


def pass_as_applier(connection: psycopg.Connection[Any], *, proves: bool = False) -> None:
    """Let this transaction, and only this one, pass capture and fence.  With ``proves`` capture notes what
    triggers and cascades change beside it."""
    also = ", set_config('crossfade.proves', 'on', true)" if proves else ""
    connection.execute(
        f"SELECT set_config('crossfade.applier', value, true){also} FROM {OURS}.secret".encode()
    )


_STATE = f"""
SELECT s.side, s.role, s.epoch, s.attempt, s.fenced, s.lease, s.position, s.verified_at, s.peer,
       l.token, l.verb, l.host, l.pid, l.version, l.since, l.until,
       (SELECT json_object_agg(n.name, n.value::json)::text FROM {OURS}.note n WHERE n.move = s.move)
FROM {OURS}.state s LEFT JOIN {OURS}.lease l ON l.move = s.move AND l.token = s.lease
WHERE s.move = %s
"""


def read(db: Database, move: str) -> State | None:
    """The state row, or None when Crossfade is not installed here.  ``StoreUnreachable`` after a few seconds
    without an answer."""
    with db.session(answer=LOOK) as connection:
        if not one(connection, f"SELECT to_regclass('{OURS}.state') IS NOT NULL"):
            return None
        row = connection.execute(_STATE.encode(), [move]).fetchone()
    if row is None:
        return None
    lease = None
    if row[5] is not None:
        lease = Lease(*row[9:16]) if row[9] is not None else Lease(row[5], "", "", 0, "", 0.0, 0.0)
    return State(
        move=move,
        side=Side(row[0]),
        role=Role(row[1]),
        epoch=row[2],
        attempt=row[3],
        fenced=row[4],
        lease=lease,
        position=row[6],
        verified_at=row[7],
        peer=row[8],
        notes=json.loads(row[16]) if row[16] else {},
    )


def required(db: Database, move: str) -> State:
    """The state row.  ``Refused`` when Crossfade is not installed here."""
    found = read(db, move)
    if found is None:
        raise not_installed(db, move)
    return found


def not_installed(db: Database, move: str) -> Refused:
    """The error for a move that this database does not know."""
    return Refused(f"move {move!r} is not set up in this database", where=db.url, todo="run `crossfade copy`")


def _write_lease(connection: psycopg.Connection[Any], move: str, lease: Lease) -> None:
    connection.execute(
        f"INSERT INTO {OURS}.lease VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (move) DO UPDATE SET "
        "(token, verb, host, pid, version, since, until) = (excluded.token, excluded.verb, excluded.host, "
        "excluded.pid, excluded.version, excluded.since, excluded.until)",
        [move, lease.token, lease.verb, lease.host, lease.pid, lease.version, lease.since, lease.until],
    )


def take_lease(db: Database, move: str, lease: Lease, *, over: str | None) -> None:
    """Compare-and-set of the lease.  ``LeaseHeld``; ``StoreError`` while an apply transaction keeps the row."""
    with state_verb(db) as connection:
        done = connection.execute(
            f"UPDATE {OURS}.state SET lease = %s WHERE move = %s AND lease IS NOT DISTINCT FROM %s",
            [lease.token, move, over],
        )
        if done.rowcount == 1:
            _write_lease(connection, move, lease)
            return
    held = required(db, move).lease
    who = f"{held.verb!r} on {held.host}, process {held.pid}, since {held.since:.0f}" if held else "somebody"
    raise LeaseHeld(
        f"the lease of move {move!r} is held by {who}",
        where=db.url,
        todo="wait until it has finished; if that process is dead, its lease ends by itself",
    )


def renew_lease(db: Database, move: str, token: str, until: float) -> None:
    """Extend the lease.  ``LeaseLost``."""
    with state_verb(db) as connection:
        done = connection.execute(
            f"UPDATE {OURS}.lease SET until = %s WHERE move = %s AND token = %s", [until, move, token]
        )
        if done.rowcount == 1:
            return
    raise LeaseLost("another process has taken the lease", where=db.url, todo="run the command again")


def drop_lease(db: Database, move: str, token: str) -> None:
    """Give the lease back; nothing happens when another token stands there."""
    with state_verb(db) as connection:
        if not installed(connection):
            return
        connection.execute(
            f"UPDATE {OURS}.state SET lease = NULL WHERE move = %s AND lease = %s", [move, token]
        )
        connection.execute(f"DELETE FROM {OURS}.lease WHERE move = %s AND token = %s", [move, token])


def set_lease(connection: psycopg.Connection[Any], move: str, lease: Lease | None) -> None:
    """Replace the lease without asking (part of becoming a follower)."""
    connection.execute(
        f"UPDATE {OURS}.state SET lease = %s WHERE move = %s", [lease.token if lease else None, move]
    )
    connection.execute(f"DELETE FROM {OURS}.lease WHERE move = %s", [move])
    if lease is not None:
        _write_lease(connection, move, lease)


def note(db: Database, move: str, notes: Mapping[str, Any], token: Token | None) -> None:
    """Merge into the notes; a value of None removes the key.  With ``token`` only under it."""
    with state_verb(db) as connection:
        if not installed(connection):
            raise not_installed(db, move)
        if token is not None:
            check_token(connection, token, db, lock="share")
        write_notes(connection, move, notes)


def write_notes(connection: psycopg.Connection[Any], move: str, notes: Mapping[str, Any]) -> None:
    """The same, inside the caller's transaction."""
    for name, value in notes.items():
        if value is None:
            connection.execute(f"DELETE FROM {OURS}.note WHERE move = %s AND name = %s", [move, name])
            continue
        connection.execute(
            f"INSERT INTO {OURS}.note VALUES (%s, %s, %s) "
            "ON CONFLICT (move, name) DO UPDATE SET value = excluded.value",
            [move, name, json.dumps(value)],
        )


def forget_verification(db: Database, move: str) -> None:
    """``verified_at`` becomes None."""
    with state_verb(db) as connection:
        if not installed(connection):
            raise not_installed(db, move)
        done = connection.execute(f"UPDATE {OURS}.state SET verified_at = NULL WHERE move = %s", [move])
        if done.rowcount == 0:
            raise not_installed(db, move)


_LOCKS = {"": "", "share": " FOR SHARE", "update": " FOR UPDATE"}


def check_token(connection: psycopg.Connection[Any], token: Token, db: Database, *, lock: str) -> None:
    """The fencing token stands in the state row, which stays locked (``share`` or ``update``) until the
    transaction ends; without a lock it is only a first look.  ``LeaseLost``."""
    row = connection.execute(
        f"SELECT role, epoch, lease FROM {OURS}.state WHERE move = %s{_LOCKS[lock]}".encode(), [token.move]
    ).fetchone()
    if row is None:
        raise LeaseLost("the move is not set up in this database", where=db.url, todo="run `crossfade copy`")
    if row == (Role.FOLLOWER.value, token.epoch, token.lease):
        return
    why = (
        f"this side leads at epoch {row[1]}"
        if row[0] != Role.FOLLOWER.value
        else f"the epoch is {row[1]}, not {token.epoch}"
        if row[1] != token.epoch
        else "another process has taken the lease"
    )
    raise LeaseLost(f"nothing was written: {why}", where=db.url, todo="run the command again")


def check_move(connection: psycopg.Connection[Any], db: Database, move: str) -> None:
    """No other move has this database.  ``StoreError``."""
    other = one(connection, f"SELECT move FROM {OURS}.state WHERE move <> %s LIMIT 1", [move])
    if other is not None:
        raise StoreError(
            f"this database already takes part in move {other!r}",
            where=db.url,
            todo=f"complete or remove move {other!r} first",
        )
