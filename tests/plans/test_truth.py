"""Done is what the evidence shows; what somebody typed is a claim."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.ledger import Entry, Ledger
from crossfade.plans.model import Plan, Status
from crossfade.plans.reading import parse_plan
from crossfade.plans.truth import (
    State,
    TaskTruth,
    percent,
    phase_progress,
    plan_progress,
    true_plan,
    truth,
)
from crossfade.runs.order import digest_of
from tests.plans.weekly import History, weekly_entries, weekly_plan

PLAN = """# Small

## Phase 1: First

**Task 1: Copy**
- **Time**: 6 hours
- **Run**: `crossfade copy`

**Task 2: Tell people**
- **Time**: 2 hours
- **Status**: ✅ Completed

**Task 3: Watch**
- **Time**: 2 hours
- **Status**: 🔄 In Progress
"""


def plan_of(text: str) -> Plan:
    return parse_plan(text.encode(), "PLAN.md")


@pytest.fixture
def plan() -> Plan:
    return plan_of(PLAN)


@pytest.fixture
def history(plan: Plan) -> History:
    made = History(plan)
    made.start("2026-03-02T08:00")
    return made


def of(plan: Plan, entries: list[Entry], task: str = "1") -> TaskTruth:
    return truth(plan, entries)[task]


def test_a_tick_is_a_claim_and_an_entry_is_proof(plan: Plan, history: History) -> None:
    done = history.task("2026-03-02T09:00", "task.done", "1", seconds=12.5, approvals=["ben"])
    found = truth(plan, history.entries)
    assert {task: one.status for task, one in found.items()} == {
        "1": State.DONE,
        "2": State.CLAIMED,
        "3": State.IN_PROGRESS,
    }
    proof = found["1"].proof
    assert proof is not None
    assert (proof.entry, proof.hash) == (done.seq, done.hash)
    assert (proof.by, proof.approved_by, proof.run, proof.seconds) == ("ann", ("ben",), "r1", 12.5)
    assert proof.at.isoformat() == "2026-03-02T09:00:00+00:00"
    assert str(plan_progress(plan, found)) == "60 % done, 20 % claimed"


def test_without_evidence_nothing_is_done(plan: Plan) -> None:
    found = truth(plan, [])
    assert [one.status for one in found.values()] == [State.NOT_STARTED, State.CLAIMED, State.IN_PROGRESS]
    assert plan_progress(plan, found).done == 0.0


@pytest.mark.parametrize("mode", ["rehearsal", "dry-run"])
def test_a_rehearsal_proves_nothing(plan: Plan, mode: str) -> None:
    history = History(plan, mode=mode)
    history.start("2026-03-02T08:00")
    history.task("2026-03-02T09:00", "task.done", "1")
    assert of(plan, history.entries).status is State.NOT_STARTED


def test_a_run_of_another_plan_proves_nothing(plan: Plan) -> None:
    history = History(plan_of(PLAN.replace("# Small", "# Other")))
    history.start("2026-03-02T08:00")
    history.task("2026-03-02T09:00", "task.done", "1")
    assert of(plan, history.entries).status is State.NOT_STARTED


def test_what_was_rewritten_since_is_not_proven(plan: Plan, history: History) -> None:
    history.task("2026-03-02T09:00", "task.done", "1")
    other = plan_of(PLAN.replace("crossfade copy", "crossfade copy --fast").replace("# Small", "# Small"))
    found = of(other, history.entries)
    assert found.status is State.NOT_STARTED
    assert "rewritten" in found.note
    renamed = plan_of(PLAN.replace("Task 1: Copy", "Task 1: Copy it all"))
    assert of(renamed, history.entries).status is State.DONE


@pytest.mark.parametrize(
    ("event", "data", "status", "note"),
    [
        ("task.started", {}, State.IN_PROGRESS, ""),
        ("approval.asked", {}, State.WAITING, "waits for approval"),
        ("command.unknown", {}, State.WAITING, "nobody knows"),
        ("task.failed", {"reason": "disk full"}, State.FAILED, "disk full"),
        ("task.rejected", {"reason": "rejected by ben"}, State.FAILED, "rejected by ben"),
        ("undo.failed", {"reason": "no way back"}, State.FAILED, "could not be undone: no way back"),
        ("task.undone", {}, State.NOT_STARTED, "was undone"),
    ],
)
def test_the_latest_evidence_decides(
    plan: Plan, history: History, event: str, data: dict[str, str], status: State, note: str
) -> None:
    history.task("2026-03-02T09:00", "task.done", "1")
    history.task("2026-03-02T09:01", event, "1", **data)
    found = of(plan, history.entries)
    assert found.status is status
    assert found.note.startswith(note)
    assert found.done == 0.0


def test_evidence_stands_above_a_tick(plan: Plan, history: History) -> None:
    history.task("2026-03-02T09:00", "task.failed", "2", reason="nobody came")
    assert of(plan, history.entries, "2").status is State.FAILED


def test_a_run_that_was_stopped_leaves_nothing_in_progress(plan: Plan, history: History) -> None:
    history.task("2026-03-02T09:00", "task.started", "1")
    history.end("2026-03-02T09:05", "cancelled")
    found = of(plan, history.entries)
    assert found.status is State.NOT_STARTED
    assert "stopped" in found.note


@pytest.mark.parametrize("last", ["task.skipped", "task.cancelled", "approval.withdrawn"])
def test_what_was_done_before_a_run_that_came_to_nothing_still_is(
    plan: Plan, history: History, last: str
) -> None:
    done = history.task("2026-03-02T09:00", "task.done", "1")
    history.end("2026-03-02T09:05")
    history.run = "r2"
    history.start("2026-03-03T08:00")
    history.task("2026-03-03T08:01", "approval.asked", "1")
    assert of(plan, history.entries).status is State.WAITING
    history.task("2026-03-03T08:01", "task.started", "1")
    assert of(plan, history.entries).status is State.IN_PROGRESS
    history.task("2026-03-03T08:02", last, "1")
    found = of(plan, history.entries)
    assert found.status is State.DONE
    assert found.proof is not None
    assert found.proof.entry == done.seq


def test_a_task_that_an_earlier_run_did_stays_done(plan: Plan, history: History) -> None:
    history.task("2026-03-02T09:00", "task.done", "1")
    history.run = "r2"
    history.start("2026-03-03T08:00")
    history.task("2026-03-03T08:01", "task.skipped", "1", done_by="r1")
    history.end("2026-03-03T08:02")
    assert of(plan, history.entries).status is State.DONE


def test_a_task_that_an_earlier_run_did_is_open_when_what_it_stood_on_was_undone(
    plan: Plan, history: History
) -> None:
    history.task("2026-03-02T09:00", "task.done", "1")
    history.run = "r2"
    history.start("2026-03-03T08:00")
    history.task("2026-03-03T08:01", "task.skipped", "1", done_by="r1")
    history.task("2026-03-03T08:02", "task.undone", "1", reason="task 0, on which it stood, was undone")
    history.end("2026-03-03T08:03")
    assert of(plan, history.entries).status is State.NOT_STARTED


def test_subtasks_count_by_parts() -> None:
    plan = plan_of(
        "# P\n\n## Phase 1\n\n- [ ] one\n  - [x] a\n  - [x] b\n  - [ ] c\n  - [ ] d\n- [ ] two\n  - [x] e\n  - [x] f\n"
    )
    found = truth(plan, [])
    one, two = plan.tasks
    assert found[one.id].status is State.IN_PROGRESS
    assert found[one.id].claimed == pytest.approx(0.5)
    assert found[two.id].status is State.CLAIMED, "all of its parts are claimed"
    assert found[two.id].claimed == 1.0
    assert plan_progress(plan, found).claimed == pytest.approx(0.75)


def test_parts_with_hours_count_by_them_and_what_runs_is_a_part_more() -> None:
    plan = plan_of("# P\n\n## Phase 1\n\n- [ ] one\n  - [x] a (3 hours)\n  - [ ] b (1 hour)\n")
    assert truth(plan, [])[plan.tasks[0].id].claimed == pytest.approx(0.75)
    assert truth(plan, [])[plan.tasks[0].id].hours == 4.0
    runs = plan_of(
        "# P\n\n## Phase 1\n\n**Task 1: Run**\n- **Run**: `true`\n- [x] looked at the clock\n- [x] told people\n"
    )
    found = truth(runs, [])["1"]
    assert found.status is State.IN_PROGRESS, "its parts are claimed, but its command never ran"
    assert found.claimed == pytest.approx(2 / 3)


def test_a_task_is_done_when_all_its_parts_are() -> None:
    plan = plan_of("# P\n\n## Phase 1\n\n**Task 1: Both**\n- [ ] a\n- [ ] b\n")
    history = History(plan)
    history.start("2026-03-02T08:00")
    first, second = plan.tasks[0].subtasks
    history.task("2026-03-02T09:00", "task.done", first.id)
    found = truth(plan, history.entries)["1"]
    assert (found.status, found.done) == (State.IN_PROGRESS, 0.5)
    last = history.task("2026-03-02T10:00", "task.done", second.id)
    found = truth(plan, history.entries)["1"]
    assert (found.status, found.done, found.claimed) == (State.DONE, 1.0, 0.0)
    assert found.proof is not None
    assert found.proof.entry == last.seq


def test_skipped_weighs_nothing_and_the_unestimated_weigh_as_the_others_do() -> None:
    plan = plan_of(
        "# P\n\n| Task | Time | Status |\n|---|---|---|\n| a | 2 hours | ✅ Done |\n| b | 4 hours | |\n"
        "| c | | ✅ Done |\n| d | 40 hours | ⏭️ Skipped |\n"
    )
    found = truth(plan, [])
    by_title = {task.title: found[task.id] for task in plan.tasks}
    assert by_title["d"].status is State.SKIPPED
    assert by_title["d"].weight == 0.0
    assert by_title["c"].weight == 4.0, "the median of 2, 4 and 40"
    progress = plan_progress(plan, found)
    assert (progress.tasks, progress.claimed_tasks, progress.hours) == (3, 2, 6.0)
    assert progress.claimed == pytest.approx(6 / 10)


def test_phases_hold_what_is_nested_in_them() -> None:
    plan = plan_of(
        "# P\n\n## Phase 1: Outer\n\n### Week 1\n\n- [x] a\n\n### Week 2\n\n- [ ] b\n\n## Phase 2: Other\n\n- [ ] c\n"
    )
    progress = phase_progress(plan, truth(plan, []))
    told = {plan.phase(name).title: (one.tasks, one.claimed) for name, one in progress.items()}  # type: ignore[union-attr]
    assert told == {
        "Phase 1: Outer": (2, 0.5),
        "Week 1": (1, 1.0),
        "Week 2": (1, 0.0),
        "Phase 2: Other": (1, 0.0),
    }


def test_a_plan_is_made_true_for_its_schedule() -> None:
    plan = weekly_plan()
    made = true_plan(plan, truth(plan, weekly_entries(plan)))
    copied, failed, claimed = (made.task(name) for name in ("2.1", "2.2", "1.1"))
    assert copied is not None
    assert failed is not None
    assert claimed is not None
    assert (copied.status, str(copied.finished)) == (Status.DONE, "2026-03-16")
    assert failed.status is Status.BLOCKED
    assert claimed == plan.task("1.1"), "what is claimed stays as it is written"
    assert [task.id for task in made.walk()] == [task.id for task in plan.walk()]


def test_entries_of_a_real_ledger_are_understood(plan: Plan, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl", move="small")
    task = plan.task("1")
    assert task is not None
    common = {"run": "r1", "plan": "Small", "mode": "live"}
    ledger.append("run.started", **common, started_by={"name": "ann", "account": "ann"})
    ledger.append("check.done", errors=0)
    ledger.append(
        "task.done", **common, task="1", digest=digest_of(task), seconds=2.0, finished_at=1_772_442_000.0
    )
    found = of(plan, list(ledger.read()))
    assert found.status is State.DONE
    assert found.proof is not None
    assert found.proof.at.isoformat() == "2026-03-02T09:00:00+00:00"
    assert found.proof.entry == 3


def test_percent_says_all_and_nothing_only_of_all_and_nothing() -> None:
    assert [percent(share) for share in (0.0, 0.001, 0.5, 0.996, 0.9999, 1.0)] == [0, 1, 50, 99, 99, 100]


EVENTS = [
    *(
        "run.started",
        "run.finished",
        "task.started",
        "task.done",
        "task.failed",
        "task.skipped",
        "task.undone",
    ),
    *(
        "approval.asked",
        "approval.withdrawn",
        "command.unknown",
        "outcome.assumed",
        "undo.failed",
        "gate.judged",
    ),
]


@settings(max_examples=60)
@given(
    marks=st.lists(st.sampled_from([" ", "x"]), min_size=5, max_size=5),
    events=st.lists(
        st.tuples(st.sampled_from(EVENTS), st.integers(0, 7), st.sampled_from(["r1", "r2", ""])), max_size=25
    ),
    junk=st.dictionaries(
        st.sampled_from(["finished_at", "seconds", "approvals", "reason", "started_by", "at"]),
        st.one_of(
            st.none(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers(), max_size=2)
        ),
        max_size=4,
    ),
)
def test_whatever_the_evidence_says_the_shares_make_sense(
    marks: list[str], events: list[tuple[str, int, str]], junk: dict[str, object]
) -> None:
    a, b, c, d, e = marks
    plan = plan_of(
        f"# P\n\n## Phase 1\n\n- [{a}] one\n  - [{b}] two (2 hours)\n  - [{c}] three\n- [{d}] four\n- [{e}] five\n\n"
        "**Task 1: Run**\n- **Run**: `true`\n- **Time**: 3 hours\n"
    )
    names = [task.id for task in plan.walk()]
    history = History(plan)
    for event, index, run in events:
        history.run = run
        task = names[index] if index < len(names) else "nobody"
        history.task("2026-03-02T09:00", event, task, **junk)
    found = truth(plan, history.entries)
    assert list(found) == names
    proven = {entry.data["task"] for entry in history.entries if entry.event == "task.done"}
    for one in found.values():
        assert 0.0 <= one.done <= 1.0
        assert 0.0 <= one.claimed <= 1.0
        assert one.done + one.claimed <= 1.0 + 1e-9
        assert (one.status is State.DONE) <= (one.done == 1.0)
        parts = [part.id for part in plan.task(one.id).subtasks]  # type: ignore[union-attr]
        if one.status is State.DONE:
            assert one.id in proven or (parts and set(parts) <= proven), "done without evidence"
    whole = plan_progress(plan, found)
    assert 0.0 <= whole.done + whole.claimed <= 1.0 + 1e-9
