"""What is true of a move at this moment, as gates and reports see it: the evidence, the databases, the traffic."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from crossfade.errors import CrossfadeError
from crossfade.move import Move
from crossfade.routers.base import SideStats
from crossfade.runs.gates import values_of
from crossfade.stores.base import Side

WINDOW = 10.0
"""Seconds of the access log that count as this moment."""


class MoveMeasures:
    """Measures the move of one spec file; each call looks again.  What does not answer is left out.

    It keeps the move open between two calls, so that the access log is read once; safe between threads.
    """

    def __init__(self, spec: Path, *, window: float = WINDOW) -> None:
        self._spec = spec
        self._window = window
        self._move: Move | None = None
        self._lock = threading.Lock()

    def __call__(self) -> Mapping[str, Any]:
        """The values by the names of `crossfade.runs.gates`.  ``SpecError`` for a wrong spec."""
        with self._lock:
            if self._move is None:
                self._move = Move.open(self._spec)
            found = values_of(self._move.ledger.read())
            with contextlib.suppress(CrossfadeError):
                found |= _standing(self._move)
            with contextlib.suppress(CrossfadeError):
                found |= self._traffic(self._move, found.get("leader"))
        return found

    def close(self) -> None:
        """Close the move's databases; the next call opens them again."""
        with self._lock:
            if self._move is not None:
                self._move.__exit__(None, None, None)
                self._move = None

    def _traffic(self, move: Move, leader: str | None) -> dict[str, Any]:
        if move.router is None:
            return {}
        sides = move.router.stats(time.time() - self._window)
        found = {side.value: traffic_of(sides[side]) for side in Side}
        return {**found, **found[leader or Side.OLD.value]}


def traffic_of(stats: SideStats) -> dict[str, Any]:
    """``requests``, ``errors``, ``error_rate`` (0 to 1), ``p50`` and ``p95`` in milliseconds; rates and
    percentiles of nothing are left out."""
    found: dict[str, Any] = {"requests": stats.requests, "errors": stats.errors}
    if stats.requests:
        found["error_rate"] = stats.errors / stats.requests
    if stats.durations:
        p50, p95 = np.percentile(np.asarray(stats.durations), [50, 95])
        found |= {"p50": round(float(p50) * 1000, 3), "p95": round(float(p95) * 1000, 3)}
    return found


def _standing(move: Move) -> dict[str, Any]:
    status = move.status()
    found: dict[str, Any] = {
        "leader": status.leader or Side.OLD.value,
        "phase": status.phase,
        "epoch": status.epoch,
        "troubles": len(status.troubles),
        "reads_percent": status.router.reads_percent if status.router is not None else 0.0,
    }
    return found if status.lag is None else found | {"lag": status.lag}
