"""The initial load: chunks are all or nothing, once, and only under a valid token."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pyarrow as pa
import pytest

from crossfade.errors import LeaseLost, Refused, StoreError
from crossfade.stores.base import Chunk, Token, View
from crossfade.stores.postgres import PostgresStore
from crossfade.stores.postgres import load as load_module
from crossfade.stores.postgres.load import settle
from tests.stores.postgres.scene import (
    MOVE,
    TOKEN,
    app,
    change,
    eventually,
    follower,
    lease,
    listed,
    rows_of,
    view_of,
    views_of,
)


def loaded(store: PostgresStore, view: View, rows: list[tuple[object, ...]], number: int = 1, token: Token = TOKEN) -> int:  # fmt: skip
    return store.load(view, rows_of(view, rows).to_batches(), lambda n: Chunk(view.id, number, n), token)


@pytest.fixture
def view(store: PostgresStore, postgres_url: str) -> View:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY, v text)")
    made = view_of(store, "a")
    follower(store, [made])
    return made


def test_a_chunk_is_loaded_once(store: PostgresStore, view: View) -> None:
    assert loaded(store, view, [(1, "x"), (2, None), (3, "")]) == 3
    assert loaded(store, view, [(9, "other")]) == 0
    assert loaded(store, view, [], 2) == 0
    assert listed(store, view) == [(1, "x"), (2, None), (3, "")]
    assert store.chunks(MOVE) == [Chunk(1, 1, 3), Chunk(1, 2, 0)]


def test_two_at_the_same_chunk_load_it_once(store: PostgresStore, postgres_url: str, view: View) -> None:
    """A worker that was taken for dead, and the one who has its chunk now."""
    begun, go = threading.Event(), threading.Event()
    counts: list[int] = []

    def batches() -> Iterator[pa.RecordBatch]:
        begun.set()
        assert go.wait(30)
        yield from rows_of(view, [(1, "x"), (2, "y")]).to_batches()

    def slow() -> None:
        counts.append(store.load(view, batches(), lambda n: Chunk(view.id, 1, n), TOKEN))

    def second() -> None:
        counts.append(loaded(store, view, [(1, "x"), (2, "y")]))

    threads = [threading.Thread(target=slow), threading.Thread(target=second)]
    threads[0].start()
    assert begun.wait(30)
    threads[1].start()
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with app(postgres_url) as c:
        eventually(lambda: c.execute(waiting).fetchone() == (1,))
    go.set()
    for thread in threads:
        thread.join(30)
    assert sorted(counts) == [0, 2]
    assert listed(store, view) == [(1, "x"), (2, "y")]


def test_a_session_that_was_stopped_in_a_chunk_keeps_nobody_from_it(
    store: PostgresStore, postgres_url: str, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_module, "_PATIENCE", 0.2)
    begun, go = threading.Event(), threading.Event()
    ends: list[object] = []

    def batches() -> Iterator[pa.RecordBatch]:
        yield from rows_of(view, [(1, "x")]).to_batches()
        begun.set()
        assert go.wait(30)
        yield from rows_of(view, [(2, "y")]).to_batches()

    def stopped() -> None:
        try:
            ends.append(store.load(view, batches(), lambda n: Chunk(view.id, 1, n), TOKEN))
        except StoreError as error:
            ends.append(error)

    thread = threading.Thread(target=stopped)
    thread.start()
    try:
        assert begun.wait(30)
        assert loaded(store, view, [(1, "x"), (2, "y")]) == 2
    finally:
        go.set()
        thread.join(30)
    assert isinstance(ends[0], StoreError)
    assert listed(store, view) == [(1, "x"), (2, "y")]
    assert store.chunks(MOVE) == [Chunk(1, 1, 2)]


def test_a_chunk_that_fails_half_way_leaves_nothing(store: PostgresStore, view: View) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield from rows_of(view, [(1, "x")]).to_batches()
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        store.load(view, batches(), lambda n: Chunk(1, 1, n), TOKEN)
    with pytest.raises(StoreError, match="duplicate key"):
        loaded(store, view, [(1, "x"), (1, "y")])
    assert listed(store, view) == []
    assert store.chunks(MOVE) == []


def test_a_lease_lost_during_the_load_is_noticed_at_its_end(store: PostgresStore, view: View) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield from rows_of(view, [(1, "x")]).to_batches()
        store.take_lease(MOVE, lease("thief"), over="tok")

    with pytest.raises(LeaseLost):
        store.load(view, batches(), lambda n: Chunk(1, 1, n), TOKEN)
    with pytest.raises(LeaseLost):
        loaded(store, view, [(2, "x")])
    assert listed(store, view) == []


def test_loads_in_parallel_do_not_keep_others_from_the_lease(store: PostgresStore, view: View) -> None:
    stop = threading.Event()

    def load(worker: int) -> None:
        number = worker
        while not stop.is_set():
            loaded(store, view, [(number, "x")], number)
            number += 4

    threads = [threading.Thread(target=load, args=(i,)) for i in range(1, 4)]
    for thread in threads:
        thread.start()
    try:
        for until in range(20):
            store.renew_lease(MOVE, "tok", until)
            store.note(MOVE, {"n": until})
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    found = store.state(MOVE)
    assert found is not None
    assert found.lease is not None
    assert (found.lease.until, found.notes) == (19.0, {"n": 19})


def test_restart_empties_the_table_and_its_progress(store: PostgresStore, view: View) -> None:
    loaded(store, view, [(1, "x")])
    with pytest.raises(LeaseLost):
        store.restart_load(view, Token(MOVE, 0, "other"))
    store.restart_load(view, TOKEN)
    assert listed(store, view) == []
    assert loaded(store, view, [(1, "y")]) == 1


SHOP = """
CREATE TABLE p (id int PRIMARY KEY, code text CONSTRAINT code_once UNIQUE, alt text UNIQUE DEFERRABLE);
CREATE UNIQUE INDEX p_lower ON p (lower(code)) WHERE id > 5;
CREATE INDEX p_alt ON p (alt);
CREATE TABLE c (id int PRIMARY KEY, p int NOT NULL REFERENCES p ON DELETE CASCADE,
  q int CONSTRAINT late REFERENCES p DEFERRABLE INITIALLY DEFERRED, code text REFERENCES p (code));
