"""Connections to one database, and the errors they give.

Every connection of ours carries the same session settings, so that what is read and written never
depends on the role's or the database's defaults.
"""

from __future__ import annotations

import math
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from adbc_driver_manager import Error as AdbcError
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from crossfade.errors import BudgetOver, CrossfadeError, StoreError, StoreUnreachable, UsageError
from crossfade.stores.patience import Patience

SETTINGS: dict[str, str] = {
    "application_name": "crossfade",
    "row_security": "off",
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "xmloption": "content",
    "client_min_messages": "error",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "synchronous_commit": "on",
}

_SETUP = "SELECT " + ", ".join(f"set_config('{k}', '{v}', false)" for k, v in SETTINGS.items())

_DEFAULTS: dict[str, str] = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}

_NOTICE = "SELECT set_config('client_connection_check_interval', '1s', false)"
"""A statement that waits for a lock ends within a second when its process is gone, where the server can tell."""

_GRACE = 0.3
"""Seconds that the server has to say that the time for a statement was over, before it counts as silent."""

_ATTEMPT = 2
"""Seconds: the shortest time that the driver gives one attempt to connect."""

_OUT_OF_TIME = ("55P03", "57014")
"""A lock that was not had, or a statement that was not done, in the time that was set for it."""

_GONE = ("08", "57P01", "57P02", "57P03", "57P04", "57P05")

_TODO: dict[str, str] = {
    "28": "check the user and the password of the address",
    "3D": "create the database, or correct its name in the address",
    "42501": "grant the role what is missing, or use the role that owns the application's tables",
    "42P01": "check that the table exists in the schema of the address",
    "25P03": "this process was stopped inside a transaction; nothing was written, run the command again",
    "40P01": "run the command again",
    "53100": "free space on the database server's disk",
    "53300": "raise max_connections, or close connections",
    "55P03": "wait until the other session has ended, or end it",
    "57014": "run the command again when the database is less busy",
}


Result = TypeVar("Result")


class Connection(psycopg.Connection[Any]):
    """A connection that is closed when the server has not answered by ``until`` (``time.monotonic``): a server
    that is frozen keeps nobody waiting for ever."""

    until: float | None = None

    def wait(self, gen: PQGen[Result], *args: Any, **kwargs: Any) -> Result:
        return super().wait(gen if self.until is None else self._in_time(gen), *args, **kwargs)

    def _in_time(self, gen: PQGen[Result]) -> PQGen[Result]:
        """The driver's own steps, looked at whenever nothing has arrived for a moment."""
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and self.until is not None and time.monotonic() >= self.until:
                    self.close()
                    raise psycopg.OperationalError("the server did not answer in time")
                wanted = gen.send(ready)
        except StopIteration as end:
            found: Result = end.value
            return found


