"""What the catalogue says, as the protocol's tables and columns."""

from __future__ import annotations

from crossfade.stores.base import ForeignKey
from crossfade.stores.postgres import PostgresStore
from crossfade.types import Kind, LogicalType
from tests.stores.postgres.scene import app

SQL = """
CREATE TYPE mood AS ENUM ('a', 'b');
CREATE DOMAIN code AS varchar(20) NOT NULL;
CREATE TABLE p (
  id serial PRIMARY KEY, c code UNIQUE, n numeric(10,-2), ch char(3), at timestamptz(3), m mood, arr int[],
  low text GENERATED ALWAYS AS (lower(c)) STORED, "C" text COLLATE "C" DEFAULT 'x', CHECK (n > 0));
CREATE TABLE q (a int NOT NULL, b int NOT NULL, p int REFERENCES p ON DELETE CASCADE DEFERRABLE);
CREATE UNIQUE INDEX q_ab ON q (a, b);
CREATE UNIQUE INDEX q_part ON q (a) WHERE p > 1;
CREATE UNIQUE INDEX q_expr ON q (abs(a));
CREATE TABLE part (id int, d date, PRIMARY KEY (id, d)) PARTITION BY RANGE (d);
CREATE TABLE part1 PARTITION OF part DEFAULT;
CREATE VIEW v AS SELECT 1;
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
"""


def test_tables_and_columns(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as c:
        c.execute(SQL)
    found = store.inspect()
    assert list(found.tables) == ["p", "part", "q"]
    assert found.untranslated == ("routine f", "view v")
    p, q = found.tables["p"], found.tables["q"]
    assert (p.key, p.sequence, p.checks) == (("id",), "id", ("CHECK ((n > (0)::numeric))",))
    assert q.key == ("a", "b")  # the unique index over required columns, neither partial nor an expression
    assert found.tables["part"].key == ("id", "d")
    types = {column.name: column.type for column in p.columns}
    assert types == {
        "id": LogicalType(Kind.INTEGER, bits=32),
        "c": LogicalType(Kind.TEXT, length=20),
        "n": LogicalType(Kind.DECIMAL, precision=10, scale=-2),
        "ch": LogicalType(Kind.TEXT, length=3, native="character(3)"),
        "at": LogicalType(Kind.INSTANT, precision=3),
        "m": LogicalType(Kind.OPAQUE, native="mood"),
        "arr": LogicalType(Kind.OPAQUE, native="integer[]"),
        "low": LogicalType(Kind.TEXT),
        "C": LogicalType(Kind.TEXT),
    }
    assert {c.name for c in p.columns if not c.nullable} == {"id", "c"}
    assert [c.name for c in p.columns if c.generated] == ["low"]
    assert (p.column("C").collation, p.column("C").default) == ("C", "'x'::text")
    assert p.column("c").declared == "code"
    assert q.foreign_keys == (
        ForeignKey("q_p_fkey", ("p",), "p", ("id",), on_delete="CASCADE", deferrable=True),
    )
    assert {i.name: (i.columns, i.unique, i.where) for i in q.indexes} == {
        "q_ab": (("a", "b"), True, None),
        "q_part": (("a",), True, "(p > 1)"),
        "q_expr": ((None,), True, None),
    }


def test_domains_are_written_and_read(store: PostgresStore, postgres_url: str) -> None:
    from tests.stores.postgres.scene import TOKEN, change, follower, listed, view_of

    with app(postgres_url) as c:
        c.execute("CREATE DOMAIN k AS bigint CHECK (VALUE > 0); CREATE DOMAIN t AS text NOT NULL")
        c.execute("CREATE TABLE d (id k PRIMARY KEY, v t)")
    view = view_of(store, "d")
    follower(store, [view])
    for value in ("x", "y"):
        with store.applying(TOKEN, "p") as applying:
            applying.apply([change(view, [(1, value)], [7])])
    assert listed(store, view) == [(1, "y")]
    with store.snapshot() as snap:
        assert snap.changed([view], None) == {}
