"""Tables made from logical types, with SQLite's defaults, keys, indexes and foreign keys."""

from __future__ import annotations

import pytest

from crossfade.stores.base import Chunk, Column, Field, ForeignKey, Index, Table, View
from crossfade.stores.postgres import PostgresStore, bring_back
from crossfade.stores.postgres.bring_back import build_keys
from crossfade.stores.postgres.ddl import native_type
from crossfade.stores.postgres.defaults import portable, translated
from crossfade.stores.postgres.names import fitted
from crossfade.types import Kind, LogicalType
from tests.stores.postgres.scene import MOVE, TOKEN, app, change, follower, listed


def L(kind: str, **more: object) -> LogicalType:  # noqa: N802
    return LogicalType(Kind(kind), **more)  # type: ignore[arg-type]


def col(name: str, kind: str, default: str | None = None, nullable: bool = True, **more: object) -> Column:
    return Column(name, kind.upper(), L(kind, **more), nullable=nullable, default=default)


def viewed(number: int, table: Table) -> View:
    fields = tuple(Field(c.name, c, c.type) for c in table.columns if c.type is not None and not c.generated)
    return View(number, table, fields, table.key)


USERS = Table(
    name="users",
    columns=(
        col("id", "integer", bits=64, nullable=False),
        col("name", "text", "'it''s'", nullable=False),
        col("email", "text", "NULL"),
        col("active", "boolean", "1"),
        col("score", "float", "0"),
        col("made", "timestamp", "CURRENT_TIMESTAMP"),
        col("seen", "instant", "(datetime('now'))"),
        col("day", "date", "(date('now'))"),
        col("stamp", "text", "(strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))"),
        col("price", "decimal", "9.90", precision=8, scale=2),
        col("raw", "bytes", "x'00ff'"),
        col("odd", "text", "(random())"),
        Column("twice", "REAL", L("float"), default='"score" * 2', generated=True),
        Column("mad", "TEXT", L("text"), default="upper(name)", generated=True),
    ),
    key=("id",),
    indexes=(
        Index("users_email", ("email",), unique=True, collations=("NOCASE",)),
        Index("sqlite_autoindex_users_1", ("name", "price"), unique=True, constraint=True),
        Index("users_live", ("name",), where="active = true"),
        Index("users_fancy", (None,), sql="CREATE INDEX ..."),
    ),
    checks=("CHECK (length(name) > 0)",),
    sequence="id",
)
POSTS = Table(
    name="posts",
    columns=(col("id", "uuid", nullable=False), col("user", "integer"), col("up", "uuid")),
    key=("id",),
    foreign_keys=(
        ForeignKey("", ("user",), "users", ("id",), on_delete="SET NULL"),
        ForeignKey("up_fk", ("up",), "posts", ("id",), deferrable=True),
    ),
)


def test_tables_are_made_and_finished(store: PostgresStore, postgres_url: str) -> None:
    views = [viewed(1, USERS), viewed(2, POSTS)]
    source = {1: USERS, 2: POSTS}
    findings = store.create_tables(views, source)
    assert sorted((f.level, f.check) for f in findings) == [
        ("warning", "postgres.check"),
        ("warning", "postgres.default"),
        ("warning", "postgres.generated"),
        ("warning", "postgres.index"),
        ("warning", "postgres.nocase"),
    ]
    assert store.create_tables(views, source) == []
    follower(store, views)
    store.prepare_load(views)
    made = store.inspect().tables
    assert made["users"].key == ()
    assert [c.declared for c in made["users"].columns] == [
        "bigint", "text", "text", "boolean", "double precision", "timestamp without time zone",
        "timestamp with time zone", "date", "text", "numeric(8,2)", "bytea", "text", "double precision",
    ]  # fmt: skip
    few = View(1, USERS, tuple(views[0].field(n) for n in ("id", "name", "email", "score")), ("id",))
    rows = change(few, [(1, "a", "X@y", 1.5), (2, "b", "z", 2.0)]).upserts
    assert store.load(few, rows.to_batches(), lambda n: Chunk(1, 1, n), TOKEN) == 2
    with store.applying(TOKEN, "p") as applying:  # the first pass builds the primary keys
        applying.apply([change(few, [(2, "b", "zz", 2.0)])])
    assert store.inspect().tables["users"].key == ("id",)
    assert store.finish_load(views) == []
    made = store.inspect().tables
    assert {i.name: i.unique for i in made["users"].indexes} == {
        "users_email": True,
        "users_name_price_key": True,
        "users_live": False,
    }
    assert {k.name: (k.on_delete, k.deferrable) for k in made["posts"].foreign_keys} == {
        "posts_user_fkey": ("SET NULL", True),
        "up_fk": ("NO ACTION", True),
    }
    store.uninstall(MOVE)
    assert {k.name: k.deferrable for k in store.inspect().tables["posts"].foreign_keys} == {
        "posts_user_fkey": False,
        "up_fk": True,
    }
    with app(postgres_url) as c:
        c.execute("INSERT INTO users DEFAULT VALUES")
        row = c.execute(
            "SELECT id, name, email, active, score, price::text, raw, odd, twice, stamp ~ '^....-..-..T..:..:..[.]...Z$', "
            "abs(extract(epoch FROM now() - seen)) < 60, made IS NOT NULL, day IS NOT NULL FROM users WHERE id = 3"
        ).fetchone()
        assert row == (3, "it's", None, True, 0.0, "9.90", b"\x00\xff", None, 0.0, True, True, True, True)
        assert c.execute("SELECT twice FROM users WHERE id = 1").fetchone() == (3.0,)
        assert len(listed(store, few)) == 3


