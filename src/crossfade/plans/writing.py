"""Writing the truth back into the document: statuses, progress, dates, evidence, and not one byte else.

What is changed are the words of a status, the number of a progress, the character of a checkbox, a date, the end
of an evidence field; a missing field of a task block is added as a line in the style of its other fields.  In a
table the cell's padding gives way, if the columns are aligned, so that the bars stay where they are.  A table
without such a column, or a checkbox that is to say "blocked", takes nothing, which is reported (`LeftOut`).

What already says the same is left alone: writing a change twice gives the same bytes as writing it once.

**Damaged text**: in a line that is mojibake the written words are damaged in the same way, so that one repair of
the file mends them with the rest; in any other line they are plain UTF-8.

After an edit the result is read again: when it does not say what was to be written, or says anything else
differently, nothing is returned but an error.
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from crossfade.errors import PlanError
from crossfade.plans.commands import NOTHING
from crossfade.plans.manuscript import Manuscript
from crossfade.plans.model import Link, Phase, Plan, Source, Span, Status, Task, TaskKind
from crossfade.plans.reading import parse_plan
from crossfade.plans.relocating import Relocation
from crossfade.plans.statuses import BOXES, find_progress, find_status, of_progress, parse_progress
from crossfade.plans.vocabulary import Vocabulary
from crossfade.plans.windows import parse_date

_NAMES = {
    "status": "Status",
    "progress": "Progress",
    "started": "Started",
    "finished": "Finished",
    "evidence": "Evidence",
}


_DASH = "-"
_ENTRY = re.compile(r"ledger \d+ \([0-9a-f]{12}\)")
"""An entry of the ledger, as `crossfade.keeping` names it."""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one task; fields that are ``None`` stay as they are.

    ``task`` is its id, ``line`` the line on which it stood when the plan was read (if given, it is checked).
    ``progress`` is 0 to 100.  ``status_text`` are words to use for the status instead of the document's own.
    ``withdrawn``: it is not done any more, so the day of its end and the entries of the ledger that stand for it are
    taken back; links of other kinds are somebody's own, and stay.
    """

    task: str
    line: int | None = None
    status: Status | None = None
    status_text: str | None = None
    progress: float | None = None
    started: datetime.date | None = None
    finished: datetime.date | None = None
    evidence: Link | None = None
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class PhaseChange:
    """What became of one phase.  Written only where the document says it of that phase already."""

    phase: str
    status: Status | None = None
    progress: float | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that the document has no place for: ``field`` of ``task`` was not written, and why."""

    task: str
    field: str
    source: Source
    reason: str


@dataclass(frozen=True, slots=True)
class Written:
    """The new document, and what could not be written into it."""

    data: bytes
    left_out: tuple[LeftOut, ...] = ()


@dataclass(slots=True)
class _Edit:
    """Replace bytes ``start`` to ``end`` of the file."""

    start: int
    end: int
    text: bytes


def write_back(data: bytes, plan: Plan, changes: Sequence[Change]) -> bytes:
    """The document with the changes in it; see `rewrite`."""
    return rewrite(data, plan, changes).data


def rewrite(data: bytes, plan: Plan, changes: Sequence[Change]) -> Written:
    """Put changes of a plan's tasks into its document.

    ``data`` is the document as it is now, ``plan`` as it was read, maybe earlier: a task that moved is found by
    its id.  Raises `PlanError` with file and line for a task that is gone or not unique any more, and when the
    document cannot take a change without saying something else.
    """
    if not changes:
        return Written(data)
    now = parse_plan(data, plan.path)
    relocation = Relocation(plan, now)
    wanted: dict[str, Change] = {}
    for change in changes:
        task = relocation.find(change.task, change.line)
        wanted[task.id] = _merged(wanted.get(task.id), change)
    writer = _Writer(data, now)
    tasks = {task.id: task for task in now.walk() if task.id in wanted}
    for identifier, change in wanted.items():
        writer.write(tasks[identifier], change)
    result = writer.result()
    if result != data:
        _check(now, parse_plan(result, plan.path), wanted, writer.left_out)
    return Written(result, tuple(writer.left_out))


def rewrite_phases(data: bytes, path: str, changes: Sequence[PhaseChange]) -> bytes:
    """Put statuses and progress of phases into the document, as `rewrite` does it for tasks; of two phases of the
    same id neither is written.  Raises `PlanError` when the document cannot take them without saying something
    else."""
    if not changes:
        return data
    now = parse_plan(data, path)
    wanted = {change.phase: change for change in changes}
    named = Counter(phase.id for phase in now.phases)
    writer = _Writer(data, now)
    written: dict[str, PhaseChange] = {}
    for phase in now.phases:
        if phase.id in wanted and named[phase.id] == 1:
            written[phase.id] = wanted[phase.id]
            writer.write_phase(phase, wanted[phase.id])
    result = writer.result()
    if result != data:
        after = parse_plan(result, path)
        _check(now, after, {}, [])
        _check_phases(now, after, written)
    return result


def _merged(before: Change | None, change: Change) -> Change:
    """Two changes of one task: what the later one says, and what only the earlier one says."""
    if before is None:
        return change
    said = {
        name: getattr(change, name) for name in (*_NAMES, "status_text") if getattr(change, name) is not None
    }
    if change.status is not None and change.status_text is None:
        said["status_text"] = None
    if change.withdrawn:
        said |= {"withdrawn": True, "finished": None, "evidence": None}
    elif change.evidence is not None:
        said["withdrawn"] = False
    return replace(before, **said)


class _Writer:
    def __init__(self, data: bytes, plan: Plan) -> None:
        self.data = data
        self.book = Manuscript(data, plan.path)
        self.vocabulary = Vocabulary(self.book, plan)
        self.edits: list[_Edit] = []
        self.left_out: list[LeftOut] = []

    def result(self) -> bytes:
        """The document with all edits."""
        parts, last = [], 0
        for edit in sorted(self.edits, key=lambda one: (one.start, one.end)):
            parts += [self.data[last : edit.start], edit.text]
            last = edit.end
        return b"".join([*parts, self.data[last:]])

    def write(self, task: Task, change: Change) -> None:
        """The edits of one task."""
        progress = change.progress
        added: list[tuple[str, str]] = []
        if change.status is not None:
            if change.status is Status.UNKNOWN:
                raise PlanError(
                    f"the status of task {task.id!r} cannot be written as unknown",
                    where=str(task.source),
                    todo="write one of: not_started, in_progress, blocked, done, skipped",
                )
            implied = self._status(task, change.status, change.status_text, progress, added)
            if progress is None or implied is None:
                progress = implied if progress is None else progress
            elif task.places.status != task.places.progress and progress != implied:
                self._leave_out(task, "progress", f"it contradicts {change.status.value!r} in the same field")
                progress = implied
        if progress is not None:
            self._progress(task, progress, added)
        for name in ("started", "finished"):
            date: datetime.date | None = getattr(change, name)
            if date is not None:
                self._date(task, name, date, added)
        if change.evidence is not None:
            self._evidence(task, change.evidence, added)
        elif change.withdrawn:
            self._withdraw(task)
        self._insert(task, added)

    def write_phase(self, phase: Phase, change: PhaseChange) -> None:
        """The edits of one phase, as of a task that stands where its own words stand."""
        places = phase.places.model_copy(update={"insertion": None, "box": None})
        spans = [one for one in (places.status, places.progress) if one is not None]
        in_table = any("|" in self.book.lines[one.line - 1].text for one in spans)
        task = Task(
            id=phase.id,
            title=phase.title,
            kind=TaskKind.ROW if in_table else TaskKind.TASK,
            source=phase.source,
            status=phase.status,
            places=places,
        )
        progress = change.progress
        if change.status is not None and (places.status is not None or places.title_status is not None):
            implied = self._status(task, change.status, None, progress, [])
            if progress is None:
                progress = implied
        if progress is not None and places.progress is not None:
            self._progress(task, progress, [])

    # --- one field each ------------------------------------------------------------

    def _status(
        self,
        task: Task,
        status: Status,
        text: str | None,
        progress: float | None,
        added: list[tuple[str, str]],
    ) -> float | None:
        """Returns the progress to be written with it, where the document says a number beside the status."""
        places = task.places
        expressed = False
        if places.box is not None:
            expressed = self._box(places.box, status)
        implied = {Status.DONE: 100.0, Status.NOT_STARTED: 0.0}.get(status)
        beside = any(self._beside(span, places.progress) for span in (places.status, places.title_status))
        if places.title_status is not None:
            self._phrase(task, places.title_status, status, text, title=True)
            expressed = True
        if places.status is not None:
            if places.status == places.progress:
                said = implied if progress is None else progress
                unsaid = of_progress(said) is not status if said is not None else task.status is not status
                if unsaid:
                    self._leave_out(
                        task, "status", "the document gives a number only, which says nothing of this"
                    )
                return implied
            self._phrase(task, places.status, status, text)
            expressed = True
        if not expressed:
            if places.insertion is not None:
                added.append(("status", text or self.vocabulary.words(task, status)))
            elif places.box is not None:
                self._leave_out(task, "status", f"a checkbox has no sign for {status.value!r}")
            else:
                self._leave_out(task, "status", _no_place(task))
        return implied if beside else None

    def _beside(self, status: Span | None, progress: Span | None) -> bool:
        """Whether a percentage stands in the same field or cell as a status: "in progress (60%)" cannot become
        "done (60%)"."""
        if (
            status is None
            or progress is None
            or status.line != progress.line
            or progress.start < status.start
        ):
            return False
        between = Span(line=status.line, start=status.end, end=max(status.end, progress.start))
        return "|" not in self.book.text(between)

    def _box(self, span: Span, status: Status) -> bool:
        """Tick or untick; False when a checkbox cannot say that status."""
        mark = self.book.text(span)
        if BOXES.get(mark) is status:
            return True
        wanted = self.vocabulary.box(status)
        if wanted is None:
            if BOXES.get(mark) is Status.DONE:
                self._replace(span, " ")
            return False
        self._replace(span, wanted)
        return True

    def _phrase(
        self, task: Task, span: Span, status: Status, text: str | None, *, title: bool = False
    ) -> None:
        present = self.book.read(self.book.text(span))
        found = find_status(present)
        if text is None and found is not None and found.status is status:
            return
        words = text or self.vocabulary.words(task, status, title=title)
        if words != present:
            self._put(task, span, words)
        if text is None and not title:
            self._number_behind(task, span, words, status)

    def _number_behind(self, task: Task, span: Span, words: str, status: Status) -> None:
        """A percentage in the remark behind a status that would contradict the new one, where the progress
        itself is written elsewhere: ``in progress (60%)`` beside a column of its own."""
        rest = self.book.after(span).partition("|")[0] if task.kind is TaskKind.ROW else self.book.after(span)
        found = find_status(words + rest)
        amount = find_progress(rest)
        number = {Status.DONE: "100%", Status.NOT_STARTED: "0%"}.get(status)
        if found is None or found.status is status or amount is None or number is None:
            return
        start = span.end + len(rest[: amount.start].encode("utf-8"))
        end = start + len(rest[amount.start : amount.end].encode("utf-8"))
        if task.places.progress is None or task.places.progress.start != start:
            self._replace(Span(line=span.line, start=start, end=end), number)

    def _progress(self, task: Task, progress: float, added: list[tuple[str, str]]) -> None:
        span = task.places.progress
        number = f"{progress:.1f}".rstrip("0").rstrip(".")
        if span is None:
            if task.places.insertion is not None:
                added.append(("progress", f"{number}%"))
            else:
                self._leave_out(task, "progress", _no_place(task))
            return
        present = self.book.text(span)
        found = parse_progress(present)
        if found is not None and abs(found.value - progress) < 0.05:
            return
        text = f"{number}%"
        for separator in ("/", " of ", " out of "):
            done, slash, total = present.partition(separator)
            if slash and total.strip().isdigit() and done.strip().isdigit():
                text = f"{int(int(total) * progress / 100 + 1e-9)}{separator}{total.strip()}"
        if found is not None and present.strip().replace(".", "", 1).isdigit():
            text = number
        if text != present:
            self._put(task, span, text)

    def _date(self, task: Task, name: str, date: datetime.date, added: list[tuple[str, str]]) -> None:
        span: Span | None = getattr(task.places, name)
        if span is None:
            if task.places.insertion is not None:
                added.append((name, date.isoformat()))
            else:
                self._leave_out(task, name, _no_place(task))
        elif parse_date(self.book.read(self.book.text(span))) != date:
            self._put(task, span, date.isoformat())

    def _evidence(self, task: Task, link: Link, added: list[tuple[str, str]]) -> None:
        text = _link_text(link, in_table=task.kind is TaskKind.ROW)
        span = task.places.evidence
        if span is not None and not link.target and (old := _ENTRY.search(self.book.text(span))):
            if old[0] != text:
                self._put(task, span, _ENTRY.sub(text, self.book.text(span), count=1))
            return
        if any(_address(known.target) == _address(link.target) for known in task.evidence):
            return
        if span is None:
            if task.places.insertion is not None:
                added.append(("evidence", text))
            else:
                self._leave_out(task, "evidence", _no_place(task))
            return
        present = self.book.text(span)
        if NOTHING.match(present.strip()):
            self._put(task, span, text)
        else:
            self._put(task, Span(line=span.line, start=span.end, end=span.end), f", {text}")

    def _withdraw(self, task: Task) -> None:
        """Take back the entries of the ledger, and the day that was written with them: one that somebody else
        wrote stays.  Where there is no place for entries nobody can tell, and the day would be wrong."""
        span = task.places.evidence
        present = self.book.text(span) if span is not None else ""
        ours = bool(_ENTRY.search(present)) or (span is None and task.places.insertion is None)
        if ours and task.places.finished is not None and task.finished is not None:
            self._put(task, task.places.finished, _DASH)
        if span is not None and _ENTRY.search(present):
            kept = [one for one in present.split(", ") if not _ENTRY.fullmatch(one.strip())]
            self._put(task, span, ", ".join(kept) or _DASH)

    # --- bytes -----------------------------------------------------------------------

    def _put(self, task: Task, span: Span, words: str) -> None:
        """Write words in place of a span, in the encoding of the line; in a table within the cell's padding."""
        line = self.book.lines[span.line - 1].text
        text = self.vocabulary.on_line(words, line)
        if task.kind is TaskKind.ROW:
            self._put_cell(span, text, words)
        else:
            space = " " if span.start == span.end and not text.startswith(",") and self._touches(span) else ""
            self._replace(span, space + text)

    def _touches(self, span: Span) -> bool:
        """Whether an empty field ends in its colon: a blank belongs between."""
        start, _ = self.book.position(span)
        return self.data[start - 1 : start] in (b":", b"*", b"_")

    def _put_cell(self, span: Span, text: str, words: str) -> None:
        start, end = self.book.position(span)
        stop = end
        while self.data[stop : stop + 1] == b" ":
            stop += 1
        padding = stop - end
        at_bar = self.data[stop : stop + 1] == b"|"
        present = self.book.text(span)
        if padding and at_bar and self._aligned(span.line, stop):
            keep = max(1, padding + _width(self.book.read(present)) - _width(words))
            self.edits.append(_Edit(start, stop, (text + " " * keep).encode("utf-8")))
        elif span.start == span.end and at_bar and not padding and text:
            self.edits.append(_Edit(start, end, (text + " ").encode("utf-8")))
        else:
            self._replace(span, text)

    def _aligned(self, line: int, bar: int) -> bool:
        """Whether a bar of a row stands right under or over one of the rows beside it."""
        own = self.book.lines[line - 1]
        shown = _width(self.book.read(self.data[own.start : bar].decode("utf-8", "replace")))
        for other in (line - 2, line):
            if not 0 <= other < len(self.book.lines) or "|" not in self.book.lines[other].text:
                continue
            width = 0
            for character in self.book.read(self.book.lines[other].text):
                if width == shown and character == "|":
                    return True
                width += _width(character)
        return False

    def _replace(self, span: Span, text: str) -> None:
        start, end = self.book.position(span)
        self.edits.append(_Edit(start, end, text.encode("utf-8")))

    def _insert(self, task: Task, added: list[tuple[str, str]]) -> None:
        insertion = task.places.insertion
        if insertion is None or not added:
            return
        line = self.book.lines[insertion.after - 1]
        end = self.book.line_end(insertion.after - 1)
        own_end = (
            self.data[end : end + 2] if self.data[end : end + 2] == b"\r\n" else self.data[end : end + 1]
        )
        newline = own_end or self.book.end
        text = b""
        for name, value in added:
            label = _NAMES[name].lower() if insertion.lower else _NAMES[name]
            value = self.vocabulary.on_line(value, line.text)
            made = insertion.template.replace("{name}", label, 1).replace("{value}", value, 1)
            text += made.encode("utf-8") + newline if own_end else newline + made.encode("utf-8")
        at = end + len(own_end)
        self.edits.append(_Edit(at, at, text))

    def _leave_out(self, task: Task, field: str, reason: str) -> None:
        self.left_out.append(LeftOut(task.id, field, task.source, reason))


