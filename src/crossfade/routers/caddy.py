"""The Caddy router: holds, releases and shifts by rewriting small files, never by a reload.

What is promised, and what is not, stands in ``docs/router.md``; why the configuration is as it is, in
``caddy_config.py``.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import psutil

from crossfade.errors import RouterError, SpecError
from crossfade.routers import caddy_address, caddy_config, caddy_guest, caddy_process
from crossfade.routers.access_log import AccessLog
from crossfade.routers.base import Capabilities, RouterState, SideStats
from crossfade.routers.caddy_admin import Admin, local_endpoint
from crossfade.routers.caddy_config import FOLLOWER, HELD, LEADER, READER, SHIFT, Settings
from crossfade.routers.caddy_process import Process
from crossfade.stores.base import Side

ADMIN_SOCKET = "admin.sock"

_log = logging.getLogger(__name__)

HOLD_MARGIN = 1.0
"""Seconds that a request waits longer than the hold may last, so that the switch gives up first."""

DETECTION = 2.0
"""Seconds in which a lag beyond its limit is noticed and the shift taken back."""


ANSWERING_SECONDS = 3.0
"""How long a living process may take to answer at its admin endpoint."""

LOCK_SECONDS = 5.0
"""How long another process may be starting or stopping the router before this one gives up."""


class CaddyRouter:
    """A router made of Caddy.

    ``directory`` holds its files (it is made if missing); ``old`` and ``new`` are the apps' addresses;
    ``read_only_paths`` (Caddy path matchers) are let through a hold for GET and HEAD and may be shifted.
    ``hold_budget`` and ``lag_limit`` are in seconds, ``request_buffer`` in bytes.  With ``owned`` the
    process is ours; otherwise ``admin`` names a running Caddy, in which we are a guest.

    ``SpecError`` for settings that cannot work.
    """

    capabilities = Capabilities(
        holds=True, shifts_reads=True, counts_in_flight=True, survives_coordinator=True
    )

    def __init__(
        self,
        directory: Path,
        listen: str,
        old: str,
        new: str,
        *,
        read_only_paths: Sequence[str],
        hold_budget: float,
        lag_limit: float,
        admin: str | None = None,
        owned: bool = True,
        detection: float = DETECTION,
        request_buffer: int = 2**20,
        trusted_proxies: Sequence[str] = (),
    ) -> None:
        self._directory = directory.absolute()
        if any(mark in str(self._directory) for mark in "{}|"):
            raise SpecError(
                "the path of the router's directory has a character that Caddy reads as a placeholder",
                where=str(self._directory),
                todo="choose a directory without {, } and |",
            )
        if not owned and admin is None:
            raise SpecError(
                "an existing Caddy is found by its admin endpoint",
                where="router/admin",
                todo="set it to the address in Caddy's configuration, by default 127.0.0.1:2019",
            )
        self._apps = {
            Side.OLD: caddy_address.app(old, "router/old"),
            Side.NEW: caddy_address.app(new, "router/new"),
        }
        if self._apps[Side.OLD] == self._apps[Side.NEW]:
            raise SpecError("both sides have the same address", where="router/new", todo="give each its own")
        self._owned = owned
        self._admin_wanted = admin
        self._settings = Settings(
            directory=self._directory,
            listen=caddy_address.listen(listen),
            read_only_paths=caddy_config.checked_paths(read_only_paths),
            hold=hold_budget + HOLD_MARGIN,
            wrote=2 * lag_limit + detection,
            buffer=request_buffer,
            trusted_proxies=tuple(trusted_proxies),
            shared=not owned,
        )
        self._name = f"crossfade-{hashlib.sha256(bytes(self._directory)).hexdigest()[:12]}"
        sides = {app.lead: side for side, app in self._apps.items()}
        sides |= {app.read: side for side, app in self._apps.items()}
        self._log = AccessLog(self._settings.file("access.log"), sides)

    # -- the process ---------------------------------------------------------

    def start(self) -> None:
        """Start it, or find the living one and bring its settings up to date.

        Without files from before, requests are held until ``release``.  Other settings than those it runs
        with are loaded into the living process, which closes idle keep-alive connections.
        """
        self._make_directory()
        with self._alone():
            record = self._record() or self._rediscovered()
            self._settle_files(record)
            if self._owned:
                record = self._start_ours(record)
            else:
                admin = Admin(self._admin_wanted or "")
                inner = record.get("inner") or local_endpoint(self._directory, "router.sock")
                caddy_guest.install(admin, self._settings, self._name, inner)
                record = {"admin": admin.address, "inner": inner}
            self._write("router.json", json.dumps(record | {"apps": self._spellings()}, indent=1))

    def stop(self) -> None:
        """End our process, or take our routes out of somebody else's Caddy; the files stay."""
        if not self._directory.exists():
            return
        with self._alone():
            record = self._record() or self._rediscovered()
            if self._owned:
                process = self._process(record)
                if process is not None:
                    process.end(caddy_config.GRACE_SECONDS + 2)
            else:
                caddy_guest.remove(self._admin(record), self._name)

    def _start_ours(self, record: Mapping[str, Any]) -> dict[str, Any]:
        process = self._living(record)
        address = self._admin_wanted or (str(record["admin"]) if process else "")
        admin = Admin(address or local_endpoint(self._directory, ADMIN_SOCKET))
        config = caddy_config.whole(self._settings, admin.address)
        text = json.dumps(config, indent=1)
        listen, file = self._settings.listen, self._settings.file
        if process is None or record.get("listen", listen.address) != listen.address:
            caddy_address.take(listen)
        if process is None:
            self._write("caddy.json", text)
            process = caddy_process.start(file("caddy.json"), admin, file("caddy.out"), file("caddy.log"))
        elif record.get("config") != _digest(text):
            _log.warning("the router's settings have changed: loading them into process %s", process.pid)
            # The process answers where it was told to last time.
            Admin(str(record["admin"]), timeout=60).request("POST", "/load", config)
            self._write("caddy.json", text)
        about = {"pid": process.pid, "started": process.started}
        return {"admin": admin.address, **about, "config": _digest(text), "listen": listen.address}

    def _living(self, record: Mapping[str, Any]) -> Process | None:
        """Our process, if it lives and answers.  One that was just killed is alive a little longer."""
        process = self._process(record)
        until = time.monotonic() + ANSWERING_SECONDS
        while process is not None and process.alive():
            if self._admin(record).answers():
                return process
            if time.monotonic() > until:
                raise RouterError(
                    "Caddy runs, but its admin endpoint does not answer",
                    where=f"process {process.pid}, {record.get('admin')}",
                    todo="end that process and start the router again",
                )
            time.sleep(0.01)
        return None

    def _settle_files(self, record: Mapping[str, Any]) -> None:
        """Make every file exist, and say the same with today's addresses as with those of last time."""
        now = self._read()
        before: dict[str, Side] = {}
        for side, spellings in record.get("apps", {}).items():
            before |= dict.fromkeys(spellings, Side(side))
        for name in (READER, FOLLOWER, LEADER):
            side = before.get(now[name]) or self._side(now[name])
            wanted = HELD if side is None else self._spelt(name, side)
            if now[name] != wanted:
                self._write(name, wanted)
        if not self._settings.file(SHIFT).exists():
            self._write(SHIFT, "")

    # -- the traffic ---------------------------------------------------------

    def state(self) -> RouterState:
        """What the files say, and whether Caddy answers.  While held, the leader is the last one."""
        now = self._read()
        held = now[LEADER] in (HELD, "")
        return RouterState(
            alive=self._alive(),
            held=held,
            leader=self._side(now[READER] if held else now[LEADER]),
            reads_percent=caddy_config.percent(now[SHIFT]),
            reads_from=self._side(now[READER]),
        )

    def hold(self) -> None:
        """Keep new requests waiting.  In force for every request that is sent on after this returns."""
        self._write(LEADER, HELD)

    def release(self, leader: Side) -> None:
        """Send held and new requests to that side.  When the lead changes, the shift goes to 0 %."""
        now = self._read()
        record = self._record()
        if record and record.get("apps") != self._spellings():
            # From here on the files are to be read with today's addresses, not with those of ``start``.
            self._write("router.json", json.dumps(record | {"apps": self._spellings()}, indent=1))
        if self._side(now[READER]) is not leader:
            # Reads first, so that nobody who writes there is then read from the other side.
            self._write(SHIFT, "")
            self._write(READER, self._spelt(READER, leader))
        self._write(FOLLOWER, self._spelt(FOLLOWER, leader.other))
        self._write(LEADER, self._spelt(LEADER, leader))

    def shift(self, reads_percent: float) -> None:
        """Send that share of the clients' reads of ``read_only_paths`` to the side that does not lead."""
        self._write(SHIFT, caddy_config.threshold(reads_percent))

    def close_streams(self) -> None:
        """Close every WebSocket at once and every event stream after the grace period, by loading the same
        configuration again.  Idle keep-alive connections are closed too, so this is never done by itself."""
        admin = self._admin(self._record())
        config, _ = admin.request("GET", "/config/")
        Admin(admin.address, timeout=60).request("POST", "/load", config, force=True)

    # -- the numbers ---------------------------------------------------------

    def in_flight(self, side: Side) -> int | None:
        """Requests at that side's lead address, by Caddy's count; None when Caddy does not answer.

        An open WebSocket counts as long as it is open; a request whose client has gone does not count,
        though its handler may still run.  So 0 is a courtesy: only the fence proves that nobody writes.
        """
        try:
            upstreams, _ = self._admin(self._record()).request("GET", "/reverse_proxy/upstreams")
        except RouterError:
            return None
        lead = self._apps[side].lead
        return sum(int(item["num_requests"]) for item in upstreams or () if item["address"] == lead)

    def stats(self, since: float, until: float | None = None) -> dict[Side, SideStats]:
        """From the access log; see ``AccessLog.stats``.  Each call reads only what is new."""
        return self._log.stats(since, until)

    def expired_holds(self, since: float) -> int:
        return self._log.expired_holds(since)

    # -- the files -----------------------------------------------------------

    def _read(self) -> dict[str, str]:
        """The four files as they stand; a missing one is ''."""
        found: dict[str, str] = {}
        for name in (LEADER, READER, FOLLOWER, SHIFT):
            with _told(path := self._settings.file(name)):
                found[name] = path.read_text("utf-8", "replace").strip() if path.exists() else ""
        return found

    def _write(self, name: str, text: str) -> None:
        path = self._settings.file(name)
        self._make_directory()
        draft = path.with_name(f".{name}.{os.getpid()}.{threading.get_ident()}")
        with _told(path):
            draft.write_text(text, "utf-8")
            draft.chmod(0o644 if self._settings.shared else 0o600)
            draft.replace(path)

    def _make_directory(self) -> None:
        # Our own Caddy runs as we do; somebody else's may be another user, who reads and writes here.
        with _told(self._directory):
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o755 if self._settings.shared else 0o700)

    def _spellings(self) -> dict[str, list[str]]:
        return {side.value: [app.lead, app.read] for side, app in self._apps.items()}

    def _spelt(self, name: str, side: Side) -> str:
        app = self._apps[side]
        return app.lead if name == LEADER else app.read

    def _side(self, address: str) -> Side | None:
        for side, app in self._apps.items():
            if address in (app.lead, app.read):
                return side
        return None

    def _record(self) -> dict[str, Any]:
        """What ``start`` wrote down: the process, its admin endpoint, its settings."""
        try:
            record = json.loads(self._settings.file("router.json").read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def _process(self, record: Mapping[str, Any]) -> Process | None:
        if "pid" not in record or "started" not in record:
            return None
        return Process(int(record["pid"]), float(record["started"]), self._settings.file("caddy.json"))

    def _rediscovered(self) -> dict[str, Any]:
        """The same, of a Caddy of ours that lives although the record is lost."""
        config = self._settings.file("caddy.json")
        process = caddy_process.find(config) if self._owned else None
        if process is None:
            return {}
        try:
            text = config.read_text("utf-8")
            admin = json.loads(text)["admin"]["listen"]
        except (OSError, ValueError, KeyError, TypeError):
            text, admin = "", local_endpoint(self._directory, ADMIN_SOCKET)
        about = {"pid": process.pid, "started": process.started}
        return {"admin": admin, **about, "config": _digest(text)}

    def _admin(self, record: Mapping[str, Any]) -> Admin:
        address = record.get("admin") or self._admin_wanted
        if not address:
            raise RouterError(
                "the router was never started here",
                where=str(self._directory),
                todo="start it; if it runs, look whether this is its directory",
            )
        return Admin(str(address))

    def _alive(self) -> bool:
        record = self._record()
        if not self._owned:
            return bool(record) and caddy_guest.installed(self._admin(record), self._name)
        process = self._process(record)
        return process is not None and process.alive() and self._admin(record).answers()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One start or stop at a time, among all processes.  ``RouterError`` names who has been at it for longer
        than ``LOCK_SECONDS``: never a blocking lock, because its holder may be stopped."""
        path = self._settings.file("lock")
        with ExitStack() as stack:
            with _told(path):
                lock = stack.enter_context(path.open("a+", encoding="utf-8"))
            until = time.monotonic() + LOCK_SECONDS
            while not _try_lock(lock):
                if time.monotonic() >= until:
                    raise _locked(path)
                time.sleep(0.01)
            # Only what helps to explain, so a full disk is no obstacle: the lock itself is the kernel's.
            with suppress(OSError):
                _write_holder(lock, str(os.getpid()))
            try:
                yield
            finally:
                with suppress(OSError):
                    _write_holder(lock, "")


def _try_lock(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_holder(lock: TextIO, text: str) -> None:
    lock.seek(0)
    lock.truncate()
    lock.write(text)
    lock.flush()


def _locked(path: Path) -> RouterError:
    """Who holds the lock, as far as it wrote itself down."""
    try:
        pid = int(path.read_text("utf-8"))
        process = psutil.Process(pid)
        who = f"process {pid} ({process.name()}, {process.status()})"
    except (OSError, ValueError, psutil.Error):
        who = "another process"
    return RouterError(
        f"{who} has been starting or stopping the router for more than {LOCK_SECONDS:g} s",
        where=str(path),
        todo=f"let it go on if it is stopped, or end it; `fuser -v {path}` shows who has the file open",
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RouterError(
            f"the router cannot be told: {error.strerror}",
            where=str(path),
            todo="make the router's directory readable and writable for Crossfade, with space on its disk",
        ) from error
