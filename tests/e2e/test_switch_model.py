"""The switch against a model: whatever is done in whatever order, one side is open, and every write is on it.

Real databases on both sides and real coordinators, some of which are killed or stopped at a step.  There is no
router and no watchdog, so what a coordinator leaves half done stays so until a rule repairs it.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from crossfade import recovery
from crossfade import spec as specs
from crossfade.errors import CrossfadeError, Different, LeaseLost, Refused
from crossfade.move import Move
from crossfade.stores.base import Lease, Side
from crossfade.sync.passes import Passes
from tests.e2e.scene import ROOT
from tests.e2e.test_repair import lease

EXAMPLES = 6
RULES = 50

STEPS = st.sampled_from(
    [*((step, when) for step in range(10) for when in ("before", "after")), *[(7, "inside")] * 6]
)
"""Where a coordinator dies or is stopped; most often where its COMMIT is announced and not sent."""

SIDES = st.sampled_from(list(Side))
SCRIPT = """
CREATE TABLE notes (id integer PRIMARY KEY, text text NOT NULL);
CREATE TABLE posts (n {number}, token text NOT NULL);
INSERT INTO notes VALUES (1, 'one'), (2, 'two');
"""

pytestmark = pytest.mark.timeout(300)


class Coordinators:
    """Forks coordinators that die or stop; see ``switch_zygote``."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.switch_zygote"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def order(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        done: dict[str, Any] = json.loads(self._process.stdout.readline())
        return done

    def close(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def coordinators() -> Iterator[Coordinators]:
    made = Coordinators()
    try:
        yield made
    finally:
        made.close()


def is_stopped(held: Lease) -> bool:
    """As `crossfade doctor --repair` asks."""
    try:
        return psutil.Process(held.pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


class SwitchModel(RuleBasedStateMachine):
    """The model: the rows that were acknowledged.  ``server`` and ``coordinators`` are set by the test."""

    server: Any
    coordinators: Coordinators

    def __init__(self) -> None:
        super().__init__()
        self.notes: dict[int, str] = {1: "one", 2: "two"}
        self.posts: list[str] = []
        self.count = 0
        self.stale: list[Passes] = []
        self.stopped: int | None = None
        self._end = contextlib.ExitStack()

    # -- the ground ----------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        folder = Path(self._end.enter_context(tempfile.TemporaryDirectory(prefix="model")))
        self.file = folder / "old.db"
        self._admin = psycopg.connect(self.server.url(), autocommit=True)
        self._end.callback(self._admin.close)
        self._admin.execute("DROP DATABASE IF EXISTS model WITH (FORCE)")
        self._admin.execute("CREATE DATABASE model TEMPLATE template0 STRATEGY file_copy")
        self.old: Any = sqlite3.connect(self.file, isolation_level=None, timeout=10)
        self._end.callback(self.old.close)
        self.old.execute("PRAGMA synchronous=OFF")
        self.old.executescript(SCRIPT.format(number="INTEGER PRIMARY KEY AUTOINCREMENT"))
        self.new: Any = psycopg.connect(self.server.url("model"), autocommit=True)
        self._end.callback(self.new.close)
        spec = folder / "crossfade.yaml"
        spec.write_text(
            f"move: model\nold: {{store: 'sqlite:///{self.file}'}}\nnew: {{store: '{self.server.url('model')}'}}\n"
            "guard: null\nhold_budget: 60s\nverify_max_age: 1h\n"
        )
        self.spec = spec
        self.move = self._end.enter_context(Move(specs.load(spec)))
        self.move.copy()
        self.move.verify()

    def teardown(self) -> None:
        try:
            if self.stopped is not None:
                self.wake()
        finally:
            self._end.close()

    # -- the applications ------------------------------------------------------------

    def execute(self, side: Side, *statements: tuple[str, tuple[object, ...]], keep: bool = True) -> bool:
        """One transaction of an ordinary client; False when the fence refused it."""
        at = self.old if side is Side.OLD else self.new
        begin, mark = ("BEGIN IMMEDIATE", "?") if side is Side.OLD else ("BEGIN", "%s")
        at.execute(begin)
        try:
            for sql, values in statements:
                at.execute(sql.replace("?", mark), values)
        except (sqlite3.Error, psycopg.Error) as error:
            assert "crossfade" in str(error), error
            at.execute("ROLLBACK")
            return False
        at.execute("COMMIT" if keep else "ROLLBACK")
        return True

    def is_open(self, side: Side) -> bool:
        return self.execute(side, ("INSERT INTO posts(token) VALUES (?)", ("probe",)), keep=False)

    def rows(self, side: Side) -> tuple[dict[int, str], list[str]]:
        read = self.old.execute if side is Side.OLD else self.new.execute
        notes = dict(read("SELECT id, text FROM notes").fetchall())
        return notes, sorted(token for (token,) in read("SELECT token FROM posts").fetchall())

    @rule(side=SIDES, key=st.integers(1, 4), remove=st.booleans())
    def write(self, side: Side, key: int, remove: bool) -> None:
        """An acknowledged write counts, wherever it was taken; the invariants say that it was the right place."""
        self.count += 1
        text = f"{side} {self.count}"
        statements: list[tuple[str, tuple[object, ...]]] = [("DELETE FROM notes WHERE id = ?", (key,))]
        if not remove:
            statements.append(("INSERT INTO notes VALUES (?, ?)", (key, text)))
        statements.append(("INSERT INTO posts(token) VALUES (?)", (text,)))
        if self.execute(side, *statements):
            self.notes.pop(key, None)
            if not remove:
                self.notes[key] = text
            self.posts.append(text)

    def write_where_it_is_open(self) -> None:
        for side in Side:
            self.write(side, 1 + self.count % 4, remove=False)

    # -- the verbs ---------------------------------------------------------------------

    @rule()
    def follow(self) -> None:
        with contextlib.suppress(Refused), self.move.following() as (_held, passes, standing):
            passes.run()
            assert standing.follower is not None
            assert self.rows(standing.follower) == self.expected, "a pass leaves both sides equal"

    @rule(repaired=st.booleans(), at=STEPS)
    def switch(self, repaired: bool, at: tuple[int, str]) -> None:
        """While an application writes, at that step."""

        def look(step: int, when: str) -> None:
            if (step, when) == at:
                self.write_where_it_is_open()

        if repaired:
            self.repair()
        before = self.move.standing()
        try:
            done = getattr(self.move, self.verb)(observe=look)
        except Refused as error:
            after = self.move.standing()
            assert not repaired or "never compared" in error.what, "all is well, and it is refused"
            assert (after.leader, after.epoch) == (before.leader, before.epoch), "refused, and changed"
            return
        assert self.is_open(done.to)
        assert (self.move.standing().leader, self.move.standing().epoch) == (done.to, before.epoch + 1)

    @rule(at=STEPS, repaired=st.booleans())
    def switch_killed(self, at: tuple[int, str], repaired: bool) -> None:
        if repaired:
            self.repair()
        self.coordinators.order(spec=str(self.spec), verb=self.verb, step=at[0], when=at[1], signal="SIGKILL")

    @precondition(lambda self: self.stopped is None)
    @rule(at=STEPS, repaired=st.booleans())
    def switch_stopped(self, at: tuple[int, str], repaired: bool) -> None:
        if repaired:
            self.repair()
        done = self.coordinators.order(
            spec=str(self.spec), verb=self.verb, step=at[0], when=at[1], signal="SIGSTOP"
        )
        self.stopped = done["pid"] if done["stopped"] else None

    @precondition(lambda self: self.stopped is not None)
    @rule(repaired=st.booleans(), written=st.booleans())
    def wakes(self, repaired: bool, written: bool) -> None:
        """A coordinator that was stopped, perhaps long ago."""
        if repaired:
            self.repair()
        if written:
            self.write_where_it_is_open()
        self.wake()

    @precondition(lambda self: self.stopped is None)
    @rule(at=STEPS)
    def switch_sleeps_through_a_repair(self, at: tuple[int, str]) -> None:
        """What the rules above come to only now and then."""
        self.switch_stopped(at, repaired=True)
        if self.stopped is not None:
            self.wakes(repaired=True, written=True)

    def wake(self) -> None:
        done = self.coordinators.order(resume=self.stopped)
        assert not done["stopped"]
        self.stopped = None

    @rule()
    def repair(self) -> None:
        self.move.repair(stuck=is_stopped)
        standing = self.move.standing()
        assert not recovery.is_wrong(standing, None)
        assert standing.leader is not None
        assert self.is_open(standing.leader), "repaired, and nobody can write"

    @rule()
    def verify(self) -> None:
        try:
            self.move.verify()
        except Different:
            raise
        except Refused:
            return

    @rule()
    def doctor(self) -> None:
        standing = self.move.standing()
        if not recovery.is_wrong(standing, None):
            assert standing.leader is not None
            assert self.is_open(standing.leader), "nothing is wrong, and nobody can write"

    # -- appliers that come late -------------------------------------------------------

    @rule()
    def applier_pauses(self) -> None:
        """With its log and its lease in hand, before it has done anything."""
        with contextlib.suppress(Refused), self.move.following() as (_held, passes, _standing):
            self.stale = [*self.stale[-2:], passes]

    @precondition(lambda self: self.stale)
    @rule(which=st.integers(0, 2), written=st.booleans())
    def applier_wakes(self, which: int, written: bool) -> None:
        """Its lease is gone by now: it writes nothing."""
        if written:
            self.write_where_it_is_open()
        before = [self.rows(side) for side in Side], [self.positions(side) for side in Side]
        with contextlib.suppress(CrossfadeError):
            done = self.stale[which % len(self.stale)].run()
            assert done.keys == 0
        assert ([self.rows(side) for side in Side], [self.positions(side) for side in Side]) == before

    @rule()
    def lease_is_stolen(self) -> None:
        """In the middle of a pass's life: what it had read is not written."""
        with contextlib.suppress(Refused), self.move.following() as (held, passes, standing):
            assert standing.follower is not None
            store = self.move.stores[standing.follower]
            store.take_lease("model", thief := lease("follow"), over=held.token)
            before = self.rows(standing.follower)
            try:
                assert passes.run().keys == 0
            except LeaseLost:
                pass
            finally:
                store.drop_lease("model", thief.token)
            assert self.rows(standing.follower) == before

    # -- what always holds ---------------------------------------------------------------

    @property
    def expected(self) -> tuple[dict[int, str], list[str]]:
        return self.notes, sorted(self.posts)

    @property
    def verb(self) -> str:
        """The one that would change something."""
        return "rollback" if self.move.standing().leader is Side.NEW else "cutover"

    def positions(self, side: Side) -> str | None:
        state = self.move.stores[side].state("model")
        return None if state is None else state.position

    @invariant()
    def at_most_one_side_is_open(self) -> None:
        assert not (self.is_open(Side.OLD) and self.is_open(Side.NEW)), "both sides take writes"

    @invariant()
    def every_acknowledged_write_is_on_the_leading_side_once(self) -> None:
        leader = self.move.standing().leader
        assert leader is not None
        assert self.rows(leader) == self.expected


def test_whatever_happens_one_side_leads_and_has_every_write(
    postgres_server: Any, coordinators: Coordinators
) -> None:
    class Model(SwitchModel):
        server = postgres_server

    Model.coordinators = coordinators
    run_state_machine_as_test(
        Model,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=RULES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        ),
    )
