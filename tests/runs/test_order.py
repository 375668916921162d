"""What a run carries: which tasks, in which order, and what is refused before anything begins."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.errors import PlanError, Refused
from crossfade.plans.model import OnFailure
from crossfade.plans.reading import parse_plan
from crossfade.runs.order import LIVE_PATIENCE, Earlier, Mode, RunInput, digest_of, input_of
from crossfade.runs.recorder import dry_run
from tests.runs.scene import GROUPS, STARTER


def order_of(text: str, **options: Any) -> RunInput:
    data = text.encode()
    return input_of(
        parse_plan(data, "PLAN.md"), data, **({"started_by": STARTER, "groups": GROUPS} | options)
    )


def after(order: RunInput) -> dict[str, set[str]]:
    return {task.id: set(task.after) for task in order.tasks}


# --- what is left out ---


def test_a_task_of_a_phase_that_is_skipped_is_not_run() -> None:
    text = "# P\n\n## Phase 1: No\n**Status**: Skipped\n\n### Task 1.1: A\n**Run**: `a`\n\n## Phase 2: Yes\n\n### Task 2.1: B\n**Run**: `b`\n"
    assert after(order_of(text)) == {"2.1": set()}


# --- which tasks, in which order ------------------------------------------------


def test_only_tasks_with_something_to_do_are_run() -> None:
    order = order_of(
        """# P

**Task 1: Runs**
- **Run**: `a`

**Task 2: Decides**
- **Approve**: 1 of ops

**Task 3: Judges**
- **Gate**: `p95 < 200`

**Task 4: Is done by people**
- **Owner**: Ann

**Task 5: Is left out**
- **Run**: `b`
- **Status**: Skipped
"""
    )
    assert [task.id for task in order.tasks] == ["1", "2", "3"]
    assert order.task("3").patience == LIVE_PATIENCE  # type: ignore[union-attr]
    assert order.task("4") is None


def test_the_fields_of_a_task_are_carried_as_they_were_written() -> None:
    order = order_of(
        """# P

**Task 1: All**
- **Run**: `a`, `b`
- **Approve**: 2 of ops within 3 days
- **Gate**: `result.n == 1`
- **Undo**: `c`
- **Timeout**: 2 minutes
- **Retry**: 3
- **On failure**: undo
- **Files**: `out/report.md`
"""
    )
    [task] = order.tasks
    assert task.run == ("a", "b")
    assert task.approve is not None
    assert (task.approve.count, task.approve.group, task.approve.within) == (2, "ops", 3 * 86_400)
    assert task.approve.members == GROUPS["ops"]
    assert (task.undo, task.timeout, task.retry, task.on_failure) == (("c",), 120, 3, OnFailure.UNDO)
    assert task.files == ("out/report.md",)
    assert task.patience == 0
    assert task.line == 3
    assert RunInput.model_validate(order.as_json()) == order


def test_what_people_do_is_looked_through() -> None:
    text = """# P

## Phase 1: First

**Task 1: A**
- **Run**: `a`

**Task 2: People**
- **Dependencies**: Task 1
- **Status**: Done

## Phase 2: Second
- **Dependencies**: Phase 1

**Task 3: B**
- **Run**: `b`
- **Dependencies**: Task 2

**Task 4: C**
- **Run**: `c`
"""
    order = order_of(text)
    assert after(order) == {"1": set(), "3": {"1"}, "4": {"1"}}
    assert order.claimed == ("2",)


def test_nested_tasks_come_before_the_one_around_them_and_after_what_it_waits_for() -> None:
    order = order_of(
        """# P

**Task 1: Before**
- **Run**: `a`

**Task 2: Around**
- **Run**: `b`
- **Dependencies**: Task 1
- **Subtasks**:
  - [ ] **Task 2.1: Inner**
    - **Run**: `c`

**Task 3: Last**
- **Run**: `d`
- **Dependencies**: Task 2
"""
    )
    assert after(order)["2.1"] == {"1"}
    assert after(order)["2"] == {"1", "2.1"}
    assert after(order)["3"] == {"2"}


def test_a_task_that_people_have_not_ticked_stops_the_run_before_it_begins() -> None:
    text = """# P

**Task 1: People**
- **Owner**: Ann

