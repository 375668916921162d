"""Names and constants in SQL text: everything is quoted, nothing is ever pasted as it came."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from crossfade.stores.base import Field, View
from crossfade.types import Kind

OURS = "crossfade"
"""The schema that holds everything of ours."""

NAME_BYTES = 63
"""PostgreSQL cuts longer names, silently."""


def ident(name: str) -> str:
    """A quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def idents(names: Iterable[str]) -> str:
    """Quoted identifiers, separated by commas."""
    return ", ".join(ident(name) for name in names)


def text(value: str) -> str:
    """A quoted string constant (``standard_conforming_strings`` is on in our sessions)."""
    return "'" + value.replace("'", "''") + "'"


def table_in(schema: str, name: str) -> str:
    """A quoted, qualified table name."""
    return f"{ident(schema)}.{ident(name)}"


def stage(view: View, part: str) -> str:
    """The staging table of a view: ``up`` holds whole rows, ``del`` keys."""
    return f"pg_temp.crossfade_{part}_{view.id}"


def fitted(name: str) -> str:
    """The name itself when PostgreSQL can hold it, else its beginning and a hash: always the same."""
    raw = name.encode()
    if len(raw) <= NAME_BYTES:
        return name
    digest = hashlib.sha256(raw).hexdigest()[:8]
    return raw[: NAME_BYTES - 9].decode(errors="ignore") + "_" + digest


def base_type(field: Field) -> str:
    """The column's SQL type without its length or precision, so that a cast never cuts a value."""
    declared = field.column.declared
    if field.column.type is not None and field.column.type.kind is Kind.OPAQUE:
        return declared
    if declared.startswith(("character(", "char(")) or declared in ("character", "bpchar"):
        return "bpchar"
    head, _, rest = declared.partition("(")
    return (head + rest.partition(")")[2]).strip()


def element_type(field: Field) -> str:
    """The type by which a column travels in an SQL array; an array cannot be an element of one, so types
    that may be arrays travel as text."""
    opaque = field.column.type is not None and field.column.type.kind is Kind.OPAQUE
    return "text" if opaque else base_type(field)


def literal(value: Any, field: Field) -> str:
    """A canonical Python value as a constant of the column's type."""
    return f"{text(plain(value))}::{base_type(field)}"


def plain(value: Any) -> str:
    """A canonical Python value as PostgreSQL reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, dt.datetime):
        naive = value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value
        return naive.isoformat(sep=" ")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return repr(value) if isinstance(value, float) else str(value)


def key_order(view: View, bytewise: bool, alias: str = "") -> str:
    """The ORDER BY list of the key: text by its UTF-8 bytes."""
    return ", ".join(key_expression(f, bytewise, alias) for f in view.key_fields)


def key_expression(field: Field, bytewise: bool, alias: str = "") -> str:
    """One key column as it is ordered; ``bytewise``: the database's own order is already by bytes."""
    name = f"{alias}{ident(field.column.name)}"
    if field.type.kind is not Kind.TEXT:
        return name
    native = base_type(field)
    if native == "bpchar":
        return f'textin(bpcharout({name})) COLLATE "C"'
    if native == "citext":
        return f'{name}::text COLLATE "C"'
    if (bytewise and field.column.collation is None) or field.column.collation in ("C", "POSIX"):
        return name
    return f'{name} COLLATE "C"'


def same_key(field: Field, left: str, right: str) -> str:
    """The condition that two key values are the same one, exactly; an index can still serve it."""
    if field.type.kind is Kind.TEXT and (
        base_type(field) == "citext" or field.column.collation not in (None, "C", "POSIX")
    ):
        return f'{left} = {right} AND {left}::text COLLATE "C" = {right}::text COLLATE "C"'
    return f"{left} = {right}"


def array_literal(values: pa.Array) -> str:
    """A column of canonical texts as one SQL ``text[]`` constant (vectorised)."""
    strings = pc.replace_substring(values, "\\", "\\\\")
    strings = pc.replace_substring(strings, '"', '\\"')
    strings = pc.fill_null(pc.binary_join_element_wise('"', strings, '"', ""), "NULL")
    if isinstance(strings, pa.ChunkedArray):
        strings = strings.combine_chunks()
    joined: str = pc.binary_join(pa.ListArray.from_arrays([0, len(strings)], strings), ",")[0].as_py()
    return "'{" + joined.replace("'", "''") + "}'"
