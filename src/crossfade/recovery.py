"""Doctor: says in words what state a move is in, and brings a half-done switch to a legal one.

It looks at the two databases, because they hold the truth; the router is then set to what they say.  While
one of them does not answer, the other's word is not enough to send a living router elsewhere (``claims``).
A repair holds the lease, so it excludes switches and other repairs; and every action is a compare-and-set on
numbers that this repair itself has set, so a repair or a coordinator that was paused and wakes up late finds
other numbers and changes nothing.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from crossfade import claims, concession
from crossfade import standing as standings
from crossfade.claims import Rival
from crossfade.concession import CONCEDED
from crossfade.errors import (
    AttemptOver,
    CrossfadeError,
    LeaseHeld,
    LeaseLost,
    LedgerError,
    Refused,
    RouterError,
)
from crossfade.lease import Held, is_alive
from crossfade.ledger import Ledger
from crossfade.routers.base import Router
from crossfade.standing import Standing
from crossfade.stores.base import Lease, Side, State, Store

UNHANDED = concession.UNHANDED
"""The note of a successor: the epoch whose switch left the former leader's last writes behind."""

_ROUNDS = 5
"""Times that a repair starts over because somebody else moved on meanwhile."""

_OTHERS = 10.0
"""Seconds that a repair waits for another one to end."""

_FENCE = 5.0
"""Seconds that the fence of a side that lost the lead may wait for open transactions."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is not as it should be: what, and whether ``repair`` mends it."""

    what: str
    repairable: bool
    todo: str = ""


def record(ledger: Ledger, event: str, **data: Any) -> str:
    """Append evidence to what has been done already; returns what to say when that was not possible, or ""."""
    try:
        ledger.append(event, **data)
    except LedgerError as error:
        return f"{event} is not in the evidence: {error.where}: {error.what}"
    return ""


def examine(standing: Standing, router: Router | None, ledger: Ledger | None = None) -> list[Trouble]:
    """Everything wrong with a move; empty when all is well.  The ``ledger`` is asked only while a database does
    not answer: it may know that the other side has succeeded the one that says that it leads."""
    found = [
        Trouble(f"the {side} store does not answer: {why}", False, "bring the database back")
        for side, why in standing.unreachable.items()
    ]
    leader = standing.leader
    if standing.leaderless and not standing.completed:
        what, todo = concession.nobody_leads(standing)
        found.append(Trouble(what, concession.heir(standing) is not None, todo))
    if leader is None or standing.completed:
        return found
    state, follower = standing.leader_state, standing.follower_state
    rival = claims.rival(standing, ledger)
    if standing.committed:
        found.append(
            Trouble(
                f"a switch to the {leader} side was committed (epoch {standing.epoch}), but the "
                f"{leader.other} side does not know yet that it follows",
                True,
            )
        )
    elif state is not None and state.fenced and rival is None:
        error = _undecided(standing) if _is_undecided(standing, rival) else None
        found.append(
            Trouble(
                f"a switch was begun and neither committed nor aborted: the {leader} side leads at epoch "
                f"{standing.epoch}, but is fenced, so nobody can write",
                error is None,
                "" if error is None else error.todo,
            )
        )
    if rival is not None and state is not None:
        found.append(_examine_rival(rival, state))
    if follower is None and standing.copied and not standing.unreachable:
        found.append(
            Trouble(
                f"the {leader.other} database answers, but knows nothing of the move: it was replaced, or restored "
                "to a day before the copy",
                False,
                "bring the right one back, or begin a new move",
            )
        )
    if leader in standing.unreachable and concession.heir(standing) is not None:
        what, todo = concession.nobody_leads(standing)
        found.append(Trouble(what, False, todo))
    if follower is not None and state is not None and follower.notes.get(CONCEDED) == standing.epoch:
        found.append(Trouble(f"the {leader} side was given up, and came back: it leads", True))
    if follower is not None and not standing.committed:
        if follower.epoch < standing.epoch:
            found.append(
                Trouble(
                    f"the {leader.other} side follows at epoch {follower.epoch}, but the {leader} side leads at "
                    f"epoch {standing.epoch}",
                    True,
                )
            )
        elif not follower.fenced:
            found.append(
                Trouble(
                    f"the {leader.other} side follows, but its state row was altered: it is not fenced",
                    False,
                    f"stop what writes to the {leader.other} side, set its row back, and run `crossfade verify`",
                )
            )
    if router is not None:
        found.extend(_examine_router(router, leader, standing, rival))
    if standing.copied and follower is not None and not standing.committed:
        lease = follower.lease
        if lease is None or not is_alive(lease, time.time()):
            found.append(
                Trouble(
                    f"nobody follows: the {leader.other} side falls behind, and a switch has to catch up first",
                    False,
                    "run `crossfade follow`",
                )
            )
    return found


