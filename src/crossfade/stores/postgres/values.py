"""From PostgreSQL to canonical Arrow: what to select, and how to read what comes.

Two ways lead out of the database.  ``scan`` and snapshots read the binary protocol through ADBC;
a read-back inside an apply transaction reads ``COPY … TO STDOUT`` on that transaction's own
connection.  Both give the same canonical arrays.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from crossfade.stores.base import Field
from crossfade.stores.postgres.names import base_type, ident
from crossfade.types import Kind, canonical_jsonb

INT64_MAX = 2**63 - 1
INT64_MIN = -(2**63)
INT32_MAX = 2**31 - 1
INT32_MIN = -(2**31)

EPOCH_US = 946_684_800_000_000
"""Microseconds from 1970-01-01 to 2000-01-01, PostgreSQL's own epoch."""
EPOCH_DAYS = 10_957
# ADBC adds the epochs without a check, so the infinities arrive wrapped around.
_WRAPPED_PLUS_US = INT64_MIN + EPOCH_US - 1
_WRAPPED_MINUS_US = INT64_MIN + EPOCH_US
_WRAPPED_PLUS_DAYS = INT32_MIN + EPOCH_DAYS - 1
_WRAPPED_MINUS_DAYS = INT32_MIN + EPOCH_DAYS

FIRST_US = -210_866_803_200_000_000
"""4714-11-24 BC, the first timestamp PostgreSQL holds, in microseconds of 1970."""
FIRST_DAY = -2_440_588
END_DAY = 2_145_042_906
"""One past the last date PostgreSQL holds (5874898-06-03), in days of 1970."""

_RAW = frozenset({Kind.BOOLEAN, Kind.FLOAT, Kind.BYTES, Kind.DATE, Kind.TIME})


def select(field: Field, alias: str = "", *, name: str = "") -> str:
    """The expression that ADBC reads for a field; ``name`` stands for the column where it is another."""
    name = name or f"{alias}{ident(field.column.name)}"
    kind = field.type.kind
    own = field.column.type.kind if field.column.type else kind
    native = base_type(field)
    if kind is Kind.TEXT and native == "bpchar":
        return f"textin(bpcharout({name}))"  # a cast to text would cut the padding
    if kind is Kind.TEXT and native in ("text", "character varying"):
        return name
    if kind is Kind.DECIMAL:
        return f"trim_scale({name}::numeric)::text"
    if kind is Kind.INTEGER:
        return name if own is Kind.INTEGER else f"{name}::bigint"
    if kind is Kind.FLOAT:
        return name if own is Kind.FLOAT else f"{name}::float8"
    if kind in (Kind.TIMESTAMP, Kind.INSTANT):
        if own is kind:
            return name
        wanted = "timestamptz" if kind is Kind.INSTANT else "timestamp"
        return f"{name}::{wanted}"  # our sessions are in UTC
    if kind in _RAW:
        return name if own is kind else f"{name}::{_sql(kind)}"
    return output(native, name)


def output(native: str, expression: str) -> str:
    """The type's own text form.  A cast to text differs for ``inet``: it adds the mask of a host."""
    return f"textin(inet_out({expression}))" if native == "inet" else f"{expression}::text"


def _sql(kind: Kind) -> str:
    return {Kind.BOOLEAN: "boolean", Kind.FLOAT: "float8", Kind.BYTES: "bytea", Kind.DATE: "date"}.get(
        kind, "time"
    )


def select_list(fields: Iterable[Field], alias: str = "") -> str:
    """The select list of a view, named by batch names."""
    return ", ".join(f"{select(f, alias)} AS {ident(f.name)}" for f in fields)


# --- what ADBC gives --------------------------------------------------------