class Session:
    """One connection, and what has been set up on it (temporary staging tables, bounds of its statements)."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.staged: dict[str, str] = {}
        self._bound = 0

    def bound(self, milliseconds: int) -> None:
        """Let the server end a statement, waits for locks included, after so long (0: never)."""
        if milliseconds != self._bound:
            self.connection.execute(f"SELECT set_config('statement_timeout', '{milliseconds}', false)")
            self._bound = milliseconds

    @property
    def usable(self) -> bool:
        """Idle, open, and with nothing unread: a server that ended the session has said so."""
        connection = self.connection
        if connection.closed or connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            return False
        readable, _, _ = select.select([connection.fileno()], [], [], 0)
        return not readable

    def close(self) -> None:
        self.connection.close()


class Database:
    """The address of a database, and its idle connections (any thread may take one)."""

    def __init__(self, url: str) -> None:
        try:
            parts = {k: str(v) for k, v in conninfo_to_dict(url).items() if v is not None}
        except psycopg.ProgrammingError as error:
            raise UsageError(
                "this is not a PostgreSQL address",
                where="store url",
                todo="write it as postgresql://user@host:5432/database",
            ) from error
        self.parts = _DEFAULTS | parts
        self.url = _masked(parts)
        self.patience = Patience()
        self._secret = parts.get("password", "")
        self._lock = threading.Lock()
        self._idle: list[Session] = []
        self._idle_adbc: list[Any] = []
        self._schema: str | None = None
        self._version = 0
        self._closed = False

    # -- connections --

    def open(self, until: float | None = None) -> Connection:
        """A new connection in autocommit mode; by ``until`` (``time.monotonic``) it is there or an error."""
        with self.errors():
            connection = Connection.connect(
                make_conninfo("", **(self.parts | self._hurried(until))), autocommit=True
            )
            try:
                connection.until = until
                connection.execute(_SETUP)
                if connection.info.server_version >= 140_000:
                    with suppress(psycopg.errors.InvalidParameterValue):  # not on this platform
                        connection.execute(_NOTICE)
            except BaseException:
                connection.close()
                raise
            self._version = connection.info.server_version
            connection.prepare_threshold = 2  # passes repeat the same statements
            connection.prepared_max = 2_000
            return connection

    def _hurried(self, until: float | None) -> dict[str, str]:
        """The time for each of the hosts that the address names."""
        if until is None:
            return {}
        hosts = 1 + self.parts.get("host", "").count(",")
        left = math.ceil((until - time.monotonic()) / hosts)
        with suppress(ValueError):
            left = min(left, int(self.parts["connect_timeout"]) or left)
        return {"connect_timeout": str(max(_ATTEMPT, left))}

    @contextmanager
    def session(self, answer: float | None = None) -> Iterator[psycopg.Connection[Any]]:
        """A connection in autocommit mode, kept for the next caller when it is left clean.  After ``answer``
        seconds without an answer it is closed (``StoreUnreachable``)."""
        with self.session_with_stage(answer) as session:
            yield session.connection

    @contextmanager
    def session_with_stage(self, answer: float | None = None) -> Iterator[Session]:
        """The same, with the record of its staging tables; foreign errors are mapped."""
        left = self.patience.left
        if left == 0:
            raise BudgetOver("there was no time left to ask it", where=self.url)
        waits = [seconds for seconds in (answer, None if left is None else left + _GRACE) if seconds]
        session = self._take(time.monotonic() + min(waits) if waits else None)
        try:
            with self.errors():
                session.bound(self.milliseconds())
                yield session
        finally:
            session.connection.until = None
            self._give(session)

    def milliseconds(self) -> int:
        """What is left of this thread's time, for the server's time-out; 0 when nothing bounds it."""
        left = self.patience.left
        return 0 if left is None else max(1, int(left * 1000))

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[Any]]:
        """A transaction on a connection of its own; rolled back on exception."""
        with self.session() as connection, connection.transaction():
            yield connection

    @contextmanager
    def bulk(self) -> Iterator[Any]:
        """An ADBC connection in autocommit mode, for reading into Arrow."""
        with self._lock:
            connection = self._idle_adbc.pop() if self._idle_adbc else None
        clean = False
        try:
            with self.errors():
                if connection is not None and not _answers(connection):
                    connection.close()
                    connection = None
                if connection is None:
                    connection = self._open_bulk()
                yield connection
                clean = True
        finally:
            if connection is not None:
                with self._lock:
                    keep = clean and not self._closed and len(self._idle_adbc) < 4
                    if keep:
                        self._idle_adbc.append(connection)
                if not keep:
                    connection.close()

    def _open_bulk(self) -> Any:
        import adbc_driver_postgresql.dbapi  # heavy, and only reading needs it

        connection = adbc_driver_postgresql.dbapi.connect(make_conninfo("", **self.parts), autocommit=True)
        try:
            with connection.cursor() as cursor:
                cursor.execute(_SETUP)
                cursor.fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    def _take(self, until: float | None) -> Session:
        while True:
            with self._lock:
                session = self._idle.pop() if self._idle else None
            if session is None:
                return Session(self.open(until))
            if session.usable:
                session.connection.until = until
                return session
            session.close()

    def _give(self, session: Session) -> None:
        with self._lock:
            keep = not self._closed and len(self._idle) < 6 and session.usable
            if keep:
                self._idle.append(session)
        if not keep:
            session.close()

    def close(self) -> None:
        """Close every idle connection; the others close when they are given back."""
        with self._lock:
            self._closed = True
            sessions, self._idle = self._idle, []
            readers, self._idle_adbc = self._idle_adbc, []
        for session in sessions:
            session.close()
        for reader in readers:
            reader.close()

    # -- facts --

    @property
    def schema(self) -> str:
        """The schema that holds the application's tables (``current_schema()``)."""
        if self._schema is None:
            with self.session() as connection:
                found = one(connection, "SELECT current_schema()")
            if found is None:
                raise StoreError(
                    "the search path names no schema that exists",
                    where=self.url,
                    todo="create the schema, or set search_path in the options of the address",
                )
            self._schema = str(found)
        return self._schema

    @property
    def version(self) -> int:
        """The server's version number (180004 = 18.4)."""
        if not self._version:
            with self.session():
                pass
        return self._version

    # -- errors --

    @contextmanager
    def errors(self, where: str = "") -> Iterator[None]:
        """Map the drivers' errors onto ``StoreError`` and ``StoreUnreachable``; what was not done in this thread's
        time onto ``BudgetOver``."""
        try:
            yield
        except psycopg.Error as error:
            raise self.mapped(error, where) from error
        except AdbcError as error:
            raise self._mapped_adbc(error, where) from error

    def mapped(self, error: psycopg.Error, where: str = "") -> CrossfadeError:
        """The error of ours for one of psycopg's."""
        state = error.sqlstate or ""
        text = error.diag.message_primary or str(error).strip() or type(error).__name__
        beside = error.diag.message_detail or (error.diag.context if state in _OUT_OF_TIME else "")
        if beside:
            text = f"{text} ({beside})"
        lost = not state and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return self._error(text, state, where, lost)

    def _mapped_adbc(self, error: Any, where: str) -> CrossfadeError:
        state = str(getattr(error, "sqlstate", None) or "")
        text = str(error)
        words = ("could not connect", "connection to server", "no connection", "server closed", "EOF")
        lost = not state and any(word in text for word in words)
        return self._error(text, state, where, lost)

    def _error(self, text: str, state: str, where: str, lost: bool) -> CrossfadeError:
        if self._secret:
            text = text.replace(self._secret, "****")
        place = f"{self.url} {where}".strip()
        if state in _OUT_OF_TIME and self.patience.left is not None:
            return BudgetOver(text, where=place, todo=_TODO[state])
        if lost or state.startswith(_GONE):
            return StoreUnreachable(text, where=place, todo="check that the server runs and can be reached")
        todo = _TODO.get(state) or _TODO.get(state[:2], "")
        return StoreError(f"{text} [{state}]" if state else text, where=place, todo=todo)


def one(connection: psycopg.Connection[Any], query: str, parameters: Any = None) -> Any:
    """The first column of the first row, or None."""
    row = connection.execute(query.encode(), parameters).fetchone()
    return None if row is None else row[0]


def _answers(connection: Any) -> bool:
    """Whether an idle reader is still connected (the server may have ended it)."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchall()
    except AdbcError:
        return False
    return True


def _masked(parts: dict[str, str]) -> str:
    user = parts.get("user", "")
    if "password" in parts:
        user += ":****"
    host, port = parts.get("host", ""), parts.get("port", "")
    socket = host.startswith("/")
    place = "" if socket else host + (f":{port}" if port else "")
    text = f"postgresql://{user}@{place}/{parts.get('dbname', '')}"
    rest = [f"host={host}"] if socket else []
    rest += [f"options={parts['options']}"] if "options" in parts else []
    return f"{text}?{'&'.join(rest)}" if rest else text
