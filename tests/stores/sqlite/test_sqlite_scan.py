from __future__ import annotations

import itertools
import random
import sqlite3
import threading
import time
import uuid
from typing import Any

import psutil
import pytest

from crossfade.errors import SchemaChanged, StoreUnreachable
from crossfade.stores.base import KeyRange, View
from crossfade.stores.sqlite import SQLiteStore
from crossfade.stores.sqlite import reader as planning
from crossfade.stores.sqlite import scan as scanning
from crossfade.stores.sqlite.census import storage_classes
from crossfade.stores.sqlite.columnar import ColumnarReader, Readers
from crossfade.stores.sqlite.courtesy import Courtesy
from crossfade.stores.sqlite.forms import uniform_forms
from crossfade.stores.sqlite.lookup import physical_of
from crossfade.stores.sqlite.schema import physical
from crossfade.types import Kind, LogicalType, StoredAs

N = 30_000
"""Enough rows that the column-wise way takes over."""


def ranges(scene, view: View, rows: int) -> list[dict[str, Any]]:
    """The rows of all planned ranges, one after another."""
    found = []
    for over in scene.store.plan(view, rows):
        found += scene.rows(view, over)
    return found


def test_every_row_once_in_key_order(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT, x REAL, name TEXT, ok BOOLEAN, ts DATETIME)")
    rows = [
        (i * 3, i % 7 - 3, i / 7, f"näme {i}" if i % 5 else None, i % 2, f"2024-01-02 03:04:05.{i % 1000:03}")
        for i in random.Random(1).sample(range(N), N)
    ]
    made.app.execute("BEGIN")
    made.app.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", rows)
    made.app.execute("COMMIT")
    view = made.view("t")
    found = made.rows(view)
    assert [row["id"] for row in found] == list(range(0, 3 * N, 3))
    by_id = {row[0]: row for row in rows}
    for row in found[:: N // 50]:
        stored = by_id[row["id"]]
        assert (row["n"], row["x"], row["name"], row["ok"]) == (
            stored[1],
            stored[2],
            stored[3],
            bool(stored[4]),
        )
        assert str(row["ts"])[:23] in (stored[5], stored[5].removesuffix(".000"))
    assert ranges(made, view, 7_000) == found
    plan = made.store.plan(view, 7_000)
    assert (plan[0].after, plan[-1].upto, len(plan)) == (None, None, 5)


@pytest.mark.parametrize(
    ("numbers", "most"),
    [
        (range(N), 1_000),
        (range(-N, N), 1_000),
        ([*range(N // 2), *range(N, N + N // 2)], 2_000),  # a gap in the middle
        ([*range(10), *range(N, 2 * N)], 2_000),
        ([*range(2 * N // 3), *range(2 * N // 3, 3 * N, 100)], 1_000),  # half of the span has few
        (
            [*(k * 10**6 + n for k in range(32) for n in range(900)), 32 * 10**6],
            1_000,
        ),  # many at each place looked at
        (range(0, 3 * N, 3), 1_000),
        (range(0, 2**62, 2**62 // N), 1_000),
        ([*range(N // 2), 2**62], 1_000),
        ([-(2**63), 2**63 - 1], 1_000),
    ],
)
@pytest.mark.parametrize("declared", ["id INTEGER PRIMARY KEY", "id INT PRIMARY KEY NOT NULL"])
def test_ranges_of_numbers_hold_no_more_than_twice_what_was_asked(
    scene, declared: str, numbers: Any, most: int
) -> None:
    """However they lie; and there are never many more ranges than rows ask for."""
    made = scene(f"CREATE TABLE t ({declared}, v TEXT)")
    made.app.execute("BEGIN")
    made.app.executemany("INSERT INTO t VALUES (?, 'x')", [(number,) for number in numbers])
    made.app.execute("COMMIT")
    view = made.view("t")
    plan = made.store.plan(view, 1_000)
    keys = [[row["id"] for row in made.rows(view, over)] for over in plan]
    assert [key for over in keys for key in over] == list(numbers)
    assert max(map(len, keys)) <= most
    assert len(plan) <= 2 * (len(numbers) // 1_000 + 1)


def test_waiting_for_a_lock_is_not_told_as_holding_one(scene, monkeypatch) -> None:
    """The library's own busy handler sleeps up to 100 ms, and all of it would count."""
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    made.app.executemany("INSERT INTO t VALUES (?)", [(i,) for i in range(5_000)])
    view = made.view("t")
    real, tries = planning._even_boundaries, itertools.count(1)

    def locked(*given: Any) -> Any:
        made.app.execute("BEGIN EXCLUSIVE")
        return real(*given)

    def look_again(_seconds: float) -> None:
        if next(tries) == 50:
            made.app.execute("COMMIT")

    monkeypatch.setattr(planning, "_even_boundaries", locked)
    monkeypatch.setattr("crossfade.stores.sqlite.connection.time.sleep", look_again)
    assert len(made.store.plan(view, 1_000)) == 5
    assert next(tries) > 50


def test_text_among_the_numbers_of_a_key_is_planned_by_its_place(scene) -> None:
    made = scene("CREATE TABLE t (id INT PRIMARY KEY NOT NULL, v TEXT)")
    made.app.executemany("INSERT INTO t VALUES (?, 'x')", [(i,) for i in (*range(3_000), "a", "b")])
    view = made.view("t")
    rejected: list[Any] = []
    found = [
        row["id"] for over in made.store.plan(view, 1_000) for batch in made.store.scan(view, over, rejected.append)
        for row in batch.to_pylist()
    ]  # fmt: skip
    assert found == list(range(3_000))
    assert len(rejected) == 2


def test_the_column_wise_way_is_taken(scene, monkeypatch) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    made.app.executescript(f"BEGIN; {' '.join(f'INSERT INTO t VALUES ({i}, {i});' for i in range(N))} COMMIT")
    pages = []
    real = scanning.TableScan._decode_page

    def spy(self: Any, table: Any) -> Any:
        pages.append(len(table))
        return real(self, table)

    monkeypatch.setattr(scanning.TableScan, "_decode_page", spy)
    assert len(made.rows(made.view("t"))) == N
    assert sum(pages) > N / 2


def test_without_a_reading_process_the_rows_are_the_same(scene, monkeypatch) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    made.app.executescript(f"BEGIN; {' '.join(f'INSERT INTO t VALUES ({i}, {i});' for i in range(N))} COMMIT")
    monkeypatch.setattr("crossfade.stores.reading_process.sys.executable", "/nowhere/python")
    assert len(made.rows(made.view("t"))) == N


@pytest.mark.parametrize("poison", [2**53 + 1, 1.5, "text", b"blob", "9" * 30])
@pytest.mark.parametrize("declared", ["INT", "NUMERIC", "REAL", "TEXT", ""])
def test_a_mixed_column_is_exact_or_stops(scene, declared: str, poison: Any) -> None:
    """Whatever the column-wise driver makes of a mixed page, the answer is that of the exact way."""
    made = scene(f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {declared})")
    made.app.execute("BEGIN")
    made.app.executemany("INSERT INTO t VALUES (?, ?)", [(i, i) for i in range(6_000)])
    made.app.execute("UPDATE t SET v = ? WHERE id = 5500", (poison,))
    made.app.execute("UPDATE t SET v = 0.1 WHERE id = 5501")
    made.app.execute("COMMIT")
    stored = dict(made.all("SELECT id, v FROM t WHERE id IN (5500, 5501)"))
    for kind, exact in ((Kind.INTEGER, int), (Kind.FLOAT, float), (Kind.TEXT, str), (Kind.BYTES, bytes)):
        rows, rejected = made.scan(made.view("t", types={"v": kind}))
        assert len(rows) + len(rejected) == 6_000
        found = {row["id"]: row["v"] for row in rows}
        for key, value in stored.items():
            fits = type(value) is exact or (exact is float and type(value) is int and float(value) == value)
            assert (key in found) == fits
            if fits:
                assert found[key] == exact(value)


@pytest.mark.parametrize("declared", ["NUMERIC", "REAL"])
def test_reals_among_text_are_not_taken_for_text(scene, declared: str) -> None:
    """The column-wise driver prints them as 1.000000e-01."""
    made = scene(f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {declared})")
    made.app.execute("BEGIN")
    made.app.executemany("INSERT INTO t VALUES (?, 'word')", [(i,) for i in range(6_000)])
    made.app.execute("UPDATE t SET v = 0.1 WHERE id = 5500")
    made.app.execute("COMMIT")
    rows, (bad,) = made.scan(made.view("t", types={"v": Kind.TEXT}))
    assert (len(rows), bad.key, bad.value) == (5_999, (5500,), "0.1")


def test_prisma_dates_mixed_in_one_column(scene) -> None:
    """Integer milliseconds, ISO text and CURRENT_TIMESTAMP text side by side (prisma/orm#27786)."""
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, at DATETIME)")
    kinds = [1_700_000_000_123, "2024-05-06T07:08:09.123Z", "2024-05-06 07:08:09"]
    made.app.execute("BEGIN")
    made.app.executemany("INSERT INTO t VALUES (?, ?)", [(i, kinds[i % 3]) for i in range(N)])
    made.app.execute("COMMIT")
    rules = (StoredAs.ISO, StoredAs.EPOCH_MS)
    view = made.view("t", types={"at": Kind.INSTANT}, stored={"at": rules})
    expected = [
        "2023-11-14 22:13:20.123000+00:00",
        "2024-05-06 07:08:09.123000+00:00",
        "2024-05-06 07:08:09+00:00",
    ]
    assert {(row["id"] % 3, str(row["at"])) for row in made.rows(view)} == set(enumerate(expected))
    rows, rejected = made.scan(made.view("t", types={"at": Kind.INSTANT}))
    assert (len(rows), len(rejected)) == (2 * N // 3, N // 3)
    assert "stored_as: [iso, epoch_ms]" in rejected[0].todo


def test_a_reject_names_table_key_column_value(scene) -> None:
    made = scene(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 5), (7, 'five'), (8, 6)"
    )
    rows, (bad,) = made.scan(made.view("t"))
    assert [row["id"] for row in rows] == [1, 8]
    assert (bad.table, bad.key, bad.column, bad.value, bad.row) == (
        "t",
        (7,),
        "n",
        "'five'",
        {"id": 7, "n": "five"},
    )


def test_invalid_utf8_is_rejected_and_nul_is_kept(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    made.app.execute("BEGIN")
    made.app.executemany("INSERT INTO t VALUES (?, 'a' || char(0) || 'b')", [(i,) for i in range(N)])
    made.app.execute("UPDATE t SET v = CAST(x'61ff' AS TEXT) WHERE id = 20000")
    made.app.execute("COMMIT")
    rows, (bad,) = made.scan(made.view("t"))
    assert {row["v"] for row in rows} == {"a\0b"}
    assert (bad.key, "UTF-8" in bad.reason) == ((20000,), True)


def test_text_keys_follow_their_bytes(scene) -> None:
    made = scene("CREATE TABLE t (k TEXT PRIMARY KEY, v INT) WITHOUT ROWID")
    keys = ["", "a", "B", "ä", "z", "a\0b", "\U0001f600", "Ω", *(f"k{i}" for i in range(N))]
    made.app.execute("BEGIN")
    made.app.executemany("INSERT INTO t VALUES (?, 1)", [(k,) for k in keys])
    made.app.execute("COMMIT")
    view = made.view("t")
    assert [row["k"] for row in made.rows(view)] == sorted(keys, key=str.encode)
    assert [row["k"] for row in ranges(made, view, 4_000)] == sorted(keys, key=str.encode)
    assert made.rows(view, KeyRange(("a",), ("a\0b",))) == [{"k": "a\0b", "v": 1}]


def test_a_nocase_key_still_follows_its_bytes(scene) -> None:
    made = scene("CREATE TABLE t (k TEXT PRIMARY KEY COLLATE NOCASE, v INT)")
    made.app.executemany("INSERT INTO t VALUES (?, 1)", [("b",), ("A",), ("c",), ("B2",)])
    view = made.view("t")
    assert [row["k"] for row in made.rows(view)] == ["A", "B2", "b", "c"]
    assert [row["k"] for row in made.rows(view, KeyRange(("B2",), ("b",)))] == ["b"]
    assert [row["k"] for row in ranges(made, view, 1)] == ["A", "B2", "b", "c"]


def test_composite_keys(scene) -> None:
    made = scene("CREATE TABLE t (b TEXT, a INT, v INT, PRIMARY KEY (a, b))")
    made.app.execute("BEGIN")
    pairs = [(a, f"x{b}") for a in range(100) for b in range(120)]
    made.app.executemany("INSERT INTO t VALUES (?, ?, 0)", [(b, a) for a, b in pairs])
    made.app.execute("COMMIT")
    view = made.view("t")
    assert view.key == ("a", "b")
    found = [(row["a"], row["b"]) for row in ranges(made, view, 777)]
    assert found == sorted(pairs)


def test_uuid_keys_in_several_forms_are_in_canonical_order(scene) -> None:
    made = scene("CREATE TABLE t (k BLOB PRIMARY KEY, v INT)")
    ids = sorted(uuid.UUID(int=n * 7919 << 90) for n in range(1, 50))
    forms = [ids[0].bytes, str(ids[1]), ids[2].hex, str(ids[3]).upper(), *(i.bytes for i in ids[4:])]
    made.app.executemany("INSERT INTO t VALUES (?, 1)", [(f,) for f in reversed(forms)])
    view = made.view("t", types={"k": Kind.UUID})
    assert [row["k"] for row in made.rows(view)] == [str(i) for i in ids]
    assert [row["k"] for row in ranges(made, view, 9)] == [str(i) for i in ids]


def test_a_key_in_a_form_that_cannot_be_looked_up_is_rejected(scene) -> None:
    made = scene("CREATE TABLE t (k TEXT PRIMARY KEY, v INT)")
    made.app.execute("INSERT INTO t VALUES ('A0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 1)")
    rows, (bad,) = made.scan(made.view("t", types={"k": Kind.UUID}))
    assert rows == []
    assert "cannot be looked up" in bad.reason


def test_decimal_keys_are_in_numeric_order(scene) -> None:
    made = scene("CREATE TABLE t (k DECIMAL(10, 2) PRIMARY KEY)")
    made.app.executemany("INSERT INTO t VALUES (?)", [(10,), (9.5,), (-3,), (100.25,)])
    assert [row["k"] for row in made.rows(made.view("t"))] == ["-3", "9.5", "10", "100.25"]


def test_null_keys_are_rejected_once(scene) -> None:
    made = scene(
        "CREATE TABLE t (k TEXT PRIMARY KEY, v INT); INSERT INTO t VALUES (NULL, 1), (NULL, 2), ('a', 3)"
    )
    view = made.view("t")
    rows, rejected = made.scan(view)
    assert rows == [{"k": "a", "v": 3}]
    assert sorted(bad.row["v"] for bad in rejected) == [1, 2]
    assert made.scan(view, KeyRange(("",), None)) == ([{"k": "a", "v": 3}], [])


def test_a_table_without_a_key_goes_by_its_rowid(scene) -> None:
    made = scene("CREATE TABLE t (rowid TEXT, v INT)")
    made.app.execute("BEGIN")
    made.app.executemany("INSERT INTO t VALUES ('x', ?)", [(i,) for i in range(N)])
    made.app.execute("COMMIT")
    view = made.view("t")
    assert made.store.plan(view, 10) == [KeyRange()]
    assert [row["v"] for row in made.rows(view)] == list(range(N))


def test_a_table_whose_rowid_is_hidden_is_read_whole(scene) -> None:
    made = scene(
        "CREATE TABLE t (rowid, oid, _rowid_ TEXT); INSERT INTO t VALUES ('a', 'b', 'c'), ('d', 'e', 'f')"
    )
    assert [row["_rowid_"] for row in made.rows(made.view("t"))] == ["c", "f"]


def test_an_empty_table(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
    view = made.view("t", types={"v": Kind.TEXT})
    assert made.store.plan(view, 10) == [KeyRange()]
    assert made.rows(view) == []


def test_odd_names(scene) -> None:
    long = "x" * 100
    made = scene(
        f'CREATE TABLE [select "it"] ([order] INTEGER PRIMARY KEY, [{long}] TEXT, [a\'b] INT, '
        "g INT GENERATED ALWAYS AS ([a'b] + 1) STORED);"
        f"INSERT INTO [select \"it\"] ([order], [{long}], [a'b]) VALUES (1, 'v', 2)"
    )
    view = made.view('select "it"')
    assert made.rows(view) == [{"order": 1, long: "v", "a'b": 2}]


def test_a_sudden_run_of_large_rows_is_read_in_small_pages(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, b BLOB)")
    made.app.execute("BEGIN")
    made.app.executemany("INSERT INTO t VALUES (?, 'small', NULL)", [(i,) for i in range(20_000)])
    made.app.executemany(
        "INSERT INTO t VALUES (?, ?, NULL)", [(i, "y" * 2**20) for i in range(20_000, 20_030)]
    )
    made.app.executemany(
        "INSERT INTO t VALUES (?, '', zeroblob(1048576))", [(i,) for i in range(20_030, 20_060)]
    )
    made.app.execute("COMMIT")
    view = made.view("t")
    sizes = [batch.nbytes for batch in made.store.scan(view, KeyRange(), lambda bad: pytest.fail(bad.reason))]
    assert max(sizes) < 10 * 2**20
    assert len(made.rows(view)) == 20_060


def test_a_row_that_is_too_large_ends_a_page_and_not_the_reading_process(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, b BLOB)")
    made.app.executemany("INSERT INTO t VALUES (?, 'small', NULL)", [(i,) for i in range(100)])
    made.app.execute("UPDATE t SET v = ?, b = zeroblob(?) WHERE id = 50", ("y" * 2**15, 2**15 + 1))
    made.app.execute("UPDATE t SET v = ?, b = zeroblob(?) WHERE id = 51", ("y" * 2**15, 2**15))
    view = made.view("t")
    with made.store._db.reading() as con:
        shape = physical_of(con, view, made.store._db.where)
    scan = scanning.TableScan(made.store._db, Readers(made.store._db), view, shape, lambda bad: None)
    reader = ColumnarReader(made.store._db)
    reader.settle()
    found = []
    for after, upto in (((None), (49,)), ((49,), (50,)), ((10,), None), ((50,), None)):
        scan._ask(reader, after, upto)
        table = reader.answer().table
        found.append(None if table is None else len(table))
    reader.close()
    assert found == [50, None, None, 49]


def test_a_scan_that_is_given_up_leaves_the_store_usable(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    made.app.executescript(f"BEGIN; {' '.join(f'INSERT INTO t VALUES ({i}, {i});' for i in range(N))} COMMIT")
    view = made.view("t")
    for _ in range(3):
        batches = made.store.scan(view, KeyRange(), lambda bad: None)
        for _ in range(3):
            next(batches, None)
        batches.close()  # type: ignore[attr-defined]
    assert len(made.rows(view)) == N


def test_a_missing_table_and_a_missing_file(scene, tmp_path) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    view = made.view("t")
    made.app.execute("DROP TABLE t")
    with pytest.raises(SchemaChanged, match="gone"):
        list(made.store.scan(view, KeyRange(), lambda bad: None))
    with pytest.raises(StoreUnreachable, match="does not exist"):
        SQLiteStore(tmp_path / "none.db").inspect()
    assert not (tmp_path / "none.db").exists()


def test_writers_and_readers_of_a_legacy_application_meet_no_lock_error(scene) -> None:
    """Rollback-journal mode, a busy timeout of one second, a scan running all the time."""
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, n INT)")
    made.app.execute("BEGIN")
    made.app.executemany("INSERT INTO t VALUES (?, ?, 0)", [(i, f"value {i}" * 3) for i in range(150_000)])
    made.app.execute("COMMIT")
    view = made.view("t")
    made.lead(view)
    stop, errors, writes, slowest = threading.Event(), [], [0], [0.0]

    def work(write: bool) -> None:
        con = made.connect(timeout=1.0)
        try:
            while not stop.is_set():
                began = time.monotonic()
                if write:
                    con.execute("UPDATE t SET n = n + 1 WHERE id = ?", (writes[0] % 150_000,))
                    writes[0] += 1
                    slowest[0] = max(slowest[0], time.monotonic() - began)
                    stop.wait(0.001)
                else:
                    con.execute("SELECT n FROM t WHERE id = 77").fetchone()
                    stop.wait(0.001)
        except sqlite3.Error as error:
            errors.append(error)
        finally:
            con.close()

    threads = [threading.Thread(target=work, args=(write,)) for write in (True, False)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            assert len(made.rows(view)) == 150_000
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []
    assert writes[0] > 20
    assert slowest[0] < 0.9


def test_types_of_bounds(scene) -> None:
    """Ranges of every kind that has an order of its own in SQLite."""
    made = scene(
        """CREATE TABLE f (k REAL PRIMARY KEY); INSERT INTO f VALUES (1.5), (-2), (1e300);
           CREATE TABLE d (k DATE PRIMARY KEY); INSERT INTO d VALUES ('2024-01-02'), ('1999-12-31'), ('2024-01-10');
           CREATE TABLE b (k BLOB PRIMARY KEY); INSERT INTO b VALUES (x'ff'), (x''), (x'00ff');
           CREATE TABLE s (k DATETIME PRIMARY KEY);
           INSERT INTO s VALUES ('2024-01-02 00:00:00.5'), ('2024-01-02T00:00:00'), ('2024-01-02 00:00:01')"""
    )
    for name in "fdbs":
        view = made.view(name, types={"k": LogicalType(Kind.FLOAT)} if name == "f" else None)
        rows = made.rows(view)
        assert [row["k"] for row in rows] == sorted(row["k"] for row in rows)
        assert len(rows) == 3
        assert ranges(made, view, 1) == rows


def test_a_reading_process_that_dies_costs_no_row(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    made.app.executescript(f"BEGIN; {' '.join(f'INSERT INTO t VALUES ({i}, {i});' for i in range(N))} COMMIT")
    view = made.view("t")
    found: list[int] = []
    batches = made.store.scan(view, KeyRange(), lambda bad: pytest.fail(bad.reason))
    for number, batch in enumerate(batches):
        found += batch.column("id").to_pylist()
        if number == 2:  # a page of the reading process; it is reading the next one
            (child,) = [
                process
                for process in psutil.Process().children()
                if any("columnar_process" in part for part in process.cmdline())
            ]
            child.kill()
    assert found == list(range(N))
    assert len(made.rows(view)) == N


def test_a_plans_list_of_keys_serves_its_ranges_only(scene) -> None:
    made = scene("CREATE TABLE t (k TEXT PRIMARY KEY COLLATE NOCASE, v INT)")
    made.app.executemany("INSERT INTO t VALUES (?, 1)", [("b",), ("A",), ("c",)])
    view = made.view("t")
    assert len(ranges(made, view, 1)) == 3
    made.app.execute("INSERT INTO t VALUES ('d', 1)")
    assert len(made.rows(view)) == 4


@pytest.mark.parametrize(
    ("declared", "write"),
    [
        ("CHAR(36)", str),
        ("CHAR(32)", lambda u: u.hex),
        ("UUID", lambda u: str(u).upper()),
        ("TEXT", lambda u: u.hex.upper()),
        ("BLOB", lambda u: u.bytes),
        ("BINARY(16)", lambda u: u.bytes),
    ],
)
@pytest.mark.parametrize("odd", [False, True])
def test_uuid_keys_in_one_form_are_read_in_their_own_order(
    scene, declared: str, write: Any, odd: bool
) -> None:
    made = scene(f"CREATE TABLE t (a INT, k {declared}, PRIMARY KEY (a, k))")
    dice = random.Random(3)
    ids = [uuid.UUID(int=dice.getrandbits(128)) for _ in range(12_000)]
    made.app.execute("BEGIN")
    made.app.executemany("INSERT INTO t VALUES (7, ?)", [(write(u),) for u in ids])
    if odd:  # one key in another form: the order is that of a list
        other = ids[100].bytes if isinstance(write(ids[0]), str) else str(ids[100])
        made.app.execute("UPDATE t SET k = ? WHERE k = ?", (other, write(ids[100])))
    made.app.execute("COMMIT")
    view = made.view("t", types={"k": Kind.UUID})
    with made.store._db.reading() as con:
        shape = physical(con, "t", ("a", "k"))
        assert bool(uniform_forms(con, view, shape, Courtesy(made.store._db, con))) is not odd
    expected = [str(u) for u in sorted(ids)]
    assert [row["k"] for row in made.rows(view)] == expected
    assert [row["k"] for row in ranges(made, view, 5_000)] == expected


def test_a_mixed_case_uuid_written_after_the_plan_is_not_passed_on(scene) -> None:
    """A look-up by the canonical key would miss it, so a later change of the row would be lost."""
    made = scene("CREATE TABLE t (k TEXT PRIMARY KEY)")
    made.app.execute("BEGIN")
    made.app.executemany("INSERT INTO t VALUES (?)", [(str(uuid.UUID(int=n << 100)),) for n in range(12_000)])
    made.app.execute("COMMIT")
    view = made.view("t", types={"k": Kind.UUID})
    (over, *_) = made.store.plan(view, 11_999)
    made.app.execute("INSERT INTO t VALUES ('00020000-0000-0000-0000-00000000aB00')")
    rows, (bad,) = made.scan(view, over)
    assert (len(rows), bad.key) == (11_999, ("00020000-0000-0000-0000-00000000aB00",))


def test_an_application_goes_on_writing_while_every_value_is_looked_at(scene) -> None:
    """Rollback-journal mode: the census and the look at the forms of keys are cut into pages that give way."""
    made = scene("CREATE TABLE t (k TEXT PRIMARY KEY, v TEXT, n INT)")
    ids = [str(uuid.UUID(int=i * 7919)) for i in range(150_000)]
    made.app.execute("BEGIN")
    made.app.executemany("INSERT INTO t VALUES (?, 'value', 0)", [(k,) for k in ids])
    made.app.execute("COMMIT")
    view = made.view("t", types={"k": Kind.UUID})
    stop, errors, slowest, writes = threading.Event(), [], [0.0], [0]

    def write() -> None:
        con = made.connect(timeout=1.0)
        try:
            while not stop.is_set():
                began = time.monotonic()
                con.execute("UPDATE t SET n = n + 1 WHERE k = ?", (ids[writes[0] % 100],))
                writes[0] += 1
                slowest[0] = max(slowest[0], time.monotonic() - began)
                stop.wait(0.005)
        except sqlite3.Error as error:
            errors.append(error)
        finally:
            con.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        before = made.store.longest_lock()
        classes = storage_classes(made.store._db, view)
        with made.store._db.reading() as con:
            shape = physical(con, "t", ("k",))
            assert uniform_forms(con, view, shape, Courtesy(made.store._db, con))
    finally:
        stop.set()
        thread.join()
    assert classes["k"]["text"] == 150_000
    assert errors == []
    assert writes[0] > 20
    assert slowest[0] < 0.9
    assert before <= made.store.longest_lock() < 0.3
