"""The durable hands: each call of a flow is a step of DBOS, done once or told again what it gave.

The names and the order of the steps are a contract with every run that is under way: a workflow that is taken
up again by a later version finds its steps by number and name.  Whoever changes what a flow does for the same
input raises `crossfade.runs.order.FORMAT` and keeps the old way for the old number.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from dbos import DBOS, SetWorkflowID

from crossfade.engine.names import PEOPLE, PLAN_FLOW, STATE, TASK_FLOW, queues, task_id
from crossfade.errors import CrossfadeError, LedgerError, StoreUnreachable
from crossfade.masking import mask
from crossfade.runs.commands import Commands, Wanted
from crossfade.runs.database import Database
from crossfade.runs.decisions import WITHDRAWAL, Decisions
from crossfade.runs.deliverables import delivered
from crossfade.runs.evidence import Evidence
from crossfade.runs.flow import run_plan
from crossfade.runs.hands import Heard, TaskOrder
from crossfade.runs.order import FORMAT, RunInput
from crossfade.runs.people import Person
from crossfade.runs.results import Delivered, Judged, Ran, TaskResult, TaskStatus
from crossfade.runs.task import run_task

_JUDGING = 0.5
"""Seconds between two looks at a gate that is closed."""

_AGAIN = 1.0
"""Seconds before a step goes on trying when the state database does not answer."""

_SHORTEST = 0.05

T = TypeVar("T")
log = logging.getLogger("crossfade.engine")


class Opinion(Protocol):
    """What judging a gate gives."""

    @property
    def passed(self) -> bool:
        """Whether it is open."""

    @property
    def text(self) -> str:
        """Why, in one sentence."""

    @property
    def seen(self) -> Mapping[str, Any]:
        """The values that it rests on."""


Judge = Callable[[str, Mapping[str, Any]], Opinion]
"""Judges an expression; ``PlanError`` for one that cannot be."""

Measures = Callable[[], Mapping[str, Any]]
"""Gives the values at this moment."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What the steps work with on this machine."""

    database: Database
    decisions: Decisions
    evidence: Evidence
    commands: Commands
    judge: Judge
    measures: Measures
    notify: Callable[[str, str, str | None, str], None]
    """Told of the run, the kind of the notice, the task and the text."""
    cwd: Path
    secrets: tuple[str, ...]
    polling: float


def register(bench: Bench) -> None:
    """Make the two workflows known to DBOS, which has to happen before it is launched."""

    # without a limit: how often a worker was killed says nothing against a run
    @DBOS.workflow(name=TASK_FLOW, max_recovery_attempts=None)
    def task_flow(body: dict[str, Any]) -> dict[str, Any]:
        order = TaskOrder.model_validate(body)
        _demand_format(order.format)
        return run_task(_TaskSteps(bench, order), order).as_json()

    @DBOS.workflow(name=PLAN_FLOW, max_recovery_attempts=None)
    def plan_flow(body: dict[str, Any]) -> dict[str, Any]:
        order = RunInput.model_validate(body)
        _demand_format(order.format)
        return run_plan(_PlanSteps(bench, order, task_flow), order).as_json()


def _demand_format(number: int) -> None:
    if number > FORMAT:
        raise ValueError(f"the run is of format {number}, and this Crossfade knows {FORMAT}: use a newer one")


class _Steps:
    """What both kinds of workflow do."""

    def __init__(self, bench: Bench, run: str) -> None:
        self._bench = bench
        self._run = run

    def clock(self) -> float:
        return self._step("clock", self._bench.database.now)

    def record(self, event: str, key: str, data: Mapping[str, Any]) -> None:
        def enter() -> None:
            self._bench.evidence.record(self._run, event, f"{self._run}/{key}", data)
            try:
                self._bench.evidence.copy()
            except LedgerError as error:
                # it stands in the table, and is copied as soon as the ledger can be written
                log.warning("%s", error)

        self._step("record", enter)

    def notice(self, kind: str, task: str | None, text: str) -> None:
        def tell() -> None:
            try:
                self._bench.notify(self._run, kind, task, mask(text, self._bench.secrets))
            except Exception as error:
                # whatever somebody's notification does, the run goes on
                log.warning("a notification failed: %s", error)

        self._step("notice", tell)

    @staticmethod
    def _step(name: str, work: Callable[[], T]) -> T:
        """Do it once.  A state database that does not answer is waited for, as DBOS itself does."""

        def patiently() -> T:
            while True:
                try:
                    return work()
                except StoreUnreachable as error:
                    log.warning("%s", error)
                    time.sleep(_AGAIN)

        return DBOS.run_step({"name": f"crossfade.{name}"}, patiently)


