"""Behind the hold nothing waits longer than the hold, and before COMMIT the old leader leads again, whoever froze."""

from __future__ import annotations

import signal
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from crossfade.errors import AttemptOver, BudgetOver, Refused
from crossfade.stores.base import Role, Side
from tests.e2e import scene as scenes
from tests.e2e.scene import Clients, Scene, until
from tests.e2e.test_one_answer import lead_taken_back_without_asking, old_away
from tests.e2e.test_repair import away, begin_commit, begin_switch, coordinator, finish, wait_until_stopped
from tests.proxy import Proxy, proxied

pytestmark = pytest.mark.timeout(120)

SOON = 15.0
"""Seconds: what must not wait for ever has ended long before."""


@pytest.fixture
def far(tmp_path: Path, postgres_url: str) -> Iterator[tuple[Scene, Proxy]]:
    """A verified move whose new database can freeze."""
    with proxied(postgres_url) as (proxy, url), scenes.verified(tmp_path, url) as scene:
        try:
            yield scene, proxy
        finally:
            proxy.thaw()


def pause_at(step: int, when: str, flag: Path, go: Path) -> str:
    """Code for a coordinator that waits there until ``go`` exists."""
    return (
        f"import time\ndef look(step, when):\n    if (step, when) == ({step}, {when!r}):\n"
        f"        Path({str(flag)!r}).touch()\n"
        f"        while not Path({str(go)!r}).exists():\n            time.sleep(0.01)"
    )


def test_a_row_that_is_locked_on_the_following_side_does_not_outlast_the_hold(
    scene: Scene, tmp_path: Path
) -> None:
    flag, go = tmp_path / "flag", tmp_path / "go"
    clients = Clients(scene.port, threads=2)
    clients.begin()
    clients.more(20)
    process = coordinator(scene, pause_at(1, "before", flag, go))
    try:
        until("it is about to hold", flag.exists)
        with psycopg.connect(scene.new_url) as reader:
            reader.execute("SELECT * FROM notes WHERE id = 'seed1' FOR UPDATE")
            db = sqlite3.connect(scene.old_url.removeprefix("sqlite:///"), timeout=10)
            db.execute("UPDATE notes SET text = 'changed' WHERE id = 'seed1'")
            db.commit()
            db.close()
            go.touch()
            output, _ = process.communicate(timeout=SOON)
            assert process.returncode == 1, output
            assert "BudgetOver" in output
            assert "last pass: " in output
            assert scene.can_write("old")
            clients.more(10, seconds=SOON)
    finally:
        finish(process)
        clients.finish()
    assert clients.refused == []
    scene.audit(clients, "old")


def test_a_rollback_to_sqlite_waits_for_a_reader_no_longer_than_the_hold(scene: Scene) -> None:
    """In rollback-journal mode a reader keeps COMMIT waiting; a busy COMMIT has committed nothing."""
    with scene.move() as move:
        move.cutover()
    clients = Clients(scene.port)
    clients.begin()
    clients.more(20)
    db = sqlite3.connect(
        scene.old_url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False
    )
    with scene.move() as move:

        def look(step: int, when: str) -> None:
            if (step, when) == (7, "before"):
                db.execute("BEGIN")
                db.execute("SELECT count(*) FROM notes").fetchone()
                reading.start()

        def read_on() -> None:
            until("it is aborted", lambda: any(e.event == "switch.aborted" for e in move.ledger.read()))
            assert scene.can_write("new")
            db.execute("COMMIT")

        reading = threading.Thread(target=read_on, daemon=True)
        try:
            with pytest.raises(BudgetOver, match="commit: the database is locked"):
                move.rollback(observe=look)
            reading.join(SOON)
            clients.more(20, seconds=SOON)
        finally:
            db.close()
            clients.finish()
        assert clients.refused == []
        assert move.repair() == []
    scene.audit(clients, "new")


