"""A pass: one step of following, after which the follower equals one exact snapshot of the leader.

The keys logged since the last pass and their current rows are read in one snapshot, the snapshot is
closed, and everything is applied in one transaction of the follower.  In that same transaction the rows
are read back and compared: a pass that was committed was proven, so no key is left to check in a switch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from crossfade.errors import Different, SchemaChanged, StoreError
from crossfade.stores.base import Applied, Applying, Change, RejectSink, Side, Store, Token, View
from crossfade.sync.compare import Difference, align, compare, keys_of
from crossfade.sync.mapping import Pair

PASS_KEYS = 20_000
"""More changed keys than this are first brought over in batches, before a whole pass makes it exact."""

_BATCH = 5_000
_RHYTHM = 2.0


@dataclass(frozen=True, slots=True)
class Settled:
    """What the comparison of suspects found: keys that still differ, at an exact snapshot."""

    compared: int = 0
    differing: int = 0
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass: how many keys had changed, what was written, and how long it took (seconds).

    ``position`` is what the follower has now; ``proven`` counts rows that were read back and compared.
    """

    position: str
    keys: int
    applied: Applied
    proven: int
    seconds: float
    settled: Settled = field(default_factory=Settled)


class Passes:
    """Follows one leader with one follower, under one fencing token.

    ``fingerprints`` are the leader's tables as they were when following began: a table that no longer
    matches stops the pass (``SchemaChanged``) before anything is written.
    """

    def __init__(
        self,
        leader: Store,
        follower: Store,
        pairs: Sequence[Pair],
        leads: Side,
        token: Token,
        *,
        since: str | None,
        fingerprints: Mapping[int, str],
        rejects: RejectSink,
    ) -> None:
        self.leader = leader
        self.follower = follower
        self.pairs = [pair for pair in pairs if pair.keyed]
        self.leads = leads
        self.token = token
        self.position = since
        self.fingerprints = fingerprints
        self.rejects = rejects
        self._last = float("-inf")
        self._sources = [pair.view(leads) for pair in self.pairs]
        self._targets = {pair.id: pair.view(leads.other) for pair in self.pairs}

    def run(
        self,
        *,
        suspects: Mapping[int, pa.Table] | None = None,
        forced: Mapping[int, pa.Table] | None = None,
        verified_at: float | None = None,
    ) -> Pass:
        """One pass.  ``suspects`` are keys to compare at this snapshot, without writing them;
        ``forced`` are keys to bring over although they were not logged.  ``verified_at`` is stored when no
        suspect differs.

        Raises ``SchemaChanged``, ``Unrepresentable``, ``Different`` (what was written does not read back
        equal), ``LeaseLost``; in each case nothing was written.
        """
        started = time.monotonic()
        suspects = suspects or {}
        position, changed, rows = self._read(suspects, forced or {})
        count = sum(keys.num_rows for keys in changed.values())
        changes = self._changes(changed, rows)
        settled = Settled()
        if not changes and not suspects and position == self.position and verified_at is None:
            self._last = time.monotonic()
            return Pass(position, 0, Applied(), 0, time.monotonic() - started)
        with self.follower.applying(
            self.token, position, verified_at=None if suspects else verified_at
        ) as applying:
            applied = applying.apply(changes) if changes else Applied()
            proven = self._prove(applying, changes)
            if suspects:
                settled = self._settle(applying, suspects, rows)
        if suspects and verified_at is not None and settled.differing == 0:
            with self.follower.applying(self.token, position, verified_at=verified_at):
                pass
        self.position = position
        self._last = time.monotonic()
        return Pass(position, count, applied, proven, time.monotonic() - started, settled)

    def adopt(self, other: Passes) -> None:
        """Go on where other passes of the same token are: their tables, fingerprints and position."""
        self.pairs = other.pairs
        self.fingerprints = other.fingerprints
        self.position = other.position
        self._sources, self._targets = other._sources, other._targets

    def catch_up(self, *, until: float, deadline: float) -> Pass:
        """Passes until one had so little to do that it took less than ``until`` seconds, or the deadline
        (``time.monotonic``) is over; returns the last one."""
        while True:
            done = self.run()
            if done.seconds <= until or time.monotonic() >= deadline:
                return done

    def _read(
        self, suspects: Mapping[int, pa.Table], forced: Mapping[int, pa.Table]
    ) -> tuple[str, dict[int, pa.Table], dict[int, pa.Table]]:
        """Log and rows, at one instant.  The snapshot is closed before anything is applied."""
        changed = self._backlog()
        if sum(keys.num_rows for keys in changed.values()) > PASS_KEYS:
            self._bring(changed)
        with self.leader.snapshot() as snapshot:
            position = snapshot.position
            self._watch_schema(snapshot.fingerprints(self._sources))
            changed = dict(snapshot.changed(self._sources, self.position))
            for number, keys in forced.items():
                known = changed.get(number)
                changed[number] = keys if known is None else _union(known, keys)
            rows: dict[int, pa.Table] = {}
            for view in self._sources:
                wanted = [part[view.id] for part in (changed, suspects) if view.id in part]
                if wanted:
                    keys = wanted[0] if len(wanted) == 1 else _union(*wanted)
                    rows[view.id] = snapshot.rows(view, keys, self.rejects)
        held = {
            number: self.follower.holdable(self._targets[number], table, self.rejects)
            for number, table in rows.items()
        }
        return position, changed, held

    def _backlog(self) -> dict[int, pa.Table]:
        """The keys to expect, when the last pass was long ago; empty in the rhythm of following."""
        if time.monotonic() - self._last < _RHYTHM:
            return {}
        with self.leader.snapshot() as snapshot:
            self._watch_schema(snapshot.fingerprints(self._sources))
            return dict(snapshot.changed(self._sources, self.position))

    def _bring(self, backlog: Mapping[int, pa.Table]) -> None:
        """Bring a large backlog over in batches, each from a short snapshot of its own, without moving
        the position: the whole pass that follows makes it exact.  A batch that the follower's constraints
        refuse (it mixes two instants) is left to that pass."""
        for view in self._sources:
            keys = backlog.get(view.id, empty_keys(view))
            target = self._targets[view.id]
            for start in range(0, keys.num_rows, _BATCH):
                part = keys.slice(start, _BATCH)
                with self.leader.snapshot() as snapshot:
                    found = snapshot.rows(view, part, self.rejects)
                found = self.follower.holdable(target, found, self.rejects)
                try:
                    with self.follower.applying(self.token, self.position) as applying:
                        applying.apply([Change(target, found, empty_keys(target))])
                except (StoreError, Different):
                    continue

    def _watch_schema(self, found: Mapping[int, str]) -> None:
        changed = [
            pair.name
            for pair in self.pairs
            if self.fingerprints and found.get(pair.id) != self.fingerprints.get(pair.id)
        ]
        if changed:
            raise SchemaChanged(
                f"the table {', '.join(changed)} was redefined, rewritten or lost its triggers since following began",
                where=f"{self.leads} store",
                todo="`crossfade follow` re-arms it and compares the whole table before it goes on",
            )

    def _changes(self, changed: Mapping[int, pa.Table], rows: Mapping[int, pa.Table]) -> list[Change]:
        changes = []
        for number, keys in changed.items():
            target = self._targets[number]
            current = rows[number]
            found = align(current, keys, target.key)
            changes.append(
                Change(target, current.take(found.left), keys.take(found.only_right).combine_chunks())
            )
        return changes

    def _prove(self, applying: Applying, changes: Sequence[Change]) -> int:
        """Read back what this transaction wrote, and compare every cell."""
        proven = 0
        for change in changes:
            keys = _union(keys_of(change.upserts, change.view), change.deletes)
            back = applying.rows(change.view, keys)
            wrong = list(compare(change.upserts, back, change.view))
            if wrong:
                raise Different(
                    "what was written does not read back equal:\n" + "\n".join(map(str, wrong[:10])),
                    where=f"{self.leads.other} store",
                    todo="look for triggers or generated values on the following side that alter rows",
                )
            proven += keys.num_rows
        return proven

    def _settle(
        self, applying: Applying, suspects: Mapping[int, pa.Table], rows: Mapping[int, pa.Table]
    ) -> Settled:
        """Compare the suspects on both sides at this snapshot."""
        compared = 0
        wrong: list[Difference] = []
        differing: set[tuple[int, tuple[object, ...]]] = set()
        for number, keys in suspects.items():
            target = self._targets[number]
            keys = _distinct(keys)
            back = applying.rows(target, keys)
            expected = rows[number].take(align(rows[number], keys, target.key).left)
            for difference in compare(expected, back, target):
                differing.add((number, difference.key))
                wrong.append(difference)
            compared += keys.num_rows
        return Settled(compared, len(differing), tuple(wrong[:50]))


def _union(*tables: pa.Table) -> pa.Table:
    return _distinct(pa.concat_tables(tables))


def _distinct(keys: pa.Table) -> pa.Table:
    return keys.group_by(keys.column_names).aggregate([]).combine_chunks()


def empty_keys(view: View) -> pa.Table:
    """No keys."""
    return view.key_schema.empty_table()
