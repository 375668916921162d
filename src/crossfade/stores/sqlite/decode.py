"""The exact meaning of one stored value: what a field accepts, its canonical form, and why not.

This is the reference.  ``decode_arrow`` does the same for whole columns where it can prove it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from crossfade.stores.base import Field
from crossfade.stores.sqlite import temporal
from crossfade.stores.sqlite.connection import Text
from crossfade.stores.sqlite.temporal import NotExact
from crossfade.types import INTEGER_BOUNDS, Kind, LogicalType, StoredAs, canonical_decimal, canonical_jsonb

_WORDS: dict[StoredAs, dict[Any, bool]] = {
    StoredAs.ZERO_ONE: {0: False, 1: True, "0": False, "1": True},
    StoredAs.T_F: {"t": True, "f": False},
    StoredAs.TRUE_FALSE: {"true": True, "false": False},
}
_PLAIN_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_UUID_HEX = re.compile(r"[0-9a-f]{32}")
TEMPORAL = (Kind.DATE, Kind.TIME, Kind.TIMESTAMP, Kind.INSTANT)


def boolean_words(field: Field) -> dict[Any, bool]:
    """What the field accepts as a truth value: integers, and lower-case text."""
    accepted: dict[Any, bool] = {}
    for rule in field.stored_as or tuple(_WORDS):
        accepted |= _WORDS.get(rule, {})
    return accepted


def time_rules(field: Field) -> tuple[StoredAs, ...]:
    """The encodings of a point in time that the field accepts; ISO text when the spec says nothing."""
    return field.stored_as or (StoredAs.ISO,)


def decode_value(field: Field, value: object) -> Any:
    """The canonical value (times as numbers, see ``temporal``) of one stored value.

    ``value`` is None, int, float, ``Text`` or bytes.  Raises ``NotExact``.
    """
    if value is None:
        return None
    if isinstance(value, Text):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise NotExact(
                f"the text is not valid UTF-8 (byte {error.start})", "correct the value on the old side"
            ) from error
    return _BY_KIND[field.type.kind](field, value)


def _mismatch(field: Field, value: object) -> NotExact:
    found = {int: "an integer", float: "a real", str: "text", bytes: "a blob"}[type(value)]
    return NotExact(
        f"{found} in a {field.type.kind.value} column",
        "correct the value on the old side, or map the column to another type",
    )


def _boolean(field: Field, value: object) -> bool:
    word = value.lower() if isinstance(value, str) else value
    if isinstance(word, (int, str)):
        accepted = boolean_words(field)
        if word in accepted:
            return accepted[word]
        raise NotExact(f"{str(value)[:40]!r} is no truth value here")
    raise _mismatch(field, value)


def _integer(field: Field, value: object) -> int:
    if not isinstance(value, int):
        raise _mismatch(field, value)
    low, high = INTEGER_BOUNDS[field.type.bits or 64]
    if not low <= value <= high:
        raise NotExact(f"{value} does not fit {field.type.bits} bits", "map the column to a wider integer")
    return value


def _float(field: Field, value: object) -> float:
    if isinstance(value, int):
        try:
            number = float(value)
        except OverflowError as error:  # cannot happen for 64 bits; kept so that no error escapes
            raise NotExact(f"{value} is no double") from error
        if int(number) != value:
            raise NotExact(f"the integer {value} is not exactly a double", "map the column to a decimal")
    elif isinstance(value, float):
        number = value
    else:
        raise _mismatch(field, value)
    if field.type.bits == 32 and pa.scalar(number).cast(pa.float32(), safe=False).as_py() != number:
        raise NotExact(f"{number!r} is not exactly a 32-bit float", "map the column to a 64-bit float")
    return number


def _decimal(field: Field, value: object) -> str:
    if isinstance(value, float):
        if value - value != 0:
            raise NotExact(f"{value!r} is no decimal")
        text = canonical_decimal(Decimal(repr(value)))
    elif isinstance(value, int):
        text = str(value)
    elif isinstance(value, str):
        if not _PLAIN_DECIMAL.fullmatch(value):
            raise NotExact(f"{value[:40]!r} is not a plain decimal")
        text = canonical_decimal(value)
    else:
        raise _mismatch(field, value)
    bounds = field.type
    if bounds.precision is not None and not fits_decimal(text, bounds.precision, bounds.scale or 0):
        raise NotExact(
            f"{text[:60]} does not fit {bounds.precision} digits with {bounds.scale or 0} after the point",
            "widen the other side's column",
        )
    return text


def fits_decimal(text: str, precision: int, scale: int) -> bool:
    """Whether a canonical decimal fits ``numeric(precision, scale)`` without rounding."""
    number = Decimal(text)
    sign_digits_exponent = number.as_tuple()
    exponent = sign_digits_exponent.exponent
    if not isinstance(exponent, int) or -exponent > scale:
        return False
    return number == 0 or number.adjusted() < precision - scale


def _text(field: Field, value: object) -> str:
    if not isinstance(value, str):
        raise _mismatch(field, value)
    if field.type.length is not None and len(value) > field.type.length:
        raise NotExact(
            f"{len(value)} characters in a column of {field.type.length}", "widen the other side's column"
        )
    return value


def _bytes(field: Field, value: object) -> bytes:
    if not isinstance(value, bytes):
        raise _mismatch(field, value)
    return value


def _time(field: Field, value: object) -> int:
    rules = time_rules(field)
    type_ = field.type
    if isinstance(value, bytes):
        raise _mismatch(field, value)
    if isinstance(value, str):
        # an affinity of TEXT turns a stored number into its digits
        if any(rule in temporal.UNITS for rule in rules) and re.fullmatch(r"-?[0-9]{1,18}", value):
            number = temporal.read_number(type_, int(value), rules)
        elif StoredAs.ISO in rules:
            number = temporal.read_text(type_.kind, value)
        else:
            listed = ", ".join(rule.value for rule in rules)
            raise NotExact(
                f"text in a column stored as {listed}", "add iso to stored_as if ISO text is meant"
            )
    elif isinstance(value, (int, float)):
        number = temporal.read_number(type_, value, rules)
    else:
        raise _mismatch(field, value)
    if type_.kind is not Kind.DATE and type_.precision is not None and number % 10 ** (6 - type_.precision):
        raise NotExact(
            f"the time is finer than {type_.precision} digits of a second", "widen the other side's column"
        )
    return number


def _uuid(field: Field, value: object) -> str:
    if isinstance(value, bytes):
        if len(value) != 16:
            raise NotExact(f"a blob of {len(value)} bytes is no UUID")
        text = value.hex()
    elif isinstance(value, str):
        text = value.lower()
        if _UUID.fullmatch(text):
            return text
        if not _UUID_HEX.fullmatch(text):
            raise NotExact(f"{value[:40]!r} is no UUID")
    else:
        raise _mismatch(field, value)
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _json_text(field: Field, value: object) -> str:
    # a column declared JSON has numeric affinity: the document 5 is stored as the integer 5
    if isinstance(value, (int, float)) and value - value == 0:
        value = repr(value)
    if not isinstance(value, str):
        raise _mismatch(field, value)
    return value


def _json(field: Field, value: object) -> str:
    text = _json_text(field, value)
    try:
        json.loads(text, parse_int=str, parse_float=str, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise NotExact(f"the text is not JSON: {error}") from error
    return text


def _jsonb(field: Field, value: object) -> str:
    text = _json_text(field, value)
    try:
        return canonical_jsonb(text)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise NotExact(f"the text is not JSON: {error}") from error


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


_BY_KIND: dict[Kind, Callable[[Field, object], Any]] = {
    Kind.BOOLEAN: _boolean,
    Kind.INTEGER: _integer,
    Kind.FLOAT: _float,
    Kind.DECIMAL: _decimal,
    Kind.TEXT: _text,
    Kind.OPAQUE: _text,
    Kind.BYTES: _bytes,
    Kind.DATE: _time,
    Kind.TIME: _time,
    Kind.TIMESTAMP: _time,
    Kind.INSTANT: _time,
    Kind.UUID: _uuid,
    Kind.JSON: _json,
    Kind.JSONB: _jsonb,
}


def canonical_array(type_: LogicalType, values: Sequence[Any]) -> pa.Array:
    """Canonical values (times as numbers) as the canonical Arrow array."""
    if type_.kind is Kind.DATE:
        return pa.array(values, pa.int32()).cast(pa.date32())
    if type_.kind in TEMPORAL:
        return pa.array(values, pa.int64()).cast(type_.arrow)
    return pa.array(values, type_.arrow)
