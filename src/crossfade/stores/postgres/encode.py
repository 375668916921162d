"""From canonical Arrow to the text that PostgreSQL itself parses (``COPY … FROM STDIN`` as CSV)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from crossfade.stores.postgres.values import INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN
from crossfade.types import Kind, LogicalType

_DAY_US = 86_400_000_000
_YEAR_1_US = -62_135_596_800_000_000  # 0001-01-01
_YEAR_10000_US = 253_402_300_800_000_000  # 10000-01-01, which Arrow does not print
_YEAR_1_DAY = -719_162
_YEAR_10000_DAY = 2_932_897

_OPTIONS = pyarrow.csv.WriteOptions(include_header=False, batch_size=65_536)


def csv_block(batch: pa.RecordBatch, types: Sequence[LogicalType]) -> pa.Buffer:
    """A batch as CSV for COPY: NULL is an unquoted empty value, an empty string a quoted one."""
    columns = [_csv_column(batch.column(i), t) for i, t in enumerate(types)]
    plain = pa.RecordBatch.from_arrays(columns, names=[f"c{i}" for i in range(len(columns))])
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(plain, sink, _OPTIONS)
    return sink.getvalue()


def _csv_column(array: pa.Array, logical: LogicalType) -> pa.Array:
    """A column that Arrow writes as PostgreSQL reads it; only rare values become text here."""
    kind = logical.kind
    if kind is Kind.BYTES:
        return hexed(array)
    if kind in (Kind.TIMESTAMP, Kind.INSTANT):
        naive = array.view(pa.timestamp("us")) if kind is Kind.INSTANT else array
        return texts(array, logical) if _outside(array, "<i8", _YEAR_1_US, _YEAR_10000_US) else naive
    if kind is Kind.DATE:
        return texts(array, logical) if _outside(array, "<i4", _YEAR_1_DAY, _YEAR_10000_DAY) else array
    if kind is Kind.TIME:
        return texts(array, logical) if _outside(array, "<i8", 0, _DAY_US) else array
    return array


def texts(array: pa.Array, logical: LogicalType) -> pa.Array:
    """A column as the strings that PostgreSQL reads back into the same values."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    kind = logical.kind
    if kind is Kind.BYTES:
        return hexed(array)
    if kind in (Kind.TIMESTAMP, Kind.INSTANT):
        return _time_texts(array.view(pa.int64()).to_pylist(), _instant_text)
    if kind is Kind.DATE:
        return _time_texts(array.view(pa.int32()).to_pylist(), _date_text)
    if kind is Kind.TIME:
        return _time_texts(array.view(pa.int64()).to_pylist(), _clock_text)
    return array if pa.types.is_string(array.type) else array.cast(pa.string())


def _outside(array: pa.Array, dtype: str, first: int, end: int) -> bool:
    if not len(array) or array.null_count == len(array):
        return False
    storage = array.view(pa.int64() if dtype == "<i8" else pa.int32())
    bounds = pc.min_max(storage).as_py()
    return bool(bounds["min"] < first or bounds["max"] >= end)


def _time_texts(values: list[Any], form: Any) -> pa.Array:
    return pa.array([None if v is None else form(v) for v in values], pa.string())


def _instant_text(value: int) -> str:
    if value in (INT64_MAX, INT64_MIN):
        return "infinity" if value == INT64_MAX else "-infinity"
    days, clock = divmod(value, _DAY_US)
    date, era = _civil(days)
    return f"{date} {_clock_text(clock)}{era}"


def _date_text(value: int) -> str:
    if value in (INT32_MAX, INT32_MIN):
        return "infinity" if value == INT32_MAX else "-infinity"
    return "".join(_civil(value))


def _clock_text(value: int) -> str:
    seconds, micro = divmod(value, 1_000_000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02d}:{minute:02d}:{second:02d}.{micro:06d}"


def _civil(days: int) -> tuple[str, str]:
    """A day of 1970 in the proleptic Gregorian calendar, and its era: ``("0044-03-15", " BC")``.

    The algorithm counts 400-year cycles from 0000-03-01 (H. Hinnant, "chrono-compatible low-level
    date algorithms").
    """
    shifted = days + 719_468
    cycle, day = divmod(shifted, 146_097)
    year_of_cycle = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    day_of_year = day - (365 * year_of_cycle + year_of_cycle // 4 - year_of_cycle // 100)
    moon = (5 * day_of_year + 2) // 153
    day_of_month = day_of_year - (153 * moon + 2) // 5 + 1
    month = moon + 3 if moon < 10 else moon - 9
    year = year_of_cycle + cycle * 400 + (month <= 2)
    era = "" if year > 0 else " BC"
    return f"{year if year > 0 else 1 - year:04d}-{month:02d}-{day_of_month:02d}", era


_HEX = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)


def hexed(array: pa.Array) -> pa.Array:
    r"""Binary values as ``\x…`` texts (vectorised)."""
    count = len(array)
    if not count:
        return pa.array([], pa.string())
    buffers = array.buffers()
    offsets = np.frombuffer(buffers[1], dtype="<i4", count=array.offset + count + 1)[array.offset :].astype(
        "i8"
    )
    raw = np.frombuffer(buffers[2] if buffers[2] is not None else b"", dtype=np.uint8)[
        offsets[0] : offsets[-1]
    ]
    offsets = offsets - offsets[0]
    ends = 2 * offsets + 2 * np.arange(count + 1)
    out = np.empty(int(ends[-1]), dtype=np.uint8)
    digit = np.ones(len(out), dtype=bool)
    digit[ends[:-1]] = False
    digit[ends[:-1] + 1] = False
    pairs = np.empty((len(raw), 2), dtype=np.uint8)
    pairs[:, 0] = _HEX[raw >> 4]
    pairs[:, 1] = _HEX[raw & 15]
    out[digit] = pairs.reshape(-1)
    out[ends[:-1]] = ord("\\")
    out[ends[:-1] + 1] = ord("x")
    bitmap = None
    if array.null_count:
        bitmap = pa.py_buffer(np.packbits(np.asarray(array.is_valid()), bitorder="little").tobytes())
    large = pa.Array.from_buffers(
        pa.large_string(), count, [bitmap, pa.py_buffer(ends.astype("<i8").tobytes()), pa.py_buffer(out)],
        array.null_count,
    )  # fmt: skip
    return large if ends[-1] >= 2**31 else large.cast(pa.string())
