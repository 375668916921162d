"""Verification: every cell of every mapped row, both sides read again, independently of what was written.

Both sides are streamed in key order and merged; what is equal is never looked at twice.  Under live
load a key may differ because it changed between the two reads: such keys are *suspects*, and the
caller settles them in a pass, at one exact snapshot.
"""

from __future__ import annotations

import hashlib
from collections import Counter as Multiset
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from crossfade.stores.base import KeyRange, Rejected, RejectSink, Side, Store, View
from crossfade.sync.compare import Difference, compare, differing_keys, key_tuples, keys_of, same, whole
from crossfade.sync.mapping import Pair
from crossfade.types import Kind

Progress = Callable[[str, int], None]
"""Called with a table's name and the rows just done, from any thread."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What a comparison of all cells found.

    ``suspects`` holds per table number the keys that differed at the time of reading, ``differing`` counts
    them all.  ``unkeyed`` counts the differing rows of each table without a key, which no pass can settle, and
    ``unreadable`` the follower's values that are none of their column's type.  ``differences`` are the first
    of each of these in words.
    """

    rows: int
    cells: int
    tables: dict[str, int]
    suspects: dict[int, pa.Table]
    differences: tuple[Difference, ...]
    differing: int
    unkeyed: dict[str, int]
    unreadable: int


@dataclass(slots=True)
class _Found:
    rows: int = 0
    differing: int = 0
    unreadable: int = 0
    suspects: list[pa.Table] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)


def verify(
    leader: Store,
    follower: Store,
    pairs: Sequence[Pair],
    leads: Side,
    *,
    rejects: RejectSink,
    chunk_rows: int = 200_000,
    workers: int = 2,
    shown: int = 20,
    progress: Progress = lambda _table, _rows: None,
) -> Verification:
    """Compare all rows of ``pairs``.  ``rejects`` is asked about the leader's unrepresentable values
    (those rows are left out); the follower's must all be readable."""
    tasks: list[tuple[Pair, KeyRange]] = []
    for pair in pairs:
        view = pair.view(leads)
        ranges = leader.plan(view, chunk_rows) if _ranged(view) else [KeyRange()]
        tasks.extend((pair, over) for over in ranges)

    def one(task: tuple[Pair, KeyRange]) -> _Found:
        pair, over = task
        read = _merge if pair.keyed else _multiset
        found = read(leader, follower, pair, leads, over, rejects, shown)
        progress(pair.name, found.rows)
        return found

    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="verify") as pool:
        results = list(pool.map(one, tasks))
    rows: dict[str, int] = {pair.name: 0 for pair in pairs}
    cells = differing = unreadable = 0
    unkeyed: dict[str, int] = {}
    suspects: dict[int, list[pa.Table]] = {}
    differences: list[Difference] = []
    for (pair, _), found in zip(tasks, results, strict=True):
        rows[pair.name] += found.rows
        cells += found.rows * len(pair.old.fields)
        differing += found.differing
        unreadable += found.unreadable
        if not pair.keyed and found.differing:
            unkeyed[pair.name] = found.differing
        differences.extend(found.differences)
        if found.suspects:
            suspects.setdefault(pair.id, []).extend(found.suspects)
    return Verification(
        rows=sum(rows.values()),
        cells=cells,
        tables=rows,
        suspects={number: pa.concat_tables(keys) for number, keys in suspects.items()},
        differences=tuple(differences),
        differing=differing,
        unkeyed=unkeyed,
        unreadable=unreadable,
    )


def _ranged(view: View) -> bool:
    """Whether a key range can be read by an index on every store: integers order alike everywhere,
    texts only under a collation that a database need not have indexed."""
    return bool(view.key) and view.key_fields[0].type.kind is Kind.INTEGER


class _Stream:
    """One side's rows in key order, with a look at the next ones."""

    def __init__(self, batches: Iterator[pa.RecordBatch], view: View) -> None:
        self._batches = batches
        self._view = view
        self.rows = view.schema.empty_table()
        self.ended = False
        self._last: tuple[object, ...] | None = None

    def fill(self) -> None:
        """Have at least one row, or know that there are none."""
        while not self.ended and self.rows.num_rows == 0:
            batch = next(self._batches, None)
            if batch is None:
                self.ended = True
            elif batch.num_rows:
                self.rows = pa.Table.from_batches([batch])

    def last_key(self) -> tuple[object, ...]:
        return _order(self._view, self.rows.slice(self.rows.num_rows - 1))[0]

    def take(self, count: int) -> pa.Table:
        taken, self.rows = self.rows.slice(0, count), self.rows.slice(count)
        return taken

    def upto(self, bound: tuple[object, ...]) -> int:
        """How many of the rows at hand have a key ≤ ``bound``: a binary search."""
        low, high = 0, self.rows.num_rows
        while low < high:
            middle = (low + high) // 2
            if _order(self._view, self.rows.slice(middle, 1))[0] <= bound:
                low = middle + 1
            else:
                high = middle
        return low


def _order(view: View, rows: pa.Table) -> list[tuple[object, ...]]:
    """Keys as tuples that Python orders as ``scan`` does: text by its UTF-8 bytes."""
    return [
        tuple(part.encode() if isinstance(part, str) else part for part in key)
        for key in key_tuples(keys_of(rows, view))
    ]


