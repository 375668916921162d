"""Ends what a test started and lost sight of, so that nothing outlives it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil


def end_all_in(folder: Path, *, seconds: float = 20.0) -> None:
    """Kill every process that works in that folder or was given a path in it: watchdogs, routers, runners and
    the commands of runs are in sessions of their own, and some of them start one another again."""
    deadline = time.monotonic() + seconds
    while found := list(those_in(folder)):
        assert time.monotonic() < deadline, f"these do not end: {found}"
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(found, timeout=5)


def those_in(folder: Path) -> Iterator[psutil.Process]:
    """The processes that work in that folder or were given a path in it."""
    mine = f"{folder}/"
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.cwd() == str(folder) or any(
                mine in word for word in [process.cwd(), *process.cmdline()]
            ):
                yield process