def _check_phases(before: Plan, after: Plan, written: dict[str, PhaseChange]) -> None:
    """No phase may read as something that was not to be written."""
    for old, new in zip(before.phases, after.phases, strict=False):
        change = written.get(old.id)
        meant = {old.status} if change is None or change.status is None else {old.status, change.status}
        if (old.id, old.source) != (new.id, new.source) or new.status not in meant:
            raise PlanError(
                f"phase {old.id!r} would not read as it was to be written; no phase was written",
                where=str(old.source),
                todo="look at the line: an unusual place of its status",
            )


def _no_place(task: Task) -> str:
    if task.kind is TaskKind.ROW:
        return "the table has no column for it"
    return (
        "a checkbox has no place for it"
        if task.places.box is not None
        else "a plain bullet has no place for it"
    )


def _link_text(link: Link, *, in_table: bool) -> str:
    target = _address(link.target)
    if not link.target:
        text = " ".join(link.text.split())
    elif link.text:
        words = " ".join(link.text.replace("[", "(").replace("]", ")").split())
        text = f"[{words}]({target})"
    else:
        text = f"[{target.rsplit('/', 1)[-1] or target}]({target})"
    return text.replace("|", "\\|") if in_table else text


def _address(target: str) -> str:
    """A link's target as it can stand between brackets."""
    return "".join(f"%{ord(one):02X}" if one in ' ()<>|"\\`' or ord(one) < 32 else one for one in target)


