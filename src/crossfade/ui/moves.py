"""What the two databases and the router say of a move.  It is only looked at; nothing here changes anything."""

from __future__ import annotations

import threading
import time
from collections import deque
from pathlib import Path

import numpy as np

from crossfade.errors import StoreUnreachable
from crossfade.ledger import Ledger
from crossfade.masking import mask
from crossfade.move import Move
from crossfade.routers.base import Router, SideStats
from crossfade.spec import GuardSpec
from crossfade.status import Status
from crossfade.stores.base import Side
from crossfade.ui.snapshot import (
    AtWork,
    Bucket,
    Copying,
    MoveView,
    RouterView,
    SideView,
    TableView,
    Traffic,
    TroubleView,
)

STEP = 2.0
"""Seconds of one span of traffic."""

SPANS = 150
"""Spans that are kept: five minutes."""

WINDOW = 10.0
"""Seconds over which the present traffic is reckoned."""

_SETTLED = 1.0
"""Seconds after which the access log holds every answer of a span."""

_LAGS = 300

_KINDS = {"sqlite": "SQLite", "postgres": "PostgreSQL", "postgresql": "PostgreSQL"}


class MoveSource:
    """Looks at the move of one spec file.  Each method is one look and may be called from a thread of its own."""

    def __init__(self, spec: Path) -> None:
        self._spec = spec
        self._move: Move | None = None
        self._lock = threading.Lock()
        self._lags: deque[tuple[float, float | None]] = deque(maxlen=_LAGS)
        self._copied: Copying | None = None
        self._spans: dict[Side, deque[Bucket]] = {side: deque(maxlen=SPANS) for side in Side}
        self._traffic: Traffic | None = None
        self._until = 0.0

    @property
    def move(self) -> Move:
        """The move, opened at the first use.  ``SpecError``."""
        with self._lock:
            if self._move is None:
                self._move = Move.open(self._spec)
            return self._move

    def ledger(self) -> Ledger:
        """The move's ledger."""
        return self.move.ledger

    @property
    def lags(self) -> tuple[tuple[float, float | None], ...]:
        """Time and lag of each look, the newest last."""
        return tuple(self._lags)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._move is not None:
                self._move.__exit__(None, None, None)
                self._move = None

    # -- where it stands ---------------------------------------------------------

    def status(self) -> MoveView:
        """Where it stands; a database that does not answer is said so in its side."""
        move = self.move
        standing = move.standing()
        status = move.status()
        self._lags.append((time.time(), status.lag))
        spec = move.spec
        return MoveView(
            name=status.move,
            phase=status.phase,
            leader=status.leader,
            epoch=status.epoch,
            verified_at=status.verified_at,
            verify_max_age=spec.verify_max_age,
            lag=status.lag,
            lag_limit=spec.lag_limit,
            at_work=_at_work(status),
            sides=tuple(
                SideView(
                    name=side.value,
                    kind=_KINDS.get(move.stores[side].kind, move.stores[side].kind),
                    app=mask(spec.side(side).app or ""),
                    leads=status.leader == side.value,
                    unreachable=mask(standing.unreachable.get(side, "")),
                )
                for side in Side
            ),
            router=_router(status, spec.router.listen if spec.router else ""),
            routed=move.router is not None,
            troubles=tuple(
                TroubleView(mask(one.what), mask(one.todo), one.repairable) for one in status.troubles
            ),
            guard=watched(spec.guard) if move.router is not None else "",
        )

    # -- the copy ----------------------------------------------------------------

    def copying(self) -> Copying:
        """How far each table is, from the records that the copy commits with its rows: nothing is counted."""
        move = self.move
        standing = move.standing()
        if self._copied is not None and (standing.copied or standing.unreachable):
            return self._copied
        old, new = standing.states[Side.OLD], standing.states[Side.NEW]
        if standing.unreachable:
            away = " and the ".join(side.value for side in standing.unreachable)
            raise StoreUnreachable(
                f"how far the copy is, is not known while the {away} database does not answer",
                todo="bring the database back",
            )
        if old is None or new is None:
            return Copying()
        planned = new.notes.get("plan") or {}
        done: dict[int, tuple[int, int, int]] = {}
        for chunk in move.stores[Side.NEW].chunks(move.spec.move):
            count, rows, rejected = done.get(chunk.view, (0, 0, 0))
            done[chunk.view] = (count + 1, rows + chunk.rows, rejected + chunk.rejected)
        tables = []
        for name, number in sorted(dict(old.notes.get("tables", {})).items()):
            count, rows, rejected = done.get(int(number), (0, 0, 0))
            bounds = planned.get(str(number))
            share = 1.0 if standing.copied else 0.0 if bounds is None else count / (len(bounds) + 1)
            tables.append(TableView(name, rows, share, rejected))
        found = Copying(tuple(tables), standing.copied)
        self._copied = found if found.copied else None
        return found

    # -- traffic -----------------------------------------------------------------

    def traffic(self) -> Traffic:
        """What both sides answered lately, from the access log; a span is looked at once."""
        router = self.move.router
        if router is None:
            return Traffic(STEP)
        until = (time.time() - _SETTLED) // STEP * STEP
        if self._traffic is not None and until <= self._until:
            return self._traffic
        # the log keeps what it was asked for first, so the oldest span comes first
        since = max(self._until, until - SPANS * STEP)
        while since < until:
            stats = router.stats(since, since + STEP)
            for side in Side:
                self._spans[side].append(bucket(since, stats[side]))
            since += STEP
        self._until = until
        now = self._now(router, until)
        self._traffic = Traffic(
            STEP,
            old=tuple(self._spans[Side.OLD]),
            new=tuple(self._spans[Side.NEW]),
            window=WINDOW,
            old_now=now[Side.OLD],
            new_now=now[Side.NEW],
        )
        return self._traffic

    def _now(self, router: Router, until: float) -> dict[Side, Bucket]:
        stats = router.stats(until - WINDOW, until)
        return {side: bucket(until - WINDOW, stats[side]) for side in Side}


def bucket(at: float, stats: SideStats) -> Bucket:
    """One span of one side."""
    if not stats.durations:
        return Bucket(at, stats.requests, stats.errors)
    p50, p95 = np.percentile(np.asarray(stats.durations), [50, 95])
    return Bucket(at, stats.requests, stats.errors, float(p50) * 1000, float(p95) * 1000)


def watched(guard: GuardSpec | None) -> str:
    """What the guard watches, in one sentence; empty without one."""
    if guard is None:
        return ""
    limits = []
    if guard.error_rate is not None:
        limits.append(f"more than {100 * guard.error_rate:g} % errors")
    if guard.p95 is not None:
        limits.append(f"p95 over {1000 * guard.p95:g} ms")
    windows = "one window" if guard.consecutive == 1 else f"{guard.consecutive} windows in a row"
    return f"rolls back after {windows} of {guard.window:g} s with {' or '.join(limits)} on the new side"


def _at_work(status: Status) -> AtWork | None:
    lease = status.lease
    return None if lease is None else AtWork(lease.verb, lease.host, lease.pid, lease.since)


def _router(status: Status, listen: str) -> RouterView | None:
    router = status.router
    if router is None:
        return None
    return RouterView(
        router.alive,
        router.held,
        router.leader.value if router.leader else None,
        router.reads_percent,
        listen,
    )
