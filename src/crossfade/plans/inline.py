"""Inside a line: plain words, code spans, links, and labelled fields.

The functions take pieces of a line.  `plain` is for people to read; `fields` finds ``**Label**: value`` and
keeps the columns of the value, so that it can be written back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from crossfade.plans.model import Link

_BREAK = re.compile(r"<br\s*/?>", re.I)
_TAG = re.compile(
    r"</?(?:b|i|em|strong|code|u|s|del|sub|sup|span|small|kbd|mark|summary|p)(?:\s[^<>]*)?>", re.I
)
_TICKS = re.compile(r"`+")
_IMAGE = re.compile(r"!\[([^\]\n]{0,300})\]\([^()\s]{0,600}(?:\s+\"[^\"]{0,200}\")?\)")
_LINK = re.compile(r"\[([^\[\]\n]{0,300})\]\(<?([^()\s<>]{1,600})>?(?:\s+\"[^\"]{0,200}\")?\)")
_BARE = re.compile(r"<?\b(https?://[^\s<>|)\]]{1,600})>?")
_WIKI = re.compile(r"\[\[([^\[\]|]{1,200})(?:\|([^\[\]]{1,200}))?\]\]")
_EMPHASIS = re.compile(
    r"\*\*\*|\*\*|__|~~|(?<![\w*])\*(?=\S)|(?<=\S)\*(?![\w*])|(?<![\w_])_(?=\S)|(?<=\S)_(?![\w_])"
)
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")
_KEPT = re.compile(r"\x00(\d+)\x00")
_MARKS = re.compile(r"[`*_\[\\~]")

BR = "\n"
"""What a ``<br>`` becomes in plain words."""


def plain(text: str) -> str:
    """The words without Markdown's marks; ``<br>`` becomes a line break, other white space one blank."""
    if "<" in text:
        text = _TAG.sub("", without_comments(text))
        parts = _BREAK.split(text) if "<" in text else []
        if len(parts) > 1:
            return BR.join(filter(None, (plain(part) for part in parts)))
    if not _MARKS.search(text):
        return " ".join(text.split())
    kept: list[str] = []

    def keep(words: str) -> str:
        kept.append(words)
        return f"\x00{len(kept) - 1}\x00"

    text = text.replace("\x00", "").replace("\x01", "")
    text = _replace_code(text, lambda span: keep(span.strip("`").strip()))
    text = _ESCAPE.sub(lambda found: keep(found[1]), text)
    if "[" in text:
        text = _WIKI.sub(lambda found: found[2] or found[1], text)
        text = _LINK.sub(r"\1", _IMAGE.sub(r"\1", text))
    text = _EMPHASIS.sub("", text)
    if kept:
        text = _KEPT.sub(lambda found: kept[int(found[1])], text)
    return " ".join(text.split())


def without_comments(text: str) -> str:
    """The text without its complete HTML comments."""
    start = text.find("<!--")
    if start < 0:
        return text
    kept, last = [], 0
    while start >= 0:
        end = text.find("-->", start + 4)
        if end < 0:
            break
        kept.append(text[last:start])
        last = end + 3
        start = text.find("<!--", last)
    return "".join([*kept, text[last:]])


def _code_spans(text: str) -> list[tuple[int, int]]:
    """The columns of the code spans, their ticks included: a run of ticks up to the next run as long."""
    if "`" not in text:
        return []
    runs = [found.span() for found in _TICKS.finditer(text)]
    following: dict[int, int] = {}
    partner = [-1] * len(runs)
    for number in range(len(runs) - 1, -1, -1):
        length = runs[number][1] - runs[number][0]
        partner[number] = following.get(length, -1)
        following[length] = number
    spans, number = [], 0
    while number < len(runs):
        if partner[number] < 0:
            number += 1
            continue
        spans.append((runs[number][0], runs[partner[number]][1]))
        number = partner[number] + 1
    return spans


def _replace_code(text: str, by: Callable[[str], str]) -> str:
    spans = _code_spans(text)
    if not spans:
        return text
    parts, last = [], 0
    for start, end in spans:
        parts += [text[last:start], by(text[start:end])]
        last = end
    return "".join([*parts, text[last:]])


def codes(text: str) -> list[str]:
    """The contents of the code spans."""
    return [text[start:end].strip("`").strip() for start, end in _code_spans(text)]


