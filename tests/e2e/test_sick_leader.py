"""A rollback works while the leading app hangs, is dead, or keeps a transaction open; a cutover is patient."""

from __future__ import annotations

import contextlib
import http.client
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from crossfade.errors import BudgetOver, Refused, StoreUnreachable
from crossfade.stores.base import Side
from tests.e2e import scene as scenes
from tests.e2e.scene import Clients, Scene, request, until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def scene(tmp_path: Path, postgres_url: str) -> Iterator[Scene]:
    scene = scenes.build(tmp_path, postgres_url, settings="drain_budget: 400ms")
    try:
        with scene.move() as move:
            move.copy()
            move.verify()
        yield scene
    finally:
        scene.close()


def slow_write(scene: Scene, side: str, go: Path) -> threading.Thread:
    """A request whose transaction stays open until ``go`` exists."""

    def send() -> None:
        request(scene.ports[side], "POST", "/slow", {"id": "seed1", "until": str(go)}, timeout=60)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def test_a_rollback_works_while_the_new_app_hangs(scene: Scene, tmp_path: Path) -> None:
    with scene.move() as move:
        move.cutover()
    clients = Clients(scene.port)
    clients.begin()
    clients.more(50)
    clients.finish()
    scene.processes["new"].send_signal(signal.SIGSTOP)

    def hang() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            request(scene.port, "POST", "/notes", {"id": "h", "text": "h"}, timeout=3)

    hanging = threading.Thread(target=hang, daemon=True)
    hanging.start()
    with scene.move() as move:
        until("the request is in flight", lambda: (move.router and move.router.in_flight(Side.NEW)) == 1)
        done = move.rollback()
    assert done.in_flight == 1
    assert done.hold_ms < 400 + 500
    after = Clients(scene.port)
    after.begin()
    after.more(20)
    after.finish()
    after.acknowledged.extend(clients.acknowledged)
    hanging.join(10)
    scene.audit(after, "old")


def test_a_rollback_works_while_the_new_app_is_dead(scene: Scene) -> None:
    with scene.move() as move:
        move.cutover()
    clients = Clients(scene.port)
    clients.begin()
    clients.more(50)
    clients.finish()
    scene.processes["new"].kill()
    scene.processes["new"].wait()
    with scene.move() as move:
        assert move.rollback().to is Side.OLD
    clients.begin()
    clients.more(20)
    clients.finish()
    scene.audit(clients, "old")


def test_a_transaction_that_the_new_app_keeps_open_is_cut_off_and_counted(
    scene: Scene, tmp_path: Path
) -> None:
    with scene.move() as move:
        move.cutover()
        with psycopg.connect(scene.new_url) as stuck:
            stuck.execute("UPDATE notes SET text = 'never' WHERE id = 'seed1'")
            done = move.rollback()
            assert done.cut_off == 1
            assert done.hold_ms < 400 + 600
            with pytest.raises(psycopg.OperationalError):
                stuck.commit()
    assert scene.notes("old")["seed1"] == "text 1"
    assert scene.can_write("old")
    assert not scene.can_write("new")


def test_a_transaction_on_a_table_that_does_not_move_is_cut_off_too(scene: Scene) -> None:
    """The fence locks every table, so whoever keeps any of them is in its way."""
    with psycopg.connect(scene.new_url) as connection:
        connection.execute("CREATE TABLE audit (id int PRIMARY KEY)")
    with scene.move() as move:
        move.cutover()
        with psycopg.connect(scene.new_url) as stuck:
            stuck.execute("INSERT INTO audit VALUES (1)")
            assert move.rollback().cut_off == 1
            with pytest.raises(psycopg.OperationalError):
                stuck.commit()
    assert scene.can_write("old")


def test_a_cutover_waits_for_an_open_transaction_and_brings_its_write(scene: Scene, tmp_path: Path) -> None:
    go = tmp_path / "go"
    thread = slow_write(scene, "old", go)

    until("the transaction is open", lambda: not _can_begin(scene))

    threading.Timer(0.3, go.touch).start()
    with scene.move() as move:
        assert move.cutover().to is Side.NEW
    thread.join(10)
    assert scene.notes("new") == scene.notes("old")


def _can_begin(scene: Scene) -> bool:
    import sqlite3

    db = sqlite3.connect(scene.old_url.removeprefix("sqlite:///"), timeout=0, isolation_level=None)
    try:
        db.execute("BEGIN IMMEDIATE")
        db.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return False
    else:
        return True
    finally:
        db.close()