CREATE TABLE loose (id int, CONSTRAINT unmapped FOREIGN KEY (id) REFERENCES p);
"""

SHAPE = """
SELECT conrelid::regclass::text, conname::text, pg_get_constraintdef(oid) FROM pg_constraint
WHERE contype IN ('p', 'u', 'f', 'x') AND connamespace = 'public'::regnamespace
UNION ALL SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2, 3
"""


def test_keys_and_indexes_come_back_as_they_were(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute(SHOP)
        before = c.execute(SHAPE).fetchall()
        views = views_of(store, "p", "c")
        follower(store, views)
        for _ in range(2):
            store.prepare_load(views)
        left = {row[1] for row in c.execute(SHAPE)}
        assert left == {"p_pkey", "c_pkey", "unmapped"}
        loaded(store, views[1], [(10, 1, None, "b"), (11, 2, 1, None)])
        loaded(store, views[0], [(1, "a", "x"), (2, "a", "y")])  # two instants mixed: 'a' twice
        findings = store.finish_load(views)
        assert [f.check for f in findings if f.level == "error"].count("postgres.unique") == 1
        with store.applying(TOKEN, "p") as applying:
            applying.apply([change(views[0], [(2, "b", "y")])])
        assert store.finish_load(views) == []
        assert store.finish_load(views) == []
        while_following = c.execute(SHAPE).fetchall()
        assert [r for r in while_following if "FOREIGN KEY" not in r[2]] == [r for r in before if "FOREIGN KEY" not in r[2]]  # fmt: skip
        ours = [r for r in while_following if "FOREIGN KEY" in r[2] and r[1] != "unmapped"]
        assert all(r[2].endswith("DEFERRABLE") for r in ours)
        store.uninstall(MOVE)
        assert c.execute(SHAPE).fetchall() == before


def test_the_end_of_a_load_is_on_disk(store: PostgresStore, postgres_url: str, view: View) -> None:
    """Loads commit without a flush, and ``settle`` flushes them all: a commit that wrote nothing would not."""
    with app(postgres_url) as c:
        for number in range(1, 4):
            loaded(store, view, [(n, "x") for n in range(number * 1000, number * 1000 + 500)], number)
            written = c.execute("SELECT pg_current_wal_insert_lsn()").fetchone()[0]
            settle(store._db)
            assert c.execute("SELECT pg_current_wal_flush_lsn() >= %s::pg_lsn", [written]).fetchone()[0]


def test_the_planner_knows_every_table_that_was_loaded(store: PostgresStore, postgres_url: str) -> None:
    """Expressions that are indexed included: their statistics wait for the index."""
    with app(postgres_url) as c:
        c.execute(SHOP)
        c.execute("CREATE INDEX p_upper ON p (upper(alt))")
        views = views_of(store, "p", "c")
        follower(store, views)
        store.prepare_load(views)
        loaded(store, views[0], [(n, f"code {n}", f"alt {n}") for n in range(1, 3001)])
        assert store.finish_load(views) == []
        known = c.execute("SELECT DISTINCT tablename FROM pg_stats WHERE schemaname = 'public'").fetchall()
        assert {row[0] for row in known} >= {"p", "p_upper"}
        assert c.execute("SELECT reltuples FROM pg_class WHERE relname = 'p'").fetchone() == (3000.0,)


def test_indexes_answer_by_themselves_after_a_load(store: PostgresStore, postgres_url: str) -> None:
    """Every page is known to be seen by everybody, so that nobody's first read has to find out."""
    with app(postgres_url) as c:
        c.execute(SHOP)
        views = views_of(store, "p", "c")
        follower(store, views)
        store.prepare_load(views)
        loaded(store, views[0], [(n, f"code {n}", f"alt {n}") for n in range(1, 3001)])
        loaded(store, views[1], [(n, n, None, None) for n in range(1, 3001)])
        assert store.finish_load(views) == []
        pages = c.execute(
            "SELECT relallvisible::float / relpages FROM pg_class WHERE relname IN ('p', 'c')"
        ).fetchall()
        assert all(share > 0.5 for (share,) in pages), pages


