"""Every canonical value goes in by COPY and by parameters, and comes out by both readers, unchanged."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import math
import struct
import uuid
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossfade.errors import StoreError
from crossfade.stores.base import Change, Chunk, KeyRange, Rejected
from crossfade.stores.postgres import PostgresStore
from crossfade.stores.postgres.encode_binary import binary_encoders
from crossfade.stores.postgres.values import (
    END_DAY,
    FIRST_DAY,
    FIRST_US,
    INT32_MAX,
    INT32_MIN,
    INT64_MAX,
    INT64_MIN,
)
from crossfade.types import canonical_decimal, canonical_jsonb
from tests.stores.postgres.scene import (
    TOKEN,
    app,
    change,
    everything,
    follower,
    keys_of,
    refuse,
    rows_of,
    view_of,
)

COLUMNS = {
    "b": "boolean",
    "i2": "smallint",
    "i4": "integer",
    "i8": "bigint",
    "f4": "real",
    "f8": "double precision",
    "n": "numeric",
    "n2": "numeric(30,10)",
    "t": "text",
    "vc": "varchar(20)",
    "ch": "char(4)",
    "by": "bytea",
    "d": "date",
    "tm": "time",
    "ts": "timestamp",
    "tz": "timestamptz",
    "u": "uuid",
    "j": "json",
    "jb": "jsonb",
    "mood": "mood",
    "arr": "text[]",
    "iv": "interval",
    "ip": "inet",
}

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=30)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | TEXT
    | st.decimals(allow_nan=False, allow_infinity=False, places=5).map(lambda d: float(f"{d:.5f}")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
_US = st.integers(FIRST_US, INT64_MAX) | st.sampled_from(
    [INT64_MIN, INT64_MAX, FIRST_US, 0, -1, INT64_MAX - 1]
)

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "b": st.booleans(),
    "i2": st.integers(-(2**15), 2**15 - 1),
    "i4": st.integers(-(2**31), 2**31 - 1),
    "i8": st.integers(-(2**63), 2**63 - 1),
    "f4": st.floats(width=32),
    "f8": st.floats() | st.sampled_from([0.1, -0.0, 5e-324, 1.7976931348623157e308, math.inf, math.nan]),
    "n": (st.decimals(allow_nan=False, allow_infinity=False) | st.just(Decimal("NaN")) | st.just(Decimal("-Infinity"))).map(canonical_decimal),
    "n2": st.decimals(-(10**19), 10**19, places=10).map(canonical_decimal),
    "t": TEXT | st.sampled_from(["", "\\N", '"', "\\.", "NULL", "\r\n", ",", "\t", "'"]),
    "vc": TEXT.filter(lambda s: len(s) <= 20),
    "ch": st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=4, max_size=4),
    "by": st.binary(max_size=40),
    "d": st.integers(FIRST_DAY, END_DAY - 1) | st.sampled_from([INT32_MIN, INT32_MAX, 0, -1, FIRST_DAY]),
    "tm": st.integers(0, 86_400_000_000),
    "ts": _US,
    "tz": _US,
    "u": st.uuids().map(str),
    "j": _JSON.map(lambda v: json.dumps(v, indent=1, ensure_ascii=False)),
    "jb": _JSON.map(lambda v: canonical_jsonb(json.dumps(v))),
    "mood": st.sampled_from(["sad", "O'K", "happy, \"very\""]),
    "arr": st.sampled_from(["{}", "{a,NULL,\"\"}", '{"a,b","c\\"d"}', "{{a,b},{c,d}}"]),
    "iv": st.sampled_from(["1 day", "-1 days +02:03:04.5", "1 year 2 mons", "00:00:00"]),
    "ip": st.sampled_from(["10.0.0.1", "10.0.0.0/8", "::1"]),
}  # fmt: skip

ROWS = st.lists(st.fixed_dictionaries({n: st.none() | s for n, s in VALUES.items()}), min_size=1, max_size=12)


def table_of(view: Any, rows: list[dict[str, Any]], first: int = 0) -> pa.Table:
    """Canonical rows from plain numbers and texts, numbered as keys."""
    arrays = [pa.array(range(first, first + len(rows)), pa.int64())]
    for field in view.fields[1:]:
        values = [row[field.name] for row in rows]
        kind = field.type.arrow
        if pa.types.is_timestamp(kind) or pa.types.is_time64(kind):
            arrays.append(pa.array(values, pa.int64()).view(kind))
        elif pa.types.is_date32(kind):
            arrays.append(pa.array(values, pa.int32()).view(kind))
        else:
            arrays.append(pa.array(values, kind))
    return pa.Table.from_arrays(arrays, schema=view.schema)


def bits(table: pa.Table) -> list[list[Any]]:
    """Cells that compare by what is stored: floats by their bits (one NaN), times by their numbers."""
    columns = []
    for column in table.sort_by("id").combine_chunks().columns:
        array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        if pa.types.is_floating(array.type):
            columns.append(
                [v if v is None else struct.pack(">d", math.nan if v != v else v) for v in array.to_pylist()]
            )
        elif pa.types.is_temporal(array.type):
            width = pa.int32() if pa.types.is_date32(array.type) else pa.int64()
            columns.append(array.view(width).to_pylist())
        else:
            columns.append(array.to_pylist())
    return columns


OPAQUE = {"mood", "arr", "iv", "ip"}
"""Columns whose types have no binary encoder: a table with one of them is loaded as CSV."""


def make_wide(store: PostgresStore, url: str, name: str, number: int, columns: dict[str, str]) -> Any:
    with app(url) as c:
        c.execute(
            f"CREATE TABLE {name} (id bigint PRIMARY KEY, {', '.join(f'{n} {t}' for n, t in columns.items())})"
        )
    return view_of(store, name, number)


@pytest.fixture(params=["csv", "binary"])
def wide(store: PostgresStore, postgres_url: str, request: pytest.FixtureRequest) -> Any:
    """A table of every type, loaded as CSV, or of every type that is loaded in the binary format."""
    with app(postgres_url) as c:
        c.execute("CREATE TYPE mood AS ENUM ('sad', 'O''K', 'happy, \"very\"')")
    binary = request.param == "binary"
    chosen = {n: t for n, t in COLUMNS.items() if not (binary and n in OPAQUE)}
    view = make_wide(store, postgres_url, "w", 1, chosen)
    assert (binary_encoders(view.fields) is not None) is binary
    follower(store, [view])
    return view


_CHUNKS = itertools.count()


def test_values_survive_both_ways_in_and_both_ways_out(store: PostgresStore, wide: Any) -> None:
    numbers = itertools.count(1)

    @given(ROWS)
    @settings(
        max_examples=30,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
        derandomize=True,
    )
    def run(rows: list[dict[str, Any]]) -> None:
        store.restart_load(wide, TOKEN)
        given_rows = table_of(wide, rows)
        assert store.holdable(wide, given_rows, refuse) is given_rows
        number = next(numbers)
        assert store.load(wide, given_rows.to_batches(), lambda n: Chunk(1, number, n), TOKEN) == len(rows)
        assert bits(everything(store, wide)) == bits(given_rows)
        keys = keys_of(wide, range(len(rows) + 5))
        with store.snapshot() as snap:
            assert bits(snap.rows(wide, keys, refuse)) == bits(given_rows)
        moved = table_of(wide, rows, first=1000)
        with store.applying(TOKEN, "p") as applying:
            assert bits(applying.rows(wide, keys)) == bits(given_rows)
            done = applying.apply([Change(wide, given_rows, keys_of(wide, []))])
            assert (done.inserted, done.updated) == (0, 0)
            applying.apply([Change(wide, moved, keys)])
        assert bits(everything(store, wide)) == bits(moved)

    run()


def test_the_binary_format_stores_the_very_bytes_that_text_does(
    store: PostgresStore, postgres_url: str
) -> None:
    """Display scales of numerics, signs of zero and NaN included: what the server sends back is compared."""
    plain = {n: t for n, t in COLUMNS.items() if n not in OPAQUE}
    binary = make_wide(store, postgres_url, "plain", 1, plain)
    csv = make_wide(store, postgres_url, "marked", 2, plain | {"ip": "inet"})
    assert binary_encoders(binary.fields) is not None
    assert binary_encoders(csv.fields) is None
    follower(store, [binary, csv])
    sent = {"t": "textsend", "vc": "varcharsend", "ch": "bpcharsend", "f4": "float4send", "f8": "float8send", "n": "numeric_send",
            "n2": "numeric_send", "by": "byteasend", "ts": "timestamp_send", "tz": "timestamptz_send", "d": "date_send"}  # fmt: skip
    shown = ", ".join(f"{sent[n]}({n})" if n in sent else f"{n}::text" for n in plain)
    numbers = itertools.count(1)

    @given(ROWS)
    @settings(
        max_examples=30,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
        derandomize=True,
    )
    def run(rows: list[dict[str, Any]]) -> None:
        number = next(numbers)
        for view in (binary, csv):
            store.restart_load(view, TOKEN)
            # a NaN with a payload is what ``holdable`` leaves out
            given_rows = store.holdable(view, table_of(view, rows), lambda _: None)
            id_ = view.id
            store.load(view, given_rows.to_batches(), lambda n, id_=id_: Chunk(id_, number, n), TOKEN)  # type: ignore[misc]
        with app(postgres_url) as c:
            one, two = (
                c.execute(f"SELECT {shown} FROM {t} ORDER BY id").fetchall() for t in ("plain", "marked")
            )
        assert one == two

    run()


def test_the_binary_format_takes_slices_and_long_values(store: PostgresStore, postgres_url: str) -> None:
    """Arrays that begin in the middle of their buffers, all-null columns, and values beyond a page."""
    plain = {n: t for n, t in COLUMNS.items() if n not in OPAQUE}
    view = make_wide(store, postgres_url, "plain", 1, plain)
    follower(store, [view])
    row: dict[str, Any] = dict.fromkeys(plain)
    long = {"t": "é" * 700_000, "by": bytes(range(256)) * 5000, "n": "9" * 200 + "." + "1" * 99, "n2": "-0.0000000001"}  # fmt: skip
    rows = [
        row | {"t": "first", "u": str(uuid.UUID(int=7)), "n": "1.5"},
        row | long,
        row | {"u": str(uuid.UUID(int=2**127)), "n": "-10000", "n2": "12345678901234567890.123456789", "jb": "[]"},
        row | {"n": "0", "n2": "0.5", "b": False},
        row,
    ]  # fmt: skip
    table = table_of(view, rows)
    batch = table.combine_chunks().to_batches()[0]
    slices = [batch.slice(0, 1), batch.slice(1, 2), batch.slice(3, 0), batch.slice(3, 1), batch.slice(4)]
    assert store.load(view, slices, lambda n: Chunk(1, 1, n), TOKEN) == len(rows)
    assert bits(everything(store, view)) == bits(table)


@pytest.mark.parametrize(
    ("column", "value"),
    [("i2", 2**15), ("i4", -(2**31) - 1), ("f4", 0.1), ("f4", 1e300), ("u", "0" * 36), ("u", "x"),
     ("ts", INT64_MIN + 1), ("d", INT32_MIN + 1), ("n", "1e5x"), ("n2", "1" * 21), ("t", "a\0b")],
)  # fmt: skip
def test_the_binary_format_refuses_what_does_not_fit(
    store: PostgresStore, postgres_url: str, column: str, value: Any
) -> None:
    """``holdable`` rejects these before; what slips past it must not wrap around."""
    view = make_wide(store, postgres_url, "plain", 1, {column: COLUMNS[column]})
    assert binary_encoders(view.fields) is not None
    follower(store, [view])
    rows = table_of(view, [{column: value}])
    with pytest.raises(StoreError):
        store.load(view, rows.to_batches(), lambda n: Chunk(1, 1, n), TOKEN)
    assert everything(store, view).num_rows == 0


def test_what_postgresql_stores_is_read_as_it_stands(
    store: PostgresStore, postgres_url: str, wide: Any
) -> None:
    with app(postgres_url) as c:
        c.execute("SET crossfade.applier = ''")
        c.execute("ALTER TABLE w DISABLE TRIGGER USER")
        c.execute(
            "INSERT INTO w (id, n, ch, d, ts, tz, jb, j, u, f4) VALUES "
            "(1, 1.50, 'a', 'infinity', '-infinity', '2020-01-01 00:00+02', '{\"b\":1.0,\"a\":1e2}', '{ \"a\" : 1 }', "
            "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 0.1)"
        )
    row = everything(store, wide)
    one = {name: row.column(name)[0] for name in row.column_names}
    assert one["n"].as_py() == "1.5"
    assert one["ch"].as_py() == "a   "
    assert one["d"].value == INT32_MAX
    assert one["ts"].value == INT64_MIN
    assert one["tz"].as_py() == dt.datetime(2019, 12, 31, 22, tzinfo=dt.UTC)
    assert one["jb"].as_py() == '{"a":100,"b":1}'
    assert one["j"].as_py() == '{ "a" : 1 }'
    assert one["u"].as_py() == "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    assert one["f4"].as_py() == float(np.float32(0.1))


def test_times_that_canonical_form_cannot_hold_are_rejected(
    store: PostgresStore, postgres_url: str, wide: Any
) -> None:
    with app(postgres_url) as c:
        c.execute("ALTER TABLE w DISABLE TRIGGER USER")
        c.execute("INSERT INTO w (id, ts) VALUES (1, '294276-12-31 23:59:59'), (2, 'now')")
    found: list[Rejected] = []
    rows = pa.Table.from_batches(list(store.scan(wide, KeyRange(), found.append)), wide.schema)
    assert rows.column("id").to_pylist() == [2]
    assert [(r.key, r.column) for r in found] == [((1,), "ts")]
    with store.snapshot() as snap:
        assert snap.rows(wide, keys_of(wide, [1, 2]), found.append).num_rows == 1
    found.clear()
    assert [f.check for f in store.census(wide, found.append)] == ["postgres.late", "postgres.census"]
    assert len(found) == 1


KEYS: dict[str, list[Any]] = {
    "text": ["", "A", "a", "é", "\\", '"', "'", "{}", "NULL", "a,b", "%s", "\U0001f600", "b", "\n"],
    "varchar(9)": ["x", "X", "y"],
    "char(2)": ["a ", "ab", "zz"],
    "uuid": [str(uuid.UUID(int=i)) for i in (0, 1, 2**127)],
    "bytea": [b"", b"\x00", b"\xff'\"\\", b"a"],
    "numeric": ["-1.5", "0", "1", "12345678901234567890.5"],
    "boolean": [False, True],
    "date": [dt.date(1, 1, 1), dt.date(2020, 1, 1)],
    "timestamptz": [
        dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
        dt.datetime(2020, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC),
    ],
    "timestamp": [dt.datetime(1969, 1, 1), dt.datetime(2020, 1, 1)],  # noqa: DTZ001
    "double precision": [-1.5, 0.1, 1e300],
    "inet": ["10.0.0.0/8", "10.0.0.1"],
}


@pytest.mark.parametrize("shape", KEYS)
def test_every_kind_of_key_is_found_ordered_and_cut_into_ranges(
    store: PostgresStore, postgres_url: str, shape: str
) -> None:
    keys = KEYS[shape]
    with app(postgres_url) as c:
        c.execute(f"CREATE TABLE k (k {shape}, n int, PRIMARY KEY (k, n))")
    view = view_of(store, "k")
    follower(store, [view])
    rows = [(key, n) for key in keys for n in (1, 2)]
    with store.applying(TOKEN, "p") as applying:
        applying.apply([change(view, rows)])
        assert applying.rows(view, keys_of(view, rows)).num_rows == len(rows)
    whole = everything(store, view)
    assert sorted(map(str, whole.to_pylist())) == sorted(map(str, rows_of(view, rows).to_pylist()))
    if shape == "text":
        texts = whole.column("k").to_pylist()
        assert texts == sorted(texts, key=str.encode)
    with store.snapshot() as snap:
        assert snap.rows(view, keys_of(view, rows), refuse).num_rows == len(rows)
    ranges = store.plan(view, 3)
    assert len(ranges) > 1
    parts = [
        pa.Table.from_batches(list(store.scan(view, over, refuse)), view.schema).to_pylist()
        for over in ranges
    ]
    assert [row for part in parts for row in part] == whole.to_pylist()
    assert all(len(part) <= 3 for part in parts)
    with store.applying(TOKEN, "p") as applying:
        assert applying.apply([change(view, [], rows)]).deleted == len(rows)


def test_ranges_are_even_in_a_skewed_table(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id bigint PRIMARY KEY)")
        c.execute("INSERT INTO a SELECT i FROM generate_series(1, 5000) i")
        c.execute("INSERT INTO a SELECT 1000000000000 + i * 1000003 FROM generate_series(1::bigint, 5000) i")
    view = view_of(store, "a")
    ranges = store.plan(view, 1000)
    assert ranges[0].after is None
    assert ranges[-1].upto is None
    sizes = [sum(b.num_rows for b in store.scan(view, over, refuse)) for over in ranges]
    assert sum(sizes) == 10000
    assert max(sizes) == 1000


def test_a_table_without_a_key_is_one_range(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (v text); INSERT INTO a VALUES ('x'), ('x'), (NULL)")
    view = view_of(store, "a")
    assert view.key == ()
    assert store.plan(view, 1) == [KeyRange()]
    assert everything(store, view).num_rows == 3


def test_batches_are_bounded(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY, v text)")
        c.execute("INSERT INTO a SELECT i, repeat('x', 1000) FROM generate_series(1, 40000) i")
    view = view_of(store, "a")
    sizes = [b.nbytes for b in store.scan(view, KeyRange(), refuse)]
    assert len(sizes) > 3
    assert max(sizes) < 12 << 20


def test_a_scan_that_is_left_early_leaves_no_session(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a SELECT generate_series(1, 200000)")
        view = view_of(store, "a")
        batches = store.scan(view, KeyRange(), refuse)
        next(batches)
        batches.close()  # type: ignore[attr-defined]
        assert everything(store, view).num_rows == 200000
