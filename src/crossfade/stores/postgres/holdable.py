"""Which canonical rows a PostgreSQL table can hold exactly; everything by vectors, not by rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossfade.stores.base import Field, Rejected, RejectSink, View
from crossfade.stores.postgres.connection import Database
from crossfade.stores.postgres.values import (
    END_DAY,
    FIRST_DAY,
    FIRST_US,
    INT32_MAX,
    INT32_MIN,
    INT64_MAX,
    INT64_MIN,
    output,
)
from crossfade.types import INTEGER_BOUNDS, Kind, LogicalType, canonical_jsonb

_SHOWN = 80
_BIGGEST = 500_000_000  # bytes: a line of COPY may have 1 GB, and bytes are written as two digits each


@dataclass(frozen=True, slots=True)
class Fault:
    """Rows (a mask) whose value does not fit, and why."""

    rows: pa.Array
    reason: str
    todo: str


def holdable(db: Database, view: View, rows: pa.Table, rejects: RejectSink) -> pa.Table:
    """See ``Store.holdable``: the rows themselves when all fit."""
    bad = np.zeros(rows.num_rows, dtype=bool)
    first: dict[int, tuple[Field, Fault]] = {}
    for field in view.fields:
        chunked = rows.column(field.name)
        if chunked.num_chunks == 1:
            column = chunked.chunk(0)
        else:
            column = pa.concat_arrays(chunked.chunks) if chunked.num_chunks else pa.array([], chunked.type)
        for fault in faults(db, field, column):
            mask = np.asarray(pc.fill_null(fault.rows, False))
            first.update((int(row), (field, fault)) for row in np.flatnonzero(mask & ~bad))
            bad |= mask
    if not first:
        return rows
    for row, (field, fault) in sorted(first.items(), key=lambda item: item[0]):
        rejects(_rejected(view, rows, row, field, fault))
    return rows.filter(pa.array(~bad))


def _rejected(view: View, rows: pa.Table, row: int, field: Field, fault: Fault) -> Rejected:
    whole = {f.column.name: _python(rows.column(f.name)[row]) for f in view.fields}
    value = repr(whole[field.column.name])
    return Rejected(
        table=view.table.name,
        key=tuple(_python(rows.column(name)[row]) for name in view.key),
        column=field.column.name,
        value=value if len(value) <= _SHOWN else value[: _SHOWN - 3] + "...",
        reason=fault.reason,
        todo=fault.todo,
        row=whole,
    )


def _python(scalar: Any) -> Any:
    """The value, or its number where Python's own types end (years before 1 and after 9999)."""
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, UnicodeDecodeError):
        return (
            getattr(scalar, "value", None)
            if not pa.types.is_string(scalar.type)
            else bytes(scalar.as_buffer())
        )


def faults(db: Database, field: Field, column: pa.Array) -> Iterable[Fault]:
    """What does not fit in one column."""
    if not field.column.nullable and column.null_count:
        yield Fault(
            column.is_null(),
            "NULL, but the column is NOT NULL",
            "make the column nullable, or fill the value",
        )
    if column.null_count == len(column):
        return
    own = field.column.type or field.type
    yield from _CHECKS.get(field.type.kind, _nothing)(own, column)
    if own.kind is Kind.OPAQUE and pa.types.is_string(column.type):
        yield from _opaque(db, field, column)


def _nothing(_own: LogicalType, _column: pa.Array) -> Iterable[Fault]:
    return ()


def _some(mask: pa.Array, reason: str, todo: str) -> Iterable[Fault]:
    if pc.any(mask).as_py():
        yield Fault(mask, reason, todo)


def _integer(own: LogicalType, column: pa.Array) -> Iterable[Fault]:
    low, high = INTEGER_BOUNDS.get(own.bits or 64, INTEGER_BOUNDS[64])
    if own.kind is not Kind.INTEGER or own.bits in (None, 64):
        return
    mask = pc.or_(pc.less(column, low), pc.greater(column, high))
    yield from _some(mask, f"outside {low} … {high}", "widen the column to bigint")


def _float(own: LogicalType, column: pa.Array) -> Iterable[Fault]:
    values = np.asarray(column.fill_null(0.0))
    quiet = np.float64("nan").view("<u8") & np.uint64(2**63 - 1)
    odd = np.isnan(values) & (values.view("<u8") != quiet)
    if odd.any():
        yield from _some(
            pa.array(odd), "a NaN with a payload", "PostgreSQL's text form has one NaN: store that"
        )
    if own.bits == 32:
        with np.errstate(over="ignore"):
            back = values.astype(np.float32).astype(np.float64)
        mask = (back.view("<u8") != values.view("<u8")) & ~np.isnan(values)
        yield from _some(pa.array(mask), "not exact in 32 bits", "widen the column to double precision")


