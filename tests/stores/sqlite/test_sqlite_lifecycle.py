"""Loading a target, sequences, rehearsals, preflight, census, backups."""

from __future__ import annotations

import sqlite3
import threading

import pyarrow as pa
import pytest

from crossfade.errors import BackupError, LeaseLost, StoreError
from crossfade.stores.base import Chunk, KeyRange, Rejected, Role, Side, Token
from crossfade.types import Kind, StoredAs
from tests.stores.sqlite.sqlite_scene import LEASE, MOVE, TOKEN, Scene


def levels(findings, check: str) -> list[str]:
    return [f.level for f in findings if f.check == check]


# --- load -------------------------------------------------------------------

SOURCE = """
CREATE TABLE author (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, born DATE);
CREATE TABLE book (isbn TEXT PRIMARY KEY, author INT REFERENCES author ON DELETE CASCADE, price DECIMAL(8,2),
                   CHECK (price > 0));
CREATE INDEX by_author ON book (author);
INSERT INTO author VALUES (3, 'Ann', '1950-01-02'), (7, 'Bob', NULL);
INSERT INTO book VALUES ('x1', 3, 9.5), ('x2', 7, 12);
"""


def load_all(source: Scene, target: Scene, names: dict[int, str]) -> list:
    views = {number: source.view(name, number) for number, name in names.items()}
    target.app.close()
    findings = target.store.create_tables(list(views.values()), {n: v.table for n, v in views.items()})
    target.app = target.connect()
    own = [target.view(name, number) for number, name in names.items()]
    target.store.install(MOVE, Side.NEW, Role.FOLLOWER, own, peer=None)
    target.store.take_lease(MOVE, LEASE, over=None)
    target.store.prepare_load(own)
    target.store.prepare_load(own)
    # armed again while the unique indexes are set aside
    target.store.install(MOVE, Side.NEW, Role.FOLLOWER, own, peer=None)
    for number, view in views.items():
        into = next(v for v in own if v.id == number)
        batches = list(source.store.scan(view, KeyRange(), lambda bad: pytest.fail(bad.reason)))
        for _ in range(2):  # a chunk that is recorded already is left alone
            target.store.load(into, batches, lambda rows, n=number: Chunk(n, 1, rows), TOKEN)
    return findings + target.store.finish_load(own) + target.store.finish_load(own)


def test_a_database_is_loaded(scene) -> None:
    source, target = scene(SOURCE, name="source.db"), scene(name="target.db")
    findings = load_all(source, target, {1: "author", 2: "book"})
    assert [f.what for f in findings] == ["the check price > 0 is not translated"]
    assert target.store.chunks(MOVE) == [Chunk(1, 1, 2), Chunk(2, 1, 2)]
    for number, name in ((1, "author"), (2, "book")):
        view = target.view(name, number)
        assert target.rows(view) == source.rows(source.view(name, number))
    tables = target.store.inspect().tables
    assert tables["author"].note == "AUTOINCREMENT"
    assert [i.columns for i in tables["author"].indexes if i.unique] == [("name",)]
    assert [i.columns for i in tables["book"].indexes] == [("author",)]
    key = tables["book"].foreign_keys[0]
    assert (key.parent, key.on_delete, key.deferrable) == ("author", "CASCADE", True)
    assert target.all("PRAGMA foreign_key_check") == []


def test_a_target_captures_through_its_unique_indexes_after_the_load(scene) -> None:
    source, target = scene(SOURCE, name="source.db"), scene(name="target.db")
    load_all(source, target, {1: "author", 2: "book"})
    target.store.begin_attempt(MOVE, 0, 1)
    target.store.lead(MOVE, 0, 1)
    view = target.view("author")
    target.app.execute("INSERT OR REPLACE INTO author (id, name) VALUES (9, 'Ann')")
    assert target.changed(view) == {(3,), (9,)}