def _merge(
    leader: Store, follower: Store, pair: Pair, leads: Side, over: KeyRange, rejects: RejectSink, shown: int
) -> _Found:
    """Merge the two sides of one range of keys."""
    found = _Found()
    left, right = pair.view(leads), pair.view(leads.other)
    one = _Stream(_holdable(leader, follower, left, right, over, rejects), left)
    two = _Stream(_counterparts(leader, follower, pair, leads, over, found, shown), right)
    while True:
        one.fill()
        two.fill()
        if one.ended and two.ended:
            return found
        if one.ended or two.ended:
            stream = two if one.ended else one
            count = stream.rows.num_rows
            parts = (one.take(0), two.take(count)) if one.ended else (one.take(count), two.take(0))
        else:
            parts = _matching(one, two, left)
        _judge(*parts, left, found, shown)


def _matching(one: _Stream, two: _Stream, view: View) -> tuple[pa.Table, pa.Table]:
    """Rows of both sides up to a common key; equally many when their keys agree, as they mostly do."""
    count = min(one.rows.num_rows, two.rows.num_rows)
    if all(
        same(whole(one.rows[name].slice(0, count)), whole(two.rows[name].slice(0, count)))
        for name in view.key
    ):
        return one.take(count), two.take(count)
    bound = min(one.last_key(), two.last_key())
    return one.take(one.upto(bound)), two.take(two.upto(bound))


def _judge(left: pa.Table, right: pa.Table, view: View, found: _Found, shown: int) -> None:
    found.rows += left.num_rows
    if left.num_rows == right.num_rows and all(
        same(whole(left[name]), whole(right[name])) for name in left.column_names
    ):
        return
    keys = differing_keys(left, right, view)
    if keys.num_rows == 0:
        return
    found.suspects.append(keys)
    found.differing += keys.num_rows
    if len(found.differences) < shown:
        found.differences.extend(list(compare(left, right, view))[: shown - len(found.differences)])


def _holdable(
    leader: Store, follower: Store, left: View, right: View, over: KeyRange, rejects: RejectSink
) -> Iterator[pa.RecordBatch]:
    """The leader's rows that the follower can hold: what the copy would have brought."""
    for batch in leader.scan(left, over, rejects):
        table = pa.Table.from_batches([batch])
        kept = follower.holdable(right, table, rejects)
        if kept is table:
            yield batch
        else:
            yield from kept.combine_chunks().to_batches()


def _counterparts(
    leader: Store, follower: Store, pair: Pair, leads: Side, over: KeyRange, found: _Found, shown: int
) -> Iterator[pa.RecordBatch]:
    """The follower's rows.  Where rows may be rejected, those that the leader cannot hold are left out: they were
    rejected on the way there, and stayed behind when the lead changed hands."""
    left, right = pair.view(leads), pair.view(leads.other)

    def unreadable(rejected: Rejected) -> None:
        if pair.reject:
            return
        found.unreadable += 1
        if found.unreadable <= shown:
            what = f"{rejected.value} {rejected.reason}"
            found.differences.append(
                Difference(pair.name, rejected.key, rejected.column, None, what, unreadable=True)
            )

    for batch in follower.scan(right, over, unreadable):
        if pair.reject:
            kept = leader.holdable(left, pa.Table.from_batches([batch]), lambda _rejected: None)
            yield from kept.combine_chunks().to_batches()
        else:
            yield batch


def _multiset(
    leader: Store, follower: Store, pair: Pair, leads: Side, over: KeyRange, rejects: RejectSink, shown: int
) -> _Found:
    """Compare a table without a key: each row's 128-bit digest, as often as it occurs."""
    found = _Found()
    left, right = pair.view(leads), pair.view(leads.other)
    seen: Multiset[bytes] = Multiset()
    for batch in _holdable(leader, follower, left, right, over, rejects):
        found.rows += batch.num_rows
        seen.update(_digests(batch))
    for batch in _counterparts(leader, follower, pair, leads, over, found, shown):
        seen.subtract(_digests(batch))
    for digest, count in seen.items():
        if count:
            found.differing += abs(count)
            if len(found.differences) < shown:
                sides = ("present", None) if count > 0 else (None, "present")
                found.differences.append(Difference(pair.name, (f"row {digest.hex()[:12]}",), "", *sides))
    return found


def _digests(batch: pa.RecordBatch) -> list[bytes]:
    columns = [pc.cast(_plain(column), pa.binary()).to_pylist() for column in batch.columns]
    digests = []
    for row in zip(*columns, strict=True):
        digest = hashlib.blake2b(digest_size=16)
        for cell in row:
            digest.update(b"\0" if cell is None else b"\1%d:" % len(cell) + cell)
        digests.append(digest.digest())
    return digests


def _plain(column: pa.Array) -> pa.Array:
    """The column as text or bytes, one to one."""
    if pa.types.is_binary(column.type) or pa.types.is_string(column.type):
        return column
    if (
        pa.types.is_float64(column.type)
        or pa.types.is_timestamp(column.type)
        or pa.types.is_time(column.type)
    ):
        column = column.view(pa.int64())
    elif pa.types.is_date32(column.type):
        column = column.view(pa.int32())
    return pc.cast(column, pa.string())
