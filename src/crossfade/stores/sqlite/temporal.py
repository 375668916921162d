"""Dates and times between what SQLite stores (text, integers, reals) and canonical numbers.

Canonical numbers are days since 1970-01-01 (DATE), microseconds of the day (TIME) and microseconds since
1970-01-01 00:00 (TIMESTAMP, INSTANT).  The years 1 to 9999 can be held.
"""

from __future__ import annotations

import math
import re
from datetime import date
from decimal import Decimal

from crossfade.types import Kind, LogicalType, StoredAs

EPOCH = date(1970, 1, 1).toordinal()
DAY = 86_400_000_000
"""Microseconds of a day."""
FIRST_DAY = date(1, 1, 1).toordinal() - EPOCH
LAST_DAY = date(9999, 12, 31).toordinal() - EPOCH
FIRST, LAST = FIRST_DAY * DAY, (LAST_DAY + 1) * DAY - 1
PLAUSIBLE = ((date(1990, 1, 1).toordinal() - EPOCH) * DAY, (date(2101, 1, 1).toordinal() - EPOCH) * DAY)
_JULIAN_EPOCH_MS = 210_866_760_000_000
"""Milliseconds from the Julian day 0 to 1970-01-01 00:00."""

UNITS: dict[StoredAs, int] = {StoredAs.EPOCH_S: 1_000_000, StoredAs.EPOCH_MS: 1_000, StoredAs.EPOCH_US: 1}
"""Microseconds per unit."""

_DATE = r"(\d{4})-(\d\d)-(\d\d)"
_CLOCK = r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?"
_HOUR = r"(\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?"
_ZONE = r"(Z|z|[+-]\d\d(?::?\d\d)?)?"
_DATE_TEXT = re.compile(_DATE, re.ASCII)
_TIME_TEXT = re.compile(_CLOCK, re.ASCII)
_STAMP_TEXT = re.compile(f"{_DATE}[ Tt]{_HOUR} ?{_ZONE}", re.ASCII)


