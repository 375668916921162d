"""What is a task and what is not, and where it belongs."""

from __future__ import annotations

import pytest

from crossfade.errors import PlanError
from crossfade.plans.model import GateKind, Plan, Status, TaskKind
from crossfade.plans.reading import parse_plan, read_plan


def read(text: str) -> Plan:
    return parse_plan(text.encode("utf-8"), "p.md")


def titles(text: str) -> list[str]:
    return [task.title for task in read(text).walk()]


@pytest.mark.parametrize(
    "line",
    [
        "**Task 28.1: Move**",
        "### Task 28.1: Move",
        "###### Task 28.1 - Move",
        "- **Task 28.1**: Move",
        "- **Task 28.1: Move**",
        "* Task 28.1: Move",
        "1. **Task 28.1**: Move",
        "- [ ] **Task 28.1**: Move",
        "- [ ] Task 28.1: Move",
        "**Task 28.1**: Move",
        "Task 28.1: Move",
        "#### 28.1 Move",
    ],
)
@pytest.mark.parametrize("status", ["**Status**: done", "**Status:** done", "Status: done", "status: done"])
@pytest.mark.parametrize("bullet", ["- ", "* ", "  - "])
def test_title_lines_and_field_bullets(line: str, status: str, bullet: str) -> None:
    if line.startswith(("- [", "* Task")) and not bullet.startswith(" "):
        bullet = "    " + bullet
    (task,) = read(f"# P\n\n## Phase 1: A\n\n{line}\n{bullet}{status}\n{bullet}**Owner**: ops\n").tasks
    assert (task.id, task.title, task.status, task.owner) == ("28.1", "Move", Status.DONE, "ops")
    assert task.source.line == 5


def test_fields_in_lines_of_their_own() -> None:
    text = "## Phase 1: A\n### Task 1: Move\n**Status**: done  \n**Owner:** ops\\\n**Time**: 2 h\n\nWords after.\n"
    (task,) = read(text).tasks
    assert (task.status, task.owner, task.estimate and task.estimate.hours) == (Status.DONE, "ops", 2)
    assert task.description == "Words after."


def test_values_go_on_over_lines_and_in_bullets() -> None:
    text = (
        "**Task 1: Move**\n- **Description**: one\n  two\n\n  three\n- **Files**:\n  - `a.py` (new)\n  - b.py\n"
        "- **Notes**: x\n  - y\n    - z\n"
    )
    (task,) = read(text).tasks
    assert task.description == "one two three"
    assert task.files == ("a.py", "b.py")
    assert task.other == {"notes": "x\ny\n  z"}


def test_fields_beside_a_bullet_that_is_a_task_belong_to_it() -> None:
    plan = read(
        "## Phase 1: A\n- **Task 1**: Move\n- **Status**: done\n- **Owner**: ops\n- **Task 2**: Stay\n- **Status**: todo\n"
    )
    assert [(task.id, task.status, task.owner) for task in plan.tasks] == [
        ("1", Status.DONE, "ops"),
        ("2", Status.NOT_STARTED, ""),
    ]


def test_the_second_of_two_equal_fields_is_noticed() -> None:
    plan = read("**Task 1: Move**\n- **Owner**: a\n- **Owner**: b\n")
    assert plan.tasks[0].owner == "a"
    assert [(notice.source.line, "first one, in line 2" in notice.text) for notice in plan.notices] == [
        (3, True)
    ]


def test_a_code_block_behind_or_below_the_field_is_its_value() -> None:
    below = "**Task 1: Move**\n- **Run**:\n  ```sh\n  a\n  b\n  ```\n- **Owner**: ops\n"
    behind = "**Task 1: Move**\n- **Run**:\n\n```sh\na\nb\n```\n\n- **Owner**: ops\n"
    label = "### Task 1: Move\n\n**Run**:\n```sh\na\nb\n```\n**Owner**: ops\n"
    for text in (below, behind, label):
        (task,) = read(text).tasks
        assert (task.run, task.owner) == (("a", "b"), "ops")


