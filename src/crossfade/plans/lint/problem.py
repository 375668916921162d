"""What lint finds, and what its checks know."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from crossfade.plans.model import Plan, Source, Task
from crossfade.plans.survey import Survey


class Level(enum.StrEnum):
    """An `ERROR` makes a run impossible, or dangerous; a `WARNING` says that the document is not true, or lacks
    something."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding.  ``check`` is the dotted name of what was looked for, ``todo`` what to do about it."""

    level: Level
    check: str
    what: str
    file: str
    line: int
    todo: str = ""

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}: {self.level.value}: {self.what} [{self.check}]"
        return f"{text}\n  what to do: {self.todo}" if self.todo else text

    def as_json(self) -> dict[str, str | int]:
        """The shape that ``--json`` prints."""
        return {
            "level": self.level.value,
            "check": self.check,
            "what": self.what,
            "file": self.file,
            "line": self.line,
            "todo": self.todo,
        }


@dataclass(slots=True)
class Subject:
    """The plan that is looked at, and what its names are compared with."""

    plan: Plan
    metrics: Collection[str] = ()
    gate_problem: Callable[[str], str | None] | None = None
    root: Path | None = None
    survey: Survey = field(init=False)

    def __post_init__(self) -> None:
        self.survey = Survey(self.plan)


Check = Callable[[Subject], Iterable[Problem]]


def error(check: str, source: Source, what: str, todo: str, *, line: int | None = None) -> Problem:
    """An error at that place; ``line`` where a field of the item stands elsewhere."""
    return Problem(Level.ERROR, check, what, source.file, line or source.line, todo)


def warning(check: str, source: Source, what: str, todo: str, *, line: int | None = None) -> Problem:
    """A warning at that place."""
    return Problem(Level.WARNING, check, what, source.file, line or source.line, todo)


def called(task: Task) -> str:
    """How a task is named in a message: by its id where it states one, else by its title."""
    if task.id_stated:
        return f"task {task.id}"
    title = task.title if len(task.title) <= 60 else task.title[:57].rstrip() + "…"
    return f"task “{title}”"


def some(names: Iterable[str], most: int = 5) -> str:
    """Some of the names, and how many there are more."""
    every = list(names)
    shown = ", ".join(every[:most])
    return f"{shown} and {len(every) - most} more" if len(every) > most else shown
