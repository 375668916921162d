"""The fence function and the triggers that call it, and who is let through."""

from __future__ import annotations

from typing import Any

import psycopg

from crossfade.stores.postgres import schema, state
from crossfade.stores.postgres.connection import one
from crossfade.stores.postgres.names import OURS, text

FENCE = "crossfade_fence"
NESTED = "pg_catalog.pg_trigger_depth() > 0 AND pg_catalog.current_setting('crossfade.proves', true) = 'on'"
"""A trigger or a cascade of the following side changes a row beside what a pass applies."""


def open_body() -> str:
    """The fence function's body while this side takes writes."""
    return "BEGIN RETURN NULL; END"


def closed_body(move: str, side: str) -> str:
    """The fence function's body while it refuses them."""
    what = f"Crossfade move {move}: the {side} side does not take writes now"
    hint = "Send writes to the side that leads (`crossfade status` names it), or try again in a moment."
    return f"BEGIN RAISE EXCEPTION USING ERRCODE = '25006', MESSAGE = {text(what)}, HINT = {text(hint)}; END"


def set_body(connection: psycopg.Connection[Any], body: str) -> None:
    """Replace the fence function (the state row must be locked: two replacers would collide)."""
    connection.execute(
        f"CREATE OR REPLACE FUNCTION {OURS}.fence() RETURNS trigger LANGUAGE plpgsql "
        f"SET search_path = pg_catalog, pg_temp AS {text(body)}".encode()
    )


def bypass_condition(connection: psycopg.Connection[Any], password: str) -> str:
    """The WHEN condition of our triggers: everyone but the applier.

    The session's login role counts, not ``current_user``: foreign-key actions run as the table's owner.
    """
    user = str(one(connection, "SELECT session_user::text"))
    return (
        f"(pg_catalog.current_setting('crossfade.applier', true) IS DISTINCT FROM {text(password)} "
        f"OR session_user <> {text(user)})"
    )


def fence_trigger(table: str, when: str) -> str:
    """The statement that creates the fence trigger of a table."""
    return (
        f"CREATE TRIGGER {FENCE} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT WHEN {when} EXECUTE FUNCTION {OURS}.fence()"
    )


def arm_fence(connection: psycopg.Connection[Any], app: str) -> None:
    """Inside the fence's transaction: put a fence trigger on every table that lost it, or is new."""
    rows = connection.execute(
        f"""
        SELECT c.oid, format('%%I.%%I', n.nspname, c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid = ANY(%s::oid[]) AND NOT EXISTS (
          SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid AND g.tgname = '{FENCE}' AND g.tgenabled = 'A'
            AND g.tgfoid = '{OURS}.fence()'::regprocedure)
        """.encode(),
        [[oid for oid, *_ in schema.relations(connection, app)]],
    ).fetchall()
    if not rows:
        return
    when = bypass_condition(connection, state.secret(connection))
    for _, table in rows:
        connection.execute(f"DROP TRIGGER IF EXISTS {FENCE} ON {table}".encode())
        connection.execute(fence_trigger(table, when).encode())
        connection.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {FENCE}".encode())
