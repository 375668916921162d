"""Lint finds what is wrong with a plan, says where, and finds nothing in a sane one."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import Any

import pytest

from crossfade.plans.lint import KNOWN_METRICS, Level, Problem, lint
from crossfade.plans.lint.gates import names_of
from crossfade.plans.lint.undo import destroys, destroys_by_title
from crossfade.plans.model import (
    Approval,
    GateKind,
    Notice,
    OnFailure,
    Plan,
    Risk,
    Status,
    TaskKind,
    Window,
    Workstream,
)
from crossfade.plans.placeholders import is_placeholder, people
from crossfade.plans.reading import parse_plan, read_plan
from crossfade.runs import gates
from tests.plans.build import (
    MONDAY,
    gate,
    metric,
    milestone,
    phase,
    plan,
    source,
    task,
    total,
    within,
)

DOCUMENTS = Path(__file__).parent / "documents"
DONE, OPEN, DOING = Status.DONE, Status.NOT_STARTED, Status.IN_PROGRESS
SKIPPED, UNKNOWN = Status.SKIPPED, Status.UNKNOWN


def found(of: Plan, *checks: str, **options: Any) -> list[Problem]:
    """The problems of these checks; of all of them, if none is named."""
    return [one for one in lint(of, **options) if not checks or one.check in checks]


def only(of: Plan, check: str, **options: Any) -> Problem:
    """The one problem of a check."""
    (one,) = found(of, check, **options)
    return one


# --- a sane plan ------------------------------------------------------------


def test_nothing_is_found_in_a_sane_plan(tmp_path: Path) -> None:
    sane = read_plan(DOCUMENTS / "sane.md")
    assert len(list(sane.walk())) > 100
    for name in ("docs/inventory.md", "docs/jobs.md", "app/db/schema.sql", "docs/rollback.md"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert lint(sane, root=tmp_path) == []
    assert lint(sane, root=tmp_path, metrics=gates.NAMES, gate_problem=gates.problem) == []


@pytest.mark.parametrize(
    ("before", "after", "check"),
    [
        ("- **Dependencies**: Task 5.8", "- **Dependencies**: Task 5.80", "dependency.unknown"),
        ("- **Dependencies**: Task 5.8", "- **Dependencies**: Task 5.14", "dependency.cycle"),
        ("**Task 5.18: ", "**Task 5.17: ", "id.duplicate"),
        ("found | Ada | Week 10 |", "found | Ada | Week 9 |", "order.late"),
        ("**Estimated**: 62 hours", "**Estimated**: 52 hours", "total.sum"),
        ("**Phase 4 Total**: 76 hours", "**Phase 4 Total**: 70 hours", "total.sum"),
        ("**Estimated total**: 506 hours", "**Estimated total**: 560 hours", "total.sum"),
        ("✅ Done | 100% | dashboard", "✅ Done | 60% | dashboard", "status.progress"),
        ("**Progress**: 55%", "**Progress**: 80%", "status.progress"),
        ("**Finished**: 2026-03-03", "**Finished**: 2026-03-01", "status.dates"),
        ("✅ Completed\n- **Dependencies**: Tasks", "⏳ Open\n- **Dependencies**: Tasks", "status.phase"),
        (
            "| Bob | Week 11 | 4 | Not started | timers |",
            "| TBD | Week 11 | 4 | Not started | timers |",
            "owner.tbd",
        ),
        ("| 12 | Not started | test report |", "| 12 | Not started | |", "deliverable.missing"),
        ("- [ ] Task 3.16: Sign-off", "- [ ] Task 3.16: Talk", None),
        ("### Quality gate: Phase 7\n\n- [ ] Four weeks without a rollback", "", "gate.missing"),
        (", its snapshot is kept for a year", "", "undo.missing"),
        ("- **Undo**: `systemctl start shop-jobs`\n", "", "undo.missing"),
        ("- **Gate**: `check.errors == 0`", "- **Gate**: `chekc.errors == 0`", "gate.metric"),
        ("| < 20 | Eva's list |", "| < 20 | |", "metric.unmeasured"),
        ("| verify.differences |", "| verfiy.differences |", "metric.unknown"),
        (
            "| M3 | Data proven | Week 8 | Not started |",
            "| M3 | Data | Week 8 | Perhaps |",
            "status.unreadable",
        ),
    ],
)
def test_one_mistake_in_a_sane_plan_is_found(before: str, after: str, check: str | None) -> None:
    text = (DOCUMENTS / "sane.md").read_text()
    assert text.count(before) >= 1
    broken = text.replace(before, after, 1)
    problems = [one for one in lint(parse_plan(broken.encode(), "PLAN.md")) if one.check != "reading"]
    assert {one.check for one in problems} == ({check} if check else set())
    assert all(one.file == "PLAN.md" and 1 <= one.line <= len(broken.splitlines()) for one in problems)


# --- ids and dependencies ---------------------------------------------------


def test_an_id_that_is_used_twice_is_an_error_in_the_line_of_the_second() -> None:
    twice = plan(
        task("28.1"),
        task("28.1~2"),
        task("write-tests"),
        task("write-tests~2", id_stated=False),
        notices=(Notice(source=source(7), text="a second task with the id '28.1'; it is read as 28.1~2"),),
    )
    problem = only(twice, "id.duplicate")
    assert (problem.level, problem.line) == (Level.ERROR, 7)
    assert "28.1 is used again: the first one is in line 5" in problem.what
    assert found(twice, "reading") == [], "the check tells it better than the notice"


def test_an_unknown_dependency_is_an_error_with_a_guess() -> None:
    problem = only(plan(task("28.1"), task("28.2", needs=["28.11", "DBA sign-off"])), "dependency.unknown")
    assert problem.level is Level.ERROR
    assert "task 28.2 depends on task 28.11, which is not in the plan" in problem.what
    assert "28.1" in problem.todo
    assert problem.line == 7
    done = plan(task("1", needs=["9"], status=DONE))
    assert only(done, "dependency.unknown").level is Level.WARNING, "it does not keep a run from anything"
    unknown_phase = plan(phase("Phase 1", task("1.1", needs=["Phase 9"])))
    assert "depends on Phase 9" in only(unknown_phase, "dependency.unknown").what


def test_each_circle_is_told_once_and_whole() -> None:
    circles = plan(
        task("a", needs=["c"]),
        task("b", needs=["a"]),
        task("c", needs=["b"]),
        task("d", needs=["a"]),
        task("x", needs=["y"]),
        task("y", needs=["x", "d"]),
        task("z", needs=["z"]),
    )
    told = [one.what for one in found(circles, "dependency.cycle")]
    assert len(told) == 3
    assert (
        "task a → task c → task b → task a (task a in line 5, task c in line 9, task b in line 7)" in told[0]
    )
    assert "task x → task y → task x" in told[1]
    assert "task z → task z" in told[2]


def test_circles_through_phases_and_milestones_are_told() -> None:
    through = plan(
        phase("Phase 1", task("1.1", needs=["2.1"])),
        phase("Phase 2", task("2.1"), needs=["M1"]),
        milestones=(milestone("M1", phase="Phase 1"),),
    )
    told = only(through, "dependency.cycle").what
    assert "task 1.1 → task 2.1 → Phase 2 → M1 → Phase 1 → task 1.1" in told


def test_a_subtask_that_names_its_task_is_no_circle() -> None:
    nested = task("1", needs=["1.1"], subtasks=[task("1.1", needs=["1"]), task("1.2", needs=["1.1"])])
    assert found(plan(nested), "dependency.cycle") == []


@pytest.mark.parametrize(
    ("task_window", "needed_window", "level"),
    [
        ("Week 3", "Week 4", Level.ERROR),
        ("Weeks 1-2", "Weeks 3-6", Level.ERROR),
        ("Weeks 3-4", "Weeks 3-6", Level.WARNING),
        ("Week 4", "Week 3", None),
        ("Week 3", "Week 3", None),
        ("Weeks 3-6", "Weeks 1-4", None),
        ("Week 3", "Month 4", None),
        ("Week 3", "2026-05-01", None),
        ("2026-04-30", "2026-05-01", Level.ERROR),
        ("March 2026", "Q2 2026", Level.ERROR),
        ("by Week 3", "from Week 4", Level.ERROR),
        ("from Week 3", "Week 9", None),
        ("Sprint 1", "Sprint 2", Level.ERROR),
        (within("Week 2", "Day 1"), within("Week 2", "Day 3"), Level.ERROR),
        (within("Week 2", "Day 5"), within("Week 3", "Day 1"), Level.ERROR),
        (within("Week 3", "Day 11"), within("Week 2", "Day 10"), None),
        (within("Week 3", "Day 2"), "Week 2", None),
        (within("Week 3", "Day 5"), within("Week 3", "Weekend"), Level.ERROR),
        ("Weekend", "Week 3", None),
    ],
)
def test_windows_are_compared_where_they_can_be(
    task_window: str | Window, needed_window: str | Window, level: Level | None
) -> None:
    ordered = plan(task("1", window=needed_window), task("2", needs=["1"], window=task_window))
    assert [one.level for one in found(ordered, "order.late")] == ([level] if level else [])


def test_a_plan_that_tells_its_first_day_lets_weeks_and_dates_be_compared() -> None:
    window = Window.model_validate(
        {
            "raw": "2026-03-02",
            "start": {"unit": "date", "date": MONDAY},
            "end": {"unit": "date", "date": MONDAY},
        }
    )
    one, two = task("1", window="2026-03-20"), task("2", needs=["1"], window="Week 2")
    assert only(plan(one, two, window=window), "order.late").level is Level.ERROR
    assert found(plan(one, two), "order.late") == []


def test_tasks_without_a_window_have_their_phases() -> None:
    phases = plan(
        phase("Phase 1", task("1.1", needs=["2.1"]), window="Weeks 1-2"),
        phase("Phase 2", task("2.1"), phase("Week 4", task("2.2", needs=["Phase 3"])), window="Weeks 3-4"),
        phase("Phase 3", task("3.1", needs=["1.1"]), window="Weeks 6-7"),
    )
    told = found(phases, "order.late")
    assert [(one.line, one.level) for one in told] == [(5, Level.ERROR), (13, Level.ERROR)]
    assert "task 1.1 (Weeks 1-2) depends on task 2.1 (Weeks 3-4), which begins only after it" in told[0].what


def test_what_is_over_is_not_late() -> None:
    over = plan(
        task("1", window="Week 4", status=DONE),
        task("2", needs=["1"], window="Week 2"),
        task("3", window="Week 4"),
        task("4", needs=["3"], window="Week 2", status=DONE),
    )
    assert found(over, "order.late") == []


# --- statuses ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "progress", "wrong"),
    [
        (DONE, 60, True),
        (DONE, 100, False),
        (DONE, None, False),
        (OPEN, 40, True),
        (OPEN, 0, False),
        (DOING, 100, True),
        (DOING, 40, False),
        (Status.BLOCKED, 40, False),
        (SKIPPED, 40, False),
    ],
)
def test_percentages_that_contradict_the_status(
    status: Status, progress: float | None, *, wrong: bool
) -> None:
    one = plan(task("1", status=status, progress=progress, lines={"progress": 99}))
    problems = found(one)
    assert [problem.check for problem in problems] == (["status.progress"] if wrong else [])
    assert not wrong or problems[0].line == 99


def test_a_done_task_with_open_subtasks() -> None:
    boxes = [task("a", kind=TaskKind.CHECKBOX), task("b", kind=TaskKind.CHECKBOX, status=DONE)]
    one = only(plan(task("1", status=DONE, progress=50, subtasks=boxes)), "status.subtasks")
    assert "1 of its 2 subtasks are not: a" in one.what
    plain = [task("a", kind=TaskKind.BULLET), task("b", kind=TaskKind.BULLET)]
    assert found(plan(task("1", status=DONE, subtasks=plain))) == [], "bullets tell no status"


def test_an_open_box_above_ticked_ones_is_no_contradiction_but_words_are() -> None:
    boxes = [task("a", kind=TaskKind.CHECKBOX, status=DONE), task("b", kind=TaskKind.CHECKBOX)]
    assert found(plan(task("1", kind=TaskKind.CHECKBOX, progress=50, subtasks=boxes))) == []
    assert only(plan(task("1", status=OPEN, progress=50, subtasks=boxes)), "status.progress")


def test_a_phase_is_held_against_its_tasks() -> None:
    tasks = [task("1", hours=10, status=DONE), task("2", hours=30, status=OPEN)]
    assert "is at 25 %" in only(plan(phase("P", *tasks, progress=40)), "status.progress").what
    assert found(plan(phase("P", *tasks, progress=34)), "status.progress") == []
    assert "2" in only(plan(phase("P", *tasks, status=DONE)), "status.phase").what
    assert "not started, but 1 of its 2" in only(plan(phase("P", *tasks, status=OPEN)), "status.phase").what
    assert found(plan(phase("P", *tasks, status=DOING)), "status.phase") == []
    assert only(plan(phase("P", tasks[0], status=DONE, progress=90)), "status.progress")
    assert only(plan(*tasks, progress=90), "status.progress").what.startswith("the plan states")


def test_progress_that_nobody_can_know_is_not_doubted() -> None:
    unknown = [task("1", hours=10, status=DOING), task("2", hours=10), task("3", hours=10, status=SKIPPED)]
    assert found(plan(phase("P", *unknown, progress=60)), "status.progress") == []
    assert found(plan(phase("P", progress=60)), "status.progress") == []


def test_dates_that_contradict() -> None:
    day = datetime.timedelta(days=1)
    backwards = task("1", status=DONE, started=MONDAY, finished=MONDAY - day)
    assert "before it was started" in only(plan(backwards), "status.dates").what
    assert (
        "its status is in progress"
        in only(plan(task("1", status=DOING, finished=MONDAY)), "status.dates").what
    )


def test_done_before_what_it_depends_on() -> None:
    one = plan(
        task("1", status=OPEN),
        task("2", needs=["1"], status=DONE),
        task("3"),
        task("4", needs=["3"], status=DONE),
    )
    assert "task 2 is done, but task 1" in only(one, "status.dependency").what


def test_a_status_that_could_not_be_read() -> None:
    unreadable = plan(
        phase("P", task("1", status=UNKNOWN, status_text="soonish", lines={"status": 9}), status=UNKNOWN),
        milestones=(milestone("M1", status=UNKNOWN, status_text="?"),),
        gates=(gate("g", status=UNKNOWN, status_text="hm"),),
        notices=(Notice(source=source(9), text="the status 'soonish' is not understood"),),
        status=UNKNOWN,
    )
    told = found(unreadable, "status.unreadable", "reading")
    assert [one.check for one in told] == ["status.unreadable"] * 5
    assert any("task 1 is not understood: 'soonish'" in one.what and one.line == 9 for one in told)


# --- totals -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "hours", "wrong"),
    [
        ("30 hours", [12, 12, 12], True),
        ("36 hours", [12, 12, 12], False),
        ("40 hours", [12, 12, 12], True),
        ("30 hours", [10.25, 20.25], False),
        ("30.5 hours", [10, 20], True),
        ("30 hours", ["8-12 hours", "16-20 hours"], False),
        ("23 hours", ["8-12 hours", "16-20 hours"], True),
        ("25-35 hours", [10, 20], False),
        ("25-35 hours", [10, 30], True),
        ("~30 hours", [16, 16], False),
        ("at least 30 hours", [20, 20], False),
        ("up to 30 hours", [8], False),
        ("40 hours incl. buffer", [8, 8], False),
        ("5 days", [20, 18], False),
        ("5 days", [40, 40], True),
        ("2 weeks", [8, 8], False),
        ("1 week", [80, 80], True),
        ("30 hours", [12, 12, None], False),
        ("30 hours", [20, 20, None], True),
        ("30 hours", [None, None], False),
    ],
)
def test_totals_that_do_not_add_up(stated: str, hours: list[float | str | None], *, wrong: bool) -> None:
    tasks = [task(f"1.{number}", hours=one, owner="Ada") for number, one in enumerate(hours)]
    for whole in (
        plan(phase("Phase 1", *tasks, estimate=stated)),
        plan(phase("Phase 1", *tasks), totals=(total(stated, phase="Phase 1"),)),
        plan(phase("Phase 1", *tasks), estimate=stated),
    ):
        assert len(found(whole, "total.sum")) == wrong


def test_a_total_is_told_once_with_both_numbers() -> None:
    tasks = [task("1.1", hours=16), task("1.2", hours=20)]
    whole = plan(
        phase("Phase 1", *tasks, estimate=30, lines={"estimate": 4}),
        totals=(total("30 hours", phase="Phase 1"),),
    )
    problem = only(whole, "total.sum")
    assert problem.what == "Phase 1 states 30 hours, but its 2 tasks sum to 36 hours"
    assert problem.line == 4


def test_a_task_may_be_more_than_its_subtasks_but_not_less() -> None:
    inner = [task("1.1", hours=12), task("1.2", hours=24)]
    assert found(plan(task("1", hours=50, subtasks=inner)), "total.sum") == []
    told = only(plan(task("1", hours=30, subtasks=inner)), "total.sum").what
    assert told == "task 1 states 30 hours, but its 2 subtasks sum to 36 hours"


def test_several_people_finish_elapsed_days_sooner() -> None:
    tasks = [task("1.1", hours=40, owner="Ada"), task("1.2", hours=40, owner="Bob")]
    assert found(plan(phase("Phase 1", *tasks, estimate="5 days")), "total.sum") == []


def test_skipped_tasks_may_count_or_not() -> None:
    tasks = [task("1.1", hours=16), task("1.2", hours=20, status=SKIPPED)]
    for stated, problems in ((16, 0), (36, 0), (40, 1), (10, 1)):
        assert len(found(plan(phase("Phase 1", *tasks, estimate=stated)), "total.sum")) == problems


def test_totals_of_workstreams_and_of_phases_without_tasks_estimates() -> None:
    tasks = [task("1.1", hours=16, workstream="Data"), task("1.2", hours=20, workstream="Traffic")]
    streams = plan(phase("Phase 1", *tasks), totals=(total("30 hours", workstream="data"),))
    assert "workstream data states 30 hours, but its one task sum" in only(streams, "total.sum").what
    phases = plan(
        phase("Phase 1", task("1"), estimate=30), phase("Phase 2", task("2"), estimate=40), estimate=60
    )
    assert "the plan states 60 hours, but its 2 phases sum to 70 hours" in only(phases, "total.sum").what


# --- deliverables and owners ------------------------------------------------


def test_a_task_without_a_deliverable_among_tasks_that_have_one() -> None:
    rows = [task(f"1.{n}", kind=TaskKind.ROW, deliverables=("report",)) for n in range(3)]
    lacking = task("1.9", kind=TaskKind.ROW)
    problem = only(plan(phase("P", *rows, lacking)), "deliverable.missing")
    assert "task 1.9 has no deliverable; 3 of the 4" in problem.what
    assert only(plan(*rows, task("1.9", kind=TaskKind.ROW, deliverables=("TBD",))), "deliverable.missing")
    for fine in (
        plan(phase("P", *rows), phase("Q", lacking)),
        plan(*rows, task("1.9", kind=TaskKind.ROW, status=DONE)),
        plan(*rows, task("1.9", kind=TaskKind.ROW, deliverables=("-",))),
        plan(rows[0], *[task(f"2.{n}", kind=TaskKind.ROW) for n in range(3)]),
        plan(task("1", deliverables=("x",)), task("2")),
    ):
        assert found(fine, "deliverable.missing") == []


def test_files_of_done_tasks_must_exist(tmp_path: Path) -> None:
    (tmp_path / "backend" / "app").mkdir(parents=True)
    (tmp_path / "backend" / "app" / "models.py").touch()
    done = plan(
        task(
            "1", status=DONE, files=("app/models.py", "`backend/app/models.py:12-40` (new)", "./backend/app/")
        ),
        task("2", status=DONE, files=("app/routes.py", "old.py (deleted)", "TBD", "Node.js docs")),
        task("3", status=DONE, deliverables=("`docs/guide.md` and a talk", "CI/CD", "Node.js", "v1.2")),
        task("4", status=OPEN, files=("app/nothing.py",)),
        task("5", status=DONE, title="Delete the shim", files=("app/shim.py",)),
        task(
            "6",
            status=DONE,
            files=("https://example.org/a.html", "src/**/*.py", "../elsewhere.py", "a\0b.py"),
        ),
        phase("P", status=DONE, deliverables=("`runbook.md`",)),
    )
    told = {one.line: one.what for one in found(done, "deliverable.absent", root=tmp_path)}
    assert told == {
        7: "task 2 is done, but app/routes.py does not exist",
        9: "task 3 is done, but docs/guide.md does not exist",
        17: "P is done, but runbook.md does not exist",
    }
    assert found(done, "deliverable.absent") == [], "without a root nothing is looked for"


def test_owners_that_are_still_to_be_found() -> None:
    to_be_found = plan(
        phase("P", task("1", owner="TBD"), task("2", owner="[to be assigned]", status=DONE), owner="?"),
        milestones=(milestone("M1", owner="tba"),),
        risks=(Risk(id="R1", title="Fire", source=source(500), owner="Unassigned"),),
    )
    whats = sorted(one.what for one in found(to_be_found, "owner.tbd"))
    assert whats == [
        "the owner of P is '?'",
        "the owner of milestone M1 is 'tba'",
        "the owner of risk R1 is 'Unassigned'",
        "the owner of task 1 is 'TBD'",
    ]


def test_a_task_without_an_owner_among_tasks_that_have_one() -> None:
    owned = [task("1", owner="Ada"), task("2", owner="Bob")]
    assert "task 3 has no owner" in only(plan(*owned, task("3")), "owner.missing").what
    for fine in (
        plan(phase("P", *owned, task("3"), owner="Chen")),
        plan(*owned, task("3"), owner="Dana"),
        plan(task("1"), task("2")),
        plan(
            *owned,
            task("3", workstream="Data"),
            workstreams=(Workstream(name="data", source=source(1), owner="Eve"),),
        ),
    ):
        assert found(fine, "owner.missing") == []


@pytest.mark.parametrize(
    "text", ["TBD", "tbd", "(TBD)", "TBD?", "t.b.d.", "???", "To be decided", "**TBA**", "Unassigned"]
)
def test_placeholders(text: str) -> None:
    assert is_placeholder(text)
    assert people(text) == ()


def test_people_are_told_apart() -> None:
    assert people("Ada, @bob & the DBAs (on call) / ada; TBD") == ("Ada", "bob", "the DBAs")
    assert not is_placeholder("Tobias")


# --- gates and metrics ------------------------------------------------------


def test_a_phase_without_a_gate() -> None:
    tasks = [task("1.1"), task("1.2")]
    problem = only(plan(phase("Phase 1", *tasks)), "gate.missing")
    assert problem.what == "Phase 1 has 2 open tasks and no gate"
    for fine in (
        plan(phase("Phase 1", *tasks), gates=(gate("reviewed", phase="Phase 1"),)),
        plan(phase("Phase 1", *tasks), gates=(gate("fast", phase="Phase 1", kind=GateKind.SUCCESS),)),
        plan(phase("Phase 1", *tasks), gates=(gate("accepted", task="1.2"),)),
        plan(
            phase("Phase 1", *tasks), milestones=(milestone("M1", phase="Phase 1", criteria=("all green",)),)
        ),
        plan(
            phase("Phase 1", *tasks),
            milestones=(milestone("M1", title="Phase 1 over", description="all green"),),
        ),
        plan(phase("Phase 1", *tasks, task("1.3", gate="error_rate < 0.1"))),
        plan(phase("Phase 1", *tasks, task("1.3", approve=Approval(raw="1", count=1)))),
        plan(phase("Phase 1", *tasks, task("1.3", title="Go / no-go"))),
        plan(phase("Phase 1", *tasks, phase("Week 1", task("1.3", gate="lag < 2")))),
        plan(phase("Phase 1", task("1.1", status=DONE))),
        plan(phase("Phase 1", *tasks, status=DONE)),
        plan(phase("Phase 1")),
        plan(*tasks),
    ):
        assert found(fine, "gate.missing") == []


def test_a_rollback_trigger_and_a_bare_milestone_are_no_gate() -> None:
    tasks = [task("1.1")]
    trigger = gate("errors", phase="Phase 1", kind=GateKind.ROLLBACK)
    assert found(plan(phase("Phase 1", *tasks), gates=(trigger,)), "gate.missing")
    assert found(
        plan(phase("Phase 1", *tasks), milestones=(milestone("M1", phase="Phase 1"),)), "gate.missing"
    )


def test_of_weeks_only_one_gate_is_demanded() -> None:
    weeks = [phase(f"Week {number}", task(f"{number}.1")) for number in range(1, 9)]
    assert only(plan(*weeks), "gate.missing").what == "the plan has no gate at all"
    assert found(plan(*weeks, gates=(gate("reviewed"),)), "gate.missing") == []


def test_gates_are_compiled_by_whom_the_caller_names() -> None:
    two = plan(task("1", gate="verify.differences == "), task("2", gate="lag < 2", lines={"gate": 77}))
    problems = found(
        two, "gate.expression", gate_problem=lambda text: None if "<" in text else "ends too early"
    )
    assert [(one.level, one.line) for one in problems] == [(Level.ERROR, 5)]
    assert "the gate of task 1 cannot be evaluated: ends too early" in problems[0].what
    refused = found(two, "gate.expression", gate_problem=lambda text: "no")
    assert [one.line for one in refused] == [5, 77]


@pytest.mark.parametrize(
    ("expression", "level"),
    [
        ("verify.differences == 0 && p95 < 200", None),
        ("p59 < 200", Level.ERROR),
        ("verfiy.differences == 0", Level.ERROR),
        ("error_rat < 0.1", Level.ERROR),
        ("customers_called >= 3", Level.WARNING),
        ("'p59 verfiy' == result.text", None),
        ("result.rows.all(e, e.ok) && size(tasks) > 2 && leader.contains('x')", None),
        ("[1, 2].exists(n, n > lag) || true", None),
        ("tasks['5.1'].customers > 3 && new.p95 < 2 * old.p95", None),
    ],
)
def test_gates_read_what_is_measured(expression: str, level: Level | None) -> None:
    problems = found(plan(task("1", gate=expression)), "gate.metric")
    assert [one.level for one in problems] == ([level] if level else [])


def test_whole_names_of_metrics_are_compared_whole() -> None:
    names = {"verify.differences", "verify.rows", "p95"}
    one = only(
        plan(task("1", gate="verify.diferences == 0 && verify.rows > 1")), "gate.metric", metrics=names
    )
    assert "verify.differences" in one.todo
    assert names_of("a.b.c > 1 && d.size() == e(f)") == ["a.b.c", "d", "f"]


def test_success_metrics_that_nothing_measures() -> None:
    metrics = (
        metric("Error rate"),
        metric("Response time (p95)"),
        metric("Customer satisfaction"),
        metric("Monthly infrastructure cost of production"),
        metric("Deployment frequency", measured_by="the pipeline's report"),
        metric("Test coverage", measured_by="TBD"),
        metric("Page weight"),
    )
    whole = plan(
        task("1", gate="error_rate < 0.01"),
        task("2", title="Compare latencies under load"),
        task("3", title="Survey the customers"),
        task("4", title="Report infrastructure costs of production"),
        metrics=metrics,
    )
    assert [one.what for one in found(whole, "metric.unmeasured")] == [
        "nothing in the plan measures 'Page weight'",
        "nothing in the plan measures 'Test coverage'",
    ]


def test_a_metric_measured_by_a_name_that_does_not_exist() -> None:
    names = ["error_rat", "p95", "verify.differences", "a spreadsheet", "our_own_probe"]
    metrics = tuple(metric(f"Metric {name}", measured_by=name) for name in names)
    assert (
        "'Metric error_rat' is measured by error_rat"
        in only(plan(task("1"), metrics=metrics), "metric.unknown").what
    )


def test_the_names_that_every_gate_uses_are_known() -> None:
    assert KNOWN_METRICS == gates.KNOWN


# --- destructive tasks ------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        "psql -c 'DROP TABLE orders'",
        "psql -c 'delete from orders'",
        "sqlite3 shop.db 'TRUNCATE TABLE x'",
        "dropdb shop",
        "rm -rf /srv/shop",
        "rm old.db",
        "sudo rm -r data && echo gone",
        "kubectl delete deployment legacy",
        "terraform -chdir=old destroy -auto-approve",
        "aws rds delete-db-instance --db-instance-identifier old",
        "gcloud sql instances delete old",
        "az vm delete --name old",
        "aws s3 rb s3://old --force",
        "docker compose -f old.yml down -v",
        "docker volume rm shop",
        "systemctl stop shop",
        "aws route53 change-resource-record-sets --hosted-zone-id Z",
        "redis-cli FLUSHALL",
        "dd if=/dev/zero of=/dev/sdb",
        "git push --force origin main",
        "crossfade cutover && rm -rf /srv/old",
        "find /srv -name '*.db' -delete",
    ],
)
def test_commands_that_destroy_need_an_undo(command: str) -> None:
    assert destroys(command)
    problem = only(plan(task("1", run=(command,), lines={"run": 8})), "undo.missing")
    assert (problem.level, problem.line) == (Level.ERROR, 8)
    assert found(plan(task("1", run=(command,), undo=("restore",))), "undo.missing") == []
    assert found(plan(task("1", run=(command,), status=DONE)), "undo.missing") == []
    assert (
        found(plan(task("1", undo=("restore",), subtasks=[task("1.1", run=(command,))])), "undo.missing")
        == []
    )


@pytest.mark.parametrize(
    "command",
    [
        "crossfade cutover",
        "crossfade rollback",
        "crossfade shift 50",
        "uv run crossfade copy",
        "echo 'DROP TABLE orders'",
        "rm -rf /tmp/rehearsal",
        "rm -rf build dist && python -m build",
        "make deploy",
        "kubectl rollout restart deployment/shop",
        "systemctl start shop",
        "git push origin main",
        "docker compose down",
        "npm run format --remove-comments",
        "docker run --rm alpine true",
        "pg_dump --clean shop",
    ],
)
def test_commands_that_destroy_nothing_known(command: str) -> None:
    assert destroys(command) is None
    assert found(plan(task("1", run=(command,))), "undo.missing") == []


def test_completing_a_move_wants_an_approval() -> None:
    complete = ("crossfade complete",)
    assert only(plan(task("1", run=complete)), "undo.missing").level is Level.WARNING
    assert found(plan(task("1", run=complete, approve=Approval(raw="1", count=1))), "undo.missing") == []


def test_a_task_that_runs_is_judged_by_its_title_too() -> None:
    strict = task(
        "1", title="Drop the legacy tables", description="restore the backup", run=("make last-step",)
    )
    assert only(plan(strict), "undo.missing").level is Level.ERROR
    assert found(plan(task("1", title="Cut over", run=("crossfade cutover",))), "undo.missing") == []


def test_undo_on_failure_needs_an_undo() -> None:
    assert (
        only(plan(task("1", run=("make x",), on_failure=OnFailure.UNDO)), "undo.missing").level is Level.ERROR
    )


@pytest.mark.parametrize(
    "title",
    [
        "Drop the legacy tables",
        "Delete old customer records",
        "Decommission the old database server",
        "Shut down the legacy application",
        "Tell everybody and drop the orders table",
        "Production cutover",
        "Execute the DNS switch",
        "Switch DNS to the new backend",
        "Go live",
        "Cut over",
        "Final cutover weekend",
        "Switch all traffic to PostgreSQL",
        "Decommissioning of the mainframe",
        "Retire SQLite",
        "Remove the old servers",
    ],
)
def test_titles_that_take_something_away(title: str) -> None:
    assert destroys_by_title(title)
    assert only(plan(task("1", title=title)), "undo.missing").level is Level.WARNING
    assert (
        found(plan(task("1", title=title, description="Rollback: restore the snapshot")), "undo.missing")
        == []
    )
    assert found(plan(task("1", title=title, other={"rollback": "see runbook"})), "undo.missing") == []


@pytest.mark.parametrize(
    "title",
    [
        "Remove unused imports",
        "Delete MOCK_MARKET_ITEMS from MarketTradingPanel.tsx",
        "Remove all hardcoded price data",
        "Delete the legacy adapter module",
        "Drop-in replacement for the ORM",
        "Add a drop shadow to the table",
        "Write the cutover runbook",
        "Cutover rehearsal",
        "Rehearse the DNS switch",
        "Plan the decommissioning of the old server",
        "Cutover readiness review",
        "Test the removal of a user",
        "Switch to ruff",
        "Document how tables are dropped",
        "Remove feature flags for the legacy application",
        "Implement delete endpoint for users",
        "Monitor the first day",
        "Archive the old database and its backups",
        "Drop test database",
    ],
)
def test_titles_that_take_nothing_away(title: str) -> None:
    assert destroys_by_title(title) is None
    assert found(plan(task("1", title=title)), "undo.missing") == []


def test_a_rollback_trigger_is_the_way_back_from_a_switch_but_not_from_a_deletion() -> None:
    trigger = gate("errors over 5 %", kind=GateKind.ROLLBACK)
    assert found(plan(task("1", title="Production cutover"), gates=(trigger,)), "undo.missing") == []
    assert only(plan(task("1", title="Drop the legacy tables"), gates=(trigger,)), "undo.missing")


# --- the whole --------------------------------------------------------------


def test_problems_come_in_the_documents_order_and_can_be_told() -> None:
    bad = plan(
        task("1", status=DONE, progress=20),
        task("2", needs=["9"]),
        notices=(Notice(source=source(6), text="a table whose divider is broken"),),
    )
    problems = lint(bad)
    assert [one.check for one in problems] == ["status.progress", "reading", "dependency.unknown"]
    assert str(problems[2]).startswith("PLAN.md:7: error: task 2 depends on task 9")
    assert problems[1].as_json() == {
        "level": "warning",
        "check": "reading",
        "what": "a table whose divider is broken",
        "file": "PLAN.md",
        "line": 6,
        "todo": "correct it, so that it is read as it is meant",
    }


def test_a_document_without_tasks_is_told() -> None:
    assert [one.check for one in lint(Plan(title="Notes", path="PLAN.md"))] == ["plan.empty"]


def test_a_plan_of_thousands_of_tasks_is_looked_at_in_seconds() -> None:
    tasks = [
        task(
            f"{n}",
            needs=[f"{n - 1}"] if n else ["99999"],
            hours=1,
            window=f"Week {n // 100 + 1}",
            title="Drop " * 20,
        )
        for n in range(4_000)
    ]
    large = plan(phase("Phase 1", *tasks), metrics=tuple(metric(f"Thing {n} per hour") for n in range(50)))
    began = time.process_time()
    problems = lint(large)
    assert time.process_time() - began < 10
    assert {one.check for one in problems} >= {"dependency.unknown", "gate.missing"}


# --- fields that decide how a task is run -----------------------------------------


def task_with(*fields: str) -> Plan:
    lines = "".join(f"- {one}\n" for one in fields)
    return parse_plan(f"# P\n## Phase 1: A\n**Task 1: One**\n{lines}".encode(), "p.md")


@pytest.mark.parametrize(
    "field",
    [
        "**Timeout**: soon",
        "Retry: many",
        "**On failure**: explode",
        "**Approve**: 2 of !!",
        "**Approve**: 0 of ops",
    ],
)
def test_a_control_field_that_cannot_be_read_is_an_error(field: str) -> None:
    problems = [one for one in lint(task_with("**Run**: `true`", field)) if one.line == 5]
    assert [(one.check, one.level) for one in problems] == [("field.unreadable", Level.ERROR)]


def test_a_control_field_in_a_cell_that_cannot_be_read_is_an_error() -> None:
    rows = "| Task | Run | Timeout |\n|---|---|---|\n| One | `true` | soon |\n| Two | `true` | 5 s |\n"
    of = parse_plan(f"# P\n## Phase 1: A\n{rows}".encode(), "p.md")
    problem = only(of, "field.unreadable")
    assert (problem.line, problem.level) == (5, Level.ERROR)
    assert "'timeout'" in problem.what


def test_how_long_an_approval_may_take_has_to_be_read() -> None:
    assert only(task_with("**Approve**: ops", "**Within**: soon"), "field.unreadable").level is Level.ERROR
    assert not found(task_with("**Approve**: ops", "**Within**: 2 days"), "field.unreadable")
    assert not found(task_with("**Run**: `true`", "**Within**: the budget"), "field.unreadable")


@pytest.mark.parametrize(
    "field",
    ["Timeout: 5 minutes", "Timeout: none", "Retry: n/a", "Retry: 3 times", "On failure: stop", "Approve: -"],
)
def test_a_control_field_that_is_read_or_says_nothing_is_no_error(field: str) -> None:
    assert not found(task_with("**Run**: `true`", field), "field.unreadable", "reading")


def test_attempts_of_a_task_that_nothing_runs_are_words() -> None:
    assert not found(task_with("**Attempts**: many"), "field.unreadable")
    assert found(task_with("**Attempts**: many", "**Run**: `true`"), "field.unreadable")


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Rnu", "Run"),
        ("Runs", "Run"),
        ("Command", "Run"),
        ("Cmd", "Run"),
        ("Gaet", "Gate"),
        ("Aprove", "Approve"),
        ("Udno", "Undo"),
        ("Rollback command", "Undo"),
        ("Timout", "Timeout"),
        ("Rerty", "Retry"),
        ("Max retries", "Retry"),
        ("On fail", "On failure"),
        ("Witihn", "Within"),
        ("Rehearsse", "Rehearse"),
    ],
)
@pytest.mark.parametrize("bold", ["**{}**: 1 x", "{}: 1 x"])
def test_a_field_that_is_nearly_one_of_a_run_is_told(label: str, name: str, bold: str) -> None:
    of = task_with("**Run**: `true`", bold.format(label))
    problem = only(of, "reading")
    assert (problem.line, problem.level) == (5, Level.WARNING)
    assert problem.what.endswith(f"did you mean {name}?")


def test_a_field_before_a_command_is_told_without_another_field_of_a_run() -> None:
    assert "did you mean Run?" in only(task_with("**Rnu**: `true`"), "reading").what
    assert "did you mean Run?" in only(task_with("**Command**: `true`"), "reading").what
    assert not found(task_with("**Command**: the general"), "reading")


@pytest.mark.parametrize(
    "label",
    [
        *(
            "Time",
            "Notes",
            "Note",
            "Rationale",
            "Current",
            "Rate",
            "Date",
            "Role",
            "Rule",
            "Range",
            "Approved",
        ),
        *(
            "Approved by",
            "Reverse",
            "Retro",
            "With",
            "Without",
            "Rehearsal",
            "Runbook",
            "Region",
            "Unit",
            "Goal",
        ),
        *(
            "Risk",
            "Result",
            "Reviewer",
            "Type",
            "Tool",
            "Tools",
            "Ticket",
            "Timing",
            "Context",
            "Why",
            "Scope",
        ),
    ],
)
def test_an_ordinary_field_is_not_barked_at(label: str) -> None:
    for value in ("2 h", "`x`"):
        of = task_with("**Run**: `true`", f"**{label}**: {value}")
        assert not [one for one in found(of, "reading") if "did you mean" in one.what]


def test_a_misspelt_column_is_told_once() -> None:
    rows = "| Task | Owner | Cmd |\n|---|---|---|\n| One | a | `true` |\n| Two | b | `true` |\n"
    of = parse_plan(f"# P\n## Phase 1: A\n{rows}".encode(), "p.md")
    assert only(of, "reading").line == 5
