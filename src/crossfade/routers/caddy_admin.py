"""Talking to Caddy's admin endpoint, on a unix socket or on a TCP address."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from crossfade.errors import RouterError, SpecError

UNIX_PATH_BYTES = 100
"""Socket paths longer than this do not fit everywhere (104 bytes on macOS, 108 on Linux)."""


class Admin:
    """One Caddy's admin endpoint: ``unix//path/to/socket``, ``127.0.0.1:2019`` or
    ``http://127.0.0.1:2019``.  Every call opens its own connection, so it may be used from any thread."""

    def __init__(self, address: str, timeout: float = 5.0) -> None:
        self.address = address.removeprefix("http://").rstrip("/")
        self.timeout = timeout
        if not self.address.startswith("unix/") and not self.address.rpartition(":")[2].isdigit():
            raise SpecError(
                f"{address!r} is not the address of a Caddy admin endpoint",
                where="router/admin",
                todo="write it as 127.0.0.1:2019 or unix//path/to/socket",
            )

    def answers(self) -> bool:
        """Whether the endpoint answers at all."""
        try:
            self.request("GET", "/config/admin/listen")
        except RouterError:
            return False
        return True

    def request(
        self, method: str, path: str, body: object = None, *, match: str | None = None, force: bool = False
    ) -> tuple[Any, str]:
        """The decoded answer and its ETag ('' without one); ``match`` makes a change conditional on it, and
        ``force`` loads a configuration although it is the one that runs.  ``RouterError`` when nobody answers or Caddy refuses; the message is Caddy's."""
        headers = {"Content-Type": "application/json"}
        if match:
            headers["If-Match"] = match
        if force:
            headers["Cache-Control"] = "must-revalidate"
        connection = self._connection()
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise RouterError(
                f"Caddy does not answer: {error or type(error).__name__}",
                where=f"admin endpoint {self.address}",
                todo="see whether Caddy runs, and caddy.log; starting the router again is harmless",
            ) from error
        finally:
            connection.close()
        try:
            decoded = json.loads(text) if text.strip() else None
        except ValueError:
            decoded = text.decode("utf-8", "replace")
        if answer.status >= 300:
            said = decoded.get("error", decoded) if isinstance(decoded, dict) else decoded
            raise RouterError(
                f"Caddy refuses {method} {path} ({answer.status}): {said}",
                where=f"admin endpoint {self.address}",
                todo="nothing was changed; the message names the setting that Caddy does not accept",
            )
        return decoded, answer.getheader("Etag") or ""

    def _connection(self) -> http.client.HTTPConnection:
        if self.address.startswith("unix/"):
            return _UnixConnection(self.address.removeprefix("unix/"), self.timeout)
        return http.client.HTTPConnection(self.address, timeout=self.timeout)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("127.0.0.1", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def local_endpoint(directory: Path, name: str) -> str:
    """An address that only this machine reaches: a unix socket in ``directory``, which only those who may
    enter it can use, or a free loopback port where the path is too long for a socket."""
    path = directory / name
    if len(bytes(path)) <= UNIX_PATH_BYTES:
        return f"unix/{path}"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"
