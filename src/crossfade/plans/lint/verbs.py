"""Verbs of Crossfade that would run side by side with what they stand on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from crossfade.plans.lint.problem import Problem, Subject, called, warning
from crossfade.plans.model import DependencyKind, Status, Task
from crossfade.plans.ordering import Node, Ordering, Side
from crossfade.plans.survey import is_open

_STANDS_ON = {
    "follow": ("copy",),
    "verify": ("copy",),
    "shift": ("copy", "follow"),
    "cutover": ("copy", "follow", "verify"),
    "complete": ("cutover",),
}
"""By verb, those that come before it, if the plan has them; the nearest last."""

_VERB = re.compile(r"\bcrossfade\s+(copy|follow|verify|shift|cutover|complete)\b(?!.*--stop)")


@dataclass(frozen=True, slots=True)
class _Use:
    """A verb in a task's commands; ``at`` is its place among them."""

    verb: str
    task: Task
    at: int


def unordered(subject: Subject) -> Iterator[Problem]:
    """Tasks that run a verb and do not wait for any task that runs what it stands on."""
    survey = subject.survey
    uses = [
        _Use(found[1], task, at)
        for task in survey.tasks.values()
        if survey.status(task) is not Status.SKIPPED
        for at, found in enumerate(found for command in task.run for found in _VERB.finditer(command))
    ]
    if len(uses) < 2:
        return
    ordering = Ordering(survey)
    for use in uses:
        if not is_open(survey.status(use.task)):
            continue
        earlier = _before(ordering, use.task)
        for verb in reversed(_STANDS_ON.get(use.verb, ())):
            others = [one for one in uses if one.verb == verb]
            if not others or any(
                one.task.id in earlier or (one.task is use.task and one.at < use.at) for one in others
            ):
                continue
            other = others[0]
            yield warning(
                "order.verbs",
                use.task.source,
                f"{called(use.task)} runs `crossfade {use.verb}` and waits for no task that runs "
                f"`crossfade {verb}`, such as {called(other.task)} (line {other.task.source.line}): tasks that do not "
                "depend on each other run side by side",
                f"add `- **Dependencies**: Task {other.task.id}`" if other.task.id_stated
                else "give that task an id, and name it under **Dependencies**",
                line=use.task.lines.get("run"),
            )  # fmt: skip
            break


def _before(ordering: Ordering, task: Task) -> set[str]:
    """The tasks that have ended when the commands of this one begin: what it waits for, and what is nested in it."""
    waiting = [Node(DependencyKind.TASK, task.id, Side.BEGIN)]
    waiting += [Node(DependencyKind.TASK, inner.id, Side.END) for inner in task.walk() if inner is not task]
    seen = set(waiting)
    while waiting:
        for node in ordering.before.get(waiting.pop(), ()):
            if node not in seen:
                seen.add(node)
                waiting.append(node)
    return {node.id for node in seen if node.kind is DependencyKind.TASK and node.side is Side.END}
