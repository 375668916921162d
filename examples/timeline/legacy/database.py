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

_SCHEMA = Path(__file__).parent / "schema.sql"


class Database:
    """One SQLite file.  Its writers take turns here: waiting in SQLite's own busy loop, which sleeps for
    up to a tenth of a second at a time, is left for writers of other processes."""

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
    """UTC text with milliseconds, as SQLite's own date functions write it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def read_time(text: str) -> datetime:
    """The instant of a stored text; without a zone it is UTC, as SQLite takes it."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
