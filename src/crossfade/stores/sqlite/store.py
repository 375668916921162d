"""``SQLiteStore``: the ``Store`` protocol for one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pyarrow as pa

from crossfade.errors import Refused
from crossfade.stores.base import (
    Applying,
    Busy,
    Finding,
    KeyRange,
    RejectSink,
    Role,
    Schema,
    Side,
    Snapshot,
    Store,
    Token,
    View,
)
from crossfade.stores.sqlite.apply import SQLiteApplying
from crossfade.stores.sqlite.backup import backup, restored
from crossfade.stores.sqlite.capture import LOG, STATE, application_triggers
from crossfade.stores.sqlite.census import census
from crossfade.stores.sqlite.connection import (
    Database,
    begin_immediate,
    is_busy,
    path_of,
    rollback,
    text,
)
from crossfade.stores.sqlite.counting import count
from crossfade.stores.sqlite.encode import holdable
from crossfade.stores.sqlite.install import armed, install, uninstall
from crossfade.stores.sqlite.load import Loading
from crossfade.stores.sqlite.preflight import preflight
from crossfade.stores.sqlite.reader import TableReader
from crossfade.stores.sqlite.rehearse import rehearse
from crossfade.stores.sqlite.schema import inspect
from crossfade.stores.sqlite.sequences import last_values, raise_to
from crossfade.stores.sqlite.snapshot import Fingerprints, SQLiteSnapshot
from crossfade.stores.sqlite.state import StateVerbs, bypass, check_token, has_state

_TRIM_ROWS = 20_000
"""Log rows discarded per transaction: a trim holds the write lock only for milliseconds."""


class SQLiteStore(StateVerbs, Loading):
    """One SQLite database file; ``busy_timeout`` (seconds) bounds every wait for its locks.

    The application may have it open in any number of processes.  Connections are opened per call, so a
    store may be used from any thread.  While it is in use, nothing else in this process may open the file
    except through the standard library's ``sqlite3``: closing it would drop this process's locks.
    """

    kind = "sqlite"

    def __init__(self, path_or_url: str | Path, *, busy_timeout: float = 5.0) -> None:
        self._db = Database(path_of(path_or_url), busy_timeout)
        self.url = self._db.where
        self._reader = TableReader(self._db)
        self._prints = Fingerprints()

    def longest_lock(self) -> float:
        return self._db.locks.longest

    def within(self, seconds: float) -> AbstractContextManager[None]:
        return self._db.patience.within(seconds)

    # -- looking --

    def identity(self) -> str:
        """The file's path and inode: a copy or a file put in its place has another."""
        with self._db.reading() as con:
            con.execute("SELECT count(*) FROM sqlite_master").fetchone()
        path = self._db.path.resolve()
        return f"sqlite:{path}:{path.stat().st_ino}"

    def inspect(self) -> Schema:
        with self._db.read_transaction() as con:
            return inspect(con)

    def preflight(self, views: Sequence[View], *, leads: bool) -> list[Finding]:  # noqa: ARG002
        with self._db.reading() as con:
            return preflight(self._db, con, views)

    def census(self, view: View, rejects: RejectSink) -> list[Finding]:
        return census(self._db, self._reader, view, rejects)

    def count(self, table: str) -> int:
        return count(self._db, table)

    def holdable(self, view: View, rows: pa.Table, rejects: RejectSink) -> pa.Table:
        return holdable(view, rows, rejects)

    def busy(self, views: Sequence[View]) -> list[Busy]:  # noqa: ARG002
        """SQLite does not tell who writes; a write lock that cannot be had for a second is all there is."""
        with self._db.mapped():
            con = self._db.open(timeout=1.0)
            try:
                begin_immediate(con, 1.0)
                rollback(con)
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                what = "a write transaction is open for over a second (SQLite does not say whose)"
                return [Busy(what, maintenance=False)]
            finally:
                con.close()
        return []

    # -- reading --

    def expect_scans(self) -> None:
        self._reader.expect_scans()

    def plan(self, view: View, rows: int) -> list[KeyRange]:
        return self._reader.plan(view, rows)

    def scan(self, view: View, over: KeyRange, rejects: RejectSink) -> Iterator[pa.RecordBatch]:
        return self._reader.scan(view, over, rejects)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """In rollback-journal mode writers cannot commit while it is open."""
        with self._db.read_transaction() as con:
            yield SQLiteSnapshot(con, self._db, self._prints)

    # -- setting up and taking down --

    def install(self, move: str, side: Side, role: Role, views: Sequence[View], *, peer: str | None) -> None:
        with self._db.writing() as con:
            install(con, move, side, role, views, peer, self._db.where)

    def armed(self, views: Sequence[View]) -> list[str]:
        with self._db.read_transaction() as con:
            return armed(con, views)

    def uninstall(self, move: str) -> None:
        with self._db.writing() as con:
            row = con.execute(f"SELECT move FROM {STATE}").fetchone() if has_state(con) else None
            if row is not None and text(row[0]) != move:
                raise Refused(
                    f"the move {text(row[0])!r} is installed here, not {move!r}",
                    where=self._db.where,
                    todo="name the move that is installed",
                )
            uninstall(con)

    def trim(self, position: str) -> int:
        done = 0
        while True:
            with self._db.writing() as con:
                discarded = con.execute(
                    f"DELETE FROM {LOG} WHERE seq IN (SELECT seq FROM {LOG} WHERE seq <= ? ORDER BY seq LIMIT ?)",
                    (int(position), _TRIM_ROWS),
                ).rowcount
                if discarded:
                    con.execute(
                        f"UPDATE {STATE} SET trimmed = max(coalesce(trimmed, 0), ?)", (int(position),)
                    )
            done += discarded
            if discarded < _TRIM_ROWS:
                return done

    # -- passes --

    @contextmanager
    def applying(
        self, token: Token, position: str | None, *, verified_at: float | None = None
    ) -> Iterator[Applying]:
        with self._db.writing() as con:
            check_token(con, token, self._db.where)
            # what the application's triggers change beside a pass must be seen
            watched = application_triggers(con)
            with bypass(con, token.move, captured=watched):
                yield SQLiteApplying(con, self._db, watched=watched)
            con.execute(
                f"UPDATE {STATE} SET position = ?, verified_at = coalesce(?, verified_at) WHERE move = ?",
                (position, verified_at, token.move),
            )

    # -- the switch --

    def cut_off(self) -> int:
        """Nothing: SQLite cannot end another process's transaction."""
        return 0

    def sequences(self, views: Sequence[View]) -> Mapping[int, int]:
        with self._db.read_transaction() as con:
            return last_values(con, views)

    def raise_sequences(self, views: Sequence[View], least: Mapping[int, int]) -> None:
        with self._db.writing() as con:
            raise_to(con, views, least, self._db.where)

    def rehearse_lead(self, move: str, view: View | None) -> None:
        with self._db.mapped():
            con = self._db.open()
            try:
                begin_immediate(con, self._db.wait)
                rehearse(con, move, view, self._db.where)
            finally:
                rollback(con)
                con.close()

    # -- backup --

    def backup(self, to: Path) -> Path:
        return backup(self._db, to)

    @contextmanager
    def restore(self, backup: Path, scratch: Path) -> Iterator[Store]:
        with restored(backup, scratch) as copy:
            store = SQLiteStore(copy, busy_timeout=self._db.busy_timeout)
            try:
                yield store
            finally:
                store.close()

    def close(self) -> None:
        self._reader.close()


def _is_a_store(store: SQLiteStore) -> Store:
    """Checked by the type checker only."""
    return store
