"""The game's plan, also with more changes of the lead than it has."""

from __future__ import annotations

import pytest

from crossfade.plans.lint import Level, lint
from crossfade.plans.reading import parse_plan
from crossfade.runs import gates
from examples.timeline.demo import PLAN, with_lead_changes


@pytest.mark.parametrize("changes", [3, 5, 9])
def test_the_plan_is_sound_with_any_number_of_lead_changes(changes: int) -> None:
    text = with_lead_changes(PLAN.read_text(encoding="utf-8"), changes)
    plan = parse_plan(text.encode(), "PLAN.md")
    found = lint(plan, metrics=gates.NAMES, gate_problem=gates.problem)
    assert [str(one) for one in found if one.level is Level.ERROR] == []
    tasks = {task.id: task for task in plan.walk()}
    switches = [t.id for t in tasks.values() if {"crossfade cutover", "crossfade rollback"} & set(t.run)]
    assert len(switches) + 1 == changes, "the guard makes one of them"
    chain, task = [], "5.2"
    while task != "5.1":
        [before] = [one.target for one in tasks[task].dependencies]
        assert before is not None
        chain.append(before)
        task = before
    assert chain == sorted(switches[1:], reverse=True)
