"""Tables: what they are, and their rows."""

from __future__ import annotations

import pytest

from crossfade.plans.model import GateKind, Plan, Status, TaskKind
from crossfade.plans.reading import parse_plan
from crossfade.plans.writing import Change, write_back


def read(text: str) -> Plan:
    return parse_plan(text.encode("utf-8"), "p.md")


def table(*rows: str) -> str:
    head = rows[0]
    whole = [f"| {row} |" if not row.startswith("|") else row for row in (head, *rows[1:])]
    return "\n".join([whole[0], "|" + "---|" * (head.count("|") + 1), *whole[1:]]) + "\n"


@pytest.mark.parametrize(
    "title", ["Task", "TASK", "Item", "Activity", "Action", "Step", "Work item", "Feature", "**Task**"]
)
@pytest.mark.parametrize("owner", ["Owner", "Responsible", "Assignee", "Who"])
def test_columns_by_any_name_and_in_any_order(title: str, owner: str) -> None:
    plan = read("## Phase 1: A\n" + table(f"{owner} | Status | {title} | Due", "ops | done | Copy | Week 3"))
    (task,) = plan.tasks
    assert (task.title, task.owner, task.status, task.kind) == ("Copy", "ops", Status.DONE, TaskKind.ROW)
    assert task.window is not None
    assert task.window.raw == "Week 3"


@pytest.mark.parametrize(
    ("label", "cell", "attribute", "value"),
    [
        ("Effort", "2h", "hours", 2),
        ("Hours", "2", "hours", 2),
        ("Estimate (hours)", "1-3", "hours", 2),
        ("Days", "2", "hours", 16),
        ("Week", "7-8", "window", "7-8"),
        ("Timeline", "Week 7", "window", "Week 7"),
        ("When", "2025-03-01", "window", "2025-03-01"),
        ("% Complete", "40", "progress", 40),
        ("Progress", "2/5", "progress", 40),
        ("Done?", "✅", "status", "done"),
        ("Priority", "P1", "priority", "P1"),
        ("Depends on", "Copy", "depends", "Copy"),
        ("Predecessors", "1.1", "depends", "1.1"),
        ("Output", "`a.md`", "deliverables", ("a.md",)),
        ("Deliverable(s)", "A, B", "deliverables", ("A, B",)),
        ("Deliverables", "`a`, `b`", "deliverables", ("a", "b")),
        ("Deliverables", "A<br>B", "deliverables", ("A", "B")),
        ("Notes", "odd", "notes", "odd"),
    ],
)
def test_synonyms_of_columns(label: str, cell: str, attribute: str, value: object) -> None:
    task = read("## Phase 1: A\n" + table(f"Task | Owner | {label}", f"Move | ops | {cell}")).tasks[0]
    said = {
        "hours": task.estimate and task.estimate.hours,
        "window": task.window and task.window.raw,
        "progress": task.progress,
        "status": task.status.value,
        "priority": task.priority,
        "depends": [one.raw for one in task.dependencies][:1],
        "deliverables": task.deliverables,
        "notes": task.other.get("notes"),
    }[attribute]
    assert said == ([value] if attribute == "depends" else value)


def test_start_and_end_columns_make_one_window() -> None:
    task = read(
        "## Phase 1: A\n" + table("Task | Start | End | Status", "Move | 2025-03-01 | 2025-03-05 | todo")
    ).tasks[0]
    assert task.window is not None
    assert task.window.start is not None
    assert task.window.end is not None
    assert (str(task.window.start.date), str(task.window.end.date)) == ("2025-03-01", "2025-03-05")


def test_ids_of_a_column_and_in_a_title() -> None:
    plan = read(
        "## Phase 1: A\n"
        + table(
            "ID | Task | Status", "A-1 | One | todo", "| | Task 2.1: Two | todo |", "**A-3** | Three | todo"
        )
    )
    assert [(task.id, task.title) for task in plan.tasks] == [
        ("A-1", "One"),
        ("2.1", "Two"),
        ("A-3", "Three"),
    ]


