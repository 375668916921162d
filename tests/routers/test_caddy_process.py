"""The router as a process: it outlives its starter, is found again, and is told new settings."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import psutil
import pytest

from crossfade.errors import RouterError, SpecError
from crossfade.routers.caddy_admin import Admin, local_endpoint
from crossfade.stores.base import Side
from tests.routers.router_scene import App, Background, Scene, eventually, free_port


def pid(scene: Scene) -> int:
    return int(json.loads((scene.directory / "router.json").read_text())["pid"])


STARTER = """
import sys, time
from pathlib import Path
from crossfade.routers.caddy import CaddyRouter
from crossfade.stores.base import Side
directory, listen, old, new = sys.argv[1:]
router = CaddyRouter(Path(directory), listen, old, new, read_only_paths=["/items/*"], hold_budget=3.0, lag_limit=2.0)
router.start()
router.release(Side.OLD)
print("started", flush=True)
time.sleep(60)
"""


def test_killing_the_starter_and_its_group_leaves_caddy_serving(scene: Scene) -> None:
    router = scene.router()
    arguments = [str(scene.directory), f"127.0.0.1:{scene.port}", scene.old.url, scene.new.url]
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, *arguments], stdout=subprocess.PIPE, start_new_session=True
    ) as starter:
        assert starter.stdout is not None
        try:
            assert starter.stdout.readline() == b"started\n"
        finally:
            os.killpg(starter.pid, signal.SIGKILL)
    assert scene.ask("POST", "/orders", "x").body == b"old"
    assert router.state().alive
    assert psutil.Process(pid(scene)).ppid() != os.getpid()
    assert os.getsid(pid(scene)) not in (os.getsid(0), starter.pid)
    # Another process goes on with it.
    router.hold()
    request = Background(scene, "POST", "/orders", "x")
    router.release(Side.NEW)
    assert request.answer().body == b"new"


def test_second_start_finds_the_first(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    first = pid(scene)
    with socket.create_connection(("127.0.0.1", scene.port)) as idle:
        router.start()
        other = scene.router()
        other.start()
        assert pid(scene) == first
        assert other.state() == router.state()
        assert other.state().leader is Side.OLD
        idle.sendall(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        assert idle.recv(15) == b"HTTP/1.1 200 OK", "an idle connection is left alone"


def test_lost_record_is_made_again_from_the_living_process(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    first = pid(scene)
    (scene.directory / "router.json").unlink()
    other = scene.router()
    scene.reloads = True
    other.start()
    assert pid(scene) == first
    assert other.state().alive
    assert scene.ask("POST", "/x", "x").body == b"old"


def test_restart_after_a_crash_goes_on_where_it_was(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.release(Side.NEW)
    router.shift(30)
    first = pid(scene)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: not router.state().alive, "the death is noticed")
    router.start()
    assert pid(scene) != first
    state = router.state()
    assert (state.alive, state.held, state.leader) == (True, False, Side.NEW)
    assert state.reads_percent == pytest.approx(30)
    assert scene.ask("POST", "/x", "x").body == b"new"


def test_number_used_again_by_a_process_as_young_is_not_mistaken_for_ours(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.stop()
    path = scene.directory / "router.json"
    record = json.loads(path.read_text())
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            started = psutil.Process(other.pid).create_time()
            path.write_text(json.dumps(record | {"pid": other.pid, "started": started}))
            assert not router.state().alive
            router.stop()
            assert other.poll() is None, "it is not ours to end"
            router.start()
            assert pid(scene) != other.pid
        finally:
            other.kill()


def test_stop_ends_the_process_and_keeps_the_files(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    first = pid(scene)
    router.stop()
    assert not psutil.pid_exists(first) or psutil.Process(first).status() == psutil.STATUS_ZOMBIE
    state = router.state()
    assert (state.alive, state.held, state.leader) == (False, False, Side.OLD)
    router.stop()


def test_changed_settings_are_loaded_into_the_living_process(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    first, port = pid(scene), scene.port
    scene.port = free_port()
    third = App("third")
    try:
        moved = scene.router(old=third.url)
        scene.reloads = True
        with caplog.at_level(logging.WARNING):
            moved.start()
        assert "settings have changed" in caplog.text
        assert pid(scene) == first
        assert scene.ask("POST", "/x", "x").body == b"third", "old still leads, at its new address"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
        assert moved.in_flight(Side.OLD) == 0
        moved.release(Side.NEW)
        assert scene.ask("POST", "/x", "x").body == b"new"
    finally:
        third.stop()


def test_swapped_addresses_keep_their_sides(scene: Scene) -> None:
    scene.router().start()
    scene.router().release(Side.OLD)
    swapped = scene.router(old=scene.new.url, new=scene.old.url)
    scene.reloads = True
    swapped.start()
    assert swapped.state().leader is Side.OLD
    assert scene.ask("POST", "/x", "x").body == b"new", "that is where the old side is now"
    back = scene.router()
    back.release(Side.OLD)
    back.start()
    assert back.state().leader is Side.OLD
    assert scene.ask("POST", "/x", "x").body == b"old"


def test_release_before_the_first_start_is_kept(scene: Scene) -> None:
    router = scene.router()
    router.release(Side.NEW)
    router.start()
    assert scene.ask("POST", "/x", "x").body == b"new"


def test_taken_port_is_refused_and_not_shared(scene: Scene) -> None:
    first = scene.router()
    first.start()
    second = scene.router(directory=scene.directory.with_name("second"))
    with pytest.raises(RouterError, match="something else listens there"):
        second.start()
    assert not second.state().alive
    assert first.state().alive


LOCKER = """
import os, signal, sys
from pathlib import Path
from crossfade.routers.caddy import CaddyRouter
directory, listen, old, new = sys.argv[1:]
router = CaddyRouter(Path(directory), listen, old, new, read_only_paths=[], hold_budget=3.0, lag_limit=2.0)
with router._alone():
    os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_process_that_is_stopped_while_it_starts_the_router_does_not_hang_the_next(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crossfade.routers.caddy.LOCK_SECONDS", 0.3)
    router = scene.router()
    scene.directory.mkdir()
    arguments = [str(scene.directory), f"127.0.0.1:{scene.port}", scene.old.url, scene.new.url]
    with subprocess.Popen([sys.executable, "-c", LOCKER, *arguments]) as stopped:
        try:
            process = psutil.Process(stopped.pid)
            eventually(lambda: process.status() == psutil.STATUS_STOPPED, "it is stopped")
            with pytest.raises(
                RouterError, match=rf"process {stopped.pid} .*stopped.*for more than"
            ) as error:
                router.start()
            assert "lock" in error.value.where
        finally:
            stopped.kill()
    router.start()  # the lock went with the process
    assert router.state().alive
    assert (scene.directory / "lock").read_text() == ""


def test_two_processes_that_start_at_once_wait_for_each_other(scene: Scene) -> None:
    routers = [scene.router(), scene.router()]
    threads = [threading.Thread(target=router.start) for router in routers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert routers[0].state() == routers[1].state()
    assert routers[1].state().alive


def test_caddys_own_words_are_in_the_error_when_it_does_not_start(scene: Scene) -> None:
    (scene.directory / "access.log").mkdir(parents=True)
    with pytest.raises(RouterError, match=r"Caddy did not start.*is a directory"):
        scene.router().start()


def test_caddys_own_words_are_in_the_error_when_it_refuses_new_settings(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    with pytest.raises(RouterError, match=r"Caddy refuses POST /load \(400\).*nonsense"):
        scene.router(trusted_proxies=["nonsense"]).start()
    assert scene.ask("POST", "/x", "x").body == b"old", "it goes on as it was"


def test_directory_too_deep_for_a_socket_uses_a_loopback_port(scene: Scene) -> None:
    deep = scene.directory / ("d" * 60) / ("e" * 60)
    router = scene.router(directory=deep)
    router.start()
    router.release(Side.OLD)
    assert json.loads((deep / "router.json").read_text())["admin"].startswith("127.0.0.1:")
    assert router.in_flight(Side.OLD) == 0
    assert scene.ask("POST", "/x", "x").body == b"old"
    scene.router(directory=deep).start()


def test_directory_with_blanks_and_quotes(scene: Scene) -> None:
    router = scene.router(directory=scene.directory / 'it\'s a "router" $HOME ü')
    router.start()
    router.release(Side.OLD)
    assert scene.ask("POST", "/x", "x").body == b"old"
    assert router.in_flight(Side.OLD) == 0


def test_admin_endpoint_and_files_are_for_the_owner_only(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    headers = {"Cookie": "a=secret-1", "Authorization": "secret-2", "X-Api-Key": "secret-3"}
    scene.ask("POST", "/x?token=secret-in-query", "x", headers)
    eventually(lambda: router.stats(0)[Side.OLD].requests, "logged")
    assert scene.directory.stat().st_mode & 0o077 == 0
    for path in scene.directory.glob("*.log*"):
        assert path.stat().st_mode & 0o077 == 0
        assert "secret" not in path.read_text()


def test_log_says_why_an_answer_failed(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    scene.ask("POST", "/drop?token=secret-in-query", "x")
    eventually(lambda: router.stats(0)[Side.OLD].requests, "logged")
    (line,) = (scene.directory / "access.log").read_text().splitlines()
    entry = json.loads(line)
    assert (entry["request"]["uri"], entry["status"], entry["error"]) == ("/drop", 502, "EOF")


def test_app_learns_the_client_and_the_host(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    scene.ask("POST", "/x", "x", {"Host": "shop.example", "X-Forwarded-For": "6.6.6.6"})
    headers = scene.old.received[0].headers
    assert headers["host"] == "shop.example"
    assert headers["x-forwarded-for"] == "127.0.0.1", "what an untrusted client claims is dropped"
    trusting = scene.router(trusted_proxies=["127.0.0.1/32"])
    scene.reloads = True
    trusting.start()
    scene.ask("POST", "/x", "x", {"X-Forwarded-For": "6.6.6.6"})
    assert scene.old.received[1].headers["x-forwarded-for"] == "6.6.6.6, 127.0.0.1"


def test_a_host_name_is_served_with_https(scene: Scene) -> None:
    import ssl

    router = scene.router(listen=f"shop.localhost:{scene.port}")
    router.start()
    router.release(Side.OLD)
    root = scene.directory / "certificates" / "pki" / "authorities" / "local" / "root.crt"
    eventually(root.exists, "the authority is made")
    context = ssl.create_default_context(cafile=str(root))

    def answer() -> bytes:
        try:
            with (
                socket.create_connection(("127.0.0.1", scene.port)) as plain,
                context.wrap_socket(plain, server_hostname="shop.localhost") as client,
            ):
                client.settimeout(10)
                client.sendall(b"POST /x HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n")
                return b"".join(iter(lambda: client.recv(1000), b""))
        except ssl.SSLError:
            return b""  # the certificate is not there yet

    assert eventually(answer, "it answers with a certificate").endswith(b"old")
    assert scene.old.received[0].headers["x-forwarded-proto"] == "https"


def test_nobody_at_the_admin_endpoint_is_a_router_error(scene: Scene) -> None:
    with pytest.raises(RouterError, match="Caddy does not answer"):
        Admin(f"127.0.0.1:{free_port()}").request("GET", "/config/")
    with pytest.raises(RouterError, match="never started"):
        scene.router()._admin({})
    with pytest.raises(SpecError, match="admin endpoint"):
        Admin("nonsense")
    assert local_endpoint(scene.directory, "a.sock") == f"unix/{scene.directory}/a.sock"


def test_directory_that_cannot_be_written_is_a_router_error(scene: Scene) -> None:
    scene.directory.write_text("a file is in the way")
    router = scene.router(directory=scene.directory / "router")
    with pytest.raises(RouterError, match="cannot be told"):
        router.hold()
    with pytest.raises(RouterError, match="cannot be told"):
        router.start()
    scene.routers.clear()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"new": "http://127.0.0.1:1", "old": "http://127.0.0.1:1"}, "same address"),
        ({"old": "https://127.0.0.1:1"}, "not the address of an app"),
        ({"old": "http://127.0.0.1:1/path"}, "not the address of an app"),
        ({"old": "http://127.0.0.1:port"}, "not the address of an app"),
        ({"listen": "127.0.0.1"}, "not an address to listen on"),
        ({"listen": "http://127.0.0.1:80"}, "not an address to listen on"),
        ({"listen": ""}, "not an address to listen on"),
        ({"read_only_paths": ["items/*"]}, "not a path"),
        ({"owned": False}, "found by its admin endpoint"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    scene: Scene, changed: dict[str, object], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        scene.router(**changed)


def test_stats_read_the_log_of_earlier_processes_too(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    begin = time.time()
    scene.ask("POST", "/x", "x")
    router.stop()
    router.start()
    scene.ask("POST", "/x", "x")
    other = scene.router()
    eventually(lambda: other.stats(begin)[Side.OLD].requests == 2, "both are seen")


def test_stats_are_exact_across_caddys_own_rotation_and_the_log_stays_small(scene: Scene) -> None:
    router = scene.router()
    router._settings = dataclasses.replace(router._settings, log_bytes=2**20, log_files=2)
    router.start()
    router.release(Side.OLD)
    begin = time.time()
    path = "/x" + "y" * 8000
    for count in range(1, 451):
        scene.ask("POST", path, "x")
        if count % 90 == 0:
            eventually(lambda n=count: router.stats(begin)[Side.OLD].requests >= n * 0.5, "it is counted")
        if count == 200:  # more than one file, and none thrown away yet
            assert len(list(scene.directory.glob("access*.log"))) == 2
            eventually(lambda: router.stats(begin)[Side.OLD].requests == 200, "each is counted once")
            eventually(lambda: scene.router().stats(begin)[Side.OLD].requests == 200, "by a new reader too")
    files = eventually(
        lambda: len(found := list(scene.directory.glob("access*.log"))) <= 3 and found,
        "old files are thrown away",
    )
    assert sum(file.stat().st_size for file in files) < 4 * 2**20
