"""The watchdog: a small process beside a switch that repairs it when the coordinator dies or is stopped.

It is started, and has said that it is ready, before anything is held.  It reads the coordinator's words
from a pipe: ``held`` starts its clock, ``done`` dismisses it, and the end of the pipe without ``done``
means that the coordinator is dead, or does not know what stands in the databases.  It runs in a session of its own, so what kills the coordinator's
process group does not kill it.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

import psutil

from crossfade import recovery
from crossfade.errors import CrossfadeError, StoreError, StoreUnreachable

if TYPE_CHECKING:
    from crossfade.move import Move

_READY = b"ready\n"
_START = 20.0
"""Seconds that the watchdog may take to start."""

_GRACE = 0.5
"""Seconds past the hold budget before a coordinator that still lives counts as stopped."""

_PATIENCE = 600.0
"""Seconds for which it goes on trying, when a database does not answer."""

_STOPPED = 3.0
"""Seconds in which a repair fails before a coordinator that is stopped is ended: it may hold a lock."""

_STUCK = 30.0
"""The same for a coordinator that is not stopped, but has not moved for so long past its budget."""

_BLOCKED = 2.0
"""Seconds after which one try of a repair counts as waiting for a lock."""

_WARM = 5.0
"""Seconds that it prepares itself before it says that it is ready: a database that does not answer may take
longer, and keeps nobody from a switch that can do without it."""

_SAME = 5.0
"""Seconds by which the start of one and the same process may differ between two looks."""

_END = 10.0
"""Seconds that the coordinator waits for its watchdog to finish."""


class Watchdog:
    """The coordinator's end.  ``spec`` None means that nobody watches (a move without a spec file)."""

    def __init__(self, spec: Path | None) -> None:
        self._spec = spec
        self._process: subprocess.Popen[bytes] | None = None

    def guard(self, token: str, epoch: int, attempt: int) -> None:
        """Start it, and wait until it is ready.  ``StoreError`` when it cannot start."""
        if self._spec is None:
            return
        me = psutil.Process()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "crossfade.watchdog", str(self._spec), token),
                *(str(epoch), str(attempt), str(me.pid), repr(me.create_time())),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        readable, _, _ = select.select([self._out], [], [], _START)
        if not readable or self._out.readline() != _READY:
            self._process.kill()
            self._wait()
            raise StoreError(
                "the watchdog did not start, so nothing was held",
                where="watchdog",
                todo="run `crossfade doctor`; it opens the same stores and router",
            )

    def held(self) -> None:
        """The hold begins now."""
        self._tell(b"held\n")

    def dismiss(self) -> None:
        """The switch is over, one way or the other, and all is as the databases say."""
        self._tell(b"done\n")
        if self._process is not None and not self._wait():
            self._leave()

    def abandon(self) -> bool:
        """The switch is over, but this process does not know how, or cannot finish it: the watchdog does.
        True when it has, or needs longer and goes on; False when nobody watches, or it died."""
        process = self._process
        if process is None:
            return False
        if self._wait():
            return process.returncode == 0
        self._leave()
        return True

    def _wait(self) -> bool:
        """Close the pipe, and wait until it has ended."""
        if self._process is None:
            return True
        with contextlib.suppress(OSError):
            self._in.close()
        try:
            self._process.wait(timeout=_END)
        except subprocess.TimeoutExpired:
            return False
        self._out.close()
        self._process = None
        return True

    def _leave(self) -> None:
        """It is at work on a repair and lives on without us; its end is taken note of when it comes."""
        process, self._process = self._process, None
        if process is not None:
            if process.stdout is not None:
                process.stdout.close()
            threading.Thread(target=process.wait, name="watchdog", daemon=True).start()

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


