"""Which verbs can be had, what is run for them, and what they answer."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from crossfade.errors import Refused
from crossfade.ledger import Ledger
from crossfade.ui import verbs
from crossfade.ui.access import Token
from crossfade.ui.actions import Actions, command_of, ended
from crossfade.ui.snapshot import (
    Act,
    ApprovalView,
    AtWork,
    MoveView,
    Outcome,
    Part,
    RouterView,
    SideView,
    Snapshot,
    TaskView,
    TroubleView,
    Word,
)

MOVE = MoveView(
    name="notes",
    phase="verified",
    leader="old",
    epoch=0,
    verified_at=1.0,
    verify_max_age=60.0,
    lag=0.1,
    lag_limit=5.0,
    at_work=AtWork("follow", "here", 7, 1.0),
    sides=(SideView("old", "SQLite", leads=True), SideView("new", "PostgreSQL")),
    router=RouterView(True, False, "old", 0.0),
    routed=True,
)
TASK = TaskView(
    "2.1",
    "Cut over",
    Word.APPROVAL,
    commands=("crossfade cutover",),
    approval=ApprovalView(2, "ops", open=True),
)


def why(verb: str, **changes: object) -> str:
    return verbs.why_not(Snapshot(1.0, move=Part(replace(MOVE, **changes), 1.0)), verb)  # type: ignore[arg-type]


def test_a_verb_that_cannot_be_had_says_why() -> None:
    assert why("cutover") == why("shift") == ""
    assert why("rollback") == "The old side leads already."
    assert why("cutover", leader="new") == "The new side leads already."
    assert why("rollback", leader="new") == ""
    assert "verify first" in why("cutover", verified_at=None)
    assert "no router" in why("shift", routed=False)
    for verb in ("cutover", "rollback", "shift"):
        assert "Nothing has been copied" in why(verb, leader=None, phase="planned")
        assert "not finished" in why(verb, phase="copying")
        assert "No side leads" in why(verb, leader=None, phase="leaderless")
        assert "half done" in why(verb, phase="switching")
        assert why(verb, phase="complete") == "The move is complete."
        assert verbs.why_not(Snapshot(1.0), verb) == "There is no spec, so there is no move."
        assert "not known yet" in verbs.why_not(Snapshot(1.0, move=Part()), verb)
    lost = (SideView("old", "SQLite"), SideView("new", "PostgreSQL", leads=True, unreachable="gone"))
    assert "--accept-loss" in why("rollback", leader="new", sides=lost)
    assert "does not answer" in why("cutover", sides=(MOVE.sides[0], lost[1]))
    assert why("doctor") == "There is nothing to repair."
    assert why("doctor", troubles=(TroubleView("x", "", repairable=True),), phase="switching") == ""
    assert why("doctor", troubles=(TroubleView("x", "", repairable=False),)) != ""


def test_one_verb_at_a_time_whoever_started_it() -> None:
    busy = why("cutover", at_work=AtWork("verify", "elsewhere", 9, 1.0))
    assert busy == "`crossfade verify` is at work (process 9 on elsewhere)."
    act = Act(1, "shift", "Shift 5 % of the reads", "ann", 1.0)
    running = Snapshot(1.0, move=Part(MOVE, 1.0), acts=(act,))
    for verb in ("cutover", "rollback", "shift", "doctor"):
        assert verbs.why_not(running, verb) == "Shift 5 % of the reads is at work, started by ann."
    over = replace(running, acts=(replace(act, outcome=Outcome.DONE),))
    assert verbs.why_not(over, "cutover") == ""


def test_every_verb_says_what_happens_and_what_is_final() -> None:
    asked = [
        verbs.shift(0, MOVE),
        verbs.shift(12.5, MOVE),
        verbs.cutover(),
        verbs.rollback(),
        verbs.repair(MOVE),
        verbs.approve(TASK, "r1"),
        verbs.reject(TASK, "r1"),
        *(verbs.assume(replace(TASK, doubt="crossfade cutover"), "r1", ending) for ending in verbs.ENDINGS),
    ]
    for verb in asked:
        assert verb.will.endswith("."), verb
        assert verb.final.endswith("."), verb
    assert verbs.reject(TASK, "r1").asks == "reason"
    assert "2 approvals are missing" in verbs.approve(TASK, "r1").will


def test_what_is_run_is_what_the_command_line_runs() -> None:
    from crossfade.cli import VERBS

    spec, plan = Path("/a/crossfade.yaml"), Path("/a/PLAN.md")
    shift = command_of(verbs.shift(25, MOVE), "", spec=spec, plan=None)
    assert shift == ["shift", "--json", "--spec", "/a/crossfade.yaml", "--", "25%"]
    assert command_of(verbs.rollback(), "--accept-loss", spec=spec, plan=plan) == [
        *("rollback", "--json", "--spec", "/a/crossfade.yaml", "--reason=--accept-loss"),
    ]
    task = replace(TASK, id="--help")
    assert command_of(verbs.approve(task, "r1"), "", spec=None, plan=plan) == [
        *("approve", "--json", "--run=r1", "--plan", "/a/PLAN.md", "--", "--help"),
    ]
    assert command_of(verbs.repair(MOVE), "", spec=spec, plan=None)[-1] == "--repair"
    for name in ("shift", "cutover", "rollback", "doctor", "approve", "reject", "assume"):
        assert name in VERBS


def test_answers_are_put_in_words() -> None:
    done = {
        "to": "new",
        "epoch": 1,
        "hold_ms": 41.4,
        "last_pass_keys": 1234,
        "in_flight": 2,
        "maybe_lost": "",
    }
    outcome, lines, problem = ended("cutover", 0, json.dumps(done), "")
    assert (outcome, problem) == (Outcome.DONE, None)
    assert ("Requests were held", "41 ms") in lines
    assert ("Changed rows in the last pass", "1,234") in lines
    assert any("2 requests" in text for _, text in lines)
    error = {"error": "Refused", "what": "no: postgresql://u:geheim@h/d", "where": "notes", "todo": "wait"}
    outcome, lines, problem = ended("cutover", 1, json.dumps(error), "")
    assert outcome is Outcome.REFUSED
    assert problem is not None
    assert (problem.what, problem.where, problem.todo) == ("no: postgresql://u:***@h/d", "notes", "wait")
    sick = {"healthy": False, "repaired": ["the fence"], "troubles": [{"what": "nobody follows"}]}
    outcome, lines, _ = ended("doctor", 1, json.dumps(sick), "")
    assert outcome is Outcome.REFUSED
    assert lines == (("Repaired", "the fence"), ("Still wrong", "nobody follows"))
    for code, said, complained, expected in (
        (2, "", "Usage: …\nno such option", "no such option"),
        (-9, "", "", "exit status -9"),
        (1, "[1]", "odd", "odd"),
    ):
        outcome, _, problem = ended("shift", code, said, complained)
        assert outcome is Outcome.REFUSED
        assert problem is not None
        assert expected in problem.what


@pytest.fixture
def crossfade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the interpreter that runs a verb: it waits for a file, and says who acts."""
    go = tmp_path / "go"
    script = tmp_path / "python"
    script.write_text(
        f"#!/bin/sh\nwhile [ ! -e {go} ]; do sleep 0.02; done\n"
        'printf \'{"reads_percent": 5, "by": "%s"}\' "$CROSSFADE_USER"\n'
    )
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    return go


