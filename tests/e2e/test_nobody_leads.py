"""Rows that say that nobody leads: a database was given up half way, restored to an earlier day, or replaced."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from crossfade import concession, recovery
from crossfade.cli import app
from crossfade.cli import follow as follow_verb
from crossfade.errors import CrossfadeError, Refused
from crossfade.following import Follower
from crossfade.stores.base import Side
from tests.e2e import scene as scenes
from tests.e2e.scene import Scene, request
from tests.e2e.test_repair import away, begin_commit

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(autouse=True)
def _as_polite_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process cannot take its politeness back, and the signals of `follow` are not for this one."""
    monkeypatch.setattr("os.nice", lambda _step: 0)
    monkeypatch.setattr(follow_verb.signal, "signal", lambda *_: None)


def crossfade(scene: Scene, *words: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the JSON answer of a verb."""
    done = CliRunner().invoke(app, [*words, "--json", "--spec", str(scene.spec)])
    return done.exit_code, json.loads(done.stdout)


def given_up_and_refused(scene: Scene, server: object) -> None:
    """A cutover died in COMMIT; the new database was given up, and then the old app did not answer."""
    with scene.move() as move:
        begin_commit(move)
    scenes.end(scene.processes["old"])
    with away(scene.new_url, server), scene.move() as move:
        with pytest.raises(Refused, match="does not answer"):
            move.rollback(accept_loss=True)
        assert any("given up" in trouble.what for trouble in move.status().troubles)
    scene.app("old")


def test_a_side_that_was_given_up_half_way_is_seen_and_repaired(
    scene: Scene, postgres_server: object
) -> None:
    given_up_and_refused(scene, postgres_server)
    assert not scene.can_write("old")
    assert not scene.can_write("new")
    code, said = crossfade(scene, "doctor")
    assert (code, said["healthy"]) == (1, False)
    assert said["troubles"][0]["repairable"]
    assert "no side leads" in said["troubles"][0]["what"]
    code, said = crossfade(scene, "status")
    assert (said["phase"], said["leader"]) == ("leaderless", None)
    code, said = crossfade(scene, "doctor", "--repair")
    assert "the old side leads again at epoch 2" in said["repaired"][0]
    assert request(scene.port, "POST", "/notes", {"id": "one", "text": "x"})[0] == 201
    assert not scene.can_write("new")


def test_follow_repairs_what_nobody_leads(scene: Scene, postgres_server: object) -> None:
    given_up_and_refused(scene, postgres_server)
    with scene.move() as move:
        Follower(move)._look_after()
        found = move.standing()
        assert (found.leader, found.phase) == (Side.OLD, "following")
        assert not recovery.is_wrong(found, move.router)
    assert scene.can_write("old")


def test_a_side_that_was_given_up_and_did_commit_leads_and_the_concession_is_forgotten(
    bare: Scene, postgres_server: object
) -> None:
    with bare.move() as move:
        epoch, attempt = begin_commit(move)
        move.stores[Side.NEW].lead("notes", epoch, attempt)
    with away(bare.new_url, postgres_server), bare.move() as move:
        recovery.concede(move.stores, move.standing(), move.ledger)
    with bare.move() as move:
        assert recovery.is_wrong(move.standing(), None)
        assert move.repair() == ["the new side leads; the old one does not take it for lost any more"]
        found = move.standing()
        assert found.leader is Side.NEW
        assert not recovery.is_wrong(found, None)
        old = found.states[Side.OLD]
        assert old is not None
        assert concession.CONCEDED not in old.notes


def restore_before_cutover(scene: Scene) -> None:
    with psycopg.connect(scene.new_url) as connection:
        connection.execute("UPDATE crossfade.state SET role = 'follower', epoch = 0, fenced = true")
        connection.execute("UPDATE notes SET text = 'of an earlier day'")


def restore_to_an_earlier_lead(scene: Scene) -> None:
    """It led at epoch 1, gave the lead back, led again at epoch 3, and is what it was at epoch 1: open."""
    with scene.move() as move:
        move.rollback()
        move.cutover()
    with psycopg.connect(scene.new_url) as connection:
        connection.execute("UPDATE crossfade.state SET epoch = 1")


def replace(scene: Scene) -> None:
    with psycopg.connect(scene.new_url) as connection:
        connection.execute("DROP SCHEMA crossfade CASCADE")


def forget(scene: Scene) -> None:
    """Another move may have the database now."""
    with psycopg.connect(scene.new_url) as connection:
        connection.execute("DELETE FROM crossfade.state")


RESTORED = [restore_before_cutover, restore_to_an_earlier_lead, replace, forget]


@pytest.mark.parametrize("restore", RESTORED[:3])
def test_a_new_database_that_was_restored_is_seen_and_every_verb_says_what_to_do(
    bare: Scene, restore: Any
) -> None:
    with bare.move() as move:
        move.cutover()
    restore(bare)
    code, said = crossfade(bare, "doctor")
    assert code == 1
    assert "the new database answers, but" in said["troubles"][0]["what"]
    assert "crossfade rollback --accept-loss" in said["troubles"][0]["todo"]
    assert not said["troubles"][0]["repairable"]
    assert crossfade(bare, "status")[1]["phase"] == "leaderless"
    for words in (["doctor", "--repair"], ["rollback"], ["copy"], ["follow"], ["cutover"], ["verify"]):
        code, said = crossfade(bare, *words)
        assert code == 1
        assert "no side leads" in said["what"], words
        assert "doctor" in said["todo"] or "--accept-loss" in said["todo"], words


@pytest.mark.parametrize("restore", RESTORED)
def test_loss_is_accepted_of_a_new_database_that_answers_but_was_restored(bare: Scene, restore: Any) -> None:
    with bare.move() as move:
        move.cutover()
    restore(bare)
    epoch = 4 if restore is restore_to_an_earlier_lead else 2
    code, said = crossfade(bare, "rollback", "--accept-loss")
    assert (code, said["to"], said["epoch"]) == (0, "old", epoch)
    assert "every write that the new side took" in said["maybe_lost"]
    assert bare.can_write("old")
    gone = restore in (replace, forget)
    if not gone:
        assert not bare.can_write("new")
    with bare.move() as move:
        found = move.standing()
        assert (found.leader, found.committed) == (Side.OLD, False)
        state = found.follower_state
        assert (state is None) == gone
        assert state is None or state.verified_at is None
        code, said = crossfade(bare, "doctor")
        assert ("knows nothing of the move" in str(said["troubles"])) == gone


def test_a_restored_leader_that_is_open_is_fenced_before_the_old_side_may_write(bare: Scene) -> None:
    with bare.move() as move:
        move.cutover()
        restore_to_an_earlier_lead(bare)
        assert bare.can_write("new")
        seen: list[bool] = []

        def look(step: int, when: str) -> None:
            if (step, when) == (7, "before"):
                seen.append(bare.can_write("new"))

        move.rollback(accept_loss=True, observe=look)
    assert seen == [False]


def test_an_old_database_that_was_restored_gives_the_lead_to_the_new_one_when_loss_is_accepted(
    bare: Scene,
) -> None:
    """The old side leads at epoch 2, and is what it was before the first cutover: open, at epoch 0."""
    with bare.move() as move:
        move.cutover()
        move.rollback()
    with closing(sqlite3.connect(bare.folder / "old.db")) as db:
        db.execute("UPDATE crossfade_state SET epoch = 0")
        db.commit()
    with bare.move() as move:
        found = move.standing()
        assert found.phase == "leaderless"
        assert "cutover --accept-loss" in concession.nobody_leads(found)[1]
        with pytest.raises(CrossfadeError, match="no side leads"):
            move.repair()
        assert move.cutover(accept_loss=True).epoch == 3
        assert not recovery.is_wrong(move.standing(), None)
    assert bare.can_write("new")
    assert not bare.can_write("old")


def test_a_switch_is_undecided_when_the_successors_database_was_restored(bare: Scene) -> None:
    """It alone knew whether COMMIT went through, so the fence stays until somebody accepts the loss."""
    with bare.move() as move:
        move.cutover()
        move.rollback()
        begin_commit(move)
        with psycopg.connect(bare.new_url) as connection:
            connection.execute("UPDATE crossfade.state SET epoch = 0, attempt = 0")
        with pytest.raises(Refused, match="restored to an earlier day"):
            move.repair()
        assert not bare.can_write("old")
        trouble = recovery.examine(move.standing(), None)[0]
        assert (trouble.repairable, "--accept-loss" in trouble.todo) == (False, True)
        assert move.rollback(accept_loss=True).epoch == 4
    assert bare.can_write("old")
    assert not bare.can_write("new")
