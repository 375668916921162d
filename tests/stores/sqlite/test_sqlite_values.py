"""What is accepted, what it means, and that the vectorised way and the exact way agree."""

from __future__ import annotations

import sqlite3
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossfade.stores.base import Column, Field, Rejected, Table, View
from crossfade.stores.sqlite.connection import Text
from crossfade.stores.sqlite.decode import canonical_array, decode_value
from crossfade.stores.sqlite.decode_arrow import decode_array, decode_values
from crossfade.stores.sqlite.encode import encode_column, holdable
from crossfade.stores.sqlite.temporal import NotExact
from crossfade.types import Kind, LogicalType, StoredAs, canonical_decimal, canonical_jsonb

DECLARED = ("INTEGER", "TEXT", "REAL", "NUMERIC", "", "VARCHAR(32)", "BINARY(16)")


def field_of(
    type_: LogicalType | Kind, declared: str = "", stored: tuple[StoredAs, ...] = (), *, strict: bool = False
) -> Field:
    logical = type_ if isinstance(type_, LogicalType) else LogicalType(type_)
    return Field("c", Column("c", declared, logical, strict=strict), logical, stored)


def view_of(field: Field) -> View:
    return View(1, Table("t", (field.column,)), (field,), ())


def one(field: Field, value: Any) -> Any:
    """The canonical Python value of one stored value."""
    stored = Text(value.encode()) if isinstance(value, str) else value
    plain = decode_value(field, stored)
    return canonical_array(field.type, [plain])[0].as_py()


