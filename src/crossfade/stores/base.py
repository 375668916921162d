"""The protocol that every store implements, and the values that cross it.

A store is one database.  It knows tables, keys, rows in canonical form (``crossfade.types``), its
own change log, its own fence and its own state row; it knows nothing of moves, switches or routers.
All methods may be called from any thread: a store opens the connections it needs by itself.

What a store keeps in its database (so that the truth survives the loss of every other file):

* the *state row*: side, role, epoch, attempt, lease, fence, position (``State``);
* the *log*: ``(table, key)`` of every change on this side that did not come from the applier;
* the *progress* of the initial copy, committed together with the rows of each chunk.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from crossfade.types import LogicalType, StoredAs

# --- schema -----------------------------------------------------------------


class Side(enum.StrEnum):
    """Which end of the move."""

    OLD = "old"
    NEW = "new"

    @property
    def other(self) -> Side:
        return Side.NEW if self is Side.OLD else Side.OLD


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the store's catalogue describes it.

    ``declared`` is the declared type, verbatim; ``type`` is the logical type it implies, or None
    where the declaration does not say (a typeless SQLite column).  ``default`` is the default's SQL
    text in the store's own dialect.  ``strict`` is False where the store does not enforce ``type``
    (SQLite), so that values must be looked at.
    """

    name: str
    declared: str
    type: LogicalType | None
    nullable: bool = True
    default: str | None = None
    generated: bool = False
    identity: bool = False
    strict: bool = True
    collation: str | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """A secondary index.  ``columns`` holds None for an expression; ``where`` a partial predicate."""

    name: str
    columns: tuple[str | None, ...]
    unique: bool = False
    where: str | None = None
    sql: str | None = None
    constraint: bool = False
    deferrable: bool = False
    collations: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key, with its actions as SQL keywords (``CASCADE``, ``NO ACTION`` …)."""

    name: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    on_delete: str = "NO ACTION"
    on_update: str = "NO ACTION"
    deferrable: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A base table.  ``key`` is the primary key, or a unique key over NOT NULL columns, or ``()``.

    ``checks`` and ``triggers`` are the application's own (SQL text / names), never Crossfade's.
    ``sequence`` names the column filled by AUTOINCREMENT, serial or identity.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    indexes: tuple[Index, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    checks: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()
    sequence: str | None = None
    note: str = ""

    def column(self, name: str) -> Column:
        """The column of that name.  Raises ``KeyError``."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Schema:
    """A database's base tables by name, in name order; ``untranslated`` lists what is not moved
    (views, routines, …) as sentences for the report."""

    tables: Mapping[str, Table]
    untranslated: tuple[str, ...] = ()


# --- the mapping, seen from one side ---------------------------------------