class _PlanSteps(_Steps):
    """The hands of a run."""

    def __init__(
        self, bench: Bench, order: RunInput, task_flow: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> None:
        super().__init__(bench, order.run)
        self._queue = queues(order.move).tasks
        self._task_flow = task_flow
        self._handles: dict[str, tuple[str, Any]] = {}

    def begin(self, order: TaskOrder) -> None:
        identifier = task_id(order.run, order.task.id, undoing=order.undoing)
        with SetWorkflowID(identifier):
            handle = DBOS.enqueue_workflow(self._queue, self._task_flow, order.as_json())
        self._handles[identifier] = (order.task.id, handle)

    def ended(self) -> TaskResult:
        first = DBOS.wait_first(
            [handle for _, handle in self._handles.values()], polling_interval_sec=self._bench.polling
        )
        task, handle = self._handles.pop(first.workflow_id)
        try:
            return TaskResult.model_validate(handle.get_result())
        except Exception as error:
            # a workflow that broke, or that somebody cancelled by itself
            return TaskResult(
                task=task, status=TaskStatus.FAILED, reason=f"its workflow broke: {error}", begun=True
            )

    def withdraw(self, task: str) -> None:
        def say() -> None:
            run = Person(name="(the run)")
            self._bench.decisions.give(self._run, task, WITHDRAWAL, run, "withdraw")

        self._step("withdraw", say)
        DBOS.send(task_id(self._run, task), "withdrawn", topic=PEOPLE)


class _TaskSteps(_Steps):
    """The hands of a task."""

    def __init__(self, bench: Bench, order: TaskOrder) -> None:
        super().__init__(bench, order.run)
        self._order = order
        self._task = order.task

    def show(self, status: TaskStatus, detail: Mapping[str, Any]) -> None:
        DBOS.set_event(STATE, {"status": status.value, **detail})

    def heard(self, about: str) -> Heard:
        def hear() -> dict[str, Any]:
            decisions = self._bench.decisions
            # first, so that nothing that was said in time is missing when the time is over
            now = self._bench.database.now()
            withdrawn = bool(decisions.said(self._run, self._task.id, WITHDRAWAL))
            said = decisions.said(self._run, self._task.id, about)
            return Heard(now=now, said=said, withdrawn=withdrawn).as_json()

        return Heard.model_validate(self._step("heard", hear))

    def listen(self, until: float) -> None:
        # DBOS keeps the end of the wait, so what this gives on a second time does not matter
        DBOS.recv(PEOPLE, timeout_seconds=max(until - time.time(), _SHORTEST))

    def command(self, number: int, index: int, command: str) -> Ran:
        wanted = Wanted(self._run, self._name, number, index, command, self._task.timeout)
        found = self._step("command", lambda: self._bench.commands.run(wanted))
        shown = mask(command, self._bench.secrets)
        return Ran.model_validate({**found, "key": wanted.key, "command": shown})

    def give_up(self, number: int, index: int) -> None:
        key = Wanted(self._run, self._name, number, index, "").key
        self._step("give_up", lambda: self._bench.commands.attempts.stop(key=key))

    def pause(self, seconds: float) -> None:
        DBOS.sleep(seconds)

    def judge(self, expression: str, values: Mapping[str, Any], until: float) -> Judged:
        def look() -> dict[str, Any]:
            while True:
                found = self._judge(expression, values)
                if found.passed or self._bench.database.now() >= until:
                    return found.as_json()
                time.sleep(_JUDGING)

        return Judged.model_validate(self._step("judge", look))

    def _judge(self, expression: str, values: Mapping[str, Any]) -> Judged:
        try:
            known = {**self._bench.measures(), **values}
            found = self._bench.judge(expression, known)
        except CrossfadeError as error:
            return Judged(passed=False, text=mask(str(error), self._bench.secrets))
        return Judged(passed=found.passed, text=found.text, seen=_plain(found.seen))

    def delivered(self, names: tuple[str, ...]) -> tuple[Delivered, ...]:
        found = self._step("delivered", lambda: delivered(names, self._bench.cwd))
        return tuple(Delivered.model_validate(one) for one in found)

    @property
    def _name(self) -> str:
        return f"{self._task.id}/undo" if self._order.undoing else self._task.id


def _plain(seen: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON has them."""
    return {
        name: value
        if value is None or isinstance(value, str | int | float | bool | list | dict)
        else str(value)
        for name, value in seen.items()
    }
