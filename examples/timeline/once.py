"""An HTTP/1.1 client that sends a request once, and never a second time by itself.

Libraries send a request again when a kept connection turns out to be closed; a write is then done
twice and nobody knows.  Here a kept connection is used only while it is surely open (no end was
read, idle for less than ``IDLE_LIMIT_S``, far below any server's own limit), and whatever happens after
the first byte was sent is told to the caller.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

IDLE_LIMIT_S = 1.0


class RequestFailed(Exception):
    """No complete answer came.  ``kind`` is ``connect``, ``timeout``, ``closed`` or ``malformed``; ``sent``
    says whether the server may have seen the request."""

    def __init__(self, kind: str, *, sent: bool) -> None:
        super().__init__(kind)
        self.kind = kind
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response.  Header names are in lower case; of repeated headers the last is kept,
    cookies excepted."""

    status: int
    headers: dict[str, str]
    set_cookies: tuple[str, ...]
    body: bytes

    def json(self) -> Any:
        """Raises ``ValueError``."""
        return json.loads(self.body)


class Browser:
    """One client: at most one connection, one request at a time, and its cookies (by name; ``Max-Age`` is
    kept to, path and domain are not looked at, since it talks to one server)."""

    def __init__(self, base_url: str, *, timeout: float = 10.0) -> None:
        parts = urlsplit(base_url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{base_url}: an http:// address is needed")
        self._host, self._port = parts.hostname, parts.port or 80
        self._timeout = timeout
        self._wire: _Wire | None = None
        self._cookies: dict[str, tuple[str, float]] = {}
        self.connections = 0

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that the next request carries."""
        now = time.monotonic()
        self._cookies = {name: kept for name, kept in self._cookies.items() if kept[1] > now}
        return {name: value for name, (value, _) in self._cookies.items()}

    async def request(self, method: str, target: str, body: Any = None) -> Answer:
        """Send one request and read its answer.  Raises ``RequestFailed``."""
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {target} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
        if method not in ("GET", "HEAD"):
            head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        if self._cookies and (cookies := self.cookies):
            head += "Cookie: " + "; ".join(f"{name}={value}" for name, value in cookies.items()) + "\r\n"
        deadline = asyncio.get_running_loop().time() + self._timeout
        wire = await self._open(deadline)
        answer = await wire.exchange(head.encode() + b"\r\n" + data, deadline)
        for line in answer.set_cookies:
            self._keep(line)
        return answer

    def close(self) -> None:
        """Close the connection; the cookies stay."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    async def _open(self, deadline: float) -> _Wire:
        if self._wire is not None and self._wire.reusable:
            return self._wire
        self.close()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(deadline):
                _, self._wire = await loop.create_connection(_Wire, self._host, self._port)
        except TimeoutError:
            raise RequestFailed("timeout", sent=False) from None
        except OSError:
            raise RequestFailed("connect", sent=False) from None
        self.connections += 1
        return self._wire

    def _keep(self, line: str) -> None:
        first, *attributes = line.split(";")
        name, _, value = first.strip().partition("=")
        until = float("inf")
        for attribute in attributes:
            key, _, given = attribute.strip().partition("=")
            if key.lower() == "max-age" and given.lstrip("-").isdigit():
                until = time.monotonic() + int(given)
        self._cookies[name] = (value, until)


class _Wire(asyncio.Protocol):
    """A connection, and the answer that is being read from it."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._buffer = b""
        self._head: tuple[int, dict[str, str], tuple[str, ...], int] | None = None
        self._ended = False
        self._idle_since = time.monotonic()

    @property
    def reusable(self) -> bool:
        return not self._ended and not self._buffer and time.monotonic() - self._idle_since < IDLE_LIMIT_S

    async def exchange(self, data: bytes, deadline: float) -> Answer:
        loop = asyncio.get_running_loop()
        if self._ended or self._transport is None:
            raise RequestFailed("closed", sent=False)
        answer: asyncio.Future[Answer] = loop.create_future()
        self._answer = answer
        alarm = loop.call_at(deadline, self._fail, "timeout")
        self._transport.write(data)
        try:
            return await answer
        finally:
            alarm.cancel()
            self._answer = None
            self._idle_since = time.monotonic()

    def close(self) -> None:
        self._ended = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            self._read()
        except (ValueError, IndexError):
            self._fail("malformed")

    def eof_received(self) -> bool:
        self._end()
        return False

    def connection_lost(self, _: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        if self._head is not None and self._head[3] == _TO_THE_END:
            status, headers, cookies, _ = self._head
            self._finish(Answer(status, headers, cookies, self._buffer))
        self._fail("closed")

    def _fail(self, kind: str) -> None:
        self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(RequestFailed(kind, sent=True))

    def _finish(self, answer: Answer) -> None:
        self._head = None
        if answer.headers.get("connection", "").lower() == "close":
            self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def _read(self) -> None:
        if self._head is None:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            self._buffer = rest
            self._head = _read_head(head)
            if self._head[0] < 200:  # an interim answer; the real one follows
                self._head = None
                self._read()
                return
        status, headers, cookies, length = self._head
        if length == _TO_THE_END:
            return
        if length == _CHUNKED:
            body, rest_of_it = _read_chunks(self._buffer)
            if body is None:
                return
            self._buffer = rest_of_it
        else:
            if len(self._buffer) < length:
                return
            body, self._buffer = self._buffer[:length], self._buffer[length:]
        self._finish(Answer(status, headers, cookies, body))


_TO_THE_END, _CHUNKED = -1, -2


def _read_head(head: bytes) -> tuple[int, dict[str, str], tuple[str, ...], int]:
    """Status, headers, cookies, and how long the body is."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, status = first.split(" ", 2)[:2]
    if not version.startswith("HTTP/1."):
        raise ValueError(first)
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for line in lines:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip()
        if name == "set-cookie":
            cookies.append(value)
        else:
            headers[name] = value
    if status in ("204", "304"):
        length = 0
    elif headers.get("transfer-encoding", "").lower() == "chunked":
        length = _CHUNKED
    else:
        length = int(headers.get("content-length", _TO_THE_END))
    return int(status), headers, tuple(cookies), length


def _read_chunks(buffer: bytes) -> tuple[bytes | None, bytes]:
    """The whole body and what follows it, or None while chunks are missing."""
    body = b""
    while True:
        line, found, rest = buffer.partition(b"\r\n")
        if not found:
            return None, b""
        size = int(line.split(b";")[0], 16)
        if len(rest) < size + 2:
            return None, b""
        body += rest[:size]
        buffer = rest[size + 2 :]
        if size == 0:
            return body, buffer
