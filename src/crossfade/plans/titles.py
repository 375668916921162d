"""What a title says besides the name of the thing: an id, a time, an estimate, a status, an owner.

``📋 Task 28.1: Update the routes (2 hours) - ✅ COMPLETED`` is a task with the id 28.1 called ``Update the
routes``, estimated 2 hours, done.  Only what is understood whole is cut off; ``(new backend)`` stays.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from crossfade.plans import statuses
from crossfade.plans.durations import find_amount, parse_estimate
from crossfade.plans.values import Estimate, Unit, Window
from crossfade.plans.windows import find_window

_DECORATION = re.compile(r"^(?:[^\w\s\"'`#$@/.~<>+&(\[%-]|[\u200d\ufe0f\u20e3])+[ \t]*")
_TAIL = re.compile(r"[ \t]*[(\[]([^()\[\]]{1,60})[)\]][ \t]*$")
_OWNER = re.compile(
    r"(?:@(?P<at>[\w.-]+)|(?:owner|assignee|assigned to|responsible|by|lead)[ \t]*:?[ \t]+@?(?P<name>[^@:]+))$",
    re.I,
)
_MENTION = re.compile(r"[ \t]+@(?P<at>[A-Za-z][\w.-]*)[ \t]*$")
_PRIORITY = re.compile(
    r"(?:priority[ \t]*:?[ \t]*)?(?P<level>P[0-4]|high|medium|low|critical|urgent)(?:[ \t]+priority)?$", re.I
)
_FILLER = re.compile(
    r"(?:est(?:imated|imate)?\.?|approx\.?|about|total|time|effort|duration)[ \t]*:?[ \t]*", re.I
)

_ID = r"[A-Za-z]{0,5}[-.]?\d+(?:[.-]\d+)*[a-z]?"
_NAMED = re.compile(
    rf"(?P<word>task|sub-?task|slice|step|ticket|story|work item|action item|wp)s?[ \t]+#?(?P<id>{_ID})(?![\w.]*\w)"
    r"[ \t]*(?:[:.)–—|]|-(?=[ \t])|(?=[ \t(])|$)[ \t]*(?P<rest>.*)$",
    re.I,
)
_UNNUMBERED = re.compile(r"(?P<word>task|slice)[ \t]*:[ \t]+(?P<rest>.+)$", re.I)
_CODE_ID = re.compile(
    r"(?P<id>T\d{2,5}|[A-Z]{2,8}-\d{1,5}(?:\.\d+)*)(?![\w.]*\w)[ \t]*(?:[:.)–—|]|-(?=[ \t]))?[ \t]+(?P<rest>.+)$"
)
_NUMBERED = re.compile(
    r"(?P<id>\d{1,3}(?:\.\d{1,3}){1,3}[a-z]?)[.:)]?[ \t]+(?:[–—-][ \t]+)?(?!(?:[kMGTP]?B|[kMG]?Hz|GiB|MiB|ms|s|h|hours?|days?|weeks?|million|billion|times|x|percent)\b|%)(?P<rest>\S.*)$"
)
_HASHED = re.compile(r"#(?P<id>\d{1,5})[ \t]*[:.)–—-]?[ \t]+(?P<rest>\S.*)$")
_ORDINAL = re.compile(r"(?P<id>\d{1,3})[.:)][ \t]+(?P<rest>\S.*)$")

TASK_WORD = re.compile(r"task|slice|step|ticket|story|item|wp", re.I)
"""Whether a text may name a task at all: a cheap look before the dear one."""
_TAIL_SIGN = re.compile(r"[)\]@]|[ \t][-–—:|][ \t]|[^\x00-\u2000]")


@dataclass(slots=True)
class Title:
    """``text`` is the name alone.  ``word`` is what the thing calls itself (``task``, ``slice``); ``id`` the
    number or code beside it.  ``weak`` marks an id that may only be a running number.  ``status_text`` is the
    status as it stands in the title, behind the name (``suffix``) or in front of it."""

    text: str
    word: str = ""
    id: str = ""
    weak: bool = False
    window: Window | None = None
    estimate: Estimate | None = None
    status: statuses.Found | None = None
    status_text: str = ""
    suffix: bool = True
    progress_text: str = ""
    """The number of a percentage in the title, as it stands there."""
    owner: str = ""
    priority: str = ""
    unread: list[str] = field(default_factory=list)


def undecorated(text: str) -> str:
    """The text without the emoji and signs in front of it."""
    return _DECORATION.sub("", text) or text


def split_title(text: str, *, numbers: bool = True) -> Title:
    """Take a title (plain words) apart.  ``numbers`` also reads ``1.2 Install`` and ``3. Install`` as ids."""
    title = Title(text)
    _leading_status(title)
    title.text = undecorated(title.text)
    _identify(title, numbers)
    _cut_tail(title)
    title.text = title.text.strip(" \t").rstrip(":").rstrip(" \t") or title.text
    return title


def _leading_status(title: Title) -> None:
    """``✅ Export the users``: the emoji is the status.  Words are not taken: ``Pending orders`` is a name."""
    emoji = statuses.leading_emoji(title.text)
    if emoji and len(emoji) < len(title.text):
        title.status = statuses.find_status(emoji)
        title.status_text, title.suffix = emoji, False
        title.text = title.text[len(emoji) :].lstrip(" \t")


def _identify(title: Title, numbers: bool) -> None:
    start = title.text[:14]
    found = _NAMED.match(title.text) if TASK_WORD.search(start) else None
    if found:
        title.word, title.id, title.text = found["word"].lower(), found["id"].rstrip(".-"), found["rest"]
        title.text = undecorated(title.text) if title.text else title.word.capitalize() + " " + title.id
        return
    found = _UNNUMBERED.match(title.text) if ":" in start else None
    if found:
        title.word, title.text = found["word"].lower(), undecorated(found["rest"])
        return
    if not numbers or start[:1].islower() or not any(map(str.isdigit, start)):
        return
    for pattern, weak in ((_CODE_ID, False), (_NUMBERED, False), (_HASHED, False), (_ORDINAL, True)):
        found = pattern.match(title.text)
        if found:
            title.id, title.weak, title.text = found["id"], weak, undecorated(found["rest"])
            return


def _cut_tail(title: Title) -> None:
    for _ in range(4):
        if not _TAIL_SIGN.search(title.text, max(0, len(title.text) - 62)):
            return
        suffix = (
            statuses.status_suffix(title.text)
            if title.status is None or title.status.progress is not None
            else None
        )
        if suffix is not None and suffix[0] > 0:
            end, found = suffix
            said = title.text[found.start : found.end]
            if found.progress is not None:
                title.progress_text = title.text[found.progress_start : found.progress_end]
            if title.status is None:
                title.status, title.status_text = found, said
            else:
                # "- IN PROGRESS (60%)": the bracket gave the number, this gives the word
                title.status = statuses.Found(
                    found.status, found.start, found.end, True, title.status.progress
                )
                title.status_text = said
            title.text = title.text[:end].rstrip(" \t")
            continue
        tail = _TAIL.search(title.text)
        if tail and tail.start() > 0 and _understood(title, tail[1]):
            title.text = title.text[: tail.start()].rstrip(" \t")
            continue
        mention = _MENTION.search(title.text)
        if mention and not title.owner:
            title.owner, title.text = mention["at"], title.text[: mention.start()]
            continue
        return


def _understood(title: Title, bracket: str) -> bool:
    """Take over what a bracket says, if every part of it (between commas) is understood."""
    parts = [part.strip() for part in re.split(r"[,;|]", bracket) if part.strip()]
    taken: list[tuple[str, object]] = []
    for part in parts:
        taken_part = _part(part)
        if taken_part is None:
            return False
        taken.append(taken_part)
    for name, value in taken:
        if not getattr(title, name):
            setattr(title, name, value)
    return bool(taken)


def _part(part: str) -> tuple[str, object] | None:
    words = _FILLER.sub("", part) if _FILLER.match(part) else part
    found = find_window(part)
    if found and found.start == 0 and found.end == len(part):
        return "window", found.window
    amount = find_amount(words.lstrip("~≈ "))
    if amount and amount.start == 0 and not words.lstrip("~≈ ")[amount.end :].strip(" .est"):
        return "estimate", parse_estimate(words)
    owner = _OWNER.match(part)
    if owner:
        return "owner", (owner["at"] or owner["name"]).strip()
    priority = _PRIORITY.match(part)
    if priority:
        return "priority", priority["level"]
    return None


def window_of_bracket(text: str) -> Window | None:
    """The window in the last bracket of a heading: ``Foundation (Weeks 1-2)``."""
    tail = _TAIL.search(text)
    found = find_window(tail[1]) if tail else None
    return found.window if found and found.window.start and found.window.start.unit in Unit else None
