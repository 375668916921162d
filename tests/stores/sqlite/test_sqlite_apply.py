from __future__ import annotations

import pytest

from crossfade.errors import LeaseLost, Refused, StoreError, Unrepresentable
from crossfade.stores.base import Applied, Token
from crossfade.types import Kind, StoredAs
from tests.stores.sqlite.sqlite_scene import MOVE, TOKEN, change


def apply(made, *changes, position="1"):
    with made.store.applying(TOKEN, position) as applying:
        return applying.apply(changes)


def test_upserts_and_deletes_count_what_they_did(scene) -> None:
    made = scene(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, n INT); INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2)"
    )
    view = made.view("t")
    made.follow(view)
    rows = [{"id": 1, "v": "a", "n": 1}, {"id": 2, "v": "B", "n": 2}, {"id": 3, "v": None, "n": 3}]
    assert apply(made, change(view, rows, deletes=[9])) == Applied(1, 1, 0)
    assert apply(made, change(view, rows, deletes=[])) == Applied(0, 0, 0)
    assert apply(made, change(view, [], deletes=[1, 2]), position="42") == Applied(0, 0, 2)
    assert made.all("SELECT * FROM t") == [(3, None, 3)]
    assert made.store.state(MOVE).position == "42"


def test_unmapped_columns_survive_and_equal_values_keep_their_form(scene) -> None:
    made = scene(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, ok BOOLEAN, at DATETIME, mine TEXT DEFAULT 'mine');"
        "INSERT INTO t VALUES (1, 't', '2024-01-02T03:04', 'kept'), (2, 'f', 1704067200000, 'kept')"
    )
    view = made.view("t", stored={"at": (StoredAs.ISO, StoredAs.EPOCH_MS)}, without=["mine"])
    made.follow(view)
    (first, second) = made.rows(view)
    assert apply(made, change(view, [first, {**second, "ok": True}, {**first, "id": 3}])) == Applied(1, 1, 0)
    assert made.all("SELECT * FROM t") == [
        (1, "t", "2024-01-02T03:04", "kept"),
        (2, 1, 1704067200000, "kept"),
        (3, 1, "2024-01-02 03:04:00", "mine"),
    ]


def test_a_value_without_a_canonical_form_is_overwritten(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 'five')")
    view = made.view("t")
    made.follow(view)
    assert apply(made, change(view, [{"id": 1, "n": None}])) == Applied(0, 1, 0)
    assert made.all("SELECT n FROM t") == [(None,)]


@pytest.mark.parametrize("column", ["u TEXT UNIQUE", "u TEXT NOT NULL UNIQUE", "u INT NOT NULL UNIQUE"])
def test_unique_values_are_swapped(scene, column: str) -> None:
    made = scene(
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, {column}); INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)"
    )
    view = made.view("t")
    made.follow(view)
    rows = made.rows(view)
    turned = [{"id": row["id"], "u": rows[(n + 1) % 3]["u"]} for n, row in enumerate(rows)]
    assert apply(made, change(view, turned)) == Applied(0, 3, 0)
    assert made.rows(view) == turned


def test_unique_values_are_swapped_in_a_strict_table(scene) -> None:
    made = scene(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, u INT NOT NULL UNIQUE, x REAL NOT NULL UNIQUE) STRICT;"
        "INSERT INTO t VALUES (1, 1, 1.5), (2, 2, 2.5)"
    )
    view = made.view("t")
    made.follow(view)
    turned = [{"id": 1, "u": 2, "x": 2.5}, {"id": 2, "u": 1, "x": 1.5}]
    apply(made, change(view, turned))
    assert made.rows(view) == turned


def test_a_unique_value_moves_from_a_deleted_to_a_new_row(scene) -> None:
    made = scene(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE); INSERT INTO t VALUES (1, 'a'), (2, 'b')"
    )
    view = made.view("t")
    made.follow(view)
    apply(made, change(view, [{"id": 3, "u": "a"}, {"id": 4, "u": "b"}, {"id": 2, "u": "c"}], deletes=[1]))
    assert made.all("SELECT * FROM t") == [(2, "c"), (3, "a"), (4, "b")]


