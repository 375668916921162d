"""``PostgresStore``: the store protocol, put together from the parts of this package."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from crossfade.stores.base import (
    Applying,
    Busy,
    Chunk,
    Finding,
    KeyRange,
    Lease,
    RejectSink,
    Role,
    Schema,
    Side,
    Snapshot,
    State,
    Store,
    Table,
    Token,
    View,
)
from crossfade.stores.postgres import (
    apply,
    armed,
    backup,
    bring_back,
    capture,
    ddl,
    deferred,
    fence,
    holdable,
    load,
    preflight,
    reader,
    rehearse,
    schema,
    sequences,
    snapshot,
    state,
)
from crossfade.stores.postgres.backup import restored
from crossfade.stores.postgres.connection import Database


class PostgresStore:
    """A PostgreSQL database (13 or newer).

    ``url`` is a libpq address (``postgresql://user@host/database``); the application's tables are those
    of ``current_schema()``, which ``?options=-csearch_path%3Dname`` can set.  The role must own them;
    it needs no superuser right.  All methods may be called from any thread.
    """

    kind = "postgresql"

    def __init__(self, url: str) -> None:
        self._db = Database(url)
        self.url = self._db.url
        self._keyed = False

    def __repr__(self) -> str:
        return f"PostgresStore({self.url!r})"

    @cached_property
    def _bytewise(self) -> bool:
        return reader.order_is_bytewise(self._db)

    # -- looking --

    def identity(self) -> str:
        return preflight.identity(self._db)

    def inspect(self) -> Schema:
        with self._db.session() as connection:
            return schema.inspect(connection, self._db.schema)

    def preflight(self, views: Sequence[View], *, leads: bool) -> list[Finding]:
        return preflight.preflight(self._db, views, leads)

    def census(self, view: View, rejects: RejectSink) -> list[Finding]:
        return preflight.census(self._db, view, rejects)

    def count(self, table: str) -> int:
        return reader.count(self._db, table)

    def holdable(self, view: View, rows: pa.Table, rejects: RejectSink) -> pa.Table:
        return holdable.holdable(self._db, view, rows, rejects)

    def longest_lock(self) -> float:
        return 0.0

    def within(self, seconds: float) -> AbstractContextManager[None]:
        return self._db.patience.within(seconds)

    def busy(self, views: Sequence[View]) -> list[Busy]:
        return preflight.busy(self._db, views)

    # -- reading --

    def expect_scans(self) -> None:
        """The server is there already."""

    def plan(self, view: View, rows: int) -> list[KeyRange]:
        return reader.plan(self._db, view, rows, self._bytewise)

    def scan(self, view: View, over: KeyRange, rejects: RejectSink) -> Iterator[pa.RecordBatch]:
        return reader.scan(self._db, view, over, rejects, self._bytewise)

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        return snapshot.snapshot(self._db)

    # -- setting up and taking down --

    def install(self, move: str, side: Side, role: Role, views: Sequence[View], *, peer: str | None) -> None:
        capture.install(self._db, move, side, role, views, peer)

    def armed(self, views: Sequence[View]) -> list[str]:
        return armed.armed(self._db, views)

    def uninstall(self, move: str) -> None:
        deferred.restore_deferral(self._db)
        capture.uninstall(self._db, move)

    def trim(self, position: str) -> int:
        return capture.trim(self._db, position)

    # -- the follower: initial load --

    def create_tables(self, views: Sequence[View], source: Mapping[int, Table]) -> list[Finding]:
        return ddl.create_tables(self._db, views, source)

    def prepare_load(self, views: Sequence[View]) -> None:
        self._keyed = False
        deferred.prepare_load(self._db, views)

    def load(
        self, view: View, batches: Iterable[pa.RecordBatch], chunk: Callable[[int], Chunk], token: Token
    ) -> int:
        return load.load(self._db, view, batches, chunk, token)

    def finish_load(self, views: Sequence[View]) -> list[Finding]:
        tables = [view.table.name for view in views]
        load.settle(self._db)  # before a vacuum looks at what was committed
        findings = bring_back.bring_back(self._db, {view.id for view in views}, analyze=tables)
        sequences.raise_sequences(self._db, views, {})
        load.settle(self._db)
        return findings

    def chunks(self, move: str) -> list[Chunk]:
        return load.chunks(self._db, move)

    def restart_load(self, view: View, token: Token) -> None:
        load.restart_load(self._db, view, token)

    # -- the follower: passes --

    def applying(
        self, token: Token, position: str | None, *, verified_at: float | None = None
    ) -> AbstractContextManager[Applying]:
        if not self._keyed:
            bring_back.build_keys(self._db)
            self._keyed = True
        return apply.applying(self._db, token, position, verified_at)

    # -- state and lease --

    def state(self, move: str) -> State | None:
        return state.read(self._db, move)

    def take_lease(self, move: str, lease: Lease, *, over: str | None) -> None:
        state.take_lease(self._db, move, lease, over=over)

    def renew_lease(self, move: str, token: str, until: float) -> None:
        state.renew_lease(self._db, move, token, until)

    def drop_lease(self, move: str, token: str) -> None:
        state.drop_lease(self._db, move, token)

    def note(self, move: str, notes: Mapping[str, Any], *, token: Token | None = None) -> None:
        state.note(self._db, move, notes, token)

    def forget_verification(self, move: str) -> None:
        state.forget_verification(self._db, move)

    # -- the switch --

    def begin_attempt(self, move: str, epoch: int, attempt: int) -> None:
        fence.begin_attempt(self._db, move, epoch, attempt)

    def fence(self, move: str, epoch: int, attempt: int, timeout: float) -> None:
        fence.fence(self._db, move, epoch, attempt, timeout)

    def unfence(self, move: str, epoch: int, attempt: int) -> None:
        fence.unfence(self._db, move, epoch, attempt)

    def cut_off(self) -> int:
        return fence.cut_off(self._db)

    def sequences(self, views: Sequence[View]) -> Mapping[int, int]:
        return sequences.sequences(self._db, views)

    def raise_sequences(self, views: Sequence[View], least: Mapping[int, int]) -> None:
        sequences.raise_sequences(self._db, views, least)

    def rehearse_lead(self, move: str, view: View | None) -> None:
        rehearse.rehearse_lead(self._db, move, view)

    def announce_commit(self, move: str, epoch: int, attempt: int) -> None:
        fence.announce_commit(self._db, move, epoch, attempt)

    def lead(self, move: str, epoch: int, attempt: int) -> None:
        fence.lead(self._db, move, epoch, attempt)

    def follow(self, move: str, epoch: int, lease: Lease | None, verified_at: float | None) -> None:
        fence.follow(self._db, move, epoch, lease, verified_at)

    def abort_attempt(self, move: str, epoch: int, attempt: int) -> None:
        fence.abort_attempt(self._db, move, epoch, attempt)

    # -- backup --

    def backup(self, to: Path) -> Path:
        return backup.backup(self._db, to)

    @contextmanager
    def restore(self, backup: Path, scratch: Path) -> Iterator[Store]:  # noqa: ARG002 - the protocol's
        """``scratch`` is not used: the scratch database lies on the same server."""
        with restored(self._db, backup) as url:
            store = PostgresStore(url)
            try:
                yield store
            finally:
                store.close()

    def close(self) -> None:
        self._db.close()