def test_running_numbers_are_ids_only_where_they_name_one_task() -> None:
    one = "## Phase 1: A\n" + table("# | Task | Status", "1 | One | todo", "2 | Two | todo")
    two = one + "\n## Phase 2: B\n" + table("# | Task | Status", "1 | Three | todo", "3 | Four | todo")
    assert [task.id for task in read(one).tasks] == ["1", "2"]
    assert [task.id for task in read(two).tasks] == ["one", "2", "three", "3"]
    assert not read(two).notices


def test_without_a_task_column_the_deliverable_names_the_task() -> None:
    plan = read(
        "## Phase 1: A\n" + table("Week | Deliverable | Owner | Status", "**Week 1** | Charter | ops | done")
    )
    (task,) = plan.tasks
    assert (task.title, task.deliverables, task.owner) == ("Charter", ("Charter",), "ops")
    assert task.window is not None
    assert task.window.raw == "Week 1"


@pytest.mark.parametrize(
    "rows",
    [
        ("File | Change", "a.py | new"),
        ("Category | Tasks | Hours", "API | 12 tasks | 24", "UI | 3 tasks | 8"),
        ("Measure | Value", "Requests | 140"),
        ("Audience | Channel", "Board | mail"),
        ("Name | Purpose", "cache | speed"),
    ],
)
def test_other_tables_are_no_tasks(rows: tuple[str, ...]) -> None:
    plan = read("## Phase 1: A\n" + table(*rows))
    assert plan.tasks == ()


def test_rows_that_are_too_short_or_too_long() -> None:
    plan = read(
        "## Phase 1: A\n" + table("Task | Status | Owner", "One | done", "Two | todo | ops | more", "| | | |")
    )
    assert [(task.title, task.status, task.owner) for task in plan.tasks] == [
        ("One", Status.DONE, ""),
        ("Two", Status.NOT_STARTED, "ops"),
    ]
    assert [notice.source.line for notice in plan.notices] == [4, 5]


def test_totals_are_no_tasks() -> None:
    plan = read(
        "## Phase 1: A\n### Data Workstream\n"
        + table("Task | Hours", "One | 2", "**Total** | **12**")
        + "\n"
        + table("# | Task | Hours", "1 | Two | 2", "| | **Total** | 3 hours |")
    )
    assert [task.title for task in plan.tasks] == ["One", "Two"]
    assert [(total.estimate.hours, total.phase, total.workstream) for total in plan.totals] == [
        (12, "Phase 1", "Data"),
        (3, "Phase 1", "Data"),
    ]


def test_a_table_of_phases_speaks_of_the_phases() -> None:
    plan = read(
        table(
            "Phase | Status | Progress | Timeline",
            "Phase 1: A | In progress | 40% | Weeks 1-2",
            "Phase 9: Z | todo | 0% | Week 9",
        )
        + "\n## Phase 1: A\n- [ ] one\n"
    )
    assert [(phase.id, phase.status, phase.progress) for phase in plan.phases] == [
        ("Phase 9", Status.NOT_STARTED, 0),
        ("Phase 1", Status.IN_PROGRESS, 40),
    ]
    phase = plan.phase("Phase 1")
    assert phase is not None
    assert phase.window is not None
    assert phase.window.raw == "Weeks 1-2"


def test_a_column_names_the_phase_of_a_task() -> None:
    plan = read(
        "# P\n"
        + table("Task | Phase | Status", "One | Phase 2 | todo", "Two | Phase 1 | todo")
        + "\n## Phase 1: A\n## Phase 2: B\n"
    )
    assert {task.title: task.phase for task in plan.tasks} == {"One": "Phase 2", "Two": "Phase 1"}


def test_a_risk_table() -> None:
    plan = read(
        table(
            "Risk | Likelihood | Impact | Mitigation strategy | Owner", "R3: Loss | Low | High | Backup | ops"
        )
    )
    (risk,) = plan.risks
    assert (risk.id, risk.title, risk.probability, risk.impact, risk.mitigation, risk.owner) == (
        "R3",
        "Loss",
        "Low",
        "High",
        "Backup",
        "ops",
    )
    assert plan.tasks == ()


