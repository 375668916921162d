"""What the database says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossfade.errors import BackupError, StoreError, UsageError
from crossfade.stores.postgres import PostgresStore, backup
from tests.stores.postgres.scene import MOVE, app, everything, follower, leader, refuse, view_of, views_of


def checks(store: PostgresStore, *tables: str, leads: bool = False) -> dict[str, str]:
    return {
        f.check: f.level for f in store.preflight(views_of(store, *tables), leads=leads) if f.level != "ok"
    }


def test_a_fitting_database_has_nothing_to_say(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY)")
    assert checks(store, "a") == {}
    assert checks(store, "a", leads=True) == {}


@pytest.mark.parametrize(
    ("statement", "leads", "check", "level"),
    [
        ("ALTER TABLE a SET UNLOGGED", False, "postgres.unlogged", "warning"),
        ("ALTER TABLE a ENABLE ROW LEVEL SECURITY; ALTER TABLE a FORCE ROW LEVEL SECURITY", True,
         "postgres.row_security", "error"),
        ("CREATE TABLE kid () INHERITS (a)", True, "postgres.inheritance", "error"),
        ("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; "
         "CREATE TRIGGER own BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION f()", False,
         "postgres.app_triggers", "warning"),
        ("CREATE RULE r AS ON DELETE TO a DO INSTEAD NOTHING", True, "postgres.rules", "warning"),
        ("ALTER TABLE a DROP CONSTRAINT a_pkey", True, "postgres.no_key", "error"),
        ("INSERT INTO a VALUES (1)", False, "postgres.not_empty", "error"),
        ("CREATE SCHEMA far CREATE TABLE away (id int)", True, "postgres.other_schemas", "warning"),
        ("BEGIN; INSERT INTO a VALUES (1); PREPARE TRANSACTION 'g'", True, "postgres.prepared", "warning"),
    ],
)  # fmt: skip
def test_what_is_found(
    store: PostgresStore, postgres_url: str, statement: str, leads: bool, check: str, level: str
) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY)")
        c.execute(statement)
    assert checks(store, "a", leads=leads).get(check) == level


def test_our_own_triggers_are_not_the_applications(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY)")
    follower(store, views_of(store, "a"))
    assert checks(store, "a") == {}
    assert store.inspect().tables.keys() == {"a"}
    assert store.inspect().tables["a"].triggers == ()


def test_what_is_busy(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)")
        views = views_of(store, "a")
        assert store.busy(views) == []
        with app(postgres_url, autocommit=False) as idle:
            idle.execute("INSERT INTO a VALUES (1)")
            idle.execute("SELECT pg_sleep(1.05)")
            (line,) = store.busy(views)
            assert f"process {idle.info.backend_pid}: idle in transaction" in line.what
            assert not line.maintenance
            assert store.busy(views_of(store, "b")) == []


def test_the_identity_tells_databases_apart(store: PostgresStore, postgres_url: str) -> None:
    other = PostgresStore(postgres_url.replace(postgres_url.split("/")[3].split("?")[0], "postgres", 1))
    try:
        assert "system:" in store.identity()
        assert store.identity() == store.identity()
        other = PostgresStore(
            postgres_url.split("?")[0].rsplit("/", 1)[0] + "/postgres?" + postgres_url.split("?")[1]
        )
        assert store.identity() != other.identity()
    finally:
        other.close()


def test_a_backup_is_restored_and_equal(store: PostgresStore, postgres_url: str, tmp_path: Path) -> None:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a VALUES (1, 'x'), (2, NULL)")
        view = view_of(store, "a")
        leader(store, [view])
        file = store.backup(tmp_path)
        assert file.exists()
        c.execute("DELETE FROM a")
        with store.restore(file, tmp_path) as copy:
            name = copy.identity()
            assert isinstance(copy, PostgresStore)
            assert everything(copy, view).num_rows == 2
            assert copy.state(MOVE) is not None
            assert name != store.identity()
        assert everything(store, view).num_rows == 0
        left = c.execute(
            "SELECT count(*) FROM pg_database WHERE datname LIKE 'crossfade_restore%'"
        ).fetchone()
        assert left == (0,)


def test_backups_that_fail_say_so(store: PostgresStore, postgres_url: str, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="missing"), store.restore(tmp_path / "none", tmp_path):
        pass
    (tmp_path / "bad").write_bytes(b"not a dump")
    with pytest.raises(BackupError, match="pg_restore failed"), store.restore(tmp_path / "bad", tmp_path):
        pass
    store._db._version = 99_0000
    with pytest.raises(BackupError, match="no pg_dump of PostgreSQL 99"):
        backup.program(store._db, "pg_dump")


def test_addresses_and_tables_that_are_not_there(store: PostgresStore, postgres_url: str) -> None:
    with pytest.raises(UsageError):
        PostgresStore("postgresql://a@b:c:d/e?nonsense=1")
    with pytest.raises(StoreError, match="42P01"):
        store.count("missing")
    nowhere = PostgresStore(postgres_url + "&options=-csearch_path%3Dmissing")
    with pytest.raises(StoreError, match="search path"):
        nowhere.inspect()
    nowhere.close()


def test_names_that_need_quoting(store: PostgresStore, postgres_url: str) -> None:
    name = 'we"ird Ta%sble'
    with app(postgres_url) as c:
        c.execute('CREATE TABLE "we""ird Ta%sble" ("k""ey" int PRIMARY KEY, "a b%" text)')
        view = view_of(store, name)
        leader(store, [view])
        c.execute('INSERT INTO "we""ird Ta%sble" VALUES (1, \'%s\')')
        with store.snapshot() as snap:
            keys = snap.changed([view], None)[1]
            assert snap.rows(view, keys, refuse).to_pylist() == [{'k"ey': 1, "a b%": "%s"}]
        assert store.plan(view, 1)[0].upto == (1,)
        store.busy([view])
        store.raise_sequences([view], {})
        store.rehearse_lead(MOVE, view)