def _text(own: LogicalType, column: pa.Array) -> Iterable[Fault]:
    bad = _not_utf8(column)
    if bad is not None:
        yield Fault(pa.array(bad), "not UTF-8", "correct the bytes, or map the column to bytea")
        column = pc.if_else(pa.array(bad), pa.scalar("", column.type), column)
    yield from _no_nul(own, column)
    yield from _bytes(own, column)
    if own.kind is not Kind.TEXT or own.length is None:
        return
    length = pc.utf8_length(column)
    if (own.native or "").startswith("character("):
        yield from _some(
            pc.not_equal(length, own.length), f"{own} pads to exactly {own.length} characters",
            "make the column text or varchar",
        )  # fmt: skip
    else:
        yield from _some(
            pc.greater(length, own.length),
            f"over {own.length} characters",
            "widen the column, or make it text",
        )


def _raw(column: pa.Array) -> Any:
    """The bytes of all texts (what stands below a null included), without a copy."""
    _, offsets, data = column.buffers()
    if data is None:
        return np.empty(0, np.uint8)
    ends = np.frombuffer(offsets, "<i4")
    return np.frombuffer(data, np.uint8)[ends[column.offset] : ends[column.offset + len(column)]]


def _no_nul(_own: LogicalType, column: pa.Array) -> Iterable[Fault]:
    if _raw(column).all():
        return
    yield from _some(
        pc.match_substring(column, "\0"), "holds the character NUL, which PostgreSQL's text cannot",
        "remove it, or map the column to bytea",
    )  # fmt: skip


def _not_utf8(column: pa.Array) -> Any:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        raw = column.view(pa.binary()).to_pylist()
        return np.array([v is not None and not _is_utf8(v) for v in raw])
    return None


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


_DIGITS = np.zeros(256, dtype=bool)
_DIGITS[np.frombuffer(b"0123456789-.", np.uint8)] = True


def _plainly_fits(own: LogicalType, column: pa.Array) -> bool:
    """A quick proof for a ``numeric(p,s)`` that 128 bits hold: digits, signs and points only, and Arrow
    reads every value without a digit too many."""
    precision, scale = own.precision, own.scale or 0
    if own.kind is not Kind.DECIMAL or precision is None or not 0 <= scale <= precision <= 38:
        return False
    if not _DIGITS[_raw(column)].all():
        return False
    try:
        column.cast(pa.decimal128(precision, scale))
    except pa.ArrowInvalid:
        return False
    return True


def _decimal(own: LogicalType, column: pa.Array) -> Iterable[Fault]:
    if _plainly_fits(own, column):
        return
    plain = pc.match_substring_regex(column, r"^(-?\d+(\.\d+)?|NaN|-?Infinity)$")
    yield from _some(pc.invert(plain), "not a number", "correct the value, or map the column to text")
    named = pc.match_substring_regex(column, r"^(NaN|-?Infinity)$")
    numbers = pc.if_else(pc.and_(plain, pc.invert(named)), column, pa.scalar("0", column.type))
    point = pc.find_substring(numbers, ".")
    length = pc.binary_length(numbers)
    whole = pc.if_else(pc.less(point, 0), length, point)
    fraction = pc.if_else(pc.less(point, 0), 0, pc.subtract(pc.subtract(length, point), 1))
    whole = pc.subtract(whole, pc.starts_with(numbers, "-").cast(pa.int32()))
    whole = pc.if_else(pc.match_substring_regex(numbers, r"^-?0(\.|$)"), 0, whole)
    if own.kind is not Kind.DECIMAL or own.precision is None:
        mask = pc.or_(pc.greater(whole, 131_072), pc.greater(fraction, 16_383))
        yield from _some(mask, "more digits than numeric holds", "map the column to text")
        return
    scale = own.scale or 0
    endless = pc.match_substring_regex(column, "Infinity")
    todo = "widen the column's precision and scale, or make it numeric"
    yield from _some(
        endless, f"numeric({own.precision},{scale}) holds no infinity", "make the column numeric"
    )
    if 0 <= scale <= own.precision:
        mask = pc.or_(pc.greater(whole, own.precision - scale), pc.greater(fraction, scale))
    else:
        mask = pa.array([v is not None and not _fits(v, own.precision, scale) for v in numbers.to_pylist()])
    yield from _some(mask, f"does not fit numeric({own.precision},{scale}) exactly", todo)


def _fits(text: str, precision: int, scale: int) -> bool:
    """For a scale below zero or above the precision: an integer multiple of 10^-scale, small enough."""
    whole, _, fraction = text.lstrip("-").partition(".")
    fraction = fraction.rstrip("0")
    digits = int((whole + fraction) or "0")
    exponent = scale - len(fraction)  # digits × 10^exponent, in units of 10^-scale
    if exponent >= 0:
        return bool(digits * 10**exponent < 10**precision)
    units, rest = divmod(digits, 10**-exponent)
    return bool(rest == 0 and units < 10**precision)


