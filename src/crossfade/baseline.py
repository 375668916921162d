"""The baseline of a move: which tables belong to it, and how each looked when it was last proven equal.

A table that looks otherwise (redefined, rewritten, its triggers gone) has to be compared whole before it is
believed again, so the baseline is written only after that, never before.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from crossfade.errors import Refused, SchemaChanged
from crossfade.spec import Spec
from crossfade.standing import Standing
from crossfade.stores.base import Side, Store
from crossfade.sync.mapping import TableMapping


def known(store: Store, move: str) -> dict[int, str]:
    """The fingerprints of a side's tables as they were last proven, by table number."""
    state = store.state(move)
    kept = state.notes.get("fingerprints", {}) if state is not None else {}
    return {int(number): text for number, text in kept.items()}


def look(store: Store, mapping: TableMapping, side: Side) -> dict[int, str]:
    """The fingerprints as they are now.  ``SchemaChanged`` when a table lacks a trigger: such a look must not
    become a baseline."""
    views = [pair.view(side) for pair in mapping.followed]
    with store.snapshot() as snapshot:
        found = dict(snapshot.fingerprints(views))
    missing = store.armed(mapping.views(side))
    if missing:
        raise SchemaChanged("; ".join(missing), where=f"{side} store", todo="re-arm and compare these tables")
    return found


def remember(store: Store, move: str, prints: Mapping[int, str]) -> None:
    """Make these fingerprints the baseline."""
    store.note(move, {"fingerprints": {str(number): text for number, text in prints.items()}})


def demand_same_tables(mapping: TableMapping, standing: Standing, spec: Spec) -> None:
    """``Refused`` when a table came or went since the copy: it would be switched without its rows."""
    state = standing.states[Side.OLD]
    copied = state.notes.get("tables") if state is not None else None
    if not copied:
        return
    new = sorted(set(mapping.ids) - set(copied))
    gone = sorted(
        name
        for name in set(copied) - set(mapping.ids)
        if not any(fnmatchcase(name, pattern) for pattern in spec.tables.exclude)
    )
    if new:
        raise Refused(
            "appeared after the copy, so its rows were never copied",
            where=f"tables/{', '.join(new)}",
            todo="leave it behind with `tables: {exclude: [...]}`, or move it in a move of its own",
        )
    if gone:
        raise Refused(
            "was copied and is gone from one side",
            where=f"tables/{', '.join(gone)}",
            todo="bring it back, or leave it behind with `tables: {exclude: [...]}`",
        )


def demand_same_databases(stores: Mapping[Side, Store], standing: Standing) -> None:
    """``Refused`` when a database is not the one that this move was begun with."""
    for side in Side:
        state = standing.states[side]
        if state is None or state.peer is None or side.other in standing.unreachable:
            continue
        found = stores[side.other].identity()
        if found != state.peer:
            raise Refused(
                f"is not the database that this move was begun with ({state.peer}), but {found}",
                where=f"{side.other} store",
                todo="was it restored, replaced or failed over? Begin a new move, or bring the right one back",
            )
