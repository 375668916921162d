"""Finding a task of a plan again in a document that somebody may have edited since.

The id decides, and where ids are not unique the order of those alike, if there are as many as before.  Lines are
not believed.  A task that cannot be told for certain is refused, so that a change never lands on another one.
"""

from __future__ import annotations

import re

from crossfade.errors import PlanError
from crossfade.plans.model import Plan, Task

_NUMBERED = re.compile(r"~\d+$")


class Relocation:
    """Tells which task of the present document is which task of the plan that was read before."""

    def __init__(self, before: Plan, now: Plan) -> None:
        self._before = before
        self._now = now
        self._old: dict[str, Task] = {}
        self._new: dict[str, Task] = {}
        self._old_groups: dict[str, list[Task]] = {}
        self._new_groups: dict[str, list[Task]] = {}
        for plan, tasks, groups in (
            (before, self._old, self._old_groups),
            (now, self._new, self._new_groups),
        ):
            for task in plan.walk():
                tasks[task.id] = task
                groups.setdefault(_NUMBERED.sub("", task.id), []).append(task)

    def find(self, identifier: str, line: int | None) -> Task:
        """The task in the present document.  Raises `PlanError` with file and line when it is gone, or when it
        cannot be told from others of its name."""
        old = self._old.get(identifier)
        if old is None:
            raise PlanError(
                f"no task {identifier!r} in the plan",
                where=self._before.path,
                todo="name a task by the id that `crossfade plan show` prints",
            )
        if line is not None and old.source.line != line:
            raise PlanError(
                f"task {identifier!r} stood in line {old.source.line} when the plan was read, not in {line}",
                where=f"{self._before.path}:{line}",
                todo="read the plan again",
            )
        base = _NUMBERED.sub("", identifier)
        olds, news = self._old_groups[base], self._new_groups.get(base, [])
        if len(olds) == len(news) == 1:
            if old.id_stated or news[0].title == old.title:
                return news[0]
        elif len(olds) == len(news):
            found = news[olds.index(old)]
            if [task.title for task in olds] == [task.title for task in news]:
                return found
        if news:
            raise PlanError(
                f"task {identifier!r} ({old.title!r}) cannot be told from others of its name: the document was "
                f"changed since it was read, and now has {len(news)} of them",
                where=f"{self._before.path}:{news[0].source.line}",
                todo="give the tasks ids of their own, and read the plan again",
            )
        raise PlanError(
            f"task {identifier!r} ({old.title!r}) is no longer in the document",
            where=f"{self._before.path}:{old.source.line}",
            todo="put it back, or start a new run from the plan as it is now",
        )