def is_wrong(standing: Standing, router: Router | None, ledger: Ledger | None = None) -> bool:
    """Whether there is something that ``repair`` mends."""
    return any(trouble.repairable for trouble in examine(standing, router, ledger))


def _examine_rival(rival: Rival, state: State) -> Trouble:
    side = rival.side.other
    took = "took" if rival.certain else "may have taken"
    return Trouble(
        f"the {side} side says that it leads at epoch {state.epoch}, but by the evidence the {rival.side} side "
        f"{took} the lead at epoch {rival.epoch}" + (", so it is fenced" if state.fenced else ""),
        rival.certain and not state.fenced,
        f"bring the {rival.side} database back: its row decides",
    )


def _examine_router(router: Router, leader: Side, standing: Standing, rival: Rival | None) -> list[Trouble]:
    try:
        state = router.state()
    except RouterError as error:
        return [Trouble(f"the router cannot be asked: {error.what}", True)]
    if not state.alive:
        return [Trouble("the router does not answer", True)]
    may = claims.may_route(standing, leader, state, rival)
    todo = "" if may else f"bring the {leader.other} database back; until then the router stays as it is"
    doubt = "" if may else f" (which the {leader.other} database alone could confirm)"
    if state.held:
        return [Trouble("the router holds requests, and no switch is at work" + doubt, may, todo)]
    if state.leader is not leader:
        what = f"the router sends writes to the {state.leader} side, but the {leader} side says that it leads"
        return [Trouble(what + doubt, may, todo)]
    if state.reads_from is not leader:
        return [Trouble(f"the router sends reads to the {state.reads_from} side, but {leader} leads", True)]
    return []


def repair(
    stores: Mapping[Side, Store],
    router: Router | None,
    move: str,
    ledger: Ledger,
    *,
    of: str | None = None,
    stuck: Callable[[Lease], bool] = lambda _lease: False,
) -> list[str]:
    """Bring a half-done switch to a legal state; returns what was done, in words.

    A switch that committed goes forward, any other goes back.  ``LeaseHeld`` while somebody is at work, unless
    it is the switch with the token ``of`` (the watchdog's) or ``stuck`` says that the holder does not run any
    more; another repair is waited for.  ``Refused`` when a database that has to be asked does not answer.
    """
    deadline = time.monotonic() + _OTHERS
    rounds = 0
    while True:
        try:
            return _repair(stores, router, move, ledger, of, stuck)
        except (AttemptOver, LeaseLost):
            # somebody else moved on between a look and an act: look at everything again
            rounds += 1
            if rounds >= _ROUNDS:
                raise
        except LeaseHeld:
            if time.monotonic() >= deadline or not _is_being_repaired(stores, move):
                raise
        time.sleep(0.05)


def _is_being_repaired(stores: Mapping[Side, Store], move: str) -> bool:
    leases = [state.lease for state in standings.read(stores, move).states.values() if state is not None]
    alive = [lease for lease in leases if lease is not None and is_alive(lease, time.time())]
    # none at all: it ended just now
    return all(lease.verb == standings.REPAIR for lease in alive)


