"""Crossfade as a guest in somebody else's Caddy."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from crossfade.errors import RouterError
from crossfade.routers.caddy import CaddyRouter
from crossfade.routers.caddy_admin import Admin
from crossfade.routers.caddy_guest import _change
from crossfade.routers.caddy_process import binary
from crossfade.stores.base import Side
from tests.routers.router_scene import Background, Scene, eventually, free_port


@dataclass
class Host:
    """A Caddy of somebody else's: one server that greets, another one beside it, its own log."""

    admin: Admin
    other_port: int

    def config(self) -> Any:
        return self.admin.request("GET", "/config/")[0]


def greeting(port: int, text: str) -> dict[str, Any]:
    return {
        "listen": [f"127.0.0.1:{port}"],
        "routes": [{"handle": [{"handler": "static_response", "body": text}]}],
        "automatic_https": {"disable": True},
    }


def serve(folder: Path, scene: Scene, user: str | None = None) -> tuple[subprocess.Popen[bytes], Host]:
    admin = Admin(f"127.0.0.1:{free_port()}")
    other = free_port()
    scene.reloads = True
    config = {
        "admin": {"listen": admin.address, "config": {"persist": False}},
        "storage": {"module": "file_system", "root": str(folder / "storage")},
        "apps": {
            "http": {"servers": {"main": greeting(scene.port, "host"), "other": greeting(other, "other")}}
        },
    }
    file = folder / "host.json"
    file.write_text(json.dumps(config))
    with (folder / "host.log").open("wb") as log:
        process = subprocess.Popen(
            [binary(), "run", "--config", str(file)],
            stdout=log,
            stderr=log,
            user=user,
            env=os.environ | {"HOME": str(folder)},
        )
    try:
        eventually(admin.answers, "the host starts")
    except AssertionError:
        process.kill()
        process.wait(10)
        raise
    return process, Host(admin, other)


@pytest.fixture
def host(tmp_path: Path, scene: Scene) -> Iterator[Host]:
    process, made = serve(tmp_path, scene)
    try:
        yield made
    finally:
        for router in scene.routers:
            router.stop()
        scene.routers.clear()
        process.terminate()
        process.wait(30)


def guest(scene: Scene, host: Host, **changed: Any) -> CaddyRouter:
    return scene.router(admin=f"http://{host.admin.address}", owned=False, **changed)


def test_guest_holds_releases_shifts_and_leaves_without_a_trace(scene: Scene, host: Host) -> None:
    before = host.config()
    assert scene.ask("GET", "/x").body == b"host"
    router = guest(scene, host)
    assert not router.state().alive
    router.start()
    assert router.state().alive
    router.release(Side.OLD)
    begin = time.time()
    assert scene.ask("POST", "/orders", "x").body == b"old"
    router.hold()
    requests = scene.ask_many(10)
    assert scene.ask("GET", "/items/1").body == b"old"
    assert {request.is_alive() for request in requests} == {True}
    router.release(Side.NEW)
    assert {request.answer().body for request in requests} == {b"new"}
    router.shift(100)
    assert scene.ask("GET", "/items/1").body == b"old"
    stats = eventually(lambda: router.stats(begin)[Side.NEW].requests == 10 and router.stats(begin), "logged")
    assert stats[Side.OLD].requests == 3
    router.stop()
    assert not router.state().alive
    assert scene.ask("GET", "/x").body == b"host"
    assert host.config() == before


def test_guest_touches_nothing_else(scene: Scene, host: Host) -> None:
    before = host.config()
    guest(scene, host).start()
    after = host.config()
    servers = after["apps"]["http"]["servers"]
    (name,) = set(servers) - {"main", "other"}
    assert servers["other"] == before["apps"]["http"]["servers"]["other"]
    assert servers["main"]["routes"][1:] == before["apps"]["http"]["servers"]["main"]["routes"]
    assert servers["main"]["routes"][0]["@id"] == name
    assert set(after["logging"]["logs"]) == {name, "default"}
    assert after["logging"]["logs"]["default"] == {"exclude": [f"http.log.access.{name}"]}
    assert after["admin"] == before["admin"]


def test_guest_started_twice_is_there_once_and_reloads_nothing(scene: Scene, host: Host) -> None:
    guest(scene, host).start()
    once = host.config()
    with socket.create_connection(("127.0.0.1", host.other_port)) as idle:
        guest(scene, host).start()
        assert host.config() == once
        idle.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        assert idle.recv(15) == b"HTTP/1.1 200 OK", "an idle connection is left alone"