def test_a_list_under_a_label_of_a_task() -> None:
    text = (
        "### Task 1: Move\n**Deliverables**:\n- [x] A\n- [ ] B\n\n**Acceptance criteria**:\n- [x] C\n\n**Subtasks**:\n"
        "- [ ] D\n- [x] E\n\n**Steps**:\n1. F\n\n**Implementation details**:\n```\nx\n```\n"
    )
    plan = read(text)
    (task,) = plan.tasks
    assert task.deliverables == ("A", "B")
    assert [(gate.text, gate.task, gate.status) for gate in plan.gates] == [("C", "1", Status.DONE)]
    assert [sub.title for sub in task.subtasks] == ["D", "E"]
    assert task.other == {"steps": "F"}
    assert task.progress == 50


def test_fields_that_are_not_understood_are_noticed_and_kept() -> None:
    plan = read(
        "**Task 1: Move**\n- **Time**: a while\n- **Retry**: often\n- **Status**: dreaming\n- **Progress**: much\n"
    )
    (task,) = plan.tasks
    assert (task.estimate, task.retry, task.status, task.status_text) == (
        None,
        None,
        Status.UNKNOWN,
        "dreaming",
    )
    assert task.other == {"time": "a while", "retry": "often"}
    assert [notice.source.line for notice in plan.notices] == [2, 3, 4, 5]


def test_a_rule_ends_a_bold_task_and_a_heading_ends_every_task() -> None:
    text = "## Phase 1: A\n**Task 1: Move**\n- **Owner**: ops\n\n---\n\n- **Owner**: lead\n\n## Phase 2: B\n- **Owner**: other\n"
    plan = read(text)
    assert plan.tasks[0].owner == "ops"
    assert [phase.owner for phase in plan.phases] == ["lead", "other"]


def test_stated_totals_belong_to_phases_not_to_the_task_before_them() -> None:
    plan = read(
        "## Week 1\n### Day 1\n**Task 1: Move**\n- **Time**: 2h\n\n**Day 1 Total**: 3 hours\n\n**Week 1 Total**: 9 hours\n"
    )
    assert {phase.id: phase.estimate and phase.estimate.hours for phase in plan.phases} == {
        "Week 1": 9,
        "Day 1": 3,
    }
    assert plan.tasks[0].other == {}


# --- checkboxes ------------------------------------------------------------------------------


def test_checkboxes_below_one_are_its_subtasks_and_give_its_progress() -> None:
    text = "## Week 1\n- [ ] a\n  - [x] b\n  - [ ] c\n    - [x] d\n    - [x] e\n  - [-] f\n"
    (task,) = read(text).tasks
    assert [sub.title for sub in task.subtasks] == ["b", "c", "f"]
    # of b, d, e (the leaves that are not skipped) all are done
    assert task.progress == 100
    assert task.subtasks[1].progress == 100
    assert task.status is Status.NOT_STARTED


def test_a_stated_progress_wins_over_checkboxes() -> None:
    assert read("## Week 1\n- [ ] a\n  - **Progress**: 10%\n  - [x] b\n").tasks[0].progress == 10


def test_boxes_that_contradict_a_status_are_noticed() -> None:
    plan = read(
        "## Week 1\n- [x] a\n  - **Status**: in progress\n- [ ] b\n  - **Status**: done\n- [x] c\n  - **Status**: done\n"
    )
    assert [task.status for task in plan.tasks] == [Status.IN_PROGRESS, Status.DONE, Status.DONE]
    assert [notice.source.line for notice in plan.notices] == [2, 4]


def test_bold_words_and_a_colon_are_name_and_description() -> None:
    (one, two, three) = read(
        "## Week 1\n- [ ] **Name**: the rest (2h)\n- [ ] **Name two** - the rest\n- [ ] Plain: all of it\n"
    ).tasks
    assert (one.title, one.description, one.estimate and one.estimate.hours) == ("Name", "the rest", 2)
    assert (two.title, two.description) == ("Name two", "the rest")
    assert (three.title, three.description) == ("Plain: all of it", "")


def test_a_window_as_the_label_of_a_bullet() -> None:
    (task,) = read("## Week 1\n- **Day 1-2:** Create the project\n").tasks
    assert task.title == "Create the project"
    assert task.window is not None
    assert (task.window.raw, task.window.within and task.window.within.raw) == ("Day 1-2", "Week 1")