def canonical(batch: pa.RecordBatch, fields: Sequence[Field], schema: pa.Schema) -> pa.RecordBatch:
    """A batch as ADBC read it, in canonical form."""
    arrays = [_canonical(batch.column(i), f) for i, f in enumerate(fields)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _canonical(array: pa.Array, field: Field) -> pa.Array:
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    kind = field.type.kind
    if kind in (Kind.TIMESTAMP, Kind.INSTANT):
        return _instants(array).cast(field.type.arrow)
    if kind is Kind.DATE:
        return _dates(array)
    if kind is Kind.JSONB:
        return _jsonb(array)
    return array if array.type == field.type.arrow else array.cast(field.type.arrow)


def _numbers(array: pa.Array, dtype: str) -> Any:
    """The fixed-width values without a copy, whatever stands below the nulls."""
    width = np.dtype(dtype).itemsize
    raw = np.frombuffer(array.buffers()[1], dtype=dtype, count=len(array) + array.offset)
    return raw[array.offset :] if width else raw


def _instants(array: pa.Array) -> pa.Array:
    if not len(array):
        return array
    values = _numbers(array, "<i8")
    plus, minus = values == _WRAPPED_PLUS_US, values == _WRAPPED_MINUS_US
    if not (plus.any() or minus.any()):
        return array
    values = np.where(plus, INT64_MAX, np.where(minus, INT64_MIN, values))
    return _rebuilt(array, values)


def _dates(array: pa.Array) -> pa.Array:
    if not len(array):
        return array
    values = _numbers(array, "<i4")
    plus, minus = values == _WRAPPED_PLUS_DAYS, values == _WRAPPED_MINUS_DAYS
    if not (plus.any() or minus.any()):
        return array
    values = np.where(plus, INT32_MAX, np.where(minus, INT32_MIN, values)).astype("<i4")
    return _rebuilt(array, values)


def _rebuilt(array: pa.Array, values: Any) -> pa.Array:
    mask = np.asarray(array.is_null()) if array.null_count else None
    storage = pa.int64() if values.dtype.itemsize == 8 else pa.int32()
    return pa.array(values, type=storage, mask=mask).view(array.type)


def _jsonb(array: pa.Array) -> pa.Array:
    return pa.array([None if v is None else canonical_jsonb(v) for v in array.to_pylist()], pa.string())


def beyond(batch: pa.RecordBatch, fields: Sequence[Field]) -> dict[int, Any]:
    """Per field index a mask of instants that 64 bits of microseconds since 1970 cannot hold
    (PostgreSQL goes on to the year 294276, they end in 294247); fields with none are absent."""
    found: dict[int, Any] = {}
    for i, field in enumerate(fields):
        if field.type.kind not in (Kind.TIMESTAMP, Kind.INSTANT) or not len(batch):
            continue
        values = _numbers(batch.column(i), "<i8")
        mask = (values < FIRST_US) & (values != INT64_MIN)
        if batch.column(i).null_count:
            mask = mask & np.asarray(batch.column(i).is_valid())
        if mask.any():
            found[i] = mask
    return found


# --- what COPY gives --------------------------------------------------------


def copy_select(field: Field, alias: str = "") -> str:
    """The expression that ``read_copy`` expects: times as numbers, everything else as text."""
    inner = select(field, alias)
    kind = field.type.kind
    if kind in (Kind.TIMESTAMP, Kind.INSTANT):
        return (
            f"CASE {inner} WHEN 'infinity' THEN {INT64_MAX} WHEN '-infinity' THEN ({INT64_MIN}) "
            f"ELSE (extract(epoch FROM {inner}) * 1000000)::int8 END"
        )
    if kind is Kind.DATE:
        return (
            f"CASE {inner} WHEN 'infinity' THEN {INT32_MAX} WHEN '-infinity' THEN ({INT32_MIN}) "
            f"ELSE {inner} - DATE '1970-01-01' END"
        )
    if kind is Kind.TIME:
        return f"(extract(epoch FROM {inner}) * 1000000)::int8"
    if kind is Kind.FLOAT:
        return f"{inner}::float8"  # the shortest text of a float4 is another number in 64 bits
    return inner


_COPY_TYPES = {
    Kind.BOOLEAN: pa.bool_(),
    Kind.INTEGER: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.DATE: pa.int32(),
    Kind.TIME: pa.int64(),
    Kind.TIMESTAMP: pa.int64(),
    Kind.INSTANT: pa.int64(),
}


def read_copy(data: bytes, fields: Sequence[Field], schema: pa.Schema) -> pa.Table:
    """A table from the CSV text of ``COPY (SELECT copy_select …) TO STDOUT (FORMAT csv)``.

    NULL is an unquoted empty value there, and an empty string a quoted one.
    """
    if not data:
        return schema.empty_table()
    names = [f"f{i}" for i in range(len(fields))]
    parsed = pyarrow.csv.read_csv(
        io.BytesIO(data),
        read_options=pyarrow.csv.ReadOptions(column_names=names, block_size=max(len(data) + 1, 1 << 20)),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={
                n: _COPY_TYPES.get(f.type.kind, pa.string()) for n, f in zip(names, fields, strict=True)
            },
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    ).combine_chunks()
    columns = [_from_copy(parsed.column(i), f) for i, f in enumerate(fields)]
    return pa.Table.from_arrays(columns, schema=schema)


def _from_copy(column: pa.ChunkedArray, field: Field) -> pa.Array:
    array = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
    kind = field.type.kind
    if kind in (Kind.TIMESTAMP, Kind.INSTANT, Kind.TIME, Kind.DATE):
        return array.view(field.type.arrow)
    if kind is Kind.BYTES:
        return unhexed(pc.utf8_slice_codeunits(array, 2))
    if kind is Kind.JSONB:
        return _jsonb(array)
    return array


_NIBBLE = np.full(256, 255, dtype=np.uint8)
_NIBBLE[np.frombuffer(b"0123456789abcdef", dtype=np.uint8)] = np.arange(16, dtype=np.uint8)


def unhexed(array: pa.Array) -> pa.Array:
    """Binary values from their hexadecimal digits (vectorised)."""
    offsets = np.frombuffer(array.buffers()[1], dtype="<i4", count=array.offset + len(array) + 1)[
        array.offset :
    ]
    data = array.buffers()[2]
    digits = np.frombuffer(data if data is not None else b"", dtype=np.uint8)[offsets[0] : offsets[-1]]
    nibbles = _NIBBLE[digits]
    values = (nibbles[0::2] << 4) | nibbles[1::2]
    ends = ((offsets - offsets[0]) // 2).astype("<i4")
    mask = np.asarray(array.is_null()) if array.null_count else None
    bitmap = None if mask is None else pa.py_buffer(np.packbits(~mask, bitorder="little").tobytes())
    buffers = [bitmap, pa.py_buffer(ends.tobytes()), pa.py_buffer(values.tobytes())]
    return pa.Array.from_buffers(pa.binary(), len(array), buffers, array.null_count)
