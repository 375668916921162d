"""Lint: verbs that would run beside what they stand on."""

from __future__ import annotations

import pytest

from crossfade.plans.lint import Problem, lint
from crossfade.plans.reading import parse_plan
from tests.plans.build import plan, task

PLAN = """# Move

## Phase 1: Data

**Task 1.1: Copy**
- **Run**: `crossfade copy`

**Task 1.2: Compare**
- **Run**: `crossfade verify`
{compare}

**Task 1.3: Sign off**
- **Dependencies**: Task 1.2

## Phase 2: Switch

**Task 2.1: Cut over**
- **Run**: `crossfade cutover`
{cutover}

**Task 2.2: End**
- **Run**: `crossfade complete`
- **Dependencies**: Task 2.1
"""


def found(text: str) -> list[Problem]:
    return [one for one in lint(parse_plan(text.encode(), "PLAN.md")) if one.check == "order.verbs"]


def after(text: str) -> str:
    return f"- **Dependencies**: {text}" if text else ""


@pytest.mark.parametrize(
    ("compare", "cutover", "expected"),
    [
        ("Task 1.1", "Task 1.2", []),
        ("Task 1.1", "Phase 1 completion", []),
        ("Task 1.1", "Task 1.3", []),  # through what people do
        ("", "Phase 1 completion", ["task 1.2"]),
        ("Task 1.1", "", ["task 2.1"]),
        ("Task 1.1", "Task 1.1", ["task 2.1"]),
        ("", "", ["task 1.2", "task 2.1"]),
    ],
)
def test_a_verb_that_waits_for_nothing_it_stands_on_is_told(
    compare: str, cutover: str, expected: list[str]
) -> None:
    problems = found(PLAN.format(compare=after(compare), cutover=after(cutover)))
    assert [one.what.split(" runs")[0] for one in problems] == expected
    assert {one.level.value for one in problems} <= {"warning"}


def test_the_nearest_verb_is_named_with_its_line() -> None:
    (problem,) = found(PLAN.format(compare=after("Task 1.1"), cutover=""))
    assert "waits for no task that runs `crossfade verify`, such as task 1.2 (line 8)" in problem.what
    assert problem.todo == "add `- **Dependencies**: Task 1.2`"
    assert problem.line == 18


@pytest.mark.parametrize(
    "commands",
    [
        "- **Run**: `crossfade copy && crossfade verify`",
        "- **Run**:\n  - `crossfade copy`\n  - `crossfade verify`",
    ],
)
def test_one_task_may_run_both(commands: str) -> None:
    assert found(f"# P\n\n**Task 1: All**\n{commands}\n") == []


def test_a_task_waits_for_what_is_nested_in_it() -> None:
    inside = task("1.1", run=("crossfade copy",))
    around = plan(task("1", run=("crossfade verify",), subtasks=[inside]))
    assert [one for one in lint(around) if one.check == "order.verbs"] == []


def test_in_one_task_the_order_of_the_commands_counts() -> None:
    (problem,) = found("# P\n\n**Task 1: All**\n- **Run**:\n  - `crossfade verify`\n  - `crossfade copy`\n")
    assert "task 1 runs `crossfade verify`" in problem.what


@pytest.mark.parametrize(
    "text",
    [
        "# P\n\n**Task 1: Cut over**\n- **Run**: `crossfade cutover`\n",
        "# P\n\n**Task 1: Copy**\n- **Run**: `crossfade copy`\n- **Status**: Skipped\n\n**Task 2: V**\n- **Run**: `crossfade verify`\n",
        "# P\n\n**Task 1: Copy**\n- **Run**: `crossfade copy`\n\n**Task 2: V**\n- **Run**: `crossfade verify`\n- **Status**: Done\n",
        "# P\n\n**Task 1: Copy**\n- **Run**: `crossfade copy`\n\n**Task 2: Stop**\n- **Run**: `crossfade follow --stop`\n",
        "# P\n\n**Task 1: Copy**\n- **Run**: `crossfade copy`\n\n**Task 2: V**\n- **Run**: `crossfade plan verify`\n",
    ],
)
def test_what_is_alone_skipped_done_or_another_verb_is_left_in_peace(text: str) -> None:
    assert found(text) == []
