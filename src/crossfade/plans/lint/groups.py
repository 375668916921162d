"""Tasks that stand together, and the ones among them that lack what most of the others have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from crossfade.plans.lint.problem import Subject
from crossfade.plans.model import Task, TaskKind
from crossfade.plans.survey import is_open


@dataclass(frozen=True, slots=True)
class Group:
    """How many tasks stand together, and how many of them have it."""

    size: int
    having: int


def lacking(subject: Subject, has: Callable[[Task], bool]) -> Iterator[tuple[Task, Group]]:
    """The open tasks that lack something which more than half of the tasks beside them have.

    Beside a task stand the ones of its shape under its heading.  Outside of tables, where no column asks for
    it, at least two others must have it.
    """
    groups: dict[tuple[str, tuple[str, ...], TaskKind], list[Task]] = {}
    for task in subject.plan.tasks:
        groups.setdefault((task.phase, task.path, task.kind), []).append(task)
    for (_, _, kind), tasks in groups.items():
        having = sum(1 for task in tasks if has(task))
        if having < (1 if kind is TaskKind.ROW else 2) or 2 * having <= len(tasks) - 1:
            continue
        for task in tasks:
            if not has(task) and is_open(subject.survey.status(task)):
                yield task, Group(len(tasks), having)
