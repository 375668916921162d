"""What a PostgreSQL column cannot hold is found before it is sent, with the reason."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossfade.stores.base import Field, Rejected, View
from crossfade.stores.postgres import PostgresStore
from crossfade.stores.postgres.values import END_DAY, FIRST_DAY, FIRST_US
from crossfade.types import canonical_decimal
from tests.stores.postgres.scene import app, refuse, rows_of, view_of

CASES: list[tuple[str, list[Any], list[Any]]] = [
    ("smallint", [0, -32768, 32767], [32768, -32769]),
    ("integer", [2**31 - 1], [2**31, -(2**31) - 1]),
    ("bigint", [2**63 - 1, -(2**63)], []),
    ("real", [0.5, 16777216.0, -0.0, float("inf"), float("nan")], [0.1, 16777217.0, 1e300]),
    ("text", ["", "é"], ["a\0b", "\0"]),
    ("varchar(3)", ["", "éüß", "\U0001f600" * 3], ["abcd", "abc "]),
    ("char(3)", ["abc", "a  "], ["ab", "abcd", ""]),
    ("numeric(5,2)", ["999.99", "-999.9", "0", "0.01", "NaN"], ["1000", "0.001", "-1000.5", "Infinity"]),
    ("numeric(3,-2)", ["99900", "100", "0"], ["150", "100000"]),
    ("numeric(2,4)", ["0.0099", "0.001"], ["0.01", "0.00001"]),
    (
        "numeric",
        ["1" * 131072, "Infinity", "-Infinity"],
        ["1" * 131073, "abc", "1e5", "0." + "0" * 16383 + "1"],
    ),
    ("uuid", ["00000000-0000-0000-0000-000000000000"], ["x", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "{}"]),
    ("json", ['{"a": 1}', "null", '"\\u0000"'], ["", "{", "{'a':1}", "NaN"]),
    ("jsonb", ['{"a":1}'], ['"\\u0000"', "{", '"\\ud800"', '{"a\\u0000":1}']),
    ("mood", ["sad"], ["happy", "SAD", ""]),
    ("inet", ["10.0.0.1"], ["10.0.0.256", "10.0.0.1/32"]),
    ("timestamp(3)", [dt.datetime(2020, 1, 1, 0, 0, 0, 123000)], [dt.datetime(2020, 1, 1, 0, 0, 0, 123456)]),  # noqa: DTZ001
    ("time(0)", [dt.time(1, 2, 3)], [dt.time(1, 2, 3, 1)]),
]


def of(store: PostgresStore, url: str, shape: str, constraint: str = "") -> View:
    with app(url) as c:
        c.execute("CREATE TYPE mood AS ENUM ('sad')")
        c.execute(f"CREATE TABLE h (id int PRIMARY KEY, v {shape} {constraint})")
    return view_of(store, "h")


@pytest.mark.parametrize(("shape", "good", "bad"), CASES, ids=[c[0] for c in CASES])
def test_what_fits_and_what_does_not(
    store: PostgresStore, postgres_url: str, shape: str, good: list[Any], bad: list[Any]
) -> None:
    view = of(store, postgres_url, shape)
    values = [*good, *bad, None]
    found: list[Rejected] = []
    rows = rows_of(view, enumerate(values))
    kept = store.holdable(view, rows, found.append)
    assert [repr(v) for v in kept.column("v").to_pylist()] == [repr(v) for v in [*good, None]]
    assert [r.key for r in found] == [(len(good) + i,) for i in range(len(bad))]
    assert all(r.table == "h" and r.column == "v" and r.reason and r.todo for r in found)
    assert all(set(r.row) == {"id", "v"} for r in found)
    fits = rows_of(view, enumerate(good))
    assert store.holdable(view, fits, refuse) is fits


def test_null_in_a_column_that_forbids_it(store: PostgresStore, postgres_url: str) -> None:
    view = of(store, postgres_url, "text", "NOT NULL")
    found: list[Rejected] = []
    assert store.holdable(view, rows_of(view, [(1, None), (2, "x")]), found.append).num_rows == 1
    assert [(r.key, r.value) for r in found] == [((1,), "None")]


def test_a_row_is_rejected_once(store: PostgresStore, postgres_url: str) -> None:
    view = of(store, postgres_url, "varchar(1)")
    found: list[Rejected] = []
    store.holdable(view, rows_of(view, [(1, "a\0b")]), found.append)
    assert len(found) == 1


def test_times_outside_the_range(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE h (id int PRIMARY KEY, d date, t timestamp)")
    view = view_of(store, "h")
    days = pa.array([FIRST_DAY, FIRST_DAY - 1, END_DAY - 1, END_DAY], pa.int32()).view(pa.date32())
    times = pa.array([FIRST_US, 0, 0, FIRST_US - 1], pa.int64()).view(pa.timestamp("us"))
    rows = pa.Table.from_arrays([pa.array(range(4), pa.int64()), days, times], schema=view.schema)
    found: list[Rejected] = []
    assert store.holdable(view, rows, found.append).column("id").to_pylist() == [0, 2]
    assert [(r.key, r.column) for r in found] == [((1,), "d"), ((3,), "d")]


def test_bytes_that_are_not_utf8(store: PostgresStore, postgres_url: str) -> None:
    view = of(store, postgres_url, "text")
    text = pa.array([b"\xff", b"ok"], pa.binary()).view(pa.string())
    rows = pa.Table.from_arrays([pa.array([1, 2], pa.int64()), text], schema=view.schema)
    found: list[Rejected] = []
    assert store.holdable(view, rows, found.append).num_rows == 1
    assert found[0].reason == "not UTF-8"


def test_numerics_are_judged_as_postgresql_judges_them(store: PostgresStore, postgres_url: str) -> None:
    view = of(store, postgres_url, "numeric(6,3)")

    @given(st.decimals(-2000, 2000, places=4))
    @settings(
        max_examples=100,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
        derandomize=True,
    )
    def run(value: Decimal) -> None:
        text = canonical_decimal(value)
        found: list[Rejected] = []
        store.holdable(view, rows_of(view, [(1, text)]), found.append)
        exact = abs(value) < 1000 and value == round(value, 3)
        assert bool(found) != exact, text

    run()


def test_the_columns_bounds_count_not_the_agreed_types(store: PostgresStore, postgres_url: str) -> None:
    """SQLite's column may be agreed as text while PostgreSQL's is varchar: the narrower one decides."""
    view = of(store, postgres_url, "varchar(2)")
    assert isinstance(view.fields[1], Field)
    found: list[Rejected] = []
    store.holdable(view, rows_of(view, [(1, "abc")]), found.append)
    assert found[0].reason == "over 2 characters"
