"""Several workers: one does what a dead one left, names are held by one, versions follow one another."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import crossfade
from crossfade.errors import LeaseHeld, LeaseLost, Refused, StoreError, UsageError
from crossfade.runs.database import Database
from crossfade.runs.results import Outcome, TaskStatus
from crossfade.runs.workers import STALE, Workers
from tests.runs.scene import ANN, BEN, ROOT, Process, Scene, until

FAN = "# Fan\n\n" + "\n".join(
    f"**Task {number}: T{number}**\n- **Run**: `EFFECT; while [ ! -e go ]; do sleep 0.02; done; sleep 0.1`\n"
    for number in range(1, 9)
)


def worker_of(scene: Scene, name: str) -> str:
    """The executor of the living worker of that name, or nothing."""
    return next((one.executor for one in scene.desk.living_workers() if one.name == name), "")


def test_two_workers_share_a_plan_and_one_is_killed(postgres_scene: Scene) -> None:
    scene = postgres_scene
    scene.make(
        FAN
        + "\n**Task 9: End**\n- **Run**: `EFFECT`\n- **Dependencies**: "
        + ", ".join(f"Task {number}" for number in range(1, 9))
        + "\n"
    )
    first = scene.worker("w1")
    until(lambda: first.works() and scene.is_begun(), "the first worker works")
    second = scene.worker("w2", start=False)
    until(lambda: len(scene.effects()) == 8, "all eight have begun")
    first.kill(group=True)
    until(lambda: not first.lives, "the first worker is dead")
    (scene.folder / "go").touch()
    result = scene.wait()
    assert result.outcome is Outcome.DONE, result.reason
    assert Counter(scene.effects()) == Counter(str(number) for number in range(1, 10))
    assert Counter(one.data["task"] for one in scene.evidence("task.done")) == Counter(
        str(number) for number in range(1, 10)
    )
    assert not second.lives


def test_another_worker_takes_over_from_a_dead_one_on_sqlite(scene: Scene) -> None:
    run = scene.make(FAN).run
    first = scene.worker("w1")
    until(lambda: len(scene.effects()) == 8, "all have begun")
    dead = worker_of(scene, "w1")
    first.kill(group=True)
    until(lambda: not first.lives, "the worker is dead")
    stranded = scene.desk.stranded()
    assert {one.run for one in stranded} == {run}
    assert {one.workflow for one in stranded} == {run, *(f"{run}/{number}" for number in range(1, 9))}
    assert all(dead in one.why and one.mendable for one in stranded)
    (scene.folder / "go").touch()
    scene.worker("w2", start=False)
    assert scene.wait().outcome is Outcome.DONE
    assert len(scene.effects()) == 8
    assert scene.desk.stranded() == []


def test_whoever_mends_gives_stranded_work_to_whoever_lives(scene: Scene) -> None:
    run = scene.make(FAN).run
    first = scene.worker("w1")
    until(lambda: len(scene.effects()) == 8, "all have begun")
    first.kill(group=True)
    until(lambda: not first.lives, "the worker is dead")
    assert len(scene.desk.mend()) == 9
    assert scene.desk.mend() == []
    assert scene.desk.stranded() == []
    assert scene.desk.result(run) is None


def test_a_name_is_held_by_one_living_process(scene: Scene) -> None:
    scene.make(FAN)
    first = scene.worker("w1")
    until(lambda: first.works() and scene.is_begun(), "the first worker works")
    with pytest.raises(LeaseHeld, match=rf"'w1' is at work.*process {first.pid}"), scene.desk.work("w1"):
        raise AssertionError("two of one name")
    first.kill()
    until(lambda: not first.lives, "it is dead")
    (scene.folder / "go").touch()
    scene.worker("w1", start=False)
    assert scene.wait().outcome is Outcome.DONE


def test_a_worker_that_was_taken_for_dead_learns_of_it(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/state.sqlite")
    database.prepare()
    workers = Workers(database)
    me = workers.enlist("w1")
    workers.beat(me)
    assert [one.name for one in workers.living()] == ["w1"]
    with pytest.raises(LeaseHeld):
        workers.enlist("w1")
    workers.leave(me)
    successor = workers.enlist("w1")
    assert successor.executor != me.executor
    with pytest.raises(LeaseLost):
        workers.beat(me)
    database.close()


def test_a_worker_elsewhere_lives_by_its_signs_of_life(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/state.sqlite")
    database.prepare()
    workers = Workers(database)
    me = workers.enlist("w1")
    database.work(lambda t: t.run("UPDATE {workers} SET host = 'elsewhere'"))
    [other] = workers.all()
    assert other.is_alive(other.heartbeat + STALE - 0.1)
    assert not other.is_alive(other.heartbeat + STALE + 0.1)
    with pytest.raises(LeaseHeld):
        workers.enlist("w1")
    database.work(lambda t: t.run("UPDATE {workers} SET heartbeat = 0"))
    assert workers.enlist("w1").token != me.token
    database.close()


def test_one_process_mends_at_a_time(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/state.sqlite")
    database.prepare()
    workers = Workers(database)
    assert workers.may_mend("a", 60)
    assert workers.may_mend("a", 60)
    assert not workers.may_mend("b", 60)
    workers.mended("a")
    assert workers.may_mend("b", 0)
    assert workers.may_mend("a", 60)
    assert workers.all() == []
    database.close()


def test_a_plan_is_not_run_twice_at_the_same_time(scene: Scene) -> None:
    order = scene.make(FAN)
    scene.desk.start(order)
    with pytest.raises(Refused, match=f"run {order.run} of 'Fan' still goes on"):
        scene.desk.start(scene.make(FAN))
    with pytest.raises(UsageError, match="there is no run nonsense"):
        scene.desk.state("nonsense")


def test_no_run_begins_beside_a_command_of_the_last_one(scene: Scene) -> None:
    scene.settings["grace"] = 60.0
    text = "# Stubborn\n\n**Task 1: Long**\n- **Run**: `trap '' TERM; EFFECT; while [ ! -e go ]; do sleep 0.02; done`\n"
    run = scene.make(text).run
    first = scene.worker()
    until(lambda: scene.effects(), "the command runs")
    scene.desk.cancel(run, ANN, "not now")
    assert scene.wait().outcome is Outcome.CANCELLED
    until(lambda: not first.lives, "the worker has ended")
    assert len(scene.desk.await_commands(run, seconds=0.2)) == 1
    with pytest.raises(Refused, match="is still at work"):
        scene.desk.start(scene.make(text))
    (scene.folder / "go").touch()
    assert scene.desk.await_commands(run) == []
    scene.worker()
    assert scene.wait().outcome is Outcome.DONE
    assert scene.effects() == ["1", "1"]


def test_a_cancelled_run_stops_its_commands_and_can_be_gone_on_with(scene: Scene) -> None:
    text = """# Cancelled

