"""A follower that outlives the command that started it, as a task of a plan needs it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

from crossfade.errors import LeaseHeld, Refused, StoreError
from crossfade.move import Move

_LOG = "follow.log"
_NOTE = "follow.json"
"""Which process was started from here: while another verb is at work, the lease does not name it."""

_START = 30.0
"""Seconds that a follower may take until it follows."""

_END = 30.0
"""Seconds that it may take to finish its pass."""


_SAME = 1.0
"""Seconds by which the start of one process may seem to differ, after the clock was set."""


def start_follower(spec: Path, interval: float) -> int:
    """Start ``crossfade follow`` in a session of its own and wait until it has the lease; its process id.

    Somebody who follows already is as good.  What it says goes to ``follow.log`` in the state folder.
    ``LeaseHeld`` when another verb is at work, ``StoreError`` when it ends or does not begin.
    """
    with Move.open(spec) as move:
        folder = move.spec.state
        lease = move.status().lease
        if lease is not None and lease.verb == "follow":
            return lease.pid
        started = _ours(folder)
        if started is None and lease is not None:
            raise LeaseHeld(
                f"{lease.verb} is at work (process {lease.pid} on {lease.host})",
                where=move.spec.move,
                todo="wait until it has ended",
            )
        process = started or _launch(spec, folder, interval)
        deadline = time.monotonic() + _START
        while time.monotonic() < deadline:
            lease = move.status().lease
            if lease is not None and lease.verb == "follow" and lease.pid == process.pid:
                return process.pid
            if not _lives(process):
                raise StoreError(
                    "ended before it followed", where=str(folder / _LOG), todo="read its last lines"
                )
            time.sleep(0.1)
        _end(process)
        raise StoreError(
            f"does not follow after {_START:g} s", where=str(folder / _LOG), todo="read its last lines"
        )


def stop_follower(spec: Path) -> int:
    """End whoever follows, after its pass; its process id.  ``Refused`` when nobody does, or elsewhere."""
    with Move.open(spec) as move:
        process = _ours(move.spec.state)  # while another verb is at work it has no lease
        lease = move.status().lease
        if process is None:
            if lease is None or lease.verb != "follow":
                raise Refused("nobody follows", where=move.spec.move, todo="nothing: there is nobody to end")
            if lease.host != socket.gethostname():
                raise Refused(
                    f"process {lease.pid} follows on {lease.host}, not on this machine",
                    where=move.spec.move,
                    todo=f"run this command on {lease.host}",
                )
            try:
                process = psutil.Process(lease.pid)
            except psutil.NoSuchProcess:
                return lease.pid
        _end(process)
        return process.pid


def _launch(spec: Path, folder: Path, interval: float) -> psutil.Process:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / _LOG).open("ab") as log:
        started = psutil.Popen(
            [sys.executable, "-m", "crossfade", "follow", "--spec", str(spec), "--interval", str(interval)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    note = {"pid": started.pid, "created": started.create_time()}
    (folder / _NOTE).write_text(json.dumps(note), encoding="utf-8")
    return started


def _ours(folder: Path) -> psutil.Process | None:
    """The follower that was started from here, while it lives."""
    try:
        note = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
        process = psutil.Process(int(note["pid"]))
        same = abs(process.create_time() - float(note["created"])) <= _SAME
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None
    return process if same and _lives(process) else None


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _end(process: psutil.Process) -> None:
    try:
        process.send_signal(signal.SIGTERM)
        process.wait(_END)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired:
        raise Refused(
            f"process {process.pid} has not ended after {_END:g} s",
            todo="look what it waits for: crossfade status",
        ) from None
