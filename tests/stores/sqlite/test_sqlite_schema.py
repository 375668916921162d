from __future__ import annotations

import pytest

from crossfade.stores.sqlite.schema import affinity, logical
from crossfade.stores.sqlite.sqltext import default_expression, index_predicate, read_create_table
from crossfade.types import Kind, LogicalType


@pytest.mark.parametrize(
    ("declared", "kind"),
    [
        ("INTEGER", Kind.INTEGER),
        ("unsigned big int", Kind.INTEGER),
        ("TINYINT(1)", Kind.INTEGER),
        ("VARCHAR(20)", Kind.TEXT),
        ("nvarchar(100)", Kind.TEXT),
        ("CLOB", Kind.TEXT),
        ("BLOB", Kind.BYTES),
        ("double precision", Kind.FLOAT),
        ("BOOL", Kind.BOOLEAN),
        ("DATE", Kind.DATE),
        ("datetime", Kind.TIMESTAMP),
        ("TIMESTAMP", Kind.TIMESTAMP),
        ("TIME", Kind.TIME),
        ("JSON", Kind.JSON),
        ("GUID", Kind.UUID),
        ("", None),
        ("POINT", None),
        ("INTERVAL", None),
    ],
)
def test_declared_types(declared: str, kind: Kind | None) -> None:
    found = logical(declared)
    assert (found.kind if found else None) == kind


def test_decimals_keep_precision_and_scale() -> None:
    assert logical("DECIMAL(10, 2)") == LogicalType(Kind.DECIMAL, precision=10, scale=2)
    assert logical("numeric(8)") == LogicalType(Kind.DECIMAL, precision=8, scale=0)
    assert logical("NUMERIC") == LogicalType(Kind.DECIMAL)


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("INTEGER", "INTEGER"),
        ("CHARINT", "INTEGER"),
        ("VARCHAR(3)", "TEXT"),
        ("BLOB", "BLOB"),
        ("", "BLOB"),
        ("FLOATING POINT", "INTEGER"),
        ("DOUBLE", "REAL"),
        ("DATETIME", "NUMERIC"),
        ("STRING", "NUMERIC"),
    ],
)
def test_affinity_is_sqlites(declared: str, expected: str, scene) -> None:
    assert affinity(declared) == expected
    app = scene(f"CREATE TABLE t (c {declared})").app
    app.execute("INSERT INTO t VALUES ('1.0'), (2), ('x')")
    seen = [row[0] for row in app.execute("SELECT typeof(c) FROM t")]
    by_affinity = {
        "INTEGER": ["integer", "integer", "text"],
        "NUMERIC": ["integer", "integer", "text"],
        "REAL": ["real", "real", "text"],
        "TEXT": ["text", "text", "text"],
        "BLOB": ["text", "integer", "text"],
    }
    assert seen == by_affinity[expected]


def test_text_of_a_table_is_read() -> None:
    read = read_create_table(
        """CREATE TABLE "a ) b" ( -- a comment, with ( and '
            id INTEGER PRIMARY KEY AUTOINCREMENT, /* CHECK (no) */
            [odd name] TEXT COLLATE NOCASE CHECK ([odd name] <> ')' ),
            p INT REFERENCES q DEFERRABLE INITIALLY DEFERRED,
            n TEXT DEFAULT 'COLLATE x', CONSTRAINT c CHECK (p > (1 + 2)),
            FOREIGN KEY (p, n) REFERENCES q (a, b) DEFERRABLE)"""
    )
    assert read.checks == ("[odd name] <> ')'", "p > (1 + 2)")
    assert read.collations == {"odd name": "NOCASE"}
    assert read.autoincrement
    assert read.deferrable == {("p",), ("p", "n")}


def test_text_of_an_index_is_read() -> None:
    assert index_predicate("CREATE UNIQUE INDEX i ON t (a, lower('WHERE')) WHERE a > 'x'") == "a > 'x'"
    assert index_predicate("CREATE INDEX i ON t (a)") is None


def test_defaults_that_are_words_are_strings() -> None:
    assert default_expression('"x"') == "'x'"
    assert default_expression("word") == "'word'"
    assert default_expression("CURRENT_TIMESTAMP") == "(CURRENT_TIMESTAMP)"
    assert default_expression("-1") == "(-1)"


def test_inspect(scene) -> None:
    made = scene(
        """
        CREATE TABLE parent (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE COLLATE NOCASE);
        CREATE TABLE [child "x"] (a TEXT, b INT, p INTEGER REFERENCES parent ON DELETE CASCADE,
            total INT GENERATED ALWAYS AS (b * 2), CHECK (b > 0), PRIMARY KEY (a, b)) WITHOUT ROWID;
        CREATE INDEX part ON [child "x"] (b) WHERE b > 5;
        CREATE UNIQUE INDEX expr ON parent (lower(name));
        CREATE TABLE loose (x, y NOT NULL, UNIQUE (y));
        CREATE TABLE bare (x);
        CREATE TABLE str (id INT PRIMARY KEY, v TEXT) STRICT;
        CREATE VIEW v AS SELECT 1;
        CREATE TRIGGER mine AFTER INSERT ON bare BEGIN SELECT 1; END;
        CREATE VIRTUAL TABLE ft USING fts5(body);
        CREATE TABLE crossfade_junk (x);
        """
    )
    schema = made.store.inspect()
    assert list(schema.tables) == ["bare", 'child "x"', "loose", "parent", "str"]
    parent, child = schema.tables["parent"], schema.tables['child "x"']
    assert (parent.key, parent.sequence, parent.note) == (("id",), "id", "AUTOINCREMENT")
    assert not parent.column("id").nullable
    assert parent.column("name").collation == "NOCASE"
    assert {i.name: (i.columns, i.unique, i.collations) for i in parent.indexes} == {
        "expr": ((None,), True, ("BINARY",)),
        "sqlite_autoindex_parent_1": (("name",), True, ("NOCASE",)),
    }
    assert (child.key, child.sequence, child.checks) == (("a", "b"), None, ("b > 0",))
    assert child.column("total").generated
    assert not child.column("a").nullable
    assert child.indexes[0].where == "b > 5"
    assert (child.foreign_keys[0].parent_columns, child.foreign_keys[0].on_delete) == (("id",), "CASCADE")
    assert (schema.tables["loose"].key, schema.tables["bare"].key) == (("y",), ())
    assert schema.tables["bare"].triggers == ("mine",)
    assert schema.tables["str"].column("v").strict
    assert schema.tables["str"].column("id").nullable is False
    said = " ".join(schema.untranslated)
    assert all(word in said for word in ("view v", "virtual table ft", "ft_data", "trigger mine"))


def test_an_integer_primary_key_desc_is_not_the_rowid(scene) -> None:
    table = scene("CREATE TABLE t (id INTEGER PRIMARY KEY DESC, v)").store.inspect().tables["t"]
    assert table.column("id").nullable
    assert table.sequence is None
