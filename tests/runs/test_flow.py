"""The flow of a run: order, failure, undo; by itself with made-up hands, and for real."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.plans.model import OnFailure
from crossfade.runs.flow import in_order_of_completion, run_plan
from crossfade.runs.hands import TaskOrder
from crossfade.runs.order import Earlier, Mode, RunInput, RunTask
from crossfade.runs.results import Outcome, TaskResult, TaskStatus
from tests.runs.scene import STARTER, Scene

# --- made-up hands --------------------------------------------------------------


def order_of(tasks: list[RunTask], **changes: Any) -> RunInput:
    body = {
        "run": "r",
        "plan": "P",
        "path": "P.md",
        "digest": "",
        "started_by": STARTER,
        "started_at": "",
        "tasks": tuple(tasks),
    }
    return RunInput(**(body | changes))


class Chance:
    """Hands that end whatever runs in a random order, with random outcomes."""

    def __init__(
        self, seed: int, bad: Mapping[str, TaskStatus], bad_undo: frozenset[str] = frozenset()
    ) -> None:
        self._random = random.Random(seed)
        self._bad = bad
        self._bad_undo = bad_undo
        self._running: list[TaskOrder] = []
        self._time = 0.0
        self.done: set[str] = set()
        self.began: list[str] = []
        self.undone: list[str] = []
        self.completed: list[str] = []
        self.withdrawn: set[str] = set()
        self.events: list[str] = []
        self.keys: list[str] = []
        self.most = 0

    def clock(self) -> float:
        self._time += 1
        return self._time

    def record(self, event: str, key: str, data: Mapping[str, Any]) -> None:
        self.events.append(event)
        self.keys.append(key)

    def notice(self, kind: str, task: str | None, text: str) -> None:
        self.events.append(kind)

    def begin(self, order: TaskOrder) -> None:
        assert set(order.task.after) <= self.done, "it begins before what it waits for is done"
        if order.undoing:
            assert not self._running, "an undo begins while something runs"
        else:
            assert order.task.id not in self.began, "it begins twice"
            self.began.append(order.task.id)
        self._running.append(order)
        self.most = max(self.most, len(self._running))

    def ended(self) -> TaskResult:
        order = self._running.pop(self._random.randrange(len(self._running)))
        task = order.task.id
        if order.undoing:
            self.undone.append(task)
            status = TaskStatus.FAILED if task in self._bad_undo else TaskStatus.UNDONE
            return TaskResult(task=task, status=status, reason="broke" if task in self._bad_undo else "")
        if task in self.withdrawn and self._random.random() < 0.5:
            return TaskResult(task=task, status=TaskStatus.SKIPPED)
        status = self._bad.get(task, TaskStatus.DONE)
        if status is TaskStatus.DONE:
            self.done.add(task)
            self.completed.append(task)
        return TaskResult(
            task=task,
            status=status,
            reason="why",
            begun=status is not TaskStatus.REJECTED,
            finished=self.clock(),
        )

    def withdraw(self, task: str) -> None:
        assert any(order.task.id == task for order in self._running)
        self.withdrawn.add(task)


@st.composite
def graphs(draw: st.DrawFn) -> list[RunTask]:
    """Tasks that wait for earlier ones, some with an undo."""
    tasks = []
    for number in range(draw(st.integers(1, 12))):
        after = (
            draw(st.sets(st.sampled_from([str(one) for one in range(number)]), max_size=3))
            if number
            else set()
        )
        tasks.append(
            RunTask(
                id=str(number),
                title=f"T{number}",
                run=("x",),
                after=tuple(sorted(after)),
                undo=("y",) if draw(st.booleans()) else (),
                on_failure=draw(st.sampled_from(OnFailure)),
            )
        )
    return tasks


outcomes = st.dictionaries(
    st.integers(0, 11).map(str), st.sampled_from([TaskStatus.FAILED, TaskStatus.REJECTED]), max_size=3
)


@settings(deadline=None)
@given(graphs(), st.integers(0, 10_000), outcomes, st.sets(st.integers(0, 11).map(str), max_size=3))
def test_any_plan_goes_as_it_should(
    tasks: list[RunTask], seed: int, bad: dict[str, TaskStatus], earlier: set[str]
) -> None:
    proof = Earlier(run="before", at="", digest="")
    order = order_of(tasks, done={task.id: proof for task in tasks if task.id in earlier})
    hands = Chance(seed, bad)
    hands.done |= set(order.done)
    result = run_plan(hands, order)
    by_id = {task.id: task for task in tasks}
    assert not set(hands.began) & set(order.done), "what is proven is done again"
    assert len(hands.keys) == len(set(hands.keys))
    assert set(result.tasks) == set(by_id)
    assert all(status.is_final for status in result.tasks.values())
    failed = [one for one in hands.began if one in bad and result.tasks[one] is not TaskStatus.SKIPPED]
    if not failed:
        assert result.outcome is Outcome.DONE
        assert set(hands.began) | set(order.done) == set(by_id)
        assert not hands.undone
        return
    assert result.failed in failed
    if not any(by_id[one].on_failure is OnFailure.UNDO for one in failed):
        assert result.outcome is Outcome.FAILED
        assert not hands.undone
        return
    assert result.outcome is Outcome.UNDONE
    begun = [one for one in failed if bad[one] is TaskStatus.FAILED]
    with_undo = [one for one in hands.completed if by_id[one].undo]
    assert set(hands.undone[: len(hands.undone) - len(with_undo)]) == {
        one for one in begun if by_id[one].undo
    }
    assert hands.undone[len(hands.undone) - len(with_undo) :] == with_undo[::-1]
    stands: set[str] = set()  # what is done and stays done; nothing of it stands on anything undone
    for task in tasks:
        proven = result.tasks[task.id] is TaskStatus.DONE or (
            task.id in order.done and result.tasks[task.id] is TaskStatus.SKIPPED
        )
        undone = result.tasks[task.id] is TaskStatus.UNDONE
        shaken = {one for one in by_id if result.tasks[one] is TaskStatus.UNDONE or one in stands}
        assert not (proven and shaken & set(task.after))
        if undone and task.id not in hands.undone:
            assert shaken & set(task.after), "nothing that it stood on was undone"
        if not proven and shaken & set(task.after):
            stands.add(task.id)


@settings(deadline=None)
@given(graphs(), st.integers(0, 1000))
def test_independent_tasks_run_at_the_same_time(tasks: list[RunTask], seed: int) -> None:
    hands = Chance(seed, {})
    run_plan(hands, order_of(tasks))
    assert hands.most >= sum(not task.after for task in tasks)


@settings(deadline=None)
@given(graphs(), st.data())
def test_the_order_of_completion_respects_what_waited_for_what_whatever_the_clocks_say(
    tasks: list[RunTask], data: st.DataObject
) -> None:
    results = [
        TaskResult(task=task.id, status=TaskStatus.DONE, finished=data.draw(st.floats(0, 10)))
        for task in data.draw(st.permutations(tasks))
    ]
    at = {one.task: number for number, one in enumerate(in_order_of_completion(results, order_of(tasks)))}
    assert set(at) == {task.id for task in tasks}
    assert all(at[before] < at[task.id] for task in tasks for before in task.after)


def test_an_undo_that_fails_leaves_what_was_done_before_it() -> None:
    tasks = [
        RunTask(id="1", title="", run=("x",), undo=("y",)),
        RunTask(id="2", title="", run=("x",), undo=("y",), after=("1",)),
        RunTask(id="3", title="", run=("x",), after=("2",), on_failure=OnFailure.UNDO),
    ]
    hands = Chance(0, {"3": TaskStatus.FAILED}, frozenset({"2"}))
    result = run_plan(hands, order_of(tasks))
    assert hands.undone == ["2"]
    assert result.outcome is Outcome.FAILED
    assert "the undo of task 2 failed (broke)" in result.reason
    assert "undo.missing" in hands.events
    assert result.tasks == {"1": TaskStatus.DONE, "2": TaskStatus.DONE, "3": TaskStatus.FAILED}


def test_what_is_proven_is_no_reason_to_begin_before_what_it_waited_for() -> None:
    """Task 1 has changed, and is done again; task 2 is proven; task 3 waits for 2, and so for 1."""
    tasks = [
        RunTask(id="1", title="", run=("x",)),
        RunTask(id="2", title="", run=("x",), after=("1",)),
        RunTask(id="3", title="", run=("x",), after=("2",)),
    ]
    hands = Chance(0, {})
    hands.done.add("2")
    run_plan(hands, order_of(tasks, done={"2": Earlier(run="before", at="", digest="")}))
    assert hands.began == ["1", "3"]
    assert hands.most == 1


def test_a_task_that_waits_for_what_is_not_there_fails_the_run() -> None:
    result = run_plan(Chance(0, {}), order_of([RunTask(id="1", title="", run=("x",), after=("0",))]))
    assert result.outcome is Outcome.FAILED
    assert "tasks 1 wait for what is not in the run" in result.reason


def test_a_run_says_what_it_relies_on() -> None:
    order = order_of(
        [RunTask(id="1", title="", run=("x",))], claimed=("0",), unmet=("sign-off",), mode=Mode.REHEARSAL
    )
    found: dict[str, Any] = {}

    class Listening(Chance):
        def record(self, event: str, key: str, data: Mapping[str, Any]) -> None:
            found.setdefault(event, dict(data))

    run_plan(Listening(0, {}), order)
    assert found["run.started"]["claimed"] == ["0"]
    assert found["run.started"]["unmet"] == ["sign-off"]
    assert found["run.finished"]["mode"] == "rehearsal"


# --- for real -------------------------------------------------------------------

UNDO = """# Undo

