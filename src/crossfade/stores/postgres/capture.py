"""Capture and fence triggers, the log, and what installs and removes them.

A row trigger appends the key of every change to ``crossfade.log_<view>`` in the change's own
transaction, together with that transaction's id; which rows are new to a pass follows from snapshots,
never from the order of ``seq``, because transactions do not commit in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from crossfade.errors import Unmappable
from crossfade.stores.base import Role, Side, View
from crossfade.stores.postgres import schema, state
from crossfade.stores.postgres.connection import Database, one
from crossfade.stores.postgres.names import OURS, base_type, ident, table_in, text
from crossfade.stores.postgres.triggers import (
    FENCE,
    NESTED,
    bypass_condition,
    closed_body,
    fence_trigger,
    open_body,
    set_body,
)
from crossfade.stores.postgres.waiting import patiently, state_verb

CAPTURE, MARK = "crossfade_capture", "crossfade_mark"


def log_table(view: View) -> str:
    """The qualified name of a view's log."""
    return f"{OURS}.log_{view.id}"


def install(db: Database, move: str, side: Side, role: Role, views: Sequence[View], peer: str | None) -> None:
    """See ``Store.install``.  Each table is armed in a transaction of its own, so that writers wait
    for one table at a time and never longer than a moment."""
    with state_verb(db) as connection:
        state.ensure_tables(connection)
        state.check_move(connection, db, move)
        connection.execute(
            f"INSERT INTO {OURS}.state (move, side, role, epoch, attempt, fenced, peer) "
            "VALUES (%s, %s, %s, 0, 0, %s, %s) ON CONFLICT (move) DO NOTHING",
            [move, side.value, role.value, role is Role.FOLLOWER, peer],
        )
        fenced = one(connection, f"SELECT fenced FROM {OURS}.state WHERE move = %s FOR UPDATE", [move])
        if peer is not None:
            connection.execute(
                f"UPDATE {OURS}.state SET peer = %s WHERE move = %s AND peer IS NULL", [peer, move]
            )
        body = closed_body(move, side.value) if fenced else open_body()
        set_body(connection, body)
        for view in views:
            _make_log(connection, db, view)
    with db.session() as connection:
        password = state.secret(connection)
        by_name = {view.table.name: view for view in views}
        for oid, at, name, part in schema.relations(connection, db.schema):
            mapped = _parent_view(connection, oid, by_name) if part else by_name.get(name)
            arm = _armer(connection, oid, table_in(at, name), mapped, password, part)
            patiently(connection, db, table_in(at, name), arm)
        _forget(connection, db, {view.id for view in views})


def _parent_view(connection: psycopg.Connection[Any], oid: int, by_name: dict[str, View]) -> View | None:
    row = connection.execute(
        "SELECT c.relname FROM pg_class c WHERE c.oid = pg_partition_root(%s::oid::regclass)", [oid]
    ).fetchone()
    return by_name.get(row[0]) if row else None


def _make_log(connection: psycopg.Connection[Any], db: Database, view: View) -> None:
    key = [f.column.name for f in view.key_fields]
    known = connection.execute(
        f"SELECT schema, name, key FROM {OURS}.captured WHERE view = %s", [view.id]
    ).fetchone()
    if known is not None and known != (db.schema, view.table.name, key):
        connection.execute(f"DROP TABLE IF EXISTS {log_table(view)}".encode())
    connection.execute(
        f"INSERT INTO {OURS}.captured VALUES (%s, %s, %s, %s) ON CONFLICT (view) DO UPDATE SET "
        "(schema, name, key) = (excluded.schema, excluded.name, excluded.key)",
        [view.id, db.schema, view.table.name, key],
    )
    if not key:
        return
    columns = ", ".join(f"k{i} {_log_type(f)}" for i, f in enumerate(view.key_fields, 1))
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {log_table(view)} (seq bigint GENERATED ALWAYS AS IDENTITY, "
        f"xid xid8 NOT NULL DEFAULT pg_current_xact_id(), {columns}) "
        "WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.1)".encode()
    )
    # IF NOT EXISTS would lock the log against the application's writers before it looks
    if not one(connection, f"SELECT to_regclass('{OURS}.log_{view.id}_xid') IS NOT NULL"):
        connection.execute(f"CREATE INDEX log_{view.id}_xid ON {log_table(view)} (xid)".encode())
    connection.execute(_functions(connection, view).encode())