def test_a_decision_table() -> None:
    (one,) = read(
        table(
            "Decision | Status | Document | Rationale | Impact", "Use A | ✅ Decided | ADR-1 | cheap | slow"
        )
    ).decisions
    assert (one.id, one.title, one.rationale, one.consequences) == ("ADR-1", "Use A", "cheap", "slow")
    (two,) = read(table("Topic | Decision | Decided by | Date", "Bucket | One | ops | 2025-03-01")).decisions
    assert (two.title, two.outcome, two.owner, str(two.date)) == ("Bucket", "One", "ops", "2025-03-01")


def test_a_metric_table() -> None:
    plan = read(
        table(
            "KPI | Baseline | Goal | How measured",
            "p95 | 180 ms | < 200 ms | probes",
            "Docs | 5/8 | 8/8 | count",
        )
    )
    first, second = plan.metrics
    assert first.current is not None
    assert first.target is not None
    assert (first.name, first.current.number, first.target.comparison, first.target.number, first.unit) == (
        "p95",
        180,
        "<",
        200,
        "ms",
    )
    assert first.measured_by == "probes"
    assert second.target is not None
    assert (second.target.number, second.target.unit) == (8, "/8")


def test_a_milestone_table() -> None:
    (one,) = read(table("Milestone | Date | Criteria | Status", "M2: Ready | Week 4 | a;b | done")).milestones
    assert (one.id, one.title, one.criteria, one.status) == ("M2", "Ready", ("a", "b"), Status.DONE)
    assert one.window is not None
    assert one.window.raw == "Week 4"


def test_a_trigger_table_and_a_criteria_table() -> None:
    plan = read(
        table("Trigger | Threshold | Action", "Errors | > 5 % | roll back")
        + "\n## Success criteria\n"
        + table("Factor | Requirement | Measurement", "Speed | < 200 ms | probes")
    )
    trigger, factor = plan.gates
    assert (trigger.kind, trigger.text, trigger.threshold, trigger.action) == (
        GateKind.ROLLBACK,
        "Errors",
        "> 5 %",
        "roll back",
    )
    assert (factor.kind, factor.text) == (GateKind.SUCCESS, "Speed")


def test_a_stakeholder_table_and_a_workstream_table() -> None:
    plan = read(
        table("Stakeholder | Role | Interest", "Board | Sponsor | cost")
        + "\n"
        + table("Workstream | Owner | Scope", "Data | ops | copy")
    )
    assert (plan.stakeholders[0].name, plan.stakeholders[0].role) == ("Board", "Sponsor")
    assert (plan.workstreams[0].name, plan.workstreams[0].owner) == ("Data", "ops")


# --- bars in cells ----------------------------------------------------------------

PIPES = """\
# P
## Phase 1: A
| Task | Run | Gate | Undo | Status | Notes |
|---|---|---|---|---|---|
| A \\| B | `echo a \\| tr a b` | `a.b \\|\\| c.d` | `x \\| y`, `z` | todo | p \\| q |
"""


def test_an_escaped_bar_in_a_cell_is_a_bar() -> None:
    (task,) = read(PIPES).tasks
    assert task.title == "A | B"
    assert task.run == ("echo a | tr a b",)
    assert task.gate == "a.b || c.d"
    assert task.undo == ("x | y", "z")
    assert task.other == {"notes": "p | q"}


def test_outside_of_tables_a_backslash_before_a_bar_in_code_stays() -> None:
    (task,) = read("## Phase 1: A\n**Task 1: One**\n- **Run**: `grep 'a\\|b' f`\n").tasks
    assert task.run == ("grep 'a\\|b' f",)


def test_an_escaped_bar_in_registers_and_column_titles() -> None:
    risks = read("## Risks\n" + table("Risk | Mitigation", "a \\| b | `c \\| d`")).risks
    assert [(one.title, one.mitigation) for one in risks] == [("a | b", "c | d")]
    (task,) = read("## Phase 1: A\n" + table("Task | Owner | `X\\|Y`", "Copy | ops | z")).tasks
    assert task.other == {"x|y": "z"}