def outside_code(text: str) -> str:
    """The text with its code spans blanked out, of the same length."""
    return _replace_code(text, lambda span: " " * len(span))


def links(text: str) -> tuple[Link, ...]:
    """The links and bare addresses, in their order, each target once, with its words where it has some."""
    found: dict[str, tuple[int, str]] = {}
    rest = _LINK.sub(lambda match: " " * len(match[0]), text)
    named = [(match.start(), match[2], plain(match[1])) for match in _LINK.finditer(text)]
    bare = [(match.start(), match[1].rstrip(".,;"), "") for match in _BARE.finditer(rest)]
    for start, target, words in sorted([*named, *bare]):
        first, said = found.get(target, (start, ""))
        found[target] = (first, said or words)
    ordered = sorted(found.items(), key=lambda item: item[1][0])
    return tuple(Link(text=words, target=target) for target, (_, words) in ordered)


# --- labelled fields ---------------------------------------------------------

_BOLD_LABEL = re.compile(
    r"(?P<mark>\*\*|__)(?P<label>[^*_\n:|`]{1,60}?)"
    r"(?:(?P<inner>[ \t]*:[ \t]*)(?P=mark)(?:[ \t]*:)?|(?P=mark)(?:[ \t]*\((?P<aside>[^()\n]{1,40})\))?[ \t]*(?P<outer>:|[–—](?=[ \t])|-(?=[ \t])))[ \t]*"
)
_PLAIN_LABEL = re.compile(r"(?P<label>%?[A-Za-z][A-Za-z0-9%/& -]{0,40}?)[ \t]*:(?=[ \t]|$)[ \t]*")
_BETWEEN = " \t|·•,;–—-"


@dataclass(slots=True)
class Field:
    """``label`` as written; the value stands in columns ``start`` to ``end`` of the line.  ``bold`` tells a
    marked label from plain ``label: value``; ``colon`` one that ends in a colon from one that ends in a dash."""

    label: str
    start: int
    end: int
    bold: bool
    colon: bool
    label_start: int
    aside: str = ""
    """What stood in brackets between the label and its colon: ``**M1** (Week 4): …``."""


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The columns without blanks around; never past ``start``.  Only ASCII blanks: others may be damage."""
    while end > start and text[end - 1] in " \t":
        end -= 1
    while start < end and text[start] in " \t":
        start += 1
    return start, end


def fields(text: str, start: int, end: int) -> list[Field]:
    """The fields of a line that begins with one; empty for a line that does not.

    Several may stand in one line (``**Owner**: ops | **Time**: 2 h``).  A trailing backslash (a hard line
    break) belongs to no value.
    """
    if end > start and text[end - 1] == "\\":
        end -= 1
    first = _BOLD_LABEL.match(text, start, end)
    if first is None:
        match = _PLAIN_LABEL.match(text, start, end)
        if match is None:
            return []
        value = trimmed(text, match.end(), end)
        return [Field(match["label"].strip(), *value, bold=False, colon=True, label_start=match.start())]
    matches = [first]
    if text.find("**", first.end(), end) >= 0 or text.find("__", first.end(), end) >= 0:
        blank = outside_code(text[:end])
        for match in _BOLD_LABEL.finditer(blank, first.end(), end):
            before = blank[: match.start()].rstrip(" \t")
            if (match["inner"] or match["outer"] == ":") and (
                before[-1:] in "|·•,;" or match.start() == first.end()
            ):
                matches.append(match)
    found: list[Field] = []
    for number, match in enumerate(matches):
        last = number + 1 == len(matches)
        stop = end if last else matches[number + 1].start()
        if not last:
            while stop > match.end() and text[stop - 1] in _BETWEEN:
                stop -= 1
            if text[stop : stop + 1] == "·" and text[stop - 1 : stop] == "Â":
                # the dot was damaged: its first half belongs to it
                stop -= 1
        colon = bool(match["inner"]) or match["outer"] == ":"
        value = trimmed(text, match.end(), max(stop, match.end()))
        found.append(
            Field(
                match["label"].strip(),
                *value,
                bold=True,
                colon=colon,
                label_start=match.start(),
                aside=match["aside"] or "",
            )
        )
    return found
