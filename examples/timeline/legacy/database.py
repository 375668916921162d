"""The SQLite file: its schema, its connections, and how it writes an instant."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from examples.timeline.events import load_events

BUSY_TIMEOUT_S = 5.0
READERS_WAIT_S = 0.1

_SCHEMA = Path(__file__).parent / "schema.sql"


class Database:
    """One SQLite file.

    In rollback-journal mode a commit waits until nobody reads, and SQLite waits by sleeping, up to a tenth
    of a second at a time: with a few busy threads that halves what the app can serve.  So the threads of
    this process take turns here; SQLite's own waiting is left for other processes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = threading.Lock()

    def connect(self) -> sqlite3.Connection:
        """A connection in autocommit mode that enforces foreign keys; rows answer to column names."""
        connection = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    @contextmanager
    def reading(self, connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
        """A turn for reading.  After ``READERS_WAIT_S`` it reads without one: whoever holds the turn is then
        waiting for another process, which does not stop readers."""
        mine = self._turn.acquire(timeout=READERS_WAIT_S)
        try:
            yield connection
        finally:
            if mine:
                self._turn.release()

    @contextmanager
    def writing(self, connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
        """One write transaction, committed at the end of the block or rolled back when it raises.

        Raises ``sqlite3.OperationalError`` when the file stays locked for ``BUSY_TIMEOUT_S``.
        """
        if not self._turn.acquire(timeout=BUSY_TIMEOUT_S):
            raise sqlite3.OperationalError("database is locked")
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        finally:
            self._turn.release()

    def prepare(self) -> None:
        """Create what is missing, and the events if their table is new.

        Writes nothing when the tables are there, so a restart works where writes are refused.
        """
        connection = self.connect()
        try:
            present = {row["name"] for row in connection.execute("SELECT name FROM sqlite_master")}
            if {"events", "game_sessions", "moves"} <= present:
                return
            connection.executescript(_SCHEMA.read_text(encoding="utf-8"))
            with self.writing(connection):
                connection.executemany(
                    "INSERT INTO events (title, year, category, difficulty, description)"
                    " VALUES (?, ?, ?, ?, ?)",
                    [(e.title, e.year, e.category, e.difficulty, e.description) for e in load_events()],
                )
        finally:
            connection.close()


def stored_time(moment: datetime) -> str:
    """UTC text, cut to milliseconds, as Python's own adapter writes it; its order is the order of time."""
    moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000).isoformat(sep=" ")


def read_time(text: str) -> datetime:
    """The instant of a stored text; without a zone it is UTC, as SQLite takes it."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
