"""Statuses and progress as plans write them: emoji, words in any case, percentages, fractions.

Words are believed before the emoji beside them (``🟡 Not Started`` is not started), and a percentage before both
(``90% complete`` is in progress).  A word counts only at the beginning of the text, behind emoji: ``Deploy when
done`` is no status.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from crossfade.plans.values import Status

_EMOJI: dict[Status, str] = {
    Status.DONE: "✅✔☑🟢🎉🏁🟩",
    Status.IN_PROGRESS: "🔄🔁🔃🚧🏃🟡🔵▶🟨🟦🔨⚙🟠🟧",
    Status.NOT_STARTED: "⏳⌛⬜☐🔲⚪📋📌⚫📅🔜◻▫🆕",
    Status.BLOCKED: "❌⛔🚫🛑🔴⚠⏸❎✗✘🟥🔒✖",
    Status.SKIPPED: "⏭⏩🗑➖",
}
_BY_EMOJI = {character: status for status, characters in _EMOJI.items() for character in characters}
_WORDS: dict[Status, tuple[str, ...]] = {
    Status.NOT_STARTED: (
        "not yet started",
        "not started",
        "not begun",
        "not done",
        "not complete",
        "not completed",
        "not yet",
        "waiting to start",
        "ready to start",
        "ready for execution",
        "ready",
        "to do",
        "to-do",
        "todo",
        "pending",
        "planned",
        "planning",
        "open",
        "backlog",
        "queued",
        "scheduled",
        "upcoming",
        "new",
        "no",
        "tbd",
    ),
    Status.IN_PROGRESS: (
        "in progress",
        "in-progress",
        "inprogress",
        "in_progress",
        "in process",
        "in work",
        "wip",
        "work in progress",
        "started",
        "ongoing",
        "active",
        "doing",
        "underway",
        "under way",
        "on track",
        "on-track",
        "running",
        "in review",
        "under review",
        "review",
        "testing",
        "in testing",
        "partially complete",
        "partially completed",
        "partially done",
        "partially",
        "partial",
        "mostly complete",
        "mostly done",
        "almost done",
        "incomplete",
        "at risk",
        "behind schedule",
        "behind",
        "delayed",
        "late",
        "slipped",
    ),
    Status.BLOCKED: (
        "blocked",
        "on hold",
        "on-hold",
        "waiting",
        "stuck",
        "paused",
        "stalled",
        "failed",
        "failing",
        "impeded",
        "rejected",
        "rolled back",
    ),
    Status.DONE: (
        "done",
        "complete",
        "completed",
        "finished",
        "closed",
        "resolved",
        "shipped",
        "delivered",
        "merged",
        "deployed",
        "released",
        "live",
        "verified",
        "passed",
        "approved",
        "decided",
        "achieved",
        "met",
        "yes",
        "ok",
    ),
    Status.SKIPPED: (
        "skipped",
        "skip",
        "cancelled",
        "canceled",
        "not applicable",
        "n/a",
        "won't do",
        "wont do",
        "dropped",
        "deferred",
        "descoped",
        "out of scope",
        "obsolete",
        "removed",
        "abandoned",
        "superseded",
    ),
}
_BY_WORDS = {words: status for status, several in _WORDS.items() for words in several}
_PHRASE = re.compile(
    "(?:"
    + "|".join(re.escape(words) for words in sorted(_BY_WORDS, key=len, reverse=True))
    + r")(?![\w'’]|-\w)",
    re.I,
)
_EMOJI_CLASS = "[" + "".join(_BY_EMOJI) + "]"
_EMOJI_RUN = re.compile(rf"(?:{_EMOJI_CLASS}\ufe0f?\u20e3?[ \t]*)+")
_MARKS = re.compile(r"[*_`~\[\](]*")
_PERCENT = re.compile(r"(?<![\w.,])(?P<number>\d{1,3}(?:[.,]\d{1,2})?)[ \t]*%")
_FRACTION = re.compile(
    r"(?<![\w./])(?P<done>\d{1,5})[ \t]*(?:/|of|out of)[ \t]*(?P<all>\d{1,5})(?![\w./]*\d)", re.I
)
_NUMBER = re.compile(r"(?P<number>\d{1,3}(?:[.,]\d{1,2})?)$")
_SUFFIX = re.compile(
    r"(?:[ \t]+(?:-|–|—|:|\|)[ \t]*|[ \t]*[(\[][ \t]*|[ \t]+(?="
    + _EMOJI_CLASS
    + r"))(?P<status>[^()\[\]|]{1,40}?)[ \t]*[)\]]?[ \t]*$"
)


@dataclass(slots=True)
class Found:
    """A status in a text: columns ``start`` to ``end`` say it; ``exact`` when they say nothing else than a known
    emoji and known words.  ``progress`` with its own columns when the text has a percentage or fraction."""

    status: Status
    start: int
    end: int
    exact: bool
    progress: float | None = None
    progress_start: int = 0
    progress_end: int = 0


def find_status(text: str) -> Found | None:
    """The status at the beginning of a text; ``None`` when it begins with none."""
    at = _MARKS.match(text)
    start = at.end() if at else 0
    emoji = _EMOJI_RUN.match(text, start)
    end = start
    status: Status | None = None
    if emoji:
        status = _BY_EMOJI[text[start]]
        end = start + len(emoji[0].rstrip(" \t"))
        inner = _MARKS.match(text, emoji.end())
        at_words = inner.end() if inner else emoji.end()
    else:
        at_words = start
    words = _PHRASE.match(text, at_words)
    if words:
        status, end = _BY_WORDS[words[0].lower()], words.end()
    amount = find_progress(text)
    if amount is not None and (status is None or status is not Status.SKIPPED) and _near(text, end, amount):
        if status is None or status in (Status.DONE, Status.NOT_STARTED) or words is None:
            status = of_progress(amount.value)
        if words is None and emoji is None:
            return Found(status, amount.start, amount.end, False, amount.value, amount.start, amount.end)
        return Found(status, start, end, False, amount.value, amount.start, amount.end)
    if status is None:
        return None
    exact = not text[end:].strip(" \t*_`~])") and not text[:start].strip(" \t*_`~[(")
    return Found(status, start, end, exact)


def _near(text: str, end: int, amount: Amount) -> bool:
    """Whether a percentage speaks of the status and not of something told about it."""
    return amount.start <= end + 2 or text[end : amount.start].strip(" \t*_(–—-:,") in (
        "",
        "at",
        "approx.",
        "~",
    )


def of_progress(progress: float) -> Status:
    """The status that a percentage alone says."""
    if progress >= 100:
        return Status.DONE
    return Status.IN_PROGRESS if progress > 0 else Status.NOT_STARTED


@dataclass(slots=True)
class Amount:
    """A progress from 0 to 100, and the columns of its number (the percent sign included)."""

    value: float
    start: int
    end: int


def find_progress(text: str) -> Amount | None:
    """The first percentage (``85%``) or fraction (``3/5 tasks``) in a text."""
    if "%" in text:
        percent = _PERCENT.search(text)
        if percent:
            value = float(percent["number"].replace(",", "."))
            return Amount(min(value, 100.0), percent.start(), percent.end())
    if "/" in text or "of" in text:
        fraction = _FRACTION.search(text)
        if fraction and 0 < int(fraction["all"]) >= int(fraction["done"]):
            value = round(100 * int(fraction["done"]) / int(fraction["all"]), 2)
            return Amount(value, fraction.start(), fraction.end())
    return None


def parse_progress(text: str) -> Amount | None:
    """The progress that a field or cell of that name states; a mere number is a percentage."""
    found = find_progress(text)
    if found is None:
        number = _NUMBER.match(text.strip())
        if number:
            value = float(number["number"].replace(",", "."))
            start = text.index(number["number"])
            return Amount(min(value, 100.0), start, start + len(number["number"]))
    return found


def status_suffix(text: str) -> tuple[int, Found] | None:
    """A status at the end of a title (``Install - ✅ COMPLETED``, ``Install (done)``, ``Install ✅``): the column
    where the title proper ends, and the status with its columns in the text."""
    match = _SUFFIX.search(text, max(0, len(text) - 60))
    if match is None:
        return None
    found = find_status(match["status"])
    if found is None or not (found.exact or found.progress is not None):
        return None
    if text[match.start() : match.start("status")].strip() in ("", "(", "[") and not is_plain_status(
        match["status"]
    ):
        return None
    shift = match.start("status")
    found.start += shift
    found.end += shift
    found.progress_start += shift
    found.progress_end += shift
    return match.start(), found


def is_plain_status(text: str) -> bool:
    """Whether words behind a title are a status for certain: ``(new)`` and ``(review)`` describe the thing itself."""
    return text.strip().lower() not in (
        "new",
        "no",
        "yes",
        "ok",
        "review",
        "testing",
        "open",
        "live",
        "active",
        "partial",
        "ready",
    )


BOXES = {
    " ": Status.NOT_STARTED,
    "x": Status.DONE,
    "X": Status.DONE,
    "✓": Status.DONE,
    "✔": Status.DONE,
    "/": Status.IN_PROGRESS,
    "~": Status.IN_PROGRESS,
    ".": Status.IN_PROGRESS,
    "o": Status.IN_PROGRESS,
    ">": Status.SKIPPED,
    "-": Status.SKIPPED,
    "!": Status.BLOCKED,
    "?": Status.BLOCKED,
}
"""What the character between the brackets of a checkbox says."""

LEADING = frozenset("✅✔☑🔄🔁🔃🚧🟡🟢🟠🔴⏳⌛⬜⚪❌⛔🚫🛑⏸⏭✗✘✖🟩🟨🟥☐⚠")
"""Emoji that tell a status when they stand in front of a title; others there are decoration."""


def leading_emoji(text: str) -> str:
    """The status emoji in front of a text, with its variation selector."""
    if not text or text[0] not in LEADING:
        return ""
    return text[:2] if text[1:2] in ("\ufe0f", "\u20e3") else text[:1]
