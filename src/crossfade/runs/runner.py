"""The runner: a small process that runs one command and outlives whoever started it.

``python -m crossfade.runs.runner`` reads what to do as JSON from its standard input (so that no secret stands in
a command line), claims the attempt, runs the command in a process group of its own, and reports.  It lives in a
session of its own: a worker that is killed, alone or with its whole process group, takes nothing with it.

It imports little, because every command of a plan waits for it to start.
"""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from crossfade.errors import CrossfadeError
from crossfade.masking import mask
from crossfade.runs.attempts import BEAT, Attempts, result_file
from crossfade.runs.database import Database
from crossfade.runs.measurements import last_object
from crossfade.runs.secrecy import by_line

TAIL = 8 * 1024
"""Characters of each output that become part of the result."""

_KEPT = 256 * 1024
"""Characters of the standard output in which the closing JSON object is looked for."""

_LONG_LINE = 64 * 1024
_HELD_BACK = 8 * 1024
"""Of a line longer than the first, so much is held back until more of it is there, lest a secret be cut in two."""

_REPORTING = 3600.0
"""Seconds for which a result is reported again while the database does not answer."""

_LEFTOVERS = 0.5
"""Seconds for which the output of processes that the command left behind is still read."""

CLAIMED_ELSEWHERE = 3
NOT_REPORTED = 4


@dataclass(frozen=True, slots=True)
class Job:
    """What to run.  ``environment`` is added to this process's own; ``grace`` is how many seconds a command has
    between SIGTERM and SIGKILL."""

    url: str
    key: str
    number: int
    index: int
    token: str
    argv: tuple[str, ...]
    environment: dict[str, str]
    cwd: str
    folder: str
    timeout: float | None
    grace: float
    secrets: tuple[str, ...] = field(repr=False, default=())

    @staticmethod
    def read(source: IO[str]) -> Job:
        """The job that stands there as one JSON object."""
        body = json.load(source)
        return Job(**body | {"argv": tuple(body["argv"]), "secrets": by_line(body["secrets"])})


class Output:
    """One output of a command: masked, written to a file, its end kept."""

    def __init__(self, path: Path, secrets: Sequence[str], kept: int) -> None:
        self.path = path
        self.bytes = 0
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._secrets = secrets
        self._kept = kept
        self._decode = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode
        self._pending = ""
        self._digest = hashlib.sha256()
        self.end = ""

    def feed(self, data: bytes, *, final: bool = False) -> None:
        """Take what has come; whole lines are written at once."""
        self._pending += self._decode(data, final)
        cut = len(self._pending) if final else self._pending.rfind("\n") + 1
        if not cut and len(self._pending) > _LONG_LINE:
            # what is already masked may be cut anywhere
            self._pending = mask(self._pending, self._secrets)
            cut = max(len(self._pending) - _HELD_BACK, 0)
        if cut:
            self._write(mask(self._pending[:cut], self._secrets))
            self._pending = self._pending[cut:]

    def close(self) -> None:
        """Write the rest, and have it on the disk."""
        self.feed(b"", final=True)
        os.fsync(self._file)
        os.close(self._file)

    @property
    def sha256(self) -> str:
        """The digest of the file, as it is after `close`."""
        return self._digest.hexdigest()

    def _write(self, text: str) -> None:
        data = text.encode("utf-8", "backslashreplace")
        self._digest.update(data)
        self.bytes += len(data)
        self.end = (self.end + text)[-self._kept :]
        while data:
            data = data[os.write(self._file, data) :]