def test_orphans_are_counted_with_examples(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute(
            "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p)"
        )
        views = views_of(store, "p", "c")
        follower(store, views)
        store.prepare_load(views)
        loaded(store, views[1], [(1, 7), (2, 7), (3, 8), (4, None)])
        (finding,) = store.finish_load(views)
        assert finding.check == "postgres.orphans"
        assert finding.what == "3 row(s) have no parent in p, for example (7), (8)"
        with store.applying(TOKEN, "p") as applying:
            applying.apply([change(views[0], [(7,), (8,)])])
        assert store.finish_load(views) == []
        assert c.execute("SELECT convalidated FROM pg_constraint WHERE contype = 'f'").fetchall() == [(True,)]


def test_uninstalling_in_the_middle_of_a_load_brings_everything_back(
    store: PostgresStore, postgres_url: str
) -> None:
    with app(postgres_url) as c:
        c.execute(SHOP)
        before = c.execute(SHAPE).fetchall()
        views = views_of(store, "p", "c")
        follower(store, views)
        store.prepare_load(views)
        store.uninstall(MOVE)
        assert c.execute(SHAPE).fetchall() == before


def test_what_cannot_come_back_keeps_crossfade_installed(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY, u text UNIQUE)")
        view = view_of(store, "a")
        follower(store, [view])
        store.prepare_load([view])
        loaded(store, view, [(1, "x"), (2, "x")])
        with pytest.raises(Refused, match="cannot be built"):
            store.uninstall(MOVE)
        assert store.state(MOVE) is not None


def test_a_kill_in_the_middle_of_setting_aside_loses_no_definition(
    store: PostgresStore, postgres_url: str
) -> None:
    with app(postgres_url) as c, app(postgres_url) as watch:
        c.execute(SHOP)
        before = c.execute(SHAPE).fetchall()
        views = views_of(store, "p", "c")
        follower(store, views)
        c.execute("BEGIN; LOCK TABLE c IN ACCESS SHARE MODE; SELECT 1")
        failed: list[BaseException] = []

        def prepare() -> None:
            try:
                store.prepare_load(views)
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=prepare)
        thread.start()
        eventually(lambda: watch.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone())
        watch.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted")
        thread.join()
        c.execute("ROLLBACK")
        assert failed
        store.prepare_load(views)
        assert store.finish_load(views) == []
        store.uninstall(MOVE)
        assert c.execute(SHAPE).fetchall() == before


