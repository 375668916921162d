"""Two real apps, a router before them, and clients."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crossfade.routers.caddy import CaddyRouter


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(condition: Callable[[], Any], what: str, seconds: float = 15.0) -> Any:
    """The first true value of ``condition``; fails after ``seconds``."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError(f"never happened: {what}")


@dataclass
class Received:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float


@dataclass
class Answer:
    status: int
    body: bytes
    headers: list[tuple[str, str]]
    seconds: float

    def cookie(self, name: str) -> str | None:
        """The Set-Cookie line of that name."""
        for key, value in self.headers:
            if key.lower() == "set-cookie" and value.startswith(f"{name}="):
                return value
        return None

    def header(self, name: str) -> str | None:
        return {key.lower(): value for key, value in self.headers}.get(name.lower())


class App:
    """A small HTTP server that answers its own name and remembers what it received.

    ``/gate`` answers once ``gate`` is set; ``/drop`` reads the request and closes; ``/fail`` answers 500;
    ``/stream`` sends events for ever; an Upgrade is answered with 101 and echoed.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.received: list[Received] = []
        self.streams = 0
        self.gate = threading.Event()
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def paths(self) -> list[str]:
        return [item.path for item in self.received]

    def stop(self) -> None:
        self.gate.set()
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**24, backlog=2048)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answer(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort() if self._loop.is_closed() else writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        route = path.partition("?")[0]
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
        body = b""
        if headers.get("transfer-encoding") == "chunked":
            while size := int(await reader.readline(), 16):
                body += await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
        else:
            body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.received.append(Received(method, path, headers, body, time.monotonic()))
        if route == "/drop":
            return False
        if "upgrade" in headers:
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            )
            self.streams += 1
            try:
                while data := await reader.read(1000):
                    writer.write(self.name.encode() + b":" + data)
            finally:
                self.streams -= 1
            return False
        if route == "/stream":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
            self.streams += 1
            try:
                while True:
                    writer.write(f"data: {self.name}\n\n".encode())
                    await writer.drain()
                    await asyncio.sleep(0.02)
            finally:
                self.streams -= 1
        if route == "/gate":
            while not self.gate.is_set():
                await asyncio.sleep(0.005)
        status = b"500 Broken" if route == "/fail" else b"200 OK"
        text = b"" if method == "HEAD" else self.name.encode()
        writer.write(
            b"HTTP/1.1 %s\r\nContent-Length: %d\r\nSet-Cookie: app=1\r\n\r\n%s"
            % (status, len(self.name), text)
        )
        await writer.drain()
        return headers.get("connection", "").lower() != "close"


@dataclass
class Scene:
    """Two apps, a port, and the routers made for them."""

    directory: Path
    old: App
    new: App
    port: int
    reloads: bool = False
    """Caddy was given another configuration: connections that its old listener had not accepted yet are
    reset when it closes, so a request that met that is made again (it reached nobody)."""
    routers: list[CaddyRouter] = field(default_factory=list)

    def router(self, **changed: Any) -> CaddyRouter:
        """A router object on the scene's directory; the scene stops what it started."""
        wanted: dict[str, Any] = {
            "directory": self.directory,
            "listen": f"127.0.0.1:{self.port}",
            "old": self.old.url,
            "new": self.new.url,
            "read_only_paths": ["/items/*"],
            "hold_budget": 3.0,
            "lag_limit": 2.0,
        }
        wanted |= changed
        router = CaddyRouter(**wanted)
        self.routers.append(router)
        return router

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        chunked: bool = False,
    ) -> Answer:
        """One request on a connection of its own; the client never sends anything twice."""
        for _ in range(20 if self.reloads else 0):
            try:
                return self._ask(method, path, body, headers, chunked)
            except ConnectionResetError:
                continue
        return self._ask(method, path, body, headers, chunked)

    def _ask(
        self, method: str, path: str, body: Any, headers: Mapping[str, str] | None, chunked: bool
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        begin = time.monotonic()
        try:
            connection.request(method, path, body, dict(headers or {}), encode_chunked=chunked)
            answer = connection.getresponse()
            text = answer.read()
            return Answer(answer.status, text, answer.getheaders(), time.monotonic() - begin)
        finally:
            connection.close()

    def ask_many(self, count: int, method: str = "POST", path: str = "/orders") -> list[Background]:
        return [Background(self, method, f"{path}/{n}", str(n)) for n in range(count)]


class Background(threading.Thread):
    """A request that waits in a thread."""

    def __init__(self, scene: Scene, method: str, path: str, body: Any = None, **more: Any) -> None:
        super().__init__(daemon=True)
        self._call = lambda: scene.ask(method, path, body, **more)
        self._answer: Answer | None = None
        self._error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self._answer = self._call()
        except Exception as error:
            self._error = error

    def answer(self) -> Answer:
        self.join(30)
        if self._error is not None:
            raise self._error
        assert self._answer is not None, "no answer within 30 s"
        return self._answer
