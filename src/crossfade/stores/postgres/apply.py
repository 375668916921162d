"""One apply transaction: what a pass brings is staged, then merged so that order never matters.

Upserts come before deletes, so that a child moved to another parent survives the old parent's
ON DELETE CASCADE; only mapped columns of rows that really differ are written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
import pyarrow as pa

from crossfade.stores.base import Applied, Change, Field, Token, View
from crossfade.stores.postgres import state
from crossfade.stores.postgres.beside import check_beside
from crossfade.stores.postgres.connection import Database, Session
from crossfade.stores.postgres.encode import csv_block, texts
from crossfade.stores.postgres.names import (
    OURS,
    base_type,
    element_type,
    ident,
    idents,
    same_key,
    stage,
    table_in,
)
from crossfade.stores.postgres.reader import read_back
from crossfade.stores.postgres.references import Reference, check_reach, parents_first, references
from crossfade.stores.postgres.uniques import parking, unique_indexes
from crossfade.stores.postgres.waiting import STATE_WAIT, state_locked
from crossfade.types import Kind

_IDLE = 30
"""Seconds after which the server ends an applier that was stopped inside its transaction, whose lock on the
state row would keep a repair waiting."""
_PATIENCE = (
    f"SELECT set_config('lock_timeout', '{int(STATE_WAIT * 1000)}', true), "
    f"set_config('idle_in_transaction_session_timeout', '{_IDLE}s', true)"
)
_COPY_FROM = 500  # rows from which COPY beats one INSERT with array parameters


@contextmanager
def applying(
    db: Database, token: Token, position: str | None, verified_at: float | None
) -> Iterator[PostgresApplying]:
    """See ``Store.applying``."""
    with db.session_with_stage() as session:
        before = dict(session.staged)
        connection = session.connection
        locked = False
        try:
            with connection.transaction():
                connection.execute(_PATIENCE)
                state.check_token(connection, token, db, lock="update")
                with connection.pipeline():
                    connection.execute("SET LOCAL lock_timeout = 0")
                    state.pass_as_applier(connection, proves=True)
                    connection.execute(
                        f"UPDATE {OURS}.state SET position = %s, verified_at = coalesce(%s, verified_at) "
                        "WHERE move = %s",
                        [position, verified_at, token.move],
                    )
                    locked = True
                yield PostgresApplying(db, session)
        except BaseException as error:
            session.staged = before  # staging tables made in this transaction are gone with it
            if isinstance(error, psycopg.errors.LockNotAvailable) and not locked:
                raise state_locked(connection, db) from error
            raise


class PostgresApplying:
    """See ``stores.base.Applying``."""

    def __init__(self, db: Database, session: Session) -> None:
        self._db = db
        self._session = session
        self._connection = session.connection
        self._filled: set[str] = set()  # staging tables with rows of an earlier call in this transaction

    def rows(self, view: View, keys: pa.Table) -> pa.Table:
        """Read back inside this transaction."""
        with self._db.errors(f"table {view.table.name}"):
            return read_back(self._db, self._connection, view, keys)

    def apply(self, changes: Sequence[Change]) -> Applied:
        """Bring all changes in; see ``stores.base.Applying``."""
        wanted = [c for c in changes if c.upserts.num_rows or c.deletes.num_rows]
        if not wanted:
            return Applied()
        names = [change.view.table.name for change in wanted]
        with self._db.errors():
            found = references(self._connection, self._db.schema, names)
            unique = unique_indexes(self._connection, self._db.schema, names)
            ordered = parents_first(wanted, found)
            fillings = [filling for change in ordered for filling in self._stages(change)]
            updates, inserts = [], []
            with self._connection.pipeline():
                self._connection.execute("SET CONSTRAINTS ALL DEFERRED")
                for query, values in fillings:
                    self._connection.execute(query.encode(), values)
                for change in ordered:
                    if not change.upserts.num_rows:
                        continue
                    view = change.view
                    for query in parking(self._db.schema, view, unique.get(view.table.name, ())):
                        self._connection.execute(query.encode())
                    update = update_query(self._db.schema, view)
                    if update is not None:
                        updates.append(self._connection.execute(update.encode()))
                    inserts.append(self._connection.execute(insert_query(self._db.schema, view).encode()))
            deleted = self._delete([c for c in reversed(ordered) if c.deletes.num_rows], wanted, found)
            check_beside(self._db, self._connection, wanted)
        return Applied(sum(c.rowcount for c in inserts), sum(c.rowcount for c in updates), deleted)

    def _stages(self, change: Change) -> Iterator[tuple[str, list[list[str | None]]]]:
        """Make the change's two staging tables; large ones are filled here, small ones by the statements
        that are given back."""
        view = change.view
        for part, fields, rows in (
            ("up", view.fields, change.upserts),
            ("del", view.key_fields, change.deletes),
        ):
            name = stage(view, part)
            self._make(view, name, fields)
            if rows.num_rows:
                self._filled.add(name)
            if 0 < rows.num_rows < _COPY_FROM:
                yield _filling(name, fields), [texts(rows.column(f.name), f.type).to_pylist() for f in fields]
            elif rows.num_rows:
                self._copy(name, fields, rows)

    def _make(self, view: View, name: str, fields: Sequence[Field]) -> None:
        """An empty staging table: rows typed as the table's columns, but without its constraints."""
        columns = [f.column.name for f in fields]
        made = f"{self._db.schema}.{view.table.name}: {[(f.column.name, f.column.declared) for f in fields]}"
        if self._session.staged.get(name) == made:
            if name in self._filled:
                self._connection.execute(f"DELETE FROM {name}".encode())
            return
        self._connection.execute(f"DROP TABLE IF EXISTS {name}".encode())
        self._connection.execute(
            f"CREATE TEMPORARY TABLE {name.removeprefix('pg_temp.')} ON COMMIT DELETE ROWS AS SELECT "
            f"{idents(columns)} FROM {table_in(self._db.schema, view.table.name)} WITH NO DATA".encode()
        )
        # Without statistics a new table counts as ten pages, which would make every pass, however small,
        # read whole tables instead of their indexes.
        self._connection.execute(f"ANALYZE {name}".encode())
        self._session.staged[name] = made

    def _copy(self, name: str, fields: Sequence[Field], rows: pa.Table) -> None:
        types = [f.type for f in fields]
        query = f"COPY {name} ({idents(f.column.name for f in fields)}) FROM STDIN (FORMAT csv)"
        with self._connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
            for batch in rows.to_batches(max_chunksize=65_536):
                copy.write(memoryview(csv_block(batch, types)))

    def _delete(self, deletes: Sequence[Change], mapped: Sequence[Change], found: Sequence[Reference]) -> int:
        if not deletes:
            return 0
        check_reach(self._db, self._connection, deletes, mapped, found)
        with self._connection.pipeline():
            done = [
                self._connection.execute(
                    f"DELETE FROM {table_in(self._db.schema, c.view.table.name)} t "
                    f"USING {stage(c.view, 'del')} d WHERE {match(c.view, 't', 'd')}".encode()
                )
                for c in deletes
            ]
        return sum(cursor.rowcount for cursor in done)


