"""The client sends a request once, whatever the server does with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from examples.timeline import once
from examples.timeline.once import Browser, RequestFailed
from tests.examples.timeline.conftest import free_port

Handler = Callable[["RawServer", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class RawServer:
    """Counts connections and whole requests, and answers as the test says."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.connections = 0
        self.requests: list[bytes] = []

    async def read(self, reader: asyncio.StreamReader) -> bytes:
        """One whole request; empty when the client is gone."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return b""
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        request = head + await reader.readexactly(length)
        self.requests.append(request)
        return request

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._handler(self, reader, writer)
        finally:
            writer.close()

    async def __aenter__(self) -> RawServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()


def answering(*answers: bytes, close: bool = False) -> Handler:
    """Each request on a connection gets the next answer; the last one is repeated."""

    async def handler(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        while await server.read(reader):
            writer.write(answers[min(number, len(answers) - 1)])
            await writer.drain()
            number += 1
            if close:
                return

    return handler


async def close_after_receipt(
    server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await server.read(reader)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_server_that_closes_after_receipt_gets_the_request_once(method: str) -> None:
    async def play() -> None:
        async with RawServer(close_after_receipt) as server:
            browser = Browser(server.url)
            with pytest.raises(RequestFailed) as failed:
                await browser.request(method, "/x", {"a": 1})
            assert (failed.value.kind, failed.value.sent) == ("closed", True)
            assert len(server.requests) == 1
            browser.close()

    asyncio.run(play())


def test_a_kept_connection_that_dies_under_a_request_is_not_replaced() -> None:
    """The first request is answered; the second is received on the same connection, which then dies."""

    async def handler(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.read(reader)
        writer.write(OK)
        await server.read(reader)

    async def play() -> None:
        async with RawServer(handler) as server:
            browser = Browser(server.url)
            await browser.request("GET", "/1")
            with pytest.raises(RequestFailed):
                await browser.request("POST", "/2", {})
            assert [request.split()[1] for request in server.requests] == [b"/1", b"/2"]
            assert server.connections == 1

    asyncio.run(play())


def test_a_connection_is_kept_while_it_is_surely_open() -> None:
    async def play() -> None:
        async with RawServer(answering(OK)) as server:
            browser = Browser(server.url)
            for _ in range(5):
                assert (await browser.request("GET", "/")).body == b"ok"
            assert (server.connections, browser.connections) == (1, 1)
            browser.close()

    asyncio.run(play())


def test_a_connection_that_the_server_ended_is_noticed_before_sending() -> None:
    async def play() -> None:
        async with RawServer(answering(OK, close=True)) as server:
            browser = Browser(server.url)
            for number in range(1, 4):
                await browser.request("POST", "/", {})
                while browser._wire is not None and browser._wire.reusable:
                    await asyncio.sleep(0)  # until the server's end of the connection was read
                assert (server.connections, len(server.requests)) == (number, number)

    asyncio.run(play())


def test_an_idle_connection_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        async with RawServer(answering(OK)) as server:
            browser = Browser(server.url)
            await browser.request("GET", "/")
            monkeypatch.setattr(once, "IDLE_LIMIT_S", 0.0)
            await browser.request("GET", "/")
            assert server.connections == 2
            browser.close()

    asyncio.run(play())


def test_a_silent_server_is_a_timeout_and_the_late_answer_is_never_taken() -> None:
    async def handler(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.read(reader)
        await reader.read()  # until the client gives up

    async def play() -> None:
        async with RawServer(handler) as server:
            browser = Browser(server.url, timeout=0.05)
            with pytest.raises(RequestFailed) as failed:
                await browser.request("POST", "/", {})
            assert (failed.value.kind, failed.value.sent) == ("timeout", True)
            assert len(server.requests) == 1

    asyncio.run(play())


def test_a_refused_connection_says_that_nothing_was_sent() -> None:
    async def play() -> None:
        with pytest.raises(RequestFailed) as failed:
            await Browser(f"http://127.0.0.1:{free_port()}").request("POST", "/", {})
        assert (failed.value.kind, failed.value.sent) == ("connect", False)

    asyncio.run(play())


@pytest.mark.parametrize(
    ("answer", "body", "close"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=1\r\nde\r\n0\r\n\r\n", b"abcde", False),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", b"abc", False),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end", b"to the end", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", False),
    ],
)  # fmt: skip
def test_every_kind_of_body_is_read(answer: bytes, body: bytes, close: bool) -> None:
    async def play() -> None:
        async with RawServer(answering(answer, close=close)) as server:
            browser = Browser(server.url)
            assert (await browser.request("GET", "/")).body == body
            browser.close()

    asyncio.run(play())


@pytest.mark.parametrize("pieces", [1, 3, 7])
def test_an_answer_may_come_in_pieces(pieces: int) -> None:
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"

    async def handler(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.read(reader)
        for start in range(0, len(whole), pieces):
            writer.write(whole[start : start + pieces])
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()

    async def play() -> None:
        async with RawServer(handler) as server:
            browser = Browser(server.url)
            assert (await browser.request("GET", "/")).body == b"hello"
            browser.close()

    asyncio.run(play())


@pytest.mark.parametrize("answer", [b"hello\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"])
def test_nonsense_is_a_failure(answer: bytes) -> None:
    async def play() -> None:
        async with RawServer(answering(answer)) as server:
            with pytest.raises(RequestFailed) as failed:
                await Browser(server.url).request("GET", "/")
            assert failed.value.kind == "malformed"

    asyncio.run(play())


def test_cookies_are_kept_for_their_age() -> None:
    first = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2; Max-Age=60\r\nContent-Length: 0\r\n\r\n"
    second = b"HTTP/1.1 200 OK\r\nSet-Cookie: b=; Max-Age=0\r\nContent-Length: 0\r\n\r\n"

    async def play() -> None:
        async with RawServer(answering(first, second)) as server:
            browser = Browser(server.url)
            for _ in range(3):
                await browser.request("GET", "/")
            assert b"Cookie" not in server.requests[0]
            assert b"Cookie: a=1; b=2\r\n" in server.requests[1]
            assert b"Cookie: a=1\r\n" in server.requests[2]
            browser.close()

    asyncio.run(play())
