"""The rehearsal: a write as the application would make it, seen by capture, refused by the fence."""

from __future__ import annotations

from typing import Any

import psycopg

from crossfade.errors import StoreError
from crossfade.stores.base import View
from crossfade.stores.postgres import state
from crossfade.stores.postgres.capture import CAPTURE, log_table
from crossfade.stores.postgres.connection import Database, one
from crossfade.stores.postgres.names import OURS, ident, table_in
from crossfade.stores.postgres.triggers import FENCE, closed_body, open_body, set_body

_TODO = "run `crossfade doctor --repair`, which arms capture and fence again"


def rehearse_lead(db: Database, move: str, view: View | None) -> None:
    """See ``Store.rehearse_lead``.  Everything is rolled back; it locks one row and the fence function."""
    with db.session() as connection, connection.transaction(force_rollback=True):
        side = one(connection, f"SELECT side FROM {OURS}.state WHERE move = %s FOR UPDATE", [move])
        if side is None:
            raise state.not_installed(db, move)
        if view is not None:
            _rehearse(connection, db, move, str(side), view)


def _rehearse(connection: psycopg.Connection[Any], db: Database, move: str, side: str, view: View) -> None:
    table = table_in(db.schema, view.table.name)
    _check_armed(connection, db, table, view)
    update = _no_op(view, table)
    set_body(connection, open_body())
    with db.errors(f"rehearsal on {view.table.name}"):
        done = connection.execute(update.encode()).rowcount
    if done and view.key:
        seen = one(connection, f"SELECT count(*) FROM {log_table(view)} WHERE xid = pg_current_xact_id()")
        if not seen:
            raise StoreError(
                "a write to this table is not captured", where=f"{db.url} table {view.table.name}", todo=_TODO
            )
    set_body(connection, closed_body(move, side))
    try:
        with connection.transaction():
            connection.execute(update.encode())
    except psycopg.errors.ReadOnlySqlTransaction:
        return
    raise StoreError(
        "the fence lets a write to this table pass", where=f"{db.url} table {view.table.name}", todo=_TODO
    )


def _no_op(view: View, table: str) -> str:
    """An update of one row to itself (of none, in an empty table: statement triggers fire all the same)."""
    plain = [f.column for f in view.fields if not f.column.identity and not f.column.generated]
    column = ident((plain or [f.column for f in view.fields])[0].name)
    return (
        f"UPDATE {table} t SET {column} = t.{column} FROM (SELECT ctid, tableoid FROM {table} LIMIT 1) one "
        "WHERE t.ctid = one.ctid AND t.tableoid = one.tableoid"
    )


def _check_armed(connection: psycopg.Connection[Any], db: Database, table: str, view: View) -> None:
    wanted = {FENCE, CAPTURE} if view.key else {FENCE}
    rows = connection.execute(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND tgenabled = 'A'", [table]
    )
    missing = sorted(wanted - {row[0] for row in rows})
    if missing:
        raise StoreError(
            f"missing or disabled: {', '.join(missing)}",
            where=f"{db.url} table {view.table.name}",
            todo=_TODO,
        )
