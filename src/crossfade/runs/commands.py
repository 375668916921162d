"""Running one command of a task at most once, whoever asks for it and however often.

`Commands.run` is what a step of the durable workflow does.  It may be called again for the same attempt after any
crash: it finds the attempt's row, and takes its result, waits for its runner, or says that the outcome is
unknown.  It starts a command only while nobody has claimed its row.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets as randomness
import select
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossfade.errors import StoreError
from crossfade.masking import mask
from crossfade.runs.attempts import Attempt, Attempts, key_of, left_behind
from crossfade.runs.database import Database

GRACE = 5.0
"""Seconds that a command has to end by itself when its time is over."""

_LAUNCHES = 5
"""Runners started for one attempt before it is given up that one claims it."""

_CLAIMING = 20.0
"""Seconds in which a runner that was started is expected to claim."""

_SHELL = re.compile(r"[|&;<>()$`\\\n*?~#]|\[")

_REPEATABLE = frozenset(
    {"check", "status", "verify", "copy", "backup", "shift", "doctor", "plan", "evidence"}
)
"""Verbs that go on where they were, or only look, or set what they set again."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A command to be run: ``task`` is the task's id, ``task/undo`` for its undo."""

    run: str
    task: str
    number: int
    index: int
    command: str
    timeout: float | None = None

    @property
    def key(self) -> str:
        """The attempt's name."""
        return key_of(self.run, self.task, self.number, self.index)


