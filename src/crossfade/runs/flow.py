"""How a run goes: which task when, what after a failure, what is undone in which order.

The one description of it: the engine drives it durably, the recorder for a dry run, the tests with hands of
their own.  It is deterministic: all that could turn out differently a second time comes from the hands.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Any

from crossfade.plans.model import OnFailure
from crossfade.runs.hands import PlanHands, TaskOrder
from crossfade.runs.order import Mode, RunInput, RunTask
from crossfade.runs.results import Outcome, RunResult, TaskResult, TaskStatus


def run_plan(hands: PlanHands, order: RunInput) -> RunResult:
    """Do the tasks, each as soon as those before it are done; independent ones at the same time.

    After a failure nothing new is begun, what runs ends, and then, if the task that failed says so, what was begun
    is undone: the failed task first, then all that this run has done, the last one first.  What stood on something
    undone is not proven any more, though it cannot be undone itself.
    """
    return _Run(hands, order).go()


class _Run:
    def __init__(self, hands: PlanHands, order: RunInput) -> None:
        self._hands = hands
        self._order = order
        self._results: dict[str, TaskResult] = {}
        self._failed: list[TaskResult] = []
        self._running: set[str] = set()
        self._status: dict[str, TaskStatus] = dict.fromkeys(
            (task.id for task in order.tasks), TaskStatus.WAITING
        )
        self._measured: dict[str, Any] = {}
        self._tasks = {task.id: task for task in order.tasks}
        self._place = {task.id: number for number, task in enumerate(order.tasks)}
        self._before = _through(order)
        """What each task still waits for; one is taken out when it is done."""
        self._behind: dict[str, list[str]] = {}
        for task, before in self._before.items():
            for one in before:
                self._behind.setdefault(one, []).append(task)
        self._ready: set[str] = set()
        self._proven = set(order.done)
        """What earlier runs have proven, as long as it stands."""

    def go(self) -> RunResult:
        started = self._hands.clock()
        self._record("run.started", "started", self._opening())
        for task in self._order.tasks:
            earlier = self._order.done.get(task.id)
            if earlier is not None:
                self._status[task.id] = TaskStatus.SKIPPED
                self._measured[task.id] = earlier.result
                data = {"task": task.id, "title": task.title, "done_by": earlier.run, "done_at": earlier.at}
                self._record("task.skipped", f"{task.id}/skipped", data)
        for task in self._order.tasks:
            if self._status[task.id] is TaskStatus.SKIPPED:
                self._over(task.id)
            elif not self._before[task.id]:
                self._ready.add(task.id)
        while True:
            if not self._failed:
                self._begin_what_is_ready()
            if not self._running:
                break
            self._take(self._hands.ended())
        reason, outcome = "", Outcome.DONE
        if self._failed:
            first = self._failed[0]
            reason, outcome = f"task {first.task}: {first.reason}", Outcome.FAILED
            self._leave_the_rest()
            if any(self._task(one.task).on_failure is OnFailure.UNDO for one in self._failed):
                trouble = self._undo()
                outcome = Outcome.FAILED if trouble else Outcome.UNDONE
                reason = f"{reason}; {trouble}" if trouble else reason
        left = [name for name, status in self._status.items() if status is TaskStatus.WAITING]
        if left:
            reason, outcome = f"tasks {', '.join(left[:5])} wait for what is not in the run", Outcome.FAILED
        finished = self._hands.clock()
        result = RunResult(
            run=self._order.run,
            outcome=outcome,
            reason=reason,
            failed=self._failed[0].task if self._failed else None,
            tasks=self._status,
            started=started,
            finished=finished,
        )
        self._record(
            "run.finished",
            "finished",
            {
                "outcome": outcome.value,
                "reason": reason,
                "tasks": dict(self._status),
                "seconds": result.seconds,
            },
        )
        self._hands.notice(f"run.{outcome.value}", None, _closing(self._order, result))
        return result

    # --- forward ----------------------------------------------------------------

    def _begin_what_is_ready(self) -> None:
        for name in sorted(self._ready, key=self._place.__getitem__):
            task = self._tasks[name]
            self._status[name] = TaskStatus.RUNNING
            self._running.add(name)
            known = self._measured if "tasks" in task.gate else {}
            self._hands.begin(TaskOrder.of(self._order, task, known))
        self._ready.clear()

    def _over(self, name: str) -> None:
        """A task is done: nobody waits for it any more."""
        for behind in self._behind.get(name, ()):
            self._before[behind].discard(name)
            if not self._before[behind] and self._status[behind] is TaskStatus.WAITING:
                self._ready.add(behind)

    def _take(self, result: TaskResult) -> None:
        self._running.discard(result.task)
        self._results[result.task] = result
        self._status[result.task] = result.status
        if result.status is TaskStatus.DONE:
            self._measured[result.task] = result.measured
            self._over(result.task)
            return
        if result.status is TaskStatus.SKIPPED:
            return
        self._failed.append(result)
        if len(self._failed) == 1:
            for name in sorted(self._running, key=self._place.__getitem__):
                self._hands.withdraw(name)

    def _leave_the_rest(self) -> None:
        for task, status in self._status.items():
            if status is TaskStatus.WAITING:
                self._status[task] = TaskStatus.SKIPPED

    # --- back -------------------------------------------------------------------

    def _undo(self) -> str:
        """Undo what was begun; what went wrong, in words, or nothing."""
        begun = [one for one in self._failed if one.begun]
        done = [one for one in self._results.values() if one.status is TaskStatus.DONE]
        for result in [*reversed(begun), *reversed(in_order_of_completion(done, self._order))]:
            task = self._task(result.task)
            if not task.undo:
                data = {"task": task.id, "title": task.title}
                self._record("undo.missing", f"{task.id}/undo/missing", data)
                continue
            self._hands.begin(TaskOrder.of(self._order, task, {}, undoing=True))
            undone = self._hands.ended()
            if undone.status is not TaskStatus.UNDONE:
                # what was done before it may stand on what could not be taken back
                return (
                    f"the undo of task {task.id} failed ({undone.reason}), and what was done before it stays"
                )
            self._status[task.id] = TaskStatus.UNDONE
            self._void_what_stood_on(task)
        return ""

    def _void_what_stood_on(self, undone: RunTask) -> None:
        """What was done on top of a task, and has no undo of its own, proves nothing any more: a comparison of
        tables that were emptied since.  A later run does it again."""
        reached = {undone.id}
        for task in _sorted(self._order):
            if reached.isdisjoint(task.after):
                continue
            reached.add(task.id)
            if self._status[task.id] is TaskStatus.DONE or task.id in self._proven:
                self._status[task.id] = TaskStatus.UNDONE
                self._proven.discard(task.id)
                reason = f"task {undone.id}, on which it stood, was undone"
                data = {"task": task.id, "title": task.title, "digest": task.digest, "reason": reason}
                self._record("task.undone", f"{task.id}/undo/void", data)

    # --- words ------------------------------------------------------------------

    def _task(self, identifier: str) -> RunTask:
        return self._tasks[identifier]

    def _record(self, event: str, key: str, data: Mapping[str, Any]) -> None:
        common = {"plan": self._order.plan, "mode": self._order.mode.value}
        self._hands.record(event, key, common | dict(data))

    def _opening(self) -> dict[str, Any]:
        order = self._order
        return {
            "path": order.path,
            "sha256": order.digest,
            "started_by": order.started_by.as_json(),
            "started_at": order.started_at,
            "allow_self": order.allow_self,
            "tasks": [task.id for task in order.tasks],
            "skipped": sorted(order.done),
            "claimed": list(order.claimed),
            "unmet": list(order.unmet),
        }


def in_order_of_completion(results: list[TaskResult], order: RunInput) -> list[TaskResult]:
    """By the time at which they were done; a task never comes before one that it waited for, though the clocks
    of two machines differ."""
    by_id = {one.task: one for one in results}
    at: dict[str, float] = {}
    rank: dict[str, int] = {}
    for number, task in enumerate(_sorted(order)):
        if task.id in by_id:
            before = [at[one] for one in task.after if one in at]
            at[task.id] = max([by_id[task.id].finished or 0.0, *before])
            rank[task.id] = number
    return [by_id[one] for one in sorted(at, key=lambda one: (at[one], rank[one]))]


def _through(order: RunInput) -> dict[str, set[str]]:
    """What each task waits for.  One that is proven is no reason to begin before what *it* waited for, when that is
    done again because it has changed."""
    found: dict[str, set[str]] = {}
    for task in _sorted(order):
        found[task.id] = set(task.after)
        for before in task.after:
            if before in order.done:
                found[task.id] |= found.get(before, set())
    return found


def _sorted(order: RunInput) -> list[RunTask]:
    """The tasks so that each comes after those that it waits for, in the document's order otherwise."""
    place = {task.id: number for number, task in enumerate(order.tasks)}
    waits = {task.id: sum(one in place for one in task.after) for task in order.tasks}
    behind: dict[str, list[str]] = {}
    for task in order.tasks:
        for one in task.after:
            behind.setdefault(one, []).append(task.id)
    ready = [place[name] for name, number in waits.items() if not number]
    heapq.heapify(ready)
    found: list[RunTask] = []
    while ready:
        task = order.tasks[heapq.heappop(ready)]
        found.append(task)
        for name in behind.get(task.id, ()):
            waits[name] -= 1
            if not waits[name]:
                heapq.heappush(ready, place[name])
    return found


def _closing(order: RunInput, result: RunResult) -> str:
    seconds = f" in {result.seconds:.0f} s" if result.seconds is not None else ""
    match result.outcome:
        case Outcome.DONE if order.mode is Mode.DRY_RUN:
            return f"{order.plan}: all {len(order.tasks)} tasks would be done"
        case Outcome.DONE:
            return f"{order.plan}: all {len(order.tasks)} tasks are done{seconds}"
        case Outcome.UNDONE:
            return f"{order.plan}: failed and undone: {result.reason}"
    return f"{order.plan}: failed: {result.reason}"
