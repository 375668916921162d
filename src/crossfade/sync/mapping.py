"""Which table and column of the old side is which on the new side, and in what canonical type.

The mapping is decided once, from both catalogues and the spec's rules, and seen from each side as a
``View``.  What does not fit is said as findings; a mapping with errors refuses to be used.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from crossfade.errors import SpecError, Unmappable
from crossfade.spec import ColumnRule, OnUnrepresentable, Spec, TableRule, Tables
from crossfade.stores.base import Column, Field, Finding, ForeignKey, Index, Schema, Side, Table, View
from crossfade.types import Kind, LogicalType

_NAME_BYTES = {"postgresql": 63}
"""Longest identifier per kind of store, in bytes; longer ones would be cut and could collide."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One mapped table: its two views, and whether the new side's table has to be created."""

    old: View
    new: View
    create: bool
    rule: TableRule
    reject: bool

    @property
    def id(self) -> int:
        return self.old.id

    @property
    def name(self) -> str:
        """The table's name on the old side: how reports call it."""
        return self.old.table.name

    @property
    def keyed(self) -> bool:
        return bool(self.old.key)

    def view(self, side: Side) -> View:
        return self.old if side is Side.OLD else self.new


@dataclass(frozen=True, slots=True)
class TableMapping:
    """All pairs, what did not fit, and the new side's tables that nothing is mapped to."""

    pairs: tuple[Pair, ...]
    findings: tuple[Finding, ...]

    def views(self, side: Side) -> list[View]:
        return [pair.view(side) for pair in self.pairs]

    @property
    def followed(self) -> list[Pair]:
        """The pairs that passes can follow: those with a key."""
        return [pair for pair in self.pairs if pair.keyed]

    def demand(self) -> TableMapping:
        """This mapping, or ``Unmappable`` with every error in it."""
        errors = [finding for finding in self.findings if finding.level == "error"]
        if errors:
            lines = [f"{f.where}: {f.what}" + (f" ({f.todo})" if f.todo else "") for f in errors]
            raise Unmappable(
                "the schemas of the two sides do not fit:\n" + "\n".join(lines),
                todo="add rules under tables/rules in crossfade.yaml, or change the new side's schema",
            )
        return self

    @property
    def ids(self) -> dict[str, int]:
        """Table numbers by old-side name, to be kept for the life of the move."""
        return {pair.name: pair.id for pair in self.pairs}


def build(
    old: Schema,
    new: Schema,
    spec: Spec,
    *,
    new_kind: str,
    ids: Mapping[str, int] | None = None,
    created: Collection[str] = (),
) -> TableMapping:
    """Decide the mapping.  ``ids`` are numbers given to tables earlier in this move; ``created`` are old-side
    tables whose counterparts this move makes itself, whether or not they are there and complete yet."""
    findings: list[Finding] = []
    names = _selected(old, spec.tables)
    for name in spec.tables.rules:
        if name not in old.tables:
            raise SpecError(
                f"the old side has no table {name!r}", where=f"tables/rules/{name}", todo=_listing(old)
            )
    numbers = _number(names, ids or {})
    pairs: list[Pair] = []
    for name in names:
        rule = spec.rule(name)
        policy = rule.on_unrepresentable or spec.on_unrepresentable
        pair = _pair(
            old.tables[name],
            new,
            rule,
            number=numbers[name],
            new_kind=new_kind,
            findings=findings,
            reject=policy is OnUnrepresentable.REJECT,
            create=name in created,
        )
        if pair is not None:
            pairs.append(pair)
    pairs = _with_references(pairs, new_kind)
    taken = {pair.new.table.name for pair in pairs}
    findings.extend(
        Finding("ok", "mapping.new_only", "only the new side has this table; it is left alone", where=name)
        for name in new.tables
        if name not in taken
    )
    return TableMapping(tuple(pairs), tuple(findings))


def _listing(schema: Schema) -> str:
    return "it has: " + ", ".join(sorted(schema.tables))


def _selected(schema: Schema, tables: Tables) -> list[str]:
    for pattern in tables.include:
        if not any(fnmatchcase(name, pattern) for name in schema.tables) and pattern != "*":
            raise SpecError(
                f"{pattern!r} matches no table of the old side", where="tables/include", todo=_listing(schema)
            )
    return [
        name
        for name in sorted(schema.tables)
        if any(fnmatchcase(name, pattern) for pattern in tables.include)
        and not any(fnmatchcase(name, pattern) for pattern in tables.exclude)
    ]


