"""While only one database answers, its word alone sends the router nowhere, and does not open it to writes."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from crossfade import recovery
from crossfade.errors import CrossfadeError, Refused
from crossfade.following import Follower
from crossfade.move import Move
from crossfade.stores.base import Side
from tests.e2e import scene as scenes
from tests.e2e.scene import ROOT, Scene, request, until
from tests.e2e.test_repair import away, begin_commit

pytestmark = pytest.mark.timeout(90)


@contextlib.contextmanager
def old_away(scene: Scene) -> Iterator[None]:
    """The old database's file is not where it was."""
    old = scene.folder / "old.db"
    old.rename(scene.folder / "away.db")
    try:
        yield
    finally:
        old.unlink(missing_ok=True)  # an application made an empty one
        (scene.folder / "away.db").rename(old)


def lead_taken_back_without_asking(scene: Scene, server: object) -> None:
    """The new side leads, its database goes away, the old side leads, the new database comes back."""
    with scene.move() as move:
        move.cutover()
    with away(scene.new_url, server), scene.move() as move:
        if "new" in scene.processes:
            scenes.end(scene.processes["new"])
        move.rollback(accept_loss=True)
    if "new" in scene.ports:
        scene.app("new")


def end_router(scene: Scene) -> None:
    pids = [
        connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == scene.port
    ]
    for pid in filter(None, pids):
        psutil.Process(pid).kill()
    with scene.move() as move:
        router = move.router
        assert router is not None
        until("the router is dead", lambda: not router.state().alive)


def write(scene: Scene, name: str) -> bool:
    """Whether a write through the router is acknowledged."""
    return request(scene.port, "POST", "/notes", {"id": name, "text": "x"})[0] == 201


def by_repair(move: Move) -> None:
    move.repair()


def by_follow(move: Move) -> None:
    follower = Follower(move)
    follower._look_after()


@pytest.mark.parametrize("look", [by_repair, by_follow])
@pytest.mark.parametrize("dead", [False, True], ids=["router lives", "router is dead"])
def test_a_side_that_lost_the_lead_does_not_get_it_back_by_being_the_only_one_that_answers(
    scene: Scene, postgres_server: object, look: Callable[[Move], None], dead: bool
) -> None:
    lead_taken_back_without_asking(scene, postgres_server)
    assert write(scene, "one")
    assert scene.can_write("new"), "it does not know yet"
    if dead:
        end_router(scene)
    with old_away(scene), scene.move() as move:
        look(move)
        assert not scene.can_write("new"), "whoever sees the evidence fences it"
        router = move.router
        assert router is not None
        assert (router.state().alive, router.state().leader) == (True, Side.OLD)
        assert not write(scene, "lost")
        said = "by the evidence the old side took the lead at epoch 2"
        assert any(said in trouble.what for trouble in move.status().troubles)
        assert not recovery.is_wrong(move.standing(), router, move.ledger), "it waits for the old database"
    with scene.move() as move:
        look(move)
        assert not recovery.is_wrong(move.standing(), move.router)
        assert move.standing().leader is Side.OLD
    assert write(scene, "two")
    assert {"one", "two"} <= set(scene.notes("old"))


def test_the_returned_side_is_not_fenced_by_the_evidence_of_a_move_that_was_begun_anew(
    bare: Scene, postgres_server: object
) -> None:
    lead_taken_back_without_asking(bare, postgres_server)
    with bare.move() as move:
        move.ledger.append("copy.done")
        with old_away(bare):
            move.repair()
            assert bare.can_write("new")


def test_a_lead_that_was_handed_over_whole_leaves_no_mark(bare: Scene) -> None:
    with bare.move() as move:
        move.cutover()
        move.rollback()
        move.cutover()
        with old_away(bare):
            move.repair()
            assert bare.can_write("new")


