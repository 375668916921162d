"""The preflight: everything that can be known before anything is changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from crossfade.errors import RouterError
from crossfade.routers.base import Router
from crossfade.standing import Standing
from crossfade.stores.base import Finding, Side, Store
from crossfade.sync.mapping import TableMapping
from crossfade.sync.representable import holdable_findings, reverse_findings


def check_sides(
    stores: Mapping[Side, Store],
    mapping: TableMapping,
    standing: Standing,
    progress: Callable[[str, int], None],
) -> list[Finding]:
    """The mapping both ways, what each database says of itself, every value that is to be moved, and what the
    target holds already."""
    leader = standing.leader or Side.OLD
    findings = list(mapping.findings)
    for side in Side:
        findings.extend(stores[side].preflight(mapping.views(side), leads=side is leader))
    for pair in mapping.pairs:
        findings.extend(stores[leader].census(pair.view(leader), lambda _rejected: None))
        findings.extend(holdable_findings(stores[leader], stores[leader.other], pair, leader, progress))
        findings.extend(reverse_findings(pair))
    return findings + check_target(stores[Side.NEW], mapping, standing)


def check_target(store: Store, mapping: TableMapping, standing: Standing) -> list[Finding]:
    """The new side's tables are empty, or hold what an earlier copy of this move brought."""
    if standing.states[Side.NEW] is not None:
        return [Finding("ok", "target.resumable", "the copy has begun; it goes on where it was")]
    names = [pair.new.table.name for pair in mapping.pairs if not pair.create]
    counts = {name: store.count(name) for name in names}
    return [
        Finding(
            "error",
            "target.not_empty",
            f"holds {rows} rows, and nothing says that they came from the old side",
            f"new store, table {name}",
            "empty the table, or exclude it from the move",
        )
        for name, rows in counts.items()
        if rows
    ]


def check_router(router: Router) -> Finding:
    """Whether the router can be asked."""
    try:
        state = router.state()
    except RouterError as error:
        return Finding("error", "router.state", error.what, error.where, error.todo)
    return Finding("ok", "router.state", f"the router {'runs' if state.alive else 'is not started yet'}")