def test_checkboxes_count_under_prose_but_not_under_gates_and_rollback() -> None:
    text = (
        "## Notes\n- [ ] a\n## Success criteria\n- [ ] b\n## Rollback plan\n- [ ] c\n### Step 1: d\n## Risks\n- [ ] e\n"
        "## Prerequisites\n- [x] f\n"
    )
    plan = read(text)
    assert [task.title for task in plan.walk()] == ["a", "f"]
    assert [gate.text for gate in plan.gates] == ["b"]
    assert [risk.title for risk in plan.risks] == ["e"]


def test_checkboxes_of_phases_that_have_a_heading_are_their_status() -> None:
    plan = read(
        "## Phases\n- [x] **Phase 1: A**\n- [ ] Phase 2: B\n- [ ] Phase 3: C\n## Phase 1: A\n## Phase 2: B\n- [ ] x\n"
    )
    assert [(phase.id, phase.status) for phase in plan.phases][-2:] == [
        ("Phase 1", Status.DONE),
        ("Phase 2", Status.NOT_STARTED),
    ]
    # nobody wrote a third one, so this is a task
    assert [task.title for task in plan.walk()] == ["Phase 3: C", "x"]


# --- plain bullets -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "heading",
    [
        "Phase 1: A",
        "Week 1",
        "Day 2-3",
        "Weekend",
        "Sprint 1",
        "Tasks",
        "Checklist",
        "Foundation (Weeks 1-2)",
    ],
)
def test_plain_bullets_count_under_phases_and_tasks(heading: str) -> None:
    assert titles(f"# P\n## {heading}\n- one\n* two\n1. three\n") == ["one", "two", "three"]


@pytest.mark.parametrize(
    "heading",
    [
        "Overview",
        "Notes",
        "Background",
        "Lessons learned",
        "Contacts",
        "Objectives",
        "Resources",
        "Database",
        "Rollback plan",
    ],
)
def test_plain_bullets_do_not_count_elsewhere(heading: str) -> None:
    assert titles(f"# P\n## {heading}\n- one\n- two\n") == []


def test_plain_bullets_under_a_neutral_heading_inside_a_phase() -> None:
    text = "## Phase 1: A\n### Database\n- one\n- **Key**: value\n### Notes\n- two\n### Objectives\n- three\n"
    assert titles(text) == ["one"]


def test_plain_bullets_beside_other_tasks_are_remarks() -> None:
    assert titles("## Phase 1: A\n- remark\n- [ ] box\n- counted (2h)\n") == ["box", "counted"]
    assert titles("## Phase 1: A\n- remark\n### Task 1: t\n") == ["t"]
    assert titles("## Phase 1: A\n- remark\n### Week 1\n- [ ] box\n") == ["box"]
    assert titles("## Phase 1: A\n- task\n## Phase 2: B\n- [ ] box\n") == ["task", "box"]


def test_a_bullet_with_checkboxes_below_it_is_never_lost() -> None:
    plan = read("## Notes\n- group\n  - [ ] a\n")
    assert [task.title for task in plan.walk()] == ["group", "a"]


def test_bullets_that_are_fields_of_the_phase_are_no_tasks() -> None:
    text = "## Phase 1: A\n- **Goal**: g\n- **Owner**: ops\n- **Duration**: 2 weeks\n- **Estimated**: 30 hours\n- **Depends on**: Phase 0\n- one\n"
    plan = read(text)
    (phase,) = plan.phases
    assert [task.title for task in phase.tasks] == ["one"]
    assert (phase.goal, phase.owner) == ("g", "ops")
    # two weeks are how long it takes, not how much work it is
    assert phase.estimate is not None
    assert phase.estimate.hours == 30
    assert [(one.target, one.known) for one in phase.dependencies] == [("Phase 0", False)]


