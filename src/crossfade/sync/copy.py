"""The initial copy: chunks by key range, in parallel, with flat memory, resumable after ``kill -9``.

It needs no single snapshot: capture was committed before the first chunk, so the passes that follow
bring over whatever changed meanwhile.  The ranges are decided once and kept in the follower's state row,
so that a copy that resumes means the same chunk by the same number.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from crossfade.stores.base import Chunk, KeyRange, Rejected, RejectSink, Side, State, Store, Token, View
from crossfade.sync.mapping import Pair

Progress = Callable[[str, int], None]
"""Called with a table's name and the rows just committed, from any thread."""


@dataclass(frozen=True, slots=True)
class Copied:
    """Rows per table that the copy wrote in this run, rows that were there from an earlier run, rows that went to
    the reject file, and how many chunks which worker took, when several shared the copy."""

    rows: dict[str, int]
    resumed: int
    rejected: int
    shared: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.rows.values())


class Elsewhere(Protocol):
    """Others who take chunks of a copy."""

    def take(
        self, chunks: Sequence[tuple[int, int]], token: Token, done: Callable[[int, int, str], None]
    ) -> None:
        """Have these chunks (table's number, chunk's number) copied under that token, and return when all are, or
        when nobody is there to copy the rest; ``done`` hears of each, with its rows and by whom.  Nobody's word is
        taken for it: what is copied stands in the follower."""


def copy(
    leader: Store,
    follower: Store,
    pairs: Sequence[Pair],
    leads: Side,
    token: Token,
    *,
    rejects: RejectSink,
    chunk_rows: int,
    workers: int,
    progress: Progress = lambda _table, _rows: None,
    elsewhere: Elsewhere | None = None,
    decided: Mapping[int, list[KeyRange]] | None = None,
) -> Copied:
    """Copy what is not yet copied.  The first error stops the others after their chunk and is raised.

    ``decided``: the ranges of tables (``ranges``), for those of which the follower has noted none.
    Chunks of tables that reject nothing are offered ``elsewhere`` first; what comes back undone is done here, where
    an error can be told.
    """
    state = follower.state(token.move)
    plan = _plan(leader, follower, pairs, leads, token.move, state, chunk_rows, decided or {})
    finished = _finished(follower, token.move)
    resumed = sum(chunk.rows for chunk in finished.values())
    tasks = [
        (pair, number, over)
        for pair in pairs
        for number, over in enumerate(plan[pair.id])
        if (pair.id, number) not in finished
    ]
    shared: Counter[str] = Counter()
    before = set(finished)
    if elsewhere is not None:
        names = {pair.id: pair.name for pair in pairs}

        def taken(table: int, count: int, who: str) -> None:
            shared[who] += 1
            progress(names[table], count)

        elsewhere.take([(pair.id, number) for pair, number, _ in tasks if not pair.reject], token, taken)
        finished = _finished(follower, token.move)
        tasks = [task for task in tasks if (task[0].id, task[1]) not in finished]
    stopped = threading.Event()

    def one(pair: Pair, number: int, over: KeyRange) -> None:
        if not stopped.is_set():
            progress(pair.name, load_chunk(leader, follower, pair, leads, number, over, token, rejects))

    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="copy") as pool:
        futures: list[Future[None]] = [pool.submit(one, *task) for task in tasks]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        if any(future.exception() for future in done):
            stopped.set()
    for future in futures:
        future.result()
    # whoever copied it: what stands there counts
    made = [chunk for key, chunk in _finished(follower, token.move).items() if key not in before]
    rows = {pair.name: sum(chunk.rows for chunk in made if chunk.view == pair.id) for pair in pairs}
    return Copied(rows, resumed, sum(chunk.rejected for chunk in made), dict(shared))


def load_chunk(
    leader: Store,
    follower: Store,
    pair: Pair,
    leads: Side,
    number: int,
    over: KeyRange,
    token: Token,
    rejects: RejectSink,
) -> int:
    """Copy one chunk; its rows, 0 when it is recorded already."""
    source, target = pair.view(leads), pair.view(leads.other)
    lost = _Counting(rejects)
    batches = _batches(leader, follower, source, target, over, lost)
    return follower.load(target, batches, lambda n: Chunk(pair.id, number, n, lost.count), token)


