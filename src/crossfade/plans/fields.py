"""What is made of the values of a task's fields and cells; `crossfade.plans.labels` knows their names."""

from __future__ import annotations

import re
from collections.abc import Callable

from crossfade.plans import commands
from crossfade.plans.drafts import PhaseDraft, Record, TaskDraft, Value
from crossfade.plans.durations import find_amount, parse_estimate, parse_seconds
from crossfade.plans.inline import codes, links, plain
from crossfade.plans.labels import dependency_texts, field_name, item_text, piece_text, several, short, words
from crossfade.plans.manuscript import Manuscript
from crossfade.plans.misspelt import note
from crossfade.plans.model import Link, Status, Unit, Window
from crossfade.plans.statuses import find_status, parse_progress
from crossfade.plans.titles import undecorated
from crossfade.plans.windows import parse_date, parse_window

_HOURS = re.compile(r"\bhours?\b|\bhrs?\b|\(h\)|\best", re.I)
_UNITS = {
    "week": Unit.WEEK,
    "weeks": Unit.WEEK,
    "target week": Unit.WEEK,
    "day": Unit.DAY,
    "sprint": Unit.SPRINT,
    "month": Unit.MONTH,
}
_STARTS = frozenset(("start", "start date", "planned start"))
_DUES = frozenset(("due", "due date", "deadline", "target date", "target"))
_CLOCK_TIME = re.compile(r"T?[-+]?\d{1,2}:\d{2}")
_DASHES = re.compile(r"[-–—]*$")
_EXECUTABLE = ("run", "gate", "approve", "undo", "timeout", "retry", "on_failure")


def set_task_field(book: Manuscript, task: TaskDraft, label: str, value: Value) -> None:
    """Give a task the field of that label.  The first of two fields of one name counts; a notice tells it."""
    name = field_name(label)
    if not name or name == "subtasks":
        text = words(book, value)
        if not name:
            note(task, label, value.text or "".join(f"`{block}`" for block in value.code), value.piece.index)
        if text:
            task.values.setdefault("other", {}).setdefault(undecorated(label).lower().strip(), text)
        return
    if name == "end":
        _set_end(task, value)
        return
    if name in task.lines and name not in ("window", "description"):
        book.notice(
            value.piece.index,
            f"a second {label!r} of {task.title!r}; the first one, in line {task.lines[name]}, counts",
        )
        return
    if name == "window" and _DASHES.match(value.text):
        return
    if name == "window" and label.lower() == "target" and not parse_window(value.text):
        task.values.setdefault("other", {})["target"] = words(book, value)
        return
    task.lines.setdefault(name, value.piece.index + 1)
    _TASK_FIELDS.get(name, _set_text)(book, task, name, label, value)


def _set_text(book: Manuscript, task: TaskDraft, name: str, _label: str, value: Value) -> None:
    text = words(book, value)
    if name == "description" and task.values.get(name):
        text = task.values[name] + "\n" + text
    if name != "description" and _DASHES.match(text):
        return
    task.values[name] = text


def _set_list(book: Manuscript, task: TaskDraft, name: str, _label: str, value: Value) -> None:
    entries = several(book, value)
    if name == "files":
        entries = tuple(_path(book, value)) or entries
    task.values[name] = (*task.values.get(name, ()), *entries)


def _path(book: Manuscript, value: Value) -> list[str]:
    found = codes(value.text)
    for item in value.items:
        text = item_text(book, item)
        found += codes(text) or [plain(text)]
    return found


def _set_estimate(book: Manuscript, task: TaskDraft, name: str, label: str, value: Value) -> None:
    text = plain(value.text)
    hours = bool(_HOURS.search(label))
    estimate = parse_estimate(text, bare_hours=hours)
    if estimate is None and "days" in label.lower():
        estimate = parse_estimate(f"{text} days")
    if estimate is not None:
        task.values[name] = estimate
        return
    window = parse_window(text)
    if window is not None:
        task.values.setdefault("window", window)
    elif text and not commands.NOTHING.match(text):
        task.values.setdefault("other", {})[label.lower()] = text
        if not _CLOCK_TIME.match(text):
            book.notice(value.piece.index, f"no estimate in {label!r}: {short(text)}")