def test_a_key_of_which_only_the_index_was_made_is_finished(store: PostgresStore, postgres_url: str) -> None:
    """What a kill leaves between the index and the constraint: the next command, or the first pass, ends it."""
    for number, finish in enumerate(
        (lambda view: store.finish_load([view]), lambda _: build_keys(store._db)), 1
    ):
        table = Table(f"t{number}", (col("id", "integer", nullable=False),), ("id",))
        view = viewed(number, table)
        store.create_tables([view], {number: table})
        follower(store, [view])
        (key,) = [row for row in bring_back._noted(store._db) if row.kind == "key"]
        assert bring_back._build(store._db, key) == []
        with app(postgres_url) as c:
            keys = f"SELECT conname, contype FROM pg_constraint WHERE conrelid = 't{number}'::regclass AND contype = 'p'"
            assert c.execute(keys).fetchall() == []
            finish(view)
            assert c.execute(keys).fetchall() == [(f"t{number}_pkey", "p")]
        store.uninstall(MOVE)


def test_duplicates_that_differ_in_case_are_reported(store: PostgresStore) -> None:
    table = Table(
        "t", (col("id", "integer", nullable=False), col("e", "text")), ("id",),
        indexes=(Index("t_e", ("e",), unique=True, collations=("NOCASE",)),),
    )  # fmt: skip
    view = viewed(1, table)
    store.create_tables([view], {1: table})
    follower(store, [view])
    rows = change(view, [(1, "A"), (2, "a"), (3, "É"), (4, "é")]).upserts
    store.load(view, rows.to_batches(), lambda n: Chunk(1, 1, n), TOKEN)
    (finding,) = store.finish_load([view])
    assert (finding.level, finding.check) == ("error", "postgres.unique")
    assert "(a)" in finding.what
    with store.applying(TOKEN, "p") as applying:
        applying.apply([change(view, [(2, "b")])])
    assert store.finish_load([view]) == []  # É and é are two values to SQLite's NOCASE as well


@pytest.mark.parametrize(
    ("default", "kind", "expected"),
    [
        ("0", "integer", "0"),
        ("-1", "integer", "-1"),
        ("+5", "integer", "5"),
        ("'5'", "integer", "5"),
        ('"0"', "integer", "0"),
        ("'abc'", "integer", None),
        ("1.5", "integer", None),
        ("1.5e3", "float", "1.5e3"),
        ("true", "boolean", "true"),
        ("'f'", "boolean", "false"),
        ("2", "boolean", None),
        ("null", "text", "NULL"),
        ("(NULL)", "timestamp", "NULL"),
        ("''", "text", "''"),
        ('""', "text", "''"),
        ("'a''b'", "text", "'a''b'"),
        ("x'4142'", "text", None),
        ("CURRENT_TIMESTAMP", "instant", "now()"),
        ("current_date", "date", "(now() AT TIME ZONE 'UTC')::date"),
        ("(unixepoch())", "integer", "extract(epoch FROM now())::bigint"),
        ("(strftime('%s','now'))", "integer", "extract(epoch FROM now())::bigint"),
        ("(strftime('%s', 'now'))", "text", None),
        ("(datetime('now', 'localtime'))", "text", None),
        ("(strftime('%Y-%m-%d %H:%M:%S', 'now'))", "text", "to_char((now() AT TIME ZONE 'UTC'), 'YYYY-MM-DD HH24:MI:SS')"),
        ("0", "timestamp", None),
        ("'2020-01-01'", "timestamp", "'2020-01-01'"),
        ("(abs(random()))", "integer", None),
        ("a'); DROP TABLE x; --", "text", None),
    ],
)  # fmt: skip
def test_defaults_of_sqlite(default: str, kind: str, expected: str | None) -> None:
    assert translated(default, L(kind)) == expected


def test_expressions_that_mean_the_same_everywhere() -> None:
    for good in ("deleted = 0", "\"a\" || 'x'", "a * 2 + coalesce(b, 0)", "a IS NOT NULL AND b IN (1, 2)"):
        assert portable(good), good
    for bad in (
        "upper(a)",
        "a / 2",
        "a LIKE 'x%'",
        "json(a)",
        "a; b",
        "a -- b",
        "length(a)",
        "a -> 'b'",
        "a % 2",
    ):
        assert not portable(bad), bad


def test_types() -> None:
    assert native_type(L("integer")) == "bigint"
    assert native_type(L("integer", bits=32)) == "integer"
    assert native_type(L("float")) == "double precision"
    assert native_type(L("text", length=20)) == "character varying(20)"
    assert native_type(L("instant", precision=3)) == "timestamp(3) with time zone"
    assert native_type(L("opaque", native="inet")) == "inet"
    assert native_type(L("json")) == "json"


def test_long_names_are_cut_without_collisions() -> None:
    one, two = "é" * 40 + "1", "é" * 40 + "2"
    assert fitted("short") == "short"
    assert fitted(one) != fitted(two)
    assert len(fitted(one).encode()) <= 63
    assert fitted(one) == fitted(one)
