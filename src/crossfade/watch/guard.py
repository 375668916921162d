"""Guards: what looks at live numbers after a switch and says when to go back.

A guard only looks and speaks; whoever runs the move acts.  Every verdict carries the numbers it rests on.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from crossfade.errors import SpecError
from crossfade.routers.base import SideStats

SLOW_SHARE = 0.05
"""A 95th percentile above a limit means that more than this share of the requests is above it."""

Source = Callable[[float, float], SideStats]
"""What the leading side answered from one time on and before another (Unix seconds)."""


class Decision(enum.StrEnum):
    """``UNKNOWN`` says neither that all is well nor that it is not: too little was seen."""

    OK = "ok"
    UNKNOWN = "unknown"
    BREACH = "breach"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a guard says at one look.

    ``why`` is one sentence.  The window is ``since`` to ``until`` (Unix seconds); of its ``requests``,
    ``errors`` were 5xx and ``slow`` of ``timed`` took longer than the limit; ``breaches`` windows in a
    row were a breach, this one included.
    """

    decision: Decision
    why: str
    since: float
    until: float
    requests: int = 0
    errors: int = 0
    timed: int = 0
    slow: int = 0
    breaches: int = 0


class Guard(Protocol):
    """Looks at a move's numbers as often as it is asked to."""

    def look(self, now: float) -> Verdict:
        """Judge what was seen up to ``now`` (Unix seconds; it never goes back)."""
        ...

    def reset(self, now: float) -> None:
        """Forget everything: the lead has changed hands, or the shift has changed."""
        ...


class ErrorRateGuard:
    """Says ``rollback`` after ``consecutive`` breaches in a row.

    Time is cut into windows that have no request in common.  A window lasts ``window`` seconds, and goes
    on until it has ``min_samples`` requests: before that it is ``unknown``, which neither adds a breach
    nor ends a row of them, so silence is never taken for health.  It is a breach when more than
    ``error_rate_limit`` (0..1) of its requests are errors, or more than 5 % of them take longer than
    ``p95_limit`` seconds; None leaves a clause out.

    ``SpecError`` for limits that could never decide anything.
    """

    def __init__(
        self,
        source: Source,
        *,
        error_rate_limit: float | None = 0.05,
        p95_limit: float | None = None,
        window: float = 5.0,
        min_samples: int = 50,
        consecutive: int = 3,
    ) -> None:
        if error_rate_limit is None and p95_limit is None:
            raise SpecError("a guard needs a limit", where="guard", todo="set error_rate or p95, or no guard")
        if window <= 0 or min_samples < 1 or consecutive < 1:
            raise SpecError(
                "window, min_samples and consecutive must be positive", where="guard", todo="correct them"
            )
        self._source = source
        self._error_rate_limit = error_rate_limit
        self._p95_limit = p95_limit
        self._window = window
        self._min_samples = min_samples
        self._consecutive = consecutive
        self._begin: float | None = None
        self._breaches = 0

    def reset(self, now: float) -> None:
        """Begin the first window now, with no breach counted."""
        self._begin = now
        self._breaches = 0

    def look(self, now: float) -> Verdict:
        """The verdict on the window that ends now, if it has lasted long enough; ``unknown`` otherwise."""
        if self._begin is None:
            self.reset(now)
        begin = now if self._begin is None else self._begin
        if now - begin < self._window:
            left = self._window - (now - begin)
            return self._unknown(f"the window has {left:.1f} s to go", begin, now, None)
        seen = self._source(begin, now)
        if seen.requests < self._min_samples:
            why = f"{seen.requests} of the {self._min_samples} requests needed in {now - begin:.1f} s"
            return self._unknown(why, begin, now, seen)
        self._begin = now
        complaints = self._complaints(seen)
        self._breaches = self._breaches + 1 if complaints else 0
        if not complaints:
            decision, why = Decision.OK, f"{seen.errors} errors in {seen.requests} requests"
        else:
            decision = Decision.ROLLBACK if self._breaches >= self._consecutive else Decision.BREACH
            why = f"{' and '.join(complaints)} (breach {self._breaches} of {self._consecutive})"
        return self._verdict(decision, f"{why} in {now - begin:.1f} s", begin, now, seen)

    def _complaints(self, seen: SideStats) -> list[str]:
        found: list[str] = []
        limit = self._error_rate_limit
        if limit is not None and seen.errors > limit * seen.requests:
            rate = 100 * seen.errors / seen.requests
            found.append(
                f"{seen.errors} errors in {seen.requests} requests are {rate:.2f} %, over the limit of "
                f"{100 * limit:g} %"
            )
        slow, timed = self._slow(seen), len(seen.durations)
        if self._p95_limit is not None and slow > SLOW_SHARE * timed:
            found.append(
                f"{slow} of {timed} requests took longer than {1000 * self._p95_limit:g} ms, more than "
                f"{100 * SLOW_SHARE:g} %"
            )
        return found

    def _slow(self, seen: SideStats) -> int:
        limit = self._p95_limit
        return 0 if limit is None else sum(took > limit for took in seen.durations)

    def _unknown(self, why: str, since: float, until: float, seen: SideStats | None) -> Verdict:
        return self._verdict(Decision.UNKNOWN, why, since, until, seen or SideStats(0, 0, ()))

    def _verdict(self, decision: Decision, why: str, since: float, until: float, seen: SideStats) -> Verdict:
        return Verdict(
            decision,
            why,
            since,
            until,
            requests=seen.requests,
            errors=seen.errors,
            timed=len(seen.durations),
            slow=self._slow(seen),
            breaches=self._breaches,
        )
