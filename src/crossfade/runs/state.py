"""Where a run stands, made of what the workflows have shown and what they have given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crossfade.runs.approvals import Request, Said
from crossfade.runs.carried import Carried
from crossfade.runs.order import RunInput, RunTask
from crossfade.runs.results import Judged, Outcome, RunResult, TaskResult, TaskStatus


class TaskState(Carried):
    """Where a task stands.  Times are seconds since 1970.

    ``request`` is there while it waits for approval; ``about`` and ``command`` while it waits for a person to say
    what became of a command.
    """

    id: str
    title: str
    line: int = 0
    status: TaskStatus
    attempt: int = 0
    started: float | None = None
    finished: float | None = None
    exit: int | None = None
    reason: str = ""
    request: Request | None = None
    approvals: tuple[Said, ...] = ()
    verdict: Judged | None = None
    about: str = ""
    command: str = ""
    worker: str = ""
    measured: dict[str, Any] | None = None


class RunState(Carried):
    """Where a run stands: ``outcome`` is None while it goes on."""

    run: str
    plan: str
    path: str
    mode: str
    move: str = ""
    outcome: Outcome | None = None
    reason: str = ""
    started_by: str
    started_at: str
    finished: float | None = None
    tasks: tuple[TaskState, ...] = ()

    def task(self, identifier: str) -> TaskState | None:
        """The task of that id."""
        return next((task for task in self.tasks if task.id == identifier), None)

    @property
    def waiting_for_people(self) -> tuple[TaskState, ...]:
        """The tasks that go on only when somebody says so."""
        waiting = (TaskStatus.APPROVAL, TaskStatus.UNKNOWN)
        return tuple(task for task in self.tasks if task.status in waiting)


@dataclass(frozen=True, slots=True)
class Flow:
    """What the engine knows of one workflow.  ``state`` is queued, running, ended, broken or cancelled; ``output``
    what it gave, ``shown`` what it let everybody see last, ``error`` why it broke."""

    state: str
    output: Mapping[str, Any] | None = None
    shown: Mapping[str, Any] | None = None
    error: str = ""
    worker: str = ""
    finished: float | None = None


def state_of(order: RunInput, run: Flow, tasks: Mapping[str, Flow], undone: Mapping[str, Flow]) -> RunState:
    """Where the run of that input stands."""
    result = RunResult.model_validate(run.output) if run.output is not None else None
    return RunState(
        run=order.run,
        plan=order.plan,
        path=order.path,
        mode=order.mode.value,
        move=order.move,
        outcome=outcome_of(run),
        reason=result.reason if result is not None else run.error,
        started_by=order.started_by.name,
        started_at=order.started_at,
        finished=result.finished if result is not None else run.finished,
        tasks=tuple(
            _stood(_task(order, task, run, tasks.get(task.id), undone.get(task.id)), result)
            for task in order.tasks
        ),
    )


def _stood(task: TaskState, result: RunResult | None) -> TaskState:
    """The task, not done any more when what it stood on was undone."""
    if (
        result is None
        or result.tasks.get(task.id) is not TaskStatus.UNDONE
        or task.status is TaskStatus.UNDONE
    ):
        return task
    return task.model_copy(update={"status": TaskStatus.UNDONE, "reason": "what it stood on was undone"})


def outcome_of(run: Flow) -> Outcome | None:
    """What came of a run, or None while it goes on."""
    match run.state:
        case "ended" if run.output is not None:
            return Outcome(run.output["outcome"])
        case "cancelled":
            return Outcome.CANCELLED
        case "broken":
            return Outcome.FAILED
    return None


def _task(order: RunInput, task: RunTask, run: Flow, flow: Flow | None, undo: Flow | None) -> TaskState:
    earlier = order.done.get(task.id)
    common: dict[str, Any] = {"id": task.id, "title": task.title, "line": task.line}
    if earlier is not None:
        reason = f"done by run {earlier.run}"
        return TaskState(**common, status=TaskStatus.SKIPPED, reason=reason, measured=earlier.result)
    if flow is None:
        over = outcome_of(run)
        gone = TaskStatus.CANCELLED if over is Outcome.CANCELLED else TaskStatus.SKIPPED
        return TaskState(**common, status=TaskStatus.WAITING if over is None else gone)
    state = _of_flow(common, flow)
    if undo is None:
        return state
    back = _of_flow(common, undo)
    return back.model_copy(
        update={
            "started": state.started,
            "measured": state.measured,
            "approvals": state.approvals,
            "reason": back.reason or state.reason,
        }
    )


def _of_flow(common: Mapping[str, Any], flow: Flow) -> TaskState:
    if flow.output is not None:
        result = TaskResult.model_validate(flow.output)
        return TaskState(
            **common,
            status=result.status,
            attempt=result.attempt,
            started=result.started,
            finished=result.finished,
            exit=result.ran[-1].exit if result.ran else None,
            reason=result.reason,
            approvals=result.approvals,
            verdict=result.verdict,
            worker=flow.worker,
            measured=result.measured,
        )
    shown = dict(flow.shown or {})
    match flow.state:
        case "broken":
            return TaskState(**common, status=TaskStatus.FAILED, reason=flow.error, finished=flow.finished)
        case "cancelled":
            return TaskState(
                **common,
                status=TaskStatus.CANCELLED,
                attempt=shown.get("attempt", 0),
                started=shown.get("started"),
                finished=flow.finished,
            )
    return TaskState(
        **common,
        status=TaskStatus(shown.get("status", TaskStatus.READY)),
        attempt=shown.get("attempt", 0),
        started=shown.get("started"),
        reason=shown.get("reason", ""),
        request=shown.get("request"),
        approvals=shown.get("approvals", ()),
        about=shown.get("about", ""),
        command=shown.get("command", ""),
        worker=flow.worker,
    )
