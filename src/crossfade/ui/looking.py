"""Looking again and again, each source in a thread of its own: one that hangs keeps no other from being shown."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from crossfade.errors import CrossfadeError
from crossfade.masking import mask
from crossfade.ui.snapshot import Part, Problem

T = TypeVar("T")

_SHARE = 10.0
"""A look that took a tenth of a second is repeated after one: looking must not become the work."""

_LONGEST = 5.0
"""Seconds after which even a slow look is repeated, or as long as it took."""

_log = logging.getLogger(__name__)


def problem_of(error: BaseException) -> Problem:
    """An error as the page shows it, without any password."""
    if isinstance(error, CrossfadeError):
        return Problem(mask(error.what), mask(error.where), mask(error.todo))
    return Problem(
        f"the page could not look: {type(error).__name__}: {mask(str(error))}",
        todo="the move itself is not touched by this; see the log of `crossfade ui`",
    )


class Looking(Generic[T]):
    """Calls ``look`` about every ``pace()`` seconds, from `start` to `stop`, and keeps what it gave last."""

    def __init__(self, name: str, look: Callable[[], T], pace: Callable[[], float]) -> None:
        self._name = name
        self._look = look
        self._pace = pace
        self._part: Part[T] = Part()
        self._stopped = threading.Event()
        self._again = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"look {name}", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self, patience: float = 2.0) -> None:
        """End; a look that hangs is left alone after ``patience`` seconds (its thread ends with the process)."""
        self._stopped.set()
        self._again.set()
        self._thread.join(patience)

    def soon(self) -> None:
        """Look as soon as the running look is over: something has just been done."""
        self._again.set()

    @property
    def part(self) -> Part[T]:
        """What is known at this moment."""
        return self._part

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._again.clear()
            began = time.monotonic()
            before = self._part
            self._part = Part(before.value, before.at, before.problem, since=time.time())
            try:
                self._part = Part(self._look(), time.time())
            except Exception as error:  # the page stays, whatever a source does
                if not isinstance(error, CrossfadeError):
                    _log.exception("looking at %s failed", self._name)
                self._part = Part(before.value, before.at, problem_of(error))
            took = time.monotonic() - began
            self._again.wait(max(self._pace(), min(_SHARE * took, max(_LONGEST, took))))
