"""One copy, several workers: its chunks go through the queue of the state database, and whoever works takes them.

The one who copies holds the lease, decides the chunks and sees to it that all are done; a worker copies a chunk
under that lease, and records it in the transaction of its rows.  So a worker that dies, or one that wakes up late,
costs nothing but time, and a chunk that nobody takes is copied by the one who copies.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crossfade import __version__
from crossfade.errors import CrossfadeError, LeaseLost, Refused
from crossfade.lease import is_alive
from crossfade.masking import mask
from crossfade.move import Move
from crossfade.report import Reporter
from crossfade.runs.chunks import ChunkOrder, ChunkStatus
from crossfade.runs.database import is_shared
from crossfade.runs.workers import STALE
from crossfade.stores.base import Side, Token
from crossfade.sync.copy import load_chunk, planned
from crossfade.sync.mapping import Pair
from crossfade.sync.rejects import stop

if TYPE_CHECKING:
    from crossfade.engine import Engine

_IDLE = 10.0
"""Seconds in which no chunk is taken or finished before nobody is believed to take the rest."""

_LOOK = 0.2
"""Seconds between two looks at the chunks; with many of them it is more (``_SPARE``)."""

_SPARE = 10
"""A look at the chunks may take one part in so many of the time."""

_KINDS_OF_FILES = frozenset({"sqlite"})
"""Stores that only one machine can reach."""


def agreed(move: Move) -> str:
    """A digest of the two databases and of what is copied from where to where, for two processes to compare."""
    digest = hashlib.sha256(__version__.encode())
    for side in Side:
        # the address without its password, because it may name a schema
        digest.update(
            repr((move.stores[side].identity(), mask(move.spec.side(side).store.get_secret_value()))).encode()
        )
    for pair in move.mapping().pairs:
        # whole, so that nothing that a mapping may come to know is left out
        digest.update(repr((pair.old, pair.new, pair.create, pair.rule, pair.reject)).encode())
    return digest.hexdigest()


# --- the one who copies ----------------------------------------------------------------


@contextlib.contextmanager
def workers_of(spec: Path, move: Move, reporter: Reporter) -> Iterator[SharedCopy | None]:
    """The workers that may share that move's copy; None when runs are kept in a file, or when nobody works."""
    state = os.environ.get("CROSSFADE_STATE") or None
    if not is_shared(state or move.spec.runs_database.get_secret_value()):
        yield None
        return
    from crossfade import running  # which reads plans, and need not be waited for by any other copy

    setting = running.setting_of(spec, given=True, state=state)
    with running.engine_of(setting) as engine:
        yield SharedCopy(engine, move, reporter) if _anybody(engine) else None


def _anybody(engine: Engine) -> bool:
    try:
        return bool(engine.living_workers())
    except CrossfadeError:
        return False


