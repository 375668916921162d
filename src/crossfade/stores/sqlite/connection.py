"""Connections to one SQLite file: opening, quoting, transactions, and the mapping of errors.

Everything here uses the process's one SQLite library (the standard library's).  A second copy of
SQLite in the same process (a driver that brings its own) would silently drop this copy's file locks
whenever it closes or unlocks the same file, and so would a plain ``open()`` of the database file: both
are therefore kept in other processes (``columnar``).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote as url_quote
from urllib.parse import unquote

from crossfade.errors import BudgetOver, StoreError, StoreUnreachable
from crossfade.stores.patience import Patience

COMMIT_WAIT = 1.0
"""Seconds that a COMMIT may wait for readers.  While it waits it keeps new readers out, so a
transaction that cannot commit sooner is rolled back rather than held."""

Result = TypeVar("Result")
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


class Text(bytes):
    """The raw bytes of a TEXT value, so that it is told from a BLOB and need not be valid UTF-8."""

    __slots__ = ()


def quoted(name: str) -> str:
    """An identifier, quoted."""
    return '"' + name.replace('"', '""') + '"'


def row_value(parts: Sequence[str]) -> str:
    """One expression, or a row value of several."""
    return parts[0] if len(parts) == 1 else f"({', '.join(parts)})"


def literal(text: str) -> str:
    """A string literal."""
    return "'" + text.replace("'", "''") + "'"


def path_of(address: str | Path) -> Path:
    """The file that ``sqlite:///relative.db``, ``sqlite:////absolute.db`` or a bare path means."""
    text = str(address)
    if text.startswith("sqlite:"):
        rest = text.removeprefix("sqlite:")
        if not rest.startswith("///"):
            raise StoreError(
                f"{text!r} is not a SQLite address",
                where=text,
                todo="write sqlite:///relative/path.db, sqlite:////absolute/path.db or a bare path",
            )
        text = unquote(rest.removeprefix("///").split("?", 1)[0])
    return Path(text).expanduser().absolute()


def primary_code(error: sqlite3.Error) -> int:
    """The primary result code of an error (-1 when it has none)."""
    code = getattr(error, "sqlite_errorcode", None)
    return -1 if code is None else code & 0xFF


def is_busy(error: sqlite3.Error) -> bool:
    """Whether the error says that a lock was not given in time."""
    return primary_code(error) in _BUSY


def store_error(error: sqlite3.Error, where: str) -> StoreError:
    """The library's error, in Crossfade's tree."""
    code = primary_code(error)
    if code in _BUSY:
        return StoreError(
            f"the database is locked: {error}",
            where=where,
            todo="another process holds a transaction open; try again, or find it with `fuser` or `lsof`",
        )
    if code == sqlite3.SQLITE_CANTOPEN:
        return StoreUnreachable(
            f"the database cannot be opened: {error}",
            where=where,
            todo="check that the file and its directory exist and may be read and written",
        )
    if code == sqlite3.SQLITE_IOERR:
        return StoreUnreachable(f"the disk failed: {error}", where=where, todo="check the disk, then repeat")
    if code == sqlite3.SQLITE_READONLY:
        return StoreError(
            f"the database may not be written: {error}",
            where=where,
            todo="give this user write permission on the file and on its directory",
        )
    if code == sqlite3.SQLITE_FULL:
        return StoreError(f"the disk is full: {error}", where=where, todo="free disk space, then repeat")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreError(
            f"the file is damaged or is not a SQLite database: {error}",
            where=where,
            todo="run PRAGMA integrity_check; restore a backup",
        )
    if "no such table: crossfade_" in str(error):
        return StoreError(
            "Crossfade is not installed in this database", where=where, todo="run `crossfade copy` first"
        )
    return StoreError(str(error), where=where)