def test_guest_comes_back_after_the_host_was_given_another_configuration(scene: Scene, host: Host) -> None:
    before = host.config()
    router = guest(scene, host)
    router.start()
    router.release(Side.NEW)
    host.admin.request("POST", "/load", before)
    assert not router.state().alive
    assert scene.ask("GET", "/x").body == b"host"
    router.start()
    state = router.state()
    assert (state.alive, state.leader) == (True, Side.NEW)
    assert scene.ask("GET", "/x").body == b"new"


def test_change_that_somebody_makes_meanwhile_is_kept(scene: Scene, host: Host) -> None:
    storage = host.config()["storage"]
    looks = 0

    def edit(config: dict[str, Any]) -> dict[str, Any]:
        nonlocal looks
        looks += 1
        if looks == 1:
            host.admin.request("POST", "/config/storage", storage | {"root": storage["root"] + "-theirs"})
        config["apps"]["http"]["grace_period"] = 1_000_000_000
        return config

    _change(host.admin, edit)
    assert looks == 2
    assert host.config()["storage"]["root"].endswith("-theirs")
    assert host.config()["apps"]["http"]["grace_period"] == 1_000_000_000


def test_two_guests_do_not_disturb_each_other(scene: Scene, host: Host) -> None:
    first = guest(scene, host)
    first.start()
    first.release(Side.OLD)
    second = guest(
        scene, host, directory=scene.directory.with_name("second"), listen=f"127.0.0.1:{host.other_port}"
    )
    second.start()
    second.release(Side.NEW)
    assert scene.ask("GET", "/x").body == b"old"
    first.stop()
    assert scene.ask("GET", "/x").body == b"host"
    assert second.state().alive
    scene.port = host.other_port
    assert scene.ask("GET", "/x").body == b"new"


def test_guest_refuses_whole_when_a_hold_expires_and_forgets_who_gave_up(scene: Scene, host: Host) -> None:
    router = guest(scene, host, hold_budget=0.0)
    router.start()
    router.release(Side.OLD)
    begin = time.time()
    router.hold()
    with socket.create_connection(("127.0.0.1", scene.port)) as gone:
        gone.sendall(b"POST /gone HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
        assert scene.ask("POST", "/y", "x").status == 503
    router.release(Side.OLD)
    assert scene.ask("POST", "/here", "x").status == 200
    assert scene.old.paths() == ["/here"]
    eventually(lambda: router.expired_holds(begin), "the expired hold is counted")


def test_guest_app_that_dies_after_receipt_is_not_asked_again(scene: Scene, host: Host) -> None:
    router = guest(scene, host)
    router.start()
    router.release(Side.OLD)
    for method in ("GET", "POST", "DELETE"):
        assert scene.ask(method, "/drop", None, {"Idempotency-Key": "k"}).status == 502
    assert len(scene.old.received) == 3


def test_app_behind_a_guest_learns_the_client(scene: Scene, host: Host) -> None:
    router = guest(scene, host)
    router.start()
    router.release(Side.OLD)
    scene.ask("POST", "/x", "x", {"Host": "shop.example", "X-Forwarded-For": "6.6.6.6"})
    headers = scene.old.received[0].headers
    assert headers["host"] == "shop.example"
    assert "6.6.6.6" not in headers["x-forwarded-for"]
    assert headers["x-forwarded-for"].startswith("127.0.0.1")
    assert headers["x-forwarded-host"] == "shop.example"


def test_host_that_does_not_listen_there_is_named_with_what_it_has(scene: Scene, host: Host) -> None:
    before = host.config()
    with pytest.raises(RouterError, match=r"0 of Caddy's servers listen on :1 .*main: 127\.0\.0\.1:"):
        guest(scene, host, listen=":1").start()
    assert host.config() == before


def test_wildcard_listen_finds_the_server_of_that_port(scene: Scene, host: Host) -> None:
    router = guest(scene, host, listen=f":{scene.port}")
    router.start()
    router.release(Side.OLD)
    assert scene.ask("GET", "/x").body == b"old"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to start a process of another user")
def test_host_of_another_user(scene: Scene) -> None:
    folder = Path(tempfile.mkdtemp(prefix="cfg", dir="/tmp"))
    shutil.chown(folder, "nobody")
    folder.chmod(0o755)
    directory = folder / "router"
    directory.mkdir()
    shutil.chown(directory, "nobody")
    try:
        process, made = serve(folder, scene, user="nobody")
        previous = os.umask(0o077)
        try:
            router = guest(scene, made, directory=directory)
            router.start()
            router.release(Side.OLD)
            request = Background(scene, "POST", "/x", "x")
            assert request.answer().body == b"old"
            assert (directory / "access.log").stat().st_mode & 0o044 == 0o044
            router.stop()
        finally:
            os.umask(previous)
            process.terminate()
            process.wait(30)
    finally:
        shutil.rmtree(folder)