def _number(names: Sequence[str], ids: Mapping[str, int]) -> dict[str, int]:
    numbers = {name: ids[name] for name in names if name in ids}
    following = max(ids.values(), default=0) + 1
    for name in names:
        if name not in numbers:
            numbers[name] = following
            following += 1
    return numbers


def fitting_name(name: str, kind: str) -> str:
    """The name as that kind of store can hold it: cut, with a digest of the whole, where it is too long."""
    limit = _NAME_BYTES.get(kind)
    raw = name.encode()
    if limit is None or len(raw) <= limit:
        return name
    digest = hashlib.sha256(raw).hexdigest()[:10]
    return raw[: limit - 11].decode(errors="ignore") + "_" + digest


def _pair(
    old: Table,
    new: Schema,
    rule: TableRule,
    *,
    number: int,
    new_kind: str,
    findings: list[Finding],
    reject: bool,
    create: bool,
) -> Pair | None:
    for column_name in rule.columns:
        if column_name not in {column.name for column in old.columns}:
            raise SpecError(
                f"the table has no column {column_name!r}",
                where=f"tables/rules/{old.name}/columns/{column_name}",
                todo="it has: " + ", ".join(column.name for column in old.columns),
            )
    wanted = fitting_name(rule.rename or old.name, new_kind)
    found = _find(wanted, {name: name for name in new.tables})
    if found is None or create:
        made = new.tables[found] if found is not None else None
        return _created(old, wanted, rule, number, new_kind, findings, reject, made)
    return _matched(old, new.tables[found], rule, number, new_kind, findings, reject)


def _find(name: str, among: Mapping[str, str]) -> str | None:
    """The same name, else the only one that differs in case alone."""
    if name in among:
        return among[name]
    alike = [value for key, value in among.items() if key.lower() == name.lower()]
    return alike[0] if len(alike) == 1 else None


def _moved(old: Table, rule: TableRule) -> list[tuple[Column, ColumnRule]]:
    """The columns to move, with their rules; generated columns are computed by each side itself."""
    moved = [(column, rule.columns.get(column.name, ColumnRule())) for column in old.columns]
    return [(column, of) for column, of in moved if not of.exclude and not column.generated]


def _created(
    old: Table,
    name: str,
    rule: TableRule,
    number: int,
    new_kind: str,
    findings: list[Finding],
    reject: bool,
    made: Table | None,
) -> Pair | None:
    """The pair of a table that the new side lacks: its definition is derived from the old one.  Once it is
    ``made``, its columns are those of the catalogue; keys and indexes follow when it is loaded."""
    there = {column.name: column for column in made.columns} if made is not None else {}
    fields_old: list[Field] = []
    fields_new: list[Field] = []
    broken = False
    for column, of in _moved(old, rule):
        where = f"tables/{old.name}/columns/{column.name}"
        kind = parse_type(of.type, where) if of.type else column.type
        if kind is None:
            broken = True
            findings.append(
                Finding(
                    "error",
                    "mapping.typeless",
                    f"declared as {column.declared or 'nothing'!r}, which does not say what it holds",
                    where,
                    f"say it: tables: {{rules: {{{old.name}: {{columns: {{{column.name}: {{type: text}}}}}}}}}}",
                )
            )
            continue
        if not of.type and not column.strict and kind.kind is Kind.TEXT:
            kind = LogicalType(Kind.TEXT)  # a weakly typed side does not enforce varchar(n)
        target = Column(
            name=fitting_name(of.rename or column.name, new_kind),
            declared=str(kind),
            type=kind,
            nullable=column.nullable and column.name not in old.key,
            default=column.default,
            identity=column.name == old.sequence,
        )
        target = there.get(target.name, target)
        fields_old.append(Field(column.name, column, kind, of.stored_as))
        fields_new.append(Field(column.name, target, kind, of.stored_as))
    if broken:
        return None
    key = _key(old, fields_old, findings)
    renamed = {field.name: field.column.name for field in fields_new}
    generated = tuple(
        replace(column, name=fitting_name(column.name, new_kind))
        for column in old.columns
        if column.generated and not rule.columns.get(column.name, ColumnRule()).exclude
    )
    table = Table(
        name=name,
        columns=tuple(field.column for field in fields_new) + generated,
        key=tuple(renamed[part] for part in key),
        indexes=tuple(_renamed_index(index, renamed, new_kind) for index in old.indexes),
        foreign_keys=tuple(
            replace(
                fk,
                columns=tuple(renamed.get(column, column) for column in fk.columns),
                name=fitting_name(fk.name, new_kind),
            )
            for fk in old.foreign_keys
            if all(column in renamed for column in fk.columns)
        ),
        sequence=renamed.get(old.sequence) if old.sequence else None,
    )
    view_old = View(number, old, tuple(fields_old), key)
    return Pair(view_old, View(number, table, tuple(fields_new), key), True, rule, reject)


