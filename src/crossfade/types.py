"""Logical types, their canonical forms, and the rules by which a weakly typed column is read.

A *canonical form* is what two sides are compared in and what travels between them: one Arrow
array per column.  It is chosen so that equality of canonical values means equality of data:

==========  ====================  =====================================================
kind        Arrow                 form
==========  ====================  =====================================================
BOOLEAN     bool
INTEGER     int64                 ``bits`` (16, 32, 64) bounds what the column may hold
FLOAT       float64               compared by IEEE bits; ``bits=32`` holds float4 only
DECIMAL     string                plain digits, trailing zeros of the scale trimmed
TEXT        string                UTF-8 as stored; never trimmed, folded or normalised
BYTES       binary
DATE        date32
TIME        time64[us]
TIMESTAMP   timestamp[us]         no zone
INSTANT     timestamp[us, UTC]    with zone, normalised to UTC
UUID        string                lower case with hyphens
JSON        string                the text as stored
JSONB       string                parsed, keys sorted, numbers as exact decimals
OPAQUE      string                the store's own text form (enum, inet, interval, arrays …)
==========  ====================  =====================================================
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa


class Kind(enum.StrEnum):
    """The families of logical types."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    FLOAT = "float"
    DECIMAL = "decimal"
    TEXT = "text"
    BYTES = "bytes"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    INSTANT = "instant"
    UUID = "uuid"
    JSON = "json"
    JSONB = "jsonb"
    OPAQUE = "opaque"


_ARROW: dict[Kind, pa.DataType] = {
    Kind.BOOLEAN: pa.bool_(),
    Kind.INTEGER: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.BYTES: pa.binary(),
    Kind.DATE: pa.date32(),
    Kind.TIME: pa.time64("us"),
    Kind.TIMESTAMP: pa.timestamp("us"),
    Kind.INSTANT: pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True, slots=True)
class LogicalType:
    """One column's logical type.

    ``bits`` bounds INTEGER (16/32/64) and FLOAT (32/64); ``length`` bounds TEXT in characters;
    ``precision``/``scale`` bound DECIMAL, and ``precision`` is the digits of a second for
    TIME/TIMESTAMP/INSTANT (0..6).  ``native`` is the store's own type name where the kind alone
    does not say it (an OPAQUE type; ``character(3)``, whose padding is significant).
    """

    kind: Kind
    bits: int | None = None
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    native: str | None = None

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type of the canonical form."""
        return _ARROW.get(self.kind, pa.string())

    def __str__(self) -> str:
        return self.native or self.kind.value


INTEGER_BOUNDS: dict[int, tuple[int, int]] = {
    16: (-(2**15), 2**15 - 1),
    32: (-(2**31), 2**31 - 1),
    64: (-(2**63), 2**63 - 1),
}
"""Smallest and largest value of an INTEGER by its bits."""


class StoredAs(enum.StrEnum):
    """How a weakly typed column (SQLite) may hold a value of a logical type; the spec's rule."""

    ISO = "iso"  # ISO 8601 text
    EPOCH_S = "epoch_s"
    EPOCH_MS = "epoch_ms"
    EPOCH_US = "epoch_us"
    JULIAN = "julian"
    ZERO_ONE = "0/1"
    T_F = "t/f"
    TRUE_FALSE = "true/false"


def canonical_decimal(value: Decimal | int | str) -> str:
    """The canonical form of a decimal: plain digits, no exponent, scale trimmed; ``NaN`` and
    ``Infinity`` as PostgreSQL spells them.  ``Decimal("1.10")`` and ``Decimal("1.1")`` agree."""
    number = Decimal(value)
    if number.is_nan():
        return "NaN"
    if number.is_infinite():
        return "-Infinity" if number < 0 else "Infinity"
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


class _Number:
    """A JSON number that is written back digit for digit as its canonical decimal."""

    def __init__(self, text: str) -> None:
        self.text = canonical_decimal(text)


def canonical_jsonb(text: str) -> str:
    """The canonical form of a parsed JSON document: keys sorted, no white space, numbers as exact
    decimals, the last of duplicate keys kept (as PostgreSQL's ``jsonb`` keeps it).

    Raises ``ValueError`` when the text is not JSON.
    """
    fractions = False

    def fraction(digits: str) -> _Number:
        nonlocal fractions
        fractions = True
        return _Number(digits)

    parsed = json.loads(text, parse_float=fraction, parse_constant=_refuse)
    if fractions:
        return _dump(parsed)
    return _COMPACT.encode(parsed)


_COMPACT = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
"""Integers are exact in Python, so a document without fractions needs no slower way."""


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _dump(value: Any) -> str:
    if isinstance(value, _Number):
        return value.text
    if isinstance(value, dict):
        inner = ",".join(f"{json.dumps(k, ensure_ascii=False)}:{_dump(value[k])}" for k in sorted(value))
        return "{" + inner + "}"
    if isinstance(value, list):
        return "[" + ",".join(_dump(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)
