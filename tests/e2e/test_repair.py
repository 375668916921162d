"""Repairs: who was paused and wakes up late changes nothing, and nothing stays half done."""

from __future__ import annotations

import contextlib
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from crossfade import following, recovery, standing
from crossfade.errors import BudgetOver, LeaseHeld
from crossfade.following import Follower
from crossfade.lease import Held
from crossfade.move import Move
from crossfade.stores.base import Lease, Role, Side
from tests.e2e import scene as scenes
from tests.e2e.scene import ROOT, Scene, request, until

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def scene(tmp_path: Path, postgres_url: str) -> Iterator[Scene]:
    with scenes.verified(tmp_path, postgres_url) as scene:
        yield scene


@pytest.fixture
def bare(tmp_path: Path, postgres_url: str) -> Scene:
    return scenes.bare(tmp_path, postgres_url)


class Waiting:
    """A store that waits before one of its verbs, once."""

    def __init__(self, store: Any, verb: str) -> None:
        self._store, self._verb = store, verb
        self.reached, self.go = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        if name == self._verb and not self.reached.is_set():
            self.reached.set()
            self.go.wait(60)
        return getattr(self._store, name)


@contextlib.contextmanager
def away(url: str, server: Any) -> Iterator[None]:
    """The database takes no connection."""
    name = url.split("/")[3].split("?")[0]
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            yield
        finally:
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def begin_switch(move: Move) -> tuple[int, int]:
    """As a coordinator has it after step 3, when it dies; returns epoch and attempt."""
    found = move.standing()
    assert found.leader is not None
    attempt = 1 + max(state.attempt for state in found.states.values() if state is not None)
    for side in Side:
        move.stores[side].begin_attempt("notes", found.epoch, attempt)
    move.stores[found.leader].fence("notes", found.epoch, attempt, 5.0)
    return found.epoch, attempt


def begin_commit(move: Move) -> tuple[int, int]:
    """As a coordinator has it in step 7, when it dies with COMMIT announced; returns epoch and attempt."""
    leader = move.standing().leader
    assert leader is not None
    epoch, attempt = begin_switch(move)
    move.stores[leader].announce_commit("notes", epoch, attempt)
    return epoch, attempt


def lease(verb: str) -> Lease:
    now = time.time()
    me = psutil.Process()
    return Lease(verb, verb, socket.gethostname(), me.pid, "0", now, now + 60)


def is_legal(scene: Scene) -> bool:
    with scene.move() as move:
        return not recovery.is_wrong(move.standing(), move.router)


def coordinator(scene: Scene, code: str) -> subprocess.Popen[str]:
    """A process that begins a cutover, changed by ``code``."""
    text = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom crossfade.errors import *\n"
        "from crossfade.move import Move\nmove = Move.open(Path(sys.argv[1]))\n"
        "def stop():\n    os.kill(os.getpid(), signal.SIGSTOP)\nlook = lambda step, when: None\n"
        f"{code}\ntry:\n    move.cutover(observe=look)\nexcept CrossfadeError as error:\n"
        "    print(type(error).__name__, error)\n    sys.exit(1)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", text, str(scene.spec)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_until_stopped(process: subprocess.Popen[str]) -> None:
    until("it is stopped", lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)


