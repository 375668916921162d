"""How long a call on a store may take: inside a switch no longer than the requests that it holds can wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Patience:
    """The time that each thread still has for one store; without ``within`` there is no end to it."""

    def __init__(self) -> None:
        self._until = _Until()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Everything that this thread does in the block, all together; the shorter of two blocks counts."""
        before = self._until.time
        until = time.monotonic() + seconds
        self._until.time = until if before is None else min(before, until)
        try:
            yield
        finally:
            self._until.time = before

    @property
    def left(self) -> float | None:
        """Seconds that this thread has left (0 when they are over), None when nothing bounds it."""
        until = self._until.time
        return None if until is None else max(0.0, until - time.monotonic())

    def most(self, seconds: float) -> float:
        """So many seconds, or what is left when that is less."""
        left = self.left
        return seconds if left is None else min(seconds, left)


class _Until(threading.local):
    time: float | None = None
