"""Holding and releasing with a real Caddy: nothing fails, nothing is sent twice or too late."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import time

import pytest

from crossfade.routers.caddy_config import HELD
from crossfade.stores.base import Side
from tests.routers.router_scene import Background, Scene, eventually


def test_held_requests_wait_and_go_to_the_new_leader(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    assert scene.ask("POST", "/orders/0", "x").body == b"old"
    router.hold()
    assert router.state().held
    requests = scene.ask_many(20)
    quiet = time.monotonic() + 0.3
    eventually(lambda: time.monotonic() > quiet, "a while passes")
    assert len(scene.old.received) == 1
    assert scene.new.received == []
    router.release(Side.NEW)
    answers = [request.answer() for request in requests]
    assert {(a.status, a.body) for a in answers} == {(200, b"new")}
    assert sorted(scene.new.paths()) == sorted(f"/orders/{n}" for n in range(20))
    assert len(scene.old.received) == 1


def test_hold_under_load_fails_nobody_and_sends_nothing_to_the_old_side_after_release(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    released_at = 0.0
    failures: list[str] = []
    answered = 0

    async def client(until: float) -> None:
        nonlocal answered
        reader, writer = await asyncio.open_connection("127.0.0.1", scene.port)
        while time.monotonic() < until:
            writer.write(b"POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(3)
            answered += 1
            if not head.startswith(b"HTTP/1.1 200") or body not in (b"old", b"new"):
                failures.append(repr(head + body))
        writer.close()
        await writer.wait_closed()

    async def story() -> None:
        nonlocal released_at
        clients = [asyncio.create_task(client(time.monotonic() + 1.5)) for _ in range(30)]
        await asyncio.sleep(0.4)
        router.hold()
        while router.in_flight(Side.OLD) != 0 or router.in_flight(Side.OLD) != 0:
            await asyncio.sleep(0.002)
        drained = len(scene.old.received)
        await asyncio.sleep(0.3)
        assert len(scene.old.received) == drained, "the old side was sent a request in the hold"
        assert scene.new.received == []
        released_at = time.monotonic()
        router.release(Side.NEW)
        await asyncio.gather(*clients)

    asyncio.run(story())
    assert failures == []
    assert answered > 300
    assert len(scene.old.received) + len(scene.new.received) == answered, "each request is sent once"
    assert [r for r in scene.old.received if r.at >= released_at] == []
    assert len(scene.new.received) > 30


def test_expired_hold_is_refused_whole_with_503(scene: Scene) -> None:
    router = scene.router(hold_budget=0.0)
    router.start()
    router.release(Side.OLD)
    begin = time.time()
    router.hold()
    answer = scene.ask("POST", "/orders", "x")
    assert answer.status == 503
    assert answer.header("Retry-After") == "1"
    assert b"Nothing was executed" in answer.body
    assert 0.9 < answer.seconds < 1.5
    router.release(Side.OLD)
    assert scene.ask("POST", "/after", "x").status == 200
    assert scene.old.paths() == ["/after"]
    assert eventually(lambda: router.expired_holds(begin), "the expired hold is counted") == 1
    assert eventually(lambda: router.stats(begin)[Side.OLD].requests, "the later one is counted") == 1
    assert router.stats(begin)[Side.OLD].errors == 0
    assert router.expired_holds(time.time() + 1) == 0


@pytest.mark.parametrize("content", [None, "", HELD])
def test_missing_or_empty_leader_file_holds(scene: Scene, content: str | None) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    leader = scene.directory / "leader"
    if content is None:
        leader.unlink()
    else:
        leader.write_text(content)
    assert router.state().held
    request = Background(scene, "POST", "/orders", "x")
    request.join(0.2)
    assert request.is_alive()
    assert scene.old.received == []
    router.release(Side.NEW)
    assert request.answer().body == b"new"


def test_missing_leader_file_past_its_time_is_an_expired_hold_too(scene: Scene) -> None:
    router = scene.router(hold_budget=-0.7)
    router.start()
    (scene.directory / "leader").unlink()
    begin = time.time()
    assert scene.ask("POST", "/orders", "x").status == 503
    assert eventually(lambda: router.expired_holds(begin), "it is counted") == 1


def test_router_that_was_never_released_holds(scene: Scene) -> None:
    router = scene.router()
    router.start()
    state = router.state()
    assert (state.alive, state.held, state.leader, state.reads_percent) == (True, True, None, 0.0)
    request = Background(scene, "GET", "/anything")
    request.join(0.1)
    assert request.is_alive()
    router.release(Side.OLD)
    assert request.answer().body == b"old"
    assert router.state().leader is Side.OLD


def test_chunked_body_larger_than_the_buffer_is_held_and_delivered_whole(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    router.hold()
    piece = bytes(range(256)) * 256
    request = Background(scene, "POST", "/upload", (piece for _ in range(48)), chunked=True)
    request.join(0.5)
    assert request.is_alive()
    router.release(Side.NEW)
    assert request.answer().status == 200
    (received,) = scene.new.received
    assert len(received.body) == 3 * 2**20
    assert hashlib.sha256(received.body).digest() == hashlib.sha256(piece * 48).digest()
    assert scene.old.received == []


@pytest.mark.parametrize("size", [0, 10, 900_000])
def test_client_that_gives_up_while_held_is_not_delivered_later(scene: Scene, size: int) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    router.hold()
    begin = time.time()
    with socket.create_connection(("127.0.0.1", scene.port)) as gone:
        gone.sendall(b"POST /gone HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        quiet = time.monotonic() + 0.2
        eventually(lambda: time.monotonic() > quiet, "the request is taken in")
    log = scene.directory / "access.log"
    eventually(lambda: '"/gone"' in log.read_text(), "Caddy notices that the client has gone")
    router.release(Side.NEW)
    assert scene.ask("POST", "/here", "x").status == 200
    assert scene.new.paths() == ["/here"]
    assert scene.old.received == []
    stats = eventually(lambda: router.stats(begin)[Side.NEW].requests and router.stats(begin), "logged")
    assert (stats[Side.OLD].requests, stats[Side.NEW].requests) == (0, 1)
    assert router.expired_holds(begin) == 0


@pytest.mark.parametrize(
    ("method", "body", "headers"),
    [
        ("POST", "x", {}),
        ("POST", None, {"Idempotency-Key": "k"}),
        ("PUT", "x", {"X-Idempotency-Key": "k"}),
        ("DELETE", None, {"Idempotency-Key": "k"}),
        ("GET", None, {}),
    ],
)
def test_app_that_dies_after_receipt_is_not_asked_again(
    scene: Scene, method: str, body: str | None, headers: dict[str, str]
) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    # Earlier answers would leave idle connections behind, were they kept.
    for _ in range(3):
        assert scene.ask("GET", "/warm").status == 200
    begin = time.time()
    answer = scene.ask(method, "/drop", body, headers)
    assert answer.status == 502
    assert scene.old.paths().count("/drop") == 1
    assert answer.seconds < 1
    stats = eventually(lambda: router.stats(begin)[Side.OLD].requests and router.stats(begin), "logged")
    assert stats[Side.OLD].errors == 1, "an app that dies is that side's error"
    assert router.expired_holds(begin) == 0


def test_app_that_is_down_is_that_sides_error_and_no_expired_hold(scene: Scene) -> None:
    router = scene.router(hold_budget=-0.7)
    router.start()
    router.release(Side.OLD)
    scene.old.stop()
    begin = time.time()
    answer = scene.ask("POST", "/orders", "x")
    assert answer.status == 502
    assert answer.header("Retry-After") is None
    stats = eventually(lambda: router.stats(begin)[Side.OLD].requests and router.stats(begin), "logged")
    assert (stats[Side.OLD].requests, stats[Side.OLD].errors) == (1, 1)
    assert router.expired_holds(begin) == 0


def test_in_flight_counts_the_lead_address_of_one_side(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    assert router.in_flight(Side.OLD) == 0
    requests = [Background(scene, "POST", "/gate", "x") for _ in range(3)]
    reads = Background(scene, "GET", "/items/1")
    assert reads.answer().body == b"old"
    eventually(lambda: router.in_flight(Side.OLD) == 3, "three are in flight")
    assert router.in_flight(Side.NEW) == 0
    router.hold()
    held = Background(scene, "POST", "/late", "x")
    held.join(0.1)
    assert router.in_flight(Side.OLD) == 3, "a held request is not in flight"
    scene.old.gate.set()
    assert {request.answer().status for request in requests} == {200}
    eventually(lambda: router.in_flight(Side.OLD) == 0, "drained")
    router.release(Side.NEW)
    assert held.answer().body == b"new"


def test_in_flight_forgets_a_client_that_has_gone_although_its_handler_runs(scene: Scene) -> None:
    """Why 0 in flight is a courtesy, and only the fence proves that nobody writes."""
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    with socket.create_connection(("127.0.0.1", scene.port)) as gone:
        gone.sendall(b"POST /gate HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
        eventually(lambda: router.in_flight(Side.OLD) == 1 and scene.old.received, "it is in flight")
    eventually(lambda: router.in_flight(Side.OLD) == 0, "it no longer counts")
    assert not scene.old.gate.is_set()
    assert scene.old.paths() == ["/gate"]


def test_in_flight_is_unknown_without_caddy(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.stop()
    assert router.in_flight(Side.OLD) is None
    assert not router.state().alive


def test_keep_alive_connection_survives_hold_and_release(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    with socket.create_connection(("127.0.0.1", scene.port)) as client:
        stream = client.makefile("rb")
        for leader in (Side.OLD, Side.NEW, Side.OLD):
            router.hold()
            router.release(leader)
            client.sendall(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            while stream.readline() not in (b"\r\n", b""):
                pass
            assert stream.read(3).decode() == leader
        stream.close()


def upgraded(scene: Scene, path: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", scene.port))
    client.settimeout(10)
    client.sendall(
        b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" % path.encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        try:
            byte = client.recv(1)
        except OSError:
            client.close()
            raise
        if not byte:
            client.close()
            raise ConnectionResetError
        head += byte
    assert head.startswith(b"HTTP/1.1 101")
    return client


def reconnected(scene: Scene) -> socket.socket | None:
    try:
        return upgraded(scene, "/live")
    except ConnectionResetError:
        return None  # by the old listener, which closes


def test_websocket_stays_with_the_old_app_until_streams_are_closed(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    # A read-only path, too: a conversation is not a read, so it must be counted as lead traffic.
    with upgraded(scene, "/items/live") as client:
        eventually(lambda: router.in_flight(Side.OLD) == 1, "the open WebSocket counts")
        router.hold()
        router.release(Side.NEW)
        client.sendall(b"x")
        assert client.recv(100) == b"old:x"
        assert router.in_flight(Side.OLD) == 1
        router.close_streams()
        rest = b"".join(iter(lambda: client.recv(100), b""))
        assert b"\x88\x02\x03\xe9" in rest, "Caddy says goodbye: 1001, going away"
        eventually(lambda: router.in_flight(Side.OLD) == 0, "it no longer counts")
    with eventually(lambda: reconnected(scene), "the client connects again") as client:
        client.sendall(b"x")
        assert client.recv(100) == b"new:x"


def test_event_stream_stays_with_the_old_app_after_release(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    with socket.create_connection(("127.0.0.1", scene.port)) as client:
        client.settimeout(10)
        client.sendall(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        eventually(lambda: scene.old.streams == 1, "the stream is open")
        router.hold()
        router.release(Side.NEW)
        assert scene.ask("POST", "/x", "x").body == b"new"
        assert router.in_flight(Side.OLD) == 1
        got = b""
        until = time.monotonic() + 10
        while b"data: old" not in got[-200:] and time.monotonic() < until:
            got += client.recv(1000)
        assert b"data: old" in got
    eventually(lambda: scene.old.streams == 0, "the client's end ends the stream")
