"""Reading Caddy's access log: incrementally, across rotation, and without reading what is too old."""

from __future__ import annotations

import json
import os
from array import array
from bisect import bisect_left
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from crossfade.errors import RouterError
from crossfade.routers.base import SideStats
from crossfade.stores.base import Side

DISORDER_SECONDS = 5.0
"""How much earlier than its predecessor a line may be (a stepped clock, concurrent writers)."""

_OLD, _NEW, _EXPIRED = 0, 2, 4
_ERROR = 1
_CODES = {Side.OLD: _OLD, Side.NEW: _NEW}


@dataclass(frozen=True, slots=True)
class _File:
    """An open log file; its first line is its identity, because names and inodes are used again."""

    handle: BinaryIO
    head: bytes
    first: float


class AccessLog:
    """The answers in ``path`` and the files it was rotated into (``access-….log`` beside ``access.log``).

    ``sides`` says which side an upstream's address belongs to; lines with any other upstream (a held
    request that gave up) belong to neither.  A line is dated by the end of its request; what Caddy has
    rotated away is forgotten.  The first question is answered from the files, each later one from memory
    and what was written meanwhile.  May be used from any thread.
    """

    def __init__(self, path: Path, sides: Mapping[str, Side]) -> None:
        self._path = path
        self._sides = dict(sides)
        self._lock = Lock()
        self._head = b""
        self._first = 0.0
        self._offset = 0
        self._complete_from: float | None = None
        self._when, self._took, self._what = array("d"), array("d"), bytearray()

    def stats(self, since: float, until: float | None = None) -> dict[Side, SideStats]:
        """What each side answered from then on, and before ``until``.  The duration of an answer is the time its app took to
        begin it (neither a hold nor a slow client makes an app slow); where no answer began, the whole
        time.  An answer of 500 or more is an error, and so is an app that could not be reached."""
        with self._lock:
            begin = self._read(since)
            took: dict[Side, list[float]] = {side: [] for side in Side}
            errors = dict.fromkeys(Side, 0)
            end = len(self._what) if until is None else bisect_left(self._when, until)
            for index in range(begin, end):
                what = self._what[index]
                if what < _EXPIRED:
                    side = Side.NEW if what & _NEW else Side.OLD
                    took[side].append(self._took[index])
                    errors[side] += what & _ERROR
        return {side: SideStats(len(took[side]), errors[side], tuple(took[side])) for side in Side}

    def expired_holds(self, since: float) -> int:
        """Requests refused since then because a hold went on for too long."""
        with self._lock:
            return self._what.count(_EXPIRED, self._read(since))

    def _read(self, since: float) -> int:
        """Take in what was written meanwhile; the index of the first answer since then."""
        again = self._complete_from is None or since < self._complete_from
        with ExitStack() as stack:
            files = self._files(stack)
            if again:
                self._forget(since)
                for index, file in enumerate(files):
                    follower = files[index + 1].first if index + 1 < len(files) else None
                    if follower is None or follower >= since - DISORDER_SECONDS:
                        self._take(file, _offset_of(file.handle, since - DISORDER_SECONDS))
            else:
                for file in files:
                    if file.head == self._head:
                        self._take(file, self._offset)
                    elif file.first >= self._first:
                        self._take(file, 0)
        if files:
            self._trim(files[0].first)
        return bisect_left(self._when, since)

    def _files(self, stack: ExitStack) -> list[_File]:
        # The current file is opened first: if it is rotated meanwhile it is found twice, never missed.
        found: dict[tuple[int, int], _File] = {}
        rotated = f"{self._path.stem}-*{self._path.suffix}"
        for path in chain([self._path], self._path.parent.glob(rotated)):
            try:
                handle = stack.enter_context(path.open("rb"))
            except FileNotFoundError:
                continue
            except OSError as error:
                raise RouterError(
                    f"the access log cannot be read: {error.strerror}",
                    where=str(path),
                    todo="make it readable for the user that Crossfade runs as",
                ) from error
            head = handle.readline()
            line = _parsed(head)
            if line is not None:
                about = os.fstat(handle.fileno())
                found[(about.st_dev, about.st_ino)] = _File(handle, head, line[0])
        return sorted(found.values(), key=lambda file: file.first)

    def _take(self, file: _File, offset: int) -> None:
        file.handle.seek(offset)
        block = file.handle.read()
        end = block.rfind(b"\n") + 1
        for text in block[:end].splitlines():
            line = _parsed(text)
            if line is not None:
                self._add(*line)
        self._head, self._first, self._offset = file.head, file.first, offset + end

    def _add(self, when: float, upstream: str, status: int, took: float, expired: bool) -> None:
        side = self._sides.get(upstream)
        if expired:
            what = _EXPIRED
        elif side is None:
            return
        else:
            what = _CODES[side] | (_ERROR if status >= 500 else 0)
        self._when.append(max(when, self._when[-1]) if self._when else when)
        self._took.append(took)
        self._what.append(what)

    def _trim(self, oldest: float) -> None:
        """Forget what has been rotated away: so memory is bounded as the files are (some 20 bytes a line)."""
        count = bisect_left(self._when, oldest)
        # In strides, so that the arrays are not moved at every call.
        if count > len(self._when) // 8:
            del self._when[:count], self._took[:count], self._what[:count]

    def _forget(self, since: float) -> None:
        self._when, self._took, self._what = array("d"), array("d"), bytearray()
        self._head, self._first, self._offset = b"", 0.0, 0
        self._complete_from = since


def _parsed(text: bytes) -> tuple[float, str, int, float, bool] | None:
    """When, upstream, status, seconds, expired; None for a line that is not whole."""
    try:
        line = json.loads(text)
        app = line.get("app_ms")
        took = line["duration"] if app is None else app / 1000
        upstream = line.get("upstream") or ""
        side = upstream.removeprefix("tcp/")
        return float(line["ts"]), side, int(line["status"]), float(took), "held" in line
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _offset_of(handle: BinaryIO, since: float) -> int:
    """Where the first line that is not older begins, to within a few lines before it (bisection)."""
    low, high = 0, handle.seek(0, 2)
    while high - low > 4096:
        middle = (low + high) // 2
        handle.seek(middle)
        handle.readline()
        line = _parsed(handle.readline())
        if line is not None and line[0] < since:
            low = middle
        else:
            high = middle
    if low == 0:
        return 0
    handle.seek(low)
    handle.readline()
    return handle.tell()