def test_a_check_that_forbids_the_placeholder_is_told(scene) -> None:
    made = scene(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, u INT NOT NULL UNIQUE CHECK (typeof(u) = 'integer'));"
        "INSERT INTO t VALUES (1, 1), (2, 2)"
    )
    view = made.view("t")
    made.follow(view)
    with pytest.raises(StoreError, match="cannot be set aside"):
        apply(made, change(view, [{"id": 1, "u": 2}, {"id": 2, "u": 1}]))
    assert made.all("SELECT * FROM t") == [(1, 1), (2, 2)]
    assert made.store.state(MOVE).position is None


def test_a_nocase_key_changes_its_case(scene) -> None:
    for tail in ("", " WITHOUT ROWID"):
        made = scene(
            f"CREATE TABLE t (k TEXT PRIMARY KEY COLLATE NOCASE, v INT){tail}; INSERT INTO t VALUES ('A', 1), ('b', 1)",
            name=f"n{len(tail)}.db",
        )
        view = made.view("t")
        made.follow(view)
        assert apply(made, change(view, [{"k": "a", "v": 2}], deletes=["A"])) == Applied(1, 0, 1)
        assert apply(made, change(view, [], deletes=["B"])) == Applied(0, 0, 0)
        assert sorted(made.all("SELECT * FROM t")) == [("a", 2), ("b", 1)]


def test_a_primary_key_finer_than_its_columns_collation(scene) -> None:
    made = scene(
        "CREATE TABLE t (k TEXT COLLATE NOCASE, v INT, PRIMARY KEY (k COLLATE BINARY)) WITHOUT ROWID;"
        "INSERT INTO t VALUES ('a', 1), ('A', 1)"
    )
    view = made.view("t")
    made.follow(view)
    assert [row["k"] for row in made.rows(view)] == ["A", "a"]
    assert apply(made, change(view, [{"k": "a", "v": 2}])) == Applied(0, 1, 0)
    assert apply(made, change(view, [], deletes=["A"])) == Applied(0, 0, 1)
    assert made.all("SELECT * FROM t") == [("a", 2)]


def test_without_rowid_and_composite_keys(scene) -> None:
    made = scene(
        "CREATE TABLE t (a TEXT, b BLOB, v TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID;"
        "INSERT INTO t VALUES ('x', x'01', 'one'), ('x', x'02', 'two'), ('y', x'01', 'three')"
    )
    view = made.view("t")
    made.follow(view)
    upserts = [{"a": "x", "b": b"\x01", "v": "ONE"}, {"a": "z", "b": b"\x00", "v": None}]
    assert apply(made, change(view, upserts, deletes=[("x", b"\x02")])) == Applied(1, 1, 1)
    assert made.all("SELECT * FROM t") == [
        ("x", b"\x01", "ONE"),
        ("y", b"\x01", "three"),
        ("z", b"\x00", None),
    ]


def test_keys_stored_in_other_forms_are_found(scene) -> None:
    ids = ["00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"]
    made = scene("CREATE TABLE t (k CHAR(32) PRIMARY KEY, v INT)")
    made.app.execute("INSERT INTO t VALUES (?, 1), (?, 1)", (ids[0].upper(), ids[1].replace("-", "")))
    view = made.view("t", types={"k": Kind.UUID})
    made.follow(view)
    new = "00000000-0000-0000-0000-00000000000c"
    upserts = [{"k": ids[0], "v": 2}, {"k": new, "v": 3}]
    assert apply(made, change(view, upserts, deletes=[ids[1]])) == Applied(1, 1, 1)
    assert made.all("SELECT * FROM t") == [(ids[0].upper(), 2), (new.replace("-", ""), 3)]


def test_time_keys_stored_in_other_forms_are_found(scene) -> None:
    made = scene("CREATE TABLE t (k DATETIME PRIMARY KEY, v INT)")
    forms = [
        "2024-01-02T03:04",
        "2024-01-02 03:04:05Z",
        "2024-01-02T03:04:05.120",
        1704164646000,
        "2024-01-02 03:04:05.500000",
    ]
    made.app.executemany("INSERT INTO t VALUES (?, 1)", [(form,) for form in forms])
    view = made.view("t", types={"k": Kind.INSTANT}, stored={"k": (StoredAs.ISO, StoredAs.EPOCH_MS)})
    made.follow(view)
    rows = made.rows(view)
    assert len(rows) == 5
    assert apply(made, change(view, [{**row, "v": 2} for row in rows])) == Applied(0, 5, 0)


