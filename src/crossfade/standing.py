"""Who leads, according to the only two witnesses that count: the state rows in the two databases."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from crossfade.errors import Refused, StoreUnreachable
from crossfade.lease import is_alive, refusal
from crossfade.stores.base import Role, Side, State, Store

SWITCHES = frozenset({"cutover", "rollback"})
"""The verbs that change who leads."""

REPAIR = "doctor"
"""The verb under which a repair holds the lease."""

_LOOKS = 5
"""Looks at both rows before what they say together is taken for what stands."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What both state rows say together.

    ``leader`` is None before the first copy, and when no row that leads is as new as the other row
    (``leaderless``).  ``committed`` is True when a switch passed its commit point
    but the side that led before does not know yet (step 9 is missing).  ``unreachable`` holds what a
    database that does not answer said.
    """

    move: str
    states: Mapping[Side, State | None]
    unreachable: Mapping[Side, str]
    leader: Side | None
    epoch: int
    committed: bool

    @property
    def follower(self) -> Side | None:
        return self.leader.other if self.leader else None

    @property
    def leader_state(self) -> State | None:
        return self.states[self.leader] if self.leader else None

    @property
    def follower_state(self) -> State | None:
        return self.states[self.leader.other] if self.leader else None

    @property
    def copied(self) -> bool:
        """The initial copy is complete and exact."""
        return any(state is not None and bool(state.notes.get("copied")) for state in self.states.values())

    @property
    def completed(self) -> bool:
        """The move is over; the old side stays fenced."""
        old = self.states[Side.OLD]
        return old is not None and bool(old.notes.get("completed"))

    @property
    def leaderless(self) -> bool:
        """There are state rows, and none of them leads: a side was given up or restored, or a row was altered."""
        return self.leader is None and any(state is not None for state in self.states.values())

    @property
    def phase(self) -> str:
        """The word of the design: planned, copying, following, verified, switching, complete; or leaderless."""
        if self.completed:
            return "complete"
        if self.leader is None:
            return "leaderless" if self.leaderless else "planned"
        state = self.leader_state
        if self.committed or (state is not None and state.fenced):
            return "switching"
        if not self.copied:
            return "copying"
        follower = self.follower_state
        return "verified" if follower is not None and follower.verified_at else "following"

    def demand(self) -> tuple[Side, State, State]:
        """Leader, its row and the follower's row; ``Refused`` unless a finished copy is being followed,
        both databases answer and no switch is half done."""
        if self.unreachable:
            side, why = next(iter(self.unreachable.items()))
            raise StoreUnreachable(why, where=f"{side} store", todo="bring the database back, then try again")
        if self.completed:
            raise Refused("the move is complete", where=self.move, todo="there is nothing left to do")
        self.demand_a_leader()
        if self.leader is None or not self.copied:
            raise Refused("nothing has been copied yet", where=self.move, todo="run `crossfade copy` first")
        leads, follows = self.leader_state, self.follower_state
        if follows is None:
            raise Refused(
                "knows nothing of the move any more",
                where=f"{self.leader.other} store",
                todo="see `crossfade doctor`",
            )
        if self.committed or leads is None or leads.fenced or follows.epoch != leads.epoch:
            self.demand_no_switch()
            raise Refused(
                "a switch is half done", where=self.move, todo="run `crossfade doctor --repair` first"
            )
        return self.leader, leads, follows

    def demand_a_leader(self) -> None:
        """``Refused`` when there are state rows and none of them leads."""
        if self.leaderless:
            raise Refused(
                "no side leads", where=self.move, todo="`crossfade doctor` says why, and what to do"
            )

    def demand_no_switch(self, *, but: str | None = None) -> None:
        """``LeaseHeld`` while somebody's switch or repair is at work, other than the one with the token ``but``."""
        for state in self.states.values():
            lease = state.lease if state is not None else None
            if (
                lease is not None
                and lease.token != but
                and (lease.verb in SWITCHES or lease.verb == REPAIR)
                and is_alive(lease, time.time())
            ):
                raise refusal(lease, self.move)


def read(stores: Mapping[Side, Store], move: str) -> Standing:
    """Ask both databases.  The two rows are read one after the other: when a switch was committed between the
    two looks they do not fit together, and both are read again."""
    found = _read(stores, move)
    for _ in range(_LOOKS):
        if not _torn(found):
            break
        before, found = found, _read(stores, move)
        if found == before:
            break  # it is so, and not a look at two moments
    return found


def _torn(standing: Standing) -> bool:
    """Whether the rows are such as only two different moments, or a switch that is half done, show."""
    known = [state for state in standing.states.values() if state is not None]
    if len(known) < len(standing.states):
        return False
    return standing.leader is None or len({state.epoch for state in known}) > 1


def _read(stores: Mapping[Side, Store], move: str) -> Standing:
    states: dict[Side, State | None] = {}
    unreachable: dict[Side, str] = {}
    for side in Side:
        try:
            states[side] = stores[side].state(move)
        except StoreUnreachable as error:
            states[side] = None
            unreachable[side] = error.what
    known = [state for state in states.values() if state is not None]
    epoch = max((state.epoch for state in known), default=0)
    leaders = [side for side in Side if (state := states[side]) is not None and state.role is Role.LEADER]
    if all(_epoch(states[side]) < epoch for side in leaders):
        leaders = []  # nobody follows at a later epoch than the leader's, so that row is of an earlier day
    leader: Side | None = None
    if leaders:
        leader = max(leaders, key=lambda side: _epoch(states[side]))
    elif known and unreachable:
        # the side that answers follows, so the one that does not answer leads
        leader = next(iter(unreachable))
    return Standing(
        move=move,
        states=states,
        unreachable=unreachable,
        leader=leader,
        epoch=epoch,
        committed=len(leaders) == 2,
    )


def _epoch(state: State | None) -> int:
    return state.epoch if state is not None else -1
