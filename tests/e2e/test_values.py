"""Awkward values: each arrives exactly, or stops the move with its place; none is altered in silence."""

from __future__ import annotations

import json
import math
import sqlite3
import struct
from pathlib import Path
from typing import Any

import psycopg
import pytest

from crossfade.errors import CrossfadeError, Different, Refused, Unrepresentable
from crossfade.move import Move
from crossfade.stores.base import Side

LONG = "l" * 100


class Values:
    """A move with one database of awkward values on the old side."""

    def __init__(self, folder: Path, new_url: str) -> None:
        self.folder = folder
        self.new_url = new_url
        self.file = folder / "old.db"

    def old(self, sql: str, *rows: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        db = sqlite3.connect(self.file)
        try:
            if rows:
                db.executemany(sql, rows)
                found = []
            else:
                found = db.execute(sql).fetchall()
            db.commit()
        finally:
            db.close()
        return found

    def raw(self, *statements: bytes) -> None:
        """Statements whose text is not UTF-8."""
        db = sqlite3.connect(self.file)
        for statement in statements:
            db.execute("INSERT INTO t(id, x) VALUES (1, CAST(? AS TEXT))", (statement,))
        db.commit()
        db.close()

    def new(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.new_url) as connection:
            done = connection.execute(sql, values or None)
            return done.fetchall() if done.description else []

    def move(self, rules: str = "", **settings: str) -> Move:
        spec = self.folder / "crossfade.yaml"
        more = "".join(f"{name}: {value}\n" for name, value in settings.items())
        spec.write_text(
            f"move: values\nold: {{store: 'sqlite:///{self.file}'}}\nnew: {{store: '{self.new_url}'}}\n"
            f"tables: {{rules: {{t: {{columns: {{{rules}}}}}}}}}\n{more}"
        )
        return Move.open(spec)


@pytest.fixture
def values(tmp_path: Path, postgres_url: str) -> Values:
    return Values(tmp_path, postgres_url)


def test_everything_that_both_sides_can_hold_arrives_exactly(values: Values) -> None:
    values.old(
        f"""CREATE TABLE t (
            id INTEGER PRIMARY KEY, "select" TEXT, "{LONG}" TEXT, "UPPER lower" TEXT, i INTEGER, r REAL,
            ok BOOLEAN, b BLOB, d DATE, ts DATETIME, n DECIMAL(20, 4), e TEXT DEFAULT '')"""
    )
    rows = [
        (1, "", None, "ünï", 2**63 - 1, math.inf, 1, b"\x00\xff", "2024-02-29", "2024-02-29 23:59:59.999999", "0.10", ""),
        (2, "é\u0301 😀 \u202e", "x", "a\tb\nc\\d\"e'f", -(2**63), -math.inf, "t", b"", "0001-01-01", "1970-01-01T00:00:00", 7, None),
        (3, "m" * 1_000_000, " trailing ", "NULL", 2**53 + 1, 2.0**53, "f", b"\\x00", "9999-12-31", "9999-12-31 00:00", 0.1, "\\N"),
        (4, "\\.", "\\N", "", 0, 5e-324, 0, None, None, "2038-01-19 03:14:08", -1, " "),
        (5, "{}", "[]", '"', -1, 1.7976931348623157e308, None, bytes(range(256)), "1900-02-28", "2024-06-30 12:00:00.1", 12345678.25, "x"),
    ]  # fmt: skip
    values.old(f"INSERT INTO t VALUES ({', '.join('?' * 12)})", *rows)
    with values.move() as move:
        assert move.copy().total == 5
        assert move.verify().cells == 60
        found = {row[0]: row for row in values.new("SELECT * FROM t ORDER BY id")}
        for one, other in zip(rows, (found[n] for n in range(1, 6)), strict=True):
            assert other[1:6] == (*one[1:4], one[4], one[5]), one[0]
            assert other[7] == one[7]
            assert other[11] == one[11]
        assert [found[n][6] for n in range(1, 6)] == [True, True, False, False, None]
        assert str(found[1][9]) == "2024-02-29 23:59:59.999999"
        before = values.old("SELECT * FROM t")
        move.cutover()
        values.new("UPDATE t SET e = 'touched'")
        with move.following() as (_, passes, _standing):
            assert passes.run().keys == 5
        move.verify()
        after = values.old("SELECT * FROM t")
        assert [row[:-1] for row in after] == [row[:-1] for row in before], (
            "only the cell that differs is written"
        )
        assert {row[-1] for row in after} == {"touched"}


@pytest.mark.parametrize(
    ("declared", "stored", "says"),
    [
        ("INTEGER", "text", "text"),
        ("INTEGER", 1.5, "1.5"),
        ("TEXT", b"blob", "b'blob'"),
        ("TEXT", "a\0b", "NUL"),
        ("REAL", "many", "many"),
        ("BOOLEAN", 2, "2"),
        ("BOOLEAN", "yes", "yes"),
        ("DATETIME", 1_700_000_000_123, "ambiguous"),
        ("DATETIME", "yesterday", "yesterday"),
        ("DATETIME", "2024-02-30 00:00:00", "2024-02-30"),
        ("DATE", 19000, "19000"),
    ],
)
def test_a_value_that_does_not_fit_stops_with_its_place(
    values: Values, declared: str, stored: Any, says: str
) -> None:
    values.old(f"CREATE TABLE t (id INTEGER PRIMARY KEY, x {declared})")
    values.old("INSERT INTO t VALUES (?, ?)", (1, None), (77, stored), (78, None))
    with values.move() as move:
        assert any(f.level == "error" and "t" in f.where for f in move.check()), "check says it first"
        with pytest.raises(Unrepresentable) as caught:
            move.copy()
    error = caught.value
    assert (error.table, error.key, error.column) == ("t", 77, "x")
    assert says in str(error)
    assert error.todo
    assert values.new("SELECT count(*) FROM t WHERE id = 77") == [(0,)]


def test_invalid_utf8_stops_with_its_place(values: Values) -> None:
    values.old("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")
    values.raw(b"bad \xff\xfe")
    with values.move() as move, pytest.raises(Unrepresentable, match="UTF-8"):
        move.copy()


def test_mixed_dates_are_read_by_the_rule_and_written_back_by_it(values: Values) -> None:
    values.old("CREATE TABLE t (id INTEGER PRIMARY KEY, x DATETIME)")
    values.old(
        "INSERT INTO t VALUES (?, ?)", (1, "2023-11-14 22:13:20.123"), (2, 1_700_000_000_123), (3, None)
    )
    with values.move("x: {stored_as: [epoch_ms, iso]}") as move:
        move.copy()
        move.verify()
        (one,), (two,), (three,) = values.new("SELECT x FROM t ORDER BY id")
        assert one == two
        assert three is None
        move.cutover()
        values.new("UPDATE t SET x = x + interval '1 ms' WHERE id = 1")
        values.new("INSERT INTO t VALUES (4, '2023-11-14 22:13:20.5')")
        with move.following() as (_, passes, _standing):
            passes.run()
        move.verify()
    assert values.old("SELECT id, x FROM t ORDER BY id") == [
        (1, 1_700_000_000_124),
        (2, 1_700_000_000_123),
        (3, None),
        (4, 1_700_000_000_500),
    ]


def test_an_integer_that_no_single_unit_explains_stops(values: Values) -> None:
    values.old("CREATE TABLE t (id INTEGER PRIMARY KEY, x DATETIME)")
    values.old("INSERT INTO t VALUES (?, ?)", (1, 1_700_000_000), (2, 1_700_000_000_000), (3, 12_345))
    with values.move("x: {stored_as: [epoch_s, epoch_ms]}") as move:
        with pytest.raises(Unrepresentable, match="ambiguous") as caught:
            move.copy()
        assert caught.value.key == 3


@pytest.mark.parametrize("sql", ["'NaN'::float8", "'-0'::float8"])
def test_what_sqlite_cannot_hold_is_caught_in_the_reverse_pass(values: Values, sql: str) -> None:
    values.old("CREATE TABLE t (id INTEGER PRIMARY KEY, x REAL)")
    values.old("INSERT INTO t VALUES (?, ?)", (1, 1.5), (2, 2.5))
    with values.move() as move:
        move.copy()
        move.verify()
        move.cutover()
        values.new(f"UPDATE t SET x = {sql} WHERE id = 1")
        with move.following() as (_, passes, _standing):
            with pytest.raises(Unrepresentable) as caught:
                passes.run()
            assert (caught.value.table, caught.value.key, caught.value.column) == ("t", 1, "x")
            assert values.old("SELECT x FROM t WHERE id = 1") == [(1.5,)], "never stored as something else"
        with pytest.raises(CrossfadeError):
            move.rollback()
        assert move.standing().leader is Side.NEW
        values.new("UPDATE t SET x = 3.5 WHERE id = 1")
        move.rollback()
    assert values.old("SELECT x FROM t WHERE id = 1") == [(3.5,)]


def test_rejected_rows_go_to_a_file_are_counted_and_stay_out(values: Values) -> None:
    values.old("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")
    values.old("INSERT INTO t VALUES (?, ?)", *((n, f"x{n}") for n in range(100)))
    values.old("UPDATE t SET x = 'nul' || char(0) || 'here' WHERE id IN (5, 50)")
    with values.move(on_unrepresentable="reject") as move:
        copied = move.copy()
        assert (copied.total, copied.rejected) == (98, 2)
        assert move.verify().rows == 98
        values.old("UPDATE t SET x = 'a' || char(0) WHERE id = 6")
        values.old("UPDATE t SET x = 'mended' WHERE id = 5")
        with move.following() as (_, passes, _standing):
            passes.run()
        assert move.verify().rows == 98
    lines = [
        json.loads(line) for line in (values.folder / ".crossfade" / "rejects.jsonl").read_text().splitlines()
    ]
    assert {line["key"][0] for line in lines} == {5, 6, 50}
    assert all(line["table"] == "t" and line["column"] == "x" for line in lines)
    assert values.new("SELECT id FROM t WHERE id IN (5, 6, 50) ORDER BY id") == [(5,)]


def test_a_difference_made_behind_the_fence_is_found(values: Values) -> None:
    values.old("CREATE TABLE t (id INTEGER PRIMARY KEY, x REAL)")
    values.old("INSERT INTO t VALUES (?, ?)", *((n, n / 7) for n in range(500)))
    with values.move() as move:
        move.copy()
        with psycopg.connect(values.new_url) as new:
            new.execute("ALTER TABLE t DISABLE TRIGGER ALL")
            new.execute("UPDATE t SET x = x + 1e-13 WHERE id = 499")
        with pytest.raises(Refused, match="was changed while it followed"):
            move.verify()
        with pytest.raises(Different, match="key 499 column x"):
            move.verify()
        with pytest.raises(CrossfadeError, match="never compared"):
            move.cutover()


def bits(value: float) -> bytes:
    return struct.pack(">d", value)


@pytest.mark.parametrize("value", [0.1 + 0.2, 1e16, 123456789.123456789, 2.5e-308])
def test_floats_keep_their_bits(values: Values, value: float) -> None:
    values.old("CREATE TABLE t (id INTEGER PRIMARY KEY, x REAL)")
    values.old("INSERT INTO t VALUES (?, ?)", (1, value))
    with values.move() as move:
        move.copy()
    assert bits(values.new("SELECT x FROM t")[0][0]) == bits(value)