ISO, S, MS, US, JULIAN = (
    StoredAs.ISO,
    StoredAs.EPOCH_S,
    StoredAs.EPOCH_MS,
    StoredAs.EPOCH_US,
    StoredAs.JULIAN,
)


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        (field_of(Kind.BOOLEAN), "T", "True"),
        (field_of(Kind.BOOLEAN), 0, "False"),
        (field_of(Kind.BOOLEAN), "1", "True"),
        (field_of(Kind.BOOLEAN), "False", "False"),
        (field_of(Kind.INTEGER), -(2**63), str(-(2**63))),
        (field_of(Kind.FLOAT), 2**53, "9007199254740992.0"),
        (field_of(Kind.DECIMAL), 0.1, "0.1"),
        (field_of(Kind.DECIMAL), "0012.500", "12.5"),
        (field_of(Kind.DECIMAL), 7, "7"),
        (field_of(Kind.DECIMAL), 1e22, "10000000000000000000000"),
        (field_of(Kind.UUID), "A0EEBC999C0B4EF8BB6D6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        (field_of(Kind.UUID), b"\x00" * 15 + b"\x01", "00000000-0000-0000-0000-000000000001"),
        (field_of(Kind.DATE), "2024-02-29", "2024-02-29"),
        (field_of(Kind.TIME), "23:59:59.5", "23:59:59.500000"),
        (field_of(Kind.TIMESTAMP), "2024-02-29T23:59", "2024-02-29 23:59:00"),
        (field_of(Kind.TIMESTAMP), "2024-02-29 23:59:58.123456000", "2024-02-29 23:59:58.123456"),
        (field_of(Kind.INSTANT), "2024-02-29 23:59:58", "2024-02-29 23:59:58+00:00"),
        (field_of(Kind.INSTANT), "2024-02-29T23:59:58+05:30", "2024-02-29 18:29:58+00:00"),
        (field_of(Kind.INSTANT), "2024-02-29T23:59:58Z", "2024-02-29 23:59:58+00:00"),
        (field_of(Kind.TIMESTAMP, stored=(ISO, MS)), 1700000000123, "2023-11-14 22:13:20.123000"),
        (field_of(Kind.TIMESTAMP, stored=(ISO, MS)), "2024-01-01 00:00:00", "2024-01-01 00:00:00"),
        (field_of(Kind.TIMESTAMP, stored=(S,)), 1700000000.5, "2023-11-14 22:13:20.500000"),
        (field_of(Kind.TIMESTAMP, stored=(S, MS, US)), 1700000000123456, "2023-11-14 22:13:20.123456"),
        (field_of(Kind.TIMESTAMP, stored=(JULIAN,)), 2460310.5, "2024-01-01 00:00:00"),
        (field_of(Kind.TIMESTAMP, "TEXT", (MS,)), "1700000000123", "2023-11-14 22:13:20.123000"),
        (field_of(Kind.DATE, stored=(S,)), 1704067200, "2024-01-01"),
        (field_of(Kind.JSON), '{"a": 1.0, "a": 2}', '{"a": 1.0, "a": 2}'),
        (field_of(Kind.JSONB), '{"b": 1e2, "a": [1.50]}', '{"a":[1.5],"b":100}'),
        (field_of(Kind.JSON), 5, "5"),
        (field_of(Kind.TEXT), "a\0b", "a\0b"),
    ],
)
def test_accepted(field: Field, value: Any, shown: str) -> None:
    assert str(one(field, value)) == shown


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        (field_of(Kind.BOOLEAN), 2, "no truth value"),
        (field_of(Kind.BOOLEAN), 1.0, "a real in a boolean"),
        (field_of(Kind.BOOLEAN, stored=(StoredAs.T_F,)), 1, "no truth value"),
        (field_of(Kind.INTEGER), 1.0, "a real in an integer".replace("an", "a")),
        (field_of(Kind.INTEGER), "12", "text in a"),
        (field_of(LogicalType(Kind.INTEGER, bits=32)), 2**31, "does not fit 32 bits"),
        (field_of(Kind.FLOAT), 2**53 + 1, "not exactly a double"),
        (field_of(Kind.FLOAT), "nan", "text in a"),
        (field_of(LogicalType(Kind.FLOAT, bits=32)), 0.1, "32-bit"),
        (field_of(Kind.DECIMAL), "1e5", "not a plain decimal"),
        (field_of(Kind.DECIMAL), float("inf"), "no decimal"),
        (field_of(LogicalType(Kind.DECIMAL, precision=4, scale=2)), "100.0", "does not fit"),
        (field_of(LogicalType(Kind.DECIMAL, precision=4, scale=2)), "1.001", "does not fit"),
        (field_of(Kind.TEXT), 5, "an integer in a text"),
        (field_of(Kind.TEXT), b"x", "a blob in a text"),
        (field_of(LogicalType(Kind.TEXT, length=2)), "äöü", "3 characters"),
        (field_of(Kind.BYTES), "x", "text in a"),
        (field_of(Kind.UUID), "xyz", "no UUID"),
        (field_of(Kind.DATE), "2023-02-29", "no date"),
        (field_of(Kind.DATE), "2024-01-01 00:00:00", "not a date"),
        (field_of(Kind.DATE), "0000-01-01", "no date"),
        (field_of(Kind.TIMESTAMP), "2024-01-01", "not of the form"),
        (field_of(Kind.TIMESTAMP), "2024-01-01 10", "no minutes"),
        (field_of(Kind.TIMESTAMP), "2024-01-01 24:00:00", "no time of day"),
        (field_of(Kind.TIMESTAMP), "2024-01-01T00:00:00Z", "ambiguous"),
        (field_of(Kind.TIMESTAMP), "2024-01-01 00:00:00.1234567", "finer than a microsecond"),
        (field_of(Kind.TIMESTAMP), 1700000000123, "ambiguous"),
        (field_of(LogicalType(Kind.TIMESTAMP, precision=3)), "2024-01-01 00:00:00.1234", "finer than 3"),
        (field_of(Kind.TIMESTAMP, stored=(S, MS)), 5, "ambiguous"),
        (field_of(Kind.TIMESTAMP, stored=(MS,)), 10**17, "outside the years"),
        (field_of(Kind.TIMESTAMP, stored=(MS,)), "2024-01-01 00:00:00", "text in a column stored as"),
        (field_of(Kind.DATE, stored=(S,)), 1704067201, "not midnight"),
        (field_of(Kind.JSON), "{", "not JSON"),
        (field_of(Kind.JSON), "NaN", "not JSON"),
        (field_of(Kind.JSONB), "[1,]", "not JSON"),
    ],
)
def test_rejected(field: Field, value: Any, reason: str) -> None:
    with pytest.raises(NotExact, match=reason):
        one(field, value)


