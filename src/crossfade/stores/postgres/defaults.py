"""Expressions of other dialects (SQLite's, above all) that are known to mean the same here."""

from __future__ import annotations

import re

from crossfade.stores.postgres.names import text
from crossfade.types import Kind, LogicalType

_UTC = "(now() AT TIME ZONE 'UTC')"

_NOW = {
    "current_timestamp", "now()", "datetime('now')", "datetime()", "datetime(current_timestamp)",
    "strftime('%y-%m-%d %h:%m:%s','now')", "strftime('%y-%m-%d %h:%m:%f','now')",
    "strftime('%y-%m-%dt%h:%m:%sz','now')", "strftime('%y-%m-%dt%h:%m:%fz','now')",
}  # fmt: skip
_TODAY = {"current_date", "date('now')", "date()", "strftime('%y-%m-%d','now')"}
_CLOCK = {"current_time", "time('now')", "time()", "strftime('%h:%m:%s','now')"}
_EPOCH = {
    "unixepoch()",
    "unixepoch('now')",
    "strftime('%s','now')",
    "cast(strftime('%s','now')asinteger)",
}

_STRFTIME = {
    "%Y": "YYYY", "%m": "MM", "%d": "DD", "%H": "HH24", "%M": "MI", "%S": "SS", "%f": "SS.MS",
}  # fmt: skip


def translated(default: str, logical: LogicalType | None) -> str | None:
    """A default of SQLite as a default here, or None where it is not known to mean the same."""
    bare = _bare(default.strip())
    kind = logical.kind if logical is not None else Kind.TEXT
    squeezed = re.sub(r"\s+", "", bare.lower())
    if squeezed == "null":
        return "NULL"
    moment = _moment(bare, squeezed, kind)
    if moment is not None:
        return moment
    value = _constant(bare)
    return None if value is None else _literal(value, kind)


def _bare(default: str) -> str:
    """Without parentheses around the whole."""
    while default.startswith("(") and default.endswith(")"):
        depth = 0
        for i, letter in enumerate(default):
            depth += (letter == "(") - (letter == ")")
            if depth == 0 and i < len(default) - 1:
                return default
        default = default[1:-1].strip()
    return default


def _moment(bare: str, squeezed: str, kind: Kind) -> str | None:
    squeezed = squeezed.replace("current_timestamp", "current_timestamp")
    spaced = re.sub(r"\s*,\s*", ",", bare.lower())
    if squeezed in _EPOCH:
        return {
            Kind.INTEGER: "extract(epoch FROM now())::bigint",
            Kind.INSTANT: "date_trunc('second', now())",
            Kind.TIMESTAMP: f"date_trunc('second', {_UTC})",
        }.get(kind)
    if spaced not in _NOW | _TODAY | _CLOCK:
        return None
    if kind is Kind.INSTANT:
        return "now()" if spaced in _NOW else None
    if kind is Kind.TIMESTAMP:
        return _UTC if spaced in _NOW else f"date_trunc('day', {_UTC})" if spaced in _TODAY else None
    if kind is Kind.DATE:
        return f"{_UTC}::date" if spaced in _NOW | _TODAY else None
    if kind is Kind.TIME:
        return f"{_UTC}::time" if spaced in _NOW | _CLOCK else None
    if kind is Kind.TEXT:
        return _as_text(bare, spaced)
    return None


def _as_text(bare: str, spaced: str) -> str:
    pattern = re.match(r"strftime\(\s*'([^']*)'", bare, re.IGNORECASE)
    if pattern:
        shape = pattern.group(1)
        for sign, ours in _STRFTIME.items():
            shape = shape.replace(sign, ours)
        shape = shape.replace("T", '"T"', 1).replace("Z", '"Z"', 1)
        return f"to_char({_UTC}, {text(shape)})"
    shape = (
        "YYYY-MM-DD" if spaced in _TODAY else "HH24:MI:SS" if spaced in _CLOCK else "YYYY-MM-DD HH24:MI:SS"
    )
    return f"to_char({_UTC}, {text(shape)})"


def _constant(bare: str) -> str | bytes | None:
    """The value of a literal: ``'a'``, ``"a"`` (SQLite takes it for text), ``1.5``, ``x'00'``, TRUE."""
    for quote in ("'", '"'):
        inner = bare[1:-1]
        if len(bare) >= 2 and bare[0] == bare[-1] == quote and quote not in inner.replace(quote * 2, ""):
            return inner.replace(quote * 2, quote)
    if re.fullmatch(r"[+-]?\s*(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", bare):
        return bare.replace(" ", "").removeprefix("+")
    if bare.lower() in ("true", "false"):
        return bare.lower()
    blob = re.fullmatch(r"[xX]'((?:[0-9a-fA-F]{2})*)'", bare)
    return bytes.fromhex(blob.group(1)) if blob else None


_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false")


def _literal(value: str | bytes, kind: Kind) -> str | None:
    if isinstance(value, bytes):
        return text("\\x" + value.hex()) if kind is Kind.BYTES else None
    if kind is Kind.BOOLEAN:
        word = value.lower()
        return "true" if word in _TRUE else "false" if word in _FALSE else None
    if kind in (Kind.INTEGER, Kind.FLOAT, Kind.DECIMAL):
        number = {"true": "1", "false": "0"}.get(value.lower(), value)
        pattern = r"-?\d+(\.0*)?" if kind is Kind.INTEGER else r"-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
        if not re.fullmatch(pattern, number):
            return None
        return number.split(".")[0] if kind is Kind.INTEGER else number
    if kind in (Kind.DATE, Kind.TIME, Kind.TIMESTAMP, Kind.INSTANT) and re.fullmatch(r"-?[\d.]+", value):
        return None  # an epoch: its unit is the mapping's matter
    if kind is Kind.BYTES:
        return text("\\x" + value.encode().hex())
    return text(value)


_PORTABLE = re.compile(
    r"""\s*(?: '(?:[^']|'')*' | "(?:[^"]|"")*" | \d+(?:\.\d+)? | \|\| | -(?![->]) | [+*(),<>=] | <= | >= | <> | !=
        | (?:AND|OR|NOT|IS|NULL|IN|COALESCE|ABS)\b | (?!(?:LIKE|GLOB|REGEXP|MATCH|COLLATE|CASE|ISNULL|NOTNULL|CURRENT_\w+)\b)[A-Za-z_][A-Za-z_0-9]*(?!\w*\s*\() )""",
    re.VERBOSE | re.IGNORECASE,
)


def portable(expression: str) -> bool:
    """Whether an expression holds nothing but names, constants and operators that mean the same
    everywhere.  Quoted names count as names, so ``"x"`` taken for a text would fail at creation."""
    place = 0
    expression = expression.strip()
    while place < len(expression):
        found = _PORTABLE.match(expression, place)
        if found is None or found.end() == place:
            return False
        place = found.end()
    return True