def _instant(own: LogicalType, column: pa.Array) -> Iterable[Fault]:
    values = np.asarray(column.view(pa.int64()).fill_null(0))
    finite = (values != INT64_MAX) & (values != INT64_MIN)
    yield from _some(pa.array(finite & (values < FIRST_US)), "before 4714-11-24 BC", "correct the value")
    yield from _digits(own, values, finite)


def _digits(own: LogicalType, values: Any, finite: Any) -> Iterable[Fault]:
    if (
        own.precision is not None
        and own.precision < 6
        and own.kind in (Kind.TIME, Kind.TIMESTAMP, Kind.INSTANT)
    ):
        mask = finite & (values % 10 ** (6 - own.precision) != 0)
        yield from _some(
            pa.array(mask), f"more than {own.precision} digits of a second", "widen the column's precision"
        )


def _date(_own: LogicalType, column: pa.Array) -> Iterable[Fault]:
    values = np.asarray(column.view(pa.int32()).fill_null(0)).astype(np.int64)
    finite = (values != INT32_MAX) & (values != INT32_MIN)
    mask = finite & ((values < FIRST_DAY) | (values >= END_DAY))
    yield from _some(pa.array(mask), "outside 4714-11-24 BC … 5874897-12-31", "correct the value")


def _time(own: LogicalType, column: pa.Array) -> Iterable[Fault]:
    values = np.asarray(column.view(pa.int64()).fill_null(0))
    mask = (values < 0) | (values > 86_400_000_000)
    yield from _some(pa.array(mask), "not a time of day", "correct the value, or map the column to interval")
    yield from _digits(own, values, np.ones(len(values), dtype=bool))


def _uuid(_own: LogicalType, column: pa.Array) -> Iterable[Fault]:
    plain = pc.match_substring_regex(column, r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
    yield from _some(pc.invert(plain), "not a UUID in lower case with hyphens", "map the column to text")


def _json(_own: LogicalType, column: pa.Array) -> Iterable[Fault]:
    yield from _parsed(column, canonical_jsonb, "not JSON")


def _jsonb(_own: LogicalType, column: pa.Array) -> Iterable[Fault]:
    yield from _parsed(column, _as_jsonb, "not JSON that jsonb can hold")


def _as_jsonb(text: str) -> None:
    canonical = canonical_jsonb(text)
    if "\\u0000" in canonical:  # what a document that holds NUL is written as
        raise ValueError("the character NUL")
    canonical.encode()


def _parsed(column: pa.Array, parse: Callable[[str], Any], what: str) -> Iterable[Fault]:
    def fails(value: str | None) -> bool:
        if value is None:
            return False
        try:
            parse(value)
        except (ValueError, RecursionError):
            return True
        return False

    mask = pa.array([fails(v) for v in column.to_pylist()], pa.bool_())
    yield from _some(mask, what, "correct the value, or map the column to text")


def _bytes(_own: LogicalType, column: pa.Array) -> Iterable[Fault]:
    if column.nbytes <= _BIGGEST:
        return
    yield from _some(
        pc.greater(pc.binary_length(column), _BIGGEST), "over 500 MB", "store it outside the row"
    )


_CHECKS: dict[Kind, Callable[[LogicalType, pa.Array], Iterable[Fault]]] = {
    Kind.INTEGER: _integer,
    Kind.FLOAT: _float,
    Kind.TEXT: _text,
    Kind.DECIMAL: _decimal,
    Kind.BYTES: _bytes,
    Kind.DATE: _date,
    Kind.TIME: _time,
    Kind.TIMESTAMP: _instant,
    Kind.INSTANT: _instant,
    Kind.UUID: _uuid,
    Kind.JSON: _json,
    Kind.JSONB: _jsonb,
    Kind.OPAQUE: _no_nul,
}


def _opaque(db: Database, field: Field, column: pa.Array) -> Iterable[Fault]:
    """Ask the server: the type's own parser knows enum labels, addresses, intervals, arrays."""
    declared = field.column.declared
    distinct = [v for v in pc.unique(column).to_pylist() if v is not None and "\0" not in v]
    if not distinct or db.version < 160000:
        return
    wrong: list[str] = []
    with db.session() as connection:
        for start in range(0, len(distinct), 10_000):
            rows = connection.execute(
                f"SELECT v FROM unnest(%s::text[]) v WHERE CASE WHEN pg_input_is_valid(v, %s) "
                f'THEN {output(declared, f"(v::{declared})")} COLLATE "C" IS DISTINCT FROM v ELSE true END'.encode(),
                [distinct[start : start + 10_000], declared],
            )
            wrong += [row[0] for row in rows]
    if wrong:
        mask = pc.is_in(column, value_set=pa.array(wrong, column.type))
        yield Fault(
            mask, f"{declared} does not hold it as written", f"correct the value, or extend {declared}"
        )
