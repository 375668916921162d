"""Crossfade's own tables in the state database: SQLite by default, PostgreSQL for a team.

Spoken to through the drivers themselves, because the runner of a command (`crossfade.runs.runner`) has to be
ready in a moment.  Statements are written once for both, with ``?`` for parameters and ``{attempts}`` for tables.
"""

from __future__ import annotations

import os
import queue
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from crossfade.errors import StoreError, StoreUnreachable, UsageError
from crossfade.masking import mask

SCHEMA = 1
"""The version of the tables below."""

_PATIENCE = 5.0
"""Seconds for which a transaction is tried again while the database does not answer.  Whoever can do nothing but
wait for it asks again."""

_BUSY = 30_000
"""Milliseconds that SQLite waits for another writer."""

_CONNECTIONS = 6
"""Connections that one process has at most; a task that waits needs none."""

_TABLES = ("attempts", "workers", "decisions", "evidence", "meta")

_CREATE = (
    """CREATE TABLE IF NOT EXISTS {meta} (name TEXT PRIMARY KEY, value TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS {attempts} (
        key TEXT PRIMARY KEY, run TEXT NOT NULL, task TEXT NOT NULL, number INTEGER NOT NULL,
        command_index INTEGER NOT NULL, command TEXT NOT NULL, command_sha256 TEXT NOT NULL,
        state TEXT NOT NULL, stop INTEGER NOT NULL DEFAULT 0, asked REAL NOT NULL, asked_by TEXT NOT NULL,
        token TEXT, host TEXT, boot TEXT, pid BIGINT, started REAL, heartbeat REAL, folder TEXT, lock TEXT,
        finished REAL, result TEXT)""",
    """CREATE INDEX IF NOT EXISTS {attempts_by_run} ON {attempts} (run, state)""",
    """CREATE TABLE IF NOT EXISTS {workers} (
        name TEXT PRIMARY KEY, token TEXT NOT NULL, executor TEXT NOT NULL, host TEXT NOT NULL, boot TEXT NOT NULL,
        pid BIGINT NOT NULL, started REAL NOT NULL, heartbeat REAL NOT NULL, version TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS {decisions} (
        seq {serial}, run TEXT NOT NULL, task TEXT NOT NULL, about TEXT NOT NULL, name TEXT NOT NULL,
        answer TEXT NOT NULL, person TEXT NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL,
        UNIQUE (run, task, about, name, answer))""",
    """CREATE TABLE IF NOT EXISTS {evidence} (
        seq {serial}, key TEXT NOT NULL UNIQUE, at TEXT NOT NULL, move TEXT NOT NULL, run TEXT NOT NULL,
        event TEXT NOT NULL, data TEXT NOT NULL)""",
    """CREATE INDEX IF NOT EXISTS {evidence_by_move} ON {evidence} (move, seq)""",
)

T = TypeVar("T")


def is_shared(url: str) -> bool:
    """Whether several machines can reach the state database of that address."""
    return not url.startswith("sqlite:")


