"""The watchdog: a small process beside a switch that repairs it when the coordinator dies or is stopped.

It is started, and has said that it is ready, before anything is held.  It reads the coordinator's words
from a pipe: ``held`` starts its clock, ``done`` dismisses it, and the end of the pipe without ``done``
means that the coordinator is dead.  It runs in a session of its own, so what kills the coordinator's
process group does not kill it.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

from crossfade.errors import CrossfadeError, StoreError

if TYPE_CHECKING:
    from crossfade.move import Move

_READY = b"ready\n"
_START = 20.0
"""Seconds that the watchdog may take to start."""

_GRACE = 0.5
"""Seconds past the hold budget before a coordinator that still lives counts as stopped."""

_PATIENCE = 600.0
"""Seconds for which it goes on trying, when a database does not answer."""


class Watchdog:
    """The coordinator's end.  ``spec`` None means that nobody watches (a move without a spec file)."""

    def __init__(self, spec: Path | None) -> None:
        self._spec = spec
        self._process: subprocess.Popen[bytes] | None = None

    def guard(self, token: str, epoch: int, attempt: int) -> None:
        """Start it, and wait until it is ready.  ``StoreError`` when it cannot start."""
        if self._spec is None:
            return
        self._process = subprocess.Popen(
            [sys.executable, "-m", "crossfade.watchdog", str(self._spec), token, str(epoch), str(attempt)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        readable, _, _ = select.select([self._out], [], [], _START)
        if not readable or self._out.readline() != _READY:
            self.dismiss()
            raise StoreError(
                "the watchdog did not start, so nothing was held",
                where="watchdog",
                todo="run `crossfade doctor`; it opens the same stores and router",
            )

    def held(self) -> None:
        """The hold begins now."""
        self._tell(b"held\n")

    def dismiss(self) -> None:
        """The switch is over, one way or the other."""
        self._tell(b"done\n")
        if self._process is not None:
            self._in.close()
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._out.close()
            self._process = None

    def _tell(self, word: bytes) -> None:
        if self._process is not None:
            try:
                self._in.write(word)
                self._in.flush()
            except OSError:
                return  # it is gone: then nobody watches, which the switch survives

    @property
    def _in(self) -> IO[bytes]:
        return _pipe(self._process.stdin if self._process else None)

    @property
    def _out(self) -> IO[bytes]:
        return _pipe(self._process.stdout if self._process else None)


def _pipe(end: IO[bytes] | None) -> IO[bytes]:
    if end is None:
        raise StoreError("the watchdog is not running", where="watchdog")
    return end


def watch(spec_path: Path, token: str) -> int:
    """The watchdog's own main loop; returns its exit status."""
    from crossfade.move import Move

    with Move.open(spec_path) as move:
        move.warm_up()
        sys.stdout.buffer.write(_READY)
        sys.stdout.buffer.flush()
        words = b""
        deadline: float | None = None
        repaired = False
        while True:
            wait = 0.05 if deadline is not None else 1.0
            readable, _, _ = select.select([sys.stdin], [], [], wait)
            if readable:
                chunk = os.read(sys.stdin.fileno(), 4096)
                words += chunk
                if b"done\n" in words:
                    return 0
                if b"held\n" in words and deadline is None:
                    deadline = time.monotonic() + move.spec.hold_budget + _GRACE
                if not chunk:
                    return _repair(move, token)
            if deadline is not None and time.monotonic() >= deadline:
                # The coordinator lives but does not move.  Repair now, and keep watching: when it wakes up
                # it may touch the router before it learns that its attempt is over.
                if not repaired or move.router_is_wrong():
                    _repair(move, token)
                repaired = True


def _repair(move: Move, token: str) -> int:
    give_up = time.monotonic() + _PATIENCE
    while time.monotonic() < give_up:
        try:
            move.repair(of=token)
        except CrossfadeError:
            time.sleep(0.2)
        else:
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(watch(Path(sys.argv[1]), sys.argv[2]))
