"""Deliverables: tasks without one beside tasks that have one, and files of done tasks that do not exist."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from crossfade.plans.lint.groups import lacking
from crossfade.plans.lint.problem import Problem, Subject, called, some, warning
from crossfade.plans.model import Phase, Status, Task
from crossfade.plans.placeholders import is_placeholder, says_none

MOST_FILES = 200_000
"""Files of a repository that are looked at; in a larger one nothing is said about what is missing."""

_NOT_OURS = {".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", ".tox", ".mypy_cache"}
_PATH = re.compile(r"(?:\.{0,2}/)?[\w@+.-]+(?:/[\w@+.-]+)*/?")
_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,7}$")
_LINES = re.compile(r"(?::\d+(?:[-–:]\d+)?|#L\d+(?:-L?\d+)?)$")
_REMARK = re.compile(r"\s+(?:\(.*\)|[-–—:]\s.*|\[.*\])\s*$")
_CODE = re.compile(r"`([^`\n]+)`")
_GONE = re.compile(
    r"\b(?:delet\w*|remov\w*|drop\w*|rename\w*|moved?|obsolete|deprecat\w*|retir\w*|replaced by|gone)\b", re.I
)


def missing(subject: Subject) -> Iterator[Problem]:
    """Tasks without a deliverable among tasks that have one, and deliverables that are still to be said."""
    for task, group in lacking(subject, _delivers):
        if not any(says_none(text) for text in task.deliverables):
            yield warning(
                "deliverable.missing",
                task.source,
                f"{called(task)} has no deliverable; {group.having} of the {group.size} tasks beside it have one",
                "say what it delivers",
                line=task.lines.get("deliverables"),
            )


def not_there(subject: Subject) -> Iterator[Problem]:
    """Files that done tasks and phases name and that the repository does not have."""
    if subject.root is None:
        return
    repository = Repository(subject.root)
    survey = subject.survey
    done: list[tuple[str, Task | Phase, Iterable[str]]] = [
        (called(task), task, named_paths(task))
        for task in survey.tasks.values()
        if survey.status(task) is Status.DONE
    ]
    done += [
        (phase.id, phase, _of_texts(phase.deliverables, strict=True))
        for phase in survey.phases.values()
        if phase.status is Status.DONE
    ]
    for who, item, paths in done:
        absent = [path for path in dict.fromkeys(paths) if not repository.has(path)]
        if absent:
            plural = "do not exist" if len(absent) > 1 else "does not exist"
            yield warning(
                "deliverable.absent",
                item.source,
                f"{who} is done, but {some(absent)} {plural}",
                "deliver it, or correct the name or the status",
                line=item.lines.get("files") or item.lines.get("deliverables"),
            )


def named_paths(task: Task) -> Iterator[str]:
    """The texts in a task's files and deliverables that are paths of a repository for certain.

    A file that the task deletes or renames is not one: nobody expects to find it.
    """
    if not _GONE.search(task.title):
        yield from _of_texts(task.files, strict=False)
        yield from _of_texts(task.deliverables, strict=True)


def _of_texts(texts: Iterable[str], *, strict: bool) -> Iterator[str]:
    """``strict`` takes only what is written as code or has a folder before it: ``Node.js`` is no file."""
    for text in texts:
        if _GONE.search(_CODE.sub("", text)):
            continue
        codes = _CODE.findall(text)
        for word in codes or [text]:
            path = _LINES.sub("", _REMARK.sub("", word.strip()).strip())
            if not _PATH.fullmatch(path) or ".." in path.split("/") or "..." in path:
                continue
            folder = path.endswith("/") and bool(codes)
            if folder or (_EXTENSION.search(path) and ("/" in path or codes or not strict)):
                yield path


def _delivers(task: Task) -> bool:
    return any(text and not is_placeholder(text) and not says_none(text) for text in task.deliverables)


class Repository:
    """The files below a folder, read when first asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._endings: set[str] | None = None
        self._too_many = False

    def has(self, path: str) -> bool:
        """Whether there is such a file or folder, at this path from the root or from any folder below it."""
        relative = path.lstrip("/").removeprefix("./").rstrip("/")
        try:
            if (self._root / relative).exists():
                return True
        except OSError:  # a name that no file system takes
            return False
        if self._endings is None:
            self._endings = self._read()
        return self._too_many or relative in self._endings

    def _read(self) -> set[str]:
        found: set[str] = set()
        files = 0
        for folder, folders, names in os.walk(self._root):
            folders[:] = [name for name in folders if name not in _NOT_OURS]
            inside = PurePosixPath(Path(folder).relative_to(self._root).as_posix()).parts
            files += len(names)
            if files > MOST_FILES:
                self._too_many = True
                return set()
            for name in (*names, *folders):
                parts = (*inside, name)
                found.update("/".join(parts[start:]) for start in range(len(parts)))
        return found