def test_sequences_are_set_when_the_load_is_finished(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE s (id serial PRIMARY KEY, v int)")
        c.execute(
            "CREATE TABLE i (id bigint GENERATED ALWAYS AS IDENTITY (INCREMENT 10 CACHE 5) PRIMARY KEY)"
        )
        views = views_of(store, "s", "i")
        follower(store, views)
        loaded(store, views[0], [(41, 1)])
        assert store.finish_load(views) == []
        assert store.sequences(views) == {1: 42, 2: -9}
        store.raise_sequences(views, {1: 7, 2: 1000})
        assert store.sequences(views)[1] == 42
        store.raise_sequences(views, {1: 100})
        c.execute("DROP TRIGGER crossfade_fence ON s; DROP TRIGGER crossfade_fence ON i")
        assert c.execute("INSERT INTO s (v) VALUES (1) RETURNING id").fetchone() == (101,)
        assert c.execute("INSERT INTO i DEFAULT VALUES RETURNING id").fetchone() == (1010,)
        assert store.sequences(views)[2] >= 1010 + 4 * 10


def test_an_ordinary_owner_can_do_everything(store: PostgresStore, postgres_url: str) -> None:
    """A role that owns the tables, logged in under its own name; the application has a third role."""
    name = postgres_url.split("/")[3].split("?")[0]
    with app(postgres_url) as c:
        c.execute("DROP ROLE IF EXISTS cf_owner, cf_app")
        c.execute("CREATE ROLE cf_owner LOGIN; CREATE ROLE cf_app LOGIN")
        c.execute(f'GRANT CREATE ON DATABASE "{name}" TO cf_owner; CREATE SCHEMA app AUTHORIZATION cf_owner')
    as_owner = postgres_url.replace("postgres@", "cf_owner@") + "&options=-csearch_path%3Dapp"
    as_app = as_owner.replace("cf_owner@", "cf_app@")
    owner = PostgresStore(as_owner)
    try:
        with app(as_owner) as c:
            c.execute("CREATE TABLE p (id serial PRIMARY KEY, u text UNIQUE)")
            c.execute("CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE)")
            c.execute("GRANT USAGE ON SCHEMA app TO cf_app; GRANT ALL ON ALL TABLES IN SCHEMA app TO cf_app")
            c.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA app TO cf_app")
        views = views_of(owner, "p", "c")
        assert [f for f in owner.preflight(views, leads=False) if f.level == "error"] == []
        follower(owner, views)
        owner.prepare_load(views)
        loaded(owner, views[0], [(1, "x"), (2, "y")])
        assert owner.finish_load(views) == []
        with owner.applying(TOKEN, "p") as applying:
            applying.apply([change(views[0], [(1, "y"), (2, "x")]), change(views[1], [(10, 1)])])
        with app(as_app) as c:
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                c.execute("INSERT INTO p (u) VALUES ('z')")
            owner.begin_attempt(MOVE, 0, 1)
            owner.rehearse_lead(MOVE, views[0])
            owner.raise_sequences(views, {1: 50})
            owner.lead(MOVE, 0, 1)
            c.execute("INSERT INTO p (u) VALUES ('z'); DELETE FROM p WHERE id = 1")
            with owner.snapshot() as snap:
                found = {n: sorted(t.column(0).to_pylist()) for n, t in snap.changed(views, None).items()}
            assert found == {1: [1, 51], 2: [10]}
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                c.execute("SELECT * FROM crossfade.log_1")
        owner.begin_attempt(MOVE, 1, 2)
        owner.fence(MOVE, 1, 2, 5)
        assert "oid:" in owner.identity()
        owner.busy(views)
        owner.uninstall(MOVE)
    finally:
        owner.close()
        with app(postgres_url) as c:
            c.execute("DROP OWNED BY cf_owner CASCADE; DROP OWNED BY cf_app; DROP ROLE cf_owner, cf_app")