class Command:
    """One running command."""

    def __init__(self, job: Job, lock: int) -> None:
        self._job = job
        self._ended = threading.Event()
        self.stopped = threading.Event()
        """Set from outside: the command is no longer wanted."""
        self.timed_out = False
        self._wake, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        folder = Path(job.folder)
        self.outputs = (
            Output(folder / f"{job.number}-{job.index}.out", job.secrets, _KEPT),
            Output(folder / f"{job.number}-{job.index}.err", job.secrets, TAIL),
        )
        self._process = subprocess.Popen(
            job.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=job.cwd,
            env=os.environ | job.environment,
            process_group=0,
            # with the lock in its hands it counts as running even when this process is killed
            pass_fds=(lock,),
        )

    def wait(self) -> int:
        """Read its outputs until it has ended, and end it when its time is over; what ``wait`` gave."""
        begun = time.monotonic()
        pipes = {
            pipe.fileno(): output
            for pipe, output in zip((self._process.stdout, self._process.stderr), self.outputs, strict=True)
            if pipe is not None
        }
        asked_to_end = killed = False
        until = begun + self._job.timeout if self._job.timeout is not None else None
        ended_at: float | None = None
        while True:
            now = time.monotonic()
            if ended_at is None and self._process.poll() is not None:
                ended_at = now
            if not asked_to_end and ended_at is None:
                self.timed_out = until is not None and now >= until
                if self.timed_out or self.stopped.is_set():
                    asked_to_end, until = True, now + self._job.grace
                    self._signal(signal.SIGTERM)
            if asked_to_end and not killed and until is not None and (now >= until or ended_at is not None):
                # also what ignored the first signal and lives on in its group
                killed = now >= until or not self._group_lives()
                if killed:
                    self._signal(signal.SIGKILL)
            over = ended_at is not None and (not asked_to_end or killed)
            if over and ended_at is not None and (not pipes or now - ended_at > _LEFTOVERS):
                break
            self._read(pipes, self._patience(now, until if not killed else None, ended_at, asked_to_end))
        for output in self.outputs:
            output.close()
        self._ended.set()
        return self._process.wait()

    def _patience(self, now: float, until: float | None, ended_at: float | None, asked_to_end: bool) -> float:
        if ended_at is not None or asked_to_end:
            return 0.02
        return 0.5 if until is None else max(min(until - now, 0.5), 0.0)

    def _read(self, pipes: dict[int, Output], patience: float) -> None:
        readable, _, _ = select.select([*pipes, self._wake], [], [], patience)
        for pipe in readable:
            data = os.read(pipe, 1 << 16)
            if pipe == self._wake:
                continue
            if data:
                pipes[pipe].feed(data)
            else:
                del pipes[pipe]

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _group_lives(self) -> bool:
        try:
            os.killpg(self._process.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def run(job: Job) -> int:
    """Claim the attempt, run its command, report; the exit status of the runner."""
    folder = Path(job.folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock_path = folder / f"{job.number}-{job.index}.lock"
    with _locked(lock_path) as lock:
        if lock is None:
            return CLAIMED_ELSEWHERE
        database = Database(job.url, patience=_REPORTING)
        attempts = Attempts(database)
        started = time.time()
        if not attempts.claim(job.key, job.token, started=started, folder=str(folder), lock=str(lock_path)):
            return CLAIMED_ELSEWHERE
        result = _supervised(job, lock, started)
        _keep(result_file(folder, job.number, job.index), {"token": job.token, "result": result})
        try:
            attempts.finish(job.key, job.token, result)
        except CrossfadeError as error:
            print(error, file=sys.stderr)
            return NOT_REPORTED
    return 0


def _supervised(job: Job, lock: int, started: float) -> dict[str, Any]:
    begun = time.monotonic()
    try:
        command = Command(job, lock)
    except OSError as error:
        return {
            "outcome": "failed",
            "exit": 127,
            "signal": None,
            "timed_out": False,
            "started": started,
            "finished": time.time(),
            "seconds": 0.0,
            "stdout": "",
            "stderr": mask(f"cannot be started: {error}", job.secrets),
            "measured": None,
            "files": [],
        }
    signal.signal(signal.SIGTERM, lambda _number, _frame: command.stopped.set())
    over = threading.Event()
    heart = threading.Thread(target=_beat, args=(job, command, over), name="heart", daemon=True)
    heart.start()
    code = command.wait()
    over.set()
    stopped = command.stopped.is_set() and not command.timed_out and code != 0
    good = code == 0 and not command.timed_out
    out, err = command.outputs
    return {
        "outcome": "stopped" if stopped else "done" if good else "failed",
        "exit": code if code >= 0 else 128 - code,
        "signal": -code if code < 0 else None,
        "timed_out": command.timed_out,
        "started": started,
        "finished": time.time(),
        "seconds": round(time.monotonic() - begun, 3),
        "stdout": out.end[-TAIL:],
        "stderr": err.end[-TAIL:],
        "measured": last_object(out.end),
        "files": [{"path": str(one.path), "bytes": one.bytes, "sha256": one.sha256} for one in (out, err)],
    }


def _beat(job: Job, command: Command, over: threading.Event) -> None:
    """Give signs of life, and hear whether the command is still wanted."""
    attempts = Attempts(Database(job.url, patience=BEAT))
    while not over.wait(BEAT):
        # a database that does not answer now is asked again at the next beat
        with contextlib.suppress(CrossfadeError):
            if attempts.beat(job.key, job.token):
                command.stopped.set()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int | None]:
    """The file's lock, or None when somebody else has it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        yield None
        return
    try:
        yield file
    finally:
        os.close(file)


def _keep(path: Path, body: dict[str, Any]) -> None:
    """Have it on the disk, whole or not at all, before anything else is tried with it."""
    fresh = path.with_suffix(".new")
    with fresh.open("w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        json.dump(body, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def main() -> int:
    """Read the job and run it."""
    for number in (signal.SIGHUP, signal.SIGINT):
        # a handler and not SIG_IGN, which the command would inherit
        signal.signal(number, lambda _number, _frame: None)
    try:
        return run(Job.read(sys.stdin))
    except CrossfadeError as error:
        print(error, file=sys.stderr)
        return NOT_REPORTED


if __name__ == "__main__":
    sys.exit(main())