def test_writing_into_a_row_with_escaped_bars_changes_one_cell() -> None:
    changed = write_back(PIPES.encode(), read(PIPES), [Change("a-b", status=Status.DONE)]).decode()
    assert [new for new, old in zip(changed.split("\n"), PIPES.split("\n"), strict=True) if new != old] == [
        PIPES.split("\n")[4].replace("| todo |", "| complete |")
    ]


# --- tables behind and below blocks of tasks -----------------------------------------

ROWS = "| Task | Owner | Status |\n|---|---|---|\n| B | ops | todo |\n| C | dba | done |\n"


def below(text: str, columns: int) -> str:
    return "".join(" " * columns + line + "\n" for line in text.splitlines())


@pytest.mark.parametrize(
    "bullets", ["- **Owner**: ann\n- **Status**: todo", "- **Run**:", "- first\n- second"]
)
def test_a_table_after_a_task_block_has_tasks_of_the_phase(bullets: str) -> None:
    plan = read(f"# P\n## Phase 1: X\n**Task 1: A**\n{bullets}\n\n{ROWS}")
    assert [(task.title, task.phase) for task in plan.tasks] == [
        ("A", "Phase 1"),
        ("B", "Phase 1"),
        ("C", "Phase 1"),
    ]
    assert not plan.notices


@pytest.mark.parametrize(
    "bullets", ["- **Owner**: ann\n- **Status**: todo", "- first", "**Steps**:\n- first"]
)
def test_an_indented_table_below_the_bullets_of_a_task_has_its_subtasks(bullets: str) -> None:
    text = f"# P\n## Phase 1: X\n**Task 1: A**\n{bullets}\n\n{below(ROWS, 2)}\n**Undo**: `u`\n"
    (task,) = read(text).tasks
    assert [(one.title, one.owner, one.status) for one in task.subtasks if one.kind is TaskKind.ROW] == [
        ("B", "ops", Status.NOT_STARTED),
        ("C", "dba", Status.DONE),
    ]
    assert task.undo == ("u",), "the block goes on behind the table"


def test_an_indented_table_below_a_bullet_that_is_a_task_has_its_subtasks() -> None:
    plan = read(f"# P\n## Phase 1: X\n- **Task 1: A**\n  - **Owner**: ann\n\n{below(ROWS, 4)}- [ ] **D**\n\n")
    assert [(task.title, [one.title for one in task.subtasks]) for task in plan.tasks] == [
        ("A", ["B", "C"]),
        ("D", []),
    ]


def test_an_indented_table_below_a_remark_has_tasks_of_the_phase() -> None:
    plan = read(f"# P\n## Phase 1: X\n- a remark\n\n{below(ROWS, 2)}")
    assert {one.title for one in plan.walk()} >= {"B", "C"}


def test_the_rows_of_a_table_below_a_task_may_name_a_phase() -> None:
    text = "# P\n## Phase 1: X\n### Task 1: A\n- **Owner**: x\n\n"
    (task,) = read(text + table("Task | Phase | Owner", "B | Phase 2 | ops")).tasks
    assert [(one.title, one.phase, one.other) for one in task.subtasks] == [
        ("B", "Phase 1", {"phase": "Phase 2"})
    ]


@pytest.mark.parametrize(
    "text",
    [
        "## Phase 1: X\n**Task 1: A**\n- **Owner**: ann\n\n" + table("Task | Colour", "B | red"),
        "## Phase 1: X\n" + table("Task | Colour", "B | red"),
        "## Rollback plan\n" + ROWS,
        "## Phase 1: X\n" + table("Task | Owner | Status", "1 | ops | todo", "2 | ops | todo"),
    ],
)
def test_a_table_of_tasks_that_is_not_read_leaves_a_notice(text: str) -> None:
    (notice,) = read(text).notices
    assert "its rows are not read as tasks" in notice.text
    assert text.splitlines()[notice.source.line - 1].startswith("| Task")


def test_a_table_that_counts_tasks_leaves_no_notice() -> None:
    assert not read("## Overview\n" + table("Area | Tasks", "Data | 12", "Apps | 3 tasks")).notices
