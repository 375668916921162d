"""Starting the processes that read SQLite pages column-wise (``sqlite/columnar_process.py``).

A process takes as long to start as this one takes for its imports, so ``expect`` starts them first, on another
processor; that is why this module stands apart and imports nothing of weight.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

LARGE = 1 << 24
"""Bytes of a database that is surely read column-wise."""

_SCRIPT = Path(__file__).with_name("sqlite") / "columnar_process.py"
AT_ONCE = 2
"""Processes that are started ahead: while a table is planned, or before."""

_PIPE_BYTES = 2**20
"""What an ordinary user may ask for on Linux; more at a time is fewer switches between the processes."""

_spare: list[subprocess.Popen[bytes]] = []
_lock = threading.Lock()


def start() -> subprocess.Popen[bytes]:
    """A process that waits for its first request: one that was started ahead, or a new one.  ``OSError``."""
    while _spare:
        with _lock:
            process = _spare.pop() if _spare else None
        if process is not None and process.poll() is None:
            return process
        if process is not None:
            end(process)
    return subprocess.Popen(
        [sys.executable, "-I", str(_SCRIPT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        pipesize=_PIPE_BYTES,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # NumPy's threads would spin beside us
    )


def expect(url: str) -> None:
    """Start processes for the database behind an address, when it is a large SQLite file; waits for none."""
    path = Path(url.partition("?")[0].removeprefix("sqlite:///"))
    with contextlib.suppress(OSError):
        if path.stat().st_size >= LARGE:
            started = [start() for _ in range(AT_ONCE)]
            with _lock:
                _spare.extend(started)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, which the end of its input does unless it is in the middle of a page."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    try:
        process.wait(timeout=2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def end_spare() -> None:
    """End what was started and never used."""
    with _lock:
        spare, _spare[:] = _spare[:], []
    for process in spare:
        end(process)