def _repair(
    stores: Mapping[Side, Store],
    router: Router | None,
    move: str,
    ledger: Ledger,
    of: str | None,
    stuck: Callable[[Lease], bool],
) -> list[str]:
    standing = standings.read(stores, move)
    if standing.completed or not any(standing.states.values()):
        return route(router, stores, move, ledger)
    if _is_busy_elsewhere(standing, stuck) and not _is_half_done(standing):
        # somebody copies or verifies: only the router can be wrong
        return route(router, stores, move, ledger)
    with Held(
        stores,
        standing.states,
        move,
        standings.REPAIR,
        required=next(side for side in _order(standing) if standing.states[side] is not None),
        over=of,
        stuck=stuck,
    ) as held:
        standing = standings.read(stores, move)
        if standing.completed:
            return route(router, stores, move, ledger)
        rival = claims.rival(standing, ledger)
        if standing.leader is None:
            done = concession.take_the_lead(stores, standing)
        elif _is_undecided(standing, rival):
            _close(stores, standing)
            _revive(router)
            raise _undecided(standing)
        elif standing.committed:
            done = _go_forward(stores, standing, held)
        else:
            done = _go_back(stores, standing, held, rival)
        held.demand()
        done.extend(route(router, stores, move, ledger, but=held.token))
    if done:
        after = standings.read(stores, move)
        leads = after.leader.value if after.leader else ""
        unwritten = record(
            ledger,
            "doctor.repaired",
            leader=leads,
            epoch=after.epoch,
            done=done,
            away=[side.value for side in after.unreachable],
        )
        if unwritten:
            done.append(unwritten)
    return done


def _order(standing: Standing) -> tuple[Side, Side]:
    """Where a switch takes its lease first, there a repair does too."""
    first = standing.follower or Side.NEW
    return first, first.other


def _is_half_done(standing: Standing) -> bool:
    state, follower = standing.leader_state, standing.follower_state
    return (
        standing.leader is None
        or standing.committed
        or (state is not None and state.fenced)
        or (follower is not None and follower.epoch < standing.epoch)
    )


def _is_busy_elsewhere(standing: Standing, stuck: Callable[[Lease], bool]) -> bool:
    """Whether a worker that is neither a switch, nor a repair, nor one that makes room holds the lease."""
    for state in standing.states.values():
        lease = state.lease if state is not None else None
        if lease is None or stuck(lease) or not is_alive(lease, time.time()):
            continue
        if lease.verb not in standings.SWITCHES and lease.verb not in (standings.REPAIR, "follow"):
            return True
    return False


def _go_forward(stores: Mapping[Side, Store], standing: Standing, held: Held) -> list[str]:
    """The switch was committed: tell the side that led."""
    leads, led = standing.leader_state, standing.follower_state
    if standing.leader is None or leads is None or led is None:
        return []
    side = standing.leader.other
    # one that is open was not fenced by a switch: it took writes meanwhile, or was restored
    proven = verified(leads) if led.fenced else None
    stores[side].follow(standing.move, standing.epoch, held.renewed, proven)
    return [f"the {side} side follows at epoch {standing.epoch}"]


def verified(leads: State) -> float | None:
    """What the side that leads now may say of the other: nothing when it took the lead without the last
    writes of the other (``--accept-loss``)."""
    return None if leads.notes.get(UNHANDED) == leads.epoch else leads.verified_at


def _go_back(stores: Mapping[Side, Store], standing: Standing, held: Held, rival: Rival | None) -> list[str]:
    """No switch was committed: end every attempt, so that a coordinator that was only paused can neither fence
    nor commit any more, and lift what fence there is, by the number that this call itself has set.  The
    follower's database decides: without its answer nobody is un-fenced, unless its COMMIT was never announced,
    and a leader that it has succeeded is fenced until it answers.  ``AttemptOver``: start over."""
    move, epoch, leader = standing.move, standing.epoch, standing.leader
    if leader is None:
        return []
    ours: dict[Side, int] = {}
    for side in (leader.other, leader):
        state = standing.states[side]
        if state is not None and state.epoch == epoch:
            stores[side].abort_attempt(move, epoch, state.attempt)
            ours[side] = state.attempt + 1
    done: list[str] = []
    behind = standing.follower_state
    if behind is not None and behind.epoch < epoch:
        stores[leader.other].follow(move, epoch, held.renewed, None)
        done.append(f"the {leader.other} side follows at epoch {epoch}")
    if behind is not None and leader in ours and behind.notes.get(CONCEDED) == epoch:
        stores[leader.other].note(move, {CONCEDED: None})
        done.append(f"the {leader} side leads; the {leader.other} one does not take it for lost any more")
    # the fence may have been taken between the first look and the end of the attempt
    state = stores[leader].state(move) if leader in ours else None
    if state is not None and not state.fenced and rival is not None and rival.certain:
        held.demand()
        stores[leader].fence(move, epoch, ours[leader], _FENCE)
        stores[leader].announce_commit(move, epoch, ours[leader])  # it was committed
        done.append(
            f"the {leader} side is fenced: by the evidence the {rival.side} side took the lead at epoch "
            f"{rival.epoch}"
        )
    if state is not None and state.fenced:
        if behind is None and (rival is not None or not state.commit_unsent):
            raise _undecided(standing)
        held.demand()
        stores[leader].unfence(move, epoch, ours[leader])
        done.append(f"the {leader} side may write again")
    return done