def test_a_bullet_that_names_a_phase_holds_its_tasks() -> None:
    plan = read("# P\n- Phase 1 (Stabilise):\n  - one\n  - [ ] two\n- **Phase 2: Move**\n  - three\n")
    assert [(phase.id, [task.title for task in phase.tasks]) for phase in plan.phases] == [
        ("Phase 1", ["two"]),
        ("Phase 2", ["three"]),
    ]


def test_a_bold_line_that_names_a_phase_opens_it() -> None:
    plan = read("# P\n\n**Week 1: Start**\n\n- one\n\n**Week 2**\n- two\n")
    assert [(phase.id, [task.title for task in phase.tasks]) for phase in plan.phases] == [
        ("Week 1", ["one"]),
        ("Week 2", ["two"]),
    ]


# --- where tasks belong ----------------------------------------------------------------------------


def test_tasks_belong_to_the_innermost_phase_and_keep_the_headings_above() -> None:
    plan = read("# P\n## Phase 1: A\n### Database\n- [ ] one\n### Week 2\n#### Night\n- [ ] two\n")
    assert [(task.title, task.phase, task.path) for task in plan.tasks] == [
        ("one", "Phase 1", ("Phase 1: A", "Database")),
        ("two", "Week 2", ("Phase 1: A", "Week 2", "Night")),
    ]
    assert [(phase.id, phase.parent) for phase in plan.phases] == [("Phase 1", None), ("Week 2", "Phase 1")]
    assert [task.title for task in plan.inside(plan.phases[0])] == ["one", "two"]


def test_a_heading_with_tasks_and_no_phase_above_is_a_phase() -> None:
    plan = read("# P\n## Vercel setup\n- [ ] one\n")
    assert [(phase.title, phase.id, phase.implicit) for phase in plan.phases] == [
        ("Vercel setup", "vercel-setup", False)
    ]


@pytest.mark.parametrize("text", ["# My plan\n- [ ] one\n", "My plan\n===\n**Task 1: one**\n"])
def test_tasks_under_no_heading_belong_to_the_document(text: str) -> None:
    plan = read(text)
    assert [(phase.id, phase.title, phase.implicit) for phase in plan.phases] == [
        ("document", "My plan", True)
    ]
    assert plan.tasks[0].phase == "document"


def test_weeks_of_two_phases_are_told_apart() -> None:
    plan = read("## Phase 1: A\n### Week 1\n- [ ] a\n## Phase 2: B\n### Week 1\n- [ ] b\n")
    assert [phase.id for phase in plan.phases] == ["Phase 1", "Week 1", "Phase 2", "Phase 2/Week 1"]


def test_a_phase_that_an_overview_tells_of_is_read_once() -> None:
    plan = read("## Overview\n### Phase 1: A\n- what it is about\n## Phase 1: A\n- [ ] one\n")
    assert [(phase.id, phase.source.line) for phase in plan.phases] == [("Phase 1", 4)]


def test_a_task_heading_ends_no_phase_however_high_it_is() -> None:
    plan = read(
        "## Plan\n#### Day 1\n### Task 1: a\n- **Owner**: x\n### Task 2: b\n## Notes\n### Task 3: c\n"
    )
    assert [(task.id, task.phase) for task in plan.tasks] == [("1", "Day 1"), ("2", "Day 1"), ("3", "notes")]


def test_tasks_below_a_task_heading_are_its_subtasks() -> None:
    plan = read("## Phase 1: A\n### Slice 1: s\n#### Task 1: a\n- [ ] x\n#### Notes\n- no\n#### Task 2: b\n")
    (task,) = plan.tasks
    assert [(sub.id, [one.title for one in sub.subtasks]) for sub in task.subtasks] == [
        ("task-1", ["x"]),
        ("2", []),
    ]
    assert {sub.phase for sub in task.walk()} == {"Phase 1"}


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# A plan\n", "A plan"),
        ("# 🚀 A plan - ✅ Complete\n", "A plan"),
        ("---\ntitle: From the front\n---\n- [ ] x\n", "From the front"),
        ("---\ntitle: From the front\n---\n# From the heading\n", "From the heading"),
        ("# Phase 5: Integration\n## Week 1\n", "Phase 5: Integration"),
        ("# Phase 1: A\n# Phase 2: B\n", "p"),
        ("## Only this\n### That\n", "Only this"),
        ("- [ ] x\n", "p"),
        ("", "p"),
    ],
)
def test_the_title(text: str, title: str) -> None:
    assert read(text).title == title


