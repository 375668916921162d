"""The state row: leases, attempts, the fence and the commit point, under races."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from crossfade.errors import AttemptOver, BudgetOver, LeaseHeld, LeaseLost, StoreError
from crossfade.stores.base import Role, Side
from tests.stores.sqlite.sqlite_scene import LEASE, MOVE, Scene


@pytest.fixture(params=["delete", "wal"])
def made(request, scene) -> Scene:
    return scene("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)", wal=request.param == "wal")


def race(*actions: Callable[[], None]) -> list[BaseException | None]:
    """Run all at once; what each raised."""
    barrier, raised = threading.Barrier(len(actions)), [None] * len(actions)

    def run(place: int) -> None:
        barrier.wait()
        try:
            actions[place]()
        except BaseException as error:
            raised[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return raised


def test_no_state_before_and_a_kept_state_after_installing_twice(made) -> None:
    assert made.store.state(MOVE) is None
    with pytest.raises(StoreError, match="not installed"):
        made.store.begin_attempt(MOVE, 0, 1)
    view = made.view("t")
    made.store.install(MOVE, Side.NEW, Role.FOLLOWER, [view], peer="other")
    made.store.note(MOVE, {"a": 1, "b": [2]})
    made.store.note(MOVE, {"a": None, "c": {"d": None}})
    made.store.install(MOVE, Side.NEW, Role.FOLLOWER, [view], peer="other")
    state = made.store.state(MOVE)
    assert (state.side, state.role, state.epoch, state.attempt, state.fenced) == (
        Side.NEW,
        Role.FOLLOWER,
        0,
        0,
        True,
    )
    assert (state.peer, dict(state.notes), state.lease, state.position) == (
        "other",
        {"b": [2], "c": {"d": None}},
        None,
        None,
    )


def test_lease(made) -> None:
    made.lead(made.view("t"))
    other = replace(LEASE, token="other", verb="copy")
    made.store.take_lease(MOVE, LEASE, over=None)
    assert made.store.state(MOVE).lease == LEASE
    with pytest.raises(LeaseHeld, match=r"`crossfade follow`.*host h, process 7, since 1970-01-01"):
        made.store.take_lease(MOVE, other, over=None)
    made.store.renew_lease(MOVE, "secret", 99.5)
    assert made.store.state(MOVE).lease.until == 99.5
    made.store.drop_lease(MOVE, "wrong")
    made.store.take_lease(MOVE, other, over="secret")
    with pytest.raises(LeaseLost):
        made.store.renew_lease(MOVE, "secret", 1.0)
    made.store.drop_lease(MOVE, "other")
    assert made.store.state(MOVE).lease is None


def test_one_of_two_takes_the_lease(made) -> None:
    made.lead(made.view("t"))
    for number in range(10):
        over = f"{number - 1}" if number else None
        leases = [replace(LEASE, token=f"{number}"), replace(LEASE, token="loser")]
        raised = race(*(partial(made.store.take_lease, MOVE, one, over=over) for one in leases))
        assert sorted(type(error) for error in raised if error) == [LeaseHeld]
        holder = made.store.state(MOVE).lease
        made.store.take_lease(MOVE, leases[0], over=holder.token)


def test_attempts_only_grow(made) -> None:
    made.lead(made.view("t"))
    made.store.begin_attempt(MOVE, 0, 3)
    for epoch, attempt in ((0, 3), (0, 2), (1, 4)):
        with pytest.raises(AttemptOver):
            made.store.begin_attempt(MOVE, epoch, attempt)
    assert made.store.state(MOVE).attempt == 3


def test_a_switch_and_its_way_back(scene) -> None:
    script = "CREATE TABLE t (id INTEGER PRIMARY KEY)"
    old, new = scene(script, name="old.db"), scene(script, name="new.db")
    old.store.install(MOVE, Side.OLD, Role.LEADER, [old.view("t")], peer=None)
    new.store.install(MOVE, Side.NEW, Role.FOLLOWER, [new.view("t")], peer=None)
    for store in (old.store, new.store):
        store.begin_attempt(MOVE, 0, 1)
    old.store.fence(MOVE, 0, 1, 1.0)
    with pytest.raises(sqlite3.IntegrityError):
        old.app.execute("INSERT INTO t VALUES (1)")
    new.app.execute("INSERT INTO crossfade_log (tbl, k1) VALUES (1, 5)")
    new.store.lead(MOVE, 0, 1)
    state = new.store.state(MOVE)
    assert (state.role, state.epoch, state.fenced) == (Role.LEADER, 1, False)
    assert new.all("SELECT count(*) FROM crossfade_log") == [(0,)]
    new.app.execute("INSERT INTO t VALUES (1)")
    assert new.changed(new.view("t")) == {(1,)}
    old.store.follow(MOVE, 1, LEASE, 7.0)
    old.store.follow(MOVE, 1, LEASE, 7.0)
    state = old.store.state(MOVE)
    assert (state.role, state.epoch, state.fenced, state.position) == (Role.FOLLOWER, 1, True, None)
    assert (state.lease, state.verified_at) == (LEASE, 7.0)
    with pytest.raises(AttemptOver):
        new.store.follow(MOVE, 1, None, None)
    with pytest.raises(AttemptOver):
        old.store.unfence(MOVE, 1, 1)


def test_lead_needs_role_epoch_and_attempt(made) -> None:
    made.store.install(MOVE, Side.NEW, Role.FOLLOWER, [made.view("t")], peer=None)
    made.store.begin_attempt(MOVE, 0, 1)
    for epoch, attempt in ((0, 0), (0, 2), (1, 1)):
        with pytest.raises(AttemptOver):
            made.store.lead(MOVE, epoch, attempt)
    made.store.lead(MOVE, 0, 1)
    with pytest.raises(AttemptOver):
        made.store.lead(MOVE, 1, 1)


def test_either_the_commit_or_the_abort(made) -> None:
    made.store.install(MOVE, Side.NEW, Role.FOLLOWER, [made.view("t")], peer=None)
    for _ in range(12):
        state = made.store.state(MOVE)
        made.store.begin_attempt(MOVE, state.epoch, state.attempt + 1)
        epoch, attempt = state.epoch, state.attempt + 1
        led, aborted = race(
            partial(made.store.lead, MOVE, epoch, attempt),
            partial(made.store.abort_attempt, MOVE, epoch, attempt),
        )
        after = made.store.state(MOVE)
        assert [type(led), type(aborted)].count(AttemptOver) == 1
        assert [led, aborted].count(None) == 1
        assert (after.role is Role.LEADER) == (led is None)
        assert after.epoch == epoch + (led is None)
        if led is None:
            made.store.follow(MOVE, epoch + 2, None, None)


def test_an_aborted_attempt_can_neither_fence_nor_commit(made) -> None:
    made.lead(made.view("t"))
    made.store.begin_attempt(MOVE, 0, 1)
    made.store.abort_attempt(MOVE, 0, 1)
    with pytest.raises(AttemptOver):
        made.store.fence(MOVE, 0, 1, 1.0)
    with pytest.raises(AttemptOver):
        made.store.abort_attempt(MOVE, 0, 1)
    assert made.store.state(MOVE).attempt == 2
    assert not made.store.state(MOVE).fenced


def test_only_the_own_attempt_lifts_the_fence(made) -> None:
    made.lead(made.view("t"))
    made.store.begin_attempt(MOVE, 0, 1)
    made.store.fence(MOVE, 0, 1, 1.0)
    with pytest.raises(AttemptOver):
        made.store.unfence(MOVE, 0, 2)
    assert made.store.state(MOVE).fenced
    made.store.unfence(MOVE, 0, 1)
    assert not made.store.state(MOVE).fenced


def test_the_fence_waits_for_an_open_write_transaction(made) -> None:
    made.lead(made.view("t"))
    made.store.begin_attempt(MOVE, 0, 1)
    made.app.execute("BEGIN IMMEDIATE")
    made.app.execute("INSERT INTO t VALUES (1, 'in flight')")
    fencing = threading.Thread(target=made.store.fence, args=(MOVE, 0, 1, 20.0))
    fencing.start()
    fencing.join(0.3)
    assert fencing.is_alive()
    made.app.execute("INSERT INTO t VALUES (2, 'in flight')")
    made.app.execute("COMMIT")
    fencing.join(20)
    assert not fencing.is_alive()
    assert made.store.state(MOVE).fenced
    assert made.all("SELECT count(*) FROM t") == [(2,)]
    assert made.changed(made.view("t")) == {(1,), (2,)}


def test_the_fence_gives_up_after_its_budget(made) -> None:
    made.lead(made.view("t"))
    made.store.begin_attempt(MOVE, 0, 1)
    made.app.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with pytest.raises(BudgetOver, match="write transaction stayed open"):
        made.store.fence(MOVE, 0, 1, 0.2)
    assert 0.15 < time.monotonic() - began < 2
    made.app.execute("COMMIT")
    assert not made.store.state(MOVE).fenced
    made.app.execute("INSERT INTO t VALUES (1, 'x')")


def test_the_fence_gives_up_when_readers_keep_it_from_committing(scene) -> None:
    """Rollback-journal mode: a reader's lock makes COMMIT itself fail."""
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)")
    made.lead(made.view("t"))
    made.store.begin_attempt(MOVE, 0, 1)
    made.app.execute("BEGIN")
    made.app.execute("SELECT * FROM t").fetchall()
    with pytest.raises(BudgetOver, match="reader kept"):
        made.store.fence(MOVE, 0, 1, 0.3)
    made.app.execute("COMMIT")
    assert not made.store.state(MOVE).fenced
    made.app.execute("INSERT INTO t VALUES (2)")
    made.store.fence(MOVE, 0, 1, 1.0)
    assert made.store.state(MOVE).fenced


