"""What one side has and the other cannot hold: on the way there by looking at every value, on the way back
as far as the types alone tell."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from crossfade.stores.base import Finding, KeyRange, Rejected, Side, Store
from crossfade.sync.mapping import Pair
from crossfade.types import Kind


def holdable_findings(
    leader: Store,
    follower: Store,
    pair: Pair,
    leads: Side,
    progress: Callable[[str, int], None] = lambda _table, _rows: None,
) -> list[Finding]:
    """An error for each column and reason for which the follower cannot hold a value that the leader has
    (a warning where the spec lets such rows go to the reject file)."""
    first: dict[tuple[str, str], Rejected] = {}
    counts: dict[tuple[str, str], int] = {}

    def note(rejected: Rejected) -> None:
        place = (rejected.column, rejected.reason)
        first.setdefault(place, rejected)
        counts[place] = counts.get(place, 0) + 1

    for batch in leader.scan(pair.view(leads), KeyRange(), lambda _rejected: None):
        follower.holdable(pair.view(leads.other), pa.Table.from_batches([batch]), note)
        progress(pair.name, batch.num_rows)
    return [
        Finding(
            "warning" if pair.reject else "error",
            "value.not_holdable",
            f"{counts[place]} values, the first {rejected.value} in key {rejected.key!r}: {rejected.reason}",
            f"tables/{pair.name}/columns/{rejected.column}",
            rejected.todo,
        )
        for place, rejected in first.items()
    ]


def reverse_findings(pair: Pair) -> list[Finding]:
    """Warnings about values that the new side's types allow and a weakly typed old side does not hold.

    They are only possibilities: each pass checks the values themselves, and stops before a value is
    stored as something else.
    """
    findings = []
    for one, other in zip(pair.old.fields, pair.new.fields, strict=True):
        if one.column.strict:
            continue
        what = _lossy(one.type.kind, one.column.declared.upper())
        if what:
            findings.append(
                Finding(
                    "warning",
                    "reverse.representable",
                    f"after a cutover {what} in {other.column.name} could not be brought back",
                    f"tables/{pair.name}/columns/{one.name}",
                    "forbid it with a CHECK on the new side, or accept that following stops when it appears",
                )
            )
    return findings


def _lossy(kind: Kind, declared: str) -> str:
    if kind is Kind.FLOAT:
        return "NaN and −0.0"
    if kind is Kind.DECIMAL and not any(word in declared for word in ("TEXT", "CHAR", "CLOB")):
        return "a decimal of more than 15 digits"
    if kind in (Kind.TIMESTAMP, Kind.INSTANT, Kind.DATE):
        return "infinity, or a year outside 0001 to 9999,"
    return ""
