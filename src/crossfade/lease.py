"""One worker at a time: who holds the lease of a move, how it is taken, kept and given back.

The lease stands in the state rows of both databases.  Its token is also the fencing token of every apply
transaction, so taking it over is always safe for the data: a holder that was paused and wakes up late
finds another token and writes nothing.  Refusing a second worker is for people's sake.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Self

import psutil

from crossfade import __version__
from crossfade.errors import LeaseHeld, LeaseLost, StoreError
from crossfade.stores.base import Lease, Side, State, Store

DURATION = 15.0
"""Seconds that a lease is good for without being renewed."""

_YIELDS = frozenset({"follow"})
"""Verbs that make room for any other verb and go on afterwards."""


def is_alive(lease: Lease, now: float) -> bool:
    """Whether the holder may still be at work: not run out, and, on this host, its process lives."""
    if lease.until <= now:
        return False
    if lease.host != socket.gethostname():
        return True
    try:
        return bool(psutil.Process(lease.pid).create_time() <= lease.since + 1)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


def refusal(lease: Lease, move: str) -> LeaseHeld:
    """Who holds it, since when."""
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(lease.since))
    return LeaseHeld(
        f"`crossfade {lease.verb}` on {lease.host} (process {lease.pid}, version {lease.version}) "
        f"holds the lease since {since}",
        where=move,
        todo="wait for it or end it; a lease whose process is gone is taken over at once",
    )


class Held:
    """A lease, held from ``with`` to its end and renewed meanwhile.

    The ``required`` side must grant it; the other is asked when it answers.  A lease with the token ``over``
    is replaced, and one of whose holder ``stuck`` says that it does not run.  Raises ``LeaseHeld``.
    """

    def __init__(
        self,
        stores: Mapping[Side, Store],
        states: Mapping[Side, State | None],
        move: str,
        verb: str,
        *,
        required: Side,
        over: str | None = None,
        stuck: Callable[[Lease], bool] = lambda _lease: False,
    ) -> None:
        now = time.time()
        self._stores = stores
        self._states = states
        self._move = move
        self._required = required
        self._over = over
        self._stuck = stuck
        self.lease = Lease(
            token=secrets.token_hex(16),
            verb=verb,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=__version__,
            since=now,
            until=now + DURATION,
        )
        self._ended = threading.Event()
        self._lost = threading.Event()
        self._renewer: threading.Thread | None = None

    @property
    def token(self) -> str:
        return self.lease.token

    @property
    def renewed(self) -> Lease:
        """The lease as it stands now, for a row that is written later than it was taken."""
        return replace(self.lease, until=time.time() + DURATION)

    def demand(self) -> None:
        """``LeaseLost`` when somebody took it over."""
        if self._lost.is_set():
            raise LeaseLost("somebody else took the lease over", where=self._move)

    def __enter__(self) -> Self:
        self._take(self._required)
        try:
            self._take(self._required.other)
        except BaseException:
            self._stores[self._required].drop_lease(self._move, self.token)
            raise
        self._renewer = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._renewer.start()
        return self

    def _take(self, side: Side) -> None:
        if self._states.get(side) is None:
            return
        try:
            for last in (False,) * 20 + (True,):
                state = self._stores[side].state(self._move)
                current = state.lease if state is not None else None
                if current is not None and not self._may_replace(current):
                    raise refusal(current, self._move)
                try:
                    self._stores[side].take_lease(
                        self._move, self.lease, over=current.token if current else None
                    )
                except LeaseHeld:
                    # it changed hands between the look and the compare-and-set: look again
                    if last:
                        raise
                else:
                    return
        except StoreError:
            if side is self._required:
                raise

    def _may_replace(self, current: Lease) -> bool:
        if current.token == self._over or not is_alive(current, time.time()) or self._stuck(current):
            return True
        return current.verb in _YIELDS and self.lease.verb not in _YIELDS

    def _renew(self) -> None:
        while not self._ended.wait(DURATION / 5):
            for side in Side:
                if self._states.get(side) is None:
                    continue
                try:
                    self._stores[side].renew_lease(self._move, self.token, time.time() + DURATION)
                except LeaseLost:
                    if side is self._required:
                        self._lost.set()
                        return
                except StoreError:
                    continue  # unreachable for now: the fencing token still decides

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._renewer is not None:
            self._renewer.join()
        for side in Side:
            if self._states.get(side) is not None:
                try:
                    self._stores[side].drop_lease(self._move, self.token)
                except StoreError:
                    continue  # it runs out by itself
