"""The rhythm of following: passes, lag, housekeeping, and the guard that rolls back by itself."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, dataclass

from crossfade.errors import (
    CrossfadeError,
    LeaseHeld,
    LeaseLost,
    Refused,
    SchemaChanged,
    StoreUnreachable,
)
from crossfade.lease import Held
from crossfade.move import Move
from crossfade.standing import Standing
from crossfade.stores.base import Side
from crossfade.switch import Switched
from crossfade.sync.passes import Passes
from crossfade.watch.guard import Decision, ErrorRateGuard, Guard

_TRIM = 10.0
"""Seconds between two trims of the leader's log."""

_NOTE = 1.0
"""Seconds between two notes of how far following is."""


@dataclass(slots=True)
class Followed:
    """What a run of ``follow`` did: passes, changed keys, the longest time behind and the longest lock on an
    application's database (seconds), and the switch that the guard made, if it did."""

    passes: int = 0
    keys: int = 0
    longest_lag: float = 0.0
    longest_lock: float = 0.0
    rollback: Switched | None = None
    rollback_reason: str = ""


class Follower:
    """Follows whoever leads until it is told to stop; makes room for a switch and goes on after it."""

    def __init__(self, move: Move, *, interval: float = 0.1) -> None:
        self.move = move
        self.interval = interval
        self.stopped = threading.Event()
        self.result = Followed()
        self._guard: Guard | None = None
        self._guarded_epoch = -1
        self._equal_at = time.time()
        self._noted_at = 0.0
        self._trimmed_at = time.monotonic()
        self._alarmed = ""

    def stop(self) -> None:
        """End after the running pass."""
        self.stopped.set()

    def run(self) -> Followed:
        """Follow.  ``LeaseHeld`` when somebody else does already; afterwards a lease that is taken away by
        a switch is waited for."""
        self.move.reporter.begin("follow", {"keys": 0})
        try:
            return self._run()
        finally:
            self.move.reporter.end()

    def _run(self) -> Followed:
        first = True
        while not self.stopped.is_set():
            try:
                with self.move.following() as (held, passes, standing):
                    if first:
                        self.move.reporter.say(
                            f"{standing.leader} leads; following at epoch {standing.epoch}"
                        )
                    first = False
                    self._follow(held, passes, standing)
            except LeaseLost:
                self._wait_for_room()
            except LeaseHeld:
                if first:
                    raise
                self._wait_for_room()
            except Refused:
                if first or self.move.standing().completed:
                    raise
                self._wait_for_room()  # a switch is at work or half done
            except StoreUnreachable as error:
                if first:
                    raise
                self._alarm(error)
                self._wait_for_room()
            reason = self.result.rollback_reason
            if reason and self.result.rollback is None:
                self.result.rollback = self._roll_back(reason)
        return self.result

    def _follow(self, held: Held, passes: Passes, standing: Standing) -> None:
        while not self.stopped.is_set():
            held.demand()
            began = time.time()
            try:
                done = passes.run()
            except SchemaChanged as error:
                self.move.reporter.say(error.what)
                self.move.rearm(passes, held)
                continue
            except (LeaseLost, StoreUnreachable):
                raise
            except CrossfadeError as error:
                # A value that cannot be held, a row that does not read back: an alarm at once, and again
                # and again, until somebody mends it; nothing is skipped.
                self._alarm(error)
                self.move.reporter.lag(time.time() - self._equal_at)
                self._judge_lag(standing, time.time() - self._equal_at)
                self.stopped.wait(1.0)
                continue
            self._alarmed = ""
            self.result.passes += 1
            self.result.keys += done.keys
            self.result.longest_lock = max(store.longest_lock() for store in self.move.stores.values())
            self.result.longest_lag = max(self.result.longest_lag, time.time() - self._equal_at)
            self._equal_at = began
            self.move.reporter.advance("keys", done.keys)
            self.move.reporter.lag(time.time() - began)
            self._keep_house(passes, standing)
            if self._guard_says_back(standing):
                return
            self.stopped.wait(max(0.0, self.interval - done.seconds))

    # -- lag and housekeeping -----------------------------------------------------

    def _keep_house(self, passes: Passes, standing: Standing) -> None:
        now = time.monotonic()
        if now - self._noted_at >= _NOTE and standing.follower is not None:
            self._noted_at = now
            self.move.stores[standing.follower].note(self.move.spec.move, {"followed_at": self._equal_at})
            self.move.supervise_router(standing)
        if now - self._trimmed_at >= _TRIM and passes.position is not None:
            self._trimmed_at = now
            passes.leader.trim(passes.position)

    def _judge_lag(self, standing: Standing, lag: float) -> None:
        """When the lag passes its limit, shifted reads go back to the leader first."""
        router = self.move.router
        if router is not None and lag > self.move.spec.lag_limit and router.state().reads_percent > 0:
            router.shift(0)
            self.move.ledger.append("shift.withdrawn", lag=round(lag, 3), leader=str(standing.leader))
            self.move.reporter.say(f"{lag:.1f} s behind: shifted reads go back to the leader")

    def _alarm(self, error: CrossfadeError) -> None:
        if str(error) != self._alarmed:
            self._alarmed = str(error)
            self.move.reporter.say(f"ALARM: {error}")
            self.move.ledger.append("follow.alarm", **error.as_json())

    def _wait_for_room(self) -> None:
        self.stopped.wait(0.1)

    # -- the guard ----------------------------------------------------------------

    def _guard_says_back(self, standing: Standing) -> bool:
        """Ask the guard about the new side, once it leads."""
        router, spec = self.move.router, self.move.spec.guard
        if router is None or spec is None or standing.leader is not Side.NEW:
            return False
        if self._guard is None or self._guarded_epoch != standing.epoch:
            self._guarded_epoch = standing.epoch
            self._guard = ErrorRateGuard(
                lambda since, until: router.stats(since, until)[Side.NEW],
                error_rate_limit=spec.error_rate,
                p95_limit=spec.p95,
                window=spec.window,
                min_samples=spec.min_samples,
                consecutive=spec.consecutive,
            )
        verdict = self._guard.look(time.time())
        if verdict.decision in (Decision.BREACH, Decision.ROLLBACK):
            self.move.reporter.say(f"guard: {verdict.why}")
            self.move.ledger.append(f"guard.{verdict.decision}", **asdict(verdict))
        if verdict.decision is not Decision.ROLLBACK:
            return False
        self.result.rollback_reason = verdict.why
        return True

    def _roll_back(self, reason: str) -> Switched | None:
        try:
            return self.move.rollback(reason=reason)
        except CrossfadeError as error:
            self._alarm(error)
            self.result.rollback_reason = ""  # the guard asks again
            self._guard = None
            return None
