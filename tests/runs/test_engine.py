"""A run from its begin to its end, with real processes and a real state database."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from crossfade.engine import Engine
from crossfade.errors import Refused, UsageError
from crossfade.runs.results import Outcome, TaskStatus
from tests.runs.scene import ANN, ROOT, Scene, until

DIAMOND = """# Diamond

**Task 1: Begin**
- **Run**: `EFFECT`

**Task 2: Left**
- **Run**: `EFFECT; echo '{"n": 3}'`
- **Gate**: `result.n == 3`
- **Dependencies**: Task 1

**Task 3: Right**
- **Run**: `EFFECT`
- **Dependencies**: Task 1

**Task 4: End**
- **Run**: `EFFECT`
- **Gate**: `tasks["2"].n == 3`
- **Dependencies**: Task 2, Task 3
"""


def test_a_plan_is_done_in_the_order_of_its_dependencies(scene: Scene) -> None:
    result = scene.run(DIAMOND)
    assert result.outcome is Outcome.DONE, result.reason
    effects = scene.effects()
    assert sorted(effects) == ["1", "2", "3", "4"]
    assert effects[0] == "1"
    assert effects[-1] == "4"
    assert set(result.tasks.values()) == {TaskStatus.DONE}
    assert scene.evidence("task.done")[0].data["task"] == "1"


def test_the_same_on_postgresql(postgres_scene: Scene) -> None:
    result = postgres_scene.run(DIAMOND)
    assert result.outcome is Outcome.DONE, result.reason
    assert sorted(postgres_scene.effects()) == ["1", "2", "3", "4"]
    assert len(postgres_scene.evidence("task.done")) == 4


def test_a_worker_says_nothing_of_itself_on_its_outputs(scene: Scene) -> None:
    scene.run(DIAMOND)
    [output] = scene.folder.glob("output-*.txt")
    first, second = output.read_text().splitlines()
    assert first == "working"
    assert json.loads(second)["outcome"] == "done"


def test_what_can_be_looked_at_while_a_run_goes_on(scene: Scene) -> None:
    text = """# Look

**Task 1: Begin**
- **Run**: `EFFECT; echo '{"n": 3}'`

**Task 2: Decide**
- **Approve**: 1 of ops
- **Run**: `EFFECT`
- **Dependencies**: Task 1

**Task 3: End**
- **Run**: `EFFECT`
- **Dependencies**: Task 2
"""
    order = scene.make(text)
    assert scene.desk.runs() == []
    assert scene.desk.living_workers() == []
    assert scene.desk.done_tasks("Look") == {}
    scene.worker("w1")
    scene.until_task("2", TaskStatus.APPROVAL)
    state = scene.desk.state(order.run)
    assert [task.status for task in state.tasks] == ["done", "approval", "waiting"]
    assert state.outcome is None
    first, second, _ = state.tasks
    assert (first.exit, first.attempt, first.measured) == (0, 1, {"n": 3})
    assert first.finished is not None
    assert first.started is not None
    assert first.finished >= first.started
    assert second.request is not None
    assert second.request.expires_at > second.request.asked_at
    assert state.waiting_for_people == (second,)
    assert scene.desk.order(order.run) == order
    [one] = scene.desk.runs()
    assert (one.run, one.plan, one.outcome, one.started_by) == (order.run, "Look", None, "starter")
    [worker] = scene.desk.living_workers()
    assert second.worker == worker.executor
    seen = scene.desk.watch(order.run)
    assert next(seen) == state
    scene.desk.approve(order.run, "2", ANN)
    states = list(seen)
    assert states[-1].outcome is Outcome.DONE
    assert states[-1].finished is not None
    assert [one.outcome for one in scene.desk.runs()] == [Outcome.DONE]
    scene.wait()


def test_a_worker_that_leaves_gives_its_work_and_its_name_back(scene: Scene) -> None:
    order = scene.make("# P\n\n**Task 1: A**\n- **Approve**: 1 of ops\n- **Run**: `EFFECT`\n")
    first = scene.worker("w1", timeout=1.0)
    scene.until_task("1", TaskStatus.APPROVAL)
    until(lambda: not first.lives, "it has left, though a thread of it waits for people")
    assert scene.desk.workers.all() == []
    assert scene.desk.result(order.run) is None
    scene.worker("w1")
    scene.desk.approve(order.run, "1", ANN)
    assert scene.wait().outcome is Outcome.DONE
    assert scene.effects() == ["1"]


def test_one_process_may_work_again_and_again(scene: Scene) -> None:
    engine = Engine(scene.url, folder=scene.folder / "state", cwd=scene.folder, polling=0.05)
    for number in (1, 2):
        order = scene.make(DIAMOND.replace("# Diamond", f"# Diamond {number}"))
        with engine.work("w1"):
            with pytest.raises(Refused, match="works already"), engine.work("w2"):
                raise AssertionError("two at once")
            engine.start(order)
            assert engine.wait(order.run, timeout=60).outcome is Outcome.DONE
            assert list(engine.watch(order.run))[-1].outcome is Outcome.DONE
    assert len(scene.effects()) == 8
    with pytest.raises(UsageError, match="of the move"):
        engine.start(order.model_copy(update={"move": "other"}))
    engine.close()


def test_the_runs_of_two_moves_in_one_database_are_done_by_their_own_workers(scene: Scene) -> None:
    """A worker has the spec, the secrets and the folder of one move."""
    order = scene.make(DIAMOND, move="ours")
    scene.worker("theirs", start=False, move="theirs", timeout=1.0)
    ours = Engine(scene.url, folder=scene.folder / "ours", cwd=scene.folder, move="ours", polling=0.05)
    ours.start(order)
    until(lambda: not any(one.lives for one in scene.processes), "the others have given up")
    assert scene.effects() == []
    scene.worker("ours", move="ours")
    assert scene.wait().outcome is Outcome.DONE
    assert set(ours.done_tasks("Diamond")) == {"1", "2", "3", "4"}
    assert scene.desk.done_tasks("Diamond") == {}
    ours.close()


def test_nobody_imports_dbos_before_an_engine_is_wanted() -> None:
    probe = (
        "import sys, crossfade.cli, crossfade.runs.order, crossfade.runs.recorder, crossfade.runs.state; "
        "sys.exit('dbos' in sys.modules or 'sqlalchemy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", probe], cwd=ROOT, check=False).returncode == 0
    users = [
        path.relative_to(ROOT / "src" / "crossfade").parts[0]
        for path in (ROOT / "src" / "crossfade").rglob("*.py")
        if any(
            line.lstrip().startswith(("import dbos", "from dbos")) for line in path.read_text().splitlines()
        )
    ]
    assert set(users) == {"engine"}
    assert Path(Engine.__module__.replace(".", "/")).parts[:2] == ("crossfade", "engine")