def test_no_write_gets_past_the_fence_under_load(made) -> None:
    """What writers were told was committed, before and after: exactly that is in the table."""
    made.lead(made.view("t"))
    made.store.begin_attempt(MOVE, 0, 1)
    script = """
import sqlite3, sys, time
con = sqlite3.connect(sys.argv[1], timeout=5, isolation_level=None)
for n in range(100000):
    try:
        con.execute("INSERT INTO t VALUES (?, 'x')", (int(sys.argv[2]) * 1000000 + n,))
    except sqlite3.IntegrityError:
        print(n, flush=True)
        break
    time.sleep(0.0005)
"""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(made.path), str(w)], stdout=subprocess.PIPE, text=True
        )
        for w in (1, 2)
    ]
    try:
        deadline = time.monotonic() + 20
        while (
            made.all("SELECT count(DISTINCT id / 1000000) FROM t") != [(2,)] and time.monotonic() < deadline
        ):
            pass
        made.store.fence(MOVE, 0, 1, 10.0)
        count = made.store.count("t")
        told = [int(writer.communicate(timeout=30)[0]) for writer in writers]
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert sum(told) == count == made.store.count("t")
    assert min(told) > 0


def test_a_commit_of_ours_does_not_wait_long_for_a_reader(scene) -> None:
    """While it waited it would keep the application's new readers out."""
    made = scene("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)")
    made.lead(made.view("t"))
    made.app.execute("BEGIN")
    made.app.execute("SELECT * FROM t").fetchall()
    began = time.monotonic()
    with pytest.raises(StoreError, match="locked"), made.store._db.writing(timeout=30) as con:
        con.execute("UPDATE crossfade_state SET notes = '{}'")
    assert time.monotonic() - began < 5
    made.app.execute("COMMIT")
    assert made.store.busy([]) == []


def test_busy_tells_of_an_open_write_transaction(made) -> None:
    assert made.store.busy([]) == []
    made.app.execute("BEGIN IMMEDIATE")
    assert "over a second" in made.store.busy([])[0].what
    made.app.execute("ROLLBACK")