def test_an_ambiguous_number_is_told_with_the_rule_to_write() -> None:
    with pytest.raises(NotExact) as caught:
        decode_value(field_of(Kind.TIMESTAMP), 1700000000123)
    assert "stored_as: [iso, epoch_ms]" in caught.value.todo


def test_invalid_utf8_is_told() -> None:
    with pytest.raises(NotExact, match="not valid UTF-8"):
        decode_value(field_of(Kind.TEXT), Text(b"a\xff"))


# --- the two ways agree -----------------------------------------------------

_NEAR_ISO = st.one_of(
    st.datetimes().map(lambda d: d.isoformat(sep=" ")),
    st.datetimes().map(lambda d: d.isoformat()),
    st.datetimes().map(lambda d: d.isoformat() + "Z"),
    st.datetimes().map(lambda d: d.isoformat(timespec="minutes") + "+02:30"),
    st.dates().map(str),
    st.times().map(str),
    st.from_regex(r"\A[0-9]{4}-[01][0-9]-[0-3][0-9][ Tt][0-2][0-9](:[0-6][0-9]){0,2}(\.[0-9]{0,10})?\Z"),
    st.from_regex(r"\A[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9](Z|z|[+-][0-9]{2}:?([0-9]{2})?)?\Z"),
    st.from_regex(r"\A[0-2][0-9]:[0-6][0-9](:[0-6][0-9](\.[0-9]{0,9})?)?\Z"),
)
_STORED_TEXT = st.one_of(
    _NEAR_ISO,
    st.text(max_size=6),
    st.sampled_from(
        ["t", "F", "TRUE", "false", "0", "1", "{}", "[1.0]", '"a"', "-0", "0.50", "12.", ".5", "+1"]
    ),
    st.decimals(allow_nan=False, allow_infinity=False).map(lambda d: format(d, "f")),
    st.uuids().map(str),
    st.uuids().map(lambda u: u.hex.upper()),
)
_STORED = {
    "integer": st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-3, 3), st.integers(0, 2 * 10**15)),
    "real": st.one_of(
        st.floats(allow_nan=False), st.floats(2_440_000, 2_470_000), st.integers(0, 9).map(float)
    ),
    "text": _STORED_TEXT,
    "blob": st.one_of(st.binary(max_size=5), st.binary(min_size=16, max_size=16)),
}
_TYPES = [
    *(LogicalType(kind) for kind in Kind),
    LogicalType(Kind.INTEGER, bits=16),
    LogicalType(Kind.FLOAT, bits=32),
    LogicalType(Kind.DECIMAL, precision=6, scale=2),
    LogicalType(Kind.DECIMAL, precision=3, scale=3),
    LogicalType(Kind.TEXT, length=3),
    LogicalType(Kind.TIMESTAMP, precision=3),
    LogicalType(Kind.INSTANT, precision=0),
    LogicalType(Kind.TIME, precision=0),
]
_RULES = st.sampled_from([(), (ISO,), (ISO, MS), (MS,), (S,), (US,), (JULIAN,), (S, MS, US), (JULIAN, ISO)])
_TRUTH_RULES = st.sampled_from(
    [(), (StoredAs.ZERO_ONE,), (StoredAs.T_F,), (StoredAs.TRUE_FALSE, StoredAs.T_F)]
)
_TIMES = (Kind.DATE, Kind.TIME, Kind.TIMESTAMP, Kind.INSTANT)


@st.composite
def fields(draw: st.DrawFn, declared: tuple[str, ...] = ("",)) -> Field:
    type_ = draw(st.sampled_from(_TYPES))
    stored: tuple[StoredAs, ...] = ()
    if type_.kind in _TIMES:
        stored = draw(_RULES)
    elif type_.kind is Kind.BOOLEAN:
        stored = draw(_TRUTH_RULES)
    return field_of(type_, draw(st.sampled_from(declared)), stored)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [1.797693134862316e305, -1.7e308, float("inf"), float("nan")])
