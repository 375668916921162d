"""From canonical Arrow to what SQLite stores, and the proof that it comes back exactly.

A value survives only if the column's affinity leaves it alone: ``'0.10'`` becomes 0.1 in a NUMERIC column,
−0.0 becomes 0.0 in a REAL one, NaN becomes NULL anywhere.  ``holdable`` finds such values: those that are
provably safe by their kind and affinity are let through as whole columns; every other is written to a
scratch table of the same affinity in memory, by the library that would write it, read back and compared.
"""

from __future__ import annotations

import math
import sqlite3
import struct
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossfade.errors import Unrepresentable
from crossfade.stores.base import Field, Rejected, RejectSink, View
from crossfade.stores.sqlite import temporal
from crossfade.stores.sqlite.connection import Text
from crossfade.stores.sqlite.decode import TEMPORAL, decode_value, time_rules
from crossfade.stores.sqlite.decode_arrow import CANONICAL_DECIMAL, decimal_pattern
from crossfade.stores.sqlite.schema import affinity
from crossfade.stores.sqlite.temporal import NotExact
from crossfade.types import INTEGER_BOUNDS, Kind, StoredAs, canonical_decimal

_TRUTHS: dict[StoredAs, tuple[Any, Any]] = {
    StoredAs.ZERO_ONE: (0, 1),
    StoredAs.T_F: ("f", "t"),
    StoredAs.TRUE_FALSE: ("false", "true"),
}
_MAYBE_NUMBER = r"^[ \t\n\v\f\r]*[+-]?\.?[0-9]"
_TODO = "constrain the column on the side that leads, or correct the value"


def plain_values(field: Field, array: pa.Array) -> list[Any]:
    """Canonical values as plain Python values; times as canonical numbers (see ``temporal``)."""
    if field.type.kind is Kind.DATE:
        array = array.cast(pa.int32())
    elif field.type.kind in TEMPORAL:
        array = array.cast(pa.int64())
    plain: list[Any] = array.to_pylist()
    return plain


def field_affinity(field: Field) -> str:
    return affinity(field.column.declared, strict=field.column.strict)


def encode_value(field: Field, value: Any) -> Any:
    """What to store for one canonical value (times as numbers).  Raises ``NotExact``."""
    if value is None:
        return None
    kind = field.type.kind
    if kind is Kind.BOOLEAN:
        return _TRUTHS[field.stored_as[0] if field.stored_as else StoredAs.ZERO_ONE][bool(value)]
    if kind in TEMPORAL:
        rule = time_rules(field)[0]
        if rule is StoredAs.ISO:
            return temporal.write_text(kind, value)
        return temporal.write_number(kind, value, rule)
    if kind is Kind.DECIMAL:
        return _decimal(field, value)
    if kind is Kind.UUID:
        return _uuid(field, value)
    return value


def _decimal(field: Field, value: str) -> Any:
    if field_affinity(field) in ("TEXT", "BLOB"):
        return value
    number = Decimal(value)
    if not number.is_finite():
        raise NotExact(f"{value} cannot be held by a {field.column.declared} column")
    if number == number.to_integral_value() and -(2**63) <= number < 2**63:
        return int(number)
    real = float(number)
    if math.isinf(real) or canonical_decimal(Decimal(repr(real))) != value:
        raise NotExact(f"{value[:60]} has more digits than a {field.column.declared} column holds")
    return real


def _uuid(field: Field, value: str) -> Any:
    declared = field.column.declared.upper()
    if "BLOB" in declared or "BINARY" in declared:
        return bytes.fromhex(value.replace("-", ""))
    return value.replace("-", "") if "(32)" in declared else value


def encode_column(field: Field, array: pa.Array) -> list[Any]:
    """What to store for a canonical column.  Raises ``NotExact`` for the first value that cannot be."""
    values = plain_values(field, array)
    if field.type.kind in (
        Kind.INTEGER,
        Kind.FLOAT,
        Kind.TEXT,
        Kind.OPAQUE,
        Kind.BYTES,
        Kind.JSON,
        Kind.JSONB,
    ):
        return values
    return [encode_value(field, value) for value in values]


# --- what survives ----------------------------------------------------------


def holdable(view: View, rows: pa.Table, rejects: RejectSink) -> pa.Table:
    """The rows that every field can hold exactly; the others go to ``rejects``."""
    refused: dict[int, tuple[Field, str, str]] = {}
    for field in view.fields:
        column = rows.column(field.name).combine_chunks()
        column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        doubtful = _doubtful(field, column)
        if doubtful is None or not len(doubtful):
            continue
        for index, reason, todo in _tried(field, column, doubtful):
            refused.setdefault(index, (field, reason, todo))
    if not refused:
        return rows
    for index in sorted(refused):
        field, reason, todo = refused[index]
        row = {name: _python(rows.column(name)[index]) for name in rows.column_names}
        rejects(
            Rejected(
                table=view.table.name,
                key=tuple(row[name] for name in view.key),
                column=field.column.name,
                value=shortened(row[field.name]),
                reason=reason,
                todo=todo or _TODO,
                row=row,
            )
        )
    keep = np.ones(len(rows), dtype=bool)
    keep[list(refused)] = False
    return rows.filter(pa.array(keep))


def _python(value: pa.Scalar) -> Any:
    """A canonical value for print; a time that Python's own types do not reach, as its number."""
    try:
        return value.as_py()
    except (OverflowError, ValueError):
        return value.value


def shortened(value: object) -> str:
    """A value for print."""
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:76]}…"


def _doubtful(field: Field, array: pa.Array) -> pa.Array | None:
    """The places of the values that are not provably safe; None when all are."""
    safe = _certain(field, array)
    if safe is True:
        return None
    valid = array.is_valid()
    if safe is False:
        return pc.indices_nonzero(valid)
    return pc.indices_nonzero(pc.and_(valid, pc.invert(pc.fill_null(safe, fill_value=False))))


