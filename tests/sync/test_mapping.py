"""The mapping: what fits is paired, what does not is said with its place and a way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossfade.errors import SpecError, Unmappable
from crossfade.spec import Spec, parse
from crossfade.stores.base import Column, ForeignKey, Index, Schema, Table
from crossfade.sync.mapping import build, fitting_name, parse_type
from crossfade.types import Kind, LogicalType

INT, TEXT = LogicalType(Kind.INTEGER, bits=64), LogicalType(Kind.TEXT)


def spec(tables: str = "") -> Spec:
    text = "move: m\nold: {store: 'sqlite:////a.db'}\nnew: {store: 'postgresql:///b'}\n" + tables
    return parse(text, base=Path("/"))


def weak(name: str, declared: str, kind: LogicalType | None, **more: bool) -> Column:
    return Column(name, declared, kind, strict=False, **more)


EVENTS = Table(
    "Events",
    (weak("id", "INTEGER", INT), weak("name", "VARCHAR(5)", LogicalType(Kind.TEXT, length=5))),
    ("id",),
    indexes=(Index("by_name", ("name",)),),
    sequence="id",
)
MOVES = Table(
    "moves",
    (weak("id", "INTEGER", INT), weak("event", "INTEGER", INT)),
    ("id",),
    foreign_keys=(ForeignKey("fk", ("event",), "events", ("id",)),),
)
OLD = Schema({"Events": EVENTS, "moves": MOVES})


def new(*columns: Column, name: str = "events", key: tuple[str, ...] = ("id",)) -> Schema:
    return Schema({name: Table(name, columns, key)})


def test_missing_tables_are_derived_from_the_old_side() -> None:
    found = build(OLD, Schema({}), spec(), new_kind="postgresql").demand()
    events, moves = found.pairs
    assert events.create
    assert events.new.table.column("id").identity
    assert events.new.table.column("name").type == TEXT, "SQLite does not enforce varchar(5)"
    assert moves.new.table.foreign_keys[0].parent == "Events", "references follow the parent's new name"


def test_a_table_that_differs_in_case_alone_is_found() -> None:
    schema = new(Column("id", "bigint", INT), Column("NAME", "text", TEXT))
    found = build(OLD, schema, spec("tables: {include: [Events]}"), new_kind="postgresql").demand()
    assert [f.column.name for f in found.pairs[0].new.fields] == ["id", "NAME"]
    assert [f.name for f in found.pairs[0].new.fields] == ["id", "name"]


def test_the_strict_side_decides_the_canonical_type() -> None:
    old = Schema({"t": Table("t", (weak("id", "INTEGER", INT), weak("ok", "INTEGER", INT)), ("id",))})
    boolean = LogicalType(Kind.BOOLEAN)
    schema = new(Column("id", "bigint", INT), Column("ok", "boolean", boolean), name="t")
    pair = build(old, schema, spec(), new_kind="postgresql").demand().pairs[0]
    assert pair.old.field("ok").type == boolean


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (new(Column("id", "bigint", INT)), "has no column 'name'"),
        (
            new(Column("id", "bigint", INT), Column("name", "text", TEXT), key=()),
            "not a primary or unique key",
        ),
        (
            new(
                Column("id", "bigint", INT),
                Column("name", "text", TEXT),
                Column("must", "text", TEXT, nullable=False),
            ),
            "NOT NULL without a default",
        ),
        (
            new(Column("id", "bigint", INT), Column("name", "text", TEXT, generated=True)),
            "is generated on the new side",
        ),
        (new(Column("id", "bigint", INT), Column("name", "point", None)), "'point' is not known"),
    ],
)
def test_what_does_not_fit_is_said(schema: Schema, says: str) -> None:
    with pytest.raises(Unmappable, match=says):
        build(OLD, schema, spec("tables: {include: [Events]}"), new_kind="postgresql").demand()


def test_a_typeless_column_asks_for_a_rule_and_takes_it() -> None:
    old = Schema({"t": Table("t", (weak("id", "INTEGER", INT), weak("x", "", None)), ("id",))})
    with pytest.raises(Unmappable, match="type: text"):
        build(old, Schema({}), spec(), new_kind="postgresql").demand()
    ruled = spec("tables: {rules: {t: {columns: {x: {type: bytes, rename: y}}}}}")
    field = build(old, Schema({}), ruled, new_kind="postgresql").demand().pairs[0].new.field("x")
    assert (field.column.name, field.type.kind) == ("y", Kind.BYTES)


@pytest.mark.parametrize(
    ("rule", "where"),
    [
        ("tables: {rules: {nothing: {}}}", "tables/rules/nothing"),
        ("tables: {rules: {moves: {columns: {nothing: {}}}}}", "tables/rules/moves/columns/nothing"),
        ("tables: {rules: {moves: {columns: {event: {type: strange}}}}}", "columns/event/type"),
        ("tables: {include: [nothing]}", "tables/include"),
    ],
)
def test_a_rule_about_nothing_is_wrong(rule: str, where: str) -> None:
    with pytest.raises(SpecError, match=r"has|matches|there is no") as caught:
        build(OLD, Schema({}), spec(rule), new_kind="postgresql")
    assert where in caught.value.where


def test_numbers_of_tables_stay_when_tables_are_added() -> None:
    assert build(OLD, Schema({}), spec(), new_kind="postgresql", ids={"moves": 1}).ids == {
        "moves": 1,
        "Events": 2,
    }


def test_generated_and_excluded_columns_are_not_moved() -> None:
    table = Table(
        "t",
        (weak("id", "INTEGER", INT), weak("g", "INTEGER", INT, generated=True), weak("x", "TEXT", TEXT)),
        ("id",),
    )
    rule = spec("tables: {rules: {t: {columns: {x: {exclude: true}}}}}")
    pair = build(Schema({"t": table}), Schema({}), rule, new_kind="postgresql").demand().pairs[0]
    assert [f.name for f in pair.old.fields] == ["id"]


def test_a_key_column_cannot_be_excluded() -> None:
    rule = spec("tables: {include: [moves], rules: {moves: {columns: {id: {exclude: true}}}}}")
    with pytest.raises(Unmappable, match="key column 'id' is not moved"):
        build(OLD, Schema({}), rule, new_kind="postgresql").demand()


def test_long_names_stay_apart() -> None:
    one, other = "n" * 100 + "a", "n" * 100 + "b"
    names = {fitting_name(name, "postgresql") for name in (one, other)}
    assert len(names) == 2
    assert all(len(name.encode()) <= 63 for name in names)
    assert fitting_name(one, "sqlite") == one


def test_types_as_the_spec_writes_them() -> None:
    assert parse_type("decimal(12,2)", "x") == LogicalType(Kind.DECIMAL, precision=12, scale=2)
    assert parse_type("bigint", "x") == INT
