"""Doctor: says in words what state a move is in, and brings a half-done switch to a legal one.

It looks at the two databases, because they hold the truth; the router is then set to what they say.
Every action is a compare-and-set, so two repairs at once, or a coordinator that wakes up in the middle of
one, cannot do harm.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from crossfade import standing as standings
from crossfade.errors import AttemptOver, CrossfadeError, Refused, RouterError
from crossfade.lease import is_alive, refusal
from crossfade.ledger import Ledger
from crossfade.routers.base import Router
from crossfade.standing import Standing
from crossfade.stores.base import Lease, Side, Store


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
    if follower is not None and not follower.fenced and not standing.committed:
        found.append(Trouble(f"the {leader.other} side follows, but is not fenced", True))
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

    A switch that committed goes forward, any other goes back.  ``LeaseHeld`` while somebody's switch is at
    work, unless it is the one with the token ``of`` (the watchdog's) or ``stuck`` says that its holder
    does not run any more.  ``Refused`` when a database that has to be asked does not answer.
    """
    done: list[str] = []
    standing = standings.read(stores, move)
    if standing.leader is None or standing.completed:
        return _restart(router, Side.NEW if standing.completed else None)
    for state in standing.states.values():
        lease = state.lease if state is not None else None
        if (
            lease is not None
            and lease.token != of
            and lease.verb in standings.SWITCHES
            and is_alive(lease, time.time())
            and not stuck(lease)
        ):
            raise refusal(lease, move)
    if not standing.committed:
        standing = _forbid_commit(stores, standing)
    leader = standing.leader
    if leader is None:
        raise Refused("no side leads", where=move, todo="see `crossfade doctor`")
    if standing.committed:
        state = standing.follower_state
        verified = standing.leader_state.verified_at if standing.leader_state else None
        stores[leader.other].follow(move, standing.epoch, state.lease if state else None, verified)
        done.append(f"the {leader.other} side follows at epoch {standing.epoch}")
    elif standing.leader_state is not None and standing.leader_state.fenced:
        stores[leader].unfence(move, standing.epoch, standing.leader_state.attempt)
        done.append(f"the {leader} side may write again")
    done.extend(_restart(router, leader))
    if done:
        ledger.append("doctor.repaired", leader=leader.value, epoch=standing.epoch, done=done)
    return done


def _forbid_commit(stores: Mapping[Side, Store], standing: Standing) -> Standing:
    """Raise the attempt on both sides, so that a coordinator that was only paused can neither commit nor
    fence any more.  The follower's database decides: without its answer nobody is un-fenced."""
    leader = standing.leader
    if leader is None:
        return standing
    fenced = standing.leader_state is None or standing.leader_state.fenced
    if leader.other in standing.unreachable:
        if not fenced:
            return standing
        raise Refused(
            f"the {leader.other} store does not answer, and it alone knows whether the switch was committed",
            where=standing.move,
            todo="bring it back, then repair again; until then nobody may write",
        )
    for side in (leader.other, leader):
        state = standing.states[side]
        if state is None:
            continue
        try:
            stores[side].abort_attempt(standing.move, standing.epoch, state.attempt)
        except AttemptOver:
            # committed, or ended by somebody else: look again
            return standings.read(stores, standing.move)
    # the fence may have been taken between the first look and the abort
    return standings.read(stores, standing.move)


def _restart(router: Router | None, leader: Side | None) -> list[str]:
    """Router alive, released, and sending writes to the leader."""
    if router is None or leader is None:
        return []
    state = router.state()
    if state.alive and not state.held and state.leader is leader:
        return []
    release(router, leader)
    return [f"the router sends requests to the {leader} side"]


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