def _renamed_index(index: Index, renamed: Mapping[str, str], kind: str) -> Index:
    columns = tuple(renamed.get(column, column) if column else None for column in index.columns)
    return replace(index, columns=columns, name=fitting_name(index.name, kind))


def _with_references(pairs: list[Pair], new_kind: str) -> list[Pair]:
    """Point the foreign keys of created tables at the new side's names."""
    tables = {pair.old.table.name: pair for pair in pairs}

    def follow(fk: ForeignKey) -> ForeignKey | None:
        parent = tables.get(fk.parent) or next(
            (pair for name, pair in tables.items() if name.lower() == fk.parent.lower()), None
        )
        if parent is None:
            return None
        names = {field.name: field.column.name for field in parent.new.fields}
        columns = fk.parent_columns or tuple(parent.old.table.key)
        return replace(
            fk,
            parent=parent.new.table.name,
            parent_columns=tuple(names.get(column, fitting_name(column, new_kind)) for column in columns),
        )

    result = []
    for pair in pairs:
        if pair.create:
            keys = tuple(fk for fk in map(follow, pair.new.table.foreign_keys) if fk is not None)
            pair = replace(pair, new=replace(pair.new, table=replace(pair.new.table, foreign_keys=keys)))
        result.append(pair)
    return result


def _matched(
    old: Table,
    new: Table,
    rule: TableRule,
    number: int,
    new_kind: str,
    findings: list[Finding],
    reject: bool,
) -> Pair | None:
    """The pair of two tables that both exist: columns by rule, then by name."""
    where = f"tables/{old.name}"
    targets = {column.name: column.name for column in new.columns}
    fields_old: list[Field] = []
    fields_new: list[Field] = []
    broken = False
    for column, of in _moved(old, rule):
        wanted = fitting_name(of.rename or column.name, new_kind)
        found = _find(wanted, targets)
        if found is None:
            broken = True
            findings.append(
                Finding(
                    "error",
                    "mapping.column_missing",
                    f"{new.name!r} on the new side has no column {wanted!r}",
                    f"{where}/columns/{column.name}",
                    "rename it in the spec, or leave it behind with `exclude: true`",
                )
            )
            continue
        target = new.column(found)
        kind = _agreed(column, target, of, f"{where}/columns/{column.name}", findings)
        if target.generated:
            kind = None
            findings.append(
                Finding(
                    "error",
                    "mapping.generated",
                    f"column {found!r} is generated on the new side and cannot be written",
                    f"{where}/columns/{column.name}",
                    "leave it behind with `exclude: true`",
                )
            )
        if kind is None:
            broken = True
            continue
        fields_old.append(Field(column.name, column, kind, of.stored_as))
        fields_new.append(Field(column.name, target, kind, of.stored_as))
    broken = _new_only_columns(new, fields_new, where, findings) or broken
    if broken:
        return None
    key = _key(old, fields_old, findings)
    if key and not _unique_on(new, {f.name: f.column.name for f in fields_new}, key):
        findings.append(
            Finding(
                "error",
                "mapping.key",
                f"the key {key} of the old side is not a primary or unique key of {new.name!r}",
                where,
                "give the new table a unique key over the same columns",
            )
        )
        return None
    view_old = View(number, old, tuple(fields_old), key)
    return Pair(view_old, View(number, new, tuple(fields_new), key), False, rule, reject)