class Transaction(Protocol):
    """What a piece of work is given: ``run`` executes a statement and gives all its rows, as tuples."""

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Execute it; the rows of a SELECT or a RETURNING, otherwise none."""


class Database:
    """Our tables at that address: ``sqlite:////path`` or ``postgresql://…``.  Safe between threads.

    Work is done in transactions; while the database does not answer, one is tried again for ``patience`` seconds
    and then ``StoreUnreachable`` is raised.  So whatever it does has to bear being done twice.  Other failures are
    ``StoreError``.
    """

    def __init__(self, url: str, *, patience: float = _PATIENCE) -> None:
        self.url = url
        self._patience = patience
        self._driver = _driver(url)
        self._idle: queue.LifoQueue[Any] = queue.LifoQueue()
        self._places = threading.BoundedSemaphore(_CONNECTIONS)
        self._closed = threading.Event()

    @property
    def where(self) -> str:
        """The address without its password."""
        return mask(self.url)

    @property
    def exists(self) -> bool:
        """Whether our tables are there."""
        if isinstance(self._driver, _Sqlite) and not self._driver.path.exists():
            return False
        return self.look(lambda t: self._driver.has(t, "meta"))

    def prepare(self) -> None:
        """Make the tables that are missing.  ``StoreError`` when they are those of a later version."""

        def create(transaction: Transaction) -> None:
            self._driver.lock_schema(transaction)
            for statement in _CREATE:
                transaction.run(statement)
            transaction.run(
                "INSERT INTO {meta} (name, value) VALUES ('schema', ?) ON CONFLICT (name) DO NOTHING",
                [str(SCHEMA)],
            )
            found = int(transaction.run("SELECT value FROM {meta} WHERE name = 'schema'")[0][0])
            if found > SCHEMA:
                raise StoreError(
                    f"its tables are of version {found}, and this Crossfade knows {SCHEMA}",
                    where=self.where,
                    todo="use the newer version of Crossfade, with which they were made",
                )

        self.place()
        self.work(create)

    def place(self) -> None:
        """Make the file that the tables go into, when it is one."""
        self._driver.make_place()

    def work(self, work: Callable[[Transaction], T]) -> T:
        """Run one transaction that may write, and give what ``work`` gives."""
        return self._persistently(work, writes=True)

    def look(self, work: Callable[[Transaction], T]) -> T:
        """Run one transaction that only reads, and keeps no writer waiting."""
        return self._persistently(work, writes=False)

    def _persistently(self, work: Callable[[Transaction], T], *, writes: bool) -> T:
        until = time.monotonic() + self._patience
        pause = 0.05
        while True:
            try:
                return self._try(work, writes=writes)
            except self._driver.errors as error:
                if not self._driver.is_passing(error):
                    raise StoreError(
                        f"refused: {mask(str(error)).strip()}",
                        where=self.where,
                        todo="look at the database's log",
                    ) from error
                if time.monotonic() >= until or self._closed.is_set():
                    raise StoreUnreachable(
                        f"does not answer: {mask(str(error)).strip()}",
                        where=self.where,
                        todo="see that it runs and can be reached; what runs goes on, and is found again",
                    ) from error
                time.sleep(pause * (0.5 + random.random()))  # noqa: S311  # spreads the workers, nothing secret
                pause = min(pause * 2, 5.0)

    def now(self) -> float:
        """The database's clock, in seconds since 1970: the same for all workers."""
        return self.look(self._driver.now)

    def clock(self, transaction: Transaction) -> float:
        """The same, inside a transaction."""
        return self._driver.now(transaction)

    def lock(self, transaction: Transaction, table: str) -> None:
        """Have nobody else write that table until the transaction ends."""
        self._driver.lock(transaction, table)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._closed.set()
        while True:
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                return
            with suppress(Exception):
                connection.close()

    def _try(self, work: Callable[[Transaction], T], *, writes: bool) -> T:
        with self._places:
            return self._on_one(work, writes=writes)

    def _on_one(self, work: Callable[[Transaction], T], *, writes: bool) -> T:
        try:
            connection = self._idle.get_nowait()
        except queue.Empty:
            connection = self._driver.connect()
        good = False
        try:
            with self._driver.transaction(connection, writes=writes) as transaction:
                result = work(transaction)
            good = True
        finally:
            if good and not self._closed.is_set():
                self._idle.put(connection)
            else:
                # after any failure a fresh connection is the surest one
                with suppress(Exception):
                    connection.close()
        return result


def _driver(url: str) -> _Sqlite | _Postgres:
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        path = unquote(urlsplit(url).path)
        if not path.startswith("//"):
            raise UsageError(
                f"{url!r} does not name an absolute path",
                where="state",
                todo="write sqlite:////absolute/path",
            )
        return _Sqlite(Path(path[1:]))
    if scheme in ("postgresql", "postgres"):
        return _Postgres(url)
    raise UsageError(
        f"runs cannot be kept in {mask(url)!r}",
        where="state",
        todo="give sqlite:////absolute/path, or a postgresql:// address",
    )


class _Statements:
    """Executes our statements on one connection, with the names and parameters of its database."""

    def __init__(self, execute: Callable[[str, Sequence[Any]], Any], rewrite: Callable[[str], str]) -> None:
        self._execute = execute
        self._rewrite = rewrite

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        cursor = self._execute(self._rewrite(statement), tuple(parameters))
        return [tuple(row) for row in cursor.fetchall()] if cursor.description is not None else []


