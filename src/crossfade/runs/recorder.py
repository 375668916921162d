"""A dry run: the real flow on hands that do nothing but say what they would do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from crossfade.runs.commands import argv_of, is_repeatable
from crossfade.runs.flow import run_plan
from crossfade.runs.hands import Heard, TaskOrder
from crossfade.runs.order import RunInput
from crossfade.runs.results import Delivered, Judged, Ran, RunResult, TaskResult, TaskStatus
from crossfade.runs.task import run_task


@dataclass(frozen=True, slots=True)
class Planned:
    """One thing that a run would do: ``kind`` is skip, begin, approval, command, gate, files, undo, stop or end;
    ``text`` says it in words."""

    task: str | None
    kind: str
    text: str


def dry_run(order: RunInput, *, failing: Collection[str] = ()) -> tuple[list[Planned], RunResult]:
    """What the run would do, in order, and what would come of it.  The commands of ``failing`` tasks are taken
    to fail, to see what would follow."""
    hands = _Plan(order, frozenset(failing))
    result = run_plan(hands, order)
    return hands.planned, result


class _Plan:
    def __init__(self, order: RunInput, failing: frozenset[str]) -> None:
        self.planned: list[Planned] = []
        self._order = order
        self._failing = failing
        self._results: list[TaskResult] = []

    def clock(self) -> float:
        return 0.0

    def record(self, event: str, key: str, data: Mapping[str, Any]) -> None:
        del key
        task = data.get("task")
        match event:
            case "task.skipped":
                self._say(task, "skip", f"is done already (run {data['done_by']}), and is skipped")
            case "undo.missing":
                self._say(task, "undo", "has no undo: it stays as it is")

    def notice(self, kind: str, task: str | None, text: str) -> None:
        if kind.startswith("run."):
            self._say(task, "end", text)

    def begin(self, order: TaskOrder) -> None:
        self._results.append(run_task(_Task(order, self.planned, order.task.id in self._failing), order))

    def ended(self) -> TaskResult:
        return self._results.pop(0)

    def withdraw(self, task: str) -> None:
        """Nothing: here a task has ended as soon as it has begun."""

    def _say(self, task: str | None, kind: str, text: str) -> None:
        self.planned.append(Planned(task, kind, text))


class _Task:
    def __init__(self, order: TaskOrder, planned: list[Planned], fails: bool) -> None:
        self._order = order
        self._planned = planned
        self._fails = fails and not order.undoing
        if order.undoing:
            self._say("undo", "is undone")
        else:
            after = f" once {', '.join(order.task.after)} are done" if order.task.after else ""
            self._say("begin", f"{order.task.title}: begins{after}")

    def clock(self) -> float:
        return 0.0

    def record(self, event: str, key: str, data: Mapping[str, Any]) -> None:
        del key, data
        ask = self._order.task.approve
        if event == "approval.passed_over" and ask is not None:
            count = "1 person" if ask.count == 1 else f"{ask.count} people"
            group = f" of {ask.group}" if ask.group else ""
            names = f" ({', '.join(ask.members)})" if ask.members else ""
            self._say("approval", f"waits for {count}{group}{names}, for at most {_span(ask.within)}")

    def notice(self, kind: str, task: str | None, text: str) -> None:
        del task
        if kind in ("task.failed", "task.rejected"):
            self._say("stop", f"fails: {text}")

    def show(self, status: TaskStatus, detail: Mapping[str, Any]) -> None:
        """Nothing: nobody looks."""

    def heard(self, about: str) -> Heard:
        del about
        return Heard(now=0.0)

    def listen(self, until: float) -> None:
        """Nothing: nobody speaks."""

    def command(self, number: int, index: int, command: str) -> Ran:
        task = self._order.task
        argv, _ = argv_of(command)
        how = "" if argv[0] == "/bin/sh" else " (this Crossfade)"
        limit = f", for at most {_span(task.timeout)}" if task.timeout is not None else ""
        again = f", repeated up to {task.retry} times" if task.retry else ""
        if not task.retry and not is_repeatable(command):
            again += ", never twice by itself"
        self._say("command", f"runs `{command}`{how}{limit}{again}")
        outcome = "failed" if self._fails else "done"
        return Ran(key=f"{task.id}/{number}/{index}", command=command, outcome=outcome, exit=int(self._fails))

    def give_up(self, number: int, index: int) -> None:
        """Nothing: nothing runs."""

    def pause(self, seconds: float) -> None:
        """Nothing: there is time enough."""

    def judge(self, expression: str, values: Mapping[str, Any], until: float) -> Judged:
        del values
        patience = f", for up to {_span(until)}" if until else ""
        self._say("gate", f"goes on when {expression}{patience}")
        return Judged(passed=not self._fails, text=f"{expression} (not judged)")

    def delivered(self, names: tuple[str, ...]) -> tuple[Delivered, ...]:
        self._say("files", f"keeps the digests of {', '.join(names)}, as far as they are there")
        return ()

    def _say(self, kind: str, text: str) -> None:
        self._planned.append(Planned(self._order.task.id, kind, text))


def _span(seconds: float) -> str:
    for size, word in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:g} {word}"
    return f"{seconds:g} s"
