"""``kill -9`` of the coordinator at every step of the switch, in both directions, under traffic."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from crossfade.switch import STEPS
from tests.e2e import scene as scenes
from tests.e2e.scene import ROOT, Clients, Scene, until

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def scene(postgres_server: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One move that all cases of this module go on with: each leaves it legal."""
    import psycopg

    url = postgres_server.url  # type: ignore[attr-defined]
    with psycopg.connect(url(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE crash")
    scene = scenes.build(tmp_path_factory.mktemp("crash"), url("crash"), settings="hold_budget: 1500ms")
    try:
        with scene.move() as move:
            move.copy()
        scene.follow()
        with scene.move() as move:
            move.verify()
        yield scene
    finally:
        scene.close()
        with psycopg.connect(url(), autocommit=True) as admin:
            admin.execute("DROP DATABASE crash WITH (FORCE)")


def ready(scene: Scene, verb: str) -> tuple[str, str]:
    """Bring the lead to where this verb starts from; returns (leader, successor)."""
    leader, successor = ("old", "new") if verb == "cutover" else ("new", "old")
    until("somebody follows", scene.is_followed)
    if scene.leader() != leader:
        with scene.move() as move:
            if leader == "new":
                move.cutover()
            else:
                move.rollback()
    until("somebody follows", scene.is_followed)
    return leader, successor


def drive(scene: Scene, verb: str, step: int, when: str, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.switch_driver", str(scene.spec), verb, str(step), when, name],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def is_legal(scene: Scene) -> bool:
    """Exactly one side leads and is writable, and the router sends requests there."""
    with scene.move() as move:
        standing = move.standing()
        if standing.committed or standing.leader is None or standing.leader_state is None:
            return False
        router = move.router.state() if move.router is not None else None
        return (
            not standing.leader_state.fenced
            and router is not None
            and not router.held
            and router.leader is standing.leader
        )


def router_pid(scene: Scene) -> int:
    """The process that listens on the router's port."""
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == scene.port and connection.pid:
            return int(connection.pid)
    raise AssertionError("nothing listens on the router's port")


CASES = [(step, "before") for step in range(len(STEPS))] + [(len(STEPS) - 1, "after")]


@pytest.mark.parametrize("verb", ["cutover", "rollback"])
@pytest.mark.parametrize(("step", "when"), CASES)
def test_killed_at_a_step_the_watchdog_leaves_one_side_leading(
    scene: Scene, verb: str, step: int, when: str
) -> None:
    leader, successor = ready(scene, verb)
    router = router_pid(scene)
    before = len(scene.notes(leader))
    clients = Clients(scene.port)
    clients.begin()
    try:
        clients.more(20)
        process = drive(scene, verb, step, when, "SIGKILL")
        output, _ = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, output
        until("the state is legal again", lambda: is_legal(scene))
        clients.more(20)
    finally:
        clients.finish()
    leads = scene.leader()
    assert leads == (successor if step > 7 else leader)
    assert leads is not None
    assert router_pid(scene) == router, "the router survives"
    assert scene.can_write(leads)
    assert not scene.can_write("new" if leads == "old" else "old")
    scene.seeded = before
    scene.audit(clients, leads)


@pytest.mark.parametrize("verb", ["cutover", "rollback"])
def test_a_coordinator_stopped_before_commit_cannot_commit_after_a_repair(scene: Scene, verb: str) -> None:
    leader, _ = ready(scene, verb)
    before = len(scene.notes(leader))
    clients = Clients(scene.port)
    clients.begin()
    process = drive(scene, verb, 7, "before", "SIGSTOP")
    try:
        until("it is stopped", lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
        done = subprocess.run(
            [sys.executable, "-m", "crossfade", "doctor", "--repair", "--json", "--spec", str(scene.spec)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not any(trouble["repairable"] for trouble in json.loads(done.stdout)["troubles"]), done.stdout
        with scene.move() as move:  # by this repair, or by the watchdog before it
            events = [entry.event for entry in move.ledger.read() if not entry.event.startswith("follow.")]
            assert events[-1] == "doctor.repaired"
        assert is_legal(scene)
        process.send_signal(signal.SIGCONT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1, output
        until("the state is legal", lambda: is_legal(scene))
        clients.more(20)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
        clients.finish()
    assert scene.leader() == leader
    assert scene.can_write(leader)
    scene.seeded = before
    scene.audit(clients, leader)


def test_the_watchdog_ends_a_stopped_coordinators_switch_by_itself(scene: Scene) -> None:
    leader, _ = ready(scene, "cutover")
    process = drive(scene, "cutover", 4, "before", "SIGSTOP")
    try:
        until("it is stopped", lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
        until("the state is legal again", lambda: is_legal(scene))
        assert scene.can_write(leader)
        process.send_signal(signal.SIGCONT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1, output
        until("the state is legal", lambda: is_legal(scene))
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert scene.leader() == leader


def test_the_evidence_is_whole(scene: Scene) -> None:
    with scene.move() as move:
        assert move.ledger.verify().whole
    assert Path(scene.folder / ".crossfade" / "ledger.jsonl").stat().st_size > 0
