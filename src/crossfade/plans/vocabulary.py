"""The words in which a document says its statuses, so that what is written back sounds like its authors.

A status is written in the words that the document itself uses for it, first in tasks of the same shape (rows,
fields, titles), the commonest first.  A status that the document never uses is put into its style: with an emoji
if its statuses have one, of the same family, in the same case.
"""

from __future__ import annotations

from collections import Counter

from crossfade.plans.manuscript import Manuscript
from crossfade.plans.model import Plan, Span, Status, Task, TaskKind
from crossfade.plans.mojibake import damaged_like
from crossfade.plans.statuses import BOXES, find_status, is_plain_status, leading_emoji

_WORDS = {
    Status.NOT_STARTED: "Not Started",
    Status.IN_PROGRESS: "In Progress",
    Status.BLOCKED: "Blocked",
    Status.DONE: "Complete",
    Status.SKIPPED: "Skipped",
}
_EMOJI = {
    Status.NOT_STARTED: "⏳",
    Status.IN_PROGRESS: "🔄",
    Status.BLOCKED: "⛔",
    Status.DONE: "✅",
    Status.SKIPPED: "⏭️",
}
_CIRCLES = {
    Status.NOT_STARTED: "⚪",
    Status.IN_PROGRESS: "🟡",
    Status.BLOCKED: "🔴",
    Status.DONE: "✅",
    Status.SKIPPED: "⏭️",
}


class Vocabulary:
    """The status words of one document."""

    def __init__(self, book: Manuscript, plan: Plan) -> None:
        self._book = book
        self._said: dict[tuple[str, Status], Counter[str]] = {}
        self._everything: Counter[str] = Counter()
        self._raw: dict[str, str] = {}
        self._boxes: Counter[str] = Counter()
        for task in plan.walk():
            self._learn(_shape(task), task.places.status)
            self._learn("title", task.places.title_status)
            if task.places.box is not None:
                self._boxes[book.text(task.places.box)] += 1
        for phase in plan.phases:
            if not phase.implicit:  # what the document says of itself ("Approved") is said of no task
                self._learn("phase", phase.places.status)

    def _learn(self, shape: str, span: Span | None) -> None:
        if span is None or span.start == span.end:
            return
        raw = self._book.text(span)
        words = self._book.read(raw)
        found = find_status(words)
        if found is None or not found.exact or found.start != 0 or found.end != len(words):
            return
        self._said.setdefault((shape, found.status), Counter())[words] += 1
        self._everything[words] += 1
        self._raw.setdefault(words, raw)

    def words(self, task: Task, status: Status, *, title: bool = False) -> str:
        """The words for a status in the shape of that task, as they are meant (undamaged).

        In a title an emoji gives way to an emoji and words to words: ``Install ✅`` cannot become ``Install todo``.
        """
        shape = "title" if title else _shape(task)
        span = task.places.title_status if title else None
        present = self._book.read(self._book.text(span)) if span is not None else ""
        for said in (self._said.get((shape, status)), self._any(status)):
            for words, _ in said.most_common() if said else ():
                if span is None or (_worded(words) is _worded(present) and is_plain_status(words)):
                    return words
        return self._in_style(task, status, title=title)

    def _any(self, status: Status) -> Counter[str]:
        together: Counter[str] = Counter()
        for (_, of), said in self._said.items():
            if of is status:
                together += said
        return together

    def _in_style(self, task: Task, status: Status, *, title: bool) -> str:
        span = task.places.title_status if title else task.places.status
        sample = self._book.read(self._book.text(span)) if span is not None else ""
        if not sample or find_status(sample) is None:
            sample = self._everything.most_common(1)[0][0] if self._everything else ""
        emoji = leading_emoji(sample) or (sample[:1] if sample and ord(sample[0]) > 0x2000 else "")
        own = sample[len(emoji) :].strip()
        words = _WORDS[status]
        if own and own == own.upper() and own != own.lower():
            words = words.upper()
        elif own and own == own.lower():
            words = words.lower()
        elif own and own != own.title():
            words = words.capitalize()
        if not emoji:
            return words
        family = _CIRCLES if emoji[0] in "⚪🟡🟢🔴🟠🔵⚫" else _EMOJI
        return f"{family[status]} {words}" if own else family[status]

    def on_line(self, words: str, line: str) -> str:
        """Words as they have to stand in a line: damaged as the line is, in the form that the document has them
        in where it has them."""
        if words.isascii() or self._book.read(line) == line:
            return words
        known = self._raw.get(words, words)
        return known if known != words else damaged_like(words, line)

    def box(self, status: Status) -> str | None:
        """The character of a checkbox for a status; ``None`` when the document has none for it."""
        said = [mark for mark, _ in self._boxes.most_common() if BOXES.get(mark) is status]
        if said:
            return said[0]
        return {Status.DONE: "x", Status.NOT_STARTED: " "}.get(status)


def _worded(text: str) -> bool:
    return any(map(str.isalpha, text))


def _shape(task: Task) -> str:
    return "row" if task.kind is TaskKind.ROW else "field"