def _log_type(field: Any) -> str:
    native = base_type(field)
    return f'{native} COLLATE "C"' if native in ("text", "character varying", "bpchar", "name") else native


def capture_body(view: View, others: str) -> str:
    """The body of a view's capture function.  It is called for the applier only when a trigger or a cascade
    changes a row beside what is applied; ``others`` is the condition of everyone else."""
    names = [ident(f.column.name) for f in view.key_fields]
    into = ", ".join(f"k{i}" for i in range(1, len(names) + 1))
    old, new = (", ".join(f"{side}.{n}" for n in names) for side in ("OLD", "NEW"))
    was, now = (", ".join(f"{side}.{n}::pg_catalog.text" for n in names) for side in ("OLD", "NEW"))
    log = log_table(view)
    return f"""
BEGIN
  IF NOT {others} THEN
    IF TG_OP <> 'DELETE' THEN
      INSERT INTO {OURS}.nested (view, key) VALUES ({view.id}, ARRAY[{now}]);
    END IF;
    IF TG_OP <> 'INSERT' THEN
      INSERT INTO {OURS}.nested (view, key) VALUES ({view.id}, ARRAY[{was}]);
    END IF;
    RETURN NULL;
  END IF;
  IF TG_OP = 'INSERT' THEN
    INSERT INTO {log} ({into}) VALUES ({new});
    RETURN NULL;
  END IF;
  INSERT INTO {log} ({into}) VALUES ({old});
  IF TG_OP = 'UPDATE' AND pg_catalog.record_image_ne(ROW({new}), ROW({old})) THEN
    INSERT INTO {log} ({into}) VALUES ({new});
  END IF;
  RETURN NULL;
END"""


def mark_body(view: View, others: str) -> str:
    """The body of the function that notes a TRUNCATE."""
    return f"""
BEGIN
  IF {others} THEN
    INSERT INTO {OURS}.mark (view, reason) VALUES ({view.id}, TG_OP);
  ELSE
    INSERT INTO {OURS}.nested (view) VALUES ({view.id});
  END IF;
  RETURN NULL;
END"""


def _functions(connection: psycopg.Connection[Any], view: View) -> str:
    others = bypass_condition(connection, state.secret(connection))
    head = "RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS"
    return (
        f"CREATE OR REPLACE FUNCTION {OURS}.capture_{view.id}() {head} "
        f"{text(capture_body(view, others))};"
        f"CREATE OR REPLACE FUNCTION {OURS}.mark_{view.id}() {head} "
        f"{text(mark_body(view, others))}"
    )


def _armer(
    connection: psycopg.Connection[Any], oid: int, table: str, view: View | None, password: str, part: bool
) -> Callable[[], None]:
    when = bypass_condition(connection, password)
    wanted = {FENCE: ("fence", fence_trigger(table, when))}
    logged = f"({when} OR {NESTED})"
    if view is not None and view.key:
        wanted[MARK] = (
            f"mark_{view.id}",
            f"CREATE TRIGGER {MARK} AFTER TRUNCATE ON {table} FOR EACH STATEMENT WHEN {logged} "
            f"EXECUTE FUNCTION {OURS}.mark_{view.id}()",
        )
        if not part:  # the parent's row trigger is cloned to every partition, later ones included
            wanted[CAPTURE] = (
                f"capture_{view.id}",
                f"CREATE TRIGGER {CAPTURE} AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW "
                f"WHEN {logged} EXECUTE FUNCTION {OURS}.capture_{view.id}()",
            )

    def arm() -> None:
        have = _ours_on(connection, oid)
        for name, (function, create) in wanted.items():
            found = have.pop(name, None)
            if found is not None and found == (function, True) and _says(connection, oid, name, password):
                continue
            if found is not None:
                connection.execute(f"DROP TRIGGER {name} ON {table}".encode())
            connection.execute(create.encode())
            connection.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}".encode())
        clone_works = have.get(CAPTURE, ("", True))[1]
        for name in have:
            if not (part and name == CAPTURE):
                connection.execute(f"DROP TRIGGER {name} ON {table}".encode())
            elif not clone_works:
                connection.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}".encode())

    return arm


