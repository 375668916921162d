"""Statuses, percentages and dates that contradict each other, and statuses that cannot be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from crossfade.plans.lint.problem import Problem, Subject, called, some, warning
from crossfade.plans.model import Phase, Source, Status, Task, TaskKind
from crossfade.plans.survey import Survey, is_open, told

TOLERANCE = 10.0
"""Points by which a stated progress may be away from the tasks'."""


def tasks(subject: Subject) -> Iterator[Problem]:
    """Done with 60 %, not started with 40 %, done with open subtasks, finished before it was started."""
    for task in subject.survey.tasks.values():
        yield from _percentage(subject.survey, task)
        yield from _dates(task)


def phases(subject: Subject) -> Iterator[Problem]:
    """What phases and the document state, against their tasks."""
    for phase in subject.survey.phases.values():
        if not phase.implicit:
            inside = subject.survey.tasks_inside(phase)
            yield from _whole(subject.survey, phase.id, phase.source, phase.lines, phase, inside)
    plan = subject.plan
    head = Source(file=plan.path, line=1)
    stands_in = Phase(
        id="plan",
        title="",
        source=head,
        status=plan.status,
        status_text=plan.status_text,
        progress=plan.progress,
    )
    yield from _whole(subject.survey, "the plan", head, plan.lines, stands_in, list(plan.tasks))


def unreadable(subject: Subject) -> Iterator[Problem]:
    """Statuses that were written but mean nothing known."""
    plan = subject.plan
    found: list[tuple[str, Source, str, int | None]] = [
        (called(task), task.source, task.status_text, task.lines.get("status"))
        for task in subject.survey.tasks.values()
        if task.status is Status.UNKNOWN
    ]
    found += [
        (phase.id, phase.source, phase.status_text, phase.lines.get("status"))
        for phase in plan.phases
        if phase.status is Status.UNKNOWN
    ]
    found += [
        (f"milestone {one.id}", one.source, one.status_text, None)
        for one in plan.milestones
        if one.status is Status.UNKNOWN
    ]
    found += [
        (f"gate {one.id}", one.source, one.status_text, None)
        for one in plan.gates
        if one.status is Status.UNKNOWN
    ]
    if plan.status is Status.UNKNOWN:
        found.append(("the plan", Source(file=plan.path, line=1), plan.status_text, plan.lines.get("status")))
    for who, source, text, line in found:
        yield warning(
            "status.unreadable",
            source,
            f"the status of {who} is not understood: {text!r}",
            "write it as not started, in progress, blocked, done or skipped",
            line=line,
        )


# --- tasks ------------------------------------------------------------------


def _percentage(survey: Survey, task: Task) -> Iterator[Problem]:
    """A percentage that only tells how many boxes below are ticked is told as what it is: open subtasks."""
    line = task.lines.get("progress") or task.lines.get("status")
    stated = task.places.progress is not None or "progress" in task.lines or not task.subtasks
    progress = task.progress
    if task.status is Status.DONE:
        open_ones = [one for one in task.subtasks if told(one) and is_open(survey.status(one))]
        if open_ones:
            yield warning(
                "status.subtasks",
                task.source,
                f"{called(task)} is done, but {len(open_ones)} of its {len(task.subtasks)} subtasks are not: "
                f"{some(_titles(open_ones), 3)}",
                "tick the subtasks, or correct the status",
                line=task.lines.get("status"),
            )
        if stated and progress is not None and progress < 100:
            yield _contradiction(called(task), task.source, "done", progress, line)
    elif task.status is Status.NOT_STARTED and progress is not None and progress > 0:
        # an open box above ticked ones only says that not all of them are
        if stated or (task.status_text and task.kind is not TaskKind.CHECKBOX):
            yield _contradiction(called(task), task.source, "not started", progress, line)
    elif task.status is Status.IN_PROGRESS and stated and progress is not None and progress >= 100:
        yield _contradiction(called(task), task.source, "in progress", progress, line)


def _contradiction(who: str, source: Source, status: str, progress: float, line: int | None) -> Problem:
    return warning(
        "status.progress",
        source,
        f"{who} is {status}, with a progress of {progress:g} %",
        "correct the status, or the percentage",
        line=line,
    )