def _is_undecided(standing: Standing, rival: Rival | None) -> bool:
    """The leader is fenced, and whether its successor has committed cannot be found out."""
    leader, state = standing.leader, standing.leader_state
    if leader is None or (state is not None and not state.fenced):
        return False
    if rival is None and state is not None and state.commit_unsent:
        return False
    return leader.other in standing.unreachable or bool(concession.lost_data(standing, leader.other))


def _undecided(standing: Standing) -> Refused:
    leader = standing.leader or Side.OLD
    lost = concession.lost_data(standing, leader.other)
    why = f"answers, but {lost}; it alone knew" if lost else "does not answer, and it alone knows"
    return Refused(
        f"the {leader.other} store {why} whether the switch was committed",
        where=standing.move,
        todo="bring it back, then repair again; until then nobody may write; if it never comes back, "
        + concession.way_out(leader),
    )


def _close(stores: Mapping[Side, Store], standing: Standing) -> None:
    """A database that was restored to a day when it led is open: nobody may write there."""
    side = standing.follower
    state = standing.follower_state
    if side is not None and state is not None and standing.committed and not state.fenced:
        stores[side].fence(standing.move, state.epoch, state.attempt, _FENCE)


def _revive(router: Router | None) -> None:
    """Start a router that died, as its files say: nobody may change where it sends requests."""
    if router is not None:
        with contextlib.suppress(CrossfadeError):
            if not router.state().alive:
                router.start()


def concede(
    stores: Mapping[Side, Store], standing: Standing, ledger: Ledger, to: Side = Side.OLD
) -> Standing:
    """Give up the other side, whose database is lost; see ``concession.concede``."""
    rival = claims.rival(standing, ledger)
    after = concession.concede(stores, standing, to, rival.epoch if rival is not None else 0)
    state = after.states[to]
    if state is not None and state != standing.states[to]:
        verb = "rollback" if to is Side.OLD else "cutover"
        record(ledger, f"{verb}.conceded", epoch=state.epoch, why=after.unreachable.get(to.other, ""))
    return after


def route(
    router: Router | None,
    stores: Mapping[Side, Store],
    move: str,
    ledger: Ledger,
    *,
    but: str | None = None,
) -> list[str]:
    """Router alive, released, and sending requests to whoever leads by a look just before and one just after.

    Only alive, and as its files say, while nobody leads, or a database does not answer that might tell otherwise
    (``claims.may_route``).  ``LeaseHeld`` when a switch or a repair other than ``but`` is at work: it sets the
    router itself.
    """
    if router is None:
        return []
    done: list[str] = []
    for _ in range(_ROUNDS):
        standing = standings.read(stores, move)
        standing.demand_no_switch(but=but)
        leader = Side.NEW if standing.completed else standing.leader
        state = router.state()
        if leader is None or not claims.may_route(standing, leader, state, claims.rival(standing, ledger)):
            if state.alive or not any(standing.states.values()):
                return done
            router.start()
            where = "holds requests" if state.held else f"sends requests to the {state.leader} side"
            done = [f"the router runs again, and {where}, as before"]
            continue
        if state.alive and not state.held and state.leader is leader and state.reads_from is leader:
            return done
        release(router, leader)
        done = [f"the router sends requests to the {leader} side"]
    raise RouterError(
        "the router does not stay as it is told",
        where=move,
        todo="look for another program that writes its files, then run `crossfade doctor --repair`",
    )


def release(router: Router, leader: Side) -> None:
    """Release to a side, starting the router again if it died.  ``RouterError`` after several tries."""
    for last in (False, False, True):
        try:
            router.release(leader)
            router.start()
        except CrossfadeError:
            if last:
                raise
            time.sleep(0.05)
        else:
            return