class SharedCopy:
    """Offers chunks to workers; see `crossfade.sync.copy.Elsewhere`."""

    def __init__(self, engine: Engine, move: Move, reporter: Reporter) -> None:
        self._engine = engine
        self._move = move
        self._reporter = reporter

    def take(
        self, chunks: Sequence[tuple[int, int]], token: Token, done: Callable[[int, int, str], None]
    ) -> None:
        """Offer them, and wait for as long as somebody is at work on them."""
        if len(chunks) < 2:
            return  # one chunk is copied sooner than handed over
        try:
            self._take(chunks, token, done)
        except CrossfadeError as error:
            self._reporter.say(f"the workers cannot be asked ({error.what}); this process copies the rest")

    def _take(
        self, chunks: Sequence[tuple[int, int]], token: Token, done: Callable[[int, int, str], None]
    ) -> None:
        mark = agreed(self._move)
        here = any(store.kind in _KINDS_OF_FILES for store in self._move.stores.values())
        orders = [
            ChunkOrder(
                move=token.move,
                epoch=token.epoch,
                lease=token.lease,
                table=table,
                number=number,
                agreed=mark,
            )
            for table, number in chunks
        ]
        try:
            self._engine.offer_chunks(orders, here=here)
            self._watch(token.lease, done)
        finally:
            with contextlib.suppress(CrossfadeError):
                self._engine.withdraw_chunks(token.lease, chunks)

    def _watch(self, lease: str, done: Callable[[int, int, str], None]) -> None:
        """Until all are over, or nobody has moved for a while."""
        told: set[tuple[int, int]] = set()
        refused: set[str] = set()
        moved = time.monotonic()
        while True:
            began = time.monotonic()
            states = self._engine.chunk_states(lease)
            living = self._at_work()
            waiting = False
            for state in states:
                who = living.get(state.worker, state.worker)
                if state.status is ChunkStatus.DONE and (state.table, state.number) not in told:
                    told.add((state.table, state.number))
                    moved = began
                    done(state.table, state.rows, who)
                elif state.status is ChunkStatus.REFUSED and state.why not in refused:
                    refused.add(state.why)
                    self._reporter.say(f"a chunk was not copied by {who}: {state.why}")
                elif state.status is ChunkStatus.RUNS and state.worker in living:
                    moved = began
                waiting = waiting or state.status in (ChunkStatus.WAITS, ChunkStatus.RUNS)
            if not waiting:
                return
            now = time.monotonic()
            if not living or now - moved > _IDLE:
                self._reporter.say("no worker takes the rest of the chunks; this process copies them")
                return
            time.sleep(max(_LOOK, _SPARE * (now - began)))

    def _at_work(self) -> dict[str, str]:
        """The workers that give signs of life, by executor.  A process that is stopped lives, and gives none."""
        now = self._engine.database.now()
        return {
            worker.executor: worker.name
            for worker in self._engine.living_workers()
            if now - worker.heartbeat < STALE
        }


# --- the worker ------------------------------------------------------------------------


class Loader:
    """Copies single chunks in a worker, with the worker's own sight of the move.  Safe between threads."""

    def __init__(self, spec: Path) -> None:
        self._spec = spec
        self._move: Move | None = None
        self._pairs: dict[int, Pair] = {}
        self._agreed = ""
        self._copy = ""
        self._lock = threading.Lock()

    def __call__(self, order: ChunkOrder) -> int:
        """Copy it; its rows.  ``Refused`` when this worker sees another move than the one who copies,
        ``LeaseLost`` when nobody copies any more."""
        with self._lock:
            move = self._opened(order)
            pair, mark = self._pairs.get(order.table), self._agreed
        if pair is None or mark != order.agreed:
            raise Refused(
                "this worker sees other databases or other tables than the one who copies",
                where=str(self._spec),
                todo="give both the same spec",
            )
        follower = move.stores[Side.NEW]
        state = follower.state(order.move)
        lease = state.lease if state is not None else None
        if state is None or lease is None or lease.token != order.lease or not is_alive(lease, time.time()):
            raise LeaseLost("nobody copies under that lease any more", where=order.move)
        plan = state.notes.get("plan")
        if not plan:
            raise LeaseLost("the copy is complete", where=order.move)
        over = planned(plan, order.table)[order.number]
        token = Token(order.move, order.epoch, order.lease)
        return load_chunk(move.stores[Side.OLD], follower, pair, Side.OLD, order.number, over, token, stop)

    def close(self) -> None:
        """Close the databases."""
        with self._lock:
            if self._move is not None:
                self._move.__exit__(None, None, None)
                self._move = None

    def _opened(self, order: ChunkOrder) -> Move:
        """The move; looked at anew for each copy, because tables may have changed between two."""
        if self._move is None:
            self._move = Move.open(self._spec)
        if self._copy != order.lease:
            self._pairs = {pair.id: pair for pair in self._move.mapping(again=True).demand().pairs}
            self._agreed = agreed(self._move)
            self._copy = order.lease
        return self._move
