"""Verbs of Crossfade that would run side by side with what they stand on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
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
    behind = _Behind(Ordering(survey), uses)
    first = {use.verb: use for use in reversed(uses)}
    for use in uses:
        if not is_open(survey.status(use.task)):
            continue
        for verb in reversed(_STANDS_ON.get(use.verb, ())):
            other = first.get(verb)
            if other is None or behind.waits(use, verb):
                continue
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


class _Behind:
    """What comes after some task that runs a verb.  One walk for each verb, so that a large plan is looked at as
    quickly as its size allows."""

    def __init__(self, ordering: Ordering, uses: Sequence[_Use]) -> None:
        self._after: dict[Node, list[Node]] = {}
        for node, before in ordering.before.items():
            for one in before:
                self._after.setdefault(one, []).append(node)
        self._reached = {
            verb: self._walk(
                Node(DependencyKind.TASK, use.task.id, Side.END) for use in uses if use.verb == verb
            )
            for verb in {use.verb for use in uses}
        }
        self._first: dict[tuple[str, str], int] = {}
        for use in uses:
            self._first.setdefault((use.task.id, use.verb), use.at)

    def waits(self, use: _Use, verb: str) -> bool:
        """Whether the commands of that use come after a task that runs the verb, or after the verb itself."""
        if self._first.get((use.task.id, verb), use.at) < use.at:
            return True
        inner = (
            Node(DependencyKind.TASK, one.id, Side.END) for one in use.task.walk() if one is not use.task
        )
        own = Node(DependencyKind.TASK, use.task.id, Side.BEGIN)
        return any(node in self._reached[verb] for node in (own, *inner))

    def _walk(self, begin: Iterable[Node]) -> set[Node]:
        seen = set(begin)
        waiting = list(seen)
        while waiting:
            for node in self._after.get(waiting.pop(), ()):
                if node not in seen:
                    seen.add(node)
                    waiting.append(node)
        return seen