**Task 1: Long**
- **Run**: `EFFECT; while [ ! -e go ]; do sleep 0.02; done; echo end >> ends`
- **Retry**: 1

**Task 2: Later**
- **Run**: `EFFECT`
- **Dependencies**: Task 1
"""
    run = scene.make(text).run
    first = scene.worker()
    until(lambda: scene.effects(), "the command runs")
    scene.desk.cancel(run, ANN, "not now")
    result = scene.wait()
    assert result.outcome is Outcome.CANCELLED
    assert result.tasks == {"1": TaskStatus.CANCELLED, "2": TaskStatus.CANCELLED}
    with pytest.raises(Refused, match="it is over"):
        scene.desk.cancel(run, ANN)
    [attempt] = scene.desk.attempts.of_run(run)
    until(lambda: not scene.desk.attempts.is_alive(attempt), "the command is stopped")
    until(lambda: not first.lives, "the worker has ended")
    (scene.folder / "go").touch()
    assert scene.lines("ends") == []
    scene.desk.resume(run)
    scene.worker(start=False)
    assert scene.wait().outcome is Outcome.DONE
    # it was stopped half-way, and may be repeated
    assert scene.effects() == ["1", "1", "2"]
    assert scene.lines("ends") == ["end"]
    assert [entry.data["person"]["name"] for entry in scene.evidence("run.cancelled")] == ["ann"]
    assert len(scene.evidence("run.resumed")) == 1
    with pytest.raises(Refused, match="it has ended"):
        scene.desk.resume(run)


# --- an upgrade -----------------------------------------------------------------

WAITS = """# Upgrade

