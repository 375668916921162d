"""How much work a task is, and how much of it is left.

The first of these that is known decides: the duration that a rehearsal measured, the estimate, the sum of its
subtasks, the working time of its own window.  Else a default is assumed, and whoever asks is told so.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass

from crossfade.errors import PlanError, UsageError
from crossfade.plans.calendar import Calendar
from crossfade.plans.model import Status, Task
from crossfade.plans.stretches import Placement
from crossfade.plans.survey import Survey, is_open

LONGEST_YEARS = 100
"""An activity that takes longer is a slip of the pen."""


class Basis(enum.StrEnum):
    """What a duration rests on."""

    MEASURED = "measured"
    ESTIMATE = "estimate"
    SUBTASKS = "subtasks"
    WINDOW = "window"
    ASSUMED = "assumed"


@dataclass(frozen=True, slots=True)
class Work:
    """Working minutes of a task, and those of them that are left."""

    total: int
    left: int
    basis: Basis


class Effort:
    """Tells the work of the tasks of one plan.

    ``durations`` are measured hours by the task's id; ``default`` is in hours.  ``UsageError`` for hours that
    are no amount of time, ``PlanError`` for a task that would take longer than `LONGEST_YEARS`.
    """

    def __init__(
        self,
        survey: Survey,
        placement: Placement,
        calendar: Calendar,
        *,
        durations: Mapping[str, float] | None = None,
        default: float = 8.0,
    ) -> None:
        self._survey = survey
        self._placement = placement
        self._calendar = calendar
        self._durations = durations or {}
        self._default = default
        self._longest = LONGEST_YEARS * 52.2 * len(calendar.weekdays) * calendar.hours
        for name, hours in (*self._durations.items(), ("default", default)):
            if not math.isfinite(hours) or hours < 0:
                raise UsageError(
                    f"{hours!r} hours are no duration", where=f"durations/{name}", todo="give hours from 0 on"
                )

    def of(self, task: Task) -> Work:
        """The work of a task, its subtasks included."""
        hours, basis = self._hours(task)
        if hours > self._longest:
            raise PlanError(
                f"task {task.id} would take {hours:,.0f} hours of work",
                where=str(task.source),
                todo="correct its estimate",
            )
        total = minutes(hours)
        return Work(total, self._left(task, total, basis), basis)

    def _hours(self, task: Task) -> tuple[float, Basis]:
        if task.id in self._durations:
            return self._durations[task.id], Basis.MEASURED
        if task.estimate is not None:
            return task.estimate.hours, Basis.ESTIMATE
        inner = self._of_subtasks(task)
        if inner is not None:
            return inner, Basis.SUBTASKS
        stretch = self._placement.place(self._survey.window(task))
        if stretch is not None and stretch.first and stretch.last and stretch.first <= stretch.last:
            hours = self._calendar.within(stretch.first, stretch.last)
            if hours > 0:
                return hours, Basis.WINDOW
        return self._default, Basis.ASSUMED

    def _of_subtasks(self, task: Task, *, left: bool = False) -> float | None:
        """The hours of the subtasks that tell any; with ``left`` only what is still to be done of them."""
        known = False
        hours = 0.0
        waiting = list(task.subtasks)
        while waiting:
            one = waiting.pop()
            status = self._survey.status(one)
            if status is Status.SKIPPED:
                continue
            own = self._durations.get(one.id, one.estimate.hours if one.estimate else None)
            if own is None:
                waiting.extend(one.subtasks)
                continue
            known = True
            if is_open(status) or not left:
                hours += own * (_share_left(one) if left else 1.0)
        return hours if known else None

    def _left(self, task: Task, total: int, basis: Basis) -> int:
        if not is_open(self._survey.status(task)):
            return 0
        if basis is Basis.SUBTASKS:
            return min(total, minutes(self._of_subtasks(task, left=True) or 0.0))
        return min(total, math.ceil(total * _share_left(task)))


def _share_left(task: Task) -> float:
    """How much of an open task is left, 0 to 1."""
    if task.progress is None or task.status is Status.NOT_STARTED:
        return 1.0
    return 1.0 - min(max(task.progress, 0.0), 100.0) / 100


def minutes(hours: float) -> int:
    """Hours to the nearest minute; something that takes any time takes a minute at least."""
    return max(round(hours * 60), 1) if hours > 0 else 0