def _certain(field: Field, array: pa.Array) -> pa.Array | bool:
    """A mask of the values that are stored and read back exactly, or one answer for all."""
    kind, stored = field.type.kind, field_affinity(field)
    if field.column.strict:
        return False
    numeric = stored in ("INTEGER", "NUMERIC", "REAL")
    if kind is Kind.INTEGER:
        low, high = INTEGER_BOUNDS[field.type.bits or 64]
        fits = pc.and_(pc.greater_equal(array, low), pc.less_equal(array, high))
        return stored in ("INTEGER", "NUMERIC", "BLOB") and fits
    if kind is Kind.BYTES:
        return True
    if kind is Kind.BOOLEAN:
        return not field.stored_as and stored in ("INTEGER", "NUMERIC", "BLOB")
    if kind is Kind.FLOAT:
        if stored == "TEXT":
            return False
        size = pc.abs(array)
        fits = pc.and_(pc.greater(size, 0.0), pc.less(size, float(2**53)))
        if field.type.bits != 32:
            return fits
        return pc.and_(fits, pc.equal(array.cast(pa.float32(), safe=False).cast(pa.float64()), array))
    if kind is Kind.DECIMAL:
        plain = pc.and_(
            pc.match_substring_regex(array, CANONICAL_DECIMAL),
            pc.match_substring_regex(array, decimal_pattern(field.type)),
        )
        return pc.and_(plain, pc.less_equal(pc.binary_length(array), 15)) if numeric else plain
    if kind in TEMPORAL:
        return _certain_time(field, array)
    if kind is Kind.JSONB:
        return False
    safe = pc.invert(pc.match_substring_regex(array, _MAYBE_NUMBER)) if numeric else True
    if kind in (Kind.TEXT, Kind.OPAQUE) and field.type.length is not None:
        short = pc.less_equal(pc.utf8_length(array), field.type.length)
        return short if safe is True else pc.and_(safe, short)
    return safe


def _certain_time(field: Field, array: pa.Array) -> pa.Array | bool:
    kind = field.type.kind
    if time_rules(field)[0] is not StoredAs.ISO:
        return False
    if kind is Kind.DATE:
        number, low, high = array.cast(pa.int32()), temporal.FIRST_DAY, temporal.LAST_DAY
    else:
        low, high = (0, temporal.DAY - 1) if kind is Kind.TIME else (temporal.FIRST, temporal.LAST)
        number = array.cast(pa.int64())
    fits = pc.and_(pc.greater_equal(number, low), pc.less_equal(number, high))
    if kind is Kind.DATE or field.type.precision in (None, 6):
        return fits
    step = 10 ** (6 - field.type.precision)
    return pc.and_(fits, pc.equal(pc.multiply(pc.divide(number, step), step), number))


def _tried(field: Field, array: pa.Array, doubtful: pa.Array) -> list[tuple[int, str, str]]:
    """Store the doubtful values in a scratch table, read them back, and say which did not survive."""
    places = doubtful.to_pylist()
    values = plain_values(field, array.take(doubtful))
    distinct: dict[object, list[int]] = {}
    for place, value in zip(places, values, strict=True):
        distinct.setdefault(_bits(value), []).append(place)
    sample = dict(zip(map(_bits, values), values, strict=True))
    refused = []
    with _Scratch(field) as scratch:
        for bits, value in sample.items():
            told = scratch.survives(value)
            if told is not None:
                refused += [(place, told.reason, told.todo) for place in distinct[bits]]
    return refused


def _bits(value: object) -> object:
    """A key under which two floats are one only when their bits are."""
    return struct.pack("<d", value) if isinstance(value, float) else value


class _Scratch:
    """A one-column table in memory that treats values as the field's column does."""

    def __init__(self, field: Field) -> None:
        self._field = field
        strict = field.column.strict
        declared = field.column.declared if strict else field_affinity(field)
        self._con = sqlite3.connect(":memory:", isolation_level=None)
        self._con.text_factory = Text
        self._con.execute(f"CREATE TABLE scratch (v {declared}){' STRICT' if strict else ''}")

    def __enter__(self) -> _Scratch:
        return self

    def __exit__(self, *_: object) -> None:
        self._con.close()

    def survives(self, value: object) -> NotExact | None:
        """None when the canonical value comes back bit for bit, else what happened to it."""
        try:
            stored = encode_value(self._field, value)
            self._con.execute("DELETE FROM scratch")
            self._con.execute("INSERT INTO scratch VALUES (?)", (stored,))
            found = self._con.execute("SELECT v FROM scratch").fetchone()[0]
            back = decode_value(self._field, found)
        except NotExact as error:
            return error
        except (sqlite3.Error, OverflowError, UnicodeEncodeError) as error:
            return NotExact(f"SQLite refuses the value: {error}")
        if _bits(back) == _bits(value) and type(back) is type(value):
            return None
        return NotExact(f"a {self._field.column.declared or 'typeless'} column would hold {shortened(back)}")


def encode_rows(fields: Sequence[Field], rows: pa.Table, where: str) -> list[tuple[Any, ...]]:
    """Rows to store, in field order.  Raises ``Unrepresentable`` (``where`` is the table)."""
    columns = []
    for field in fields:
        try:
            columns.append(encode_column(field, rows.column(field.name).combine_chunks()))
        except NotExact as error:
            raise Unrepresentable(
                error.reason,
                table=where,
                key="?",
                column=field.column.name,
                value="?",
                todo=error.todo or _TODO,
            ) from error
    return list(zip(*columns, strict=True)) if columns else []
