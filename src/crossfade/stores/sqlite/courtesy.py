"""How long a read may keep the file, and when it leaves the file alone, so that the application can write.

In rollback-journal mode every open read keeps writers from committing.  A long read is therefore cut into
pages whose time is measured; while the application writes, pages are shorter and a pause follows each.  In
WAL mode nobody waits for a reader.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from crossfade.stores.sqlite.connection import Database, patiently, text

PAGE_BYTES = 8 * 2**20
"""Bytes of stored values that a page aims at."""
PAGE_SECONDS = 0.03
"""How long a page may keep its read lock."""
POLITE_SECONDS = 0.005
"""The same while the application writes in rollback-journal mode, where a page keeps it from committing."""
GIVE_WAY = 3.0
"""How many times as long as it has read a polite reader leaves the file alone."""
FIRST_ROWS = 1_000
MOST_ROWS = 100_000

Result = TypeVar("Result")


@dataclass
class Pace:
    """How many rows the next page takes, by what the last one took."""

    rows: int = FIRST_ROWS
    seconds: float = PAGE_SECONDS

    def learn(self, rows: int, size: int, seconds: float) -> None:
        if not rows:
            return
        by_bytes = rows * PAGE_BYTES / max(size, 1)
        by_time = rows * self.seconds * 0.8 / max(seconds, 1e-6)
        self.rows = int(max(1, min(by_bytes, by_time, self.rows * 4, MOST_ROWS)))


class Courtesy:
    """The manners of one connection that reads page after page."""

    def __init__(self, database: Database, con: sqlite3.Connection) -> None:
        self._database = database
        self._con = con
        self.blocks = text(self._ask("PRAGMA journal_mode")) != "wal"
        self._version: object = None
        self.pace = Pace()

    def _ask(self, look: str) -> object:
        return self.patiently(lambda: self._con.execute(look).fetchone()[0])

    def patiently(self, action: Callable[[], Result]) -> Result:
        """Repeat what finds the database locked, for as long as the store waits for locks."""
        return patiently(action, self._database.wait)

    def give_way(self, seconds: float) -> None:
        """After a page that took so long: leave the file alone for a while if the application writes to it."""
        if not self.blocks:
            return
        self._database.locks.note(seconds)
        version = self._ask("PRAGMA data_version")
        wrote = self._version is not None and version != self._version
        self._version = version
        self.pace.seconds = POLITE_SECONDS if wrote else PAGE_SECONDS
        if wrote:
            time.sleep(min(seconds, PAGE_SECONDS) * GIVE_WAY)

    def read(self, action: Callable[[], Result], rows: int = 0) -> Result:
        """One page of about ``rows`` rows: run, timed, learned from, and made way after."""
        took = 0.0

        def timed() -> Result:
            nonlocal took
            began = time.monotonic()
            try:
                return action()
            finally:
                took = time.monotonic() - began

        found = self.patiently(timed)
        self.give_way(took)
        self.pace.learn(rows, 1, took)
        return found
