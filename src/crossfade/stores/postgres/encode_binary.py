"""From canonical Arrow to PostgreSQL's binary COPY format, column by column, without a loop over rows.

A row is the number of its fields, then for each field its length in bytes (-1: NULL) and its value, big-endian.
Fields of a fixed width are laid side by side in one structured array; a field of varying width ends such a
block with its length.  Arrow then joins blocks and values row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossfade.errors import StoreError
from crossfade.stores.base import Field
from crossfade.stores.postgres.names import base_type
from crossfade.stores.postgres.numerics import numeric_fields
from crossfade.stores.postgres.values import EPOCH_DAYS, EPOCH_US, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN
from crossfade.types import Kind

SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""What every binary COPY begins with: no flags, no extension of the header."""
TRAILER = b"\xff\xff"

_TEXTS = frozenset({"text", "character varying", "bpchar", "citext"})
_LARGE = pa.large_binary()
_NOTHING = pa.scalar(b"", _LARGE)
"""What stands between two values that are joined."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """Values of one width, none of them NULL: a NumPy array whose items are the bytes to send."""

    values: Any


@dataclass(frozen=True, slots=True)
class Varying:
    """Values of varying width as bytes, null where NULL."""

    values: pa.Array


Encoder = Callable[[pa.Array], Fixed | Varying]


def binary_encoders(fields: Sequence[Field]) -> list[Encoder] | None:
    """How each field is sent, or None when a column's type has no binary form here."""
    found = [_encoder(field) for field in fields]
    known = [encoder for encoder in found if encoder is not None]
    return known if known and len(known) == len(found) else None


def binary_block(batch: pa.RecordBatch, encoders: Sequence[Encoder]) -> pa.Buffer:
    """The rows of a batch, to stand between ``SIGNATURE`` and ``TRAILER``.

    ``StoreError`` when a value does not fit its column (``Store.holdable`` would have rejected it).
    """
    count = len(batch)
    if not count:
        return pa.py_buffer(b"")
    parts: list[Any] = []
    block: list[tuple[str, Any]] = [(">i2", len(encoders))]
    for index, encode in enumerate(encoders):
        field = encode(batch.column(index))
        if isinstance(field, Fixed):
            block += [(">i4", field.values.dtype.itemsize), (field.values.dtype, field.values)]
            continue
        lengths = pc.binary_length(field.values)
        block.append((">i4", np.asarray(pc.fill_null(lengths, -1) if lengths.null_count else lengths)))
        parts += [_laid(block, count), field.values]
        block = []
    if block:
        parts.append(_laid(block, count))
    joined = pc.binary_join_element_wise(*parts, _NOTHING, null_handling="replace", null_replacement="")
    size = int(np.frombuffer(joined.buffers()[1], "<i8", count + 1)[count])
    return joined.buffers()[2].slice(0, size)


def _laid(block: Sequence[tuple[Any, Any]], count: int) -> pa.Array:
    """Fields of fixed width side by side, as one value of bytes per row."""
    rows = np.empty(count, np.dtype([(f"f{i}", dtype) for i, (dtype, _) in enumerate(block)]))
    for i, (_, values) in enumerate(block):
        rows[f"f{i}"] = values
    return binary_of(rows)


def binary_of(items: Any) -> pa.Array:
    """Each item of a NumPy array as its bytes."""
    ends = np.arange(len(items) + 1, dtype="<i8") * items.dtype.itemsize
    data = pa.py_buffer(np.ascontiguousarray(items).view(np.uint8))
    return pa.Array.from_buffers(_LARGE, len(items), [None, pa.py_buffer(ends), data])


def field_of(items: Any, array: pa.Array) -> Fixed | Varying:
    """The encoded items of an array, among them items that mean nothing where ``array`` is null."""
    if not array.null_count:
        return Fixed(items)
    valid = np.asarray(array.is_valid())
    ends = np.zeros(len(items) + 1, "<i8")
    np.cumsum(valid, out=ends[1:])
    ends *= items.dtype.itemsize
    data = pa.py_buffer(np.ascontiguousarray(items[valid]).view(np.uint8))
    bitmap = pa.py_buffer(np.packbits(valid, bitorder="little"))
    return Varying(
        pa.Array.from_buffers(_LARGE, len(items), [bitmap, pa.py_buffer(ends), data], array.null_count)
    )


def numbers(array: pa.Array, dtype: str) -> Any:
    """The values of fixed width without a copy, zero where null."""
    raw = np.frombuffer(array.buffers()[1], dtype, array.offset + len(array))[array.offset :]
    return np.where(np.asarray(array.is_valid()), raw, 0).astype(dtype) if array.null_count else raw


# --- one function per family of types ---------------------------------------


def _encoder(field: Field) -> Encoder | None:
    native = base_type(field)
    if native in _TEXTS and pa.types.is_string(field.type.arrow):
        return _raw
    return _ENCODERS.get((field.type.kind, native))


def _raw(array: pa.Array) -> Varying:
    return Varying(array.cast(_LARGE))


