"""The rhythm of following: passes, lag, housekeeping, and the guard that rolls back by itself."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from crossfade import recovery
from crossfade.errors import CrossfadeError, LeaseHeld, LeaseLost, Refused, SchemaChanged
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
"""Seconds between two notes of how far following is, and between two looks at router and databases."""

_EVIDENCE = 60.0
"""Seconds between two entries of the lag in the evidence while rows change; charts are drawn from them."""

_QUIET = 15
"""While nothing changes only every so many of them are made."""

_DOUBT = 0.3
"""Seconds after which it looks again before it raises an alarm that it cannot follow."""

_RETRY = 1.0
"""Seconds after an error until it tries again."""


@dataclass(slots=True)
class Followed:
    """What a run of ``follow`` did: passes, changed keys, the longest time behind and the longest lock on an
    application's database (seconds), and the last rollback that the guard made, if it made one, and why."""

    passes: int = 0
    keys: int = 0
    longest_lag: float = 0.0
    longest_lock: float = 0.0
    rollback: Switched | None = None
    rollback_reason: str = ""


@dataclass(slots=True)
class _Stretch:
    """What happened since the last entry in the evidence."""

    began: float = field(default_factory=time.monotonic)
    passes: int = 0
    keys: int = 0
    longest_lag: float = 0.0

    def add(self, keys: int, lag: float) -> None:
        self.passes += 1
        self.keys += keys
        self.longest_lag = max(self.longest_lag, lag)

    def is_over(self, now: float) -> bool:
        return now - self.began >= _EVIDENCE * (1 if self.keys else _QUIET)