**Task 2: Machine**
- **Run**: `a`
- **Dependencies**: Task 1, DBA sign-off
"""
    with pytest.raises(Refused, match=r"task '1' is not done.*task 2 waits for it") as caught:
        order_of(text)
    assert caught.value.where == "PLAN.md:3"
    assert "'DBA sign-off' is nothing that the document can tell" in caught.value.what
    order = order_of(text, claimed_ok=True)
    assert after(order) == {"2": set()}
    assert len(order.unmet) == 2
    assert order.claimed == ()


def test_what_waits_for_nothing_unticked_is_not_stopped() -> None:
    order = order_of("# P\n\n**Task 1: People**\n- **Owner**: Ann\n\n**Task 2: M**\n- **Run**: `a`\n")
    assert after(order) == {"2": set()}
    assert order.claimed == order.unmet == ()


@pytest.mark.parametrize(("dependency", "what"), [("Task 99.9", "99.9"), ("Phase 7 completion", "Phase 7")])
def test_an_unknown_dependency_is_an_error_with_its_line(dependency: str, what: str) -> None:
    with pytest.raises(PlanError, match=what) as caught:
        order_of(f"# P\n\n**Task 1: A**\n- **Run**: `a`\n- **Dependencies**: {dependency}\n")
    assert caught.value.where == "PLAN.md:5"


def test_a_circle_is_an_error_with_its_line() -> None:
    with pytest.raises(PlanError, match="task 1 → task 2 → task 1") as caught:
        order_of(
            "# P\n\n**Task 1: A**\n- **Run**: `a`\n- **Dependencies**: Task 2\n\n"
            "**Task 2: B**\n- **Run**: `a`\n- **Dependencies**: Task 1\n"
        )
    assert caught.value.where == "PLAN.md:3"


def test_a_wrong_gate_and_an_unknown_group_are_found_before_anything_runs() -> None:
    with pytest.raises(PlanError, match="did you mean 'p95'") as caught:
        order_of("# P\n\n**Task 1: A**\n- **Run**: `a`\n- **Gate**: `p59 < 200`\n")
    assert caught.value.where == "PLAN.md:5"
    with pytest.raises(PlanError, match="the group 'dba'") as caught:
        order_of("# P\n\n**Task 1: A**\n- **Run**: `a`\n- **Approve**: 1 of dba\n")
    assert caught.value.where == "PLAN.md:5"
    with pytest.raises(Refused, match="it has 2"):
        order_of("# P\n\n**Task 1: A**\n- **Approve**: 3 of ops\n")
    # nobody is asked in a rehearsal
    order_of("# P\n\n**Task 1: A**\n- **Approve**: 3 of ops\n", mode=Mode.REHEARSAL)


def test_a_plan_with_nothing_to_run_is_refused() -> None:
    with pytest.raises(Refused, match="nothing in it can be run"):
        order_of("# P\n\n**Task 1: A**\n- **Owner**: Ann\n")


# --- what is proven already -----------------------------------------------------

ONE = "# P\n\n**Task 1: {title}**\n- **Run**: `{run}`\n- **Timeout**: {timeout}\n"


def test_evidence_holds_while_what_is_done_stays_the_same() -> None:
    before = order_of(ONE.format(title="A", run="a", timeout="1 s"))
    digest = before.tasks[0].digest
    proof = {"1": Earlier(run="r", at="", digest=digest)}
    renamed = order_of(ONE.format(title="Another title", run="a", timeout="9 s"), done=proof)
    assert set(renamed.done) == {"1"}
    changed = order_of(ONE.format(title="A", run="a --more", timeout="1 s"), done=proof)
    assert changed.done == {}
    assert order_of(ONE.format(title="A", run="a", timeout="1 s"), done=proof, again=True).done == {}


@settings(deadline=None)
@given(st.text(min_size=1), st.text())
def test_the_digest_tells_commands_from_gates(command: str, gate: str) -> None:
    base = parse_plan(ONE.format(title="A", run="a", timeout="1 s").encode(), "P").tasks[0]
    one = base.model_copy(update={"run": (command,), "gate": gate})
    other = base.model_copy(update={"run": (), "gate": command + gate})
    assert digest_of(one) != digest_of(other)
    assert digest_of(one) == digest_of(one.model_copy(update={"title": gate}))


# --- a dry run ------------------------------------------------------------------


def test_a_dry_run_says_what_each_task_would_do() -> None:
    order = order_of(
        """# Move

**Task 1: Copy**
- **Run**: `crossfade copy`
- **Timeout**: 2 hours

**Task 2: Cut over**
- **Approve**: 1 of ops
- **Run**: `crossfade cutover`
- **Gate**: `p95 < 200`
- **Undo**: `crossfade rollback`
- **On failure**: undo
- **Dependencies**: Task 1
""",
        mode=Mode.DRY_RUN,
    )
    planned, result = dry_run(order)
    assert [(one.task, one.kind) for one in planned] == [
        *(("1", "begin"), ("1", "command")),
        *(("2", "begin"), ("2", "approval"), ("2", "command"), ("2", "gate"), (None, "end")),
    ]
    texts = [one.text for one in planned]
    assert texts[1] == "runs `crossfade copy` (this Crossfade), for at most 2 hours"
    assert texts[2] == "Cut over: begins once 1 are done"
    assert texts[3] == "waits for 1 person of ops (ann, ben, starter), for at most 7 days"
    assert texts[4].endswith("never twice by itself")
    assert texts[5] == "goes on when p95 < 200, for up to 30 s"
    assert result.outcome == "done"
    planned, result = dry_run(order, failing=["2"])
    assert [one.kind for one in planned if one.task][-4:] == ["stop", "undo", "command", "undo"]
    assert planned[-1].text.startswith("Move: failed and undone: task 2")
    assert result.outcome == "undone"
