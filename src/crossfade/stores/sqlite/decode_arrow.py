"""Decoding whole columns: vectorised where every value is of one storage class, else value by value.

The vectorised functions *prove* or decline: they return None when any value is in doubt, and ``decode``
then decides.  The two agree wherever the first answers; a property test holds them to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossfade.stores.base import Field
from crossfade.stores.sqlite import temporal
from crossfade.stores.sqlite.connection import Text
from crossfade.stores.sqlite.decode import (
    TEMPORAL,
    boolean_words,
    canonical_array,
    decode_value,
    time_rules,
)
from crossfade.stores.sqlite.temporal import NotExact
from crossfade.types import INTEGER_BOUNDS, Kind, LogicalType, StoredAs

EXACT_INTEGERS = 2**53
"""Every integer up to this size is a double."""
CANONICAL_DECIMAL = r"^(0|-?[1-9][0-9]*|-?(0|[1-9][0-9]*)\.[0-9]*[1-9])$"
"""RE2 pattern of a decimal that is in canonical form already."""
_ARROW: dict[type, pa.DataType] = {
    int: pa.int64(),
    float: pa.float64(),
    Text: pa.binary(),
    bytes: pa.binary(),
}
_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_UUID_HEX = r"^[0-9a-f]{32}$"
_SPLIT = r"^(.{8})(.{4})(.{4})(.{4})(.{12})$"
_MAX_PATTERN = 900
"""RE2 allows 1,000 repetitions."""


def decode_array(field: Field, array: pa.Array) -> pa.Array | None:
    """Decode int64 (INTEGER), double (REAL), string (TEXT) or binary (BLOB) values, or only nulls."""
    if array.null_count == len(array):
        return pa.nulls(len(array), field.type.arrow)
    stored = array.type
    try:
        if pa.types.is_integer(stored):
            return _integers(field, array)
        if pa.types.is_floating(stored):
            return _reals(field, array)
        if pa.types.is_string(stored):
            return _texts(field, array)
        if pa.types.is_binary(stored):
            return _blobs(field, array)
    except pa.ArrowInvalid:
        return None
    return None


def _within(array: pa.Array, low: object, high: object) -> bool:
    bounds = pc.min_max(array).as_py()
    return bool(bounds["min"] >= low and bounds["max"] <= high)


def _integers(field: Field, array: pa.Array) -> pa.Array | None:
    kind = field.type.kind
    if kind is Kind.INTEGER:
        bits = field.type.bits or 64
        return array if bits == 64 or _within(array, *INTEGER_BOUNDS[bits]) else None
    if kind is Kind.BOOLEAN:
        return array.cast(pa.bool_()) if 0 in boolean_words(field) and _within(array, 0, 1) else None
    if kind is Kind.FLOAT:
        fits = field.type.bits != 32 and _within(array, -EXACT_INTEGERS, EXACT_INTEGERS)
        return array.cast(pa.float64()) if fits else None
    if kind is Kind.DECIMAL:
        return _bounded_decimal(field, array.cast(pa.string()))
    if kind in TEMPORAL:
        return _epochs(field, array)
    return None


def _reals(field: Field, array: pa.Array) -> pa.Array | None:
    kind = field.type.kind
    if kind is Kind.FLOAT:
        if field.type.bits != 32:
            return array
        narrow = array.cast(pa.float32(), safe=False).cast(pa.float64())
        return array if all_true(pc.equal(narrow, array)) else None
    if kind is Kind.DECIMAL:
        proven = _short_decimals(field.type, array)
        if proven is not None:
            return proven
        if not all_true(pc.is_finite(array)):
            return None
        # Arrow prints the shortest text that reads back as the same double
        text = pc.replace_substring_regex(array.cast(pa.string()), r"\.0$", "")
        return _bounded_decimal(field, text)
    return None


def _short_decimals(type_: LogicalType, array: pa.Array) -> pa.Array | None:
    """Doubles that are each the nearest to a decimal of the type's scale with at most 15 digits.  No two
    such decimals share a double, so that decimal is also the shortest text of the double."""
    precision, scale = type_.precision, type_.scale or 0
    if precision is None or not 0 <= scale <= min(precision, 15):
        return None
    values = np.asarray(array.fill_null(0.0))
    with np.errstate(invalid="ignore", over="ignore"):
        units = np.rint(values * 10.0**scale)
        fits = np.abs(units) < 10.0 ** min(precision, 15)  # not for NaN and infinities
    if not (fits.all() and (units / 10.0**scale == values).all()):
        return None
    if np.signbit(values[units == 0]).any():
        return None  # -0.0
    text = array.cast(pa.string())
    # large and small numbers are printed with an exponent
    if pc.any(pc.or_(pc.match_substring(text, "e"), pc.ends_with(text, ".0"))).as_py():
        return None
    return text


def _texts(field: Field, array: pa.Array) -> pa.Array | None:
    kind, type_ = field.type.kind, field.type
    if kind in (Kind.TEXT, Kind.OPAQUE):
        if type_.length is not None and pc.max(pc.utf8_length(array)).as_py() > type_.length:
            return None
        return array
    if kind in TEMPORAL:
        return _iso(field, array)
    if kind is Kind.BOOLEAN:
        words = {word: truth for word, truth in boolean_words(field).items() if isinstance(word, str)}
        place = pc.index_in(pc.ascii_lower(array), pa.array(list(words), pa.string()))
        truths = pc.take(pa.array(list(words.values()), pa.bool_()), place)
        return truths if truths.null_count == array.null_count else None
    if kind is Kind.DECIMAL:
        if not all_true(pc.match_substring_regex(array, r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)$")):
            return None
        trimmed = pc.replace_substring_regex(array, r"(\.[0-9]*?)0+$", r"\1")
        return _bounded_decimal(field, pc.replace_substring_regex(trimmed, r"\.$", ""))
    if kind is Kind.UUID:
        return _uuids(array)
    if kind in (Kind.JSON, Kind.JSONB):
        return _distinct(field, array)
    return None


def _blobs(field: Field, array: pa.Array) -> pa.Array | None:
    if field.type.kind is Kind.BYTES:
        return array
    if field.type.kind is Kind.UUID and _within(pc.binary_length(array), 16, 16):
        return _uuids(pa.array([None if v is None else v.hex() for v in array.to_pylist()], pa.string()))
    return None


def _bounded_decimal(field: Field, text: pa.Array) -> pa.Array | None:
    """The text itself when every value is a canonical decimal within the type's precision."""
    if not all_true(pc.match_substring_regex(text, CANONICAL_DECIMAL)):
        return None
    return text if all_true(pc.match_substring_regex(text, decimal_pattern(field.type))) else None


