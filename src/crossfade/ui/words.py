"""How the page says things: times, states, kinds of states."""

from __future__ import annotations

import time
from typing import TypeVar

from crossfade.ui.snapshot import MoveView, Part, TaskView, Word

T = TypeVar("T")

LOOKS: dict[Word, tuple[str, str]] = {
    Word.NOT_STARTED: ("idle", "idle"),
    Word.WAITING: ("idle", "wait"),
    Word.READY: ("idle", "wait"),
    Word.RUNNING: ("busy", "busy"),
    Word.IN_PROGRESS: ("busy", "part"),
    Word.APPROVAL: ("ask", "ask"),
    Word.GATE: ("ask", "gate"),
    Word.DONE: ("good", "ok"),
    Word.CLAIMED: ("claim", "claim"),
    Word.BLOCKED: ("bad", "stop"),
    Word.FAILED: ("bad", "bad"),
    Word.REJECTED: ("bad", "bad"),
    Word.UNKNOWN: ("bad", "unknown"),
    Word.UNDOING: ("busy", "busy"),
    Word.UNDONE: ("idle", "undo"),
    Word.CANCELLED: ("idle", "stop"),
    Word.SKIPPED: ("idle", "skip"),
}
"""The class that gives a state its colour, and its icon; the word itself always stands beside them."""

PHASES = {
    "planned": "Nothing has been copied yet; the old side serves.",
    "copying": "Every row is being copied; the old side serves.",
    "following": "The other side is kept equal; it has not been compared yet.",
    "verified": "The other side is kept equal, and every cell was compared.",
    "switching": "The lead is changing hands.",
    "complete": "The new side keeps the lead for good.",
    "leaderless": "No side leads: see what is wrong.",
}

SLOW = 3.0
"""Seconds after which a source that does not answer is said to be silent."""

OLD = 10.0
"""Seconds after which what is shown is said to be old."""


def ago(then: float | None, now: float) -> str:
    """A moment as people say it."""
    if then is None:
        return "never"
    return f"{span(now - then)} ago"


def span(seconds: float) -> str:
    """A length of time as people say it."""
    seconds = max(0.0, seconds)
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return (
                f"{seconds / size:.0f} {unit}"
                if seconds >= 10 * size
                else f"{round(seconds / size, 1):g} {unit}"
            )
    return f"{seconds:.0f} s"


def clock(at: float, now: float) -> str:
    """A moment on the clock of this machine: the time of today, or the day and the time."""
    when = time.localtime(at)
    today = time.localtime(now)
    same = (when.tm_year, when.tm_yday) == (today.tm_year, today.tm_yday)
    return time.strftime("%H:%M:%S" if same else "%Y-%m-%d %H:%M", when)


def seconds(value: float | None) -> str:
    """A lag: fine when it is small."""
    if value is None:
        return "–"
    return f"{value:.1f} s" if value < 10 else span(value)


def milliseconds(value: float | None) -> str:
    """A duration in milliseconds, or in seconds when it is long."""
    if value is None:
        return "–"
    if value >= 10_000:
        return f"{value / 1000:.0f} s"
    return f"{value:.0f} ms" if value >= 10 or value == 0 else f"{value:.1f} ms"


def percent(share: float) -> str:
    """A share (0 to 1); 0 and 100 only for nothing and all of it."""
    if 0 < share < 1:
        return f"{min(99, max(1, round(100 * share)))} %"
    return f"{100 * share:.0f} %"


def rate(share: float) -> str:
    """A share that is expected to be small."""
    return "0 %" if share == 0 else f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def sentence(text: str) -> str:
    """What was said, as a sentence: a capital in front, a full stop at the end."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text[-1:] in '.!?…' else '.'}"


def note(part: Part[T] | None, name: str, now: float) -> str:
    """What is to be said of a part that does not answer, or failed; empty when all is well."""
    if part is None:
        return ""
    if part.problem is not None:
        shown = f" What is shown is {span(now - part.at)} old." if part.at is not None else ""
        todo = f" What to do: {sentence(part.problem.todo)}" if part.problem.todo else ""
        where = f"{part.problem.where}: " if part.problem.where else ""
        return f"{sentence(where + part.problem.what)}{todo}{shown}"
    if part.since is not None and now - part.since > SLOW:
        shown = f" What is shown is {span(now - part.at)} old." if part.at is not None else ""
        return f"{name} has not answered for {span(now - part.since)}.{shown}"
    return ""


def leads(move: MoveView | None) -> str:
    """Who leads, in one sentence."""
    if move is None:
        return "It is not known yet who leads"
    if move.leader is not None:
        return f"The {move.leader} side leads"
    return "No side leads" if move.phase == "leaderless" else "The old side serves; nothing is copied yet"


def gate_line(task: TaskView) -> str:
    """What stands between a task and its end: its gate's verdict, or who has to approve."""
    approval = task.approval
    if approval is not None and task.word is Word.APPROVAL:
        of = f" of {approval.group}" if approval.group else ""
        return f"{len(approval.given)} of {approval.needed} approvals{of}"
    if task.gate is not None and task.gate.passed is not None and not task.gate.passed:
        return task.gate.text or "the gate is closed"
    return task.note