def _finished(follower: Store, move: str) -> dict[tuple[int, int], Chunk]:
    return {(chunk.view, chunk.number): chunk for chunk in follower.chunks(move)}


class _Counting:
    """Counts what one chunk rejects, on its way to the sink."""

    def __init__(self, sink: RejectSink) -> None:
        self._sink = sink
        self.count = 0

    def __call__(self, rejected: Rejected) -> None:
        self._sink(rejected)
        self.count += 1


def _batches(
    leader: Store, follower: Store, source: View, target: View, over: KeyRange, rejects: RejectSink
) -> Iterator[pa.RecordBatch]:
    for batch in leader.scan(source, over, rejects):
        table = pa.Table.from_batches([batch])
        kept = follower.holdable(target, table, rejects)
        if kept is table:
            yield batch
        else:
            yield from kept.combine_chunks().to_batches()


def _plan(
    leader: Store,
    follower: Store,
    pairs: Sequence[Pair],
    leads: Side,
    move: str,
    state: State | None,
    chunk_rows: int,
    decided: Mapping[int, list[KeyRange]],
) -> dict[int, list[KeyRange]]:
    """The ranges of every table, from the follower's state row or decided now and kept there."""
    known: Mapping[str, Any] = state.notes.get("plan", {}) if state else {}
    plan: dict[int, list[KeyRange]] = {}
    kept: dict[str, Any] = dict(known)
    for pair in pairs:
        bounds = known.get(str(pair.id))
        if bounds is None:
            found = decided.get(pair.id) or ranges(leader, pair, leads, chunk_rows)
            kept[str(pair.id)] = [_encode(over.upto) for over in found if over.upto is not None]
            plan[pair.id] = found
        else:
            plan[pair.id] = planned(known, pair.id)
    if kept != known:
        follower.note(move, {"plan": kept})
    return plan


def ranges(leader: Store, pair: Pair, leads: Side, chunk_rows: int) -> list[KeyRange]:
    """The ranges of a table that is to be copied."""
    return leader.plan(pair.view(leads), chunk_rows) if pair.keyed else [KeyRange()]


def planned(plan: Mapping[str, Any], table: int) -> list[KeyRange]:
    """A table's ranges as the follower's note ``plan`` keeps them.  ``KeyError`` for one that has none."""
    return ranges_of([_decode(bound) for bound in plan[str(table)]])


def ranges_of(bounds: Sequence[tuple[Any, ...]]) -> list[KeyRange]:
    """Adjoining ranges between these bounds, the first and the last open-ended."""
    edges: list[tuple[Any, ...] | None] = [None, *bounds, None]
    return [KeyRange(after, upto) for after, upto in itertools.pairwise(edges)]


def _encode(key: tuple[Any, ...] | None) -> list[Any]:
    """A key as JSON; bytes are tagged, everything else that JSON lacks goes as its ISO text, tagged."""
    encoded: list[Any] = []
    for part in key or ():
        if isinstance(part, bytes):
            encoded.append({"bytes": part.hex()})
        elif part is None or isinstance(part, (bool, int, float, str)):
            encoded.append(part)
        else:
            scalar = pa.scalar(part)
            encoded.append(
                {"arrow": str(scalar.type), "value": int(scalar.cast(_integer(scalar.type)).as_py())}
            )
    return encoded


def _decode(key: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(_decoded(part) for part in key)


def _decoded(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    if "bytes" in part:
        return bytes.fromhex(part["bytes"])
    kind = {"date32[day]": pa.date32(), "time64[us]": pa.time64("us")}.get(part["arrow"])
    if kind is None:
        zone = "UTC" if "tz=" in part["arrow"] else None
        kind = pa.timestamp("us", tz=zone)
    return pa.scalar(part["value"], _integer(kind)).cast(kind).as_py()


def _integer(kind: pa.DataType) -> pa.DataType:
    return pa.int32() if pa.types.is_date32(kind) else pa.int64()
