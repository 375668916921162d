"""Exact comparison of rows in canonical form, as Arrow vectors and without hashing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossfade.stores.base import View

_ROW = "__row"


@dataclass(frozen=True, slots=True)
class Difference:
    """One cell that differs, or one row that only one side has (``column`` is then empty).

    ``leader`` and ``follower`` are shortened texts for print; None says that the row is not there.
    ``unreadable``: the follower's value is none of the pair's type.
    """

    table: str
    key: tuple[Any, ...]
    column: str
    leader: str | None
    follower: str | None
    unreadable: bool = False

    def __str__(self) -> str:
        key = self.key[0] if len(self.key) == 1 else self.key
        if self.unreadable:
            return f"{self.table} key {key!r} column {self.column}: the follower has {self.follower}"
        if self.column:
            return f"{self.table} key {key!r} column {self.column}: {self.leader} ≠ {self.follower}"
        return (
            f"{self.table} key {key!r}: only the {'leader' if self.follower is None else 'follower'} has it"
        )


def bits(array: pa.Array) -> pa.Array:
    """The array such that equality means equality of data: floats by their IEEE bits."""
    return array.view(pa.int64()) if pa.types.is_float64(array.type) else array


def whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """One contiguous array."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def same(left: pa.Array, right: pa.Array) -> bool:
    """Whether two arrays of one type hold the same values and nulls."""
    return bool(bits(left).equals(bits(right)))


def differing(left: pa.Array, right: pa.Array) -> pa.Array:
    """A boolean mask, never null, of the positions where two arrays of equal length differ."""
    left, right = bits(left), bits(right)
    unequal = pc.fill_null(pc.not_equal(left, right), False)
    nulls = pc.xor(pc.is_null(left), pc.is_null(right))
    return pc.or_(unequal, nulls)


def keys_of(rows: pa.Table, view: View) -> pa.Table:
    """The key columns alone."""
    return rows.select(list(view.key))


def key_tuples(keys: pa.Table) -> list[tuple[Any, ...]]:
    """Keys as Python tuples; a float or timestamp by its stored integer, so that none overflows."""
    columns = [_python(whole(column)) for column in keys.columns]
    return list(zip(*columns, strict=True)) if columns else []


def _python(array: pa.Array) -> list[Any]:
    if pa.types.is_temporal(array.type):
        array = array.view(pa.int32() if pa.types.is_date32(array.type) else pa.int64())
    return list(array.to_pylist())


def shown(array: pa.Array, index: int) -> str:
    """A value for print, at most 80 characters."""
    if not array[index].is_valid:
        return "NULL"
    try:
        text = repr(array[index].as_py())
    except (OverflowError, ValueError):
        text = f"{array.type} {array[index].value}"
    return text if len(text) <= 80 else f"{text[:60]}… ({len(text)} characters)"


@dataclass(frozen=True, slots=True)
class Alignment:
    """Row numbers: ``left[i]`` and ``right[i]`` have the same key; the others stand alone."""

    left: pa.Array
    right: pa.Array
    only_left: pa.Array
    only_right: pa.Array


def align(left: pa.Table, right: pa.Table, key: Sequence[str]) -> Alignment:
    """Match the rows of two tables by key; keys are unique in each."""
    lefts, rights = _numbered(left, key), _numbered(right, key)
    joined = lefts.join(rights, keys=list(key), join_type="full outer", left_suffix="_l", right_suffix="_r")
    at_left, at_right = whole(joined[_ROW + "_l"]), whole(joined[_ROW + "_r"])
    both = pc.and_(pc.is_valid(at_left), pc.is_valid(at_right))
    return Alignment(
        left=at_left.filter(both),
        right=at_right.filter(both),
        only_left=at_left.filter(pc.is_null(at_right)),
        only_right=at_right.filter(pc.is_null(at_left)),
    )


def _numbered(table: pa.Table, key: Sequence[str]) -> pa.Table:
    columns = [bits(whole(table[name])) for name in key]
    numbers = pa.array(np.arange(table.num_rows, dtype=np.int64))
    return pa.table([*columns, numbers], names=[*key, _ROW])


def compare(leader: pa.Table, follower: pa.Table, view: View) -> Iterator[Difference]:
    """Every difference between two sets of rows, matched by key."""
    found = align(leader, follower, view.key)
    left, right = leader.take(found.left), follower.take(found.right)
    tuples: list[tuple[Any, ...]] | None = None
    for field in view.fields:
        one, other = whole(left[field.name]), whole(right[field.name])
        if same(one, other):
            continue
        if tuples is None:
            tuples = key_tuples(keys_of(left, view))
        for index in pc.indices_nonzero(differing(one, other)).to_pylist():
            yield Difference(
                view.table.name, tuples[index], field.name, shown(one, index), shown(other, index)
            )
    for key in key_tuples(keys_of(leader.take(found.only_left), view)):
        yield Difference(view.table.name, key, "", "present", None)
    for key in key_tuples(keys_of(follower.take(found.only_right), view)):
        yield Difference(view.table.name, key, "", None, "present")


def differing_keys(leader: pa.Table, follower: pa.Table, view: View) -> pa.Table:
    """The keys of all rows that differ or stand alone, in the view's key schema."""
    found = align(leader, follower, view.key)
    left, right = leader.take(found.left), follower.take(found.right)
    wrong = pa.array(np.zeros(left.num_rows, dtype=bool))
    for field in view.fields:
        one, other = whole(left[field.name]), whole(right[field.name])
        if not same(one, other):
            wrong = pc.or_(wrong, differing(one, other))
    return pa.concat_tables(
        [
            keys_of(left.filter(wrong), view),
            keys_of(leader.take(found.only_left), view),
            keys_of(follower.take(found.only_right), view),
        ]
    ).combine_chunks()