def _set_window(_book: Manuscript, task: TaskDraft, name: str, label: str, value: Value) -> None:
    text = plain(value.text)
    window = parse_window(text, _UNITS.get(label.lower().strip()))
    if window is None:
        estimate = parse_estimate(text)
        if estimate is not None and "estimate" not in task.values:
            task.values["estimate"] = estimate
        elif text and not commands.NOTHING.match(text):
            task.values.setdefault(name, Window(raw=text))
        return
    known: Window | None = task.values.get(name)
    if _says_start(label):
        task.values[name] = _from_start(known, window, due=task.due)
        return
    if known is not None and known.start is not None and known.end is None and window.end is not None:
        # a start that was told before keeps its place, and the end is this one's
        task.values[name] = Window(raw=f"{known.raw} – {window.raw}", start=known.start, end=window.end)
    elif known is None or known.start is None:
        task.values[name] = window
        task.due = _says_due(label)


def _set_end(task: TaskDraft, value: Value) -> None:
    end = parse_window(plain(value.text))
    if end is not None and end.end is not None:
        task.values["window"] = _to_end(task.values.get("window"), end)


def _says_start(label: str) -> bool:
    return undecorated(label).lower().strip(" \t*_`:") in _STARTS


def _says_due(label: str) -> bool:
    return undecorated(label).lower().strip(" \t*_`:") in _DUES


def _from_start(known: Window | None, window: Window, *, due: bool = False) -> Window:
    """A window that begins with what the field ``Start`` says: open towards its end, unless the field says a range
    or the end was told before.  ``due`` tells that what is known is nothing but the day it is due."""
    start = window.model_copy(update={"end": None}) if window.start == window.end else window
    if start.start is None or known is None or (known.start is None and known.end is None):
        return start if known is None or known.start is None else known
    if known.start is None or due:
        return Window(raw=f"{start.raw} – {known.raw}", start=start.start, end=known.end)
    return known


def _to_end(known: Window | None, end: Window) -> Window:
    """``Start`` and ``End`` in two fields or columns make one window."""
    if known is None or known.start is None:
        return Window(raw=end.raw, end=end.end)
    return Window(raw=f"{known.raw} – {end.raw}", start=known.start, end=end.end)


def _set_dependencies(book: Manuscript, task: TaskDraft, _name: str, _label: str, value: Value) -> None:
    task.depends += dependency_texts(book, value)


def set_status(book: Manuscript, draft: TaskDraft | PhaseDraft | Record, value: Value) -> None:
    """The status that a field or cell says, with its place and that of a percentage beside it.  Words that are
    not understood give `Status.UNKNOWN` and a notice."""
    piece = value.piece
    text = piece_text(book, piece)
    found = find_status(text)
    shown = plain(value.text)
    if found is None:
        draft.places["status"] = book.span(piece.index, piece.start, piece.end)
        if not _DASHES.match(shown):
            book.notice(piece.index, f"the status {short(shown)} is not understood")
            draft.values["status"], draft.values["status_text"] = Status.UNKNOWN, shown
        return
    first, last = book.columns(piece.index, piece.start, piece.end, found.start, found.end)
    draft.places["status"] = book.span(piece.index, first, last)
    draft.values["status"], draft.values["status_text"] = found.status, shown
    if found.progress is not None and "progress" not in draft.places:
        draft.values["progress"] = found.progress
        begin, end = found.progress_start, found.progress_end
        first, last = book.columns(piece.index, piece.start, piece.end, begin, end)
        draft.places["progress"] = book.span(piece.index, first, last)


def set_progress(book: Manuscript, draft: TaskDraft | PhaseDraft, value: Value) -> None:
    """The progress that a field or cell of that name says, with its place."""
    piece = value.piece
    found = parse_progress(piece_text(book, piece))
    if found is None:
        draft.places["progress"] = book.span(piece.index, piece.start, piece.end)
        text = plain(value.text)
        if text and not commands.NOTHING.match(text):
            book.notice(piece.index, f"the progress {short(text)} is not understood")
        return
    draft.values["progress"] = found.value
    first, last = book.columns(piece.index, piece.start, piece.end, found.start, found.end)
    draft.places["progress"] = book.span(piece.index, first, last)


def _set_date(book: Manuscript, task: TaskDraft, name: str, label: str, value: Value) -> None:
    piece = value.piece
    text = plain(value.text)
    task.places[name] = book.span(piece.index, piece.start, piece.end)
    date = parse_date(text)
    if date is not None:
        task.values[name] = date
    elif text and not commands.NOTHING.match(text):
        task.values.setdefault("other", {})[label.lower()] = text


def _set_evidence(book: Manuscript, task: TaskDraft, name: str, _label: str, value: Value) -> None:
    piece = value.piece
    task.places[name] = book.span(piece.index, piece.start, piece.end)
    found: list[Link] = []
    for text in [value.text, *(item_text(book, item) for item in value.items)]:
        linked = links(text)
        found += linked or [Link(text="", target=code) for code in codes(text)]
        shown = plain(text)
        if not linked and not codes(text) and shown and not commands.NOTHING.match(shown):
            found.append(Link(text=shown, target=""))
    task.values[name] = tuple(found)