def test_a_cutover_that_cannot_fence_in_time_leaves_the_old_side_leading(
    scene: Scene, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    threads: list[threading.Thread] = []

    def open_one(number: int, when: str) -> None:
        if (number, when) == (3, "before"):
            threads.append(slow_write(scene, "old", go))
            until("the transaction is open", lambda: not _can_begin(scene))

    clients = Clients(scene.port, threads=2)
    clients.begin()
    clients.more(10)
    with scene.move() as move:

        def aborted() -> bool:
            return any(entry.event == "switch.aborted" for entry in move.ledger.read())

        def let_go() -> None:
            until("the switch is aborted", aborted)
            go.touch()

        waiter = threading.Thread(target=let_go, daemon=True)
        waiter.start()
        with pytest.raises(BudgetOver):
            move.cutover(observe=open_one)
        waiter.join(30)
        assert move.standing().leader is Side.OLD
    clients.more(10)
    clients.finish()
    threads[0].join(10)
    assert scene.can_write("old")
    scene.audit(clients, "old")


def test_a_cutover_does_not_fail_requests_that_do_not_drain(scene: Scene, tmp_path: Path) -> None:
    scene.processes["old"].send_signal(signal.SIGSTOP)
    clients = Clients(scene.port, threads=1)
    clients.begin()
    with scene.move() as move:
        until("a request is in flight", lambda: (move.router and move.router.in_flight(Side.OLD)) == 1)
        with pytest.raises(BudgetOver, match="still unanswered"):
            move.cutover()
        assert move.standing().leader is Side.OLD
    scene.processes["old"].send_signal(signal.SIGCONT)
    clients.more(10)
    clients.finish()
    scene.audit(clients, "old")


def test_a_cutover_needs_a_healthy_new_app(scene: Scene) -> None:
    scene.processes["new"].kill()
    scene.processes["new"].wait()
    with scene.move() as move, pytest.raises(Refused, match="does not answer"):
        move.cutover()
    assert scene.can_write("old")


def test_without_the_new_database_a_rollback_is_refused_unless_loss_is_accepted(
    scene: Scene, postgres_server: object
) -> None:
    with scene.move() as move:
        move.cutover()
    url = postgres_server.url()  # type: ignore[attr-defined]
    name = scene.new_url.split("/")[3].split("?")[0]
    scene.processes["new"].kill()
    scene.processes["new"].wait()
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    try:
        with scene.move() as move:
            with pytest.raises(StoreUnreachable):
                move.rollback()
            done = move.rollback(accept_loss=True)
            assert done.to is Side.OLD
            assert "new side took" in done.maybe_lost
        assert scene.can_write("old")
        clients = Clients(scene.port)
        clients.begin()
        clients.more(10)
        clients.finish()
        assert clients.failed == []
    finally:
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    assert scene.can_write("new"), "it does not know yet"
    with scene.move() as move:
        assert any("committed" in trouble.what for trouble in move.status().troubles)
        move.repair()
        assert move.standing().leader is Side.OLD
    assert not scene.can_write("new")


def test_an_index_build_is_waited_for_before_the_hold_not_in_it(scene: Scene) -> None:
    """Maintenance on the leader's tables holds a lock that the fence has to wait for."""
    with scene.move() as move:
        move.cutover()
    with psycopg.connect(scene.new_url, autocommit=True) as slow, psycopg.connect(scene.new_url) as gate:
        # an index build waits for this transaction, whose snapshot is older, and so does not end before it
        gate.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        gate.execute("SELECT count(*) FROM notes")
        build = threading.Thread(
            target=lambda: slow.execute("CREATE INDEX CONCURRENTLY slow_one ON notes (text)"), daemon=True
        )
        build.start()
        with scene.move() as move:
            views = [pair.new for pair in move.mapping().pairs]
            until(
                "the index is being built",
                lambda: any(b.maintenance for b in move.stores[Side.NEW].busy(views)),
            )
            seen: list[str] = []

            def look(number: int, when: str) -> None:
                if (number, when) == (0, "before"):
                    threading.Timer(0.3, gate.rollback).start()
                if (number, when) == (1, "before"):
                    seen.extend(b.what for b in move.stores[Side.NEW].busy(views) if b.maintenance)

            done = move.rollback(observe=look)
        build.join(20)
    assert seen == [], "it was over before anything was held"
    assert done.hold_ms < 500


def test_a_queue_drains_before_a_cutover_holds(scene: Scene) -> None:
    """The old app answers again only once the switch has looked at the queue."""
    scene.processes["old"].send_signal(signal.SIGSTOP)
    clients = Clients(scene.port, threads=15)
    clients.begin()
    seen: list[int] = []
    before_hold: list[int] = []
    with scene.move() as move:
        router = move.router
        assert router is not None
        count = router.in_flight
        until("requests queue up", lambda: (count(Side.OLD) or 0) > 10)

        def looked_at(side: Side) -> int | None:
            scene.processes["old"].send_signal(signal.SIGCONT)
            seen.append(count(side) or 0)
            return seen[-1]

        router.in_flight = looked_at  # type: ignore[method-assign]

        def look(number: int, when: str) -> None:
            if (number, when) == (1, "before"):
                before_hold.extend(seen)
                scene.processes["old"].send_signal(signal.SIGCONT)

        assert move.cutover(observe=look).to is Side.NEW
    clients.more(15)
    clients.finish()
    assert before_hold, "the queue was not looked at before the hold"
    assert before_hold[-1] <= 10, "it was held before the queue was short"
    scene.audit(clients, "new")