def test_restart_load_forgets(scene) -> None:
    source, target = scene(SOURCE, name="source.db"), scene(name="target.db")
    load_all(source, target, {1: "author", 2: "book"})
    with pytest.raises(LeaseLost):
        target.store.restart_load(target.view("book", 2), Token(MOVE, 0, "other"))
    target.store.restart_load(target.view("book", 2), TOKEN)
    assert target.store.chunks(MOVE) == [Chunk(1, 1, 2)]
    assert target.store.count("book") == 0


def test_a_failed_chunk_leaves_nothing(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    view = made.view("t")
    made.follow(view)

    def batches():
        yield pa.RecordBatch.from_pylist([{"id": 1}], schema=view.schema)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        made.store.load(view, batches(), lambda rows: Chunk(1, 1, rows), TOKEN)
    assert (made.store.count("t"), made.store.chunks(MOVE)) == (0, [])


def test_an_index_that_cannot_come_back_is_told(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT); CREATE UNIQUE INDEX uu ON t (u)")
    view = made.view("t")
    made.follow(view)
    made.store.prepare_load([view])
    twice = pa.RecordBatch.from_pylist([{"id": 1, "u": "x"}, {"id": 2, "u": "x"}], schema=view.schema)
    made.store.load(view, [twice], lambda rows: Chunk(1, 1, rows), TOKEN)
    (finding,) = made.store.finish_load([view])
    assert (finding.level, "uu" in finding.what) == ("error", True)
    with made.store.applying(TOKEN, "1") as applying:
        applying.apply([])
    made.app.executescript("UPDATE crossfade_state SET fenced = 0; DELETE FROM t WHERE id = 2")
    assert made.store.finish_load([view]) == []


def test_orphans_are_counted(scene) -> None:
    made = scene(
        "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (id INTEGER PRIMARY KEY, p INT REFERENCES p)"
    )
    made.app.executescript("PRAGMA foreign_keys=OFF; INSERT INTO c VALUES (1, 5), (2, 6)")
    (finding,) = made.store.finish_load([made.view("c")])
    assert (finding.check, finding.what[:2]) == ("sqlite.orphans", "2 ")


# --- sequences --------------------------------------------------------------


def test_sequences(scene) -> None:
    made = scene(
        """CREATE TABLE auto (id INTEGER PRIMARY KEY AUTOINCREMENT, v); INSERT INTO auto VALUES (50, 1), (3, 1);
           DELETE FROM auto WHERE id = 50;
           CREATE TABLE plain (id INTEGER PRIMARY KEY, v); INSERT INTO plain VALUES (8, 1);
           CREATE TABLE fresh (id INTEGER PRIMARY KEY AUTOINCREMENT, v); CREATE TABLE none (k TEXT PRIMARY KEY)"""
    )
    text = {"v": Kind.TEXT}
    views = [made.view(n, i, types=text) for i, n in enumerate(["auto", "plain", "fresh", "none"], 1)]
    assert made.store.sequences(views) == {1: 50, 2: 8, 3: 0}
    made.store.raise_sequences(views, {1: 40, 2: 100, 3: 200, 4: 7})
    assert made.store.sequences(views) == {1: 50, 2: 8, 3: 200}
    for table, expected in (("auto", 51), ("plain", 9), ("fresh", 201)):
        assert made.app.execute(f"INSERT INTO {table} (v) VALUES (1)").lastrowid == expected


# --- rehearsal --------------------------------------------------------------


def test_a_rehearsal_writes_nothing(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a')")
    view = made.view("t")
    made.store.install(MOVE, Side.NEW, Role.FOLLOWER, [view], peer=None)
    before = made.store.state(MOVE), made.position()
    made.store.rehearse_lead(MOVE, view)
    made.store.rehearse_lead(MOVE, None)
    assert (made.store.state(MOVE), made.position()) == before
    assert made.all("SELECT * FROM t") == [(1, "a")]


@pytest.mark.parametrize("script", ["", "INSERT INTO t VALUES (1, 'a')"])
@pytest.mark.parametrize("trigger", ["crossfade_1_upd", "crossfade_1_ins", "fence"])
def test_a_rehearsal_finds_what_is_missing(scene, script: str, trigger: str) -> None:
    made = scene(f"CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT NOT NULL); {script}")
    view = made.view("t")
    made.store.install(MOVE, Side.NEW, Role.FOLLOWER, [view], peer=None)
    made.store.rehearse_lead(MOVE, view)
    name = trigger
    if trigger == "fence":
        ((name,),) = made.all("SELECT name FROM sqlite_master WHERE name LIKE 'crossfade_fence_%_upd'")
    made.app.execute(f'DROP TRIGGER "{name}"')
    with pytest.raises(StoreError, match="missing or altered"):
        made.store.rehearse_lead(MOVE, view)


def test_a_rehearsal_does_more_than_look(scene) -> None:
    """Triggers that are there, and a log that keeps nothing."""
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a')")
    view = made.view("t")
    made.store.install(MOVE, Side.NEW, Role.FOLLOWER, [view], peer=None)
    made.app.executescript(
        "CREATE TRIGGER quiet AFTER INSERT ON crossfade_log BEGIN DELETE FROM crossfade_log; END"
    )
    with pytest.raises(StoreError, match="not captured"):
        made.store.rehearse_lead(MOVE, view)


def test_a_rehearsal_on_a_table_without_a_key(scene) -> None:
    made = scene("CREATE TABLE t (v TEXT); INSERT INTO t VALUES ('a'), ('b')")
    view = made.view("t")
    made.store.install(MOVE, Side.NEW, Role.FOLLOWER, [view], peer=None)
    made.store.rehearse_lead(MOVE, view)


# --- preflight and census ---------------------------------------------------


def test_preflight(scene) -> None:
    made = scene(
        """CREATE TABLE t (k TEXT PRIMARY KEY, v TEXT); INSERT INTO t VALUES (NULL, 'a'), ('x', 'b');
           CREATE UNIQUE INDEX expr ON t (lower(v)); CREATE TRIGGER mine AFTER INSERT ON t BEGIN SELECT 1; END;
           CREATE TABLE bare (v TEXT); CREATE VIRTUAL TABLE ft USING fts5(body)"""
    )
    views = [made.view("t", 1), made.view("bare", 2)]
    found = made.store.preflight(views, leads=True)
    expected = {
        "sqlite.version": ["ok"],
        "sqlite.journal_mode": ["warning"],
        "sqlite.encoding": ["ok"],
        "sqlite.permissions": ["ok"],
        "sqlite.integrity": ["ok"],
        "sqlite.expression_unique": ["error"],
        "sqlite.app_triggers": ["warning"],
        "sqlite.null_keys": ["error"],
        "sqlite.no_key": ["warning"],
        "sqlite.virtual_table": ["warning"],
    }
    assert {check: levels(found, check) for check in expected} == expected
    assert all(f.todo for f in found if f.level != "ok")


def test_preflight_of_a_plain_wal_database_is_all_ok(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)", wal=True)
    found = made.store.preflight([made.view("t")], leads=True)
    assert [f for f in found if f.level != "ok"] == []


def test_census(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, at DATETIME, ok BOOLEAN, n)")
    made.app.executemany(
        "INSERT INTO t VALUES (?, ?, ?, ?)",
        [
            (1, 1_700_000_000_123, "t", 1),
            (2, "2024-01-02 03:04:05", 0, 2),
            (3, 1_700_000_000, 5, None),
            (4, None, 6, "x"),
        ],
    )
    view = made.view("t", types={"n": Kind.INTEGER}, stored={"at": (StoredAs.ISO, StoredAs.EPOCH_MS)})
    bad: list[Rejected] = []
    found = {f.where.rsplit("/", 1)[1]: f for f in made.store.census(view, bad.append)}
    assert {name: f.level for name, f in found.items()} == {
        "id": "ok",
        "at": "warning",
        "ok": "error",
        "n": "error",
    }
    assert found["at"].what == "1 integer (epoch_ms), 1 integer (epoch_s), 1 null, 1 text"
    assert {b.column: b.key for b in bad} == {"ok": (3,), "n": (4,)}
    assert found["n"].what == "2 integer, 1 null, 1 text; 1 rows cannot be represented as integer"


def test_census_counts_every_row_of_a_large_table(scene) -> None:
    made = scene("CREATE TABLE t (a TEXT, b INT, PRIMARY KEY (a, b)) WITHOUT ROWID")
    made.app.execute("BEGIN")
    made.app.executemany("INSERT INTO t VALUES (?, ?)", [(f"k{i % 7}", i) for i in range(45_000)])
    made.app.execute("COMMIT")
    found = made.store.census(made.view("t"), lambda bad: pytest.fail(bad.reason))
    assert [f.what for f in found] == ["45000 text", "45000 integer"]


def test_identity_tells_a_copy(scene, tmp_path) -> None:
    made, other = scene("CREATE TABLE t (x)"), scene("CREATE TABLE t (x)", name="other.db")
    first = made.store.identity()
    made.app.execute("INSERT INTO t VALUES (1)")
    made.app.execute("VACUUM")
    assert made.store.identity() == first
    assert other.store.identity() != first


# --- backups ----------------------------------------------------------------


@pytest.mark.parametrize("wal", [False, True])
def test_backup_and_restore_under_writers(scene, tmp_path, wal: bool) -> None:
    made = scene("CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (id INTEGER PRIMARY KEY)", wal=wal)
    stop = threading.Event()

    def write() -> None:
        con = made.connect()
        number = 0
        while not stop.is_set():
            number += 1
            con.execute("BEGIN IMMEDIATE")
            con.execute("INSERT INTO a VALUES (?)", (number,))
            con.execute("INSERT INTO b VALUES (?)", (number,))
            con.execute("COMMIT")
            stop.wait(0.001)
        con.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        file = made.store.backup(tmp_path)
    finally:
        stop.set()
        writer.join()
    scratch = tmp_path / "scratch"
    with made.store.restore(file, scratch) as restored:
        counts = restored.count("a"), restored.count("b")
        assert counts[0] == counts[1]
        assert restored.identity() != made.store.identity()
        assert restored.inspect().tables.keys() == {"a", "b"}
    assert list(scratch.iterdir()) == []


def test_a_damaged_backup_is_told(scene, tmp_path) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    made.app.executemany("INSERT INTO t VALUES (?, ?)", [(i, "x" * 500) for i in range(500)])
    file = made.store.backup(tmp_path / "b.db")
    data = bytearray(file.read_bytes())
    data[8192:12288] = b"\xff" * 4096
    file.write_bytes(bytes(data))
    with (
        pytest.raises(BackupError, match=r"damaged|cannot be restored"),
        made.store.restore(file, tmp_path / "s"),
    ):
        pytest.fail("entered")
    with pytest.raises(BackupError), made.store.restore(tmp_path / "none", tmp_path / "s"):
        pytest.fail("entered")


def test_a_scan_keeps_this_processs_own_locks(scene) -> None:
    """Two SQLite libraries in one process would drop each other's locks; the reading process is another."""
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    made.app.executescript(
        f"BEGIN; {' '.join(f'INSERT INTO t VALUES ({i}, {i});' for i in range(12_000))} COMMIT"
    )
    view = made.view("t")
    made.app.execute("BEGIN IMMEDIATE")
    made.app.execute("INSERT INTO t VALUES (-1, 'mine')")
    assert len(made.rows(view)) == 12_000
    made.store.close()
    other = sqlite3.connect(made.path, timeout=0, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.close()
    made.app.execute("COMMIT")
    assert made.all("PRAGMA integrity_check") == [("ok",)]
