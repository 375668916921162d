"""Doctor: says in words what state a move is in, and brings a half-done switch to a legal one.

It looks at the two databases, because they hold the truth; the router is then set to what they say.
A repair holds the lease, so it excludes switches and other repairs; and every action is a compare-and-set on
numbers that this repair itself has set, so a repair or a coordinator that was paused and wakes up late finds
other numbers and changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from crossfade import standing as standings
from crossfade.errors import AttemptOver, CrossfadeError, LeaseHeld, LeaseLost, Refused, RouterError
from crossfade.lease import Held, is_alive
from crossfade.ledger import Ledger
from crossfade.routers.base import Router
from crossfade.standing import Standing
from crossfade.stores.base import Lease, Role, Side, State, Store

UNHANDED = "unhanded"
"""The note of a successor: the epoch whose switch left the former leader's last writes behind."""

_CONCEDED = "conceded"
"""The note of an old side: the epoch at which it took for granted that the other side leads."""

_ROUNDS = 5
"""Times that a repair starts over because somebody else moved on meanwhile."""

_OTHERS = 10.0
"""Seconds that a repair waits for another one to end."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is not as it should be: what, and whether ``repair`` mends it."""

    what: str
    repairable: bool
    todo: str = ""


def examine(standing: Standing, router: Router | None) -> list[Trouble]:
    """Everything wrong with a move; empty when all is well."""
    found = [
        Trouble(f"the {side} store does not answer: {why}", False, "bring the database back")
        for side, why in standing.unreachable.items()
    ]
    leader = standing.leader
    if leader is None or standing.completed:
        return found
    state, follower = standing.leader_state, standing.follower_state
    if standing.committed:
        found.append(
            Trouble(
                f"a switch to the {leader} side was committed (epoch {standing.epoch}), but the "
                f"{leader.other} side does not know yet that it follows",
                True,
            )
        )
    elif state is not None and state.fenced:
        found.append(
            Trouble(
                f"a switch was begun and neither committed nor aborted: the {leader} side leads at epoch "
                f"{standing.epoch}, but is fenced, so nobody can write",
                True,
            )
        )
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
        found.extend(_examine_router(router, leader))
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


def is_wrong(standing: Standing, router: Router | None) -> bool:
    """Whether there is something that ``repair`` mends."""
    return any(trouble.repairable for trouble in examine(standing, router))


def _examine_router(router: Router, leader: Side) -> list[Trouble]:
    try:
        state = router.state()
    except RouterError as error:
        return [Trouble(f"the router cannot be asked: {error.what}", True)]
    if not state.alive:
        return [Trouble("the router does not answer", True)]
    if state.held:
        return [Trouble("the router holds requests, and no switch is at work", True)]
    if state.leader is not leader:
        return [Trouble(f"the router sends writes to the {state.leader} side, but {leader} leads", True)]
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
        return route(router, stores, move)
    if _is_busy_elsewhere(standing, stuck) and not _is_half_done(standing):
        return route(router, stores, move)  # somebody copies or verifies: only the router can be wrong
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
            return route(router, stores, move)
        if standing.leader is None:
            done = _take_the_lead(stores, standing)
        elif standing.committed:
            done = _go_forward(stores, standing, held)
        else:
            done = _go_back(stores, standing, held)
        held.demand()
        done.extend(route(router, stores, move, but=held.token))
    if done:
        after = standings.read(stores, move)
        leads = after.leader.value if after.leader else ""
        ledger.append("doctor.repaired", leader=leads, epoch=after.epoch, done=done)
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
    leads = standing.leader_state
    if standing.leader is None or leads is None:
        return []
    side = standing.leader.other
    stores[side].follow(standing.move, standing.epoch, held.renewed, verified(leads))
    return [f"the {side} side follows at epoch {standing.epoch}"]


def verified(leads: State) -> float | None:
    """What the side that leads now may say of the other: nothing when it took the lead without the last
    writes of the other (``--accept-loss``)."""
    return None if leads.notes.get(UNHANDED) == leads.epoch else leads.verified_at