class NotExact(Exception):
    """A stored value that has no canonical form: why, and what to do about it."""

    def __init__(self, reason: str, todo: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.todo = todo


def _days(year: str, month: str, day: str, text: str) -> int:
    try:
        return date(int(year), int(month), int(day)).toordinal() - EPOCH
    except ValueError as error:
        raise NotExact(f"{text!r} is no date: {error}") from error


def _clock(hour: str, minute: str, second: str | None, fraction: str | None, text: str) -> int:
    h, m, s = int(hour), int(minute), int(second or 0)
    if h > 23 or m > 59 or s > 59:
        raise NotExact(f"{text!r} is no time of day")
    digits = (fraction or "").ljust(9, "0")
    if digits[6:] != "000":
        raise NotExact(f"{text!r} is finer than a microsecond")
    return ((h * 60 + m) * 60 + s) * 1_000_000 + int(digits[:6])


def read_text(kind: Kind, text: str) -> int:
    """The canonical number of an ISO text.  Raises ``NotExact``."""
    if kind is Kind.DATE:
        match = _DATE_TEXT.fullmatch(text)
        if match:
            return _days(match[1], match[2], match[3], text)
        raise NotExact(f"{text[:40]!r} is not a date of the form YYYY-MM-DD")
    if kind is Kind.TIME:
        match = _TIME_TEXT.fullmatch(text)
        if match:
            return _clock(match[1], match[2], match[3], match[4], text)
        raise NotExact(f"{text[:40]!r} is not a time of the form HH:MM[:SS[.ffffff]]")
    match = _STAMP_TEXT.fullmatch(text)
    if not match:
        raise NotExact(f"{text[:40]!r} is not of the form YYYY-MM-DD HH:MM[:SS[.ffffff]]")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    if minute is None and zone is None:
        raise NotExact(f"{text!r} has no minutes")
    stamp = _days(year, month, day, text) * DAY + _clock(hour, minute or "0", second, fraction, text)
    if zone is None:
        return stamp
    if kind is Kind.TIMESTAMP:
        raise NotExact(
            f"ambiguous: {text!r} has a zone, and the column has none",
            "map the column to a type with a time zone",
        )
    stamp -= _offset(zone, text)
    if not FIRST <= stamp <= LAST:
        raise NotExact(f"{text!r} is outside the years 1 to 9999 in UTC")
    return stamp


def _offset(zone: str, text: str) -> int:
    if zone in ("Z", "z"):
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        raise NotExact(f"{text!r} has no possible offset from UTC")
    minutes_east = hours * 60 + minutes
    return (-minutes_east if zone[0] == "-" else minutes_east) * 60_000_000


def read_number(type_: LogicalType, value: int | float, rules: tuple[StoredAs, ...]) -> int:
    """The canonical number of a stored integer or real under the column's rules.  Raises ``NotExact``."""
    numeric = [rule for rule in rules if rule in UNITS or rule is StoredAs.JULIAN]
    if not numeric or type_.kind is Kind.TIME:
        shown = "columns: {<column>: {stored_as: [iso, epoch_ms]}}"
        raise NotExact(
            f"ambiguous: the number {value!r} in a {type_.kind.value} column",
            f"say in the spec what numbers mean here, for example {shown}",
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise NotExact(f"{value!r} is no point in time")
    if len(numeric) == 1:
        return _in_kind(type_.kind, _by_rule(value, numeric[0]), value)
    readings = []
    for rule in numeric:
        try:
            stamp = _by_rule(value, rule)
        except NotExact:
            continue
        if PLAUSIBLE[0] <= stamp < PLAUSIBLE[1]:
            readings.append(stamp)
    if len(readings) != 1:
        listed = ", ".join(rule.value for rule in numeric)
        how_many = "none" if not readings else "several"
        raise NotExact(
            f"ambiguous: {value!r} lies between 1990 and 2100 in {how_many} of {listed}",
            "keep one unit in stored_as, or correct the value",
        )
    return _in_kind(type_.kind, readings[0], value)


def _by_rule(value: int | float, rule: StoredAs) -> int:
    if rule is StoredAs.JULIAN:
        if isinstance(value, int):
            value = float(value)
        if not 0 <= value < 5_373_485:
            raise NotExact(f"{value!r} is no Julian day")
        # SQLite's own arithmetic: whole milliseconds, rounded half up
        stamp = (int(value * 86_400_000.0 + 0.5) - _JULIAN_EPOCH_MS) * 1_000
    elif isinstance(value, int):
        stamp = value * UNITS[rule]
    else:
        exact = Decimal(repr(value)) * UNITS[rule]
        if exact != exact.to_integral_value():
            raise NotExact(f"{value!r} is finer than a microsecond")
        stamp = int(exact)
    if not FIRST <= stamp <= LAST:
        raise NotExact(f"{value!r} is outside the years 1 to 9999 as {rule.value}")
    return stamp


def _in_kind(kind: Kind, stamp: int, value: int | float) -> int:
    if kind is not Kind.DATE:
        return stamp
    if stamp % DAY:
        raise NotExact(f"{value!r} is not midnight, and the column is a date")
    return stamp // DAY


def write_text(kind: Kind, number: int) -> str:
    """The ISO text of a canonical number; INSTANT is written in UTC without a zone, as SQLite's own
    CURRENT_TIMESTAMP does.  Raises ``NotExact`` outside the years 1 to 9999."""
    if kind is Kind.DATE:
        return _write_day(number)
    if kind is Kind.TIME:
        return _write_clock(number)
    days, clock = divmod(number, DAY)
    return f"{_write_day(days)} {_write_clock(clock)}"


def _write_day(days: int) -> str:
    if not FIRST_DAY <= days <= LAST_DAY:
        raise NotExact("outside the years 1 to 9999")
    return date.fromordinal(days + EPOCH).isoformat()


def _write_clock(clock: int) -> str:
    if not 0 <= clock < DAY:
        raise NotExact("not a time of day below 24:00")
    seconds, fraction = divmod(clock, 1_000_000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    base = f"{hour:02}:{minute:02}:{second:02}"
    return f"{base}.{fraction:06}" if fraction else base


def write_number(kind: Kind, number: int, rule: StoredAs) -> int | float:
    """The number that stands for a canonical number under one rule.  Raises ``NotExact``."""
    stamp = number * DAY if kind is Kind.DATE else number
    if kind is Kind.TIME:
        raise NotExact(f"a time of day cannot be stored as {rule.value}")
    if not FIRST <= stamp <= LAST:
        raise NotExact("outside the years 1 to 9999")
    if rule is StoredAs.JULIAN:
        if stamp % 1_000:
            raise NotExact("finer than a millisecond, which a Julian day does not hold")
        return (stamp // 1_000 + _JULIAN_EPOCH_MS) / 86_400_000.0
    units, rest = divmod(stamp, UNITS[rule])
    if rest:
        raise NotExact(f"finer than {rule.value} holds")
    return units