class _Sqlite:
    """The state database as a file.  A transaction that writes takes the write lock at once: one that began
    by reading could not be given it after another has written."""

    errors: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(self, path: Path) -> None:
        self.path = path

    def make_place(self) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Only a file that nobody can have open yet: closing any descriptor of a database lets go of the locks
            # that SQLite holds for this process.
            if not self.path.exists():
                with suppress(FileExistsError):
                    os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StoreError(
                f"the database of the runs cannot be made: {error.strerror or error}",
                where=str(self.path),
                todo="give a path in a folder that you may write to",
            ) from error
        connection = self._open()
        try:
            # readers (a dashboard) then never keep a writer waiting
            for last in (False,) * 100 + (True,):
                try:
                    connection.execute("PRAGMA journal_mode = WAL")
                except sqlite3.OperationalError:
                    # the change itself does not wait for others who open the file just now
                    if last:
                        raise
                    time.sleep(0.05)
                else:
                    return
        finally:
            connection.close()

    def connect(self) -> sqlite3.Connection:
        return self._open()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=_BUSY / 1000,
        )
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    @contextmanager
    def transaction(self, connection: sqlite3.Connection, *, writes: bool) -> Iterator[Transaction]:
        connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        try:
            yield _Statements(connection.execute, _as_sqlite)
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def is_passing(self, error: Exception) -> bool:
        text = str(error)
        return isinstance(error, sqlite3.OperationalError) and ("locked" in text or "busy" in text)

    def has(self, transaction: Transaction, table: str) -> bool:
        return bool(transaction.run("SELECT 1 FROM sqlite_master WHERE name = ?", [f"crossfade_{table}"]))

    def lock_schema(self, transaction: Transaction) -> None:
        """Nothing: the transaction has the write lock."""

    def lock(self, _transaction: Transaction, _table: str) -> None:
        """Nothing: the transaction has the write lock."""

    def now(self, _transaction: Transaction) -> float:
        # whoever can open the file is on this machine
        return time.time()


class _Postgres:
    """The state database on a server."""

    def __init__(self, url: str) -> None:
        import psycopg  # only here: a runner with SQLite does without it

        self._psycopg = psycopg
        self._url = url
        self.errors: tuple[type[Exception], ...] = (psycopg.Error,)

    def make_place(self) -> None:
        """Nothing: whoever gave the address made the database."""

    def connect(self) -> Any:
        return self._psycopg.connect(self._url, connect_timeout=10, application_name="crossfade runs")

    @contextmanager
    def transaction(self, connection: Any, *, writes: bool) -> Iterator[Transaction]:  # noqa: ARG002
        with connection.transaction():
            yield _Statements(connection.execute, _as_postgres)

    def is_passing(self, error: Exception) -> bool:
        state = getattr(error, "sqlstate", None)
        if state is None:
            return isinstance(error, self._psycopg.OperationalError | self._psycopg.InterfaceError)
        # connection lost, going down or coming up, serialization, deadlock, out of connections
        return state[:2] in ("08", "40", "53", "57")

    def has(self, transaction: Transaction, table: str) -> bool:
        return bool(transaction.run("SELECT 1 WHERE to_regclass(?) IS NOT NULL", [f"crossfade_runs.{table}"]))

    def lock_schema(self, transaction: Transaction) -> None:
        # IF NOT EXISTS alone fails when two create at the same time
        transaction.run("SELECT pg_advisory_xact_lock(4851034129)")
        transaction.run("CREATE SCHEMA IF NOT EXISTS crossfade_runs")

    def lock(self, transaction: Transaction, table: str) -> None:
        transaction.run(f"LOCK TABLE {{{table}}} IN SHARE ROW EXCLUSIVE MODE")

    def now(self, transaction: Transaction) -> float:
        return float(transaction.run("SELECT extract(epoch FROM clock_timestamp())::float8")[0][0])


def _names(prefix: str, serial: str) -> dict[str, str]:
    names = {name: f"{prefix}{name}" for name in _TABLES}
    # an index lives beside its table, so its name is never qualified
    return names | {
        "attempts_by_run": "crossfade_attempts_by_run",
        "evidence_by_move": "crossfade_evidence_by_move",
        "serial": serial,
    }


_IN_SQLITE = _names("crossfade_", "INTEGER PRIMARY KEY AUTOINCREMENT")
_IN_POSTGRES = _names("crossfade_runs.", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY")


def _as_sqlite(statement: str) -> str:
    return statement.format_map(_IN_SQLITE)


def _as_postgres(statement: str) -> str:
    statement = statement.format_map(_IN_POSTGRES).replace("?", "%s")
    return statement.replace(" REAL", " DOUBLE PRECISION")
