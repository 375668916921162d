"""Canonical decimals as PostgreSQL's binary ``numeric``: a sign, a weight, and digits to the base 10,000."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossfade.errors import StoreError

_NEGATIVE = 0x4000
_SPECIAL = {"NaN": 0xC000, "Infinity": 0xD000, "-Infinity": 0xF000}
_WIDEST = 18
"""Digits that 64 bits hold for certain."""


def numeric_fields(array: pa.Array) -> Any:
    """The values as bytes to send: a structured NumPy array when all of them are short enough for 64 bits
    (what stands where ``array`` is null means nothing), else an Arrow array of bytes."""
    fast = _by_columns(array)
    if fast is not None:
        return fast
    values = [None if value is None else _one(value) for value in array.to_pylist()]
    return pa.array(values, pa.large_binary())


def _by_columns(array: pa.Array) -> Any:
    count = len(array)
    if array.null_count == count:
        return None
    text = pc.fill_null(array, "0") if array.null_count else array
    length = np.asarray(pc.binary_length(text))
    point = np.asarray(pc.find_substring(text, "."))
    fraction = np.where(point < 0, 0, length - point - 1)
    # the sign counts as a digit here, which only makes the numbers a little wider
    whole = int(np.where(point < 0, length, point).max())
    after = -(-int(fraction.max()) // 4)
    before = -(-whole // 4)
    if whole + after * 4 > _WIDEST:
        return None
    try:
        scaled = text.cast(pa.decimal128(_WIDEST, after * 4))
    except pa.ArrowInvalid:  # NaN, or an infinity
        return None
    # the low half of 128 bits; the high half only repeats the sign
    low = np.frombuffer(scaled.buffers()[1], "<i8")[2 * scaled.offset : 2 * (scaled.offset + count) : 2]
    digits = before + after
    rows = np.empty(
        count,
        np.dtype(
            [("n", ">i2"), ("weight", ">i2"), ("sign", ">u2"), ("scale", ">u2"), ("digit", ">i2", (digits,))]
        ),
    )
    rows["n"] = digits
    rows["weight"] = before - 1
    rows["sign"] = np.where(low < 0, _NEGATIVE, 0)
    rows["scale"] = fraction
    rest = np.abs(low)
    for place in range(digits - 1, 0, -1):
        left = rest // 10_000
        rows["digit"][:, place] = rest - left * 10_000
        rest = left
    rows["digit"][:, 0] = rest
    return rows


def _one(text: str) -> bytes:
    special = _SPECIAL.get(text)
    if special is not None:
        return struct.pack(">hhHH", 0, 0, special, 0)
    whole, _, fraction = text.removeprefix("-").partition(".")
    if not (whole + fraction).isdecimal():
        raise StoreError(
            f"{text[:80]!r} is not a number", where="the rows to load", todo="run `crossfade check`"
        )
    before, after = -(-len(whole) // 4), -(-len(fraction) // 4)
    padded = whole.rjust(before * 4, "0") + fraction.ljust(after * 4, "0")
    digits = [int(padded[i : i + 4]) for i in range(0, len(padded), 4)]
    sign = _NEGATIVE if text.startswith("-") else 0
    # digits that would be zero on both ends may be sent: the server strips them
    return struct.pack(f">hhHH{len(digits)}h", len(digits), before - 1, sign, len(fraction), *digits)
