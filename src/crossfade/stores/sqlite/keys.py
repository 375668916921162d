"""Keys: in which order a table can be read by its key, and how a canonical key may be stored."""

from __future__ import annotations

from collections.abc import Container, Sequence
from decimal import Decimal
from itertools import product
from typing import Any

import pyarrow as pa

from crossfade.stores.base import Field, View
from crossfade.stores.sqlite import temporal
from crossfade.stores.sqlite.connection import Text
from crossfade.stores.sqlite.decode import boolean_words, decode_value, time_rules
from crossfade.stores.sqlite.encode import field_affinity, plain_values
from crossfade.stores.sqlite.schema import Physical
from crossfade.stores.sqlite.temporal import NotExact
from crossfade.types import Kind, StoredAs

FAITHFUL = (Kind.INTEGER, Kind.FLOAT, Kind.TEXT, Kind.OPAQUE, Kind.BYTES)
"""Kinds whose canonical value is the stored value, so that there is one way to store it."""


UNUSUAL = "the key is stored in a form that cannot be looked up"
UNUSUAL_TODO = "write the key the way the table's other keys are written"


def in_stored_order(view: View, physical: Physical, uniform: Container[str]) -> bool:
    """Whether SQLite's order of the key's index is the canonical order, so that a scan can follow it.
    ``uniform`` names the key fields whose values are known to be stored in one form."""
    return all(
        field.name in uniform or _ordered(field, collation)
        for field, collation in zip(view.key_fields, physical.collations, strict=True)
    )


def _ordered(field: Field, collation: str) -> bool:
    kind, stored = field.type.kind, field_affinity(field)
    if kind is Kind.INTEGER:
        return stored in ("INTEGER", "NUMERIC", "BLOB")
    if kind is Kind.FLOAT:
        return stored != "TEXT"
    if kind is Kind.BYTES:
        return True
    if kind in (Kind.TEXT, Kind.OPAQUE):
        # a numeric affinity would turn a bound '10' into the number 10
        return collation == "BINARY" and stored in ("TEXT", "BLOB")
    return kind is Kind.DATE and time_rules(field) == (StoredAs.ISO,) and collation == "BINARY"


def bindable(value: Any) -> Any:
    """A stored value as it is bound again: ``Text`` as text.  Raises ``UnicodeDecodeError``."""
    return value.decode("utf-8") if isinstance(value, Text) else value


def bound(values: Sequence[Any]) -> tuple[list[str], list[Any]]:
    """Placeholders and values that bind stored values exactly, text that is not UTF-8 included."""
    marks, found = [], []
    for value in values:
        try:
            found.append(bindable(value))
            marks.append("?")
        except UnicodeDecodeError:
            found.append(bytes(value))
            marks.append("+CAST(? AS TEXT)")  # the plus keeps the cast from lending its affinity
    return marks, found


def canonical_bound(field: Field, value: Any) -> Any:
    """A canonical Python value (of a ``KeyRange``) as a plain value (times as numbers)."""
    return plain_values(field, pa.array([value], field.type.arrow))[0]


def key_forms(field: Field, value: Any) -> list[Any]:
    """Every way in which a canonical key value (times as numbers) may be stored and is looked up.

    A key stored in any other way is rejected when it is read (``unusual``), so this list is complete.
    """
    kind = field.type.kind
    if kind in FAITHFUL:
        return [value]
    found: list[Any] = []
    if kind is Kind.BOOLEAN:
        found = [word for word, truth in boolean_words(field).items() if truth == value]
        found += [form(word) for word in found if isinstance(word, str) for form in (str.upper, str.title)]
    elif kind is Kind.UUID:
        plain = value.replace("-", "")
        found = [value, value.upper(), plain, plain.upper(), bytes.fromhex(plain)]
    elif kind is Kind.DECIMAL:
        found = _decimal_forms(field, value)
    elif kind in (Kind.JSON, Kind.JSONB):
        found = [value]
    else:
        found = _time_forms(field, value)
    return list(dict.fromkeys(found))


def _decimal_forms(field: Field, value: str) -> list[Any]:
    number = Decimal(value)
    found: list[Any] = [value]
    if number == number.to_integral_value() and -(2**63) <= number < 2**63:
        found.append(int(number))
    if number.is_finite():
        found.append(float(number))
        if field.type.scale:
            found.append(f"{number:.{field.type.scale}f}")
    return found


def _time_forms(field: Field, value: int) -> list[Any]:
    kind, found = field.type.kind, []
    for rule in time_rules(field):
        try:
            if rule is not StoredAs.ISO:
                number = temporal.write_number(kind, value, rule)
                found += [number, float(number), str(number)]
                continue
            text = temporal.write_text(kind, value)
        except NotExact:
            continue
        if kind is Kind.DATE:
            found.append(text)
            continue
        base, _, fraction = text.partition(".")
        clocks = [f"{base}.{fraction or '000000'}"]
        clocks += [f"{base}.{fraction[:n]}" for n in range(1, 6) if fraction and not fraction[n:].strip("0")]
        clocks += [base, f"{base}.000"] if not fraction else []
        clocks += [base.removesuffix(":00")] if not fraction and base.endswith(":00") else []
        zones = ("", "Z", "+00:00", "+00", "+0000") if kind is Kind.INSTANT else ("",)
        marks = (" ", "T") if kind is not Kind.TIME else (" ",)
        found += [c.replace(" ", mark) + zone for c, mark, zone in product(clocks, marks, zones)]
    return found


def unusual(field: Field, stored: Any, value: Any) -> bool:
    """Whether a key is stored in a form that a look-up by its canonical value would miss."""
    if field.type.kind in FAITHFUL:
        return False
    return bindable(stored) not in key_forms(field, value)


def plain_key(view: View, stored: Sequence[Any]) -> tuple[Any, ...]:
    """The canonical key (times as numbers) of stored key values.  Raises ``NotExact`` when a row with this
    key could not be found again by it."""
    found = []
    for field, value in zip(view.key_fields, stored, strict=True):
        if value is None:
            raise NotExact("the key is NULL", "give the row a key")
        plain = decode_value(field, value)
        if unusual(field, value, plain):
            raise NotExact(UNUSUAL, UNUSUAL_TODO)
        found.append(plain)
    return tuple(found)
