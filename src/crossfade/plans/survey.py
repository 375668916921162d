"""A plan, looked up: what stands inside what, and what an item says together with what stands around it.

A task that tells no owner has its phase's; one that tells no time has its phase's; one that tells no status in a
phase that is done is done.  Every question is answered in constant time after one pass over the plan.
"""

from __future__ import annotations

from collections.abc import Iterator

from crossfade.plans.model import Phase, Plan, Status, Task, TaskKind, Window


class Survey:
    """An index of a plan that does not change."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.phases: dict[str, Phase] = {}
        for phase in plan.phases:
            self.phases.setdefault(phase.id, phase)
        self.tasks: dict[str, Task] = {}
        """Every task and subtask, in the document's order."""
        self.parent: dict[str, Task] = {}
        """The task right around a subtask."""
        self.top: dict[str, Task] = {}
        """The outermost task around each task; itself where there is none."""
        for task in plan.tasks:
            for inner in task.walk():
                self.tasks.setdefault(inner.id, inner)
                self.top.setdefault(inner.id, task)
                for child in inner.subtasks:
                    self.parent.setdefault(child.id, inner)
        self._streams = {stream.name.casefold(): stream.owner for stream in plan.workstreams if stream.owner}
        self._around: dict[str, tuple[Phase, ...]] = {}
        self.children: dict[str, list[Phase]] = {}
        """The phases right under a phase, by its id."""
        for phase in self.phases.values():
            if phase.parent in self.phases and phase.parent is not None:
                self.children.setdefault(phase.parent, []).append(phase)

    def around(self, identifier: str) -> tuple[Phase, ...]:
        """The phase of that id and the ones around it, from the inside out."""
        known = self._around.get(identifier)
        if known is None:
            found: list[Phase] = []
            seen: set[str] = set()
            at: str | None = identifier
            while at is not None and at in self.phases and at not in seen:
                seen.add(at)
                found.append(self.phases[at])
                at = self.phases[at].parent
            known = self._around[identifier] = tuple(found)
        return known

    def inside(self, phase: Phase) -> Iterator[Phase]:
        """A phase and every phase nested in it, each once."""
        seen: set[str] = set()
        waiting = [phase]
        while waiting:
            one = waiting.pop()
            if one.id not in seen:
                seen.add(one.id)
                yield one
                waiting.extend(reversed(self.children.get(one.id, [])))

    def tasks_inside(self, phase: Phase) -> list[Task]:
        """The tasks of a phase and of every phase nested in it, without their subtasks."""
        return [task for one in self.inside(phase) for task in one.tasks]

    def ancestors(self, task: Task) -> Iterator[Task]:
        """The tasks around a subtask, from the inside out."""
        around = self.parent.get(task.id)
        while around is not None:
            yield around
            around = self.parent.get(around.id)

    def _outwards(self, task: Task) -> Iterator[Task | Phase]:
        """The tasks, then the phases, around a task."""
        yield from self.ancestors(task)
        yield from self.around(self.top[task.id].phase)

    # --- what an item says, with what stands around it ----------------------

    def status(self, task: Task) -> Status:
        """The status of a task; where it tells none, that of a finished or skipped phase or task around it."""
        if told(task):
            return task.status
        for one in self._outwards(task):
            if one.status in (Status.DONE, Status.SKIPPED):
                return one.status
            if one.status_text:
                break
        return task.status

    def owner(self, task: Task) -> str:
        """The owner of a task: its own, its parent's, its phase's, its workstream's, the plan's."""
        if task.owner:
            return task.owner
        for around in self._outwards(task):
            if around.owner:
                return around.owner
        for one in (task, *self.ancestors(task)):
            stream = self._streams.get(one.workstream.casefold())
            if stream:
                return stream
        return self.plan.owner

    def window(self, task: Task) -> Window | None:
        """When a task happens as far as it or the tasks around it tell."""
        return next((one.window for one in (task, *self.ancestors(task)) if one.window), None)

    def phase_window(self, task: Task) -> Window | None:
        """When the phase happens that a task stands in, or the nearest one around that tells it."""
        around = self.around(self.top[task.id].phase)
        return next((phase.window for phase in around if phase.window), None)


def told(task: Task) -> bool:
    """Whether the document tells a task's status: by words, by a sign, or by a box, be it empty."""
    return bool(task.status_text) or task.kind is TaskKind.CHECKBOX or task.status is not Status.NOT_STARTED


def is_open(status: Status) -> bool:
    """Whether work is left."""
    return status not in (Status.DONE, Status.SKIPPED)
