"""Comparison: equal means the same data, bit for bit; everything else is named by key and column."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from crossfade.stores.base import Column, Field, Table, View
from crossfade.sync.compare import align, compare, differing, differing_keys, same
from crossfade.types import Kind, LogicalType


def view(**kinds: Kind) -> View:
    """A view with an integer key ``id`` and these columns."""
    columns = {"id": Kind.INTEGER} | kinds
    fields = tuple(
        Field(name, Column(name, kind.value, LogicalType(kind)), LogicalType(kind))
        for name, kind in columns.items()
    )
    return View(1, Table("t", tuple(f.column for f in fields), ("id",)), fields, ("id",))


def rows(of: View, *values: tuple[Any, ...]) -> pa.Table:
    columns = list(zip(*values, strict=True)) or [[] for _ in of.fields]
    return pa.table(
        [pa.array(column, f.type.arrow) for f, column in zip(of.fields, columns, strict=True)],
        schema=of.schema,
    )


V = view(x=Kind.FLOAT, s=Kind.TEXT)


def test_equal_rows_in_another_order_are_equal() -> None:
    one = rows(V, (1, 1.5, "a"), (2, None, ""), (3, math.nan, "b"))
    other = rows(V, (3, math.nan, "b"), (1, 1.5, "a"), (2, None, ""))
    assert list(compare(one, other, V)) == []
    assert differing_keys(one, other, V).num_rows == 0


def test_each_kind_of_difference_is_named() -> None:
    one = rows(V, (1, 0.0, "a"), (2, 1.0, ""), (3, 1.0, "c"))
    other = rows(V, (1, -0.0, "a"), (2, 1.0, None), (4, 1.0, "c"))
    found = {(d.key, d.column) for d in compare(one, other, V)}
    assert found == {((1,), "x"), ((2,), "s"), ((3,), ""), ((4,), "")}
    assert sorted(differing_keys(one, other, V)["id"].to_pylist()) == [1, 2, 3, 4]


def test_nan_equals_itself_and_minus_zero_is_not_zero() -> None:
    nan, zero, minus = (pa.array([v], pa.float64()) for v in (math.nan, 0.0, -0.0))
    assert same(nan, nan)
    assert not same(zero, minus)
    assert differing(zero, minus).to_pylist() == [True]


def test_a_difference_in_a_timestamp_outside_python_is_printed() -> None:
    of = view(at=Kind.TIMESTAMP)
    far = pa.table([pa.array([1]), pa.array([2**62], pa.int64()).cast(pa.timestamp("us"))], schema=of.schema)
    near = pa.table([pa.array([1]), pa.array([0], pa.int64()).cast(pa.timestamp("us"))], schema=of.schema)
    assert [d.column for d in compare(far, near, of)] == ["at"]


cell = st.tuples(st.one_of(st.none(), st.floats()), st.one_of(st.none(), st.text(max_size=3)))
sides = st.dictionaries(st.integers(0, 20), cell, max_size=12)


def bits(value: Any) -> Any:
    return (math.copysign(1, value), str(value)) if isinstance(value, float) else value


@given(sides, sides)
def test_comparison_finds_exactly_the_keys_that_differ(left: dict[int, Any], right: dict[int, Any]) -> None:
    one = rows(V, *((key, *value) for key, value in left.items()))
    other = rows(V, *((key, *value) for key, value in right.items()))
    expected = {
        key
        for key in left.keys() | right.keys()
        if tuple(map(bits, left.get(key, ("-",)))) != tuple(map(bits, right.get(key, ("-",))))
    }
    assert set(differing_keys(one, other, V)["id"].to_pylist()) == expected
    assert {d.key[0] for d in compare(one, other, V)} == expected


@given(sides, sides)
def test_alignment_accounts_for_every_row(left: dict[int, Any], right: dict[int, Any]) -> None:
    one = rows(V, *((key, *value) for key, value in left.items()))
    other = rows(V, *((key, *value) for key, value in right.items()))
    found = align(one, other, ("id",))
    assert one["id"].take(found.left) == other["id"].take(found.right)
    assert len(found.left) + len(found.only_left) == len(left)
    assert len(found.right) + len(found.only_right) == len(right)