def _set_executable(book: Manuscript, task: TaskDraft, name: str, label: str, value: Value) -> None:
    text = value.text.strip()
    result: object
    if name in ("run", "undo"):
        result = commands.parse_commands(text, [item_text(book, item) for item in value.items], value.code)
    elif name == "gate":
        result = commands.parse_gate(" ".join([text, *value.code]).strip())
    else:
        shown = plain(text)
        result = _EXECUTABLE_VALUES[name](shown)
        if result is None and not commands.NOTHING.match(shown):
            task.values.setdefault("other", {})[label.lower()] = shown
            book.notice(value.piece.index, f"the field {label!r} is not understood: {short(shown)}")
    if result is not None:
        task.values[name] = result


_EXECUTABLE_VALUES: dict[str, Callable[[str], object]] = {
    "approve": commands.parse_approval,
    "timeout": parse_seconds,
    "retry": commands.parse_retry,
    "on_failure": commands.parse_on_failure,
}
_TASK_FIELDS: dict[str, Callable[[Manuscript, TaskDraft, str, str, Value], None]] = {
    "files": _set_list,
    "deliverables": _set_list,
    "estimate": _set_estimate,
    "window": _set_window,
    "dependencies": _set_dependencies,
    "status": lambda book, task, _name, _label, value: set_status(book, task, value),
    "progress": lambda book, task, _name, _label, value: set_progress(book, task, value),
    "started": _set_date,
    "finished": _set_date,
    "evidence": _set_evidence,
    **dict.fromkeys(_EXECUTABLE, _set_executable),
}


# --- phases -------------------------------------------------------------------

_GOALS = (
    "goal",
    "goals",
    "objective",
    "objectives",
    "purpose",
    "aim",
    "theme",
    "focus",
    "daily goal",
    "weekly goal",
)
_TOTAL = re.compile(r"\btotal\b", re.I)
_WRITTEN_HOURS = frozenset({"h", "m"})


def set_phase_field(book: Manuscript, phase: PhaseDraft, label: str, value: Value) -> bool:
    """Give a phase (or the document) the field of that label; False when phases have no such field.

    The effort of a phase counts only in hours or minutes: ``Duration: 2 weeks`` is how long it takes, not how
    much work it is.
    """
    lower = undecorated(label).lower().strip()
    name = field_name(label)
    if lower in _GOALS or lower.endswith((" goal", " objective")):
        phase.values.setdefault("goal", words(book, value))
        return True
    if name in ("status", "progress"):
        if name not in phase.lines:
            phase.lines[name] = value.piece.index + 1
            (set_status if name == "status" else set_progress)(book, phase, value)
        return True
    if name == "owner" or (phase.implicit and lower.endswith(" owner")):
        phase.values.setdefault("owner", words(book, value))
        phase.lines.setdefault("owner", value.piece.index + 1)
        return True
    if name in ("window", "estimate") or _TOTAL.search(label):
        text = plain(value.text)
        _set_phase_window(phase, label, parse_window(text, _UNITS.get(lower)), value)
        amount = find_amount(text)
        if (
            amount
            and amount.units <= _WRITTEN_HOURS
            and "estimate" not in phase.values
            and "timeline" not in lower
        ):
            phase.values["estimate"] = parse_estimate(text)
            phase.lines["estimate"] = value.piece.index + 1
        return True
    if name == "end":
        end = parse_window(plain(value.text))
        if end is not None and end.end is not None and (phase.window is None or phase.window.end is None):
            phase.window = _to_end(phase.window, end)
            phase.lines.setdefault("window", value.piece.index + 1)
        return True
    if name == "dependencies":
        phase.depends += dependency_texts(book, value)
        return True
    if name == "deliverables":
        phase.deliverables += several(book, value)
        return True
    return False


def _set_phase_window(phase: PhaseDraft, label: str, window: Window | None, value: Value) -> None:
    """The first window that is told counts; ``Start`` opens it and another field closes it."""
    known = phase.window
    if window is None:
        return
    if _says_start(label):
        phase.window = _from_start(known, window, due=phase.due)
    elif known is None:
        phase.window = window
        phase.due = _says_due(label)
    elif known.start is not None and known.end is None and window.end is not None and "window" in phase.lines:
        phase.window = Window(raw=f"{known.raw} – {window.raw}", start=known.start, end=window.end)
    if phase.window is not known:
        phase.lines.setdefault("window", value.piece.index + 1)
