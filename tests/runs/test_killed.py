"""Workers that are killed: no effect is applied twice, nothing is skipped, and the evidence verifies."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest

from crossfade.runs.results import Outcome, TaskStatus
from tests.runs.scene import ANN, BEN, Scene

KILLS = 20


def big_plan() -> str:
    """Thirty tasks: three branches that meet at an approval, three times, with commands of different lengths."""
    lines = ["# Thirty", ""]
    after: list[str] = []
    number = 0
    for stage in range(3):
        ends = []
        for branch in range(3):
            before = after
            for step in range(3):
                number += 1
                lines += [f"**Task {number}: Stage {stage}, branch {branch}, step {step}**"]
                pause = "sleep 0.4; " if step == 1 else "sleep 0.05; "
                lines += [f"- **Run**: `{pause}EFFECT; sleep 0.05`"]
                if before:
                    lines += [f"- **Dependencies**: {', '.join(f'Task {one}' for one in before)}"]
                lines += [""]
                before = [str(number)]
            ends += before
        number += 1
        lines += [f"**Task {number}: Gate {stage}**"]
        lines += [
            "- **Approve**: 1 of ops",
            "- **Run**: `EFFECT`",
            f"- **Dependencies**: {', '.join(f'Task {one}' for one in ends)}",
            "",
        ]
        after = [str(number)]
    return "\n".join(lines)


@pytest.mark.timeout(180)
def test_killed_twenty_times_each_effect_is_there_once(scene: Scene) -> None:
    order = scene.make(big_plan())
    assert len(order.tasks) == 30
    chance = random.Random(20)
    for kill in range(KILLS):
        process = scene.worker()
        if kill:  # the first one has to begin the run
            # a random moment is what this test is about
            time.sleep(chance.uniform(0.05, 1.2))
        else:
            scene.until_task("1", TaskStatus.RUNNING, TaskStatus.DONE)
        if kill == KILLS // 3:
            scene.desk.approve(order.run, "10", ANN)
        if kill == 2 * KILLS // 3:
            scene.desk.approve(order.run, "20", BEN)
        process.kill(group=chance.random() < 0.5)
    assert scene.desk.result(order.run) is None, "its last task waits for this"
    scene.desk.approve(order.run, "30", ANN)
    scene.worker()
    result = scene.wait()
    assert result.outcome is Outcome.DONE, result.reason
    ids = [task.id for task in order.tasks]
    assert Counter(scene.effects()) == Counter(ids)
    assert Counter(entry.data["task"] for entry in scene.evidence("task.done")) == Counter(ids)
    assert len(scene.evidence("run.finished")) == 1
    # nothing was begun before what it waits for was done
    at = {task: number for number, task in enumerate(scene.effects())}
    assert all(at[before] < at[task.id] for task in order.tasks for before in task.after)
