"""The router does what the databases say: seen by the doctor, mended by a repair, never by an old look."""

from __future__ import annotations

import pytest

from crossfade import recovery
from crossfade.errors import LeaseHeld, Refused
from crossfade.lease import Held
from crossfade.move import Move
from crossfade.routers.caddy import CaddyRouter
from crossfade.routers.caddy_config import READER
from crossfade.stores.base import Side
from tests.e2e.scene import Scene
from tests.e2e.test_one_answer import end_router, write

pytestmark = pytest.mark.timeout(90)


def test_reads_that_go_to_the_other_side_after_a_release_that_was_killed_are_mended(scene: Scene) -> None:
    with scene.move() as move:
        router = move.router
        assert isinstance(router, CaddyRouter)
        router._write(READER, router._spelt(READER, Side.NEW))
        assert (router.state().leader, router.state().reads_from) == (Side.OLD, Side.NEW)
        assert [t.what for t in recovery.examine(move.standing(), router) if t.repairable] == [
            "the router sends reads to the new side, but old leads"
        ]
        assert move.repair() == ["the router sends requests to the old side"]
        assert router.state().reads_from is Side.OLD


def test_a_dead_router_is_started_by_what_stands_under_the_lease(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process cuts over, and the router dies, between this one's look and its lease."""
    demand = Move._demand_switchable
    looks: list[int] = []
    with scene.move() as move, scene.move() as other:

        def meanwhile(self: Move, *arguments: object) -> None:
            demand(self, *arguments)  # type: ignore[arg-type]
            if self is move and not looks:
                looks.append(1)
                other.cutover()
                end_router(scene)

        monkeypatch.setattr(Move, "_demand_switchable", meanwhile)
        with pytest.raises(Refused, match="leads already"):
            move.cutover()
        router = move.router
        assert router is not None
        assert router.state().leader is Side.NEW
        move.repair()
    assert write(scene, "one")


def test_a_dead_router_is_left_to_the_switch_that_is_at_work(scene: Scene) -> None:
    with scene.move() as move:
        states = move.standing().states
        end_router(scene)
        with Held(move.stores, states, "notes", "cutover", required=Side.NEW):
            with pytest.raises(LeaseHeld, match="cutover"):
                move.shift(0)
            assert move.router is not None
            assert not move.router.state().alive
        move.shift(0)
    assert write(scene, "one")