def test_without_the_evidence_the_router_stays_where_it_is(scene: Scene, postgres_server: object) -> None:
    """The ledger was lost; that the router was sent to the old side is all that is left."""
    lead_taken_back_without_asking(scene, postgres_server)
    (scene.folder / ".crossfade" / "ledger.jsonl").unlink()
    with old_away(scene), scene.move() as move:
        assert move.repair() == []
        assert not write(scene, "lost")
        troubles = [trouble for trouble in move.status().troubles if "the router" in trouble.what]
        assert ["alone could confirm" in trouble.what for trouble in troubles] == [True]
        assert not any(trouble.repairable for trouble in troubles)
        end_router(scene)
        assert "sends requests to the old side, as before" in move.repair()[0]
        assert not write(scene, "lost")


def test_a_held_router_is_released_by_the_only_row_that_answers_unless_it_was_succeeded(
    scene: Scene, postgres_server: object
) -> None:
    with scene.move() as move:
        router = move.router
        assert router is not None
        move.cutover()
        router.hold()
        with old_away(scene):
            assert move.repair() == ["the router sends requests to the new side"]
            assert write(scene, "one")
    with away(scene.new_url, postgres_server), scene.move() as move:
        scenes.end(scene.processes["new"])
        router = move.router
        assert router is not None
        router.hold()
        committed_and_died(move)
    scene.app("new")
    with old_away(scene), scene.move() as move:
        assert move.router is not None
        assert move.repair() == []
        assert move.router.state().held, "the old side may have taken the lead"
        assert any("may have taken the lead" in trouble.what for trouble in move.status().troubles)
    with scene.move() as move:
        assert "the new side follows at epoch 2" in move.repair()
    assert write(scene, "two")
    assert "two" in scene.notes("old")


def committed_and_died(move: Move) -> None:
    """What a rollback that accepts loss leaves when it and its watchdog die right after COMMIT."""
    state = move.standing().states[Side.OLD]
    assert state is not None
    move.ledger.append("switch.begun", to="old", epoch=state.epoch, verb="rollback", accept_loss=True)
    move.stores[Side.OLD].begin_attempt("notes", state.epoch, state.attempt + 1)
    move.stores[Side.OLD].note("notes", {recovery.UNHANDED: state.epoch + 1})
    move.stores[Side.OLD].lead("notes", state.epoch, state.attempt + 1)


def test_a_dead_router_starts_again_although_nobody_can_tell_who_leads(scene: Scene) -> None:
    """The rollback's coordinator died in COMMIT, and the old database is away."""
    with scene.move() as move:
        move.cutover()
        begin_commit(move)
        end_router(scene)
        with old_away(scene):
            with pytest.raises(Refused, match="does not answer"):
                move.repair()
            assert move.router is not None
            assert move.router.state().alive


def test_a_cutover_that_accepts_loss_is_the_way_out_when_the_old_database_is_gone(
    bare: Scene, tmp_path: Path
) -> None:
    with bare.move() as move:
        move.cutover()
        begin_commit(move)  # a rollback whose coordinator died in COMMIT
    (bare.folder / "old.db").rename(bare.folder / "gone.db")
    done = subprocess.run(
        [sys.executable, "-m", "crossfade", "doctor", "--spec", str(bare.spec)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    with bare.move() as move:
        if not bare.can_write("new"):
            assert move.cutover(accept_loss=True).epoch == 3
    assert bare.can_write("new")
    (bare.folder / "gone.db").rename(bare.folder / "old.db")
    with bare.move() as move:
        move.repair()
        found = move.standing()
        assert (found.leader, found.committed) == (Side.NEW, False)
    assert not bare.can_write("old")


def test_a_follower_takes_the_lead_when_the_leading_database_is_gone(bare: Scene) -> None:
    (bare.folder / "old.db").rename(bare.folder / "gone.db")
    with bare.move() as move:
        with pytest.raises(CrossfadeError, match="does not exist"):
            move.cutover()
        done = move.cutover(accept_loss=True)
        assert (done.to, done.epoch) == (Side.NEW, 1)
        assert "old side took" in done.maybe_lost
    assert bare.can_write("new")
    (bare.folder / "gone.db").rename(bare.folder / "old.db")
    assert bare.can_write("old"), "it does not know yet"
    with bare.move() as move:
        assert move.repair() == ["the old side follows at epoch 1"]
        assert not bare.can_write("old")
        state = move.standing().states[Side.OLD]
        assert state is not None
        assert state.verified_at is None
