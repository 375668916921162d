"""Every row that changes is logged, by whatever statement; and a fenced side takes no write."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys

import pytest

from crossfade.errors import Refused, Unrepresentable
from crossfade.stores.base import Role, Side
from crossfade.stores.sqlite.capture import capture_triggers
from crossfade.stores.sqlite.schema import unique_indexes
from crossfade.types import Kind
from tests.stores.sqlite.sqlite_scene import MOVE, TOKEN, change


def test_insert_update_delete(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'before')")
    view = made.view("t")
    made.lead(view)
    made.app.executescript(
        "INSERT INTO t VALUES (2, 'a'); UPDATE t SET v = 'b' WHERE id = 1; INSERT INTO t VALUES (3, 'c');"
        "DELETE FROM t WHERE id = 3; UPDATE t SET id = 9 WHERE id = 2"
    )
    assert made.changed(view) == {(1,), (2,), (3,), (9,)}


def test_delete_of_all_rows_is_logged(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
    view = made.view("t")
    made.lead(view)
    made.app.execute("DELETE FROM t")
    assert made.changed(view) == {(1,), (2,)}


def test_only_committed_changes_are_seen_and_positions_only_grow(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    view = made.view("t")
    made.lead(view)
    made.app.executescript("BEGIN; INSERT INTO t VALUES (1); ROLLBACK; INSERT INTO t VALUES (2)")
    assert made.changed(view) == {(2,)}
    first = made.position()
    assert made.store.trim(first) == 1
    assert (made.position(), made.changed(view, first)) == (first, set())
    made.app.execute("INSERT INTO t VALUES (3)")
    assert int(made.position()) > int(first)
    assert made.changed(view, first) == {(3,)}


def test_a_position_beyond_the_log_is_refused(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    view = made.view("t")
    made.lead(view)
    with pytest.raises(Refused, match="restored or replaced"):
        made.changed(view, "5")


def test_a_key_that_changes_without_changing(scene) -> None:
    """'A' to 'a' under NOCASE, 1 to 1.0 without a type: equal by =, other keys all the same."""
    made = scene(
        "CREATE TABLE n (k TEXT PRIMARY KEY COLLATE NOCASE, v INT) WITHOUT ROWID; INSERT INTO n VALUES ('A', 1);"
        "CREATE TABLE f (k PRIMARY KEY, v INT); INSERT INTO f VALUES (1, 1)"
    )
    nocase, typeless = made.view("n"), made.view("f", 2, types={"k": Kind.FLOAT})
    made.lead(nocase, typeless)
    made.app.execute("UPDATE n SET k = 'a'")
    made.app.execute("UPDATE f SET k = 1.0")
    assert made.changed(nocase) == {("A",), ("a",)}
    assert [row[0] for row in made.all("SELECT typeof(k1) FROM crossfade_log WHERE tbl = 2")] == [
        "integer",
        "real",
    ]


def test_replace_through_the_nocase_key_itself(scene) -> None:
    made = scene("CREATE TABLE n (k TEXT PRIMARY KEY COLLATE NOCASE, v INT); INSERT INTO n VALUES ('A', 1)")
    view = made.view("n")
    made.lead(view)
    made.app.execute("INSERT OR REPLACE INTO n VALUES ('a', 2)")
    assert made.changed(view) == {("A",), ("a",)}


@pytest.mark.parametrize(
    ("columns", "statement"),
    [
        ("u TEXT UNIQUE", "INSERT OR REPLACE INTO t (id, u) VALUES (9, 'x1')"),
        ("u TEXT UNIQUE", "REPLACE INTO t (id, u) VALUES (9, 'x1')"),
        ("u TEXT UNIQUE", "UPDATE OR REPLACE t SET u = 'x1' WHERE id = 2"),
        ("u TEXT UNIQUE", "INSERT INTO t (id, u) VALUES (1, 'q') ON CONFLICT (id) DO UPDATE SET u = 'x9'"),
        ("u TEXT UNIQUE COLLATE NOCASE", "INSERT OR REPLACE INTO t (id, u) VALUES (9, 'X1')"),
        ("u TEXT UNIQUE ON CONFLICT REPLACE", "INSERT INTO t (id, u) VALUES (9, 'x1')"),
        ("u TEXT NOT NULL DEFAULT 'x1' UNIQUE", "INSERT OR REPLACE INTO t (id, u) VALUES (9, NULL)"),
        ('u TEXT NOT NULL DEFAULT "x1" UNIQUE', "INSERT OR REPLACE INTO t (id, u) VALUES (9, NULL)"),
        ("u TEXT NOT NULL DEFAULT ('x' || 1) UNIQUE", "UPDATE OR REPLACE t SET u = NULL WHERE id = 2"),
    ],
)
def test_rows_that_or_replace_removes(scene, columns: str, statement: str) -> None:
    made = scene(
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, {columns}); INSERT INTO t (id, u) VALUES (1, 'x1'), (2, 'x2')"
    )
    view = made.view("t")
    made.lead(view)
    made.app.execute(statement)
    gone = {1, 2, 9} - {row[0] for row in made.all("SELECT id FROM t")}
    assert {(key,) for key in gone - {9}} <= made.changed(view)
    assert made.changed(view)


def test_replace_through_partial_and_composite_indexes(scene) -> None:
    made = scene(
        """CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, b TEXT, live INT);
           CREATE UNIQUE INDEX one ON t (a, b COLLATE NOCASE);
           CREATE UNIQUE INDEX two ON t (b) WHERE live = 1;
           INSERT INTO t VALUES (1, 1, 'x', 0), (2, 2, 'y', 1), (3, 3, 'y', 0)"""
    )
    view = made.view("t")
    made.lead(view)
    made.app.execute("INSERT OR REPLACE INTO t VALUES (4, 1, 'X', 0)")
    assert {(1,), (4,)} <= made.changed(view)
    here = made.position()
    # the indexed column of row 3 does not change, but the index begins to cover it
    made.app.execute("UPDATE OR REPLACE t SET live = 1 WHERE id = 3")
    assert made.all("SELECT id FROM t ORDER BY id") == [(3,), (4,)]
    assert {(2,), (3,)} <= made.changed(view, here)


def test_cascades_are_captured(scene) -> None:
    made = scene(
        """CREATE TABLE p (id INTEGER PRIMARY KEY);
           CREATE TABLE c (id INTEGER PRIMARY KEY, p INT REFERENCES p ON DELETE CASCADE ON UPDATE CASCADE,
                           boss INT REFERENCES c ON DELETE SET NULL);
           INSERT INTO p VALUES (1), (2); INSERT INTO c VALUES (10, 1, NULL), (11, 2, 10), (12, 1, 11)"""
    )
    p, c = made.view("p", 1), made.view("c", 2)
    made.lead(p, c)
    made.app.execute("DELETE FROM p WHERE id = 1")
    assert made.changed(p) == {(1,)}
    assert made.changed(c) == {(10,), (11,), (12,)}
    here = made.position()
    made.app.execute("UPDATE p SET id = 5 WHERE id = 2")
    assert made.changed(c, here) == {(11,)}


def test_odd_tables_are_captured(scene) -> None:
    long = "y" * 100
    made = scene(
        f"""CREATE TABLE [{long}] ([select] TEXT, [a'b] INT, g INT AS ([a'b] + 1), v, PRIMARY KEY ([a'b], [select]))
            WITHOUT ROWID;
            CREATE TABLE [quote "d] ([k"] TEXT PRIMARY KEY NOT NULL, v)"""
    )
    first, second = made.view(long, 1), made.view('quote "d', 2)
    made.lead(first, second)
    made.app.execute(f"INSERT INTO [{long}] ([select], [a'b]) VALUES ('s', 5)")
    made.app.execute('INSERT INTO [quote "d] VALUES (?, 1)', ("k'",))
    assert made.changed(first) == {(5, "s")}
    assert made.changed(second) == {("k'",)}


def test_random_statements_leave_no_unlogged_change(scene) -> None:
    """The state before, with the logged keys brought up to date, is the state after."""
    made = scene(
        """CREATE TABLE t (a TEXT COLLATE NOCASE, b INT, u INT UNIQUE, w TEXT NOT NULL DEFAULT 'd', live INT,
                           PRIMARY KEY (a, b), UNIQUE (w, b));
           CREATE UNIQUE INDEX part ON t (w) WHERE live = 1"""
    )
    view = made.view("t", types={"a": Kind.TEXT})
    made.lead(view)
    dice = random.Random(7)
    for _ in range(60):
        before = {(r[0], r[1]): r for r in made.all("SELECT * FROM t")}
        here = made.position()
        for _ in range(8):
            a, b, u, w, live = (
                dice.choice("aAbB"),
                dice.randrange(3),
                dice.randrange(5),
                dice.choice("def"),
                dice.randrange(2),
            )
            null = dice.choice([w, None])
            statement, values = dice.choice(
                [
                    ("INSERT OR REPLACE INTO t VALUES (?, ?, ?, ?, ?)", (a, b, u, null, live)),
                    ("INSERT OR IGNORE INTO t VALUES (?, ?, ?, ?, ?)", (a, b, u, null, live)),
                    ("UPDATE OR REPLACE t SET u = ?, w = ? WHERE b = ?", (u, null, b)),
                    ("UPDATE OR REPLACE t SET a = ? WHERE b = ?", (a, b)),
                    ("UPDATE OR REPLACE t SET live = ? WHERE a = ?", (live, a)),
                    ("UPDATE OR IGNORE t SET b = ? WHERE a = ?", (b, a)),
                    ("DELETE FROM t WHERE a = ? AND b = ?", (a, b)),
                ]
            )
            made.app.execute(statement, values)
        after = {(r[0], r[1]): r for r in made.all("SELECT * FROM t")}
        logged = made.changed(view, here)
        replayed = {key: row for key, row in before.items() if key not in logged}
        replayed |= {key: row for key, row in after.items() if key in logged}
        assert replayed == after


def test_triggers_leave_the_applications_counters_alone(scene) -> None:
    made = scene(
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, u TEXT UNIQUE); INSERT INTO t VALUES (1, 'a')"
    )
    made.lead(made.view("t"))
    cursor = made.app.execute("INSERT INTO t (u) VALUES ('b')")
    assert (cursor.lastrowid, cursor.rowcount) == (2, 1)
    assert made.all("SELECT last_insert_rowid(), changes()") == [(2, 1)]
    assert made.app.execute("UPDATE t SET u = u || '!'").rowcount == 2


def test_trigger_text_is_understood_by_old_libraries(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT NOT NULL DEFAULT 'x' UNIQUE)")
    view = made.view("t")
    with made.store._db.reading() as con:
        triggers = capture_triggers(view, unique_indexes(con, "t"))
    assert len(triggers) == 5
    new = (
        "RETURNING",
        "ON CONFLICT",
        "STRICT",
        "TRUE",
        "FALSE",
        "IIF(",
        "->",
        "FILTER",
        "OVER (",
        "IS DISTINCT",
    )
    for trigger in triggers:
        assert not any(word in trigger.sql.upper() for word in new)
        assert len(trigger.name) < 40


def test_a_rebuild_changes_the_fingerprint_and_install_re_arms(scene) -> None:
    made = scene(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); CREATE TABLE other (id INTEGER PRIMARY KEY)"
    )
    view, other = made.view("t", 1), made.view("other", 2)
    made.lead(view, other)

    def prints() -> dict[int, str]:
        with made.store.snapshot() as snapshot:
            return dict(snapshot.fingerprints([view, other]))

    first = prints()
    made.app.execute("INSERT INTO t VALUES (1, 'x')")
    assert prints() == first
    made.app.executescript(
        "BEGIN; CREATE TABLE t2 (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t2 SELECT * FROM t; DROP TABLE t;"
        "ALTER TABLE t2 RENAME TO t; COMMIT"
    )
    second = prints()
    assert second[1] != first[1]
    assert second[2] == first[2]
    made.lead(view, other)
    here = made.position()
    made.app.execute("INSERT INTO t VALUES (2, 'y')")
    assert made.changed(view, here) == {(2,)}
    with made.store.snapshot() as snapshot:
        assert snapshot.fingerprints([view])[1] not in (second[1], "gone")
    made.app.execute("DROP TABLE other")
    assert prints()[2] == "gone"


def test_a_dropped_trigger_changes_the_fingerprint(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    view = made.view("t")
    made.lead(view)
    with made.store.snapshot() as snapshot:
        first = snapshot.fingerprints([view])
    made.app.execute("DROP TRIGGER crossfade_1_upd")
    with made.store.snapshot() as snapshot:
        assert snapshot.fingerprints([view]) != first


def test_a_logged_key_without_a_canonical_form_stops_until_its_row_is_corrected(scene) -> None:
    made = scene("CREATE TABLE t (k PRIMARY KEY, v)")
    view = made.view("t", types={"k": Kind.INTEGER, "v": Kind.TEXT})
    made.lead(view)
    made.app.execute("INSERT INTO t VALUES ('one', 'x')")
    with pytest.raises(Unrepresentable) as caught:
        made.changed(view)
    assert (caught.value.column, caught.value.value) == ("k", "'one'")
    made.app.execute("UPDATE t SET k = 1")
    assert made.changed(view) == {(1,)}


# --- the fence --------------------------------------------------------------

WRITES = [
    "INSERT INTO t VALUES (5, 'n')",
    "INSERT OR IGNORE INTO t VALUES (1, 'n')",
    "INSERT OR REPLACE INTO t VALUES (1, 'n')",
    "UPDATE OR FAIL t SET v = 'n'",
    "DELETE FROM t",
    "INSERT INTO unmapped VALUES (2)",
    "DELETE FROM unmapped",
]


@pytest.mark.parametrize("statement", WRITES)
def test_a_follower_refuses_writes_to_every_table(scene, statement: str) -> None:
    made = scene(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a');"
        "CREATE TABLE unmapped (id INT); INSERT INTO unmapped VALUES (1)"
    )
    view = made.view("t")
    made.store.install("it's", Side.OLD, Role.FOLLOWER, [view], peer=None)
    with pytest.raises(sqlite3.IntegrityError) as caught:
        made.app.execute(statement)
    assert str(caught.value) == "crossfade: it's: this side follows; writes are fenced"
    assert made.all("SELECT * FROM t") == [(1, "a")]


def test_the_applier_passes_the_fence_and_is_not_captured(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    view = made.view("t")
    made.follow(view)
    with made.store.applying(TOKEN, "7") as applying:
        applying.apply([change(view, [{"id": 1, "v": "x"}])])
    assert made.all("SELECT * FROM t") == [(1, "x")]
    assert made.all("SELECT count(*) FROM crossfade_log") == [(0,)]
    assert made.all("SELECT bypass FROM crossfade_state") == [(0,)]
    with pytest.raises(sqlite3.IntegrityError, match="writes are fenced"):
        made.app.execute("DELETE FROM t")


def test_a_table_made_while_leading_is_fenced_by_the_fence(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    made.lead(made.view("t"))
    made.app.execute("CREATE TABLE late (x)")
    made.store.begin_attempt(MOVE, 0, 1)
    made.store.fence(MOVE, 0, 1, 1.0)
    with pytest.raises(sqlite3.IntegrityError, match="writes are fenced"):
        made.app.execute("INSERT INTO late VALUES (1)")
    made.store.unfence(MOVE, 0, 1)
    made.app.execute("INSERT INTO late VALUES (1)")


def test_uninstall_leaves_nothing(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE)")
    before = made.all("SELECT name, sql FROM sqlite_master ORDER BY name")
    made.store.install(MOVE, Side.OLD, Role.FOLLOWER, [made.view("t")], peer=None)
    with pytest.raises(Refused, match="is installed here"):
        made.store.uninstall("another")
    made.store.uninstall(MOVE)
    assert [
        r for r in made.all("SELECT name, sql FROM sqlite_master ORDER BY name") if r[0] != "sqlite_sequence"
    ] == before
    made.app.execute("INSERT INTO t VALUES (1, 'x')")
    made.store.uninstall(MOVE)


def test_a_second_move_is_refused(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    view = made.view("t")
    made.lead(view)
    with pytest.raises(Refused, match="already takes part"):
        made.store.install("m2", Side.OLD, Role.LEADER, [view], peer=None)


def test_wider_keys_are_logged_after_a_second_installation(scene) -> None:
    made = scene(
        "CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE TABLE w (a INT, b INT, c INT, PRIMARY KEY (a, b, c))"
    )
    narrow, wide = made.view("t", 1), made.view("w", 2)
    made.lead(narrow)
    made.app.execute("INSERT INTO t VALUES (1)")
    made.lead(narrow, wide)
    made.app.execute("INSERT INTO w VALUES (1, 2, 3)")
    assert (made.changed(narrow), made.changed(wide)) == ({(1,)}, {(1, 2, 3)})


def test_another_process_is_captured(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY)", wal=True)
    view = made.view("t")
    made.lead(view)
    script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('INSERT INTO t VALUES (4)'); c.commit()"
    subprocess.run([sys.executable, "-c", script, str(made.path)], check=True, timeout=30)
    assert made.changed(view) == {(4,)}
