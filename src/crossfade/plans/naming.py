"""Ids: the stated ones first, then names made of titles."""

from __future__ import annotations

import re

from crossfade.plans.collection import Collection
from crossfade.plans.drafts import PhaseDraft, TaskDraft
from crossfade.plans.model import TaskKind

_NO_WORD = re.compile(r"[^\w]+")


class Taken:
    """The ids that are given away; a second one of a name becomes ``name~2``."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._next: dict[str, int] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def take(self, name: str) -> str:
        """The name, or the first free one with a number behind it."""
        if name in self._names:
            number = self._next.get(name, 2)
            while f"{name}~{number}" in self._names:
                number += 1
            self._next[name] = number + 1
            name = f"{name}~{number}"
        self._names.add(name)
        return name


class Names:
    """Ids of the entries of registers: the stated one, else the letter of the kind and a running number."""

    def __init__(self) -> None:
        self._taken: dict[str, Taken] = {}
        self._numbers: dict[str, int] = {}

    def name(self, letter: str, stated: str) -> str:
        """An id that no other entry of that kind has; a mere number gets the letter."""
        taken = self._taken.setdefault(letter, Taken())
        if stated:
            return taken.take(f"{letter}{stated}" if stated.isdigit() else stated)
        number = self._numbers.get(letter, 0) + 1
        while f"{letter}{number}" in taken:
            number += 1
        self._numbers[letter] = number
        return taken.take(f"{letter}{number}")


def slug(title: str, otherwise: str) -> str:
    """A title as an id: words in lower case with hyphens, at most 60 characters."""
    words = _NO_WORD.sub("-", title.lower()).strip("-_")
    if len(words) > 60:
        words = words[:61].rsplit("-", 1)[0] if "-" in words[:61] else words[:60]
    return words or otherwise


def name_phases(phases: list[PhaseDraft]) -> None:
    """Give every phase its id; a second ``Week 1`` is named after the phase around it."""
    taken = Taken()
    for phase in phases:
        name = "document" if phase.implicit else phase.name or slug(phase.title, "phase")
        if name in taken and phase.parent is not None:
            name = f"{phase.parent.final_id}/{name}"
        phase.final_id = taken.take(name)


def name_tasks(plan: Collection, tasks: list[TaskDraft]) -> None:
    """Give every task its id: stated ones first, so that no made one takes theirs; then running numbers that
    clash with nothing; then the titles."""
    everything = _with_subtasks(tasks)
    taken = Taken()
    kinds: dict[str, TaskKind] = {}
    for task in everything:
        if not task.id or task.weak:
            continue
        name = task.id
        if name in kinds and kinds[name] is not task.kind and TaskKind.SLICE in (kinds[name], task.kind):
            name = f"{task.kind.value}-{name}"
        kinds.setdefault(name, task.kind)
        task.final_id = taken.take(name)
        if task.final_id != name:
            plan.book.notice(
                task.index, f"a second task with the id {task.id!r}; it is read as {task.final_id!r}"
            )
    running: dict[str, int] = {}
    for task in everything:
        if task.weak:
            running[task.id] = running.get(task.id, 0) + 1
    for task in everything:
        if task.final_id:
            continue
        if task.weak and running[task.id] == 1 and task.id not in taken:
            task.final_id = taken.take(task.id)
            continue
        task.id = ""
        task.final_id = taken.take(slug(task.title, "task"))


def _with_subtasks(tasks: list[TaskDraft]) -> list[TaskDraft]:
    """All of them in the document's order; a subtask belongs to the phase of its task."""
    found: list[TaskDraft] = []
    waiting = list(reversed(tasks))
    while waiting:
        task = waiting.pop()
        found.append(task)
        for subtask in task.subtasks:
            subtask.phase = task.phase
        waiting.extend(reversed(task.subtasks))
    return found
