"""Counts requests and latencies, and writes them to a file that others watch."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from pathlib import Path
from typing import Any

_STEP = math.log(1.02)
_EXAMPLES = 20


class Latencies:
    """A histogram with steps of 2 %, so its size does not grow with the number of requests."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self._count = 0
        self._most = 0.0

    def add(self, seconds: float) -> None:
        self._buckets[math.ceil(math.log(max(seconds, 1e-6) / 1e-6) / _STEP)] += 1
        self._count += 1
        self._most = max(self._most, seconds)

    def quantile(self, share: float) -> float:
        """Milliseconds that this share of the requests did not exceed (at most 2 % too much)."""
        wanted = math.ceil(share * self._count)
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return min(math.exp(bucket * _STEP) * 1e-3, self._most * 1e3)
        return 0.0

    def as_json(self) -> dict[str, float]:
        shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
        return {name: round(self.quantile(share), 3) for name, share in shares.items()} | {
            "max": round(self._most * 1e3, 3)
        }


class Tally:
    """The live counters of a load.

    ``failed`` counts requests without the expected answer; ``injected_failures`` those that the server
    failed on purpose, which are not among them; ``stale_reads`` answers that lacked the client's own
    acknowledged writes; ``skipped`` arrivals for which no client was free.
    """

    def __init__(self) -> None:
        self.started = time.time()
        self._clock = time.monotonic()
        self.reads = 0
        self.writes = 0
        self.failed = 0
        self.injected_failures = 0
        self.stale_reads = 0
        self.skipped = 0
        self.in_flight = 0
        self.clients = 0
        self.connections = 0
        self.served_by: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.read_latency = Latencies()
        self.write_latency = Latencies()
        self._examples: list[dict[str, Any]] = []
        self._before = (self._clock, 0)

    def fail(self, reason: str, method: str, target: str, answer: str = "") -> None:
        """A request failed; the first few are kept in full."""
        self.failed += 1
        self.failures[reason] += 1
        if len(self._examples) < _EXAMPLES:
            self._examples.append(
                {
                    "at": time.time(),
                    "reason": reason,
                    "method": method,
                    "target": target,
                    "answer": answer[:300],
                }
            )

    def as_json(self, *, acknowledged: int, unknown: int, finished: bool) -> dict[str, Any]:
        """The report.  Latencies are in milliseconds, from the moment a request was due."""
        now, answered = time.monotonic(), self.reads + self.writes
        then, before = self._before
        self._before = (now, answered)
        return {
            "finished": finished,
            "started_at": self.started,
            "elapsed_s": round(now - self._clock, 3),
            "requests": answered,
            "reads": self.reads,
            "writes": self.writes,
            "acknowledged_writes": acknowledged,
            "unknown_writes": unknown,
            "failed": self.failed,
            "failures": dict(self.failures),
            "injected_failures": self.injected_failures,
            "stale_reads": self.stale_reads,
            "skipped": self.skipped,
            "in_flight": self.in_flight,
            "clients": self.clients,
            "connections": self.connections,
            "rate": round((answered - before) / max(now - then, 1e-9), 1),
            "served_by": dict(self.served_by),
            "read_latency_ms": self.read_latency.as_json(),
            "write_latency_ms": self.write_latency.as_json(),
            "cpu_s": round(time.process_time(), 3),
            "first_failures": self._examples,
        }


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Replace the file in one step, so that a reader sees a whole report."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    beside.replace(path)