class Follower:
    """Follows whoever leads until it is told to stop; makes room for a switch and goes on after it.

    It also repairs: a router that does not do what the databases say, and a switch that nobody is at work on
    any more.  No error of the move ends it once it has begun: it is an alarm, and it goes on.
    """

    def __init__(self, move: Move, *, interval: float = 0.1) -> None:
        self.move = move
        self.interval = interval
        self.stopped = threading.Event()
        self.result = Followed()
        self._guard: Guard | None = None
        self._guarded_epoch = -1
        self._pending = ""
        self._equal_at = time.time()
        self._noted_at = 0.0
        self._looked_at = 0.0
        self._trimmed_at = time.monotonic()
        self._since = _Stretch()
        self._alarms: dict[str, str] = {}
        self._doubted = ""

    def stop(self) -> None:
        """End after the running pass."""
        self.stopped.set()

    def run(self) -> Followed:
        """Follow.  An error before the first pass is raised (``LeaseHeld`` when somebody else follows already);
        afterwards a lease that is taken away by a switch is waited for."""
        self.move.reporter.begin("follow", {"keys": 0})
        try:
            return self._run()
        finally:
            self.move.reporter.end()

    def _run(self) -> Followed:
        first = True
        while not self.stopped.is_set():
            try:
                self._look_after()
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
            except CrossfadeError as error:
                if first or self._is_completed():
                    raise
                # Refused too: a switch that is at work was told apart above, so nobody is
                if self._doubted != str(error):
                    self._doubted = str(error)  # a watchdog may be about to repair it
                    self.stopped.wait(_DOUBT)
                    continue
                self._alarm("follow", error)
                self._judge_lag()
                self.stopped.wait(_RETRY)
            reason, self._pending = self._pending, ""
            if reason and (done := self._roll_back(reason)) is not None:
                self.result.rollback, self.result.rollback_reason = done, reason
        return self.result

    def _is_completed(self) -> bool:
        try:
            return self.move.standing().completed
        except CrossfadeError:
            return False

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
            except LeaseLost:
                raise
            except CrossfadeError as error:
                # A value that cannot be held, a row that does not read back, a database that is gone: an alarm
                # at once, again and again until somebody mends it; nothing is skipped.
                self._alarm("pass", error)
                self.move.reporter.lag(time.time() - self._equal_at)
                self._judge_lag()
                self._look_after(held)
                self.stopped.wait(_RETRY)
                continue
            self._calm("pass")
            self._calm("follow")
            self._doubted = ""
            self.result.passes += 1
            self.result.keys += done.keys
            self.result.longest_lock = max(store.longest_lock() for store in self.move.stores.values())
            lag = time.time() - self._equal_at
            self.result.longest_lag = max(self.result.longest_lag, lag)
            self._since.add(done.keys, lag)
            self._judge_lag()
            self._equal_at = began
            self.move.reporter.advance("keys", done.keys)
            self.move.reporter.lag(time.time() - began)
            self._keep_house(passes, standing)
            self._look_after(held)
            if self._guard_says_back(standing):
                return
            self.stopped.wait(max(0.0, self.interval - done.seconds))

    # -- lag and housekeeping -----------------------------------------------------

    def _keep_house(self, passes: Passes, standing: Standing) -> None:
        now = time.monotonic()
        if now - self._noted_at >= _NOTE and standing.follower is not None:
            self._noted_at = now
            with self._surviving("note"):
                self.move.stores[standing.follower].note(self.move.spec.move, {"followed_at": self._equal_at})
        if self._since.is_over(now):
            told = self._since
            with self._surviving("evidence"):
                self.move.ledger.append(
                    "follow.lag", lag=round(told.longest_lag, 3), passes=told.passes, keys=told.keys
                )
                self._since = _Stretch()
        if now - self._trimmed_at >= _TRIM and passes.position is not None:
            self._trimmed_at = now
            with self._surviving("trim"):
                passes.leader.trim(passes.position)

    def _look_after(self, held: Held | None = None) -> None:
        """Every second: does the router do what the databases say, and is no switch half done that nobody is at
        work on?  Otherwise repair, which takes the lease for a moment, also from this process."""
        now = time.monotonic()
        if now - self._looked_at < _NOTE:
            return
        self._looked_at = now
        with self._surviving("look"):
            standing = self.move.standing()
            if standing.completed or not any(standing.states.values()):
                return
            try:
                standing.demand_no_switch()
                if recovery.is_wrong(standing, self.move.router, self.move.ledger):
                    for line in self.move.repair(of=held.token if held is not None else None):
                        self.move.reporter.say(f"repaired: {line}")
                    if held is not None:
                        raise LeaseLost("the repair took the lease", where=self.move.spec.move)
            except LeaseHeld:
                return  # somebody is at work, and leaves it right

    def _judge_lag(self) -> None:
        """When the lag passes its limit, shifted reads go back to the leader first."""
        lag, router = time.time() - self._equal_at, self.move.router
        if router is None or lag <= self.move.spec.lag_limit:
            return
        with self._surviving("shift"):
            if router.state().reads_percent > 0:
                router.shift(0)
                self.move.reporter.say(f"{lag:.1f} s behind: shifted reads go back to the leader")
                self.move.ledger.append("shift.withdrawn", lag=round(lag, 3))

    # -- alarms -------------------------------------------------------------------

    @contextlib.contextmanager
    def _surviving(self, part: str) -> Iterator[None]:
        """An error of this part of the work is an alarm, and the rest goes on."""
        try:
            yield
        except LeaseLost:
            raise
        except CrossfadeError as error:
            self._alarm(part, error)
        else:
            self._calm(part)

    def _alarm(self, part: str, error: CrossfadeError) -> None:
        """Once for each message, until that part of the work has gone well again."""
        if self._alarms.get(part) != str(error):
            self._alarms[part] = str(error)
            self.move.reporter.say(f"ALARM: {error}")
            with contextlib.suppress(CrossfadeError):
                self.move.ledger.append("follow.alarm", **error.as_json())

    def _calm(self, part: str) -> None:
        self._alarms.pop(part, None)

    def _wait_for_room(self) -> None:
        self._judge_lag()
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
        with self._surviving("guard"):
            verdict = self._guard.look(time.time())
            if verdict.decision in (Decision.BREACH, Decision.ROLLBACK):
                self.move.reporter.say(f"guard: {verdict.why}")
                with self._surviving("evidence"):
                    self.move.ledger.append(f"guard.{verdict.decision}", **asdict(verdict))
            if verdict.decision is Decision.ROLLBACK:
                self._pending = verdict.why
                return True
        return False

    def _roll_back(self, reason: str) -> Switched | None:
        judged = self._guarded_epoch

        def same_lead(step: int, when: str) -> None:
            """Under the lease: the verdict is about this lead and no other."""
            if (step, when) == (0, "before") and self.move.standing().epoch != judged:
                raise Refused(
                    f"the guard's verdict is about epoch {judged}, and the lead has changed hands since",
                    where=self.move.spec.move,
                )

        try:
            return self.move.rollback(reason=reason, observe=same_lead)
        except CrossfadeError as error:
            self._alarm("guard", error)
            self._guard = None  # it asks again
            return None