class LockTimes:
    """The longest time (seconds) for which one of our transactions could keep the application waiting: every
    write, and in rollback-journal mode every read, because it keeps a writer from committing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.longest = 0.0

    def note(self, seconds: float) -> None:
        """A lock was held that long."""
        with self._lock:
            self.longest = max(self.longest, seconds)


@dataclass(frozen=True, slots=True)
class Database:
    """One SQLite file and how long (seconds) a statement waits for its locks at most."""

    path: Path
    busy_timeout: float
    locks: LockTimes = field(default_factory=LockTimes, compare=False, repr=False)
    patience: Patience = field(default_factory=Patience, compare=False, repr=False)

    @property
    def where(self) -> str:
        return f"sqlite:///{self.path}"

    @property
    def wait(self) -> float:
        """Seconds that a statement of this thread waits for locks now."""
        return self.patience.most(self.busy_timeout)

    @property
    def uri(self) -> str:
        """The file's URI, for reading and writing, never for creating."""
        return f"file:{url_quote(str(self.path))}?mode=rw"

    @contextmanager
    def mapped(self) -> Iterator[None]:
        """Turn every error of the library into ``StoreError``, and a lock that was not had in this thread's time
        into ``BudgetOver``."""
        try:
            yield
        except sqlite3.Error as error:
            mapped = store_error(error, self.where)
            if is_busy(error) and self.patience.left is not None:
                raise BudgetOver(mapped.what, where=mapped.where, todo=mapped.todo) from error
            raise mapped from error

    def open(self, *, create: bool = False, timeout: float | None = None) -> sqlite3.Connection:
        """A connection in autocommit mode whose own writes fire no cascade."""
        if not create and not self.path.exists():
            raise StoreUnreachable(
                "the database file does not exist",
                where=self.where,
                todo="check the path; Crossfade never creates the file of a side that exists",
            )
        uri = self.uri.replace("mode=rw", "mode=rwc") if create else self.uri
        wait = self.wait if timeout is None else timeout
        con = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=wait, check_same_thread=False)
        try:
            con.text_factory = Text
            con.execute("PRAGMA foreign_keys=OFF")
            con.execute("PRAGMA recursive_triggers=OFF")
            con.execute("PRAGMA temp_store=MEMORY")
        except BaseException:
            con.close()
            raise
        return con

    @contextmanager
    def reading(self, *, timeout: float | None = None) -> Iterator[sqlite3.Connection]:
        """A connection for short reads, each statement its own transaction."""
        with self.mapped():
            con = self.open(timeout=timeout)
            try:
                con.execute("PRAGMA query_only=ON")
                yield con
            finally:
                con.close()

    @contextmanager
    def read_transaction(self) -> Iterator[sqlite3.Connection]:
        """One consistent read.  In rollback-journal mode it keeps writers from committing: be short."""
        with self.reading(timeout=0) as con:
            con.execute("BEGIN")
            # BEGIN alone takes no snapshot; the first read does
            first = "SELECT count(*) FROM sqlite_master"
            patiently(lambda: con.execute(first).fetchone(), self.wait)
            began = time.monotonic()
            try:
                yield con
            finally:
                mode = con.execute("PRAGMA journal_mode").fetchone()[0]
                if text(mode) != "wal":
                    self.locks.note(time.monotonic() - began)

    @contextmanager
    def writing(self, *, create: bool = False, timeout: float | None = None) -> Iterator[sqlite3.Connection]:
        """One write transaction: BEGIN IMMEDIATE … COMMIT, rolled back on any exception."""
        with self.mapped():
            con = self.open(create=create, timeout=timeout)
            try:
                begin_immediate(con, self.wait if timeout is None else timeout)
                began = time.monotonic()
                try:
                    yield con
                    commit(con, min(COMMIT_WAIT, self.wait if timeout is None else timeout))
                except BaseException:
                    rollback(con)
                    raise
                finally:
                    self.locks.note(time.monotonic() - began)
            finally:
                con.close()

    def changed_one(self, sql: str, values: tuple[object, ...]) -> bool:
        """One compare-and-set statement in its own transaction; whether it found its row."""
        return self.repeatedly(lambda con: con.execute(sql, values).rowcount == 1)

    def repeatedly(self, action: Callable[[sqlite3.Connection], Result]) -> Result:
        """A short write transaction.  The whole of it is repeated while other locks are in its way, up to the busy
        timeout, so that no single wait keeps the application's readers out for long."""
        deadline = time.monotonic() + self.wait
        while True:
            try:
                with self.writing() as con:
                    done = action(con)
            except (StoreError, BudgetOver) as error:
                cause = error.__cause__
                retry = isinstance(cause, sqlite3.Error) and is_busy(cause)
                if not retry or time.monotonic() >= deadline:
                    raise
            else:
                return done


def patiently(action: Callable[[], Result], seconds: float) -> Result:
    """Repeat what finds the database locked, every half millisecond for at most ``seconds``.

    The library's own busy handler sleeps up to 100 ms between two looks, and starves beside a writer that
    takes the lock again within microseconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= deadline:
                raise
        time.sleep(0.0005)


def begin_immediate(con: sqlite3.Connection, wait: float) -> None:
    """BEGIN IMMEDIATE, waiting at most ``wait`` seconds for the lock."""
    con.execute("PRAGMA busy_timeout=0")
    try:
        patiently(lambda: con.execute("BEGIN IMMEDIATE"), wait)
    finally:
        con.execute(f"PRAGMA busy_timeout={max(0, int(wait * 1000))}")


def commit(con: sqlite3.Connection, wait: float) -> None:
    """COMMIT, waiting at most ``wait`` seconds for readers (rollback-journal mode)."""
    con.execute(f"PRAGMA busy_timeout={max(0, int(wait * 1000))}")
    con.execute("COMMIT")


def rollback(con: sqlite3.Connection) -> None:
    """ROLLBACK if a transaction is open; the first error is the one worth telling."""
    try:
        if con.in_transaction:
            con.execute("ROLLBACK")
    except sqlite3.Error:
        return


def text(value: object) -> str:
    """A catalogue value (read as raw bytes) as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def maybe_text(value: object) -> str | None:
    """The same, for values that may be NULL."""
    return None if value is None else text(value)
