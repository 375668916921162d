"""Amounts of time: estimates in hours of work, time-outs in seconds by the clock.

Read are ``2 hours``, ``1.5h``, ``3 days``, ``30 min``, ``1-2 hours``, ``2h 30min``, ``1 day 4 hours``, ``half a day``,
``~4h``, ``2 person-days``.  Of a range the estimate keeps both ends and reckons with their mean.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from crossfade.plans.values import HOURS_PER_DAY, HOURS_PER_WEEK, Estimate

_NUMBER = r"\d{1,6}(?:[.,]\d{1,3})?|½|half(?: an?)?|one|two|three|four|five|an?(?=[ \t])"
_UNIT = (
    r"(?P<unit>h|hrs?|hours?|d|days?|w|wks?|weeks?|m|mins?|minutes?|s|secs?|seconds?|months?|mo"
    r"|(?:person|man|engineer|dev)[- ](?:days?|hours?|weeks?)|pd|ph)"
)
_AMOUNT = re.compile(
    rf"(?<![\w.$€£])(?P<low>{_NUMBER})[ \t]*(?:{_UNIT.replace('unit', 'lowunit')}(?![A-Za-z]))?"
    rf"(?:[ \t]*(?:-|–|—|to)[ \t]*(?P<high>{_NUMBER}))?[ \t]*-?{_UNIT}(?![A-Za-z])",
    re.I,
)
_MORE = re.compile(rf"[ \t]*(?:,|and|&|\+)?[ \t]*(?P<low>{_NUMBER})[ \t]*{_UNIT}(?![A-Za-z])", re.I)
_JOINED = re.compile(r"(?<![\w.])(?P<low>\d{1,3})h(?P<high>\d{2})(?:min?|m)?(?![\w.])", re.I)
_BARE = re.compile(
    r"~?[ \t]*(?P<low>\d{1,6}(?:[.,]\d{1,3})?)(?:[ \t]*(?:-|–|—|to)[ \t]*(?P<high>\d{1,6}(?:[.,]\d{1,3})?))?$"
)
_THOUSANDS = re.compile(r"\d{1,3},\d{3}")
_WORDS = {"one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0, "five": 5.0, "½": 0.5}
_WORK = {
    "h": 1.0,
    "d": HOURS_PER_DAY,
    "w": HOURS_PER_WEEK,
    "mo": 4 * HOURS_PER_WEEK,
    "m": 1 / 60,
    "s": 1 / 3600,
}
_CLOCK = {"h": 3600.0, "d": 86_400.0, "w": 604_800.0, "mo": 2_592_000.0, "m": 60.0, "s": 1.0}


@dataclass(slots=True)
class Amount:
    """A duration found in a text: its two ends, the units as letters (h, d, w, mo, m, s), and its columns."""

    low: float
    high: float
    units: frozenset[str]
    start: int
    end: int


def parse_estimate(text: str, *, bare_hours: bool = False) -> Estimate | None:
    """The first estimate in a text, in hours of work.  ``bare_hours`` reads a mere number as hours."""
    text = text.strip()
    found = find_amount(text)
    if found is None and bare_hours:
        bare = _BARE.match(text)
        if bare:
            low = _number(bare["low"])
            found = Amount(low, _number(bare["high"]) if bare["high"] else low, frozenset("h"), 0, len(text))
    if found is None:
        return None
    low, high = sorted((round(found.low, 10), round(found.high, 10)))
    return Estimate(raw=text, hours=round((low + high) / 2, 10), low=low, high=high)


def parse_seconds(text: str) -> float | None:
    """The first duration in a text, in seconds by the clock (a day is 24 hours); a mere number is seconds."""
    text = text.strip()
    bare = _BARE.match(text)
    if bare and not bare["high"]:
        return _number(bare["low"])
    found = find_amount(text, _CLOCK)
    return found.high if found else None


def find_amount(text: str, scale: dict[str, float] = _WORK) -> Amount | None:
    """The first duration in a text, in the scale's unit."""
    joined = _JOINED.search(text)
    match = _AMOUNT.search(text)
    if joined and (match is None or joined.start() <= match.start()):
        value = float(joined["low"]) * scale["h"] + float(joined["high"]) * scale["m"]
        return Amount(value, value, frozenset("hm"), joined.start(), joined.end())
    if match is None:
        return None
    unit = _letter(match["unit"])
    low_unit = _letter(match["lowunit"]) if match["lowunit"] else unit
    units = {unit, low_unit}
    if match["high"]:
        low, high = _number(match["low"]) * scale[low_unit], _number(match["high"]) * scale[unit]
    elif match["lowunit"]:
        return None
    else:
        low = high = _number(match["low"]) * scale[unit]
    end = match.end()
    more = _MORE.match(text, end)
    while more is not None:
        letter = _letter(more["unit"])
        if scale[letter] >= min(scale[unit] for unit in units):
            break
        units.add(letter)
        low += _number(more["low"]) * scale[letter]
        high += _number(more["low"]) * scale[letter]
        end = more.end()
        more = _MORE.match(text, end)
    return Amount(low, high, frozenset(units), match.start(), end)


def _number(text: str) -> float:
    text = text.lower()
    if text in _WORDS:
        return _WORDS[text]
    if text.startswith("half"):
        return 0.5
    if text in ("a", "an"):
        return 1.0
    if _THOUSANDS.fullmatch(text):
        return float(text.replace(",", ""))
    return float(text.replace(",", "."))


def _letter(unit: str) -> str:
    unit = unit.lower()
    if unit in ("pd", "ph"):
        return unit[1]
    unit = unit.replace("-", " ").rsplit(" ", 1)[-1]
    return "mo" if unit.startswith("mo") else unit[0]