def test_the_old_side_leads_on_when_the_new_database_freezes_before_commit(
    far: tuple[Scene, Proxy], tmp_path: Path
) -> None:
    scene, proxy = far
    flag, go = tmp_path / "flag", tmp_path / "go"
    clients = Clients(scene.port, threads=2)
    clients.begin()
    clients.more(20)
    process = coordinator(scene, pause_at(3, "after", flag, go))
    try:
        until("it is fenced", flag.exists)
        assert not scene.can_write("old")
        proxy.freeze()
        go.touch()
        until("the old side may write", lambda: scene.can_write("old"), seconds=SOON)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1, output
        clients.more(10, seconds=SOON)
        proxy.thaw()
        with scene.move() as move:
            until("nothing is wrong", lambda: move.repair() == [])
            assert move.standing().leader is Side.OLD
    finally:
        finish(process)
        proxy.thaw()
        clients.finish()
    scene.audit(clients, "old")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_the_watchdog_does_without_the_new_database_when_no_commit_was_announced(
    scene: Scene, postgres_server: object, tmp_path: Path, how: signal.Signals
) -> None:
    """And a coordinator that was only stopped does not commit when it wakes up and that database is back."""
    flag, go = tmp_path / "flag", tmp_path / "go"
    process = coordinator(scene, pause_at(7, "before", flag, go))
    try:
        until("it is about to commit", flag.exists)
        assert not scene.can_write("old")
        with away(scene.new_url, postgres_server):
            process.send_signal(how)
            until("the old side may write", lambda: scene.can_write("old"), seconds=SOON)
        if how is signal.SIGSTOP:
            go.touch()
            process.send_signal(signal.SIGCONT)
            output, _ = process.communicate(timeout=60)
            assert process.returncode == 1, output
        with scene.move() as move:
            found = move.standing()
            assert (found.leader, found.epoch) == (Side.OLD, 0)
            assert {state.role for state in found.states.values() if state is not None} == set(Role)
        assert scene.can_write("old")
        assert not scene.can_write("new")
    finally:
        finish(process)


def test_a_fence_without_an_announcement_is_lifted_without_the_other_database(
    bare: Scene, postgres_server: object
) -> None:
    with bare.move() as move:
        epoch, attempt = begin_switch(move)
    with away(bare.new_url, postgres_server), bare.move() as move:
        assert move.repair() == ["the old side may write again"]
        assert bare.can_write("old")
    with bare.move() as move, pytest.raises(AttemptOver):
        move.stores[Side.OLD].announce_commit("notes", epoch, attempt)  # so whoever was paused never sends it


def test_an_announced_commit_is_undecided_until_the_other_database_answers(
    bare: Scene, postgres_server: object
) -> None:
    with bare.move() as move:
        begin_commit(move)
    with away(bare.new_url, postgres_server), bare.move() as move:
        for _ in range(2):
            with pytest.raises(Refused, match="does not answer"):
                move.repair()
        assert not bare.can_write("old")
    with bare.move() as move:
        assert move.repair() == ["the old side may write again"]


def test_what_is_announced_while_a_repair_looks_is_not_taken_for_unsent(
    bare: Scene, postgres_server: object
) -> None:
    """Between the repair's look and the end of the attempt the coordinator announces, and sends, its COMMIT."""
    with bare.move() as move, bare.move() as switch:
        epoch, attempt = begin_switch(switch)
        real = move.stores[Side.OLD].abort_attempt

        def abort(*arguments: object) -> None:
            switch.stores[Side.OLD].announce_commit("notes", epoch, attempt)
            real(*arguments)  # type: ignore[arg-type]

        move.stores[Side.OLD].abort_attempt = abort  # type: ignore[method-assign]
        with away(bare.new_url, postgres_server), pytest.raises(Refused, match="does not answer"):
            move.repair()
        assert not bare.can_write("old")