def test_a_double_that_no_decimal_of_its_type_is_near_is_declined_quietly(value: float) -> None:
    field = field_of(LogicalType(Kind.DECIMAL, precision=3, scale=3))
    assert decode_array(field, pa.array([0.5, value])) is None


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(fields(), st.sampled_from(sorted(_STORED)), st.data())
def test_the_vectorised_way_agrees_with_the_exact_way(field: Field, stored: str, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.one_of(st.none(), _STORED[stored]), min_size=1, max_size=4))
    types = {"integer": pa.int64(), "real": pa.float64(), "text": pa.string(), "blob": pa.binary()}
    proven = decode_array(field, pa.array(values, types[stored]))
    if proven is None:
        return
    raw = [Text(v.encode()) if isinstance(v, str) else v for v in values]
    exact = canonical_array(field.type, [decode_value(field, v) for v in raw])
    assert proven.type == field.type.arrow
    assert repr(proven.to_pylist()) == repr(exact.to_pylist())


_MONEY = field_of(LogicalType(Kind.DECIMAL, precision=12, scale=2), "DECIMAL(12, 2)")


@settings(max_examples=500, deadline=None)
@given(st.lists(st.none() | st.integers(-(10**12) + 1, 10**12 - 1), min_size=1, max_size=6))
def test_doubles_that_are_money_are_decoded_exactly(cents: list[int | None]) -> None:
    """100 must not lose its zeros, nor a large amount gain an exponent."""
    values = [None if c is None else c / 100 for c in cents]
    exact = [None if v is None else decode_value(_MONEY, v) for v in values]
    array, bad = decode_values(_MONEY, values)
    assert (array.to_pylist(), bad) == (exact, [])
    proven = decode_array(_MONEY, pa.array(values, pa.float64()))
    assert proven is None or proven.to_pylist() == exact
    if all(c is None or 100 <= abs(c) < 10**9 for c in cents):
        assert proven is not None


@settings(max_examples=300, deadline=None)
@given(fields(), st.data())
def test_mixed_columns_are_decoded_value_by_value(field: Field, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.one_of(st.none(), *_STORED.values()), min_size=1, max_size=5))
    raw = [Text(v.encode()) if isinstance(v, str) else v for v in values]
    array, bad = decode_values(field, raw)
    wrong = {b.index for b in bad}
    for index, value in enumerate(raw):
        try:
            expected = canonical_array(field.type, [decode_value(field, value)])[0].as_py()
        except NotExact:
            assert index in wrong
            continue
        assert index not in wrong
        assert repr(array[index].as_py()) == repr(expected)


# --- what is let through comes back -----------------------------------------

_MICROS = st.one_of(
    st.integers(-(2**55), 2**58),
    st.integers(0, 2 * 10**9).map(lambda s: s * 1_000_000),
    st.integers(0, 2 * 10**12).map(lambda s: s * 1_000),
)
_DIGITS = st.decimals(allow_nan=False, allow_infinity=False, places=3).map(canonical_decimal)
_NUMERIC_LOOKS = st.sampled_from(
    ["0.10", "1", "-1", " 7 ", "1e5", "+3", "0x10", "1.", ".5", "1e", "12abc", "", "9" * 25]
)
_CANONICAL: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.BOOLEAN: st.booleans(),
    Kind.INTEGER: st.integers(-(2**63), 2**63 - 1),
    Kind.FLOAT: st.one_of(st.floats(), st.sampled_from([-0.0, 0.0, 2.0**53, 2.0**60, 1.5, float("inf")])),
    Kind.DECIMAL: st.one_of(
        _DIGITS,
        st.integers().map(str),
        st.sampled_from(["NaN", "Infinity", "9007199254740993", "0.1", "1" * 40, "0." + "0" * 30 + "1"]),
        st.decimals(allow_nan=False, allow_infinity=False).map(canonical_decimal),
    ),
    Kind.TEXT: st.one_of(st.text(max_size=8), _NUMERIC_LOOKS),
    Kind.OPAQUE: st.one_of(st.text(max_size=8), _NUMERIC_LOOKS),
    Kind.BYTES: st.binary(max_size=8),
    Kind.DATE: st.integers(-800_000, 3_000_000),
    Kind.TIME: st.integers(0, 86_400_000_000),
    Kind.TIMESTAMP: _MICROS,
    Kind.INSTANT: _MICROS,
    Kind.UUID: st.one_of(st.uuids().map(str), st.just("00000000-0000-0000-0000-000000000123")),
    Kind.JSON: st.sampled_from(["5", "5.0", "1e3", '"5"', "[1]", "null", " 7", '{"a":1}']),
    Kind.JSONB: st.sampled_from(["5", '"5"', "[1]", "null", '{"a":1}', "0.25", "1" * 30, "true"]).map(
        canonical_jsonb
    ),
}


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(fields(DECLARED), st.data())
def test_what_is_holdable_comes_back_bit_for_bit(field: Field, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.one_of(st.none(), _CANONICAL[field.type.kind]), min_size=1, max_size=4))
    rows = pa.Table.from_arrays([canonical_array(field.type, values)], names=["c"])
    refused: list[Rejected] = []
    kept = holdable(view_of(field), rows, refused.append)
    assert len(kept) + len(refused) == len(rows)
    column = kept.column("c").combine_chunks()
    con = sqlite3.connect(":memory:")
    try:
        con.text_factory = Text
        con.execute(f"CREATE TABLE t (c {field.column.declared})")
        con.executemany("INSERT INTO t VALUES (?)", [(v,) for v in encode_column(field, column)])
        back = [row[0] for row in con.execute("SELECT c FROM t ORDER BY rowid")]
    finally:
        con.close()
    array, bad = decode_values(field, back)
    assert bad == []
    numbers = pa.int32() if field.type.kind is Kind.DATE else pa.int64()
    if field.type.kind in _TIMES:
        array, column = array.cast(numbers), column.cast(numbers)
    assert repr(array.to_pylist()) == repr(column.to_pylist())


