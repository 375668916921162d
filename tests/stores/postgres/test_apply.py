"""Applying: order-free, exact, and only what differs."""

from __future__ import annotations

import psycopg
import pytest

from crossfade.errors import LeaseLost, Refused, StoreError
from crossfade.stores.base import Applied, Token
from crossfade.stores.postgres import PostgresStore
from tests.stores.postgres.scene import (
    MOVE,
    TOKEN,
    app,
    change,
    follower,
    keys_of,
    lease,
    listed,
    refuse,
    rows_of,
    view_of,
    views_of,
)


def test_upserts_and_deletes_are_counted(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute(
            "CREATE TABLE a (id bigint PRIMARY KEY, v text); INSERT INTO a VALUES (1,'x'),(2,'y'),(3,'z')"
        )
    view = view_of(store, "a")
    follower(store, [view])
    with store.applying(TOKEN, "1:1:") as applying:
        done = applying.apply([change(view, [(1, "x"), (2, "Y"), (4, None)], [3, 99])])
        assert applying.rows(view, keys_of(view, [4, 2, 3])).sort_by("id").to_pylist() == [
            {"id": 2, "v": "Y"},
            {"id": 4, "v": None},
        ]
    assert done == Applied(1, 1, 1)
    assert listed(store, view) == [(1, "x"), (2, "Y"), (4, None)]
    found = store.state(MOVE)
    assert found is not None
    assert found.position == "1:1:"


def test_a_row_that_does_not_differ_is_not_written(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY, n numeric(6,2), j jsonb, f float8, own text)")
        c.execute("INSERT INTO a VALUES (1, 1.10, '{\"b\":1, \"a\":[1.0]}', '-0', 'kept')")
        before = c.execute("SELECT xmin::text, own FROM a").fetchone()
        view = view_of(store, "a", columns=["id", "n", "j", "f"])
        follower(store, [view])
        with store.applying(TOKEN, "p") as applying:
            assert applying.apply([change(view, [(1, "1.1", '{"a":[1],"b":1}', -0.0)])]) == Applied()
        assert c.execute("SELECT xmin::text, own FROM a").fetchone() == before
        with store.applying(TOKEN, "p") as applying:
            assert applying.apply([change(view, [(1, "1.1", '{"a":[1],"b":1}', 0.0)])]) == Applied(0, 1, 0)
        assert c.execute("SELECT f::text, own FROM a").fetchone() == ("0", "kept")


@pytest.mark.parametrize("unique", ["UNIQUE", "UNIQUE DEFERRABLE", "NOT NULL UNIQUE"])
@pytest.mark.parametrize(
    "shape", ["text", "varchar(5)", "bigint", "smallint", "uuid", "numeric(8,2)", "date"]
)
def test_unique_values_are_exchanged(
    store: PostgresStore, postgres_url: str, unique: str, shape: str
) -> None:
    sample = {
        "uuid": ["00000000-0000-0000-0000-00000000000" + str(i) for i in range(4)],
        "text": ["a", "b", "c", "d"],
        "varchar(5)": ["a", "b", "c", "d"],
        "bigint": [1, 2, 3, 4],
        "smallint": [1, 2, 3, 4],
        "numeric(8,2)": ["1.5", "2.5", "3", "4"],
        "date": [None] * 4,
    }[shape]
    if shape == "date":
        import datetime as dt

        sample = [dt.date(2020, 1, i) for i in range(1, 5)]
    with app(postgres_url) as c:
        c.execute(f"CREATE TABLE a (id int PRIMARY KEY, u {shape} {unique}, own text DEFAULT 'kept')")
        for i in range(3):
            c.execute(f"INSERT INTO a (id, u) VALUES ({i}, '{sample[i]}')")
        view = view_of(store, "a", columns=["id", "u"])
        follower(store, [view])
        with store.applying(TOKEN, "p") as applying:  # a ring, and a new row that takes a deleted one's value
            applying.apply([change(view, [(0, sample[1]), (1, sample[0]), (7, sample[2])], [2])])
        assert sorted(listed(store, view)) == [(0, sample[1]), (1, sample[0]), (7, sample[2])]
        assert c.execute("SELECT DISTINCT own FROM a").fetchall() == [("kept",)]


def test_values_of_an_expression_index_are_exchanged(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY, u text NOT NULL); CREATE UNIQUE INDEX ON a (lower(u))")
        c.execute("INSERT INTO a VALUES (1, 'A'), (2, 'B')")
    view = view_of(store, "a")
    follower(store, [view])
    with store.applying(TOKEN, "p") as applying:
        applying.apply([change(view, [(1, "b"), (2, "a")])])
    assert listed(store, view) == [(1, "b"), (2, "a")]


def test_a_true_conflict_fails_and_nothing_is_written(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute(
            "CREATE TABLE a (id int PRIMARY KEY, u text UNIQUE); INSERT INTO a VALUES (1, 'A'), (2, 'B')"
        )
    view = view_of(store, "a")
    follower(store, [view])
    with pytest.raises(StoreError, match="a_u_key"), store.applying(TOKEN, "p") as applying:
        applying.apply([change(view, [(1, "B")])])
    assert listed(store, view) == [(1, "A"), (2, "B")]
    found = store.state(MOVE)
    assert found is not None
    assert found.position is None


CYCLE = """
CREATE TABLE a (id int PRIMARY KEY, b int);
CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a ON DELETE RESTRICT DEFERRABLE);
ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b DEFERRABLE;
"""


def test_foreign_key_cycles(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute(CYCLE)
    views = views_of(store, "a", "b")
    follower(store, views)
    with store.applying(TOKEN, "p") as applying:
        applying.apply([change(views[0], [(1, 1)]), change(views[1], [(1, 1)])])
    assert [listed(store, v) for v in views] == [[(1, 1)], [(1, 1)]]


def test_a_child_moved_to_another_parent_survives_the_old_ones_cascade(
    store: PostgresStore, postgres_url: str
) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE p (id int PRIMARY KEY)")
        c.execute("CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE, own text)")
        c.execute("INSERT INTO p VALUES (1), (2); INSERT INTO c VALUES (10, 1, 'own'), (11, 1, 'gone')")
        views = [view_of(store, "p", 1), view_of(store, "c", 2, ["id", "p"])]
        follower(store, views)
        with store.applying(TOKEN, "p") as applying:
            applying.apply([change(views[0], [], [1]), change(views[1], [(10, 2)], [11])])
        assert c.execute("SELECT * FROM c").fetchall() == [(10, 2, "own")]


def test_a_whole_tree_of_one_table_is_deleted(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE t (id int PRIMARY KEY, up int REFERENCES t DEFERRABLE)")
        c.execute("INSERT INTO t VALUES (1, NULL), (2, 1), (3, 2), (4, NULL)")
    view = view_of(store, "t")
    follower(store, [view])
    with store.applying(TOKEN, "p") as applying:
        assert applying.apply([change(view, [], [1, 2, 3])]).deleted == 3
    assert listed(store, view) == [(4, None)]


@pytest.mark.parametrize("action", ["CASCADE", "SET NULL", "NO ACTION"])
def test_a_delete_that_reaches_an_unmapped_table_is_refused(
    store: PostgresStore, postgres_url: str, action: str
) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE p (id int PRIMARY KEY)")
        c.execute(f"CREATE TABLE extra (id int PRIMARY KEY, p int REFERENCES p ON DELETE {action})")
        c.execute("INSERT INTO p VALUES (1), (2); INSERT INTO extra VALUES (10, 1)")
        view = view_of(store, "p")
        follower(store, [view])
        with pytest.raises(Refused, match="extra"), store.applying(TOKEN, "p") as applying:
            applying.apply([change(view, [], [1])])
        assert c.execute("SELECT * FROM extra").fetchall() == [(10, 1)]
        with store.applying(TOKEN, "p") as applying:
            assert applying.apply([change(view, [], [2])]).deleted == 1


def test_a_cascade_into_a_mapped_row_that_the_leader_still_has_is_an_error(
    store: PostgresStore, postgres_url: str
) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE p (id int PRIMARY KEY)")
        c.execute("CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE)")
        c.execute("INSERT INTO p VALUES (1); INSERT INTO c VALUES (10, 1)")
    views = views_of(store, "p", "c")
    follower(store, views)
    with pytest.raises(StoreError, match="still refer"), store.applying(TOKEN, "p") as applying:
        applying.apply([change(views[0], [], [1])])
    assert listed(store, views[1]) == [(10, 1)]


def test_a_stale_token_writes_nothing(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY)")
    view = view_of(store, "a")
    follower(store, [view])
    for stale in (Token(MOVE, 1, "tok"), Token(MOVE, 0, "other"), Token("no", 0, "tok")):
        with pytest.raises(LeaseLost), store.applying(stale, "p") as applying:
            applying.apply([change(view, [(1,)])])
    store.take_lease(MOVE, lease("new"), over="tok")
    with pytest.raises(LeaseLost), store.applying(TOKEN, "p") as applying:
        applying.apply([change(view, [(1,)])])
    assert listed(store, view) == []


def test_the_applier_leaves_no_log_and_passes_the_fence_only_in_its_transaction(
    store: PostgresStore, postgres_url: str
) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY)")
        view = view_of(store, "a")
        follower(store, [view])
        with store.applying(TOKEN, "p") as applying:
            applying.apply([change(view, [(1,)])])
        assert c.execute("SELECT count(*) FROM crossfade.log_1").fetchone() == (0,)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match="Crossfade move m"):
            c.execute("INSERT INTO a VALUES (2)")
        with store._db.session() as ours, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            ours.execute("INSERT INTO a VALUES (2)")


def test_identity_columns_generated_always_take_the_leaders_keys(
    store: PostgresStore, postgres_url: str
) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text)")
    view = view_of(store, "a")
    follower(store, [view])
    with store.applying(TOKEN, "p") as applying:
        applying.apply([change(view, [(41, "x")])])
    with store.applying(TOKEN, "p") as applying:
        applying.apply([change(view, [(41, "y")])])
    assert listed(store, view) == [(41, "y")]


def test_a_large_pass_goes_by_copy(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY, v text, b bytea)")
        c.execute("INSERT INTO a SELECT i, 'old', NULL FROM generate_series(1, 3000) i")
    view = view_of(store, "a")
    follower(store, [view])
    new = [(i, f'new "{i}"\n', b"\x00\xff") for i in range(1001, 4001)]
    with store.applying(TOKEN, "p") as applying:
        done = applying.apply([change(view, new, range(1, 1001))])
        back = applying.rows(view, keys_of(view, range(1, 4001)))
    assert done == Applied(1000, 2000, 1000)
    assert listed(store, view) == new
    assert back.sort_by("id").equals(rows_of(view, new))


def test_rows_of_a_snapshot_equal_those_of_a_read_back(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY, v text)")
        c.execute("INSERT INTO a SELECT i, i::text FROM generate_series(1, 12000) i")
    view = view_of(store, "a")
    follower(store, [view])
    wanted = keys_of(view, range(13000))
    with store.snapshot() as snap:
        one = snap.rows(view, wanted, refuse).sort_by("id")
    with store.applying(TOKEN, "p") as applying:
        two = applying.rows(view, wanted).sort_by("id")
    assert one.num_rows == 12000
    assert one.equals(two)