**Task 1: First**
- **Run**: `EFFECT`
- **Undo**: `echo 1 >> undone`

**Task 2: Second**
- **Run**: `EFFECT`
- **Dependencies**: Task 1

**Task 3: Third**
- **Run**: `EFFECT`
- **Undo**:
  - `echo 3a >> undone`
  - `echo 3b >> undone`
- **Dependencies**: Task 2

**Task 4: Fails**
- **Run**: `EFFECT; exit 1`
- **Undo**: `echo 4 >> undone`
- **Dependencies**: Task 3
{how}

**Task 5: Never**
- **Run**: `EFFECT`
- **Dependencies**: Task 4
"""


def test_what_was_done_is_undone_in_reverse_order(scene: Scene) -> None:
    result = scene.run(UNDO.format(how="- **On failure**: undo"))
    assert result.outcome is Outcome.UNDONE
    assert scene.lines("undone") == ["4", "3a", "3b", "1"]
    assert result.tasks["1"] is TaskStatus.UNDONE
    assert result.tasks["2"] is TaskStatus.UNDONE
    assert result.tasks["5"] is TaskStatus.SKIPPED
    assert [entry.data["task"] for entry in scene.evidence("task.undone")] == ["4", "3", "1", "2"]
    assert [entry.data["task"] for entry in scene.evidence("undo.missing")] == ["2"]
    assert scene.task("3").status is TaskStatus.UNDONE
    # what was undone is no evidence of done, and what stood on it neither
    assert scene.task("2").status is TaskStatus.UNDONE
    assert scene.task("2").reason == "what it stood on was undone"
    assert scene.evidence("task.undone")[-1].data["reason"] == "task 1, on which it stood, was undone"
    assert scene.desk.done_tasks("Undo") == {}


def test_by_default_a_failure_stops_the_run_and_a_later_one_goes_on_from_there(scene: Scene) -> None:
    text = UNDO.format(how="")
    result = scene.run(text)
    assert result.outcome is Outcome.FAILED
    assert scene.lines("undone") == []
    assert scene.effects() == ["1", "2", "3", "4"]
    done = scene.desk.done_tasks("Undo")
    assert set(done) == {"1", "2", "3"}
    # somebody mends task 4, and changes task 2, which is then not the task that was proven
    mended = text.replace("EFFECT; exit 1", "EFFECT; true").replace(
        "**Task 2: Second**\n- **Run**: `EFFECT`", "**Task 2: Second**\n- **Run**: `EFFECT; true`"
    )
    second = scene.run(mended, done=done)
    assert second.outcome is Outcome.DONE
    assert scene.effects() == ["1", "2", "3", "4", "2", "4", "5"]
    assert second.tasks["1"] is TaskStatus.SKIPPED
    assert [entry.data["task"] for entry in scene.evidence("task.skipped")] == ["1", "3"]
    again = scene.run(mended, done=scene.desk.done_tasks("Undo"), again=True)
    assert set(again.tasks.values()) == {TaskStatus.DONE}
    assert len(scene.effects()) == 12


def test_the_caller_may_say_that_every_failure_undoes(scene: Scene) -> None:
    result = scene.run(UNDO.format(how=""), on_failure=OnFailure.UNDO)
    assert result.outcome is Outcome.UNDONE
    assert scene.lines("undone") == ["4", "3a", "3b", "1"]


@pytest.mark.parametrize(("measured", "outcome"), [(150, Outcome.DONE), (250, Outcome.FAILED)])
def test_a_gate_over_live_metrics_decides(scene: Scene, measured: int, outcome: Outcome) -> None:
    (scene.folder / "measures.json").write_text(f'{{"p95": {measured}}}')
    scene.settings = {"measures": str(scene.folder / "measures.json")}
    text = "# P\n\n**Task 1: Fast**\n- **Gate**: `p95 < 200`\n- **Within**: 0.6 s\n"
    result = scene.run(text)
    assert result.outcome is outcome
    [judged] = scene.evidence("gate.judged")
    assert judged.data["passed"] is (outcome is Outcome.DONE)
    assert judged.data["seen"] == {"p95": measured}


def test_a_closed_gate_is_judged_again_until_it_opens(scene: Scene) -> None:
    measures = scene.folder / "measures.json"
    measures.write_text('{"p95": 250}')
    scene.settings = {"measures": str(measures)}
    scene.make("# P\n\n**Task 1: Fast**\n- **Gate**: `p95 < 200`\n")
    scene.worker()
    scene.until_task("1", TaskStatus.GATE)
    measures.write_text('{"p95": 150}')
    assert scene.wait().outcome is Outcome.DONE
