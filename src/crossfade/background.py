"""A follower that outlives the command that started it, as a task of a plan needs it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

from crossfade.errors import LeaseHeld, Refused, StoreError
from crossfade.move import Move
from crossfade.stores.base import Lease

_START = 30.0
"""Seconds that a follower may take until it follows."""

_END = 30.0
"""Seconds that it may take to finish its pass."""


def start_follower(spec: Path, interval: float) -> int:
    """Start ``crossfade follow`` in a session of its own and wait until it has the lease; its process id.

    Somebody who follows already is as good.  What it says goes to ``follow.log`` in the state folder.
    ``LeaseHeld`` when another verb is at work, ``StoreError`` when it ends or does not begin.
    """
    with Move.open(spec) as move:
        lease = move.status().lease
        if lease is not None and lease.verb == "follow":
            return lease.pid
        if lease is not None:
            raise LeaseHeld(
                f"{lease.verb} is at work (process {lease.pid} on {lease.host})",
                where=move.spec.move,
                todo="wait until it has ended",
            )
        log = move.spec.state / "follow.log"
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "crossfade", "follow", "--spec", str(spec), "--interval", str(interval)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START
        while time.monotonic() < deadline:
            lease = move.status().lease
            if lease is not None and lease.verb == "follow" and lease.pid == process.pid:
                return process.pid
            if process.poll() is not None:
                raise StoreError(
                    f"ended with {process.returncode} before it followed",
                    where=str(log),
                    todo="read its last lines",
                )
            time.sleep(0.1)
        process.terminate()
        process.wait(_END)
        raise StoreError(f"does not follow after {_START:g} s", where=str(log), todo="read its last lines")


def stop_follower(spec: Path) -> int:
    """End whoever follows, after its pass; its process id.  ``Refused`` when nobody does, or elsewhere."""
    with Move.open(spec) as move:
        lease = move.status().lease
        if lease is None or lease.verb != "follow":
            raise Refused("nobody follows", where=move.spec.move, todo="nothing: there is nobody to end")
        if lease.host != socket.gethostname():
            raise Refused(
                f"process {lease.pid} follows on {lease.host}, not on this machine",
                where=move.spec.move,
                todo=f"run this command on {lease.host}",
            )
        _end(lease)
        return lease.pid


def _end(lease: Lease) -> None:
    try:
        process = psutil.Process(lease.pid)
        os.kill(lease.pid, signal.SIGTERM)
        process.wait(_END)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return
    except psutil.TimeoutExpired:
        raise Refused(
            f"process {lease.pid} has not ended after {_END:g} s", todo="look what it waits for: crossfade status"
        ) from None
