"""Words in a drawing: made safe for XML, measured roughly, and cut to the room there is."""

from __future__ import annotations

import re
import unicodedata
from xml.sax.saxutils import escape

_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
_NARROW = frozenset("ijlIft.,:;'`|!()[]{}/\\-1 ")
_BROAD = frozenset("mwMW@%—…GOQD")


def safe(text: str) -> str:
    """The text on one line as XML takes it, in elements and in quoted attributes."""
    return escape(_FORBIDDEN.sub("", " ".join(text.split())), {'"': "&quot;"})


def width(text: str, size: float, *, bold: bool = False) -> float:
    """About how many pixels a text of that size takes in a usual sans-serif font; rather too many."""
    units = 0.0
    for character in text:
        if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Mn", "Me"):
            continue
        if unicodedata.east_asian_width(character) in ("W", "F"):
            units += 1.05
        elif character in _NARROW:
            units += 0.39
        elif character in _BROAD:
            units += 0.95
        elif character.isupper():
            units += 0.72
        else:
            units += 0.625
    return units * size * (1.13 if bold else 1.0)


def fit(text: str, room: float, size: float, *, bold: bool = False) -> str:
    """The text, or as much of its beginning as there is room for, with an ellipsis."""
    text = " ".join(text.split())
    if width(text, size, bold=bold) <= room:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if width(text[:middle] + "…", size, bold=bold) <= room:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "…" if low else ""
