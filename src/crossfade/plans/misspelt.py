"""Fields that were nearly one of those that make a task run: ``Rnu``, ``On fail``, ``Command``.

A field whose name nobody knows is kept and does nothing, which is right for ``Notes`` and ``Rationale`` and wrong
for a command that somebody believes to be run.  Told are only near misses and a few words that mean the same,
and only in a task that is run, or when what the field says looks like a command.
"""

from __future__ import annotations

import difflib

from crossfade.plans.drafts import TaskDraft
from crossfade.plans.inline import codes, outside_code
from crossfade.plans.manuscript import Manuscript
from crossfade.plans.model import TaskKind
from crossfade.plans.titles import undecorated

_NAMES = ("run", "gate", "approve", "undo", "timeout", "retry", "on failure", "within", "rehearse")
_EXECUTABLE = frozenset(("run", "gate", "approve", "undo", "timeout", "retry", "on_failure"))
_SYNONYMS = {
    "command": "run",
    "commands": "run",
    "cmd": "run",
    "shell": "run",
    "exec": "run",
    "execute": "run",
    "rn": "run",
    "ru": "run",
    "undo command": "undo",
    "rollback command": "undo",
    "max retries": "retry",
    "time limit": "timeout",
    "on fail": "on failure",
    "if fails": "on failure",
    "approval by": "approve",
    "approval from": "approve",
}
_ORDINARY = frozenset(
    ("approved", "rehearsed", "rehearsal", "with", "without", "improve", "reverse", "retro")
)
"""Words that are nearly one of the names and mean something else."""
_NEAR = 0.81
_NEAR_OF_CODE = 0.65
_LONGEST = 24


def meant(label: str, text: str) -> str:
    """The field that was probably meant by a label that nobody knows; empty when none was.  ``text`` is the value:
    a label before nothing but code may be further off."""
    lower = " ".join(undecorated(label).lower().strip(" \t*_`:").replace("-", " ").replace("_", " ").split())
    if lower in _SYNONYMS:
        return _SYNONYMS[lower]
    if not lower or lower in _ORDINARY or lower in _NAMES or len(lower) > _LONGEST:
        return ""
    for name in _NAMES:
        if sorted(name) == sorted(lower):
            return name
    code = bool(codes(text)) and not outside_code(text).strip(" \t,;&")
    near = difflib.get_close_matches(lower, _NAMES, 1, _NEAR_OF_CODE if code else _NEAR)
    alike = bool(near) and near[0][0] == lower[0] and abs(len(near[0]) - len(lower)) <= 2
    return near[0] if alike else ""


def note(task: TaskDraft, label: str, text: str, index: int) -> None:
    """Remember a field of a task whose name nobody knows, if another one may be meant."""
    name = meant(label, text)
    if name:
        task.strays.append((undecorated(label).strip(" \t*_`:"), name, index, bool(codes(text))))


def tell(book: Manuscript, task: TaskDraft, told: set[str]) -> None:
    """Notices about the fields of a finished task.  ``told`` are the columns of tables that were told before."""
    run = not _EXECUTABLE.isdisjoint(task.lines) or len(task.strays) > 1
    for label, name, index, code in task.strays:
        if not (run or code):
            continue
        if task.kind is TaskKind.ROW:
            if label in told:
                continue
            told.add(label)
        book.notice(
            index, f"the field {label!r} of {task.title!r} does nothing; did you mean {name.capitalize()}?"
        )