def _new_only_columns(new: Table, mapped: Sequence[Field], where: str, findings: list[Finding]) -> bool:
    """Say which columns only the new side has; True when one of them cannot be left out of an insert."""
    taken = {field.column.name for field in mapped}
    broken = False
    for column in new.columns:
        if column.name in taken or column.generated or column.identity:
            continue
        fills_itself = column.nullable or column.default is not None
        broken = broken or not fills_itself
        findings.append(
            Finding(
                "ok" if fills_itself else "error",
                "mapping.new_only_column",
                "only the new side has this column; it keeps its own values"
                if fills_itself
                else "only the new side has this column, and it is NOT NULL without a default",
                f"{where}/columns/{column.name}",
                "" if fills_itself else "give it a default on the new side",
            )
        )
    return broken


def _key(old: Table, fields: Sequence[Field], findings: list[Finding]) -> tuple[str, ...]:
    names = {field.name for field in fields}
    if not old.key:
        findings.append(
            Finding(
                "warning",
                "mapping.no_key",
                "has no key: it is copied, but not followed",
                f"tables/{old.name}",
                "give it a key, or accept it with `allow_no_key: true`",
            )
        )
        return ()
    missing = [part for part in old.key if part not in names]
    if missing:
        findings.append(
            Finding(
                "error",
                "mapping.key_column",
                f"the key column {missing[0]!r} is not moved",
                f"tables/{old.name}",
                "a key column cannot be excluded",
            )
        )
        return ()
    return old.key


def _unique_on(table: Table, names: Mapping[str, str], key: Sequence[str]) -> bool:
    wanted = {names[part] for part in key}
    if set(table.key) == wanted:
        return True
    return any(index.unique and not index.where and set(index.columns) == wanted for index in table.indexes)


def _agreed(
    old: Column, new: Column, rule: ColumnRule, where: str, findings: list[Finding]
) -> LogicalType | None:
    """The canonical type of a pair of columns: the stricter side's, because it cannot hold another."""
    if rule.type is not None:
        findings.append(
            Finding(
                "warning",
                "mapping.type_ignored",
                f"the new side's column is {new.declared} already; `type: {rule.type}` has no effect",
                where,
            )
        )
    decided = _stricter(old, new)
    if decided is not None:
        return decided
    if old.type is None and new.type is None:
        what = f"neither {old.declared!r} nor {new.declared!r} is a type that is known"
    elif (new.strict and new.type is None) or (old.strict and old.type is None):
        what = f"the type {(new if new.type is None else old).declared!r} is not known"
    else:
        what = f"{old.declared} on the old side and {new.declared} on the new side hold different things"
    todo = "change the new column's type, or leave the column behind with `exclude: true`"
    findings.append(Finding("error", "mapping.types", what, where, todo))
    return None


def _stricter(old: Column, new: Column) -> LogicalType | None:
    if new.strict and not old.strict:
        return new.type
    if old.strict and not new.strict:
        return old.type
    if old.type is None or new.type is None:
        return None if new.strict else old.type or new.type
    alike = old.type.kind is new.type.kind or {old.type.kind, new.type.kind} <= {Kind.JSON, Kind.JSONB}
    return new.type if alike or not new.strict else None


_TYPES: dict[str, LogicalType] = {
    "boolean": LogicalType(Kind.BOOLEAN),
    "smallint": LogicalType(Kind.INTEGER, bits=16),
    "integer": LogicalType(Kind.INTEGER, bits=32),
    "bigint": LogicalType(Kind.INTEGER, bits=64),
    "float": LogicalType(Kind.FLOAT, bits=64),
    "decimal": LogicalType(Kind.DECIMAL),
    "text": LogicalType(Kind.TEXT),
    "bytes": LogicalType(Kind.BYTES),
    "date": LogicalType(Kind.DATE),
    "time": LogicalType(Kind.TIME, precision=6),
    "timestamp": LogicalType(Kind.TIMESTAMP, precision=6),
    "instant": LogicalType(Kind.INSTANT, precision=6),
    "uuid": LogicalType(Kind.UUID),
    "json": LogicalType(Kind.JSON),
    "jsonb": LogicalType(Kind.JSONB),
}


def parse_type(text: str, where: str) -> LogicalType:
    """A type as the spec writes it.  ``SpecError`` when there is none of that name."""
    decimal = re.fullmatch(r"decimal\((\d+)(?:,\s*(\d+))?\)", text)
    if decimal:
        return LogicalType(Kind.DECIMAL, precision=int(decimal[1]), scale=int(decimal[2] or 0))
    try:
        return _TYPES[text]
    except KeyError:
        raise SpecError(
            f"there is no type {text!r}", where=f"{where}/type", todo="one of: " + ", ".join(_TYPES)
        ) from None