@dataclass(frozen=True, slots=True)
class Field:
    """One mapped column, seen from one side.

    ``name`` is its name in every Arrow batch (the same on both sides); ``column`` is this side's
    catalogue entry; ``type`` is the canonical type agreed for the pair; ``stored_as`` lists the
    encodings that a weakly typed side may hold (first = the one to write; empty = by default).
    """

    name: str
    column: Column
    type: LogicalType
    stored_as: tuple[StoredAs, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """One mapped table, seen from one side.

    ``id`` is the table's number in the move (stable, the same on both sides, ≥ 1); ``key`` holds the
    *batch names* of the key fields, in key order, ``()`` for a table without a key.  Batches have
    exactly the fields of ``fields`` in that order; key tables exactly those of ``key``.
    """

    id: int
    table: Table
    fields: tuple[Field, ...]
    key: tuple[str, ...]

    def field(self, name: str) -> Field:
        """The field of that batch name.  Raises ``KeyError``."""
        for item in self.fields:
            if item.name == name:
                return item
        raise KeyError(name)

    @property
    def key_fields(self) -> tuple[Field, ...]:
        return tuple(self.field(name) for name in self.key)

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of this view's batches."""
        return pa.schema([pa.field(f.name, f.type.arrow) for f in self.fields])

    @property
    def key_schema(self) -> pa.Schema:
        """The Arrow schema of this view's key tables."""
        return pa.schema([pa.field(f.name, f.type.arrow) for f in self.key_fields])


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Rows whose key is in ``(after, upto]`` in the order of ``scan``; None is open.

    Bounds are canonical Python values in key order (a prefix of the key is not allowed).
    A table without a key has the single range ``KeyRange()``.
    """

    after: tuple[Any, ...] | None = None
    upto: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A value that cannot be represented: which row, and why.  ``value`` is shortened for print.

    ``row`` holds the whole row (column → Python value as stored), for the reject file.
    """

    table: str
    key: tuple[Any, ...]
    column: str
    value: str
    reason: str
    todo: str = ""
    row: Mapping[str, Any] = field(default_factory=dict)


RejectSink = Callable[[Rejected], None]
"""Called once per rejected row.  It raises ``Unrepresentable`` to stop, or returns, and then the row
is left out of the batch."""


# --- state ------------------------------------------------------------------


class Role(enum.StrEnum):
    LEADER = "leader"
    FOLLOWER = "follower"


UNSENT = "unsent"
"""The note that ``fence`` leaves: the attempt that fenced, and whose COMMIT has not been announced."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Who works on the move.  ``token`` is unguessable and is the fencing token of every apply;
    times are Unix seconds by the holder's clock."""

    token: str
    verb: str
    host: str
    pid: int
    version: str
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class State:
    """A side's state row.

    ``attempt`` numbers switch attempts, and only ever grows; ``position`` (follower only) is how far
    the leader's log is applied here, None = from its beginning; ``verified_at`` is when every cell was last
    found equal (Unix seconds; taking the lead leaves it alone); ``peer`` is the other database's identity;
    ``notes`` is a small JSON object for the layers above (kept verbatim).
    """

    move: str
    side: Side
    role: Role
    epoch: int
    attempt: int
    fenced: bool
    lease: Lease | None
    position: str | None
    verified_at: float | None
    peer: str | None
    notes: Mapping[str, Any]

    @property
    def commit_unsent(self) -> bool:
        """A leader that is fenced by a switch that has not announced its COMMIT, so it was not sent.  When this
        is so *after* the attempt was raised in this row (``abort_attempt``), it never will be."""
        return self.role is Role.LEADER and self.fenced and UNSENT in self.notes


@dataclass(frozen=True, slots=True)
class Token:
    """What an apply transaction must find in the state row that it locks, or it writes nothing
    (``LeaseLost``): ``role = follower AND epoch = … AND lease = …``."""

    move: str
    epoch: int
    lease: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Progress of the initial copy: one finished chunk of one table."""

    view: int
    number: int
    rows: int
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """What one pass brings to one table: ``upserts`` (the view's schema) and ``deletes`` (its key
    schema); the two have no key in common."""

    view: View
    upserts: pa.Table
    deletes: pa.Table


@dataclass(frozen=True, slots=True)
class Applied:
    """Rows inserted, updated (only those with a differing cell), deleted."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a preflight: ``level`` is ``ok``, ``warning`` or ``error``; ``check`` is a stable
    dotted name (``sqlite.journal_mode``)."""

    level: str
    check: str
    what: str
    where: str = ""
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Busy:
    """Something that a fence would wait for: a sentence with process ids, and whether it is maintenance
    (vacuum, analyze, index build), which ends by itself and is worth waiting for."""

    what: str
    maintenance: bool


# --- the protocol -----------------------------------------------------------


class Snapshot(Protocol):
    """One consistent read of a store; the log and the rows are seen at the same instant.

    In a SQLite database in rollback-journal mode an open snapshot blocks writers: read, then close.
    """

    @property
    def position(self) -> str:
        """The log position of this snapshot (opaque; pass it to ``changed`` of a later one)."""
        ...

    def fingerprints(self, views: Sequence[View]) -> Mapping[int, str]:
        """Per view id a text that changes when the table is redefined, rewritten, truncated, or its
        capture or fence triggers are gone or altered."""
        ...

    def changed(self, views: Sequence[View], since: str | None) -> Mapping[int, pa.Table]:
        """The distinct keys logged after ``since`` (None: since the log's beginning), per view id;
        views with none are absent.  Views without a key never appear."""
        ...

    def rows(self, view: View, keys: pa.Table, rejects: RejectSink) -> pa.Table:
        """The current rows with these keys, canonical, in any order; absent keys have no row."""
        ...


class Applying(Protocol):
    """An open apply transaction on the follower."""

    def apply(self, changes: Sequence[Change]) -> Applied:
        """Bring all changes in.  Order-free: unique swaps, foreign-key cycles and re-parented
        children are handled inside.  Writes only mapped columns and only rows with a canonical
        difference.  Raises ``StoreError`` when the database refuses, ``Refused`` when a delete would
        reach rows of tables that are not mapped."""
        ...

    def rows(self, view: View, keys: pa.Table) -> pa.Table:
        """Read back inside this transaction, canonical."""
        ...


class Store(Protocol):
    """A database that takes part in a move."""

    kind: str
    url: str
    """The address with the password masked."""

    def longest_lock(self) -> float:
        """Seconds: the longest that one of our transactions could keep the application's writers waiting since
        this store was opened; the fence of a switch is not counted.  0 where readers block nobody."""
        ...

    def within(self, seconds: float) -> AbstractContextManager[None]:
        """Bounds what this thread asks of the store in the block, all together.  What is not done by then, waits
        for locks included, is ``BudgetOver``, and that call has written nothing; ``StoreUnreachable`` when
        the database does not say so within a moment."""
        ...

    # -- looking (changes nothing) --
    def identity(self) -> str:
        """What tells this database from a copy or a restored one (opaque)."""
        ...

    def inspect(self) -> Schema:
        """The application's tables (never Crossfade's own)."""
        ...

    def preflight(self, views: Sequence[View], *, leads: bool) -> list[Finding]:
        """What this store has to say before a move: versions, modes, other writers, triggers possible,
        disk, clock skew, privileges, what capture cannot follow.  ``leads`` is this side's first role."""
        ...

    def census(self, view: View, rejects: RejectSink) -> list[Finding]:
        """Look at every value of the view: storage classes and encodings found per column, and each
        value that cannot be represented (one per column and reason is enough)."""
        ...

    def count(self, table: str) -> int: ...

    def holdable(self, view: View, rows: pa.Table, rejects: RejectSink) -> pa.Table:
        """The rows that this store can hold exactly as ``view`` maps them; the others go to
        ``rejects``.  Vectorised; returns ``rows`` itself when all fit."""
        ...

    def busy(self, views: Sequence[View]) -> list[Busy]:
        """What is running on these tables that a fence would wait for (vacuum, index builds,
        transactions older than a second)."""
        ...

    # -- reading --
    def expect_scans(self) -> None:
        """Whole tables will be scanned soon: begin to start what takes a while to start, and wait for nothing."""
        ...

    def plan(self, view: View, rows: int) -> list[KeyRange]:
        """Ranges of about that many rows, in key order, the first and the last open-ended."""
        ...

    def scan(self, view: View, over: KeyRange, rejects: RejectSink) -> Iterator[pa.RecordBatch]:
        """The rows of a range in canonical form, ordered by key (TEXT by its UTF-8 bytes), as batches
        of bounded bytes.  Not one snapshot: SQLite reads a batch at a time so as to block nobody."""
        ...

    def snapshot(self) -> AbstractContextManager[Snapshot]: ...

    # -- setting up and taking down --
    def install(self, move: str, side: Side, role: Role, views: Sequence[View], *, peer: str | None) -> None:
        """State row (kept if there), log, capture and fence triggers on every mapped table, fence
        triggers also on tables that are not mapped.  Capture runs from here on; a follower is fenced.
        Idempotent: it also re-arms what a schema change removed."""
        ...

    def armed(self, views: Sequence[View]) -> list[str]:
        """What is missing or altered of our triggers, one sentence each: capture and fence on every mapped
        table with a key, the fence on all others.  Empty when all is as ``install`` left it."""
        ...

    def uninstall(self, move: str) -> None:
        """Remove everything Crossfade added to this database."""
        ...

    def trim(self, position: str) -> int:
        """Discard log rows that a pass up to ``position`` has applied; returns how many."""
        ...

    # -- the follower: initial load --
    def create_tables(self, views: Sequence[View], source: Mapping[int, Table]) -> list[Finding]:
        """Create the tables of ``views`` that are missing (``view.table`` describes them in this
        store's types); returns what could not be translated."""
        ...

    def prepare_load(self, views: Sequence[View]) -> None:
        """Set aside what mixed snapshots would violate (foreign keys, secondary unique indexes),
        remembering its definition in the database.  Idempotent."""
        ...

    def load(
        self, view: View, batches: Iterable[pa.RecordBatch], chunk: Callable[[int], Chunk], token: Token
    ) -> int:
        """Append rows and the chunk's progress in one transaction under ``token``; returns the rows.
        ``chunk(rows)`` gives the progress row once the rows are counted.  A chunk that is already
        recorded is left alone (0)."""
        ...

    def finish_load(self, views: Sequence[View]) -> list[Finding]:
        """Build keys and indexes, add foreign keys (deferrable while following) and validate them;
        returns orphans and everything that did not come back.  Idempotent."""
        ...

    def chunks(self, move: str) -> list[Chunk]:
        """The progress of the initial copy."""
        ...

    def restart_load(self, view: View, token: Token) -> None:
        """Empty the table (``DELETE``) and forget its progress."""
        ...

    # -- the follower: passes --
    def applying(
        self, token: Token, position: str | None, *, verified_at: float | None = None
    ) -> AbstractContextManager[Applying]:
        """One apply transaction: locks and checks the state row (``LeaseLost``), and stores
        ``position`` with the rows.  ``verified_at`` is stored when given.  Rolls back on exception."""
        ...

    # -- state and lease --
    def state(self, move: str) -> State | None:
        """The state row, or None when Crossfade is not installed here.  ``StoreUnreachable``."""
        ...

    def take_lease(self, move: str, lease: Lease, *, over: str | None) -> None:
        """Compare-and-set: the row's token must be ``over`` (None: no lease).  ``LeaseHeld``."""
        ...

    def renew_lease(self, move: str, token: str, until: float) -> None:
        """``LeaseLost`` when another token stands there."""
        ...

    def drop_lease(self, move: str, token: str) -> None:
        """Nothing happens when another token stands there."""
        ...

    def note(self, move: str, notes: Mapping[str, Any], *, token: Token | None = None) -> None:
        """Merge into ``State.notes`` (a value of None removes the key).  With ``token`` only while this side
        follows at its epoch under its lease (``LeaseLost``), in one transaction."""
        ...

    def forget_verification(self, move: str) -> None:
        """``verified_at`` becomes None: something has happened that a pass cannot prove."""
        ...

    # -- the switch --
    def begin_attempt(self, move: str, epoch: int, attempt: int) -> None:
        """Set ``attempt`` where ``epoch`` matches and the stored attempt is smaller; ``AttemptOver``."""
        ...

    def fence(self, move: str, epoch: int, attempt: int, timeout: float) -> None:
        """Refuse writes from everyone but the applier, once every open write transaction has ended.
        Only where ``role = leader`` and epoch and attempt match (``AttemptOver``); ``BudgetOver`` after
        ``timeout`` seconds, naming the sessions in the way; then nothing is fenced.  Leaves the note
        ``UNSENT`` in the same transaction."""
        ...

    def unfence(self, move: str, epoch: int, attempt: int) -> None:
        """Let the leader write again; only where ``role = leader`` and epoch and attempt match
        (``AttemptOver``): nobody lifts the fence of another attempt."""
        ...

    def cut_off(self) -> int:
        """End the sessions that hold write locks on what the fence has to lock; returns how many."""
        ...

    def sequences(self, views: Sequence[View]) -> Mapping[int, int]:
        """Per view id with a generated key: the last value that may have been given out, caches and
        increments included."""
        ...

    def raise_sequences(self, views: Sequence[View], least: Mapping[int, int]) -> None:
        """Make the next generated values greater than ``least`` and than the largest key present."""
        ...

    def rehearse_lead(self, move: str, view: View | None) -> None:
        """As the application's writer would: a write that is read back, logged by capture, and refused
        by the fence unless lifted; then rolled back.  ``StoreError`` when capture or fence do not work."""
        ...

    def announce_commit(self, move: str, epoch: int, attempt: int) -> None:
        """In the row of the leader that is to lose the lead, before ``lead`` is sent to the other: COMMIT may have
        been sent from here on (the note ``UNSENT`` goes).  Only where ``role = leader``, fenced, and epoch and
        attempt match (``AttemptOver``), so that whoever raised the attempt here has forbidden it."""
        ...

    def lead(self, move: str, epoch: int, attempt: int) -> None:
        """THE COMMIT POINT.  ``role = leader, epoch = epoch + 1``, un-fenced, log emptied, in one
        transaction, where ``role = follower AND epoch = … AND attempt = …``; ``AttemptOver`` otherwise;
        ``StoreUnreachable`` when the outcome is unknown, and with any other error nothing was committed."""
        ...

    def follow(self, move: str, epoch: int, lease: Lease | None, verified_at: float | None) -> None:
        """Become follower at ``epoch`` (fenced, position None), where the stored epoch is smaller."""
        ...

    def abort_attempt(self, move: str, epoch: int, attempt: int) -> None:
        """``attempt + 1`` where epoch and attempt match, so that its coordinator can neither fence nor
        commit any more; ``AttemptOver`` when either has moved on (it committed, or is over already)."""
        ...

    # -- backup --
    def backup(self, to: Path) -> Path:
        """A restorable copy of one consistent state; returns the file."""
        ...

    def restore(self, backup: Path, scratch: Path) -> AbstractContextManager[Store]:
        """Restore into a scratch place and give a store on it; the scratch is removed on exit."""
        ...

    def close(self) -> None: ...
