"""A plain data migration: two addresses, no spec, no router, nothing installed on the source.

The source is only read.  What an application writes to it meanwhile is not followed: use a spec for that.
The target remembers the progress until the copy is complete, so a killed copy goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from crossfade.errors import Different, Refused, UsageError
from crossfade.lease import Held
from crossfade.report import Quiet, Reporter
from crossfade.spec import OnUnrepresentable, Spec
from crossfade.stores import open_store
from crossfade.stores.base import Field, Finding, KeyRange, Role, Side, Store, Token
from crossfade.sync import mapping as mappings
from crossfade.sync.copy import Copied, copy, ranges
from crossfade.sync.mapping import Pair, TableMapping
from crossfade.sync.rejects import Policy
from crossfade.sync.verify import Verification, verify

MOVE = "plain-copy"
"""The name under which the target keeps the progress of a plain copy."""


@dataclass(frozen=True, slots=True)
class PlainCopied:
    """What a plain copy wrote, what it has to say about the tables it made, and the longest lock on the source
    (seconds)."""

    copied: Copied
    findings: tuple[Finding, ...]
    seconds: float
    longest_lock: float


def spec_of(source: str, target: str, *, reject: Path | None = None, **settings: object) -> Spec:
    """The spec that two addresses amount to.  Relative SQLite files are relative to this folder."""
    try:
        return Spec.model_validate(
            {
                "move": MOVE,
                "old": {"store": _anchored(source)},
                "new": {"store": _anchored(target)},
                "on_unrepresentable": OnUnrepresentable.REJECT if reject else OnUnrepresentable.STOP,
                **settings,
            }
        )
    except ValueError as error:
        raise UsageError(
            f"these are not two databases: {'; '.join(_messages(error))}",
            todo="an address begins with sqlite:/// or postgresql://",
        ) from None


def _messages(error: ValueError) -> list[str]:
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        return [
            f"{'.'.join(map(str, item['loc']))} {item['msg']}" for item in error.errors(include_input=False)
        ]
    return [str(error)]


def _anchored(url: str) -> str:
    if "://" not in url and Path(url).suffix in (".db", ".sqlite", ".sqlite3"):
        return f"sqlite:///{Path(url).resolve()}"
    if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
        return f"sqlite:///{Path(url.removeprefix('sqlite:///')).resolve()}"
    return url


@contextmanager
def _stores(spec: Spec) -> Iterator[tuple[Store, Store]]:
    with closing(open_store(spec.old.store.get_secret_value())) as source:
        source.expect_scans()  # while the other kind of store is imported
        with closing(open_store(spec.new.store.get_secret_value())) as target:
            yield source, target


def copy_plain(spec: Spec, *, rejects: Path | None = None, reporter: Reporter | None = None) -> PlainCopied:
    """Copy every table.  ``Refused`` when the target holds rows that no earlier copy brought."""
    tell = reporter or Quiet()
    started = time.monotonic()
    findings: list[Finding] = []
    with _stores(spec) as (source, target), ThreadPoolExecutor(1) as pool:
        state = target.state(MOVE)
        notes = state.notes if state is not None else {}
        mapping = _mapping(spec, source, target, notes.get("tables", {}), notes.get("created", ()))
        if not mapping.pairs:
            raise Refused(
                "has no tables to copy", where=source.url, todo="look whether this is the right file"
            )
        created = [pair for pair in mapping.pairs if pair.create]
        if state is None:
            _demand_empty(mapping, target)
        elif state.peer != source.identity():
            raise Refused(
                f"holds part of a copy of another source ({state.peer})",
                where=target.url,
                todo="finish that copy with its own source, or copy into another database",
            )
        decided = pool.submit(_decide, spec, source, mapping.pairs, notes.get("plan", {}))
        findings.extend(target.create_tables([p.new for p in created], {p.id: p.old.table for p in created}))
        names = [pair.name for pair in created]
        mapping = _mapping(spec, source, target, mapping.ids, names)
        views = mapping.views(Side.NEW)
        # every table is fenced, and none captured: nothing follows a plain copy
        target.install(MOVE, Side.NEW, Role.FOLLOWER, [], peer=source.identity())
        target.note(MOVE, {"tables": mapping.ids, "created": names})
        states = {Side.OLD: None, Side.NEW: target.state(MOVE)}
        with Held({Side.OLD: source, Side.NEW: target}, states, MOVE, "copy", required=Side.NEW) as held:
            installed = target.state(MOVE)
            target.prepare_load(views)
            rows, chunks = decided.result()
            tell.begin("copy", rows)
            try:
                copied = copy(
                    source,
                    target,
                    mapping.pairs,
                    Side.OLD,
                    Token(MOVE, installed.epoch if installed else 1, held.token),
                    rejects=_policy(mapping, rejects),
                    chunk_rows=spec.chunk_rows,
                    workers=spec.workers,
                    progress=tell.advance,
                    decided={
                        pair.id: found
                        for pair in mapping.pairs
                        if (found := chunks.get((pair.id, tuple(pair.old.key_fields))))
                    },
                )
            finally:
                tell.end()
            tell.say("building keys and indexes, checking foreign keys")
            findings.extend(f for f in target.finish_load(views) if f.level != "ok")
            target.raise_sequences(views, {})
        target.uninstall(MOVE)
        locked = source.longest_lock()
    return PlainCopied(copied, tuple(findings), time.monotonic() - started, locked)


def _decide(
    spec: Spec, source: Store, pairs: Sequence[Pair], noted: Collection[str]
) -> tuple[dict[str, int], dict[tuple[int, tuple[Field, ...]], list[KeyRange]]]:
    """The rows of every table, and the ranges, by table and key, of those of which none are noted: work on the
    source, while tables are made on the target (which may change what a key is taken for)."""
    rows = {pair.name: source.count(pair.name) for pair in pairs}
    return rows, {
        (pair.id, tuple(pair.old.key_fields)): ranges(source, pair, Side.OLD, spec.chunk_rows)
        for pair in pairs
        if str(pair.id) not in noted
    }


def _mapping(
    spec: Spec, source: Store, target: Store, ids: Mapping[str, int], created: Collection[str]
) -> TableMapping:
    return mappings.build(
        source.inspect(), target.inspect(), spec, new_kind=target.kind, ids=ids, created=created
    ).demand()


def _demand_empty(mapping: TableMapping, target: Store) -> None:
    for pair in mapping.pairs:
        if not pair.create and (rows := target.count(pair.new.table.name)):
            raise Refused(
                f"holds {rows} rows already",
                where=f"{target.url} table {pair.new.table.name}",
                todo="empty it, or copy into another database; `crossfade verify` compares what is there",
            )


def verify_plain(spec: Spec, *, reporter: Reporter | None = None) -> Verification:
    """Compare every cell.  ``Different`` lists what differs."""
    tell = reporter or Quiet()
    with _stores(spec) as (source, target):
        mapping = mappings.build(source.inspect(), target.inspect(), spec, new_kind=target.kind).demand()
        missing = [pair.name for pair in mapping.pairs if pair.create]
        if missing:
            raise Different(
                f"the target lacks the table {', '.join(missing)}",
                where=target.url,
                todo="run `crossfade copy`",
            )
        tell.begin("verify", {pair.name: source.count(pair.name) for pair in mapping.pairs})
        try:
            found = verify(
                source,
                target,
                mapping.pairs,
                Side.OLD,
                rejects=_policy(mapping, None),
                workers=spec.workers,
                progress=tell.advance,
            )
        finally:
            tell.end()
    total = found.differing + found.unreadable
    if total:
        raise Different(
            f"{total} rows differ:\n" + "\n".join(map(str, found.differences[:20])), where=target.url
        )
    return found


def _policy(mapping: TableMapping, path: Path | None) -> Policy:
    names = {view.table.name for pair in mapping.pairs if pair.reject for view in (pair.old, pair.new)}
    return Policy(names, path)
