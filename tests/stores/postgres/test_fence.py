"""The fence: nobody but the applier writes once it is granted, whatever began before."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from crossfade.errors import AttemptOver, BudgetOver, CrossfadeError, StoreError, StoreUnreachable
from crossfade.stores.base import Role, Side
from crossfade.stores.postgres import PostgresStore
from tests.stores.postgres.scene import MOVE, app, eventually, follower, leader, lease, view_of, views_of

REFUSED = psycopg.errors.ReadOnlySqlTransaction


@pytest.fixture
def two(postgres_url: str) -> None:
    """A mapped table, and one that is not."""
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY, v int); CREATE TABLE other (id int PRIMARY KEY)")
        c.execute("INSERT INTO a SELECT i, i FROM generate_series(1, 100) i; INSERT INTO other VALUES (1)")


def led(store: PostgresStore, tables: tuple[str, ...] = ("a",)) -> None:
    leader(store, views_of(store, *tables))
    store.begin_attempt(MOVE, 0, 1)


@pytest.mark.usefixtures("two")
def test_every_kind_of_write_is_refused_on_every_table(store: PostgresStore, postgres_url: str) -> None:
    led(store)
    store.fence(MOVE, 0, 1, 5)
    with app(postgres_url) as c:
        for statement in (
            "INSERT INTO a VALUES (1000, 1)",
            "UPDATE a SET v = 2 WHERE false",
            "DELETE FROM a",
            "TRUNCATE a",
            "INSERT INTO other VALUES (2)",
            "COPY a FROM PROGRAM 'echo 1000'",
            "MERGE INTO a USING other o ON a.id = o.id WHEN MATCHED THEN DELETE",
        ):
            with pytest.raises(REFUSED, match="Crossfade move m: the new side"):
                c.execute(statement)
        c.execute("SET session_replication_role = replica")
        with pytest.raises(REFUSED):
            c.execute("DELETE FROM a")
    store.unfence(MOVE, 0, 1)
    with app(postgres_url) as c:
        c.execute("INSERT INTO a VALUES (1000, 1)")


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE", "READ COMMITTED"])
def test_a_transaction_begun_before_the_fence_cannot_write_after_it(
    store: PostgresStore, postgres_url: str, level: str
) -> None:
    led(store)
    with app(postgres_url) as c:
        c.execute(f"BEGIN ISOLATION LEVEL {level}")
        c.execute("SELECT count(*) FROM a")
        store.fence(MOVE, 0, 1, 5)
        with pytest.raises(REFUSED):
            c.execute("INSERT INTO a VALUES (1000, 1)")
        c.execute("ROLLBACK")


@pytest.mark.usefixtures("two")
def test_a_running_statement_is_waited_for(store: PostgresStore, postgres_url: str) -> None:
    led(store)
    with app(postgres_url) as c, app(postgres_url) as watch, ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            c.execute, "INSERT INTO a SELECT 1000 + i, 1 FROM generate_series(1, 5) i, pg_sleep(0.1)"
        )
        eventually(
            lambda: watch.execute(
                "SELECT 1 FROM pg_locks WHERE relation = 'a'::regclass AND mode = 'RowExclusiveLock'"
            ).fetchone()
        )
        store.fence(MOVE, 0, 1, 5)
        assert watch.execute("SELECT count(*) FROM a WHERE id > 1000").fetchone() == (5,)
        running.result()


@pytest.mark.usefixtures("two")
def test_the_budget_names_who_is_in_the_way_and_fences_nothing(
    store: PostgresStore, postgres_url: str
) -> None:
    led(store)
    with app(postgres_url, autocommit=False, application_name="slowpoke") as c, app(postgres_url) as d:
        c.execute("UPDATE a SET v = 7 WHERE id = 1")
        pid = c.info.backend_pid
        began = time.monotonic()
        with pytest.raises(BudgetOver, match=f"process {pid} .*slowpoke.*UPDATE a SET v = 7"):
            store.fence(MOVE, 0, 1, 0.3)
        assert time.monotonic() - began < 2
        d.execute("UPDATE a SET v = 8 WHERE id = 2")
        c.commit()
    found = store.state(MOVE)
    assert found is not None
    assert not found.fenced


@pytest.mark.usefixtures("two")
def test_a_prepared_transaction_is_waited_for_and_named(store: PostgresStore, postgres_url: str) -> None:
    led(store)
    with app(postgres_url) as c:
        c.execute("BEGIN; INSERT INTO a VALUES (1000, 1); PREPARE TRANSACTION 'gid1'")
        assert any("gid1" in line.what for line in store.busy(views_of(store, "a")))
        with pytest.raises(BudgetOver, match="prepared transaction 'gid1'"):
            store.fence(MOVE, 0, 1, 0.2)
        c.execute("COMMIT PREPARED 'gid1'")
        store.fence(MOVE, 0, 1, 5)


def test_partitions_are_fenced_one_by_one(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE p (id int PRIMARY KEY, v int) PARTITION BY RANGE (id)")
        c.execute("CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)")
        led(store, ("p",))
        c.execute("CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20)")  # after the installation
        store.fence(MOVE, 0, 1, 5)
        for table, key in (("p", 1), ("p1", 1), ("p2", 11)):
            with pytest.raises(REFUSED):
                c.execute(f"INSERT INTO {table} VALUES ({key})")


@pytest.mark.usefixtures("two")
def test_a_table_that_lost_its_trigger_is_fenced_again(store: PostgresStore, postgres_url: str) -> None:
    led(store)
    with app(postgres_url) as c:
        c.execute("DROP TRIGGER crossfade_fence ON other; CREATE TABLE fresh (id int)")
        c.execute("ALTER TABLE a DISABLE TRIGGER crossfade_fence")
        store.fence(MOVE, 0, 1, 5)
        for role in ("origin", "replica"):
            c.execute(f"SET session_replication_role = {role}")
            for table in ("a", "other", "fresh"):
                with pytest.raises(REFUSED):
                    c.execute(f"DELETE FROM {table}")


def test_the_fence_never_makes_a_writer_the_victim_of_a_deadlock(
    store: PostgresStore, postgres_url: str
) -> None:
    """The fence holds ``a`` and waits for ``b``; a writer that holds ``c`` waits for ``a``.  When ``b`` is
    released, the fence would wait for ``c``: a deadlock, in which the writer has waited longer."""
    waiting = "SELECT max(clock_timestamp() - waitstart) > INTERVAL '%s' FROM pg_locks WHERE relation = '%s'::regclass"
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int); CREATE TABLE c (id int)")
    led(store)
    with (
        app(postgres_url, autocommit=False) as holds_b,
        app(postgres_url, autocommit=False) as writer,
        app(postgres_url) as watch,
        ThreadPoolExecutor(2) as pool,
    ):
        holds_b.execute("INSERT INTO b VALUES (1)")
        writer.execute("INSERT INTO c VALUES (1)")
        fencing = pool.submit(store.fence, MOVE, 0, 1, 20)
        eventually(lambda: watch.execute(waiting % ("0 s", "b")).fetchone() == (True,))
        writing = pool.submit(writer.execute, "INSERT INTO a VALUES (1)")
        eventually(lambda: writing.done() or watch.execute(waiting % ("0.4 s", "a")).fetchone() == (True,))
        holds_b.commit()
        writing.result()
        writer.commit()
        fencing.result()
        with pytest.raises(REFUSED):
            watch.execute("DELETE FROM a")


@pytest.mark.usefixtures("two")
def test_only_the_leader_of_this_attempt_is_fenced(store: PostgresStore) -> None:
    led(store)
    for epoch, attempt in ((1, 1), (0, 2), (0, 0)):
        with pytest.raises(AttemptOver):
            store.fence(MOVE, epoch, attempt, 1)
    with pytest.raises(AttemptOver):
        store.unfence(MOVE, 0, 2)
    with pytest.raises(AttemptOver):
        store.begin_attempt(MOVE, 0, 1)


@pytest.mark.usefixtures("two")
def test_exactly_one_of_two_coordinators_leads(store: PostgresStore, postgres_url: str) -> None:
    follower(store, views_of(store, "a"))
    for attempt in range(1, 6):
        epoch = attempt - 1
        store.begin_attempt(MOVE, epoch, attempt)
        barrier = threading.Barrier(2)

        def race(epoch: int = epoch, attempt: int = attempt, barrier: threading.Barrier = barrier) -> str:
            barrier.wait()
            try:
                store.lead(MOVE, epoch, attempt)
            except AttemptOver:
                return "over"
            return "leads"

        with ThreadPoolExecutor(2) as pool:
            outcome = sorted(f.result() for f in [pool.submit(race), pool.submit(race)])
        assert outcome == ["leads", "over"]
        with store._db.session() as c:
            c.execute("UPDATE crossfade.state SET role = 'follower'")


@pytest.mark.usefixtures("two")
def test_an_aborted_attempt_cannot_lead(store: PostgresStore, postgres_url: str) -> None:
    follower(store, views_of(store, "a"))
    store.begin_attempt(MOVE, 0, 1)
    store.abort_attempt(MOVE, 0, 1)
    with pytest.raises(AttemptOver):
        store.lead(MOVE, 0, 1)
    with pytest.raises(AttemptOver):
        store.abort_attempt(MOVE, 0, 1)
    with app(postgres_url) as c, pytest.raises(REFUSED):
        c.execute("DELETE FROM a")


@pytest.mark.usefixtures("two")
def test_only_the_follower_of_this_attempt_leads(store: PostgresStore, postgres_url: str) -> None:
    follower(store, views_of(store, "a"))
    store.begin_attempt(MOVE, 0, 1)
    for epoch, attempt in ((0, 2), (0, 0), (1, 1)):
        with pytest.raises(AttemptOver):
            store.lead(MOVE, epoch, attempt)
    with pytest.raises(AttemptOver):
        store.unfence(MOVE, 0, 1)  # a follower's fence is not lifted
    with app(postgres_url) as c:
        with pytest.raises(REFUSED):
            c.execute("DELETE FROM a")
        store.lead(MOVE, 0, 1)
        c.execute("UPDATE crossfade.state SET epoch = 0")
        with pytest.raises(AttemptOver):
            store.lead(MOVE, 0, 1)


@pytest.mark.usefixtures("two")
def test_the_lead_goes_there_and_back(store: PostgresStore, postgres_url: str) -> None:
    views = views_of(store, "a")
    follower(store, views)
    with app(postgres_url) as c:
        store.begin_attempt(MOVE, 0, 1)
        store.rehearse_lead(MOVE, views[0])
        store.lead(MOVE, 0, 1)
        found = store.state(MOVE)
        assert found is not None
        assert (found.role, found.epoch, found.fenced, found.position) == (Role.LEADER, 1, False, None)
        c.execute("INSERT INTO a VALUES (1000, 1)")
        with store.snapshot() as snap:
            assert snap.changed(views, None)[1].column("id").to_pylist() == [1000]
        store.begin_attempt(MOVE, 1, 2)
        store.fence(MOVE, 1, 2, 5)
        store.follow(MOVE, 2, lease("back"), 12.5)
        store.follow(MOVE, 2, lease("back"), 12.5)
        found = store.state(MOVE)
        assert found is not None
        assert (found.role, found.epoch, found.fenced, found.verified_at) == (Role.FOLLOWER, 2, True, 12.5)
        assert found.lease is not None
        assert found.lease.token == "back"
        with pytest.raises(AttemptOver):
            store.follow(MOVE, 1, None, None)
        with pytest.raises(REFUSED):
            c.execute("DELETE FROM a")


@pytest.mark.usefixtures("two")
def test_leading_empties_the_log(store: PostgresStore, postgres_url: str) -> None:
    views = views_of(store, "a")
    leader(store, views)
    with app(postgres_url) as c:
        c.execute("UPDATE a SET v = 0; TRUNCATE a; INSERT INTO a VALUES (1, 1)")
        c.execute("UPDATE crossfade.state SET role = 'follower'")
        store.begin_attempt(MOVE, 0, 1)
        store.lead(MOVE, 0, 1)
        assert c.execute("SELECT (SELECT count(*) FROM crossfade.log_1), (SELECT count(*) FROM crossfade.mark)").fetchone() == (0, 0)  # fmt: skip


@pytest.mark.usefixtures("two")
def test_an_unfenced_side_is_drained_before_it_follows(store: PostgresStore, postgres_url: str) -> None:
    led(store)
    with app(postgres_url, autocommit=False) as c, ThreadPoolExecutor(1) as pool:
        c.execute("INSERT INTO a VALUES (1000, 1)")
        following = pool.submit(store.follow, MOVE, 1, None, None)
        with app(postgres_url) as watch:
            eventually(lambda: watch.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone())
        assert not following.done()
        c.commit()
        following.result()
        with pytest.raises(REFUSED):
            c.execute("DELETE FROM a")


@pytest.mark.usefixtures("two")
def test_cut_off_ends_the_writers_but_not_the_readers(store: PostgresStore, postgres_url: str) -> None:
    led(store)
    with (
        app(postgres_url, autocommit=False) as writer,
        app(postgres_url, autocommit=False) as reader,
    ):
        writer.execute("UPDATE a SET v = 7 WHERE id = 1")
        reader.execute("SELECT count(*) FROM a")
        assert store.cut_off() == 1
        store.fence(MOVE, 0, 1, 5)
        assert reader.execute("SELECT v FROM a WHERE id = 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError):
            writer.execute("SELECT 1")


@pytest.mark.usefixtures("two")
def test_the_rehearsal_sees_a_capture_that_is_off(store: PostgresStore, postgres_url: str) -> None:
    views = views_of(store, "a")
    follower(store, views)
    store.rehearse_lead(MOVE, views[0])
    store.rehearse_lead(MOVE, None)
    with app(postgres_url) as c:
        c.execute("DELETE FROM crossfade.log_1")
        for breaks, mends in (
            (
                "ALTER TABLE a DISABLE TRIGGER crossfade_capture",
                "ALTER TABLE a ENABLE ALWAYS TRIGGER crossfade_capture",
            ),
            (
                "ALTER TABLE a DISABLE TRIGGER crossfade_fence",
                "ALTER TABLE a ENABLE ALWAYS TRIGGER crossfade_fence",
            ),
        ):
            c.execute(breaks)
            with pytest.raises(StoreError, match="missing or disabled"):
                store.rehearse_lead(MOVE, views[0])
            c.execute(mends)
        body = c.execute("SELECT pg_get_functiondef('crossfade.capture_1()'::regprocedure)").fetchone()
        assert body is not None
        c.execute("CREATE OR REPLACE FUNCTION crossfade.capture_1() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")  # fmt: skip
        with pytest.raises(StoreError, match="not captured"):
            store.rehearse_lead(MOVE, views[0])
        c.execute(body[0])
        store.rehearse_lead(MOVE, views[0])
        assert c.execute("SELECT count(*) FROM crossfade.log_1").fetchone() == (0,)


@pytest.mark.usefixtures("two")
def test_a_lost_database_is_unreachable(store: PostgresStore, postgres_url: str) -> None:
    follower(store, views_of(store, "a"))
    gone = PostgresStore(postgres_url.replace("host=/", "host=/nowhere/"))
    with pytest.raises(StoreUnreachable):
        gone.state(MOVE)
    with app(postgres_url) as c:
        ours = "FROM pg_stat_activity WHERE application_name = 'crossfade' AND datname = current_database()"
        c.execute(f"SELECT pg_terminate_backend(pid) {ours}")
        eventually(lambda: not c.execute(f"SELECT 1 {ours}").fetchone())
    assert store.state(MOVE) is not None  # a session ended while it was idle is replaced


def test_a_connection_lost_in_the_middle_of_leading_is_unreachable(
    store: PostgresStore, postgres_url: str
) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY)")
        follower(store, views_of(store, "a"))
        store.begin_attempt(MOVE, 0, 1)
        c.execute("BEGIN; LOCK TABLE crossfade.log_1 IN ACCESS EXCLUSIVE MODE")
        with ThreadPoolExecutor(1) as pool:
            leading = pool.submit(store.lead, MOVE, 0, 1)
            with app(postgres_url) as watch:
                eventually(lambda: watch.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone())
                watch.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted")
            with pytest.raises(StoreUnreachable):
                leading.result()
        c.execute("ROLLBACK")
    found = store.state(MOVE)
    assert found is not None
    assert found.role is Role.FOLLOWER


def test_errors_of_the_fence_are_crossfades(store: PostgresStore) -> None:
    with pytest.raises(CrossfadeError):
        store.fence(MOVE, 0, 1, 1)
    assert store.state(MOVE) is None


def test_two_moves_do_not_share_a_database(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY)")
    leader(store, [view_of(store, "a")])
    with pytest.raises(StoreError, match="already takes part in move 'm'"):
        store.install("n", Side.NEW, Role.LEADER, [view_of(store, "a")], peer=None)
