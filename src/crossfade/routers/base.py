"""The protocol that every router implements.

A router stands before both apps.  It knows two upstream addresses and which side leads; it knows
nothing of data.  Its truth is derived: whatever it says can be rebuilt from the two databases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from crossfade.stores.base import Side


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a router can do; the switch asks before it relies on it."""

    holds: bool
    shifts_reads: bool
    counts_in_flight: bool
    survives_coordinator: bool


@dataclass(frozen=True, slots=True)
class RouterState:
    """What the router does now: ``held`` (no writes pass), the side that gets writes (or did before the hold),
    the percentage of shiftable reads that goes to the other side, whether the process answers, and the side that
    gets the reads that are let through: another one than ``leader`` only when a release was interrupted."""

    alive: bool
    held: bool
    leader: Side | None
    reads_percent: float
    reads_from: Side | None


@dataclass(frozen=True, slots=True)
class SideStats:
    """Requests answered by one side in a span of time: totals, 5xx answers, and the duration of each in
    seconds (unsorted), without the time that it was held."""

    requests: int
    errors: int
    durations: tuple[float, ...]


class Router(Protocol):
    """Holds, releases, routes and shifts."""

    capabilities: Capabilities

    def start(self) -> None:
        """Start it if it is ours and not running (it outlives this process).  ``RouterError``."""
        ...

    def stop(self) -> None:
        """End the process if it is ours."""
        ...

    def state(self) -> RouterState: ...

    def hold(self) -> None:
        """Keep new requests waiting, except reads that are let through.  Returns when it is in force."""
        ...

    def release(self, leader: Side) -> None:
        """Send held and new requests to that side.  Also the way to route without a hold."""
        ...

    def shift(self, reads_percent: float) -> None:
        """Send that share of shiftable reads (0..100) to the side that does not lead."""
        ...

    def in_flight(self, side: Side) -> int | None:
        """Requests sent to that side's lead address and not answered; None when unknown."""
        ...

    def stats(self, since: float, until: float | None = None) -> dict[Side, SideStats]:
        """What each side answered from then on (Unix seconds), and before ``until`` when given, from the
        access log.  Windows that follow each other have no request in common."""
        ...

    def expired_holds(self, since: float) -> int:
        """Requests that were held past their time and refused whole since then."""
        ...
