"""What these tests share: views of real tables, a follower that may be written, and plain assertions."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from crossfade.stores.base import Change, Field, KeyRange, Lease, Rejected, Role, Side, Token, View
from crossfade.stores.postgres import PostgresStore

MOVE = "m"
TOKEN = Token(MOVE, 0, "tok")


def lease(token: str = "tok") -> Lease:
    now = time.time()
    return Lease(token, "test", "here", 1, "0", now, now + 60)


def view_of(store: PostgresStore, table: str, number: int = 1, columns: Sequence[str] | None = None) -> View:
    """A view over all columns (or those named) of a table as the catalogue describes it."""
    found = store.inspect().tables[table]
    chosen = [c for c in found.columns if not c.generated and (columns is None or c.name in columns)]
    fields = []
    for c in chosen:
        assert c.type is not None
        fields.append(Field(c.name, c, c.type))
    return View(number, found, tuple(fields), found.key)


def views_of(store: PostgresStore, *tables: str) -> list[View]:
    return [view_of(store, table, number) for number, table in enumerate(tables, 1)]


def refuse(rejected: Rejected) -> None:
    raise AssertionError(rejected)


def rows_of(view: View, rows: Iterable[Sequence[Any]]) -> pa.Table:
    """Rows, given as tuples in the order of the view's fields, as a canonical table."""
    columns = list(zip(*rows, strict=True)) or [()] * len(view.fields)
    arrays = [pa.array(list(c), type=f.type.arrow) for c, f in zip(columns, view.fields, strict=True)]
    return pa.Table.from_arrays(arrays, schema=view.schema)


def keys_of(view: View, keys: Iterable[Any]) -> pa.Table:
    """Keys, given as tuples (or as plain values of a key of one column)."""
    tuples = [k if isinstance(k, tuple) else (k,) for k in keys]
    columns = list(zip(*tuples, strict=True)) or [()] * len(view.key)
    arrays = [pa.array(list(c), type=f.type.arrow) for c, f in zip(columns, view.key_fields, strict=True)]
    return pa.Table.from_arrays(arrays, schema=view.key_schema)


def change(view: View, upserts: Iterable[Sequence[Any]] = (), deletes: Iterable[Any] = ()) -> Change:
    return Change(view, rows_of(view, upserts), keys_of(view, deletes))


def everything(store: PostgresStore, view: View) -> pa.Table:
    return pa.Table.from_batches(list(store.scan(view, KeyRange(), refuse)), view.schema)


def listed(store: PostgresStore, view: View) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in everything(store, view).to_pylist()]


def follower(store: PostgresStore, views: Sequence[View]) -> None:
    """Install as a follower under the lease of ``TOKEN``."""
    store.install(MOVE, Side.NEW, Role.FOLLOWER, views, peer=None)
    store.take_lease(MOVE, lease(), over=None)


def leader(store: PostgresStore, views: Sequence[View]) -> None:
    store.install(MOVE, Side.NEW, Role.LEADER, views, peer=None)


@contextmanager
def app(url: str, **options: Any) -> Any:
    """The application's own connection."""
    connection = psycopg.connect(url, autocommit=options.pop("autocommit", True), **options)
    try:
        yield connection
    finally:
        connection.close()


def eventually(condition: Any, seconds: float = 10.0) -> None:
    """Wait for a condition; fail when it does not come."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            pytest.fail("the condition did not come in time")
        time.sleep(0.002)
