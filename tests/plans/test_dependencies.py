"""What dependency fields name."""

from __future__ import annotations

import pytest

from crossfade.plans.model import Dependency, DependencyKind, Plan
from crossfade.plans.reading import parse_plan

PLAN = """\
# Plan
## Phase 3: Before
**Task 27.1: One**
**Task 27.2: Two**
**Task 27.3: Three**
## Phase 4: Now
### Week 7
- [ ] Backup and restore
- [ ] Schema conversion
**Task 28.1: Four**
### Slice 1.2: Thin
## Milestones
1. **M2: Half** (Week 4)
## Phase 5: Then
**Task 30.1: Last**
- **Dependencies**: {text}
"""


def dependencies(text: str) -> tuple[Dependency, ...]:
    return last(parse_plan(PLAN.format(text=text).encode(), "p.md"))


def last(plan: Plan) -> tuple[Dependency, ...]:
    task = plan.task("30.1")
    assert task is not None
    return task.dependencies


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Task 27.4", ["task 27.4?"]),
        ("Task 27.1, 27.2 and Phase 4 completion", ["task 27.1", "task 27.2", "phase Phase 4"]),
        ("Tasks 27.1-27.3", ["task 27.1", "task 27.2", "task 27.3"]),
        ("Tasks 27.1 to 27.3", ["task 27.1", "task 27.2", "task 27.3"]),
        ("27.1", ["task 27.1"]),
        ("#27.1; 27.2", ["task 27.1", "task 27.2"]),
        ("Task 27.1 (done), Task 27.1", ["task 27.1"]),
        ("Slice 1.2", ["task 1.2"]),
        ("All Phase 4 tasks", ["phase Phase 4"]),
        ("Phase 4 complete (✅ live)", ["phase Phase 4"]),
        ("Phase 9 completion", ["phase Phase 9?"]),
        ("Week 7", ["phase Week 7"]),
        ("M2", ["milestone M2"]),
        ("Milestone 2 reached", ["milestone M2"]),
        ("Schema conversion", ["task schema-conversion"]),
        ("Backup and restore", ["task backup-and-restore"]),
        ("Schema conversion, Backup and restore", ["task schema-conversion", "task backup-and-restore"]),
        ("sign-off of the DBA and the auditor", ["text sign-off of the DBA and the auditor"]),
        ("Task 27.1, sign-off", ["task 27.1", "text sign-off"]),
        ("None", []),
        ("None (can start at once)", []),
        ("-", []),
        ("n/a", []),
        ("", []),
    ],
)
def test_resolution(text: str, expected: list[str]) -> None:
    shown = []
    for one in dependencies(text):
        if one.kind is DependencyKind.TEXT:
            shown.append(f"text {one.raw}")
        else:
            shown.append(f"{one.kind.value} {one.target}{'' if one.known else '?'}")
    assert shown == expected


def test_bullets_below_the_field_and_their_lines() -> None:
    found = dependencies("\n  - Task 27.1\n  - Task 27.2")
    assert [(one.target, one.source.line) for one in found] == [("27.1", 17), ("27.2", 18)]


def test_a_task_never_depends_on_the_phase_it_stands_in() -> None:
    text = "## Phase 1: A\n**Task 1: a**\n**Task 2: b**\n**Task 3: c**\n- **Depends on**: All Phase 1 tasks\n**Task 4: d**\n"
    task = parse_plan(text.encode(), "p.md").task("3")
    assert task is not None
    assert [(one.kind, one.target) for one in task.dependencies] == [
        (DependencyKind.TASK, "1"),
        (DependencyKind.TASK, "2"),
    ]
