"""Time windows as plans write them.

Read are: ``Week 7``, ``Weeks 7-14``, ``W7–W9``, ``Day 2-3``, ``Weekend``, ``Sprint 3``, ``Month 6``, ``Q3 2025``,
``Q1-Q2 2026``, ``March 2025``, ``March 3, 2025``, ``3-7 March 2025``, ``2025-03-01``, ``2025-03-01 to 2025-03-05``,
``03.03.2025``; with ``by``, ``until``, ``end of`` (no start) or ``from``, ``starting`` (no end) before them; and a
smaller one inside a larger one (``Week 3, Day 2``).  ``03/04/2025`` is not read: two continents differ on it.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from crossfade.plans.values import Point, Unit, Window

_TO = r"[ \t]*(?:-|–|—|\.\.|to|through|thru|until|till|and|&)[ \t]*"
_COUNTED = re.compile(
    r"(?<![\w.])(?P<unit>weekends?|weeks?|wks?|days?|sprints?|iterations?|months?)[ \t]*#?[ \t]*(?P<first>\d{1,4})(?![\d.]*\d)"
    rf"(?:{_TO}(?:(?P=unit)s?[ \t]*)?(?P<last>\d{{1,4}})(?![\d.]*\d|[ \t]*%))?",
    re.I,
)
_W = re.compile(r"(?<![\w.])W(?P<first>\d{1,3})(?:[ \t]*[-–—][ \t]*W?(?P<last>\d{1,3}))?(?![\w.])")
_WEEKEND = re.compile(r"(?<!\w)weekends?(?!\w)", re.I)
_QUARTER = re.compile(
    r"(?<!\w)(?:(?P<before>\d{4})[ \t/-]?)?Q(?P<first>[1-4])(?:[ \t/'-]*(?P<year>\d{4}))?"
    r"(?:[ \t]*(?:-|–|—|to|/)[ \t]*Q(?P<last>[1-4])(?:[ \t/'-]*(?P<lastyear>\d{4}))?)?(?!\w)",
)
_ISO = r"\d{4}-\d{2}-\d{2}"
_DATES = re.compile(
    rf"(?<!\d)(?P<first>{_ISO})(?:T[\d:.]+Z?)?(?:[ \t]*(?:-|–|—|to|until|/|\.\.|→|through)[ \t]*(?P<last>{_ISO}))?(?!\d)",
    re.I,
)
_DOTTED = re.compile(r"(?<![\d.])(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})(?![\d.])")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_RANGE_OF_DAYS = r"(?P<first>\d{1,2})(?:st|nd|rd|th)?(?:[ \t]*[-–—][ \t]*(?P<last>\d{1,2})(?:st|nd|rd|th)?)?"
_MONTH_DAY = re.compile(rf"(?<!\w){_MONTH}[ \t]+{_RANGE_OF_DAYS},?[ \t]+(?P<year>\d{{4}})(?!\w)", re.I)
_DAY_MONTH = re.compile(rf"(?<!\w){_RANGE_OF_DAYS}[ \t]+{_MONTH},?[ \t]+(?P<year>\d{{4}})(?!\w)", re.I)
_MONTH_YEAR = re.compile(rf"(?<!\w){_MONTH}[ \t]+(?P<year>\d{{4}})(?!\w)", re.I)
_OPEN_START = re.compile(
    r"(?:by|until|till|before|due|end of|by (?:the )?end of|no later than)(?: the)?[ \t]+$", re.I
)
_OPEN_END = re.compile(r"(?:from|starting|start|since|beginning|as of)(?: in| on| of| with)?[ \t]+$", re.I)
_NUMBERS = re.compile(rf"(?P<first>\d{{1,4}})(?:{_TO}(?P<last>\d{{1,4}}))?$", re.I)
_QUICK = re.compile(r"week|wk|day|sprint|iteration|month|\bW\d|Q[1-4]|\d{4}", re.I)

_UNITS = {
    "week": Unit.WEEK,
    "wk": Unit.WEEK,
    "day": Unit.DAY,
    "weekend": Unit.WEEKEND,
    "sprint": Unit.SPRINT,
    "iteration": Unit.SPRINT,
    "month": Unit.MONTH,
}
_SIZE = {
    Unit.DATE: 0,
    Unit.DAY: 1,
    Unit.WEEKEND: 2,
    Unit.WEEK: 3,
    Unit.SPRINT: 4,
    Unit.MONTH: 5,
    Unit.QUARTER: 6,
}


@dataclass(slots=True)
class Found:
    """A window and the columns of the text that say it."""

    window: Window
    start: int
    end: int


def find_window(text: str) -> Found | None:
    """The first window in a text; a smaller one right behind it (``Week 3, Day 2``) lies within it."""
    if not _QUICK.search(text):
        return None
    outer = _first(text, 0)
    if outer is None:
        return None
    inner = _first(text, outer.end)
    if inner is not None and text[outer.end : inner.start].strip(" \t(") in ("", ",", ":", "-", "–", "/"):
        larger, smaller = _unit(outer), _unit(inner)
        if larger and smaller and _SIZE[smaller] < _SIZE[larger] and Unit.DATE not in (larger, smaller):
            raw = text[outer.start : inner.end]
            window = inner.window.model_copy(update={"raw": raw, "within": outer.window})
            return Found(window, outer.start, inner.end)
    return outer


def parse_window(text: str, unit: Unit | None = None) -> Window | None:
    """The window that a field or cell states; ``raw`` is all of its text.

    ``unit`` is what a bare number counts: ``7-14`` under the column title ``Week``.
    """
    text = text.strip()
    numbers = _NUMBERS.match(text) if unit else None
    if numbers and unit:
        first = int(numbers["first"])
        last = int(numbers["last"] or first)
        return Window(raw=text, start=Point(unit=unit, number=first), end=Point(unit=unit, number=last))
    found = find_window(text)
    return found.window.model_copy(update={"raw": text}) if found else None


def parse_date(text: str) -> datetime.date | None:
    """The first calendar date in a text."""
    found = _first(text, 0, dates=True)
    return found.window.start.date if found and found.window.start else None


def _unit(found: Found) -> Unit | None:
    point = found.window.start or found.window.end
    return point.unit if point else None


def _first(text: str, at: int, *, dates: bool = False) -> Found | None:
    best: Found | None = None
    for pattern, build in _DATE_SHAPES if dates else _SHAPES:
        match = pattern.search(text, at)
        while match is not None:
            if best is not None and match.start() >= best.start:
                break
            points = build(match)
            if points is not None:
                best = _open(text, match, *points)
                break
            match = pattern.search(text, match.end())
    return best


def _open(text: str, match: re.Match[str], start: Point, end: Point) -> Found:
    before = text[max(0, match.start() - 30) : match.start()]
    first = match.start()
    begins: Point | None = start
    ends: Point | None = end
    for pattern, opens_start in ((_OPEN_START, True), (_OPEN_END, False)):
        word = pattern.search(before)
        if word:
            begins, ends = (None, end) if opens_start else (start, None)
            first -= len(before) - word.start()
            break
    return Found(Window(raw=text[first : match.end()], start=begins, end=ends), first, match.end())


Points = tuple[Point, Point]


def _counted(match: re.Match[str]) -> Points | None:
    unit = _UNITS[match["unit"].lower().rstrip("s")]
    first = int(match["first"])
    return Point(unit=unit, number=first), Point(unit=unit, number=int(match["last"] or first))


def _weeks(match: re.Match[str]) -> Points | None:
    first = int(match["first"])
    return Point(unit=Unit.WEEK, number=first), Point(unit=Unit.WEEK, number=int(match["last"] or first))


def _weekend(_match: re.Match[str]) -> Points | None:
    return Point(unit=Unit.WEEKEND), Point(unit=Unit.WEEKEND)


def _quarter(match: re.Match[str]) -> Points | None:
    last_year = match["lastyear"]
    year = match["before"] or match["year"] or (last_year if match["last"] else None)
    last_year = last_year or year
    first = Point(unit=Unit.QUARTER, number=int(match["first"]), year=int(year) if year else None)
    if not match["last"]:
        return first, first
    return first, Point(
        unit=Unit.QUARTER, number=int(match["last"]), year=int(last_year) if last_year else None
    )


def _date(year: str, month: str | int, day: str) -> Point | None:
    try:
        return Point(unit=Unit.DATE, date=datetime.date(int(year), int(month), int(day)))
    except ValueError:
        return None


def _iso(match: re.Match[str]) -> Points | None:
    first = _date(*match["first"].split("-"))
    last = _date(*match["last"].split("-")) if match["last"] else first
    return (first, last) if first and last else None


def _dotted(match: re.Match[str]) -> Points | None:
    point = _date(match["year"], match["month"], match["day"])
    return (point, point) if point else None


def _month_number(match: re.Match[str]) -> int:
    return _MONTHS.index(match["month"][:3].lower()) + 1


def _days_of_month(match: re.Match[str]) -> Points | None:
    month = _month_number(match)
    first = _date(match["year"], month, match["first"])
    last = _date(match["year"], month, match["last"] or match["first"])
    return (first, last) if first and last else None


def _month_of_year(match: re.Match[str]) -> Points | None:
    point = Point(unit=Unit.MONTH, number=_month_number(match), year=int(match["year"]))
    return point, point


_DATE_SHAPES = (
    (_DATES, _iso),
    (_MONTH_DAY, _days_of_month),
    (_DAY_MONTH, _days_of_month),
    (_DOTTED, _dotted),
)
_SHAPES = (
    *_DATE_SHAPES,
    (_COUNTED, _counted),
    (_W, _weeks),
    (_QUARTER, _quarter),
    (_MONTH_YEAR, _month_of_year),
    (_WEEKEND, _weekend),
)