def _jsonb(array: pa.Array) -> Varying:
    return Varying(pc.binary_join_element_wise(pa.scalar(b"\1", _LARGE), array.cast(_LARGE), _NOTHING))


def _boolean(array: pa.Array) -> Fixed | Varying:
    return field_of(numbers(array.cast(pa.uint8()), "u1"), array)


def _integer(dtype: str) -> Encoder:
    limits = np.iinfo(dtype)

    def encode(array: pa.Array) -> Fixed | Varying:
        values = numbers(array, "<i8")
        if limits.bits < 64 and len(values) and not limits.min <= values.min() <= values.max() <= limits.max:
            raise _does_not_fit(f"{limits.bits} bits")
        return field_of(values.astype(dtype), array)

    return encode


def _double(array: pa.Array) -> Fixed | Varying:
    return field_of(numbers(array, "<f8").astype(">f8"), array)


def _real(array: pa.Array) -> Fixed | Varying:
    values = numbers(array, "<f8")
    with np.errstate(over="ignore"):
        narrow = values.astype(">f4")
    if not np.array_equal(narrow.astype("<f8"), values, equal_nan=True):
        raise _does_not_fit("real")
    return field_of(narrow, array)


def _microseconds(array: pa.Array) -> Fixed | Varying:
    values = numbers(array, "<i8")
    endless = (values == INT64_MAX) | (values == INT64_MIN)
    if endless.any():
        finite = np.where(endless, EPOCH_US, values) - EPOCH_US
        return field_of(np.where(endless, values, finite).astype(">i8"), array)
    if len(values) and values.min() < INT64_MIN + EPOCH_US:
        raise _does_not_fit("timestamp")
    return field_of((values - EPOCH_US).astype(">i8"), array)


def _days(array: pa.Array) -> Fixed | Varying:
    values = numbers(array, "<i4").astype("<i8")
    endless = (values == INT32_MAX) | (values == INT32_MIN)
    days = np.where(endless, values, values - EPOCH_DAYS)
    if len(days) and days.min() < INT32_MIN:
        raise _does_not_fit("date")
    return field_of(days.astype(">i4"), array)


def _clock(array: pa.Array) -> Fixed | Varying:
    return field_of(numbers(array, "<i8").astype(">i8"), array)


_NIBBLE = np.full(256, 255, dtype=np.uint8)
_NIBBLE[np.frombuffer(b"0123456789abcdef", dtype=np.uint8)] = np.arange(16, dtype=np.uint8)
_UUID_HYPHENS = np.array([8, 13, 18, 23])
_UUID_DIGITS = np.delete(np.arange(36), _UUID_HYPHENS)
_UUID_LENGTH = 36


def _uuid(array: pa.Array) -> Fixed | Varying:
    filled = pc.fill_null(array, "00000000-0000-0000-0000-000000000000") if array.null_count else array
    lengths = pc.min_max(pc.binary_length(filled)).as_py()
    if not lengths["min"] == lengths["max"] == _UUID_LENGTH:
        raise _does_not_fit("uuid")
    text = np.frombuffer(filled.buffers()[2], np.uint8)
    first = int(np.frombuffer(filled.buffers()[1], "<i4")[filled.offset])
    text = text[first : first + len(filled) * _UUID_LENGTH].reshape(-1, _UUID_LENGTH)
    nibbles = _NIBBLE[text[:, _UUID_DIGITS]]
    if (nibbles == 255).any() or (text[:, _UUID_HYPHENS] != ord("-")).any():
        raise _does_not_fit("uuid")
    raw = (nibbles[:, 0::2] << 4) | nibbles[:, 1::2]
    return field_of(np.ascontiguousarray(raw).view("V16").reshape(-1), array)


def _numeric(array: pa.Array) -> Fixed | Varying:
    items = numeric_fields(array)
    return Varying(items) if isinstance(items, pa.Array) else field_of(items, array)


def _does_not_fit(what: str) -> StoreError:
    return StoreError(
        f"a value does not fit {what} exactly", where="the rows to load", todo="run `crossfade check`"
    )


_ENCODERS: dict[tuple[Kind, str], Encoder] = {
    (Kind.BOOLEAN, "boolean"): _boolean,
    (Kind.INTEGER, "smallint"): _integer(">i2"),
    (Kind.INTEGER, "integer"): _integer(">i4"),
    (Kind.INTEGER, "bigint"): _integer(">i8"),
    (Kind.FLOAT, "real"): _real,
    (Kind.FLOAT, "double precision"): _double,
    (Kind.DECIMAL, "numeric"): _numeric,
    (Kind.BYTES, "bytea"): _raw,
    (Kind.DATE, "date"): _days,
    (Kind.TIME, "time without time zone"): _clock,
    (Kind.TIMESTAMP, "timestamp without time zone"): _microseconds,
    (Kind.INSTANT, "timestamp with time zone"): _microseconds,
    (Kind.UUID, "uuid"): _uuid,
    (Kind.JSON, "json"): _raw,
    (Kind.JSONB, "jsonb"): _jsonb,
}