def _go_back(stores: Mapping[Side, Store], standing: Standing, held: Held) -> list[str]:
    """No switch was committed: end every attempt, so that a coordinator that was only paused can neither fence
    nor commit any more, and lift what fence there is, by the number that this call itself has set.  The
    follower's database decides: without its answer nobody is un-fenced.  ``AttemptOver``: start over."""
    move, epoch, leader = standing.move, standing.epoch, standing.leader
    if leader is None:
        return []
    undecided = leader.other in standing.unreachable
    if undecided and (standing.leader_state is None or standing.leader_state.fenced):
        raise _undecided(standing)
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
    # the fence may have been taken between the first look and the end of the attempt
    state = stores[leader].state(move) if leader in ours else None
    if state is not None and state.fenced:
        if undecided:
            raise _undecided(standing)
        held.demand()
        stores[leader].unfence(move, epoch, ours[leader])
        done.append(f"the {leader} side may write again")
    return done


def _undecided(standing: Standing) -> Refused:
    leader = standing.leader or Side.OLD
    return Refused(
        f"the {leader.other} store does not answer, and it alone knows whether the switch was committed",
        where=standing.move,
        todo="bring it back, then repair again; until then nobody may write"
        + ("" if leader is Side.NEW else "; if it never comes back, `crossfade rollback --accept-loss`"),
    )


def concede(stores: Mapping[Side, Store], standing: Standing, ledger: Ledger) -> Standing:
    """The way out when the switch to the new side was perhaps committed and its database never answers again:
    the old side is told that it follows, and a ``rollback --accept-loss`` can take the lead back.

    Does something only when the new store does not answer and the old one leads, fenced; then the old side's
    lease must be free (``LeaseHeld``).  Returns what stands afterwards.
    """
    state = standing.states[Side.OLD]
    if Side.NEW not in standing.unreachable or state is None or standing.completed:
        return standing
    if state.role is not Role.LEADER or not state.fenced:
        return standing
    move = standing.move
    with Held(stores, standing.states, move, standings.REPAIR, required=Side.OLD) as held:
        stores[Side.OLD].abort_attempt(move, state.epoch, state.attempt)
        held.demand()
        stores[Side.OLD].note(move, {_CONCEDED: state.epoch + 1})
        # fenced all the time: the epoch after this one is the one that takes the lead back
        stores[Side.OLD].follow(move, state.epoch + 1, held.renewed, None)
    ledger.append("rollback.conceded", epoch=state.epoch + 1)
    return standings.read(stores, move)


def _take_the_lead(stores: Mapping[Side, Store], standing: Standing) -> list[str]:
    """Both sides answer and neither leads: what ``concede`` began was not finished, and the new database came
    back without having taken the lead."""
    known = {side: state for side, state in standing.states.items() if state is not None}
    side = max(known, key=lambda side: known[side].epoch)
    state = known[side]
    if len(known) < len(standing.states) or state.notes.get(_CONCEDED) != state.epoch:
        raise Refused("no side leads", where=standing.move, todo="see `crossfade doctor`")
    store, move, epoch = stores[side], standing.move, state.epoch
    attempt = 1 + max(state.attempt for state in known.values())
    stores[side.other].abort_attempt(move, known[side.other].epoch, known[side.other].attempt)
    store.begin_attempt(move, epoch, attempt)
    store.note(move, {UNHANDED: epoch + 1})
    store.lead(move, epoch, attempt)
    stores[side.other].follow(move, epoch + 1, None, None)
    return [
        f"the {side} side leads again at epoch {epoch + 1}; the {side.other} side was never verified against it"
    ]


def route(
    router: Router | None, stores: Mapping[Side, Store], move: str, *, but: str | None = None
) -> list[str]:
    """Router alive, released, and sending writes to whoever leads by a look just before and one just after.

    ``LeaseHeld`` when a switch or a repair other than ``but`` is at work: it sets the router itself.
    """
    if router is None:
        return []
    done: list[str] = []
    for _ in range(_ROUNDS):
        standing = standings.read(stores, move)
        standing.demand_no_switch(but=but)
        leader = Side.NEW if standing.completed else standing.leader
        if leader is None:
            return done
        state = router.state()
        if state.alive and not state.held and state.leader is leader:
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
