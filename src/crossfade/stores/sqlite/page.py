"""Stored rows to canonical ones, value by value where needed, with rejects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from crossfade.errors import Unrepresentable
from crossfade.stores.base import Field, Rejected, RejectSink, View
from crossfade.stores.sqlite.connection import Text
from crossfade.stores.sqlite.decode_arrow import Bad, decode_values
from crossfade.stores.sqlite.encode import plain_values, shortened
from crossfade.stores.sqlite.keys import FAITHFUL, UNUSUAL, UNUSUAL_TODO, unusual

StoredRow = Sequence[Any]
"""Values as SQLite stores them (None, int, float, ``Text``, bytes), in the order of ``View.fields``."""


def canonical_rows(view: View, rows: Sequence[StoredRow], rejects: RejectSink) -> pa.RecordBatch:
    """The rows that have a canonical form, in their order; the others go to ``rejects``."""
    batch, bad = decoded_rows(view, rows)
    if not bad:
        return batch
    keep = np.ones(len(rows), dtype=bool)
    for index, (field, reason) in sorted(bad.items()):
        keep[index] = False
        rejects(rejected(view, rows[index], field, reason))
    return batch.filter(pa.array(keep))


def decoded_rows(
    view: View, rows: Sequence[StoredRow]
) -> tuple[pa.RecordBatch, dict[int, tuple[Field, Bad]]]:
    """All rows, null where a value has no canonical form, and the first such value of each row."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(view.fields)
    bad: dict[int, tuple[Field, Bad]] = {}
    arrays = []
    for field, values in zip(view.fields, columns, strict=True):
        array, found = decode_values(field, values)
        if field.name in view.key:
            found = found + _unusable_keys(field, values, array)
        for one in found:
            bad.setdefault(one.index, (field, one))
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, schema=view.schema), bad


def _unusable_keys(field: Field, values: Sequence[Any], array: pa.Array) -> list[Bad]:
    """Keys that are NULL, or stored in a form that a look-up by the canonical key would miss."""
    found = []
    if field.column.nullable:
        nulls = [index for index, value in enumerate(values) if value is None]
        found += [Bad(index, "the key is NULL", "give the row a key on the old side") for index in nulls]
    if field.type.kind in FAITHFUL:
        return found
    for index, (stored, value) in enumerate(zip(values, plain_values(field, array), strict=True)):
        if value is not None and unusual(field, stored, value):
            found.append(Bad(index, UNUSUAL, UNUSUAL_TODO))
    return found


def rejected(view: View, row: StoredRow, field: Field, bad: Bad) -> Rejected:
    """What to report of a row with a bad value."""
    shown = dict(zip((f.name for f in view.fields), map(printable, row), strict=True))
    return Rejected(
        table=view.table.name,
        key=tuple(shown[name] for name in view.key),
        column=field.column.name,
        value=shortened(shown[field.name]),
        reason=bad.reason,
        todo=shown_todo(field, bad.todo),
        row={f.column.name: shown[f.name] for f in view.fields},
    )


def shown_todo(field: Field, todo: str) -> str:
    """The advice with the column's name in it."""
    return todo.replace("<column>", field.column.name)


def printable(value: Any) -> Any:
    """A stored value as a plain Python value; text that is not UTF-8 as bytes."""
    if not isinstance(value, Text):
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return bytes(value)


def stop_at(bad: Rejected) -> None:
    """The reject sink that stops at the first value."""
    raise Unrepresentable(
        bad.reason, table=bad.table, key=bad.key, column=bad.column, value=bad.value, todo=bad.todo
    )