def _width(text: str) -> int:
    """Columns on a terminal, roughly: wide characters count two, joiners and selectors none."""
    width = 0
    for character in text:
        if unicodedata.combining(character) or character in "\u200b\u200d\ufe0e\ufe0f":
            continue
        width += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return width


def _check(before: Plan, after: Plan, wanted: dict[str, Change], left_out: list[LeftOut]) -> None:
    """The new document must say what was to be said, and nothing else differently."""
    olds, news = list(before.walk()), list(after.walk())
    skipped = {(one.task, one.field) for one in left_out}
    for old, new in zip(olds, news, strict=False):
        change = wanted.get(old.id)
        said = change.status if change else None
        right = old.id == new.id and old.title == new.title
        if change is None:
            # a progress that nothing states follows from the checkboxes below
            right = right and old.status is new.status
            right = right and (old.places.progress is None or old.progress == new.progress)
        elif said is not None and change.status_text is None and (old.id, "status") not in skipped:
            right = right and new.status is said
        if not right:
            raise PlanError(
                f"task {old.id!r} would not read as it was to be written; nothing was written",
                where=str(old.source),
                todo="look at the line: an unusual place of its status or of the text below it",
            )
    if len(olds) != len(news):
        raise PlanError(
            f"the document would have {len(news)} tasks instead of {len(olds)}; nothing was written",
            where=before.path,
            todo="look at the lines to be changed: an unusual place of a status",
        )
