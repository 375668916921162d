"""The initial copy: chunks by key range, in parallel, with flat memory, resumable after ``kill -9``.

It needs no single snapshot: capture was committed before the first chunk, so the passes that follow
bring over whatever changed meanwhile.  The ranges are decided once and kept in the follower's state row,
so that a copy that resumes means the same chunk by the same number.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from crossfade.stores.base import Chunk, KeyRange, Rejected, RejectSink, Side, State, Store, Token, View
from crossfade.sync.mapping import Pair

Progress = Callable[[str, int], None]
"""Called with a table's name and the rows just committed, from any thread."""


@dataclass(frozen=True, slots=True)
class Copied:
    """Rows per table that the copy wrote in this run, rows that were there from an earlier run, and rows
    that went to the reject file."""

    rows: dict[str, int]
    resumed: int
    rejected: int

    @property
    def total(self) -> int:
        return sum(self.rows.values())


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
) -> Copied:
    """Copy what is not yet copied.  The first error stops the others after their chunk and is raised."""
    state = follower.state(token.move)
    plan = _plan(leader, follower, pairs, leads, token.move, state, chunk_rows)
    finished = {(chunk.view, chunk.number): chunk for chunk in follower.chunks(token.move)}
    tasks = [
        (pair, number, over)
        for pair in pairs
        for number, over in enumerate(plan[pair.id])
        if (pair.id, number) not in finished
    ]
    rows = {pair.name: 0 for pair in pairs}
    rejected = 0
    lock = threading.Lock()
    stopped = threading.Event()

    def one(pair: Pair, number: int, over: KeyRange) -> None:
        nonlocal rejected
        if stopped.is_set():
            return
        source, target = pair.view(leads), pair.view(leads.other)
        lost = _Counting(rejects)
        batches = _batches(leader, follower, source, target, over, lost)
        count = follower.load(target, batches, lambda n: Chunk(pair.id, number, n, lost.count), token)
        with lock:
            rows[pair.name] += count
            rejected += lost.count
        progress(pair.name, count)

    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="copy") as pool:
        futures: list[Future[None]] = [pool.submit(one, *task) for task in tasks]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        if any(future.exception() for future in done):
            stopped.set()
    for future in futures:
        future.result()
    return Copied(rows, sum(chunk.rows for chunk in finished.values()), rejected)


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
) -> dict[int, list[KeyRange]]:
    """The ranges of every table, from the follower's state row or decided now and kept there."""
    known: Mapping[str, Any] = state.notes.get("plan", {}) if state else {}
    plan: dict[int, list[KeyRange]] = {}
    kept: dict[str, Any] = dict(known)
    for pair in pairs:
        bounds = known.get(str(pair.id))
        if bounds is None:
            ranges = leader.plan(pair.view(leads), chunk_rows) if pair.keyed else [KeyRange()]
            kept[str(pair.id)] = [_encode(over.upto) for over in ranges if over.upto is not None]
            plan[pair.id] = ranges
        else:
            plan[pair.id] = ranges_of([_decode(bound) for bound in bounds])
    if kept != known:
        follower.note(move, {"plan": kept})
    return plan


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
