"""What the flow of a run needs done: `crossfade.engine` does it durably, `crossfade.runs.recorder` only says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import Field

from crossfade.runs.approvals import Said
from crossfade.runs.carried import Carried
from crossfade.runs.order import RunInput, RunTask
from crossfade.runs.results import Delivered, Judged, Ran, TaskResult, TaskStatus


class TaskOrder(Carried):
    """One task with what it needs to know of its run; ``undoing`` runs its undo instead.

    ``known`` are the measurements of tasks done before, by their ids, for a gate that speaks of them.
    """

    format: int
    run: str
    plan: str
    mode: str
    starter: str
    allow_self: bool
    retry_pause: float
    task: RunTask
    known: dict[str, Any] = Field(default_factory=dict)
    undoing: bool = False

    @staticmethod
    def of(order: RunInput, task: RunTask, known: Mapping[str, Any], *, undoing: bool = False) -> TaskOrder:
        """The order for that task of a run."""
        return TaskOrder(
            format=order.format,
            run=order.run,
            plan=order.plan,
            mode=order.mode,
            starter=order.started_by.name,
            allow_self=order.allow_self,
            retry_pause=order.retry_pause,
            task=task,
            known=dict(known),
            undoing=undoing,
        )


class Heard(Carried):
    """What people have said about something, up to ``now``; ``withdrawn`` when the run has failed meanwhile."""

    now: float
    said: tuple[Said, ...] = ()
    withdrawn: bool = False


class Hands(Protocol):
    """What both a run and a task do."""

    def clock(self) -> float:
        """Seconds since 1970."""

    def record(self, event: str, key: str, data: Mapping[str, Any]) -> None:
        """Enter evidence, once for each key within the run."""

    def notice(self, kind: str, task: str | None, text: str) -> None:
        """Tell people."""


class TaskHands(Hands, Protocol):
    """What a task does.  Each call is done once, or is told again what it gave."""

    def show(self, status: TaskStatus, detail: Mapping[str, Any]) -> None:
        """Let everybody see where the task stands."""

    def heard(self, about: str) -> Heard:
        """What people have said until now."""

    def listen(self, until: float) -> None:
        """Wait until somebody says something, or until that time."""

    def command(self, number: int, index: int, command: str) -> Ran:
        """Run a command of attempt ``number``; the task's undo when that is being done."""

    def give_up(self, number: int, index: int) -> None:
        """The outcome of that command is not waited for any more: if it runs still, it is stopped."""

    def pause(self, seconds: float) -> None:
        """Wait."""

    def judge(self, expression: str, values: Mapping[str, Any], until: float) -> Judged:
        """Judge a gate, again and again until it is open or that time has come."""

    def delivered(self, names: tuple[str, ...]) -> tuple[Delivered, ...]:
        """The digests of those of the names that are files."""


class PlanHands(Hands, Protocol):
    """What a run does."""

    def begin(self, order: TaskOrder) -> None:
        """Have a task done, or undone, by whichever worker takes it."""

    def ended(self) -> TaskResult:
        """Wait for one of those begun to end; each is given once."""

    def withdraw(self, task: str) -> None:
        """Ask a task not to begin if it has not."""
