"""The log: passes by snapshots are exact, whatever the order of commits."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping

import psycopg
import pyarrow as pa
import pytest

from crossfade.stores.base import Role, Side, View
from crossfade.stores.postgres import PostgresStore
from tests.stores.postgres.scene import MOVE, app, everything, keys_of, leader, refuse, view_of, views_of


def logged(store: PostgresStore, view: View, since: str | None = None) -> list[object]:
    with store.snapshot() as snap:
        found = snap.changed([view], since)
    return sorted(found[view.id].column(0).to_pylist()) if view.id in found else []


def test_every_change_logs_its_key(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY, v int); INSERT INTO a VALUES (1, 1), (2, 2), (3, 3)")
        view = view_of(store, "a")
        leader(store, [view])
        assert logged(store, view) == []
        c.execute("INSERT INTO a VALUES (10, 1)")
        c.execute("UPDATE a SET v = 5 WHERE id = 1")
        c.execute("UPDATE a SET id = 20 WHERE id = 2")
        c.execute("DELETE FROM a WHERE id = 3")
        c.execute("INSERT INTO a VALUES (10, 7) ON CONFLICT (id) DO UPDATE SET v = 7")
        c.execute("BEGIN; INSERT INTO a VALUES (99, 1); ROLLBACK")
        c.execute("SET session_replication_role = replica; INSERT INTO a VALUES (30, 1)")
        assert logged(store, view) == [1, 2, 3, 10, 20, 30]


def test_keys_are_logged_bytewise(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (k char(3), u uuid, t timestamptz, n numeric, PRIMARY KEY (k, u, t, n))")
        view = view_of(store, "a")
        leader(store, [view])
        c.execute(
            "INSERT INTO a VALUES ('a', 'AAAAAAAA-0000-0000-0000-000000000000', '2020-01-01 12:00+02', 1.50)"
        )
        with store.snapshot() as snap:
            keys = snap.changed([view], None)[1]
            assert keys.schema.equals(view.key_schema)
            assert keys.to_pylist()[0]["k"] == "a  "
            assert keys.to_pylist()[0]["n"] == "1.5"
            assert snap.rows(view, keys, refuse).num_rows == 1


def test_cascades_are_captured(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE p (id int PRIMARY KEY)")
        c.execute("CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE)")
        c.execute("INSERT INTO p VALUES (1); INSERT INTO c VALUES (10, 1), (11, 1)")
        views = views_of(store, "p", "c")
        leader(store, views)
        c.execute("DELETE FROM p")
        assert logged(store, views[1]) == [10, 11]


def test_writes_to_a_partition_and_between_partitions_are_captured(
    store: PostgresStore, postgres_url: str
) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE p (id int PRIMARY KEY, v int) PARTITION BY RANGE (id)")
        c.execute("CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)")
        view = view_of(store, "p")
        leader(store, [view])
        c.execute("CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20)")
        c.execute("INSERT INTO p1 VALUES (1); INSERT INTO p2 VALUES (12); UPDATE p SET id = 13 WHERE id = 1")
        assert logged(store, view) == [1, 12, 13]
        store.install(MOVE, Side.NEW, Role.LEADER, [view], peer=None)
        with store.snapshot() as snap:
            before = snap.fingerprints([view])
        c.execute("TRUNCATE p2")
        with store.snapshot() as snap:
            assert snap.fingerprints([view]) != before
        assert c.execute("SELECT reason FROM crossfade.mark").fetchall() == [("TRUNCATE",)]


@pytest.mark.parametrize(
    "change",
    [
        "TRUNCATE a",
        "ALTER TABLE a ADD COLUMN w int",
        "ALTER TABLE a ALTER v TYPE bigint",
        "ALTER TABLE a ALTER v SET NOT NULL",
        "ALTER TABLE a RENAME v TO w",
        "VACUUM FULL a",
        "ALTER TABLE a DISABLE TRIGGER crossfade_capture",
        "ALTER TABLE a ENABLE TRIGGER crossfade_fence",
        "DROP TRIGGER crossfade_mark ON a",
        "ALTER TABLE a DISABLE TRIGGER crossfade_capture; ALTER TABLE a ENABLE ALWAYS TRIGGER crossfade_capture",
        "CREATE OR REPLACE FUNCTION crossfade.capture_1() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE OR REPLACE FUNCTION crossfade.fence() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN /**/ RETURN NULL; END'",
        "DROP TABLE a",
        "ALTER TABLE a RENAME TO b",
    ],
)
def test_a_fingerprint_changes_with(store: PostgresStore, postgres_url: str, change: str) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY, v int); CREATE TABLE other (id int PRIMARY KEY)")
        views = views_of(store, "a", "other")
        leader(store, views)
        with store.snapshot() as snap:
            before = snap.fingerprints(views)
        c.execute("INSERT INTO a VALUES (1, 1)")
        store.begin_attempt(MOVE, 0, 1)
        store.fence(MOVE, 0, 1, 5)
        store.trim("1:1:")
        with store.snapshot() as snap:
            assert snap.fingerprints(views) == before
        store.unfence(MOVE, 0, 1)
        c.execute(change)
        with store.snapshot() as snap:
            after = snap.fingerprints(views)
        assert after[1] != before[1]
        if "FUNCTION crossfade.fence" not in change:
            assert after[2] == before[2]


def test_installing_again_arms_what_is_gone_and_keeps_the_state(
    store: PostgresStore, postgres_url: str
) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY)")
        view = view_of(store, "a")
        leader(store, [view])
        with store.snapshot() as snap:
            before = snap.fingerprints([view])
        store.begin_attempt(MOVE, 0, 3)
        c.execute("INSERT INTO a VALUES (1)")
        c.execute("DROP TRIGGER crossfade_capture ON a; ALTER TABLE a DISABLE TRIGGER crossfade_fence")
        store.install(MOVE, Side.NEW, Role.FOLLOWER, [view], peer="x")
        found = store.state(MOVE)
        assert found is not None
        assert (found.role, found.attempt, found.fenced, found.peer) == (Role.LEADER, 3, False, "x")
        c.execute("INSERT INTO a VALUES (2)")
        assert logged(store, view) == [1, 2]
        with store.snapshot() as snap:
            assert snap.fingerprints([view])[1] != before[1]  # there was a gap in the log
        store.install(MOVE, Side.NEW, Role.LEADER, [view], peer=None)
        with store.snapshot() as snap:
            first = snap.fingerprints([view])
        store.install(MOVE, Side.NEW, Role.LEADER, [view], peer=None)
        with store.snapshot() as snap:
            assert snap.fingerprints([view]) == first


def test_a_view_that_is_no_longer_mapped_is_forgotten(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)")
        views = views_of(store, "a", "b")
        leader(store, views)
        leader(store, views[:1])
        c.execute("INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)")
        assert c.execute("SELECT to_regclass('crossfade.log_2')").fetchone() == (None,)
        assert logged(store, views[0]) == [1]


def test_uninstall_leaves_nothing(store: PostgresStore, postgres_url: str) -> None:
    shape = "SELECT (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal), to_regnamespace('crossfade')"
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY)")
        c.execute("CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)")
        c.execute("CREATE TABLE p1 PARTITION OF p DEFAULT")
        leader(store, views_of(store, "a", "p"))
        store.uninstall(MOVE)
        assert c.execute(shape).fetchone() == (0, None)
        store.uninstall(MOVE)
        assert store.state(MOVE) is None
        assert store.trim("1:1:") == 0


def test_trim_discards_what_a_snapshot_saw_and_nothing_else(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c, app(postgres_url, autocommit=False) as slow:
        c.execute("CREATE TABLE a (id int PRIMARY KEY)")
        view = view_of(store, "a")
        leader(store, [view])
        slow.execute("INSERT INTO a VALUES (1)")  # the older transaction commits last
        c.execute("INSERT INTO a VALUES (2)")
        with store.snapshot() as snap:
            position = snap.position
        c.execute("INSERT INTO a VALUES (3)")
        slow.commit()
        assert store.trim(position) == 1
        assert logged(store, view, position) == [1, 3]
        assert logged(store, view, position) == [1, 3]


def test_a_snapshot_sees_the_log_and_the_rows_of_one_instant(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY, v int); INSERT INTO a VALUES (1, 1)")
        view = view_of(store, "a")
        leader(store, [view])
        c.execute("SET lock_timeout = '50ms'")
        with store.snapshot() as snap:
            with pytest.raises(psycopg.errors.LockNotAvailable):
                c.execute("TRUNCATE a")  # before the snapshot has read anything of it
            c.execute("UPDATE a SET v = 2")
            assert snap.changed([view], None) == {}
            assert snap.rows(view, keys_of(view, [1]), refuse).to_pylist() == [{"id": 1, "v": 1}]
        assert logged(store, view) == [1]


WRITERS, PASSES, KEYS = 8, 40, 60


class Replica:
    """A dictionary that follows the table by passes."""

    def __init__(self) -> None:
        self.rows: dict[int, int] = {}

    def bring(self, keys: list[int], found: Mapping[int, int]) -> None:
        for key in keys:
            if key in found:
                self.rows[key] = found[key]
            else:
                self.rows.pop(key, None)


def _write(url: str, seed: int, stop: threading.Event) -> None:
    chance = random.Random(seed)
    with psycopg.connect(url) as c:
        while not stop.is_set():
            for _ in range(chance.randint(1, 4)):
                key, value = chance.randrange(KEYS), chance.randrange(10**9)
                action = chance.random()
                c.execute("SAVEPOINT s")
                if action < 0.6:
                    c.execute(
                        "INSERT INTO a VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET v = excluded.v",
                        [key, value],
                    )
                elif action < 0.8:
                    c.execute("DELETE FROM a WHERE id = %s", [key])
                else:
                    c.execute(
                        "UPDATE a SET id = %s, v = %s WHERE id = %s AND NOT EXISTS (SELECT FROM a WHERE id = %s)",
                        [key + KEYS, value, key, key + KEYS],
                    )
                if chance.random() < 0.2:
                    c.execute("ROLLBACK TO s")
            ending = chance.random()
            if ending < 0.1:
                gid = f"g{seed}"
                c.execute(f"PREPARE TRANSACTION '{gid}'")
                c.commit()
                c.autocommit = True
                c.execute(f"{'COMMIT' if ending < 0.07 else 'ROLLBACK'} PREPARED '{gid}'")
                c.autocommit = False
            elif ending < 0.25:
                c.rollback()
            else:
                c.commit()


def _writing(url: str) -> tuple[list[threading.Thread], threading.Event, list[BaseException]]:
    stop, wrong = threading.Event(), []

    def run(seed: int) -> None:
        while not stop.is_set():
            try:
                _write(url, seed, stop)
            except (psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation):
                continue
            except BaseException as error:
                wrong.append(error)
                return

    threads = [threading.Thread(target=run, args=(i,)) for i in range(WRITERS)]
    for thread in threads:
        thread.start()
    return threads, stop, wrong


@pytest.fixture
def busy_table(store: PostgresStore, postgres_url: str) -> View:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY, v bigint)")
    view = view_of(store, "a")
    leader(store, [view])
    return view


def test_passes_by_position_are_exact_under_concurrent_writers(
    store: PostgresStore, postgres_url: str, busy_table: View
) -> None:
    threads, stop, wrong = _writing(postgres_url)
    replica, since = Replica(), None
    seen = 0
    try:
        for number in range(PASSES):
            with store.snapshot() as snap:
                changed = snap.changed([busy_table], since)
                whole = dict(_pairs(snap._read("SELECT id::bigint, v FROM a")))
                since = snap.position
                if changed:
                    keys = changed[1]
                    replica.bring(
                        keys.column(0).to_pylist(), dict(_pairs(snap.rows(busy_table, keys, refuse)))
                    )
                    seen += keys.num_rows
            assert replica.rows == whole
            if number % 5 == 4:
                store.trim(since)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong
    assert seen > PASSES
    with store.snapshot() as snap:
        keys = snap.changed([busy_table], since).get(1)
        if keys is not None:
            replica.bring(keys.column(0).to_pylist(), dict(_pairs(snap.rows(busy_table, keys, refuse))))
    assert replica.rows == dict(_pairs(everything(store, busy_table)))


def test_a_high_water_mark_on_the_log_would_miss_what_commits_late(
    store: PostgresStore, postgres_url: str, busy_table: View
) -> None:
    """Why a position is a snapshot: the smaller ``seq`` may become visible after the larger one."""
    with app(postgres_url) as c, app(postgres_url, autocommit=False) as slow:
        slow.execute("INSERT INTO a VALUES (1, 1)")
        c.execute("INSERT INTO a VALUES (2, 2)")
        with store.snapshot() as snap:
            since = snap.position
            mark = snap._read("SELECT max(seq) AS m FROM crossfade.log_1")["m"][0].as_py()
        slow.commit()
        late = c.execute("SELECT count(*) FROM crossfade.log_1 WHERE seq > %s", [mark]).fetchone()
        assert late == (0,)
        assert logged(store, busy_table, since) == [1]


def _pairs(table: pa.Table) -> list[tuple[int, int]]:
    return [tuple(row.values()) for row in table.to_pylist()]  # type: ignore[misc]