def decimal_pattern(type_: LogicalType) -> str:
    """An RE2 pattern that a canonical decimal matches only if the type's precision and scale hold it."""
    precision, scale = type_.precision, type_.scale or 0
    if precision is None:
        return ""
    if not 0 <= scale <= precision <= _MAX_PATTERN:
        return "^$"  # matches no decimal: left to the exact way
    before = f"(0|[0-9]{{1,{precision - scale}}})" if precision > scale else "0"
    after = rf"(\.[0-9]{{1,{scale}}})?" if scale else ""
    return f"^-?{before}{after}$"


def _uuids(array: pa.Array) -> pa.Array | None:
    lower = pc.ascii_lower(array)
    if all_true(pc.match_substring_regex(lower, _UUID)):
        return lower
    if all_true(pc.match_substring_regex(lower, _UUID_HEX)):
        return pc.replace_substring_regex(lower, _SPLIT, r"\1-\2-\3-\4-\5")
    return None


def _distinct(field: Field, array: pa.Array) -> pa.Array | None:
    """Decode each distinct value once: documents often repeat."""
    coded = array.dictionary_encode()
    try:
        values = [decode_value(field, Text(v.encode())) for v in coded.dictionary.to_pylist()]
    except NotExact:
        return None
    return canonical_array(field.type, values).take(coded.indices)