**Task 1: Before**
- **Run**: `EFFECT`

**Task 2: Decide**
- **Approve**: 2 of ops
- **Run**: `EFFECT`
- **Dependencies**: Task 1

**Task 3: After**
- **Run**: `EFFECT`
- **Dependencies**: Task 2
"""


def test_an_upgrade_in_the_middle_of_a_waiting_approval(scene: Scene, tmp_path: Path) -> None:
    """Another version begins the run, in source that differs where DBOS would look."""
    older = tmp_path / "older"
    package = older / "crossfade"
    shutil.copytree(Path(crossfade.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    init = package / "__init__.py"
    init.write_text(init.read_text().replace(crossfade.__version__, "0.0.9"))
    flows = package / "engine" / "flows.py"
    source = flows.read_text()
    assert "order = TaskOrder.model_validate(body)\n" in source
    flows.write_text(
        source.replace(
            "order = TaskOrder.model_validate(body)\n", "order = TaskOrder.model_validate(dict(body))\n"
        )
    )
    order = scene.make(WAITS)
    config = tmp_path / "older.json"
    (tmp_path / "state-w1").mkdir()
    config.write_text(
        json.dumps(
            {
                "url": scene.url,
                "folder": str(tmp_path / "state-w1"),
                "ledger": str(scene.ledger.path),
                "cwd": str(tmp_path),
                "name": "w1",
                "run": order.run,
                "start": order.as_json(),
            }
        )
    )
    output = tmp_path / "output-older.txt"
    with output.open("w") as file:
        old = subprocess.Popen(
            [sys.executable, "-m", "tests.runs.play", str(config)],
            stdout=file,
            stderr=file,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": f"{older}{os.pathsep}{ROOT}"},
            start_new_session=True,
        )
    try:
        scene.processes.append(Process(old.pid, output))
        scene.until_task("2", TaskStatus.APPROVAL)
        assert [one.version for one in scene.desk.living_workers()] == ["0.0.9"]
        scene.desk.approve(order.run, "2", ANN)
        until(lambda: len(scene.task("2").approvals) == 1, "the old version has heard it")
    finally:
        old.kill()
        old.wait(timeout=10)
    scene.worker()
    scene.desk.approve(order.run, "2", BEN)
    result = scene.wait()
    assert result.outcome is Outcome.DONE, result.reason
    assert scene.effects() == ["1", "2", "3"]
    versions = [entry.who["version"] for entry in scene.evidence()]
    assert versions == sorted(versions)
    assert set(versions) == {"0.0.9", crossfade.__version__}


def test_a_run_of_a_format_that_is_not_known_is_not_touched(scene: Scene) -> None:
    order = scene.make(WAITS).model_copy(update={"format": 99})
    scene.order = order
    scene.worker()
    result = scene.wait()
    assert result.outcome is Outcome.FAILED
    assert "use a newer one" in result.reason
    assert scene.effects() == []


def test_tables_of_a_later_version_are_left_alone(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/state.sqlite")
    database.prepare()
    database.work(lambda t: t.run("UPDATE {meta} SET value = '99' WHERE name = 'schema'"))
    with pytest.raises(StoreError, match="version 99"):
        database.prepare()
    database.close()