def test_a_coordinator_stopped_between_the_announcement_and_commit_does_not_commit_after_a_repair(
    scene: Scene,
) -> None:
    process = coordinator(
        scene,
        "from crossfade.stores.base import Side\nstore = move.stores[Side.NEW]\nreal = store.lead\n"
        "def lead(*arguments):\n    stop(); real(*arguments)\nstore.lead = lead",
    )
    try:
        wait_until_stopped(process)
        until("the old side may write", lambda: scene.can_write("old"), seconds=SOON)
        process.send_signal(signal.SIGCONT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1, output
        assert scene.leader() == "old"
        assert not scene.can_write("new")
    finally:
        finish(process)


def test_a_coordinator_that_wakes_up_after_commit_does_not_route_to_a_side_that_was_given_up(
    scene: Scene, postgres_server: object
) -> None:
    """The lead was taken back with ``--accept-loss`` meanwhile, of which the new database knows nothing."""
    process = coordinator(
        scene,
        "from crossfade.stores.base import Side\nstore = move.stores[Side.NEW]\nreal = store.lead\n"
        "def lead(*arguments):\n    real(*arguments); stop()\nstore.lead = lead\nroute = move.router.release\n"
        "def release(side):\n    print('ROUTED', side, flush=True); route(side)\nmove.router.release = release",
    )
    try:
        wait_until_stopped(process)
        with away(scene.new_url, postgres_server):
            watchdog = psutil.Process(process.pid).children()[0]
            watchdog.kill()
            with scene.move() as move:
                state = move.stores[Side.OLD].state("notes")
                assert state is not None
                assert state.lease is not None
                move.stores[Side.OLD].drop_lease("notes", state.lease.token)  # as when it has run out
                done = move.rollback(accept_loss=True)
            assert (done.to, done.epoch) == (Side.OLD, 2)
        process.send_signal(signal.SIGCONT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1, output
        assert "ROUTED new" not in output
        assert scene.leader() == "old"
    finally:
        finish(process)


def test_a_rollback_that_accepts_loss_gives_up_a_new_side_that_was_perhaps_given_the_lead(
    bare: Scene, postgres_server: object
) -> None:
    """Through the verb: the old side is fenced by a COMMIT whose outcome nobody will know."""
    with bare.move() as move:
        epoch, attempt = begin_commit(move)
        move.stores[Side.NEW].lead("notes", epoch, attempt)
    with away(bare.new_url, postgres_server), bare.move() as move:
        done = move.rollback(accept_loss=True)
        assert (done.to, done.epoch) == (Side.OLD, 2)
        assert "new side took" in done.maybe_lost
        assert bare.can_write("old")
    with bare.move() as move:
        assert move.repair() == ["the new side follows at epoch 2"]
    assert not bare.can_write("new")


def test_commit_is_announced_where_the_fence_is_before_it_is_sent(bare: Scene) -> None:
    seen: list[bool] = []

    with bare.move() as move:

        def unsent() -> bool:
            state = move.stores[Side.OLD].state("notes")
            assert state is not None
            return state.commit_unsent

        def look(step: int, when: str) -> None:
            if (step, when) == (7, "before"):
                seen.append(unsent())

        real = move.stores[Side.NEW].lead

        def lead(move: str, epoch: int, attempt: int) -> None:
            seen.append(unsent())
            real(move, epoch, attempt)

        move.stores[Side.NEW].lead = lead  # type: ignore[method-assign]
        move.cutover(observe=look)
    assert seen == [True, False]


def test_a_fence_without_an_announcement_is_not_lifted_when_the_lead_was_taken_without_this_side(
    bare: Scene, postgres_server: object
) -> None:
    """``--accept-loss`` announces nothing to the side that is given up: the evidence knows."""
    with bare.move() as move:
        move.cutover()
        begin_switch(move)
    with away(bare.new_url, postgres_server), bare.move() as move:
        move.rollback(accept_loss=True)
    with old_away(bare), bare.move() as move:
        with pytest.raises(Refused, match="does not answer"):
            move.repair()
        assert not bare.can_write("new")


def test_the_fence_of_a_repair_does_not_say_that_nothing_was_committed(
    bare: Scene, postgres_server: object
) -> None:
    """It fences a side that was succeeded; the evidence that told it so is lost afterwards."""
    lead_taken_back_without_asking(bare, postgres_server)
    with old_away(bare), bare.move() as move:
        move.repair()
        assert not bare.can_write("new")
        (bare.folder / ".crossfade" / "ledger.jsonl").unlink()
        with pytest.raises(Refused, match="does not answer"):
            move.repair()
        assert not bare.can_write("new")
