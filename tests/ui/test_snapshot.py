"""What the page shows, made of what plan, runs, evidence and router say."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from crossfade.errors import StoreUnreachable
from crossfade.ledger import Ledger
from crossfade.plans.reading import parse_plan
from crossfade.plans.truth import truth
from crossfade.routers.base import SideStats
from crossfade.runs.approvals import Request, Said
from crossfade.runs.attempts import Attempt
from crossfade.runs.people import Person
from crossfade.runs.results import Judged, Outcome, TaskStatus
from crossfade.runs.state import RunState, TaskState
from crossfade.spec import GuardSpec
from crossfade.ui import charts, words
from crossfade.ui.evidence import EvidenceSource, in_words, shown
from crossfade.ui.looking import Looking
from crossfade.ui.moves import bucket, watched
from crossfade.ui.plans import PlanSource, plan_view
from crossfade.ui.runs import seen_of
from crossfade.ui.snapshot import Part, PlanView, Problem, Word

PLAN = """# Home

## Phase 1: Look

**Task 1.1: Look twice**
- **Owner**: Ann
- **Time**: 2 hours
- **Run**: `crossfade check`
- **Gate**: `check.errors == 0`

**Task 1.2: By hand**
- **Status**: ✅ Done

## Phase 2: Go

**Task 2.1: Cut over**
- **Dependencies**: Task 1.1
- **Approve**: 2 of ops
- **Run**: `crossfade cutover`
- **Undo**: `crossfade rollback`
"""


def view(entries: list[Any] | None = None, state: RunState | None = None, *attempts: Attempt) -> PlanView:
    plan = parse_plan(PLAN.encode(), "PLAN.md")
    run = seen_of(state, attempts) if state is not None else None
    return plan_view(plan, truth(plan, entries or []), run)


def state_of(*tasks: TaskState, outcome: Outcome | None = None) -> RunState:
    return RunState(
        run="r1",
        plan="Home",
        path="PLAN.md",
        mode="live",
        started_by="ann",
        started_at="2026-03-01T12:00:00Z",
        outcome=outcome,
        tasks=tasks,
    )


def attempt(**more: Any) -> Attempt:
    values: dict[str, Any] = dict.fromkeys(Attempt.__dataclass_fields__)
    values |= {"key": "r1/1.1/1/0", "run": "r1", "task": "1.1", "number": 1, "command_index": 0}
    return Attempt(**values | {"command": "crossfade check", "state": "claimed", "stop": 0} | more)


# --- the plan ---------------------------------------------------------------


def test_what_a_person_ticked_is_claimed_and_what_nobody_ran_is_not_started() -> None:
    plan = view()
    words = {task.id: task.word for task in plan.walk()}
    assert words == {"1.1": Word.NOT_STARTED, "1.2": Word.CLAIMED, "2.1": Word.NOT_STARTED}
    assert plan.done == 0
    assert plan.claimed > 0
    assert [(phase.done, phase.claimed, phase.total) for phase in plan.phases] == [(0, 1, 2), (0, 0, 1)]
    first = plan.task("1.1")
    assert first is not None
    assert (first.owner, first.estimate, first.commands) == ("Ann", "2 hours", ("crossfade check",))
    assert first.gate is not None
    assert first.gate.passed is None
    second = plan.task("2.1")
    assert second is not None
    assert second.approval is not None
    assert (second.approval.needed, second.approval.group, second.approval.open) == (2, "ops", False)
    assert plan.asking == ()


def test_a_run_that_goes_on_is_newer_than_the_evidence() -> None:
    said = Said(person=Person(name="ben", account="root", host="h"), answer="approve", reason="seen", at=5.0)
    request = Request(count=2, group="ops", members=("ben", "eva"), starter="ann", asked_at=1, expires_at=99)
    plan = view(
        None,
        state_of(
            TaskState(
                id="1.1",
                title="",
                status=TaskStatus.DONE,
                verdict=Judged(passed=True, text="it is true", seen={"check.errors": 0}),
                measured={"errors": 0, "ok": True, "url": "postgresql://u:geheim@h/d"},
            ),
            TaskState(
                id="2.1", title="", status=TaskStatus.APPROVAL, request=request, approvals=(said, said)
            ),
        ),
    )
    first, second = plan.task("1.1"), plan.task("2.1")
    assert first is not None
    assert second is not None
    assert first.word is Word.DONE
    assert first.gate is not None
    assert first.gate.passed is True
    assert first.gate.seen == (("check.errors", "0"),)
    assert dict(first.measured) == {"errors": "0", "ok": "yes", "url": "postgresql://u:***@h/d"}
    assert second.word is Word.APPROVAL
    assert second.approval is not None
    assert [one.who for one in second.approval.given] == ["ben (as root@h)"]
    assert second.approval.open
    assert plan.asking == (second,)
    assert plan.run is not None
    assert plan.run.active


def test_an_ended_run_leaves_the_word_to_the_evidence_except_for_what_went_wrong() -> None:
    plan = view(
        None,
        state_of(
            TaskState(id="1.1", title="", status=TaskStatus.FAILED, reason="exit 3"),
            TaskState(id="2.1", title="", status=TaskStatus.SKIPPED),
            outcome=Outcome.FAILED,
        ),
        attempt(state="finished", result={"stdout": "one\n", "stderr": "postgresql://u:geheim@h/d\n"}),
    )
    first, second = plan.task("1.1"), plan.task("2.1")
    assert first is not None
    assert second is not None
    assert first.word is Word.FAILED
    assert first.error == Problem("exit 3", "crossfade check")
    assert first.output == "one\npostgresql://u:***@h/d"
    assert second.word is Word.NOT_STARTED
    assert plan.asking == ()


def test_a_command_of_which_nobody_knows_asks_for_a_person() -> None:
    unknown = TaskState(id="1.1", title="", status=TaskStatus.UNKNOWN, about="k", command="crossfade check")
    plan = view(None, state_of(unknown))
    assert [task.doubt for task in plan.asking] == ["crossfade check"]


def test_the_output_of_a_running_command_is_read_from_its_files(tmp_path: Path) -> None:
    from crossfade.runs import machine

    (tmp_path / "1-0.out").write_text("x" * 9000 + "\nnewest line\n")
    running = TaskState(id="1.1", title="", status=TaskStatus.RUNNING)
    here = view(None, state_of(running), attempt(folder=str(tmp_path), host=machine.host()))
    elsewhere = view(None, state_of(running), attempt(folder=str(tmp_path), host="elsewhere"))
    outputs = [one.output for plan in (here, elsewhere) if (one := plan.task("1.1"))]
    assert outputs[0].endswith("newest line")
    assert len(outputs[0]) <= 4000
    assert outputs[1] == ""


def test_evidence_makes_a_task_done_and_names_its_entry(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append("run.started", run="r1", plan="Home", mode="live")
    done = ledger.append("task.done", run="r1", task="1.1", seconds=2.0)
    first = view(list(ledger.read())).task("1.1")
    assert first is not None
    assert first.word is Word.DONE
    assert first.proof is not None
    assert (first.proof.entry, first.proof.hash) == (done.seq, done.hash)


def test_a_document_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "PLAN.md"
    path.write_text(PLAN)
    source = PlanSource(path, lambda: (), lambda: None)
    assert source.look().tasks == 3
    path.write_text(PLAN + "\n**Task 2.2: More**\n- **Run**: `true`\n")
    assert source.look().tasks == 4


# --- the evidence -----------------------------------------------------------


def test_the_ledger_tells_of_switches_the_guard_and_comparisons(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append("verify.done", tables={"notes": 7}, differences=0)
    ledger.append("switch.begun", to="new", epoch=0, verb="cutover", reason="")
    ledger.append("switch.done", to="new", epoch=1, hold_ms=41.5, steps_ms={})
    ledger.append("guard.rollback", decision="rollback", why="6 % errors")
    ledger.append("switch.begun", to="old", epoch=1, verb="rollback", reason="6 % errors")
    ledger.append("switch.done", to="old", epoch=2, hold_ms=38.0, steps_ms={})
    source = EvidenceSource(lambda: ledger)
    seen = source.look()
    assert (seen.entries, seen.whole, seen.verified) == (6, True, {"notes": 7})
    assert [(one.to, one.epoch, one.hold_ms, one.reason) for one in seen.switches] == [
        ("new", 1, 41.5, ""),
        ("old", 2, 38.0, "6 % errors"),
    ]
    assert seen.guard is not None
    assert (seen.guard.decision, seen.guard.why) == ("rollback", "6 % errors")
    assert [one.seq for one in seen.last] == [6, 5, 4, 3, 2, 1]
    assert source.look() is seen, "what has not changed is not read again"
    ledger.append("shift.done", percent=5)
    assert source.look().entries == 7


def test_a_broken_chain_is_said_and_what_stands_before_it_is_shown(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for percent in (1, 2, 3):
        ledger.append("shift.done", percent=percent)
    lines = ledger.path.read_text().splitlines(keepends=True)
    ledger.path.write_text(lines[0] + lines[1].replace('"percent":2', '"percent":9') + lines[2])
    source = EvidenceSource(lambda: ledger)
    seen = source.look()
    assert seen.whole is False
    assert seen.broken.startswith("entry 2: ")
    assert [one.seq for one in seen.last] == [1]
    assert len(source.entries) == 1


def test_an_entry_is_one_line_and_says_what_it_is_about_first() -> None:
    told = in_words({"seconds": 1.5, "key": "k", "task": "2.1", "ok": True, "none": None, "list": [1]})
    assert told == "task 2.1, seconds 1.5, ok yes, list [1]"
    assert len(in_words({"a": "x" * 1000})) <= 150
    assert shown([], whole=True).entries == 0


# --- looking ----------------------------------------------------------------


def test_what_hangs_or_fails_keeps_its_last_value_and_says_why() -> None:
    go, answers = threading.Event(), iter(["first"])

    def look() -> str:
        for answer in answers:
            return answer
        go.wait(10)
        raise StoreUnreachable("gone: postgresql://u:geheim@h/d", where="new store", todo="bring it back")

    looking = Looking("it", look, lambda: 0.01)
    looking.start()
    try:
        wait(lambda: looking.part.value == "first" and looking.part.since is not None)
        hanging = looking.part
        assert words.note(hanging, "It", (hanging.since or 0) + 2) == ""
        assert "has not answered for 9 s" in words.note(hanging, "It", (hanging.since or 0) + 9)
        go.set()
        wait(lambda: looking.part.problem is not None)
        failed = looking.part
        assert failed.value == "first"
        assert failed.problem == Problem("gone: postgresql://u:***@h/d", "new store", "bring it back")
        said = words.note(failed, "It", (failed.at or 0) + 5)
        assert "What to do: Bring it back." in said
        assert "5 s old" in said
    finally:
        go.set()
        looking.stop()


def wait(true: Any) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_fault_of_the_page_itself_is_shown_and_not_fatal(caplog: pytest.LogCaptureFixture) -> None:
    def look() -> str:
        raise ValueError("odd")

    looking = Looking("it", look, lambda: 0.01)
    looking.start()
    wait(lambda: looking.part.problem is not None)
    looking.stop()
    assert looking.part.problem is not None
    assert "odd" in looking.part.problem.what
    assert "odd" in caplog.text


# --- words and pictures -----------------------------------------------------


def test_times_are_said_as_people_say_them() -> None:
    assert [words.span(n) for n in (0.4, 59, 60, 90, 7200, 86400 * 12)] == [
        "0 s", "59 s", "1 min", "1.5 min", "2 h", "12 d",
    ]  # fmt: skip
    assert words.ago(None, 5) == "never"
    assert [words.milliseconds(n) for n in (None, 0, 1.234, 12.3, 20_000)] == [
        "–",
        "0 ms",
        "1.2 ms",
        "12 ms",
        "20 s",
    ]
    assert [words.percent(n) for n in (0, 0.001, 0.5, 0.999, 1)] == ["0 %", "1 %", "50 %", "99 %", "100 %"]
    assert words.note(None, "It", 0) == words.note(Part(), "It", 0) == ""


def test_every_state_has_a_word_a_colour_and_an_icon() -> None:
    assert set(words.LOOKS) == set(Word)
    assert set(TaskStatus) == set(__import__("crossfade.ui.runs", fromlist=["_WORDS"])._WORDS)


def test_traffic_of_nothing_has_no_percentiles() -> None:
    assert bucket(5.0, SideStats(0, 0, ())).p95 is None
    some = bucket(5.0, SideStats(3, 1, (0.001, 0.002, 0.1)))
    assert (some.requests, some.errors, some.p50) == (3, 1, 2.0)
    assert 2.0 < (some.p95 or 0) <= 100.0


def test_the_guard_is_told_in_words() -> None:
    assert watched(None) == ""
    told = watched(GuardSpec(error_rate=0.05, p95=0.5, window=5, consecutive=3))
    assert (
        told
        == "rolls back after 3 windows in a row of 5 s with more than 5 % errors or p95 over 500 ms on the new side"
    )


def test_charts_are_whole_numbers_and_escaped_text() -> None:
    svg = charts.lines(
        [charts.Line("old", [1.0, None, 3.0, 4.0]), charts.Line("new", [])],
        label='<script>"x"</script>',
        unit=lambda value: f"<{value:g}>",
        ages=("<then>", "now"),
    )
    assert "<script>" not in svg
    assert "<then>" not in svg
    assert "&lt;5&gt;" in svg
    assert svg.count("<path") == 2, "a gap divides a line"
    assert "nan" not in charts.sparkline([None, None], label="", limit=1.0)
    assert [charts.nice(n) for n in (0, 0.03, 1, 1.2, 7, 99)] == [1.0, 0.05, 1.0, 2.0, 10.0, 100.0]
    assert json.dumps(svg)
