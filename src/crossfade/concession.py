"""The way out when a database is lost: the other side takes the lead without what was not handed over.

Lost is a database that never answers again, and one that answers but is not what it was: restored to an earlier
day, or replaced.  Only a person can say so (``--accept-loss``), so nothing here is done without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from crossfade import standing as standings
from crossfade.errors import Refused
from crossfade.lease import Held
from crossfade.standing import Standing
from crossfade.stores.base import Role, Side, State, Store

UNHANDED = "unhanded"
"""The note of a successor: the epoch whose switch left the former leader's last writes behind."""

CONCEDED = "conceded"
"""The note of a side that follows: the epoch at which the other side was given up."""


def heir(standing: Standing) -> Side | None:
    """The side that may take the lead because the other one was given up, and nobody has taken it since."""
    for side in Side:
        state, other = standing.states[side], standing.states[side.other]
        if state is None or state.role is not Role.FOLLOWER or state.notes.get(CONCEDED) != state.epoch:
            continue
        if other is None or (standing.leader is None and other.epoch <= state.epoch):
            return side
    return None


def lost_data(standing: Standing, side: Side) -> str:
    """Why a database that answers cannot be the one that the other side knows; "" when it may be, and when the
    other side is open to writes, so that nothing depends on it.

    Half a sentence, to follow "the new database answers, but".
    """
    state, other = standing.states[side], standing.states[side.other]
    if other is None or standing.unreachable or standing.completed or not standing.copied:
        return ""
    if other.role is Role.LEADER and not other.fenced:
        return ""
    if state is None:
        return "it knows nothing of the move: it was replaced, or restored to a day before the copy"
    if state.epoch < other.epoch:
        return (
            f"its row is of epoch {state.epoch} and the {side.other} side knows epoch {other.epoch}: it was "
            "restored to an earlier day, and what it took since then is not in it"
        )
    return ""


def concede(stores: Mapping[Side, Store], standing: Standing, to: Side, least: int = 0) -> Standing:
    """Give the other side up, so that a switch can give the lead to ``to``; returns what stands then, with the
    other database as one that does not answer.  The switch counts on from ``least`` at the lowest.

    Does nothing when the other database answers and is what it was, or when ``to`` is open to writes already.
    ``LeaseHeld`` while somebody is at work on that side.
    """
    state, other = standing.states[to], standing.states[to.other]
    gone = to.other in standing.unreachable
    lost = lost_data(standing, to.other)
    if state is None or standing.completed or not (gone or lost):
        return given_up(standing)
    if state.role is Role.LEADER and not state.fenced:
        return standing
    if state.role is Role.FOLLOWER and gone:
        return standing  # the other side leads for all that is known, and the switch counts on from there
    move, epoch = standing.move, state.epoch
    with Held(stores, standing.states, move, standings.REPAIR, required=to) as held:
        if state.role is Role.LEADER:
            # fenced all the time: the epoch after this one is the one that takes the lead back
            epoch = max(epoch + 1, least)
            stores[to].abort_attempt(move, state.epoch, state.attempt)
            held.demand()
        stores[to].note(move, {CONCEDED: epoch})
        if state.role is Role.LEADER:
            stores[to].follow(move, epoch, held.renewed, None)
        _fence_stale(stores[to.other], move, other, epoch)
    return given_up(standings.read(stores, move))


def given_up(standing: Standing) -> Standing:
    """What stands, with a database that was given up as one that does not answer."""
    side = heir(standing)
    state = standing.states[side] if side is not None else None
    if side is None or state is None or standing.unreachable:
        return standing
    why = lost_data(standing, side.other)
    return replace(
        standing,
        states={side: state, side.other: None},
        unreachable={side.other: f"it answers, but {why}" if why else "it was given up"},
        leader=side.other,
        epoch=state.epoch,
    )


def take_the_lead(stores: Mapping[Side, Store], standing: Standing) -> list[str]:
    """What ``concede`` began was not finished, both databases answer, and the one that was given up did not take
    the lead: its heir does.  ``Refused`` when none was given up."""
    side = heir(standing)
    state = standing.states[side] if side is not None else None
    if side is None or state is None or standing.unreachable:
        what, todo = nobody_leads(standing)
        raise Refused(what, where=standing.move, todo=todo)
    move, epoch, other = standing.move, state.epoch, standing.states[side.other]
    attempt = 1 + max(known.attempt for known in (state, other) if known is not None)
    if other is not None:
        stores[side.other].abort_attempt(move, other.epoch, other.attempt)
        _fence_stale(stores[side.other], move, other, epoch)
    stores[side].begin_attempt(move, epoch, attempt)
    stores[side].note(move, {UNHANDED: epoch + 1})
    stores[side].lead(move, epoch, attempt)
    if other is not None:
        stores[side.other].follow(move, epoch + 1, None, None)
    return [
        f"the {side} side leads again at epoch {epoch + 1}; the {side.other} side was never verified against it"
    ]


def _fence_stale(store: Store, move: str, state: State | None, epoch: int) -> None:
    """A restored row may say that it leads, and be open: it is fenced before another side may write."""
    if state is not None and state.role is Role.LEADER:
        store.follow(move, epoch, None, None)


def way_out(to: Side) -> str:
    """The verb that gives the lead to that side without the other database."""
    verb = "cutover" if to is Side.NEW else "rollback"
    return (
        f"`crossfade {verb} --accept-loss` gives the lead to the {to} side, without what the {to.other} one took "
        "and did not hand over"
    )


def nobody_leads(standing: Standing) -> tuple[str, str]:
    """What is wrong when there are state rows and none leads, and what to do."""
    if (side := heir(standing)) is not None:
        return (
            f"no side leads: the {side.other} side was given up, and the {side} one has not taken the lead yet",
            way_out(side),
        )
    for side in Side:
        if why := lost_data(standing, side):
            return (
                f"no side leads: the {side} database answers, but {why}",
                f"bring the right database back; if it is lost, {way_out(side.other)}",
            )
    return (
        "no side leads: both rows say that they follow, so one of them was altered or restored",
        "bring the right database back, or set right the row that was altered",
    )