@pytest.mark.parametrize(
    ("kind", "declared", "value"),
    [
        (Kind.TEXT, "NUMERIC", "0.10"),
        (Kind.TEXT, "STRING", "12"),
        (Kind.FLOAT, "REAL", -0.0),
        (Kind.FLOAT, "REAL", float("nan")),
        (Kind.DECIMAL, "NUMERIC", "123456789012345678.12"),
        (Kind.DECIMAL, "REAL", "9007199254740993"),
        (Kind.DECIMAL, "TEXT", "NaN"),
        (Kind.INTEGER, "REAL", 5),
        (Kind.INTEGER, "TEXT", 5),
        (Kind.JSON, "JSON", "5.0"),
    ],
)
def test_known_losses_are_refused(kind: Kind, declared: str, value: Any) -> None:
    field = field_of(kind, declared)
    rows = pa.Table.from_arrays([pa.array([value, None], field.type.arrow)], names=["c"])
    refused: list[Rejected] = []
    assert holdable(view_of(field), rows, refused.append).to_pylist() == [{"c": None}]
    assert [r.column for r in refused] == ["c"]


@pytest.mark.parametrize(
    ("kind", "declared", "value"),
    [
        (Kind.TEXT, "NUMERIC", "12 Main Street"),
        (Kind.FLOAT, "NUMERIC", 5.0),
        (Kind.DECIMAL, "NUMERIC", "0.1"),
        (Kind.DECIMAL, "TEXT", "1" * 50),
        (Kind.INTEGER, "", 5),
        (Kind.JSON, "JSON", "5"),
        (Kind.BYTES, "TEXT", b"\xff"),
        (Kind.TIMESTAMP, "DATETIME", 0),
    ],
)
def test_ordinary_values_are_held(kind: Kind, declared: str, value: Any) -> None:
    field = field_of(kind, declared)
    rows = pa.Table.from_arrays([canonical_array(field.type, [value])], names=["c"])
    assert holdable(view_of(field), rows, lambda r: pytest.fail(r.reason)) is rows


def test_strict_tables_hold_only_their_own_type() -> None:
    field = field_of(Kind.UUID, "BLOB", strict=True)
    rows = pa.Table.from_arrays([pa.array(["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"])], names=["c"])
    assert len(holdable(view_of(field), rows, lambda _: None)) == 1
    field = field_of(Kind.BOOLEAN, "TEXT", strict=True)
    rows = pa.Table.from_arrays([pa.array([True])], names=["c"])
    refused: list[Rejected] = []
    holdable(
        view_of(field_of(Kind.FLOAT, "BLOB", strict=True)),
        pa.Table.from_arrays([pa.array([1.5])], names=["c"]),
        refused.append,
    )
    assert len(refused) == 1
    assert len(holdable(view_of(field), rows, lambda _: None)) == 1
