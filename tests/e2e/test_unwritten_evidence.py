"""A ledger that cannot be written: what is done is done and said, a rollback goes on, a cutover does not begin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crossfade.cli import app
from crossfade.errors import LedgerError
from crossfade.move import Move
from crossfade.report import Quiet
from crossfade.stores.base import Side
from tests.e2e.scene import Scene, until
from tests.e2e.test_one_answer import end_router
from tests.e2e.test_repair import away, begin_switch

pytestmark = pytest.mark.timeout(90)


class Told(Quiet):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def spoil(scene: Scene) -> Path:
    """Nothing can be appended any more; returns the ledger as it was."""
    ledger = scene.folder / ".crossfade" / "ledger.jsonl"
    before = ledger.with_name("before")
    ledger.rename(before)
    ledger.mkdir()
    return before


def test_a_switch_that_went_through_says_so_when_it_cannot_be_recorded(bare: Scene) -> None:
    told = Told()

    def look(step: int, when: str) -> None:
        if (step, when) == (9, "after"):
            spoil(bare)

    with Move.open(bare.spec, reporter=told) as move:
        done = move.cutover(observe=look)
        assert (done.to, move.standing().leader) == (Side.NEW, Side.NEW)
    assert "switch.done is not in the evidence" in done.unrecorded
    assert done.unrecorded in told.said


def test_a_rollback_goes_on_without_evidence_and_says_so(
    bare: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.nice", lambda _step: 0)
    with bare.move() as move:
        move.cutover()
    spoil(bare)
    done = CliRunner().invoke(app, ["rollback", "--json", "--spec", str(bare.spec)])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["to"] == "old"
    assert "switch.begun is not in the evidence" in said["unrecorded"]
    assert "switch.done is not in the evidence" in said["unrecorded"]
    assert bare.can_write("old")


def test_a_rollback_that_accepts_loss_goes_on_without_evidence(bare: Scene, postgres_server: object) -> None:
    with bare.move() as move:
        move.cutover()
        begin_switch(move)
    spoil(bare)
    with away(bare.new_url, postgres_server), bare.move() as move:
        assert move.rollback(accept_loss=True).unrecorded
    assert bare.can_write("old")


def test_a_cutover_does_not_begin_without_evidence(bare: Scene) -> None:
    spoil(bare)
    with bare.move() as move:
        with pytest.raises(LedgerError, match="without evidence no cutover begins"):
            move.cutover()
        assert move.standing().leader is Side.OLD
    assert bare.can_write("old")


def test_a_repair_is_done_although_it_cannot_be_recorded(bare: Scene) -> None:
    with bare.move() as move:
        begin_switch(move)
        spoil(bare)
        done = move.repair()
    assert done[0] == "the old side may write again"
    assert "doctor.repaired is not in the evidence" in done[1]
    assert bare.can_write("old")


def test_a_rollback_starts_a_dead_router_without_evidence(scene: Scene) -> None:
    with scene.move() as move:
        move.cutover()
        spoil(scene)
        end_router(scene)
        assert move.rollback().to is Side.OLD
        router = move.router
        assert router is not None
        until("the router runs", lambda: router.state().alive)
        assert (router.state().held, router.state().leader) == (False, Side.OLD)
