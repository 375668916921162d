"""Ids that are used twice, and a document that has no task."""

from __future__ import annotations

import re
from collections.abc import Iterator

from crossfade.plans.lint.problem import Problem, Subject, error, warning
from crossfade.plans.model import Source

_SECOND = re.compile(r"(?P<base>.+)~\d+")


def duplicate(subject: Subject) -> Iterator[Problem]:
    """Tasks that state the id of an earlier one; the reader calls them ``28.1~2``.  The same for milestones."""
    tasks = subject.survey.tasks
    for task in tasks.values():
        again = _SECOND.fullmatch(task.id) if task.id_stated else None
        first = tasks.get(again["base"]) if again else None
        if again and first is not None:
            base = again["base"]
            yield error(
                "id.duplicate",
                task.source,
                f"the task id {base} is used again: the first one is in line {first.source.line}",
                f"give one of the two another id; whatever depends on {base} means the first one",
            )
    milestones = {one.id: one for one in reversed(subject.plan.milestones)}
    for milestone in subject.plan.milestones:
        again = _SECOND.fullmatch(milestone.id)
        known = milestones.get(again["base"] if again else milestone.id)
        if known is not None and known is not milestone:
            yield warning(
                "id.duplicate",
                milestone.source,
                f"the milestone {known.id} is there again: the first one is in line {known.source.line}",
                "give one of the two another id",
            )


def empty(subject: Subject) -> Iterator[Problem]:
    """A document in which no task was found."""
    if not subject.survey.tasks:
        yield warning(
            "plan.empty",
            Source(file=subject.plan.path, line=1),
            "no task was found in the document",
            "write tasks as `**Task 1.1: Title**` with fields below, as rows of a table, or as checkboxes",
        )
