"""Dependencies: on what nobody wrote, around in a circle, and against the time windows."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Iterator

from crossfade.plans.calendar import Calendar
from crossfade.plans.lint.problem import Problem, Subject, called, error, warning
from crossfade.plans.model import Dependency, DependencyKind, Status, Task, Window
from crossfade.plans.ordering import Ordering
from crossfade.plans.stretches import Axis, Placement, Stretch
from crossfade.plans.survey import is_open, told

_SUGGESTIONS = 20
"""Unknown names for which a similar one is looked for."""

_COMPARED = 2000
"""Names among which a similar one is looked for."""

_MET = "✅✔☑"
_ANY_MONDAY = datetime.date(2001, 1, 1)


def unknown(subject: Subject) -> Iterator[Problem]:
    """Dependencies on tasks, phases and milestones that the document does not have.

    One that is marked as met where it is written (``Phase 3 completion (✅ live)``) is left in peace.
    """
    names = {
        DependencyKind.TASK: [*subject.survey.tasks],
        DependencyKind.PHASE: [*subject.survey.phases],
        DependencyKind.MILESTONE: [milestone.id for milestone in subject.plan.milestones],
    }
    suggested = 0
    for who, left, dependency in _all(subject):
        met = any(sign in dependency.raw for sign in _MET)
        if dependency.known or dependency.kind is DependencyKind.TEXT or met:
            continue
        similar: list[str] = []
        among = names[dependency.kind]
        if suggested < _SUGGESTIONS and len(among) <= _COMPARED:
            suggested += 1
            similar = difflib.get_close_matches(dependency.target or dependency.raw, among, 3, 0.5)
        kind = "" if dependency.kind is DependencyKind.PHASE else f"{dependency.kind.value} "
        yield (error if left else warning)(
            "dependency.unknown",
            dependency.source,
            f"{who} depends on {kind}{dependency.target}, which is not in the plan",
            f"correct it ({' or '.join(similar)}?), or add it"
            if similar
            else "correct the dependency, or add what it names",
        )


def circular(subject: Subject) -> Iterator[Problem]:
    """Circles of dependencies, each told once and whole."""
    for cycle in Ordering(subject.survey).cycles():
        step = cycle.steps[0]
        yield error(
            "dependency.cycle",
            step.source,
            f"the dependencies go around in a circle: {cycle} ({cycle.lines})",
            "take one dependency out of the circle",
        )


def late(subject: Subject) -> Iterator[Problem]:
    """Tasks that are to happen before what they depend on, as far as the windows can be compared."""
    windows = _Windows(subject)
    for task in subject.survey.tasks.values():
        if not is_open(subject.survey.status(task)):
            continue
        own = windows.of_task(task)
        if own is None:
            continue
        for dependency in task.dependencies:
            needed = windows.of_target(dependency)
            if needed is not None and dependency.known:
                problem = _compare(task, own, dependency, needed, windows)
                if problem is not None:
                    yield problem


def undone(subject: Subject) -> Iterator[Problem]:
    """Done tasks that depend on tasks which are said not to be."""
    for task in subject.survey.tasks.values():
        if task.status is not Status.DONE:
            continue
        for dependency in task.dependencies:
            other = subject.survey.tasks.get(dependency.target or "")
            if dependency.kind is DependencyKind.TASK and other is not None and told(other):
                status = subject.survey.status(other)
                if status in (Status.NOT_STARTED, Status.IN_PROGRESS, Status.BLOCKED):
                    yield warning(
                        "status.dependency",
                        task.source,
                        f"{called(task)} is done, but {called(other)}, on which it depends, is "
                        f"{status.value.replace('_', ' ')} (line {other.source.line})",
                        "correct one of the two statuses, or take the dependency out",
                        line=task.lines.get("status"),
                    )


def _all(subject: Subject) -> Iterator[tuple[str, bool, Dependency]]:
    """Who depends, whether that is still to be done, and on what."""
    for phase in subject.survey.phases.values():
        for dependency in phase.dependencies:
            yield phase.id, is_open(phase.status), dependency
    for task in subject.survey.tasks.values():
        for dependency in task.dependencies:
            yield called(task), is_open(subject.survey.status(task)), dependency


class _When:
    """A window's dates; ``own`` when the item states it and not only the phase around it."""

    def __init__(self, window: Window, stretch: Stretch, *, own: bool) -> None:
        self.window = window
        self.stretch = stretch
        self.own = own


class _Windows:
    """Places the windows of a plan on one axis: dates if the plan tells its first day, else whatever the windows
    count, from an arbitrary Monday on."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        begins = subject.plan.window.start if subject.plan.window else None
        first = begins.date if begins else None
        self._anchored = first is not None
        self._placement = Placement(first or _ANY_MONDAY, Calendar())
        self._milestones = {one.id: one.window for one in subject.plan.milestones}

    def of_task(self, task: Task) -> _When | None:
        survey = self._subject.survey
        return self._when(survey.window(task), own=True) or self._when(survey.phase_window(task), own=False)

    def of_target(self, dependency: Dependency) -> _When | None:
        survey = self._subject.survey
        target = dependency.target or ""
        if dependency.kind is DependencyKind.TASK:
            task = survey.tasks.get(target)
            return self.of_task(task) if task and is_open(survey.status(task)) else None
        if dependency.kind is DependencyKind.PHASE:
            phase = survey.phases.get(target)
            return self._when(phase.window, own=True) if phase and is_open(phase.status) else None
        return self._when(self._milestones.get(target), own=True)

    def _when(self, window: Window | None, *, own: bool) -> _When | None:
        stretch = self._placement.place(window)
        return _When(window, stretch, own=own) if window is not None and stretch is not None else None

    def comparable(self, one: Axis | None, other: Axis | None) -> bool:
        if one is None or other is None:
            return False
        return self._anchored or one is other


def _compare(
    task: Task, own: _When, dependency: Dependency, needed: _When, windows: _Windows
) -> Problem | None:
    one, other = own.stretch, needed.stretch
    if one.last is None or not windows.comparable(one.axis, other.axis):
        return None
    what = "task " if dependency.kind is DependencyKind.TASK else ""
    told = (
        f"{called(task)} ({own.window.raw}) depends on {what}{dependency.target} ({needed.window.raw}), which"
    )
    if other.first is not None and other.first > one.last:
        return error(
            "order.late",
            task.source,
            f"{told} begins only after it",
            "move one of the two windows, or take the dependency out",
            line=task.lines.get("window"),
        )
    if own.own and needed.own and other.last is not None and other.last > one.last:
        return warning(
            "order.late",
            task.source,
            f"{told} ends only after it",
            "let it end later, or what it depends on earlier",
            line=task.lines.get("window"),
        )
    return None
