"""Shifting reads with a real Caddy: who is read from where, and for how long."""

from __future__ import annotations

import time
import uuid

import pytest

from crossfade.errors import SpecError
from crossfade.routers.caddy_config import BUCKET_COOKIE, READER, WROTE_COOKIE, percent, threshold
from crossfade.stores.base import Side
from tests.routers.router_scene import Background, Scene, eventually

CLIENTS = [f"{(2 * n + 1) * 2**32 // 400:08x}-0000-4000-8000-000000000000" for n in range(200)]
"""200 clients whose buckets lie evenly, so that proportions are exact."""


def shifted(scene: Scene, clients: list[str]) -> set[str]:
    """Those that are read from the new side."""
    return {
        client
        for client in clients
        if scene.ask("GET", "/items/1", headers={"Cookie": f"{BUCKET_COOKIE}={client}"}).body == b"new"
    }


def test_shift_takes_its_share_is_sticky_and_only_grows(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    before: set[str] = set()
    for share in (0, 0.5, 10, 50, 100):
        router.shift(share)
        assert router.state().reads_percent == pytest.approx(share)
        now = shifted(scene, CLIENTS)
        assert len(now) == 2 * share
        assert now >= before, "a greater share keeps those it had"
        before = now
    router.shift(10)
    assert shifted(scene, CLIENTS) == shifted(scene, CLIENTS) == set(CLIENTS[:20])
    router.shift(0)
    assert shifted(scene, CLIENTS) == set()


def test_buckets_given_by_the_router_are_spread_evenly(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    buckets = []
    for _ in range(400):
        cookie = scene.ask("GET", "/items/1").cookie(BUCKET_COOKIE)
        assert cookie is not None
        buckets.append(cookie.split(";")[0].partition("=")[2])
    assert all(uuid.UUID(bucket).version == 4 for bucket in buckets)
    share = sum(bucket < threshold(25) for bucket in buckets) / len(buckets)
    assert 0.15 < share < 0.35


def test_bucket_cookie_is_set_once_and_is_a_cookie_for_long(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    answer = scene.ask("GET", "/anything")
    cookie = answer.cookie(BUCKET_COOKIE)
    assert cookie is not None
    for part in ("; HttpOnly", "; SameSite=Lax", "; Path=/", "; Max-Age=34560000"):
        assert part in cookie
    assert answer.cookie("app") == "app=1", "the app's own cookie is kept"
    again = scene.ask("GET", "/anything", headers={"Cookie": cookie.split(";")[0]})
    assert again.cookie(BUCKET_COOKIE) is None


def test_client_without_cookie_is_read_from_the_leader_unless_all_are_shifted(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    for share, expected in ((0, b"old"), (99.99, b"old"), (100, b"new")):
        router.shift(share)
        assert scene.ask("GET", "/items/1").body == expected


def test_only_reads_of_read_only_paths_are_shifted(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    router.shift(100)
    assert scene.ask("GET", "/items/1").body == b"new"
    assert scene.ask("HEAD", "/items/2").status == 200
    assert scene.new.paths() == ["/items/1", "/items/2"]
    assert scene.ask("GET", "/orders/1").body == b"old"
    assert scene.ask("POST", "/items/1", "x").body == b"old"
    assert scene.ask("DELETE", "/items/1").body == b"old"


def test_paths_match_as_documented(scene: Scene) -> None:
    router = scene.router(read_only_paths=["/exact", "/items/*", "/shops/*/items"])
    router.start()
    router.release(Side.OLD)
    router.shift(100)
    for path in ("/exact", "/EXACT", "/items/1", "/items/1/2", "/shops/1/items", "/exact?a=1"):
        assert scene.ask("GET", path).body == b"new", path
    for path in (
        "/exact/1",
        "/items",
        "/shops/1/orders",
        "/shops/1/2/items",
        "/items/../orders",
        "/items/%2e%2e/orders",
    ):
        assert scene.ask("GET", path).body == b"old", path


def test_who_wrote_is_read_from_the_leader_for_a_while(scene: Scene) -> None:
    router = scene.router(lag_limit=2.2, detection=1.0)
    router.start()
    router.release(Side.OLD)
    router.shift(100)
    answer = scene.ask("POST", "/orders", "x")
    cookie = answer.cookie(WROTE_COOKIE)
    assert cookie is not None
    assert "; Max-Age=6;" in cookie, "2 × 2.2 + 1.0, rounded up"
    assert scene.ask("GET", "/items/1", headers={"Cookie": cookie.split(";")[0]}).body == b"old"
    assert scene.ask("GET", "/items/1").body == b"new"
    for method in ("GET", "HEAD", "OPTIONS"):
        assert scene.ask(method, "/orders").cookie(WROTE_COOKIE) is None
    # The write may have been done although its answer was an error or was lost.
    assert scene.ask("POST", "/fail", "x").cookie(WROTE_COOKIE) is not None
    assert scene.ask("POST", "/drop", "x").cookie(WROTE_COOKIE) is not None


def test_no_cookies_without_read_only_paths(scene: Scene) -> None:
    router = scene.router(read_only_paths=[])
    router.start()
    router.release(Side.OLD)
    answer = scene.ask("POST", "/items/1", "x")
    assert answer.cookie(BUCKET_COOKIE) is None
    assert answer.cookie(WROTE_COOKIE) is None
    router.hold()
    held = Background(scene, "GET", "/items/1")
    held.join(0.1)
    assert held.is_alive(), "by default reads are held too"
    router.release(Side.NEW)
    assert held.answer().body == b"new"


def test_reads_are_let_through_a_hold_and_follow_the_lead(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    router.hold()
    write = Background(scene, "POST", "/items/1", "x")
    read = scene.ask("GET", "/items/1")
    assert read.body == b"old"
    assert read.seconds < 0.5
    assert write.is_alive()
    router.release(Side.NEW)
    assert write.answer().body == b"new"
    assert scene.ask("GET", "/items/1").body == b"new"


def test_release_to_the_other_side_takes_the_shift_back_and_an_abort_keeps_it(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    router.shift(50)
    router.hold()
    router.release(Side.OLD)
    assert router.state().reads_percent == 50
    router.hold()
    router.release(Side.NEW)
    state = router.state()
    assert (state.leader, state.reads_percent) == (Side.NEW, 0.0)
    assert scene.ask("GET", "/items/1", headers={"Cookie": f"{BUCKET_COOKIE}=00"}).body == b"new"
    router.shift(100)
    assert scene.ask("GET", "/items/1").body == b"old", "now the old side follows"


def test_a_release_that_died_after_the_reads_is_told_and_the_next_one_mends_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    assert router.state().reads_from is Side.OLD

    class Killed(BaseException):
        pass

    write = router._write

    def dies_after_the_reads(name: str, text: str) -> None:
        write(name, text)
        if name == READER:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(router, "_write", dies_after_the_reads)
        with pytest.raises(Killed):
            router.release(Side.NEW)
    assert (router.state().leader, router.state().reads_from) == (Side.OLD, Side.NEW)
    assert scene.ask("GET", "/items/1").body == b"new"
    router.release(Side.OLD)
    assert (router.state().leader, router.state().reads_from) == (Side.OLD, Side.OLD)
    assert scene.ask("GET", "/items/1").body == b"old"


def test_missing_shift_file_shifts_nobody(scene: Scene) -> None:
    router = scene.router()
    router.start()
    router.release(Side.OLD)
    router.shift(100)
    (scene.directory / "shift").unlink()
    for headers in ({}, {"Cookie": f"{BUCKET_COOKIE}=00000000"}):
        assert scene.ask("GET", "/items/1", headers=headers).body == b"old"
    assert router.state().reads_percent == 0


def test_read_of_an_app_that_dies_after_receipt_is_not_asked_again(scene: Scene) -> None:
    router = scene.router(read_only_paths=["/drop", "/items/*"])
    router.start()
    router.release(Side.OLD)
    assert scene.ask("GET", "/drop").status == 502
    assert scene.old.paths() == ["/drop"]


def test_reads_in_flight_do_not_count_as_lead_traffic(scene: Scene) -> None:
    router = scene.router(read_only_paths=["/gate"])
    router.start()
    router.release(Side.OLD)
    read = Background(scene, "GET", "/gate")
    eventually(lambda: scene.old.received, "the read is being answered")
    write = Background(scene, "POST", "/gate", "x")
    eventually(lambda: len(scene.old.received) == 2, "and the write")
    assert router.in_flight(Side.OLD) == 1
    scene.old.gate.set()
    assert read.answer().status == write.answer().status == 200


def test_shifted_reads_are_counted_for_the_side_that_answered(scene: Scene) -> None:
    router = scene.router(read_only_paths=["/items/*", "/fail"])
    router.start()
    router.release(Side.OLD)
    begin = time.time()
    scene.ask("GET", "/items/1")
    router.shift(100)
    for path in ("/items/1", "/items/2", "/fail"):
        scene.ask("GET", path)
    scene.ask("POST", "/orders", "x")
    stats = eventually(
        lambda: sum(s.requests for s in router.stats(begin).values()) == 5 and router.stats(begin), "logged"
    )
    assert (stats[Side.OLD].requests, stats[Side.OLD].errors) == (2, 0)
    assert (stats[Side.NEW].requests, stats[Side.NEW].errors) == (3, 1)
    assert len(stats[Side.NEW].durations) == 3
    assert all(0 < took < 1 for took in stats[Side.NEW].durations)


@pytest.mark.parametrize("share", [0, 0.001, 1, 25, 33.3, 99.999, 100])
def test_threshold_and_percent_are_inverse(share: float) -> None:
    assert percent(threshold(share)) == pytest.approx(share, abs=1e-6)


def test_thresholds_grow_with_the_share() -> None:
    texts = [threshold(share / 10) for share in range(1001)]
    assert texts == sorted(set(texts))
    assert texts[0] == ""
    assert texts[-1] > "f" * 32


@pytest.mark.parametrize("share", [-1, 100.1, float("nan")])
def test_share_that_is_no_percentage_is_refused(share: float) -> None:
    with pytest.raises(SpecError, match="not a percentage"):
        threshold(share)