def _iso(field: Field, array: pa.Array) -> pa.Array | None:
    type_ = field.type
    if StoredAs.ISO not in time_rules(field):
        return None
    lengths = pc.min_max(pc.binary_length(array)).as_py()
    if type_.kind is Kind.DATE:
        return array.cast(pa.date32()) if lengths["min"] == lengths["max"] == 10 else None
    if type_.kind is Kind.TIME:
        found = _clocks(array) if lengths["min"] >= 5 else None
    elif lengths["min"] < 16:  # a date alone, which Arrow would read as midnight
        found = None
    elif type_.kind is Kind.TIMESTAMP:
        found = array.cast(pa.timestamp("us"))
    else:
        found = _instants(array)
    return _bounded_time(field, found)


def _clocks(array: pa.Array) -> pa.Array:
    """Times of day; Arrow reads them only as part of a timestamp."""
    stamps = pc.binary_join_element_wise("1970-01-01", array, " ").cast(pa.timestamp("us"))
    return stamps.cast(pa.int64()).cast(pa.time64("us"))


def _instants(array: pa.Array) -> pa.Array | None:
    """Text that has a zone in every value or in none; without one it is UTC."""
    if lacks_zone(array):
        return array.cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    found = array.cast(pa.timestamp("us", tz="UTC"))
    low = pa.scalar(temporal.FIRST, pa.int64())
    high = pa.scalar(temporal.LAST, pa.int64())
    return found if _within(found.cast(pa.int64()), low.as_py(), high.as_py()) else None


def lacks_zone(array: pa.Array) -> bool:
    """Whether the first value that is not null ends without a zone."""
    first = next((v for v in array if v.is_valid), None)
    tail = "" if first is None else first.as_py()[16:]
    return not any(mark in tail for mark in "Zz+-")


def _epochs(field: Field, array: pa.Array) -> pa.Array | None:
    """Integers under exactly one unit; several units are decided value by value."""
    numeric = [rule for rule in time_rules(field) if rule is not StoredAs.ISO]
    if len(numeric) != 1 or numeric[0] not in temporal.UNITS or field.type.kind is Kind.TIME:
        return None
    unit = temporal.UNITS[numeric[0]]
    if not _within(array, -(-temporal.FIRST // unit), temporal.LAST // unit):
        return None
    stamps = pc.multiply_checked(array, unit)
    if field.type.kind is not Kind.DATE:
        return _bounded_time(field, stamps.cast(field.type.arrow))
    days = stamps.cast(pa.timestamp("us")).cast(pa.date32(), safe=False)
    same = pc.equal(days.cast(pa.timestamp("us")).cast(pa.int64()), stamps)
    return days if all_true(same) else None


def _bounded_time(field: Field, array: pa.Array | None) -> pa.Array | None:
    precision = field.type.precision
    if array is None or precision is None or precision >= 6:
        return array
    numbers = array.cast(pa.int64())
    step = 10 ** (6 - precision)
    return array if all_true(pc.equal(pc.multiply(pc.divide(numbers, step), step), numbers)) else None


def all_true(mask: pa.Array) -> bool:
    """Whether a mask is true wherever it is not null (true when empty)."""
    return bool(pc.all(mask, min_count=0).as_py())


# --- columns of any values --------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bad:
    """The place of a value that has no canonical form, and why."""

    index: int
    reason: str
    todo: str


def decode_values(field: Field, values: Sequence[Any]) -> tuple[pa.Array, list[Bad]]:
    """The canonical array of stored values; those without a canonical form are null in it and listed."""
    classes = {type(value) for value in values} - {type(None)}
    if not classes:
        return pa.nulls(len(values), field.type.arrow), []
    if len(classes) == 1:
        array = _uniform(values, classes.pop())
        proven = None if array is None else decode_array(field, array)
        if proven is not None:
            return proven, []
    decoded: list[Any] = []
    bad: list[Bad] = []
    for index, value in enumerate(values):
        try:
            decoded.append(decode_value(field, value))
        except NotExact as error:
            bad.append(Bad(index, error.reason, error.todo))
            decoded.append(None)
    return canonical_array(field.type, decoded), bad


def _uniform(values: Sequence[Any], stored: type) -> pa.Array | None:
    try:
        array = pa.array(values, _ARROW[stored])
        return array.cast(pa.string()) if stored is Text else array
    except pa.ArrowInvalid:
        return None  # text that is not UTF-8


def as_valid(array: pa.Array) -> pa.Array | None:
    """The array itself when its text is valid UTF-8."""
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return None
    return array