def _dates(task: Task) -> Iterator[Problem]:
    if task.started and task.finished and task.finished < task.started:
        yield warning(
            "status.dates",
            task.source,
            f"{called(task)} was finished on {task.finished}, before it was started on {task.started}",
            "correct one of the two dates",
            line=task.lines.get("finished"),
        )
    if task.finished and told(task) and task.status in (Status.NOT_STARTED, Status.IN_PROGRESS):
        yield warning(
            "status.dates",
            task.source,
            f"{called(task)} was finished on {task.finished}, but its status is "
            f"{task.status.value.replace('_', ' ')}",
            "correct the status, or take the date out",
            line=task.lines.get("finished"),
        )


# --- phases and the document ------------------------------------------------


def _whole(
    survey: Survey, who: str, source: Source, lines: dict[str, int], stated: Phase, inside: Sequence[Task]
) -> Iterator[Problem]:
    line = lines.get("status") or lines.get("progress")
    open_ones = [task for task in inside if told(task) and is_open(task.status)]
    done_ones = [task for task in inside if told(task) and task.status is Status.DONE]
    if stated.status is Status.DONE and open_ones:
        yield warning(
            "status.phase",
            source,
            f"{who} is done, but {len(open_ones)} of its {len(inside)} tasks are not: "
            f"{some(_titles(open_ones), 3)}",
            "finish or skip the tasks, or correct the status",
            line=line,
        )
        return
    if stated.status is Status.NOT_STARTED and stated.status_text and done_ones:
        yield warning(
            "status.phase",
            source,
            f"{who} is not started, but {len(done_ones)} of its {len(inside)} tasks are done: "
            f"{some(_titles(done_ones), 3)}",
            "correct the status",
            line=line,
        )
        return
    progress = stated.progress
    if progress is None:
        return
    if stated.status is Status.DONE and progress < 100:
        yield _contradiction(who, source, "done", progress, line)
        return
    if stated.status is Status.NOT_STARTED and stated.status_text and progress > 0:
        yield _contradiction(who, source, "not started", progress, line)
        return
    reached = weighted(survey, inside)
    if reached is not None and not reached[0] - TOLERANCE <= progress <= reached[1] + TOLERANCE:
        low, high = round(reached[0]), round(reached[1])
        told_as = f"{low} %" if low == high else f"between {low} % and {high} %"
        yield warning(
            "status.progress",
            source,
            f"{who} states a progress of {progress:g} %, but by the hours of its tasks it is at {told_as}",
            "correct the percentage, or the tasks' statuses",
            line=lines.get("progress") or line,
        )


def weighted(survey: Survey, inside: Iterable[Task]) -> tuple[float, float] | None:
    """The least and the most progress that some tasks can have, 0 to 100, each weighted by its hours (by the
    mean where it tells none); ``None`` when there is nothing to weigh."""
    shares = [
        (task.estimate.hours if task.estimate else None, _share(survey, task))
        for task in inside
        if survey.status(task) is not Status.SKIPPED
    ]
    known = [hours for hours, _ in shares if hours]
    usual = sum(known) / len(known) if known else 1.0
    weights = [usual if hours is None else hours for hours, _ in shares]
    if not sum(weights):
        return None
    low = sum(weight * share[0] for weight, (_, share) in zip(weights, shares, strict=True))
    high = sum(weight * share[1] for weight, (_, share) in zip(weights, shares, strict=True))
    return low / sum(weights), high / sum(weights)


def _share(survey: Survey, task: Task) -> tuple[float, float]:
    status = survey.status(task)
    if status is Status.DONE:
        return 100.0, 100.0
    if task.progress is not None:
        return task.progress, task.progress
    if not told(task) or status is Status.UNKNOWN:
        return 0.0, 100.0
    return (0.0, 0.0) if status is Status.NOT_STARTED else (1.0, 99.0)


def _titles(items: Iterable[Task]) -> Iterator[str]:
    return (item.id if item.id_stated else f"“{item.title}”" for item in items)