def test_the_head_of_the_document() -> None:
    text = (
        "# P\n## Subtitle\n> **Status**: in progress | **Owner**: ops\n\n**Overall progress**: 40% complete\n"
        "**Total estimated time**: 30 hours\n## Phase 1: A\n**Status**: done\n"
    )
    plan = read(text)
    assert (plan.status, plan.owner, plan.progress) == (Status.IN_PROGRESS, "ops", 40)
    assert plan.estimate is not None
    assert plan.estimate.hours == 30
    assert plan.lines == {"status": 3, "owner": 3, "progress": 5, "estimate": 6}
    assert plan.phases[0].status is Status.DONE


def test_a_block_quote_counts_only_below_its_heading() -> None:
    plan = read("## Phase 1: A\n> **Owner**: ops\n- [ ] x\n\n> **Goal**: not this\n> - [ ] nor this\n")
    assert (plan.phases[0].owner, plan.phases[0].goal) == ("ops", "")
    assert [task.title for task in plan.walk()] == ["x"]


# --- ids ------------------------------------------------------------------------------------------------


def test_two_tasks_with_one_id() -> None:
    plan = read("**Task 1: a**\n**Task 1: b**\n**Task 1: c**\n")
    assert [task.id for task in plan.tasks] == ["1", "1~2", "1~3"]
    assert [notice.source.line for notice in plan.notices] == [2, 3]


def test_a_task_and_a_slice_may_share_a_number() -> None:
    plan = read("**Task 1.2: a**\n**Slice 1.2: b**\n")
    assert [(task.id, task.kind) for task in plan.tasks] == [
        ("1.2", TaskKind.TASK),
        ("slice-1.2", TaskKind.SLICE),
    ]
    assert not plan.notices


def test_made_ids_are_stable_and_give_way_to_stated_ones() -> None:
    plan = read(
        "## Week 1\n- [ ] Copy the data!\n- [ ] Copy the data\n- [ ] Ä & Ö\n- [ ] ---\n- **Task copy-1**: x\n"
    )
    assert [(task.id, task.id_stated) for task in plan.tasks] == [
        ("copy-the-data", False),
        ("copy-the-data~2", False),
        ("ä-ö", False),
        ("task", False),
        ("copy-1", True),
    ]


# --- gates of phases -----------------------------------------------------------------------------------


def test_gates_belong_to_the_phase_they_stand_in_or_name() -> None:
    text = (
        "## Phase 1: A\n### Exit criteria\n- one\n**Quality gates:**\n- two\n- **Gate**: three\n## Gates\n### Phase 2 gate\n- four\n"
        "### Phase 1\n- five\n## Phase 2: B\n- [ ] x\n"
    )
    plan = read(text)
    assert [(gate.text, gate.phase) for gate in plan.gates] == [
        ("one", "Phase 1"),
        ("two", "Phase 1"),
        ("three", "Phase 1"),
        ("four", "Phase 2"),
        ("five", "Phase 1"),
    ]
    assert {gate.kind for gate in plan.gates} == {GateKind.QUALITY}
    assert plan.phases[0].gates == ("G1", "G2", "G3", "G5")


def test_a_gate_with_conditions_below_it() -> None:
    plan = read(
        "## Quality gates\n- **Speed**:\n  - p95 < 200 ms\n  - p50 < 50 ms\n- **Load**: an hour\n  - **Owner**: ops\n"
    )
    assert [(gate.text, gate.owner) for gate in plan.gates] == [
        ("Speed: p95 < 200 ms", ""),
        ("Speed: p50 < 50 ms", ""),
        ("Load: an hour", "ops"),
    ]


# --- files ------------------------------------------------------------------------------------------------


def test_a_file_that_is_not_there(tmp_path: object) -> None:
    with pytest.raises(PlanError) as caught:
        read_plan(f"{tmp_path}/none.md")
    assert caught.value.where == f"{tmp_path}/none.md"
    assert caught.value.exit_code == 2