class Watch:
    """The watchdog's own end: its clock, what it has heard, and the process that it may have to end."""

    def __init__(self, move: Move, token: str, coordinator: int, created: float) -> None:
        self.move = move
        self.token = token
        self.coordinator = coordinator
        self.created = created
        self.repaired = False
        self._failure: CrossfadeError | None = None
        self._called = 0.0

    def run(self) -> int:
        """Watch until the switch is over; returns the exit status."""
        words = b""
        deadline: float | None = None
        while True:
            wait = 1.0 if deadline is None else 0.2 if self.repaired else 0.05
            readable, _, _ = select.select([sys.stdin], [], [], wait)
            if readable:
                chunk = os.read(sys.stdin.fileno(), 4096)
                words += chunk
                if b"done\n" in words:
                    # who was repaired under its hands may have touched the router once more
                    return self._repair() if self.repaired and self._is_wrong() else 0
                if b"held\n" in words and deadline is None:
                    deadline = time.monotonic() + self.move.spec.hold_budget + _GRACE
                if not chunk:
                    return self._repair()
            if (
                deadline is not None
                and time.monotonic() >= deadline
                and (not self.repaired or self._is_wrong())
            ):
                # The coordinator lives but does not move.  Repair now, and keep watching: when it wakes up
                # it may touch the router before it learns that its attempt is over.
                self._repair(may_end=True)
                self.repaired = True

    def _is_wrong(self) -> bool:
        """Whether router or databases are not as they should be; True when that cannot be found out."""
        try:
            return recovery.is_wrong(self.move.standing(), self.move.router)
        except CrossfadeError:
            return True

    def _repair(self, *, may_end: bool = False) -> int:
        began = time.monotonic()
        over = threading.Event()
        if may_end:
            threading.Thread(target=self._end_when_late, args=(over,), name="late", daemon=True).start()
        try:
            while time.monotonic() < began + _PATIENCE:
                self._called = time.monotonic()
                try:
                    self.move.repair(of=self.token)
                except CrossfadeError as error:
                    self._failure = error
                    time.sleep(0.2)
                else:
                    return 0
        finally:
            over.set()
        return 1

    def _end_when_late(self, over: threading.Event) -> None:
        began = time.monotonic()
        patience = _STOPPED
        while not over.wait(patience):
            patience = 0.5
            blocked = time.monotonic() - self._called > _BLOCKED
            refused = isinstance(self._failure, StoreError) and not isinstance(
                self._failure, StoreUnreachable
            )
            if (blocked or refused) and self._end_coordinator(began):
                return

    def _end_coordinator(self, since: float) -> bool:
        """End the coordinator, whose transactions end with it: it is past its time, and no harm can come of
        that, because whatever it has not done is taken from what stands in the databases."""
        try:
            process = psutil.Process(self.coordinator)
            # reckoned from the boot time, which a clock adjustment moves a little
            if abs(process.create_time() - self.created) >= _SAME:
                return True
            stopped = process.status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
            if stopped or time.monotonic() >= since + _STUCK:
                process.kill()
                return True
        except psutil.Error:
            return True
        return False


def watch(spec_path: Path, token: str, coordinator: int, created: float) -> int:
    """The watchdog's main program; returns its exit status."""
    from crossfade.move import Move

    with Move.open(spec_path) as move:
        _warm_up(move)
        sys.stdout.buffer.write(_READY)
        sys.stdout.buffer.flush()
        return Watch(move, token, coordinator, created).run()


def _warm_up(move: Move) -> None:
    """An error of this move's own is raised, and ends the watchdog before it was ready."""
    failed: list[CrossfadeError] = []

    def warm_up() -> None:
        try:
            move.warm_up()
        except CrossfadeError as error:
            failed.append(error)

    warming = threading.Thread(target=warm_up, name="warm up", daemon=True)
    warming.start()
    warming.join(_WARM)
    if failed:
        raise failed[0]


if __name__ == "__main__":
    sys.exit(watch(Path(sys.argv[1]), sys.argv[2], int(sys.argv[5]), float(sys.argv[6])))