def _filling(name: str, fields: Sequence[Field]) -> str:
    """The statement that fills a staging table from one array of texts per column."""
    arrays = ", ".join(f"%s::text[]::{element_type(f)}[]" for f in fields)
    chosen = ", ".join(f"u.c{i}::{base_type(f)}" for i, f in enumerate(fields))
    known = ", ".join(f"c{i}" for i in range(len(fields)))
    return f"INSERT INTO {name} SELECT {chosen} FROM unnest({arrays}) AS u({known})"


def match(view: View, left: str, right: str) -> str:
    """The condition that two aliases have the same key."""
    return " AND ".join(
        same_key(f, f"{left}.{ident(f.column.name)}", f"{right}.{ident(f.column.name)}")
        for f in view.key_fields
    )


def update_query(schema: str, view: View) -> str | None:
    """Write the mapped columns of the staged rows that differ; None where the key is all there is."""
    others = [f for f in view.fields if f.name not in view.key]
    if not others:
        return None
    sets = ", ".join(f"{ident(f.column.name)} = s.{ident(f.column.name)}" for f in others)
    differs = " OR ".join(different(f, "t", "s") for f in others)
    return (
        f"UPDATE {table_in(schema, view.table.name)} t SET {sets} FROM {stage(view, 'up')} s "
        f"WHERE {match(view, 't', 's')} AND ({differs})"
    )


def insert_query(schema: str, view: View) -> str:
    """Insert the staged rows that are not there."""
    columns = idents(f.column.name for f in view.fields)
    table = table_in(schema, view.table.name)
    return (
        f"INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {stage(view, 'up')} s "
        f"WHERE NOT EXISTS (SELECT FROM {table} t WHERE {match(view, 't', 's')})"
    )


def different(field: Field, left: str, right: str) -> str:
    """The condition that two values differ canonically: floats by their bits, text by its bytes,
    numerics and jsonb by value."""
    a, b = f"{left}.{ident(field.column.name)}", f"{right}.{ident(field.column.name)}"
    own = field.column.type.kind if field.column.type else field.type.kind
    native = base_type(field)
    if own is Kind.FLOAT:
        send = "float4send" if native == "real" else "float8send"
        return f"{send}({a}) IS DISTINCT FROM {send}({b})"
    if own is Kind.TEXT and native == "bpchar":
        return f"bpcharsend({a}) IS DISTINCT FROM bpcharsend({b})"
    if own is Kind.TEXT:
        return f'{a}::text COLLATE "C" IS DISTINCT FROM {b}::text COLLATE "C"'
    if own in (Kind.JSON, Kind.OPAQUE):
        return f"{a}::text IS DISTINCT FROM {b}::text"
    return f"{a} IS DISTINCT FROM {b}"
