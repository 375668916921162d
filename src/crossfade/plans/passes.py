"""The forward and the backward pass over a plan's graph: when everything can begin at the earliest and at the
latest so that the end does not move, and what decides the end.

Times are working minutes (see `crossfade.plans.calendar`), so all of it is exact.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

from crossfade.plans.model import DependencyKind
from crossfade.plans.ordering import Node, Side


@dataclass(slots=True)
class Network:
    """What the passes need to know.

    ``before`` gives the nodes that come before each node.  ``lengths`` are the minutes of work of the open
    activities by task id; every other item takes no time of its own.  ``bounds`` are minutes before which a
    node cannot be reached; ``fixed`` are nodes of the past, whose minutes are known and wait for nothing.
    ``origin`` is the minute at which a node is reached that nothing bounds.
    """

    before: Mapping[Node, Collection[Node]]
    lengths: dict[str, int]
    bounds: dict[Node, int]
    fixed: dict[Node, int]
    origin: int


@dataclass(slots=True)
class Times:
    """``earliest`` and ``latest`` minute of every node; ``free`` the minutes by which it can be reached later
    with nothing else moving; ``horizon`` the minute at which the last open activity ends; ``path`` the ids of
    the open activities that decide it, in order."""

    earliest: dict[Node, int] = field(default_factory=dict)
    latest: dict[Node, int] = field(default_factory=dict)
    free: dict[Node, int] = field(default_factory=dict)
    horizon: int = 0
    path: tuple[str, ...] = ()


def both_passes(network: Network) -> Times:
    """Reckon the times of a graph without circles."""
    order = list(TopologicalSorter[Node](_waiting(network)).static_order())
    times = Times()
    decided = _forward(network, order, times)
    ends = [times.earliest[_end(identifier)] for identifier in network.lengths]
    times.horizon = max(ends, default=max(network.fixed.values(), default=network.origin))
    _backward(network, order, times)
    times.path = _path(network, times, decided)
    return times


def _waiting(network: Network) -> dict[Node, Collection[Node]]:
    """The graph without what the past would wait for."""
    return {node: () if node in network.fixed else before for node, before in network.before.items()}


def _forward(network: Network, order: list[Node], times: Times) -> dict[Node, Node]:
    """Fill in the earliest times; of each node, the one before it that decides when it is reached."""
    decided: dict[Node, Node] = {}
    for node in order:
        if node in network.fixed:
            times.earliest[node] = network.fixed[node]
            continue
        reached = max(network.origin, network.bounds.get(node, network.origin))
        for other in network.before[node]:
            after = times.earliest[other] + _length(network, other, node)
            if after > reached or (after == reached and node not in decided):
                reached = after
                decided[node] = other
        times.earliest[node] = reached
    return decided


def _backward(network: Network, order: list[Node], times: Times) -> None:
    following: dict[Node, list[Node]] = {node: [] for node in order}
    for node in order:
        if node not in network.fixed:
            for other in network.before[node]:
                following[other].append(node)
    for node in reversed(order):
        latest = times.horizon
        free: int | None = None
        for after in following[node]:
            length = _length(network, node, after)
            latest = min(latest, times.latest[after] - length)
            gap = times.earliest[after] - times.earliest[node] - length
            if not (after.side is Side.BEGIN and _is_activity(network, after)):
                gap += times.free[after]
            free = gap if free is None else min(free, gap)
        times.latest[node] = latest
        room = latest - times.earliest[node]
        times.free[node] = max(0, min(room, room if free is None else free))


def _path(network: Network, times: Times, decided: dict[Node, Node]) -> tuple[str, ...]:
    last = [one for one in network.lengths if times.earliest[_end(one)] == times.horizon]
    if not last:
        return ()
    path: list[str] = []
    node: Node | None = _end(last[0])
    while node is not None:
        if node.side is Side.BEGIN and _is_activity(network, node):
            path.append(node.id)
        node = decided.get(node)
    return tuple(reversed(path))


def _length(network: Network, before: Node, after: Node) -> int:
    """Minutes that pass between two nodes: the work of an activity between its begin and its end."""
    if before.side is Side.BEGIN and after.side is Side.END and _is_activity(network, before):
        return network.lengths[before.id] if (before.kind, before.id) == (after.kind, after.id) else 0
    return 0


def _is_activity(network: Network, node: Node) -> bool:
    return node.kind is DependencyKind.TASK and node.id in network.lengths


def _end(identifier: str) -> Node:
    return Node(DependencyKind.TASK, identifier, Side.END)