def wait(actions: Actions) -> Act:
    deadline = time.monotonic() + 30
    while actions.acts[0].outcome is Outcome.RUNNING:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return actions.acts[0]


def test_who_asked_stands_in_the_evidence_and_a_second_verb_has_to_wait(
    tmp_path: Path, crossfade: Path
) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    done: list[int] = []
    actions = Actions(None, None, ledger=lambda: ledger, done=lambda: done.append(1))
    number = actions.begin(verbs.shift(5, MOVE), Token("s" * 12, "ann"))
    try:
        with pytest.raises(Refused, match="is at work"):
            actions.begin(verbs.cutover(), Token("t" * 12, "ben"))
        assert [act.number for act in actions.acts] == [number]
    finally:
        crossfade.touch()
    act = wait(actions)
    assert act.outcome is Outcome.DONE
    assert act.by.startswith("ann (as ")
    assert act.lines == (("Reads shifted", "5 %"),)
    assert done == [1]
    (entry,) = ledger.read()
    assert (entry.event, entry.data["verb"], entry.data["arguments"]) == ("ui.asked", "shift", ["5%"])
    assert entry.data["by"].startswith("ann (as ")
    assert entry.data["account"]


def test_a_rejection_needs_a_reason() -> None:
    with pytest.raises(Refused, match="needs a reason"):
        Actions(None, None).begin(verbs.reject(TASK, "r1"), Token("s" * 12), "  ")


def test_a_verb_outlives_the_page(tmp_path: Path, crossfade: Path) -> None:
    actions = Actions(None, None)
    actions.begin(verbs.shift(5, MOVE), Token("s" * 12))
    deadline = time.monotonic() + 30
    while actions.working is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    _, pid = actions.working
    try:
        assert os.getsid(pid) == pid, "a session of its own, so that Ctrl-C on the page does not reach it"
    finally:
        crossfade.touch()
    wait(actions)
    assert actions.working is None


def test_without_evidence_only_the_way_back_goes_on(tmp_path: Path, crossfade: Path) -> None:
    crossfade.touch()
    (tmp_path / "file").touch()
    actions = Actions(None, None, ledger=lambda: Ledger(tmp_path / "file" / "ledger.jsonl"))
    actions.begin(verbs.cutover(), Token("s" * 12))
    refused = wait(actions)
    assert refused.outcome is Outcome.REFUSED
    assert refused.problem is not None
    assert "cannot be written" in refused.problem.what
    actions.begin(verbs.rollback(), Token("s" * 12))
    assert wait(actions).outcome is Outcome.DONE
