"""Requests go to a side only while the databases say that it leads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from crossfade import recovery
from crossfade.errors import AttemptOver, BudgetOver, StoreError
from crossfade.routers.base import Router
from crossfade.stores.base import Role, Side, Store

_MOMENT = 0.5
"""Seconds for an answer of the side that does not lead: requests are held meanwhile."""


class Handover:
    """The end of a hold.  ``silent`` are sides that do not answer: only the side that leads has to."""

    def __init__(self, stores: Mapping[Side, Store], move: str, *, silent: Iterable[Side]) -> None:
        self._stores = stores
        self._move = move
        self.silent = set(silent)

    def release_to(self, router: Router, side: Side, epoch: int) -> None:
        """Release to a side while it leads at that epoch and may write, by a look just before and one just after:
        whoever was paused here finds that the lead has moved on (``AttemptOver``)."""
        self._demand_leads(side, epoch)
        recovery.release(router, side)
        self._demand_leads(side, epoch)

    def _demand_leads(self, side: Side, epoch: int) -> None:
        """A side from which the lead was taken with ``--accept-loss`` does not know it; the other one does."""
        state = self._stores[side].state(self._move)
        if (
            state is None
            or state.role is not Role.LEADER
            or state.epoch != epoch
            or state.fenced
            or self._epoch_of(side.other) > epoch
        ):
            raise AttemptOver(
                f"the {side} side does not lead at epoch {epoch} any more",
                where=f"{side} store",
                todo="look at `crossfade status`",
            )

    def _epoch_of(self, side: Side) -> int:
        """-1 when it is not known."""
        if side in self.silent:
            return -1
        store = self._stores[side]
        try:
            with store.within(_MOMENT):
                state = store.state(self._move)
        except (StoreError, BudgetOver):
            self.silent.add(side)
            return -1
        return -1 if state is None else state.epoch
