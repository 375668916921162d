"""What a run says of its tasks, as the page needs it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from crossfade.masking import mask
from crossfade.runs import machine
from crossfade.runs.approvals import Said
from crossfade.runs.attempts import Attempt
from crossfade.runs.results import TaskStatus
from crossfade.runs.state import RunState, TaskState
from crossfade.ui.snapshot import ApprovalView, Problem, RunView, SaidView, Word

_TAIL = 4_000
"""Characters of an output that are shown."""

_WORDS = {
    TaskStatus.WAITING: Word.WAITING,
    TaskStatus.READY: Word.READY,
    TaskStatus.APPROVAL: Word.APPROVAL,
    TaskStatus.RUNNING: Word.RUNNING,
    TaskStatus.GATE: Word.GATE,
    TaskStatus.UNKNOWN: Word.UNKNOWN,
    TaskStatus.DONE: Word.DONE,
    TaskStatus.FAILED: Word.FAILED,
    TaskStatus.REJECTED: Word.REJECTED,
    TaskStatus.SKIPPED: Word.SKIPPED,
    TaskStatus.CANCELLED: Word.CANCELLED,
    TaskStatus.UNDOING: Word.UNDOING,
    TaskStatus.UNDONE: Word.UNDONE,
}


@dataclass(frozen=True, slots=True)
class Live:
    """What the run says of one task at this moment; ``word`` is None where it says nothing."""

    word: Word | None = None
    note: str = ""
    attempt: int = 0
    started_at: float | None = None
    finished_at: float | None = None
    gate_passed: bool | None = None
    gate_text: str = ""
    gate_seen: tuple[tuple[str, str], ...] = ()
    approval: ApprovalView | None = None
    """While it is asked for."""
    given: tuple[SaidView, ...] = ()
    output: str = ""
    measured: tuple[tuple[str, str], ...] = ()
    error: Problem | None = None
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class RunSeen:
    """The run that is under way, or the last one of the plan, with its tasks by id."""

    view: RunView
    tasks: Mapping[str, Live] = field(default_factory=dict)


def seen_of(state: RunState, attempts: Sequence[Attempt]) -> RunSeen:
    """A run's state as the page shows it."""
    last: dict[str, Attempt] = {}
    for attempt in attempts:
        last[attempt.task.removesuffix("/undo")] = attempt
    return RunSeen(
        RunView(
            id=state.run,
            state="goes on" if state.outcome is None else state.outcome.value,
            started_by=state.started_by,
            started_at=_seconds(state.started_at),
            active=state.outcome is None,
        ),
        {task.id: live_of(task, last.get(task.id)) for task in state.tasks},
    )


def live_of(task: TaskState, attempt: Attempt | None) -> Live:
    """One task's state; ``attempt`` is the last one at a command of it."""
    bad = task.status in (TaskStatus.FAILED, TaskStatus.REJECTED, TaskStatus.UNKNOWN)
    verdict = task.verdict
    return Live(
        word=_WORDS[task.status],
        note="" if bad else mask(task.reason),
        attempt=task.attempt,
        started_at=task.started,
        finished_at=task.finished,
        gate_passed=verdict.passed if verdict is not None else None,
        gate_text=mask(verdict.text) if verdict is not None else "",
        gate_seen=values(verdict.seen) if verdict is not None else (),
        approval=_approval(task),
        given=_given(task),
        output=output_of(attempt) if attempt is not None else "",
        measured=values(task.measured or {}),
        error=Problem(mask(task.reason), attempt.command if attempt is not None else "")
        if bad and task.reason
        else None,
        doubt=mask(task.command) if task.status is TaskStatus.UNKNOWN else "",
    )


def output_of(attempt: Attempt) -> str:
    """The end of what a command printed: of its result, or so far when it runs on this machine."""
    if attempt.result is not None:
        parts = [str(attempt.result.get(name) or "") for name in ("stdout", "stderr")]
    elif attempt.folder is not None and attempt.host == machine.host():
        stem = Path(attempt.folder) / f"{attempt.number}-{attempt.command_index}"
        parts = [_end_of(stem.with_suffix(suffix)) for suffix in (".out", ".err")]
    else:
        parts = []
    return mask("\n".join(part.rstrip() for part in parts if part.strip()))[-_TAIL:]


def values(found: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Measurements, each with its name."""
    return tuple((name, _value(value)) for name, value in found.items() if value is not None)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return mask(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _approval(task: TaskState) -> ApprovalView | None:
    request = task.request
    if request is None:
        return None
    return ApprovalView(
        needed=request.count,
        group=request.group or "",
        given=_given(task),
        expires_at=request.expires_at,
        open=task.status is TaskStatus.APPROVAL,
    )


def _given(task: TaskState) -> tuple[SaidView, ...]:
    """Each person once."""
    given: dict[str, SaidView] = {}
    for said in task.approvals:
        given.setdefault(said.person.name, _said(said))
    return tuple(given.values())


def _said(said: Said) -> SaidView:
    return SaidView(str(said.person), said.at, said.reason)


def _end_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            return file.read(_TAIL).decode("utf-8", "replace")
    except OSError:
        return ""


def _seconds(at: str) -> float | None:
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return None