def test_foreign_keys_do_not_cascade(scene) -> None:
    made = scene(
        """CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (id INTEGER PRIMARY KEY,
           p INT REFERENCES p ON DELETE CASCADE); INSERT INTO p VALUES (1); INSERT INTO c VALUES (5, 1)"""
    )
    p, c = made.view("p", 1), made.view("c", 2)
    made.follow(p, c)
    apply(made, change(p, [], deletes=[1]), change(c, [{"id": 5, "p": None}]))
    assert made.all("SELECT * FROM c") == [(5, None)]


def test_a_delete_that_reaches_an_unmapped_table_is_refused(scene) -> None:
    made = scene(
        """CREATE TABLE p (id INTEGER PRIMARY KEY, code TEXT UNIQUE); INSERT INTO p VALUES (1, 'a'), (2, 'b');
           CREATE TABLE c (id INTEGER PRIMARY KEY, code TEXT REFERENCES p (code) ON DELETE CASCADE);
           INSERT INTO c VALUES (5, 'a')"""
    )
    view = made.view("p")
    made.follow(view)
    apply(made, change(view, [], deletes=[2]))
    with pytest.raises(Refused, match="c, which is not mapped"):
        apply(made, change(view, [], deletes=[1]))
    assert made.all("SELECT id FROM p") == [(1,)]


def test_an_exception_inside_rolls_everything_back(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    view = made.view("t")
    made.follow(view)

    def broken() -> None:
        with made.store.applying(TOKEN, "5") as applying:
            applying.apply([change(view, [{"id": 1}])])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert made.all("SELECT count(*) FROM t") == [(0,)]
    assert made.store.state(MOVE).position is None
    assert made.all("SELECT bypass FROM crossfade_state") == [(0,)]


def test_read_back_inside_the_transaction(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    view = made.view("t")
    made.follow(view)
    with made.store.applying(TOKEN, "5", verified_at=12.5) as applying:
        one = change(view, [{"id": 1, "v": "x"}, {"id": 2, "v": "y"}], deletes=[3])
        applying.apply([one])
        assert applying.rows(view, one.upserts.select(["id"])).to_pylist() == one.upserts.to_pylist()
        assert applying.rows(view, one.deletes).to_pylist() == []
    assert made.store.state(MOVE).verified_at == 12.5
    with made.store.applying(TOKEN, "6"):
        pass
    assert made.store.state(MOVE).verified_at == 12.5


@pytest.mark.parametrize(
    "token",
    [
        Token(MOVE, epoch=0, lease="other"),
        Token(MOVE, epoch=1, lease="secret"),
    ],
)
def test_a_stale_token_writes_nothing(scene, token: Token) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    view = made.view("t")
    made.follow(view)
    with pytest.raises(LeaseLost, match="nothing was written"), made.store.applying(token, "9"):
        pytest.fail("entered")
    assert made.store.state(MOVE).position is None


def test_an_applier_that_wakes_up_late_cannot_write_into_a_leader(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    made.follow(made.view("t"))
    made.store.begin_attempt(MOVE, 0, 1)
    made.store.lead(MOVE, 0, 1)
    with pytest.raises(LeaseLost, match="leader at epoch 1"), made.store.applying(TOKEN, "9"):
        pytest.fail("entered")


def test_a_value_that_cannot_be_stored_is_told(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, v NUMERIC)")
    view = made.view("t")
    made.follow(view)
    with pytest.raises(Unrepresentable, match="more digits"):
        apply(made, change(view, [{"id": 1, "v": "123456789012345678901.5"}]))


def test_many_rows_at_once(scene) -> None:
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    view = made.view("t")
    made.follow(view)
    rows = [{"id": i, "v": f"v{i}"} for i in range(5_000)]
    assert apply(made, change(view, rows)) == Applied(5_000, 0, 0)
    changed = [{**row, "v": "new"} if row["id"] % 2 else row for row in rows]
    assert apply(made, change(view, changed)) == Applied(0, 2_500, 0)
    assert apply(made, change(view, [], deletes=range(5_000))) == Applied(0, 0, 5_000)
