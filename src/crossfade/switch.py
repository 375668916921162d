"""The switch: the lead changes hands.  Cutover and rollback are this one operation, in two directions.

Read it top to bottom.  Everything rests on the order of the steps and on one commit point (step 7):
before it every failure ends with the old leader leading again, after it there is only forward.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from crossfade import recovery
from crossfade.errors import AttemptOver, BudgetOver, CrossfadeError, Refused, StoreError, StoreUnreachable
from crossfade.handover import Handover
from crossfade.lease import Held
from crossfade.ledger import Ledger
from crossfade.report import Reporter
from crossfade.routers.base import Router
from crossfade.spec import Spec
from crossfade.standing import Standing
from crossfade.stores.base import Role, Side, State, Store
from crossfade.sync.mapping import Pair
from crossfade.sync.passes import Passes
from crossfade.watchdog import Watchdog

STEPS = (
    "preconditions",
    "hold",
    "drain",
    "fence",
    "last pass",
    "sequences",
    "test",
    "commit",
    "release",
    "old side",
)
"""The steps by number, as the design counts them."""

_RESERVE = 0.1
"""Seconds of the hold that are kept for COMMIT and RELEASE: past ``hold_budget - _RESERVE`` it aborts."""

_BEHIND_THE_HOLD = range(3, 8)
"""The steps that wait for databases while requests are held: they have what is left of the hold, and no more."""

_ABORT = 0.5
"""Seconds that an abort waits for a database that it can do without."""

_CALM = 0.05
"""A pass shorter than this (seconds) says that the follower is close enough behind to hold requests."""

_SHORT_QUEUE = 10
"""Requests in flight that drain in a moment."""

_QUEUE_PATIENCE = 15.0
"""Seconds that a cutover waits for a short queue before it holds all the same."""

_CALM_PATIENCE = 30.0
"""Seconds that a switch waits for maintenance to end before it is refused."""

Observer = Callable[[int, str], None]
"""Told ``(step, "before" | "after")`` at each step."""


def nobody(_step: int, _when: str) -> None:
    """The observer that does not look."""


@dataclass(slots=True)
class Switched:
    """What a switch did.  Times in milliseconds; ``steps_ms`` by step name.

    ``cut_off`` counts database sessions of the old leader that were ended, ``in_flight`` requests that
    were still unanswered when the drain budget was over, ``maybe_lost`` says in words what
    ``accept_loss`` gave up, ``unrecorded`` what could not be written to the evidence, and why.
    """

    to: Side
    epoch: int
    hold_ms: float = 0.0
    steps_ms: dict[str, float] = field(default_factory=dict)
    last_pass_keys: int = 0
    in_flight: int = 0
    cut_off: int = 0
    maybe_lost: str = ""
    follows: bool = True
    unrecorded: str = ""


class Switch:
    """One switch of one move, under a lease that the caller holds."""

    def __init__(
        self,
        spec: Spec,
        stores: Mapping[Side, Store],
        router: Router | None,
        pairs: Sequence[Pair],
        passes: Passes | None,
        standing: Standing,
        held: Held,
        ledger: Ledger,
        reporter: Reporter,
        watchdog: Watchdog,
        *,
        accept_loss: bool = False,
        cut_off: bool = False,
        observe: Observer = nobody,
    ) -> None:
        if standing.leader is None or standing.follower is None:
            raise Refused("nothing leads yet", where=spec.move, todo="run `crossfade copy` first")
        self.spec = spec
        self.router = router
        self.from_side: Side = standing.leader
        self.to_side: Side = standing.follower
        self.leader = stores[self.from_side]
        self.successor = stores[self.to_side]
        self.pairs = pairs
        self.passes = passes
        self.standing = standing
        self.held = held
        self.ledger = ledger
        self.reporter = reporter
        self.watchdog = watchdog
        self.accept_loss = accept_loss
        self.cut_off = cut_off
        self.observe = observe
        self.epoch = standing.epoch
        self.attempt = 1 + max(
            (state.attempt for state in standing.states.values() if state is not None), default=0
        )
        self.leader_answers = self.from_side not in standing.unreachable
        self.handover = Handover(stores, spec.move, silent=standing.unreachable)
        self.result = Switched(to=self.to_side, epoch=self.epoch + 1)
        self._held_since = 0.0
        self._fenced = False
        self._committing = False

    # -- the story --------------------------------------------------------------

    def run(self) -> Switched:
        """Hand the lead over.  Raises ``Refused`` (nothing was touched), ``BudgetOver`` and every other
        error after the abort: then the old leader leads again, or, when the outcome of COMMIT is unknown
        (``StoreUnreachable``), nobody is un-fenced until the databases answer.  An error between COMMIT and the
        end is raised when the watchdog has finished the switch."""
        try:
            self._step(0, self._preconditions)
        except BaseException:
            self.watchdog.dismiss()
            raise
        try:
            self._step(1, self._hold)
            self._step(2, self._drain)
            self._step(3, self._fence)
            self._step(4, self._last_pass)
            self._step(5, self._sequences)
            self._step(6, self._test)
            self._step(7, self._commit)
        except BaseException as error:
            self._abort(error)
            raise
        try:
            self._step(8, self._release)
            self._step(9, self._old_side)
        except BaseException:
            self._entrust()
            raise
        self.watchdog.dismiss()
        self.result.unrecorded = recovery.record(
            self.ledger,
            "switch.done",
            to=self.to_side.value,
            epoch=self.epoch + 1,
            hold_ms=round(self.result.hold_ms, 3),
            steps_ms={name: round(value, 3) for name, value in self.result.steps_ms.items()},
            keys=self.result.last_pass_keys,
            in_flight=self.result.in_flight,
            cut_off=self.result.cut_off,
            maybe_lost=self.result.maybe_lost,
        )
        if self.result.unrecorded:
            self.reporter.say(self.result.unrecorded)
        return self.result

    # -- 0 ----------------------------------------------------------------------

    def _preconditions(self) -> None:
        """Fresh verification, lag under its limit, the successor's app healthy, nothing in the way of
        the locks, and a watchdog that repairs if this process dies."""
        self._demand_key_everywhere()
        self._demand_app()
        if self.leader_answers:
            self._demand_equal()
            self._wait_for_calm()
        elif not self.accept_loss:
            raise StoreUnreachable(
                f"{self.standing.unreachable[self.from_side]}; its last changes cannot be brought over",
                where=f"{self.from_side} store",
                todo="bring it back, or give up what it has not handed over with --accept-loss",
            )
        self.watchdog.guard(self.held.token, self.epoch, self.attempt)
        self.successor.begin_attempt(self.spec.move, self.epoch, self.attempt)
        if self.leader_answers:
            self.leader.begin_attempt(self.spec.move, self.epoch, self.attempt)
        if recovery.UNHANDED in self._state(self.to_side).notes:
            self.successor.note(self.spec.move, {recovery.UNHANDED: None})
        self._wait_for_a_short_queue()

    def _wait_for_a_short_queue(self) -> None:
        """Preparing a switch costs the application's machine some work too.  Requests that queued up meanwhile would
        have to drain inside the hold, so they get some time before it; a rollback does not wait for a sick app."""
        if self.router is None or self._is_rollback:
            return
        deadline = time.monotonic() + _QUEUE_PATIENCE
        while (self.router.in_flight(self.from_side) or 0) > _SHORT_QUEUE and time.monotonic() < deadline:
            self.held.demand()
            time.sleep(0.02)
        if self.leader_answers:
            self._passes().run()

    def _demand_key_everywhere(self) -> None:
        for pair in self.pairs:
            if not pair.keyed and not pair.rule.allow_no_key:
                raise Refused(
                    "has no key: it was copied once, and what changed since is only on the leading side",
                    where=f"tables/{pair.name}",
                    todo="give it a key, or accept that with `allow_no_key: true`",
                )

    def _demand_app(self) -> None:
        """Only the side that will lead has to be healthy: a rollback works while the other is dead."""
        side = self.spec.side(self.to_side)
        if side.app is None or self.router is None:
            return
        url = side.app + side.health
        try:
            answer = httpx.get(url, timeout=2.0)
        except httpx.HTTPError as error:
            raise Refused(
                f"does not answer: {error}", where=url, todo=f"start the {self.to_side} app first"
            ) from error
        if answer.status_code >= 400:
            raise Refused(
                f"answers {answer.status_code}", where=url, todo=f"mend the {self.to_side} app first"
            )

    def _demand_equal(self) -> None:
        state = self._state(self.to_side)
        if state.verified_at is None:
            raise Refused(
                "the two sides were never compared", where=self.spec.move, todo="run `crossfade verify`"
            )
        age = time.time() - state.verified_at
        if age > self.spec.verify_max_age:
            raise Refused(
                f"the last verification is {age / 3600:.1f} h old; at most "
                f"{self.spec.verify_max_age / 3600:.1f} h are allowed",
                where=self.spec.move,
                todo="run `crossfade verify`",
            )
        last = self._passes().catch_up(until=_CALM, deadline=time.monotonic() + self.spec.lag_limit)
        if last.seconds > self.spec.lag_limit:
            raise Refused(
                f"the follower is {last.seconds:.1f} s behind; at most {self.spec.lag_limit:g} s are allowed",
                where=self.spec.move,
                todo="wait until `crossfade status` shows less lag",
            )

    def _wait_for_calm(self) -> None:
        """A vacuum or an index build would make the fence wait inside the hold: wait for it here.  An open
        transaction of the leading app is waited for in a cutover only: in a rollback it may hang."""
        views = [pair.view(self.from_side) for pair in self.pairs]
        deadline = time.monotonic() + _CALM_PATIENCE
        while True:
            busy = [b for b in self.leader.busy(views) if b.maintenance or not self._is_rollback]
            if not busy:
                return
            if time.monotonic() >= deadline:
                raise Refused(
                    "is busy: " + "; ".join(b.what for b in busy),
                    where=f"{self.from_side} store",
                    todo="try again when that is over, or end it",
                )
            self.held.demand()
            time.sleep(0.05)
            self._passes().run()

    @property
    def _is_rollback(self) -> bool:
        """Back to the old home: the leader may be sick, so nothing of it is waited for without end."""
        return self.to_side is Side.OLD

    # -- 1, 2 -------------------------------------------------------------------

    def _hold(self) -> None:
        self.held.demand()
        self._held_since = time.monotonic()
        self.watchdog.held()
        if self.router is not None:
            self.router.hold()

    def _drain(self) -> None:
        """A courtesy to requests in flight; only the fence proves that none writes any more.  A cutover that
        would fail some of them is aborted; a rollback goes on, because the app may be sick."""
        if self.router is None:
            return
        deadline = self._held_since + self.spec.drain_budget
        zeros = 0
        while zeros < 2:
            count = self.router.in_flight(self.from_side)
            if count is None:
                return
            zeros = zeros + 1 if count == 0 else 0
            if count and time.monotonic() >= deadline:
                if not (self._is_rollback or self.cut_off):
                    raise BudgetOver(
                        f"{count} requests to the {self.from_side} app were still unanswered after "
                        f"{self.spec.drain_budget:g} s; fencing would have failed those that write",
                        where=self.spec.move,
                        todo="try again when it is less busy, raise drain_budget, or accept that with --cut-off",
                    )
                self.result.in_flight = count
                return
            time.sleep(0.002)

    # -- 3, 4 -------------------------------------------------------------------

    def _fence(self) -> None:
        """After this no one but the applier writes to the leader, and every write before it is committed."""
        if not self.leader_answers:
            self.result.maybe_lost = self._left_behind()
            return
        self._fenced = True  # from here on perhaps: an error may hide that it was granted
        patience = self._left()
        if self._is_rollback:
            patience = min(patience, max(self._held_since + self.spec.drain_budget - time.monotonic(), 0.1))
        try:
            self.leader.fence(self.spec.move, self.epoch, self.attempt, patience)
        except BudgetOver:
            self._fenced = False
            if not self._is_rollback:
                raise
            self._fenced = True
            self.result.cut_off = self.leader.cut_off()
            self.leader.fence(self.spec.move, self.epoch, self.attempt, self._left())

    def _left_behind(self) -> str:
        state = self._state(self.to_side)
        since = f"log position {state.position}"
        if (equal := state.notes.get("followed_at")) is not None:
            at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(float(equal)))
            since = f"{at}, when the two were last known to be equal ({since})"
        return f"every write that the {self.from_side} side took after {since}, and did not hand over"

    def _last_pass(self) -> None:
        """Bring over what was written until the fence.  A pass proves what it writes, so afterwards every
        key changed since the last verification has been compared."""
        if not self.leader_answers:
            return
        while True:
            done = self._passes().run()
            self.result.last_pass_keys += done.keys
            if done.keys == 0:
                return
            self._left()

    # -- 5, 6 -------------------------------------------------------------------

    def _sequences(self) -> None:
        views = [pair.view(self.to_side) for pair in self.pairs]
        least: Mapping[int, int] = {}
        if self.leader_answers:
            least = self.leader.sequences([pair.view(self.from_side) for pair in self.pairs])
        self.successor.raise_sequences(views, least)

    def _test(self) -> None:
        """Capture and fence of the new leader, by a write that is rolled back."""
        followed = [pair.view(self.to_side) for pair in self.pairs if pair.keyed]
        self.successor.rehearse_lead(self.spec.move, followed[0] if followed else None)

    # -- 7 ----------------------------------------------------------------------

    def _commit(self) -> None:
        """First announced where the fence is: whoever finds the fence without the announcement, and ends the
        attempt there, knows without the successor's database that nothing was committed."""
        if self.leader_answers:
            self.leader.announce_commit(self.spec.move, self.epoch, self.attempt)
        else:
            # in the successor's row, with the commit: who tells the other side must know it
            self.successor.note(self.spec.move, {recovery.UNHANDED: self.epoch + 1})
        self.held.demand()
        self._left()
        self._committing = True
        try:
            self.successor.lead(self.spec.move, self.epoch, self.attempt)
        except StoreUnreachable:
            if not self._committed_after_all():
                raise
        except CrossfadeError:
            self._committing = False  # it says so when it does not know
            raise

    def _committed_after_all(self) -> bool:
        """The connection was lost in COMMIT: only that database knows, so it is asked until it answers or
        the hold is over (``BudgetOver``)."""
        while True:
            try:
                state = self.successor.state(self.spec.move)
            except StoreUnreachable:
                self._left()
                time.sleep(0.02)
            else:
                return state is not None and state.role is Role.LEADER and state.epoch == self.epoch + 1

    # -- 8, 9 -------------------------------------------------------------------

    def _release(self) -> None:
        """Held requests go to the new leader.  From here on only forward: a router that does not answer is
        mended by the watchdog or `doctor --repair`."""
        if self.router is not None:
            self.handover.release_to(self.router, self.to_side, self.epoch + 1)
        self.result.hold_ms = (time.monotonic() - self._held_since) * 1000

    def _old_side(self) -> None:
        """The side that led follows now.  It is fenced already, so nothing waits for this."""
        verified = self._state(self.to_side).verified_at if self.leader_answers else None
        for _ in range(20 if self.leader_answers else 1):
            try:
                self.leader.follow(self.spec.move, self.epoch + 1, self.held.renewed, verified)
            except (StoreError, BudgetOver):
                time.sleep(0.1)
            except Refused:
                if self.leader_answers:
                    raise
                break  # it was given up because it knows nothing of the move
            else:
                return
        self.result.follows = False
        self.reporter.say(
            f"the {self.from_side} side does not know yet that it follows; `crossfade follow` tells it when it "
            "answers, and so does `crossfade doctor --repair`"
        )

    # -- abort ------------------------------------------------------------------

    def _abort(self, why: BaseException) -> None:
        """End the attempt, and let the leader write again.

        Before COMMIT was sent that takes the leader's database alone: this process will not send it any more, and
        no other can once the attempt is over there.  After it was sent only the successor's database can say that
        it did not happen, and nothing is un-fenced until it answers.  Whatever is left undone here, or not known to
        be this switch's doing, the watchdog settles from what stands in the databases.  The evidence comes last: a
        full disk must not keep the leader fenced.
        """
        try:
            self._give_back(why)
        except AttemptOver:
            self.reporter.say(
                "this switch has ended already, committed or repaired; seeing that all is as it is"
            )
            self._entrust()
        except CrossfadeError as error:
            self.reporter.say(f"the abort is not finished ({error.what}); the watchdog goes on with it")
            self._entrust()
        except BaseException:
            self._entrust()
            raise
        else:
            self.watchdog.dismiss()
        finally:
            with contextlib.suppress(CrossfadeError, OSError):
                self.ledger.append("switch.aborted", to=self.to_side.value, epoch=self.epoch, why=str(why))

    def _give_back(self, why: BaseException) -> None:
        """``AttemptOver`` when somebody else ended this attempt, or it was committed."""
        fence_decides = self._fenced and not self._committing
        if not fence_decides:
            self._end_attempt()
        if self._fenced:
            self.leader.abort_attempt(self.spec.move, self.epoch, self.attempt)
            self.leader.unfence(self.spec.move, self.epoch, self.attempt + 1)
        if self.router is not None and self._held_since:
            if isinstance(why, StoreUnreachable):
                self.handover.silent.add(self.to_side)
            self.handover.release_to(self.router, self.from_side, self.epoch)
        if fence_decides:
            self._end_attempt()

    def _end_attempt(self) -> None:
        try:
            with self.successor.within(_ABORT):
                self.successor.abort_attempt(self.spec.move, self.epoch, self.attempt)
        except (StoreError, BudgetOver):
            if self._committing:
                raise

    def _entrust(self) -> None:
        """Let the watchdog finish what this process cannot, or, when nobody watches, repair here."""
        if self.watchdog.abandon():
            return
        try:
            recovery.repair(
                {self.from_side: self.leader, self.to_side: self.successor},
                self.router,
                self.spec.move,
                self.ledger,
                of=self.held.token,
            )
        except CrossfadeError as error:
            self.reporter.say(f"not finished: {error.what}; `crossfade doctor --repair` goes on with it")

    # -- small things -----------------------------------------------------------

    def _step(self, number: int, act: Callable[[], None]) -> None:
        self.observe(number, "before")
        started = time.monotonic()
        if number in _BEHIND_THE_HOLD:
            self._in_time(number, act)
        else:
            act()
        self.result.steps_ms[STEPS[number]] = (time.monotonic() - started) * 1000
        self.observe(number, "after")

    def _in_time(self, number: int, act: Callable[[], None]) -> None:
        """Whatever waits in one of the databases ends with the hold, and says in which step."""
        left = self._left()
        try:
            with self.leader.within(left), self.successor.within(left):
                act()
        except BudgetOver as error:
            raise BudgetOver(f"{STEPS[number]}: {error.what}", where=error.where, todo=error.todo) from error

    def _left(self) -> float:
        """Seconds of the hold that are left for work.  ``BudgetOver`` when there are none."""
        left = self._held_since + self.spec.hold_budget - _RESERVE - time.monotonic()
        if left <= 0:
            raise BudgetOver(
                f"the hold of {self.spec.hold_budget:g} s is over; the {self.from_side} side leads on",
                where=self.spec.move,
                todo="see which step took so long (`crossfade status`), or raise hold_budget",
            )
        return left

    def _passes(self) -> Passes:
        if self.passes is None:
            raise StoreUnreachable("no pass is possible", where=f"{self.from_side} store")
        return self.passes

    def _state(self, side: Side) -> State:
        state = self.standing.states[side]
        if state is None:
            raise StoreUnreachable("has no state row", where=f"{side} store", todo="run `crossfade doctor`")
        return state