class Commands:
    """Runs commands on this machine, and waits for those that run elsewhere.

    ``folder`` keeps their outputs (one folder for each run and task), ``cwd`` is where they run, ``spec`` is put
    into CROSSFADE_SPEC and the database's address into CROSSFADE_STATE, ``secrets`` are masked in everything that is kept, ``by`` says in the rows who asked.
    """

    def __init__(
        self,
        database: Database,
        *,
        folder: Path,
        cwd: Path,
        secrets: Sequence[str] = (),
        spec: Path | None = None,
        by: str = "",
        polling: float = 0.25,
        grace: float = GRACE,
    ) -> None:
        self.attempts = Attempts(database)
        self._url = database.url
        self._folder = folder
        self._cwd = cwd
        self._secrets = tuple(secrets)
        self._spec = spec
        self._by = by
        self._polling = polling
        self._grace = grace

    def run(self, wanted: Wanted) -> dict[str, Any]:
        """The result of the attempt, as the runner wrote it: ``outcome`` is done, failed, stopped, unknown,
        or withdrawn (nobody had begun it when the run was cancelled)."""
        key = self.attempts.ask(
            wanted.run,
            wanted.task,
            wanted.number,
            wanted.index,
            command=mask(wanted.command, self._secrets),
            sha256=hashlib.sha256(wanted.command.encode("utf-8", "surrogatepass")).hexdigest(),
            by=self._by,
        )
        runner: subprocess.Popen[bytes] | None = None
        launched = 0
        began = time.monotonic()
        try:
            while True:
                attempt = self.attempts.get(key)
                if attempt is None:
                    raise StoreError("an attempt has gone from the state database", where=key)
                found = self._settled(attempt)
                if found is not None:
                    return found
                ended = runner is None or runner.poll() is not None
                if attempt.state == "asked" and (ended or time.monotonic() - began > _CLAIMING):
                    if launched >= _LAUNCHES:
                        raise StoreError(
                            "no runner claims it",
                            where=key,
                            todo=f"see runner.log in {self._place(wanted)}",
                        )
                    _reap(runner)
                    runner, launched, began = self._launch(wanted, key), launched + 1, time.monotonic()
                self._wait(runner)
        finally:
            _reap(runner)

    def _settled(self, attempt: Attempt) -> dict[str, Any] | None:
        """What has become of it, or None while it may still be at work."""
        if attempt.state == "finished" and attempt.result is not None:
            return attempt.result
        if attempt.state in ("unknown", "withdrawn"):
            return self.unsettled(attempt)
        if attempt.state == "claimed" and not self.attempts.is_alive(attempt):
            self.settle(attempt)
        return None

    def settle(self, attempt: Attempt) -> bool:
        """Its runner is gone: report what it left on this machine, or doubt its outcome.  True for a result."""
        result = left_behind(attempt)
        if result is not None and attempt.token is not None:
            return self.attempts.finish(attempt.key, attempt.token, result)
        self.attempts.doubt(attempt)
        return False

    @staticmethod
    def unsettled(attempt: Attempt) -> dict[str, Any]:
        """The form of a result for an attempt that has none."""
        withdrawn = attempt.state == "withdrawn"
        return {
            "outcome": "withdrawn" if withdrawn else "unknown",
            "exit": None,
            "signal": None,
            "timed_out": False,
            "started": attempt.started,
            "finished": None,
            "seconds": None,
            "stdout": "",
            "stderr": "",
            "measured": None,
            "files": [],
        }

    def _launch(self, wanted: Wanted, key: str) -> subprocess.Popen[bytes]:
        place = self._place(wanted)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        argv, extra = argv_of(wanted.command)
        job = {
            "url": self._url,
            "key": key,
            "number": wanted.number,
            "index": wanted.index,
            "token": randomness.token_hex(16),
            "argv": argv,
            "environment": extra | self._environment(wanted, key),
            "cwd": str(self._cwd),
            "folder": str(place),
            "timeout": wanted.timeout,
            "grace": self._grace,
            "secrets": list(self._secrets),
        }
        log = os.open(place / "runner.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            runner = subprocess.Popen(
                [sys.executable, "-m", "crossfade.runs.runner"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        finally:
            os.close(log)
        if runner.stdin is not None:
            try:
                with runner.stdin as pipe:
                    pipe.write(json.dumps(job).encode())
            except BrokenPipeError:
                return runner  # it has ended already; its log says why
        return runner

    def _environment(self, wanted: Wanted, key: str) -> dict[str, str]:
        task = wanted.task.removesuffix("/undo")
        found = {"CROSSFADE_RUN": wanted.run, "CROSSFADE_TASK": task, "CROSSFADE_ATTEMPT_KEY": key}
        # whatever it asks of the runs is asked of those that it belongs to, in a rehearsal the scratch ones
        found["CROSSFADE_STATE"] = self._url
        return found if self._spec is None else found | {"CROSSFADE_SPEC": str(self._spec)}

    def _place(self, wanted: Wanted) -> Path:
        return self._folder / wanted.run / folder_name(wanted.task)

    def _wait(self, runner: subprocess.Popen[bytes] | None) -> None:
        """Until the runner has ended, but not for longer than it is sensible to look again."""
        if runner is not None and runner.stdout is not None and runner.poll() is None:
            # its end closes this pipe; nothing is ever written to it
            select.select([runner.stdout], [], [], 4 * self._polling)
        else:
            time.sleep(self._polling)


def _reap(runner: subprocess.Popen[bytes] | None) -> None:
    """Take note of the end of a runner, which comes right after its report."""
    if runner is None:
        return
    try:
        runner.wait(timeout=2.0)
    except subprocess.TimeoutExpired:
        return  # it goes on by itself
    finally:
        if runner.stdout is not None:
            runner.stdout.close()


def argv_of(command: str) -> tuple[list[str], dict[str, str]]:
    """How a command is started, and what its environment needs for it.

    ``crossfade …`` is the Crossfade that runs the plan, whatever stands in PATH; all else is the shell's.
    """
    words = _crossfade_words(command)
    if words is not None:
        return [sys.executable, "-m", "crossfade", *words], {}
    extra = {}
    if re.search(r"\bcrossfade\b", command):
        path = os.environ.get("PATH", os.defpath)
        extra["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{path}"
    return ["/bin/sh", "-c", command], extra


def is_repeatable(command: str) -> bool:
    """Whether a command may be run again although nobody knows how far it came: a verb of Crossfade that goes
    on where it was.  A switch is not among them: who leads is for people to look at."""
    words = _crossfade_words(command)
    if not words:
        return False
    if words[0] == "follow":
        return "--detach" in words or "--stop" in words
    if words[0] not in _REPEATABLE:
        return False
    # a plain copy between two addresses keeps no account of its progress
    return words[0] != "copy" or not any("://" in word for word in words[1:])


def folder_name(task: str) -> str:
    """A folder for a task's files: readable, and different for different ids."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", task).strip("._")[:60]
    if plain == task:
        return plain
    return f"{plain}-{hashlib.sha256(task.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _crossfade_words(command: str) -> list[str] | None:
    """The words after ``crossfade``, when the command is that and nothing for a shell to do."""
    if not re.match(r"crossfade(\s|$)", command) or _SHELL.search(command):
        return None
    try:
        return shlex.split(command)[1:]
    except ValueError:
        return None
