"""Ways in which a write could be lost inside one store: each of them is closed here, by name."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest

from crossfade.errors import Different, Refused, StoreError
from crossfade.stores.base import Role, Side
from crossfade.stores.postgres import PostgresStore
from tests.stores.postgres.scene import (
    MOVE,
    TOKEN,
    app,
    change,
    eventually,
    follower,
    leader,
    lease,
    listed,
    view_of,
    views_of,
)

_TWO = "CREATE TABLE a (id bigint PRIMARY KEY, t text); CREATE TABLE b (id bigint PRIMARY KEY, t text);"
_TOUCH = (
    "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS "
    "'BEGIN UPDATE b SET t = ''touched'' WHERE id = 1; RETURN NULL; END';"
    "CREATE TRIGGER touch AFTER INSERT ON a FOR EACH ROW EXECUTE FUNCTION touch();"
)


def noted(con: psycopg.Connection[object]) -> object:
    row = con.execute("SELECT count(*) FROM crossfade.nested").fetchone()
    return row and row[0]  # type: ignore[index]


def test_what_we_commit_is_flushed_whatever_the_server_says(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as con:
        con.execute(_TWO)
        con.execute("ALTER DATABASE " + con.info.dbname + " SET synchronous_commit = off")
    follower(store, views_of(store, "a"))
    with store._db.session() as connection:  # what the session of every verb says
        row = connection.execute("SHOW synchronous_commit").fetchone()
    assert row == ("on",)


def test_a_pass_from_before_what_was_trimmed_is_refused(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as con:
        con.execute(_TWO)
        view = view_of(store, "a")
        leader(store, [view])
        with store.snapshot() as snapshot:
            before = snapshot.position
            assert snapshot.changed([view], None) == {}
        con.execute("INSERT INTO a VALUES (1, 'acknowledged')")
        with store.snapshot() as snapshot:
            after = snapshot.position
        assert store.trim(after) == 1
        with store.snapshot() as snapshot:
            assert snapshot.changed([view], after) == {}
            for since in (before, None):
                with pytest.raises(Refused, match="already trimmed"):
                    snapshot.changed([view], since)


def test_a_side_that_leads_again_begins_with_a_whole_log(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as con:
        con.execute(_TWO)
        view = view_of(store, "a")
        leader(store, [view])
        con.execute("INSERT INTO a VALUES (1, 'x')")
        with store.snapshot() as snapshot:
            assert store.trim(snapshot.position) == 1
        store.fence(MOVE, 0, 0, 2.0)
        store.follow(MOVE, 1, lease(), None)
        store.begin_attempt(MOVE, 1, 1)
        store.lead(MOVE, 1, 1)
        con.execute("INSERT INTO a VALUES (2, 'y')")
        with store.snapshot() as snapshot:
            assert snapshot.changed([view], None)[view.id].num_rows == 1


def test_a_position_of_another_server_is_refused(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as con:
        con.execute(_TWO)
    view = view_of(store, "a")
    leader(store, [view])
    with store.snapshot() as snapshot, pytest.raises(Refused, match="another server"):
        snapshot.changed([view], "90000000:90000000:")


def test_a_verb_does_not_wait_for_a_stopped_applier_and_names_it(
    store: PostgresStore, postgres_url: str
) -> None:
    with app(postgres_url) as con, app(postgres_url, autocommit=False) as stopped:
        con.execute(_TWO)
        follower(store, views_of(store, "a"))
        store.begin_attempt(MOVE, 0, 1)
        stopped.execute("SELECT FROM crossfade.state FOR UPDATE")
        verbs = [
            lambda: store.abort_attempt(MOVE, 0, 1),
            lambda: store.begin_attempt(MOVE, 0, 2),
            lambda: store.lead(MOVE, 0, 1),
            lambda: store.take_lease(MOVE, lease("other"), over="tok"),
            lambda: store.note(MOVE, {"x": 1}, token=TOKEN),
            lambda: store.forget_verification(MOVE),
            lambda: store.follow(MOVE, 1, lease(), None),
            lambda: store.applying(TOKEN, "1:1:").__enter__(),
        ]
        for verb in verbs:
            began = time.monotonic()
            with pytest.raises(StoreError, match=f"locked by process {stopped.info.backend_pid}"):
                verb()
            assert time.monotonic() - began < 5
        stopped.rollback()
        store.abort_attempt(MOVE, 0, 1)


def test_an_applier_that_is_stopped_is_ended_by_the_server(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as con:
        con.execute(_TWO)
    follower(store, views_of(store, "a"))
    with store.applying(TOKEN, "1:1:") as applying:
        shown = applying._connection.execute("SHOW idle_in_transaction_session_timeout").fetchone()  # type: ignore[attr-defined]
        waits = applying._connection.execute("SHOW lock_timeout").fetchone()  # type: ignore[attr-defined]
    assert (shown, waits) == (("30s",), ("0",))


def test_follow_drains_when_the_fence_is_lifted_while_it_waits_for_the_state_row(
    store: PostgresStore, postgres_url: str
) -> None:
    with (
        app(postgres_url) as con,
        app(postgres_url, autocommit=False) as writer,
        app(postgres_url, autocommit=False) as other,
    ):
        con.execute(_TWO)
        leader(store, views_of(store, "a"))
        writer.execute("INSERT INTO a VALUES (1, 'open')")
        con.execute("UPDATE crossfade.state SET fenced = true")
        other.execute("UPDATE crossfade.state SET fenced = false")
        done = threading.Thread(target=store.follow, args=(MOVE, 1, lease(), None))
        done.start()
        busy = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'crossfade' AND wait_event_type = 'Lock'"

        def waiting(query: str) -> bool:
            row = con.execute(f"{busy} AND query LIKE %s", [query]).fetchone()
            return bool(row and row[0])

        eventually(lambda: waiting("%crossfade.state%"))
        other.commit()
        eventually(lambda: waiting("LOCK TABLE%"))
        state = store.state(MOVE)
        assert state is not None
        assert state.role is Role.LEADER
        writer.commit()
        done.join(10)
        assert not done.is_alive()
        state = store.state(MOVE)
        assert state is not None
        assert state.role is Role.FOLLOWER
        assert state.side is Side.NEW


def test_a_deferred_trigger_fires_before_the_rows_are_read_back(
    store: PostgresStore, postgres_url: str
) -> None:
    with app(postgres_url) as con:
        con.execute(
            _TWO + "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN UPDATE a SET t = upper(t) WHERE id = NEW.id; RETURN NULL; END';"
            "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON a DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION f()"
        )
    view = view_of(store, "a")
    follower(store, [view])
    one = change(view, [(3, "acked")])
    with store.applying(TOKEN, "1:1:") as applying:
        applying.apply([one])
        back = applying.rows(view, one.upserts.select(["id"]))
        assert back.to_pylist() == [{"id": 3, "t": "ACKED"}]  # so that the pass sees the difference


def test_a_trigger_that_changes_a_row_beside_the_pass_rolls_it_back(
    store: PostgresStore, postgres_url: str
) -> None:
    with app(postgres_url) as con:
        con.execute(_TWO + "INSERT INTO b VALUES (1, 'b1')")
        con.execute(_TOUCH)
        a, b = views_of(store, "a", "b")
        follower(store, [a, b])
        for changes in ([change(a, [(3, "x")])], [change(a, [(3, "x")]), change(b, [(2, "other")])]):
            with (
                pytest.raises(Different, match=r"table b.*its row \(1\)"),
                store.applying(TOKEN, "1:1:") as one,
            ):
                one.apply(changes)
            assert listed(store, a) == []
            assert listed(store, b) == [(1, "b1")]
        assert noted(con) == 0


def test_a_trigger_that_changes_a_row_of_the_pass_is_left_to_the_proof(
    store: PostgresStore, postgres_url: str
) -> None:
    with app(postgres_url) as con:
        con.execute(_TWO + "INSERT INTO b VALUES (1, 'b1')")
        con.execute(_TOUCH)
        a, b = views_of(store, "a", "b")
        follower(store, [a, b])
        with store.applying(TOKEN, "1:1:") as one:
            one.apply([change(a, [(3, "x")]), change(b, [(1, "touched")])])
        assert listed(store, b) == [(1, "touched")]
        assert noted(con) == 0
        with store.snapshot() as snapshot:
            assert snapshot.changed([a, b], None) == {}


def test_a_cascade_that_the_leader_did_not_have_rolls_the_pass_back(
    store: PostgresStore, postgres_url: str
) -> None:
    with app(postgres_url) as con:
        con.execute(
            "CREATE TABLE p (id bigint PRIMARY KEY, code text UNIQUE NOT NULL); "
            "CREATE TABLE ch (id bigint PRIMARY KEY, code text REFERENCES p (code) ON UPDATE CASCADE); "
            "INSERT INTO p VALUES (1, 'A'); INSERT INTO ch VALUES (1, 'A')"
        )
    p, ch = views_of(store, "p", "ch")
    follower(store, [p, ch])
    with pytest.raises(Different, match="table ch"), store.applying(TOKEN, "1:1:") as one:
        one.apply([change(p, [(1, "Z")])])
    assert listed(store, ch) == [(1, "A")]
    with store.applying(TOKEN, "1:1:") as one:  # the leader cascaded too: its child is in the pass
        one.apply([change(p, [(1, "Z")]), change(ch, [(1, "Z")])])
    assert listed(store, ch) == [(1, "Z")]


def test_a_trigger_that_empties_a_mapped_table_rolls_the_pass_back(
    store: PostgresStore, postgres_url: str
) -> None:
    with app(postgres_url) as con:
        con.execute(_TWO + "INSERT INTO b VALUES (1, 'b1')")
        con.execute(_TOUCH.replace("UPDATE b SET t = ''touched'' WHERE id = 1", "TRUNCATE b"))
    a, b = views_of(store, "a", "b")
    follower(store, [a, b])
    with pytest.raises(Different, match="emptied"), store.applying(TOKEN, "1:1:") as one:
        one.apply([change(a, [(3, "x")])])
    assert listed(store, b) == [(1, "b1")]


def test_a_trigger_may_write_to_a_table_that_is_not_mapped(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as con:
        con.execute(_TWO + "INSERT INTO b VALUES (1, 'b1')")
        con.execute(_TOUCH)
        a = view_of(store, "a")
        follower(store, [a])
        with store.applying(TOKEN, "1:1:") as one:
            one.apply([change(a, [(3, "x")])])
        assert listed(store, a) == [(3, "x")]


def test_small_passes_stay_quick(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as con:
        con.execute(_TWO + "CREATE TABLE c (id bigint PRIMARY KEY, t text)")
    views = views_of(store, "a", "b", "c")
    follower(store, views)
    times = []
    for n in range(20):
        began = time.monotonic()
        with store.applying(TOKEN, f"{n + 1}:{n + 1}:") as one:
            one.apply([change(view, [(i, f"{n}") for i in range(20)]) for view in views])
        times.append(time.monotonic() - began)
    assert sorted(times)[5] < 0.05, times


def test_a_sequence_that_is_a_default_but_nobody_owns_is_raised(
    store: PostgresStore, postgres_url: str
) -> None:
    with app(postgres_url) as con:
        con.execute(
            "CREATE SEQUENCE sq; CREATE SEQUENCE codes; "
            "CREATE TABLE a (id bigint PRIMARY KEY DEFAULT nextval('sq'), "
            "code text DEFAULT 'c' || nextval('codes'), t text); INSERT INTO a VALUES (7, 'c7', 'x')"
        )
        view = view_of(store, "a")
        store.raise_sequences([view], {1: 20})
        assert con.execute("INSERT INTO a (t) VALUES ('y') RETURNING id").fetchone() == (21,)
        assert store.sequences([view])[1] >= 21