def finish(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
    process.communicate()


# -- a repair and other work ----------------------------------------------------


def test_a_repair_excludes_a_switch_and_a_second_repair_waits_for_it(bare: Scene) -> None:
    with bare.move() as move, bare.move() as other:
        begin_switch(move)
        slow = Waiting(move.stores[Side.NEW], "abort_attempt")
        done: list[list[str]] = []

        def repair() -> None:
            stores: Any = {Side.OLD: move.stores[Side.OLD], Side.NEW: slow}
            done.append(recovery.repair(stores, None, "notes", move.ledger))

        first = threading.Thread(target=repair)
        first.start()
        assert slow.reached.wait(20)
        with pytest.raises(LeaseHeld, match="doctor"):
            other.cutover()
        second = threading.Thread(target=lambda: done.append(other.repair()))
        second.start()
        slow.go.set()
        first.join(20)
        second.join(20)
    assert done == [["the old side may write again"], []]
    assert bare.can_write("old")


@pytest.mark.parametrize(("side", "verb"), [(Side.NEW, "abort_attempt"), (Side.OLD, "unfence")])
def test_a_repair_that_was_paused_leaves_the_fence_of_a_later_switch(
    bare: Scene, side: Side, verb: str
) -> None:
    """It slept past its lease; meanwhile another switch has begun, fenced, and made its last pass."""
    with bare.move() as move, bare.move() as later:
        begin_switch(move)
        slow = Waiting(move.stores[side], verb)
        failed: list[BaseException] = []

        def repair() -> None:
            stores: Any = {**move.stores, side: slow}
            try:
                recovery.repair(stores, None, "notes", move.ledger)
            except LeaseHeld as error:
                failed.append(error)

        paused = threading.Thread(target=repair)
        paused.start()
        assert slow.reached.wait(20)
        for at in Side:
            state = later.stores[at].state("notes")
            assert state is not None
            assert state.lease is not None
            later.stores[at].take_lease("notes", lease("cutover"), over=state.lease.token)
        epoch, attempt = begin_switch(later)
        slow.go.set()
        paused.join(30)
        assert not bare.can_write("old"), "the later switch has fenced it"
        assert failed, "it says that a switch is at work"
        later.stores[Side.NEW].lead("notes", epoch, attempt)  # which still can commit


def test_a_paused_switch_does_not_commit_after_a_repair(bare: Scene) -> None:
    with bare.move() as move:
        epoch, attempt = begin_switch(move)
        assert move.repair() == ["the old side may write again"]
        with pytest.raises(recovery.AttemptOver):
            move.stores[Side.NEW].lead("notes", epoch, attempt)
        with pytest.raises(recovery.AttemptOver):
            move.stores[Side.OLD].fence("notes", epoch, attempt, 1.0)


# -- the coordinator wakes up, or is interrupted -------------------------------------


def test_ctrl_c_right_after_commit_ends_with_the_new_side_leading(scene: Scene) -> None:
    def interrupt(step: int, when: str) -> None:
        if (step, when) == (7, "after"):
            raise KeyboardInterrupt

    with scene.move() as move:
        with pytest.raises(KeyboardInterrupt):
            move.cutover(observe=interrupt)
        found = move.standing()
        assert (found.leader, found.committed) == (Side.NEW, False)
        assert move.router is not None
        assert (move.router.state().held, move.router.state().leader) == (False, Side.NEW)
    assert request(scene.port, "POST", "/notes", {"id": "x", "text": "x"})[0] == 201
    assert not scene.can_write("old")
    assert scene.can_write("new")


def test_a_coordinator_that_holds_after_the_repair_leaves_no_hold_behind(scene: Scene) -> None:
    """It was stopped when the watchdog's clock ran already, and the hold was not written yet."""
    process = coordinator(
        scene,
        "real = move.router.hold\ndef hold():\n    stop(); real()\nmove.router.hold = hold",
    )
    try:
        wait_until_stopped(process)
        with scene.move() as move:
            until(
                "the watchdog has ended the attempt",
                lambda: (state := move.standing().states[Side.NEW]) is not None and state.attempt > 1,
            )
        process.send_signal(signal.SIGCONT)
        output, _ = process.communicate(timeout=40)
        assert process.returncode == 1, output
        assert is_legal(scene)
        assert request(scene.port, "POST", "/notes", {"id": "x", "text": "x"})[0] == 201
    finally:
        finish(process)


def test_a_coordinator_that_wakes_up_in_a_release_does_not_route_to_who_no_longer_leads(scene: Scene) -> None:
    process = coordinator(
        scene,
        "real = move.router.release\ndef release(side):\n    stop(); real(side)\nmove.router.release = release\n"
        "def look(step, when):\n    if (step, when) == (2, 'after'):\n        raise BudgetOver('late')",
    )
    try:
        wait_until_stopped(process)
        until("the watchdog has repaired", lambda: is_legal(scene))
        with scene.move() as move:

            def cut_over() -> bool:
                with contextlib.suppress(LeaseHeld):
                    move.cutover()
                return move.standing().leader is Side.NEW

            until("the next switch goes through", cut_over)
        process.send_signal(signal.SIGCONT)
        output, _ = process.communicate(timeout=40)
        assert process.returncode == 1, output
        until("the router is right", lambda: is_legal(scene))
        assert request(scene.port, "POST", "/notes", {"id": "x", "text": "x"})[0] == 201
    finally:
        finish(process)


def test_a_coordinator_stopped_with_a_lock_in_its_hands_is_ended(scene: Scene) -> None:
    process = coordinator(
        scene,
        "import psycopg\nurl = move.spec.new.store.get_secret_value()\n"
        "def look(step, when):\n    if (step, when) == (3, 'after'):\n"
        "        global open\n        open = psycopg.connect(url)\n"
        "        open.execute('SELECT 1 FROM crossfade.state FOR UPDATE')\n        stop()",
    )
    try:
        wait_until_stopped(process)
        assert not scene.can_write("old")
        assert process.wait(30) == -signal.SIGKILL
        until("it is repaired", lambda: is_legal(scene))
        assert scene.can_write("old")
    finally:
        finish(process)


def test_an_error_before_the_hold_leaves_no_watchdog_behind(bare: Scene) -> None:
    def fail(step: int, when: str) -> None:
        if (step, when) == (0, "after"):
            raise BudgetOver("late")

    before = set(psutil.Process().children())
    with bare.move() as move, pytest.raises(BudgetOver):
        move.cutover(observe=fail)
    assert set(psutil.Process().children()) <= before


def test_a_full_disk_does_not_leave_the_old_side_fenced(bare: Scene) -> None:
    ledger = bare.folder / ".crossfade" / "ledger.jsonl"

    def fail(step: int, when: str) -> None:
        if (step, when) == (4, "after"):
            ledger.rename(ledger.with_name("before"))
            ledger.mkdir()  # nothing can be appended
            raise BudgetOver("late")

    with bare.move() as move, pytest.raises(BudgetOver):
        move.cutover(observe=fail)
    assert bare.can_write("old")


# -- follow repairs -----------------------------------------------------------------


def half_begun(move: Move) -> None:
    begin_switch(move)


def half_committed(move: Move) -> None:
    epoch, attempt = begin_commit(move)
    move.stores[Side.NEW].lead("notes", epoch, attempt)


def held_for_good(move: Move) -> None:
    assert move.router is not None
    move.router.hold()


@pytest.mark.parametrize(
    ("spoil", "leads"), [(half_begun, Side.OLD), (half_committed, Side.NEW), (held_for_good, Side.OLD)]
)
def test_follow_repairs_what_nobody_is_at_work_on(
    scene: Scene, spoil: Callable[[Move], None], leads: Side
) -> None:
    scene.follow()
    with scene.move() as move:
        spoil(move)
        until("follow has repaired it", lambda: is_legal(scene))
        assert move.standing().leader is leads
    assert scene.can_write(leads.value)
    assert not scene.can_write(leads.other.value)
    assert scene.processes["follow"].poll() is None


def test_follow_leaves_a_switch_alone_that_is_at_work(scene: Scene) -> None:
    with scene.move() as move:
        states = move.standing().states
        with Held(move.stores, states, "notes", "cutover", required=Side.NEW):
            begin_switch(move)
            held_for_good(move)
            follower = Follower(move)
            follower._look_after()
            assert not is_legal(scene)
        follower._looked_at = 0.0
        follower._look_after()
    assert is_legal(scene)


def test_after_accepted_loss_the_returned_side_is_fenced_and_never_called_verified(
    scene: Scene, postgres_server: object
) -> None:
    with scene.move() as move:
        move.cutover()
    request(scene.port, "POST", "/notes", {"id": "unhanded", "text": "x"})
    scenes.end(scene.processes["new"])
    with away(scene.new_url, postgres_server), scene.move() as move:
        done = move.rollback(accept_loss=True)
        assert "when the two were last known to be equal" in done.maybe_lost or "position" in done.maybe_lost
    with scene.move() as move:
        follower = Follower(move)
        thread = threading.Thread(target=follower.run)
        thread.start()
        try:
            until("follow has told it", lambda: not move.standing().committed)
        finally:
            follower.stop()
            thread.join(20)
        found = move.standing()
        assert found.leader is Side.OLD
        assert found.follower_state is not None
        assert found.follower_state.verified_at is None
        assert found.phase == "following"
    assert not scene.can_write("new")


def test_accepted_loss_is_the_way_out_when_the_committed_database_never_answers(
    bare: Scene, postgres_server: object
) -> None:
    with bare.move() as move:
        half_committed(move)
    with away(bare.new_url, postgres_server), bare.move() as move:
        with pytest.raises(recovery.Refused, match="does not answer"):
            move.repair()
        assert not bare.can_write("old")
        after = recovery.concede(move.stores, move.standing(), move.ledger)
        assert after.leader is Side.NEW
        assert move.rollback(accept_loss=True).epoch == 2
        assert bare.can_write("old")
    with bare.move() as move:
        assert move.repair() == ["the new side follows at epoch 2"]
        found = move.standing()
        assert found.leader is Side.OLD
        assert found.follower_state is not None
        assert found.follower_state.verified_at is None
    assert not bare.can_write("new")


@pytest.mark.parametrize("rolled_back", [False, True])
def test_the_way_out_is_finished_when_the_database_comes_back_and_had_not_committed(
    bare: Scene, postgres_server: object, rolled_back: bool
) -> None:
    with bare.move() as move:
        half_begun(move)
    with away(bare.new_url, postgres_server), bare.move() as move:
        recovery.concede(move.stores, move.standing(), move.ledger)
        if rolled_back:
            move.rollback(accept_loss=True)
    with bare.move() as move:
        assert move.repair()
        found = move.standing()
        assert found.leader is Side.OLD
        assert {state.epoch for state in found.states.values() if state is not None} == {2}
        assert not recovery.is_wrong(found, None)
        assert found.follower_state is not None
        assert found.follower_state.verified_at is None
    assert bare.can_write("old")
    assert not bare.can_write("new")


# -- follow goes on -----------------------------------------------------------------


def test_follow_survives_a_database_that_is_locked(bare: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_TRIM", 0.0)
    with bare.move() as move:
        follower = Follower(move, interval=0.02)
        thread = threading.Thread(target=follower.run)
        thread.start()
        db = sqlite3.connect(bare.old_url.removeprefix("sqlite:///"), isolation_level=None)
        try:
            until("it follows", lambda: follower.result.passes > 0)
            db.execute("INSERT INTO notes VALUES ('b', 'two')")
            db.execute("BEGIN")
            db.execute("SELECT count(*) FROM notes").fetchone()
            until("an alarm", lambda: any(e.event == "follow.alarm" for e in move.ledger.read()))
            db.execute("COMMIT")
            passes = follower.result.passes
            until("it goes on", lambda: follower.result.passes > passes + 3)
        finally:
            db.close()
            follower.stop()
            thread.join(20)
    assert not thread.is_alive()


def test_follow_raises_an_alarm_when_it_cannot_go_on(bare: Scene) -> None:
    """A column that the other side lacks: it says so, once, and goes on when it is mended."""
    with bare.move() as move:
        follower = Follower(move, interval=0.02)
        thread = threading.Thread(target=follower.run)
        thread.start()
        db = sqlite3.connect(bare.old_url.removeprefix("sqlite:///"), isolation_level=None)
        try:
            until("it follows", lambda: follower.result.passes > 0)
            db.execute("ALTER TABLE notes ADD COLUMN extra TEXT")
            until("an alarm", lambda: any(e.event == "follow.alarm" for e in move.ledger.read()))
            assert thread.is_alive()
        finally:
            db.close()
            follower.stop()
            thread.join(20)


def test_shifted_reads_go_back_when_the_follower_does_not_answer(
    scene: Scene, postgres_server: object
) -> None:
    scene.follow()
    with scene.move() as move:
        until(
            "a pass was made",
            lambda: "followed_at" in (((state := move.standing().states[Side.NEW]) and state.notes) or {}),
        )
        move.shift(50)
        router = move.router
        assert router is not None
        assert router.state().reads_percent > 0
        with away(scene.new_url, postgres_server):

            def withdrawn() -> bool:
                request(scene.port, "POST", "/notes", {"id": uuid.uuid4().hex, "text": "to be handed over"})
                return router.state().reads_percent == 0

            until("the shift is withdrawn", withdrawn)
    assert scene.processes["follow"].poll() is None


def test_a_guards_verdict_on_an_earlier_lead_does_not_roll_back_a_later_one(bare: Scene) -> None:
    with bare.move() as move:
        move.cutover()
        follower = Follower(move)
        follower._guarded_epoch = 1
        move.rollback()
        move.cutover()
        assert follower._roll_back("errors") is None
        assert move.standing().leader is Side.NEW
        follower._guarded_epoch = 3
        done = follower._roll_back("errors")
        assert done is not None
        assert done.to is Side.OLD


# -- looking ------------------------------------------------------------------------


class Between:
    """A store before whose first answer something happens."""

    def __init__(self, store: Any, act: Callable[[], None]) -> None:
        self._store, self._act = store, act

    def state(self, move: str) -> Any:
        act, self._act = self._act, lambda: None
        act()
        return self._store.state(move)


def test_two_rows_read_across_a_switch_are_read_again(bare: Scene) -> None:
    with bare.move() as move:
        old, new = move.stores[Side.OLD], move.stores[Side.NEW]

        def forward() -> None:
            epoch, attempt = begin_switch(move)
            new.lead("notes", epoch, attempt)
            old.follow("notes", epoch + 1, None, None)

        def back() -> None:
            epoch, attempt = begin_switch(move)
            old.lead("notes", epoch, attempt)
            new.follow("notes", epoch + 1, None, None)

        stores: Any = {Side.OLD: old, Side.NEW: Between(new, forward)}
        found = standing.read(stores, "notes")
        assert (found.leader, found.epoch, found.committed) == (Side.NEW, 1, False)
        stores = {Side.OLD: old, Side.NEW: Between(new, back)}
        found = standing.read(stores, "notes")
        assert (found.leader, found.epoch, found.committed) == (Side.OLD, 2, False)
        assert {state.role for state in found.states.values() if state is not None} == set(Role)
