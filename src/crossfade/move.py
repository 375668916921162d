"""The story of a move, top to bottom: check, backup, copy, follow, verify, shift, switch, complete.

Each method is one verb.  It asks the databases where the move stands, refuses what does not fit, holds
the lease for what it changes, and leaves evidence of what it measured.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from crossfade import baseline, concession, recovery
from crossfade import spec as specs
from crossfade import standing as standings
from crossfade.backups import BackedUp, back_up
from crossfade.checks import check_router, check_sides, check_target
from crossfade.errors import Different, LedgerError, Refused, SchemaChanged
from crossfade.lease import Held, is_alive
from crossfade.ledger import Ledger
from crossfade.masking import passwords_in
from crossfade.report import Quiet, Reporter
from crossfade.routers import open_router
from crossfade.routers.base import Router
from crossfade.spec import Spec
from crossfade.standing import Standing
from crossfade.status import Status, status_of
from crossfade.stores import open_store
from crossfade.stores.base import Finding, Lease, Role, Side, Store, Token
from crossfade.switch import Observer, Switch, Switched, nobody
from crossfade.sync import mapping as mappings
from crossfade.sync.copy import Copied, Elsewhere, copy
from crossfade.sync.mapping import Pair, TableMapping
from crossfade.sync.passes import Passes, Settled
from crossfade.sync.rejects import Policy
from crossfade.sync.verify import Verification, verify
from crossfade.watchdog import Watchdog

_CLOSE = 0.2
"""A pass shorter than this (seconds) counts as caught up."""


class Move:
    """One move: its spec, its two stores, its router and its evidence."""

    def __init__(
        self, spec: Spec, *, spec_path: Path | None = None, reporter: Reporter | None = None
    ) -> None:
        self.spec = spec
        self.reporter: Reporter = reporter or Quiet()
        self.stores: Mapping[Side, Store] = {
            side: open_store(spec.side(side).store.get_secret_value()) for side in Side
        }
        self.router: Router | None = open_router(spec)
        secrets = [part for side in Side for part in passwords_in(spec.side(side).store.get_secret_value())]
        self.ledger = Ledger(spec.state / "ledger.jsonl", move=spec.move, secrets=secrets)
        self._spec_path = spec_path
        self._mapping: TableMapping | None = None

    @classmethod
    def open(cls, path: Path, *, reporter: Reporter | None = None) -> Move:
        """The move that a spec file describes.  ``SpecError``."""
        return cls(specs.load(path), spec_path=path.resolve(), reporter=reporter)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for store in self.stores.values():
            store.close()

    # -- where it stands ---------------------------------------------------------

    def standing(self) -> Standing:
        """What the two databases say."""
        return standings.read(self.stores, self.spec.move)

    def mapping(self, *, again: bool = False) -> TableMapping:
        """Which table is which; decided once per process unless ``again``."""
        if self._mapping is None or again:
            state = self.standing().states[Side.OLD]
            notes: Mapping[str, Any] = state.notes if state is not None else {}
            self._mapping = mappings.build(
                self.stores[Side.OLD].inspect(),
                self.stores[Side.NEW].inspect(),
                self.spec,
                new_kind=self.stores[Side.NEW].kind,
                ids=notes.get("tables", {}),
                created=notes.get("created", ()),
            )
        return self._mapping

    def warm_up(self) -> None:
        """Open what a repair needs, so that it takes no time later."""
        self.standing()
        if self.router is not None:
            self.router.state()

    # -- check -------------------------------------------------------------------

    def check(self) -> list[Finding]:
        """Everything that can be known before anything is changed."""
        mapping = self.mapping(again=True)
        standing = self.standing()
        self._begin("check", list(mapping.pairs), standing.leader or Side.OLD)
        try:
            findings = check_sides(self.stores, mapping, standing, self.reporter.advance)
        finally:
            self.reporter.end()
        if self.router is not None:
            findings.append(check_router(self.router))
        self.ledger.append(
            "check.done",
            errors=sum(f.level == "error" for f in findings),
            warnings=sum(f.level == "warning" for f in findings),
            tables=[pair.name for pair in mapping.pairs],
        )
        return findings

    # -- backup ------------------------------------------------------------------

    def backup(self) -> BackedUp:
        """A backup of the leading store that was restored and compared before it counts."""
        side = self.standing().leader or Side.OLD
        pairs = list(self.mapping().pairs)
        self._begin("backup", pairs, side)
        try:
            done = back_up(
                self.stores[side],
                self.spec.state / "backups",
                [pair.view(side) for pair in pairs],
                self.spec.move,
                progress=self.reporter.advance,
            )
        finally:
            self.reporter.end()
        self.ledger.append("backup.done", side=side.value, **asdict(done))
        return done

    # -- copy --------------------------------------------------------------------

    def copy(self, *, elsewhere: Elsewhere | None = None) -> Copied:
        """Install capture, copy every row, bring the follower to an exact snapshot, and put its keys,
        indexes and foreign keys in place.  A killed copy goes on where it was.  ``elsewhere`` are workers that
        take chunks of it."""
        standing = self.standing()
        standing.demand_a_leader()
        if standing.copied or standing.completed:
            raise Refused("the copy is complete", where=self.spec.move, todo="go on with `crossfade follow`")
        mapping = self.mapping(again=True).demand()
        baseline.demand_same_databases(self.stores, standing)
        baseline.demand_same_tables(mapping, standing, self.spec)
        errors = [f for f in check_target(self.stores[Side.NEW], mapping, standing) if f.level == "error"]
        if errors:
            raise Refused(errors[0].what, where=errors[0].where, todo=errors[0].todo)
        started = time.monotonic()
        begun = standing.states[Side.OLD] is not None
        disarmed = begun and bool(self.stores[Side.OLD].armed(mapping.views(Side.OLD)))
        mapping = self._install(mapping)
        with self._lease("copy") as held:
            standing = self.standing()
            token = Token(self.spec.move, standing.epoch, held.token)
            old, new = self.stores[Side.OLD], self.stores[Side.NEW]
            if not baseline.known(old, self.spec.move):  # else an earlier run began, and looked
                baseline.remember(old, self.spec.move, baseline.look(old, mapping, Side.OLD))
            new.prepare_load(mapping.views(Side.NEW))
            self._begin("copy", list(mapping.pairs), Side.OLD)
            try:
                copied = copy(
                    old,
                    new,
                    mapping.pairs,
                    Side.OLD,
                    token,
                    rejects=self._rejects(),
                    chunk_rows=self.spec.chunk_rows,
                    workers=self.spec.workers,
                    progress=self.reporter.advance,
                    elsewhere=elsewhere,
                )
            finally:
                self.reporter.end()
            passes = self._passes(mapping, Side.OLD, token)
            try:
                passes.catch_up(until=_CLOSE, deadline=time.monotonic() + 60)
            except SchemaChanged as error:
                self.reporter.say(error.what)
                disarmed = True
            if disarmed:
                self.rearm(passes, held)
            self.reporter.say("building keys and indexes, checking foreign keys")
            problems = [f for f in new.finish_load(mapping.views(Side.NEW)) if f.level != "ok"]
            for finding in problems:
                self.reporter.say(f"{finding.level}: {finding.where}: {finding.what}")
            if any(finding.level == "error" for finding in problems):
                raise Refused(
                    "the new side's constraints do not hold for the old side's data: "
                    + "; ".join(f"{f.where}: {f.what}" for f in problems),
                    where="new store",
                    todo="mend the rows on the old side, run `crossfade copy` again",
                )
            passes.run()
            mapping = self.mapping(again=True).demand()
            baseline.remember(new, self.spec.move, baseline.look(new, mapping, Side.NEW))
            for side in Side:
                self.stores[side].note(self.spec.move, {"copied": True, "plan": None})
        self.ledger.append(
            "copy.done",
            rows=copied.rows,
            resumed=copied.resumed,
            rejected=copied.rejected,
            shared=copied.shared,
            seconds=round(time.monotonic() - started, 3),
        )
        return copied

    def _install(self, mapping: TableMapping) -> TableMapping:
        """State, log, capture and fence on both sides; the tables that the new side lacks."""
        old, new = self.stores[Side.OLD], self.stores[Side.NEW]
        move = self.spec.move
        old.install(move, Side.OLD, Role.LEADER, mapping.views(Side.OLD), peer=new.identity())
        created = [pair for pair in mapping.pairs if pair.create]
        old.note(move, {"tables": mapping.ids, "created": [pair.name for pair in created]})
        if created:
            for finding in new.create_tables(
                [pair.new for pair in created], {pair.id: pair.old.table for pair in created}
            ):
                self.reporter.say(f"{finding.level}: {finding.where}: {finding.what}")
        mapping = self.mapping(again=True).demand()
        baseline.demand_same_databases(self.stores, self.standing())
        new.install(move, Side.NEW, Role.FOLLOWER, mapping.views(Side.NEW), peer=old.identity())
        return mapping

    # -- follow ------------------------------------------------------------------

    @contextlib.contextmanager
    def following(self, verb: str = "follow") -> Iterator[tuple[Held, Passes, Standing]]:
        """The lease, and passes from whoever leads to the other side."""
        standing = self.standing()
        leader, _, _ = standing.demand()
        with self._lease(verb, standing) as held:
            standing = self.standing()
            leader, _, _ = standing.demand()
            mapping = self.mapping(again=True).demand()
            baseline.demand_same_tables(mapping, standing, self.spec)
            token = Token(self.spec.move, standing.epoch, held.token)
            yield held, self._passes(mapping, leader, token), standing

    def rearm(self, passes: Passes, held: Held) -> None:
        """After a schema change on the leader: put the triggers back, compare every table whole, and bring
        over every row that differs.  Only what was proven becomes the new baseline; until then nothing
        counts as verified, so whatever interrupts this has to begin again."""
        leader, move = passes.leads, self.spec.move
        source, target = self.stores[leader], self.stores[leader.other]
        state = target.state(move)
        verified_at = state.verified_at if state is not None else None
        target.forget_verification(move)
        mapping = self.mapping(again=True).demand()
        baseline.demand_same_tables(mapping, self.standing(), self.spec)
        source.install(move, leader, Role.LEADER, mapping.views(leader), peer=target.identity())
        now = baseline.look(source, mapping, leader)
        # Every table: one that was dropped and made again alike does not show, once it is armed again.
        followed = mapping.followed
        fresh = self._passes(mapping, leader, passes.token, fingerprints=now)
        fresh.run(forced=self._compare(followed, leader).suspects)
        settled = self._settle(fresh, self._compare(followed, leader).suspects, held, verified_at=verified_at)
        self.ledger.append(
            "follow.rearmed", tables=[pair.name for pair in followed], differences=settled.differing
        )
        if settled.differing:
            raise Different(
                f"{settled.differing} rows still differ after a schema change:\n"
                + "\n".join(map(str, settled.differences[:20])),
                where=move,
                todo="run `crossfade verify --repair`",
            )
        baseline.remember(source, move, now)
        passes.adopt(fresh)

    def demand_follower_untouched(self, mapping: TableMapping, follows: Side) -> None:
        """``Refused`` when the following side lost triggers or was redefined: its fence was open, so anybody may
        have written to it.  It is armed again, and has to be verified anew."""
        store, move = self.stores[follows], self.spec.move
        before = baseline.known(store, move)
        with store.snapshot() as snapshot:
            now = snapshot.fingerprints([pair.view(follows) for pair in mapping.followed])
        missing = store.armed(mapping.views(follows))
        changed = [
            pair.name for pair in mapping.followed if before and before.get(pair.id) != now.get(pair.id)
        ]
        if not missing and not changed:
            return
        touched = bool(changed) or not before
        if touched:
            store.forget_verification(move)
        store.install(
            move, follows, Role.FOLLOWER, mapping.views(follows), peer=self.stores[follows.other].identity()
        )
        baseline.remember(store, move, baseline.look(store, mapping, follows))
        if not touched:
            return  # a table that does not move has appeared, and is fenced now
        raise Refused(
            f"was changed while it followed: {'; '.join(missing) or ', '.join(changed)}",
            where=f"{follows} store",
            todo="it is armed again; run `crossfade verify` (with --repair if it finds differences)",
        )

    # -- verify ------------------------------------------------------------------

    def verify(self, *, repair: bool = False) -> Verification:
        """Compare every cell of both sides, also while the application writes.  ``Different`` lists what
        differs.  Nothing is changed, unless ``repair`` brings the differing rows over from the leader."""
        standing = self.standing()
        leader, _, _ = standing.demand()
        mapping = self.mapping(again=True).demand()
        started = time.monotonic()
        found = self._compare(list(mapping.pairs), leader)
        loose = [pair.name for pair in mapping.pairs if not pair.keyed and not pair.rule.allow_no_key]
        unkeyed = sum(found.unkeyed.get(name, 0) for name in loose) + found.unreadable
        with self.following("verify") as (held, passes, standing):
            if standing.leader is not leader:
                raise Refused("the lead changed hands meanwhile", where=self.spec.move, todo="verify again")
            self.demand_follower_untouched(mapping, leader.other)
            proven = None if unkeyed else time.time()
            settled = self._settle(passes, found.suspects, held, verified_at=proven)
            if repair and settled.differing:
                mended = settled.differing
                passes.run(forced=found.suspects)
                settled = self._settle(passes, found.suspects, held, verified_at=proven)
                self.ledger.append("verify.repaired", rows=mended, left=settled.differing)
                self.reporter.say(f"{mended} differing rows were brought over from the {leader} side")
        total = settled.differing + unkeyed
        self.ledger.append(
            "verify.done",
            rows=found.rows,
            cells=found.cells,
            tables=found.tables,
            rechecked=sum(keys.num_rows for keys in found.suspects.values()),
            differences=total,
            seconds=round(time.monotonic() - started, 3),
        )
        if total:
            others = [d for d in found.differences if d.table in loose or d.unreadable]
            raise Different(
                f"{total} rows differ:\n" + "\n".join(map(str, [*settled.differences, *others][:20])),
                where=self.spec.move,
                todo="find out who wrote to the following side; `crossfade verify --repair` brings the leader's "
                "rows over",
            )
        return found

    def _compare(self, pairs: list[Pair], leader: Side) -> Verification:
        self._begin("verify", pairs, leader)
        try:
            return verify(
                self.stores[leader],
                self.stores[leader.other],
                pairs,
                leader,
                rejects=self._rejects(write=False),
                workers=self.spec.workers,
                progress=self.reporter.advance,
            )
        finally:
            self.reporter.end()

    def _settle(
        self,
        passes: Passes,
        suspects: Mapping[int, pa.Table],
        held: Held,
        *,
        verified_at: float | None = None,
    ) -> Settled:
        """Compare suspects again at the snapshot of a pass: what differs there really differs."""
        held.demand()
        return passes.run(suspects=suspects, verified_at=verified_at).settled

    # -- shift -------------------------------------------------------------------

    def shift(self, percent: float) -> None:
        """Send that share of shiftable reads to the following side.  0 is possible at any time, and is how
        the router is put before the old side when a move begins."""
        router = self._demand_router()
        standing = self.standing()
        if percent:
            leader, _, follower = standing.demand()
            if follower.verified_at is None:
                raise Refused(
                    "the following side was never compared",
                    where=self.spec.move,
                    todo="run `crossfade verify`",
                )
            if follower.lease is None or not is_alive(follower.lease, time.time()):
                raise Refused(
                    "nobody follows, so the reads would grow old",
                    where=self.spec.move,
                    todo=f"run `crossfade follow` beside it; the {leader} side leads",
                )
        self.supervise_router()
        router.shift(percent)
        self.ledger.append("shift.done", percent=percent)

    # -- switch ------------------------------------------------------------------

    def cutover(
        self, *, cut_off: bool = False, accept_loss: bool = False, observe: Observer = nobody
    ) -> Switched:
        """The new side takes the lead.  ``cut_off`` fences although requests are in flight; ``accept_loss`` gives
        up an old database that does not answer."""
        return self._switch("cutover", Side.NEW, accept_loss=accept_loss, cut_off=cut_off, observe=observe)

    def rollback(
        self, *, accept_loss: bool = False, reason: str = "", observe: Observer = nobody
    ) -> Switched:
        """The old side takes the lead back.  Works while the new app hangs or is dead; ``accept_loss`` also
        while the new side's database is, or when it was restored to an earlier day."""
        return self._switch("rollback", Side.OLD, accept_loss=accept_loss, reason=reason, observe=observe)

    def _switch(
        self,
        verb: str,
        to: Side,
        *,
        accept_loss: bool = False,
        cut_off: bool = False,
        reason: str = "",
        observe: Observer = nobody,
    ) -> Switched:
        standing = self.standing()
        if accept_loss and not standing.completed:
            standing = recovery.concede(self.stores, standing, self.ledger, to)
        lost = accept_loss and to.other in standing.unreachable
        self._demand_switchable(standing, to, lost)
        if lost:
            self.reporter.say(f"the {to.other} database is given up: {standing.unreachable[to.other]}")
        mapping = None if lost else self.mapping(again=True).demand()
        with self._lease(verb, standing, required=to) as held:
            standing = concession.given_up(self.standing()) if lost else self.standing()
            self._demand_switchable(standing, to, lost)
            if not lost:
                self.supervise_router(but=held.token)
            elif to.other not in standing.unreachable:
                raise Refused(
                    f"the {to.other} database answers again",
                    where=self.spec.move,
                    todo="see `crossfade status`",
                )
            token = Token(self.spec.move, standing.epoch, held.token)
            passes = None
            if mapping is not None:
                baseline.demand_same_tables(mapping, standing, self.spec)
                if to is Side.NEW:
                    baseline.demand_same_databases(self.stores, standing)
                self.demand_follower_untouched(mapping, to)
                passes = self._passes(mapping, to.other, token)
            unwritten = recovery.record(
                self.ledger,
                "switch.begun",
                to=to.value,
                epoch=standing.epoch,
                verb=verb,
                reason=reason,
                accept_loss=lost,
            )
            if unwritten:
                self._demand_evidence(to, unwritten)
            if self.router is not None:
                self.router.shift(0)
            done = Switch(
                self.spec,
                self.stores,
                self.router,
                mapping.pairs if mapping is not None else (),
                passes,
                standing,
                held,
                self.ledger,
                self.reporter,
                Watchdog(self._spec_path),
                accept_loss=accept_loss,
                cut_off=cut_off,
                observe=observe,
            ).run()
            done.unrecorded = "; ".join(filter(None, (unwritten, done.unrecorded)))
            return done

    def _demand_evidence(self, to: Side, unwritten: str) -> None:
        """A cutover can wait for a disk with room; a rollback cannot."""
        if to is Side.NEW:
            raise LedgerError(
                f"{unwritten}; without evidence no cutover begins",
                where=self.spec.move,
                todo="check the state directory's disk space and permissions",
            )
        self.reporter.say(unwritten)

    def _demand_switchable(self, standing: Standing, to: Side, lost: bool) -> None:
        """Asked before the lease is taken, to be told early, and again under it."""
        if standing.completed:
            raise Refused("the move is complete", where=self.spec.move, todo="there is no way back any more")
        if not lost:
            standing.demand()
        if standing.leader is to:
            raise Refused(f"the {to} side leads already", where=self.spec.move, todo="nothing is to be done")

    # -- complete ----------------------------------------------------------------

    def complete(self) -> None:
        """End the move: the new side keeps the lead for good.  The old side stays as it is and fenced.  One that
        was interrupted is finished by calling it again."""
        if not self.standing().completed:
            self._complete()
        standing = self.standing()
        new, old = standing.states[Side.NEW], standing.states[Side.OLD]
        if new is not None and old is not None:
            if new.role is not Role.LEADER or new.epoch != old.epoch:
                raise Refused(
                    "the lead changed hands meanwhile", where=self.spec.move, todo="run `crossfade doctor`"
                )
            self.stores[Side.NEW].uninstall(self.spec.move)

    def _complete(self) -> None:
        with self.following("complete") as (held, passes, standing):
            if standing.leader is not Side.NEW:
                raise Refused(
                    "the old side leads", where=self.spec.move, todo="run `crossfade cutover` first"
                )
            last = passes.catch_up(until=_CLOSE, deadline=time.monotonic() + self.spec.lag_limit)
            state = standing.follower_state
            if state is None or state.verified_at is None or last.seconds > self.spec.lag_limit:
                raise Refused(
                    "the old side has not caught up and been verified",
                    where=self.spec.move,
                    todo="run `crossfade follow` and `crossfade verify` first",
                )
            if self.router is not None:
                self.router.shift(0)
            held.demand()
            # a rollback that was only paused cannot commit any more
            self.stores[Side.OLD].begin_attempt(self.spec.move, standing.epoch, state.attempt + 1)
            self.stores[Side.OLD].note(self.spec.move, {"completed": time.time()}, token=passes.token)
            self.ledger.append("complete.done", epoch=standing.epoch)

    # -- status, doctor ----------------------------------------------------------

    def status(self) -> Status:
        """Where the move stands; asks the databases and the router, changes nothing."""
        return status_of(self.standing(), self.router, self.ledger)

    def repair(
        self, *, of: str | None = None, stuck: Callable[[Lease], bool] = lambda _lease: False
    ) -> list[str]:
        """Bring a half-done switch to a legal state; see ``recovery.repair``."""
        return recovery.repair(self.stores, self.router, self.spec.move, self.ledger, of=of, stuck=stuck)

    def supervise_router(self, *, but: str | None = None) -> None:
        """Start the router when it does not run; it then sends everything to the leader.  ``LeaseHeld`` while a
        switch other than the one with the token ``but`` is at work: it sees to the router itself."""
        if self.router is None or (state := self.router.state()).alive:
            return
        standing = self.standing()
        if standing.states[Side.OLD] is None and standing.leader is None and state.leader is not Side.NEW:
            recovery.release(self.router, Side.OLD)  # the move has not begun
        else:
            recovery.route(self.router, self.stores, self.spec.move, self.ledger, but=but)
        leads = self.router.state().leader
        unwritten = recovery.record(self.ledger, "router.started", leader=leads.value if leads else "")
        if unwritten:
            self.reporter.say(unwritten)

    # -- small things ------------------------------------------------------------

    def _begin(self, stage: str, pairs: list[Pair], side: Side) -> None:
        counts = {p.name: self.stores[side].count(p.view(side).table.name) for p in pairs}
        self.reporter.begin(stage, counts)

    def _lease(self, verb: str, standing: Standing | None = None, required: Side | None = None) -> Held:
        standing = standing or self.standing()
        return Held(
            self.stores,
            standing.states,
            self.spec.move,
            verb,
            required=required or standing.follower or Side.NEW,
        )

    def _passes(
        self,
        mapping: TableMapping,
        leader: Side,
        token: Token,
        *,
        fingerprints: Mapping[int, str] | None = None,
    ) -> Passes:
        state = self.stores[leader.other].state(self.spec.move)
        prints = (
            fingerprints if fingerprints is not None else baseline.known(self.stores[leader], self.spec.move)
        )
        return Passes(
            self.stores[leader],
            self.stores[leader.other],
            mapping.pairs,
            leader,
            token,
            since=state.position if state is not None else None,
            fingerprints=prints,
            rejects=self._rejects(),
        )

    def _rejects(self, *, write: bool = True) -> Policy:
        """What happens to values that the other side cannot hold; ``write`` False only counts them."""
        tables = {
            view.table.name for pair in self.mapping().pairs if pair.reject for view in (pair.old, pair.new)
        }
        return Policy(tables, self.spec.state / "rejects.jsonl" if write else None)

    def _demand_router(self) -> Router:
        if self.router is None:
            raise Refused(
                "the move has no router", where=self.spec.move, todo="give crossfade.yaml a `router`"
            )
        return self.router