def _ours_on(connection: psycopg.Connection[Any], oid: int) -> dict[str, tuple[str, bool]]:
    rows = connection.execute(
        "SELECT g.tgname, f.proname, g.tgenabled = 'A' FROM pg_trigger g JOIN pg_proc f ON f.oid = g.tgfoid "
        "JOIN pg_namespace n ON n.oid = f.pronamespace WHERE g.tgrelid = %s AND n.nspname = %s",
        [oid, OURS],
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def _says(connection: psycopg.Connection[Any], oid: int, name: str, password: str) -> bool:
    shown = one(
        connection,
        "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = %s AND tgname = %s",
        [oid, name],
    )
    return password in str(shown)


def _forget(connection: psycopg.Connection[Any], db: Database, keep: set[int]) -> None:
    """Drop the logs of views that are no longer mapped (their triggers are gone already)."""
    rows = connection.execute(f"SELECT view FROM {OURS}.captured").fetchall()
    for (view,) in rows:
        if view in keep:
            continue

        def drop(view: int = view) -> None:
            connection.execute(
                f"DROP FUNCTION IF EXISTS {OURS}.capture_{view}(), {OURS}.mark_{view}()".encode()
            )
            connection.execute(f"DROP TABLE IF EXISTS {OURS}.log_{view}".encode())
            connection.execute(f"DELETE FROM {OURS}.captured WHERE view = %s", [view])

        patiently(connection, db, f"{OURS}.log_{view}", drop)


def uninstall(db: Database, move: str) -> None:
    """Remove every trigger, then our schema.  Nothing happens where it is not there."""
    with db.session() as connection:
        if not state.installed(connection):
            return
        state.check_move(connection, db, move)
        rows = connection.execute(
            "SELECT c.oid, format('%%I.%%I', m.nspname, c.relname), g.tgname FROM pg_trigger g "
            "JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace m ON m.oid = c.relnamespace "
            "JOIN pg_proc f ON f.oid = g.tgfoid JOIN pg_namespace n ON n.oid = f.pronamespace "
            "WHERE n.nspname = %s AND g.tgparentid = 0 ORDER BY 2, 3",
            [OURS],
        ).fetchall()
        tables: dict[str, list[str]] = {}
        for _, table, name in rows:
            tables.setdefault(table, []).append(name)
        for table, names in tables.items():

            def drop(table: str = table, names: Sequence[str] = names) -> None:
                for name in names:
                    connection.execute(f"DROP TRIGGER IF EXISTS {ident(name)} ON {table}".encode())

            patiently(connection, db, table, drop)
        patiently(connection, db, OURS, lambda: _drop_schema(connection))


def _drop_schema(connection: psycopg.Connection[Any]) -> None:
    connection.execute(f"DROP SCHEMA IF EXISTS {OURS} CASCADE")


def trim(db: Database, position: str) -> int:
    """Discard the log rows visible in the snapshot ``position``, and remember that; returns how many."""
    removed = 0
    with state_verb(db) as connection:
        if not state.installed(connection):
            return 0
        for (view,) in connection.execute(f"SELECT view FROM {OURS}.captured WHERE key <> '{{}}'").fetchall():
            done = connection.execute(
                f"DELETE FROM {OURS}.log_{view} WHERE xid < pg_snapshot_xmax(%s::pg_snapshot) "
                "AND pg_visible_in_snapshot(xid, %s::pg_snapshot)".encode(),
                [position, position],
            )
            removed += done.rowcount
        if removed:
            connection.execute(f"UPDATE {OURS}.state SET trimmed = %s", [position])
    return removed


def needs_key(view: View) -> None:
    """``Unmappable`` for a view whose changes cannot be followed."""
    if not view.key:
        raise Unmappable(
            "a table without a primary key cannot be followed",
            where=f"tables/{view.table.name}",
            todo="give it a primary key, or exclude it",
        )
