"""A schedule keeps what the plan says, ends when its longest chain ends, and moves whole."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.errors import PlanError, UsageError
from crossfade.plans.calendar import Calendar
from crossfade.plans.model import Plan, Status, Unit, Window
from crossfade.plans.reading import parse_plan
from crossfade.plans.schedule import Basis, Schedule, schedule
from tests.plans.build import MONDAY, milestone, numbers, phase, plan, task, within

WEEK = datetime.timedelta(days=7)


def at(day: int, hour: int, minute: int = 0) -> datetime.datetime:
    """A moment of the plan's first month; day 2 is the Monday on which it begins."""
    return datetime.datetime.combine(MONDAY, datetime.time(hour, minute)) + datetime.timedelta(days=day - 2)


def span(made: Schedule, identifier: str) -> tuple[datetime.datetime, datetime.datetime]:
    one = made.activity(identifier)
    assert one is not None
    return one.start, one.end


# --- by hand ----------------------------------------------------------------


def test_tasks_wait_for_tasks_and_the_longest_chain_is_critical() -> None:
    made = schedule(
        plan(
            task("build", hours=12),
            task("docs", hours=4),
            task("test", needs=["build"], hours=6),
            task("ship", needs=["test", "docs"], hours=0.5),
        ),
        start=MONDAY,
    )
    assert span(made, "build") == (at(2, 9), at(3, 13))
    assert span(made, "test") == (at(3, 13), at(4, 11))
    assert span(made, "ship") == (at(4, 11), at(4, 11, 30))
    assert made.critical_path == ("build", "test", "ship")
    assert made.end == at(4, 11, 30)
    assert made.hours == 18.5
    docs = made.activity("docs")
    assert docs is not None
    assert (docs.slack, docs.free_slack, docs.critical) == (14.0, 14.0, False)
    assert (docs.latest_start, docs.latest_end) == (at(3, 15), at(4, 11))


def test_free_slack_is_what_moves_no_other_task() -> None:
    made = schedule(
        plan(
            task("long", hours=20),
            task("a", hours=2),
            task("b", hours=3),
            task("c", needs=["a", "b"], hours=1),
        ),
        start=MONDAY,
    )
    found = {one.id: (one.slack, one.free_slack) for one in made.activities}
    assert found == {"long": (0, 0), "a": (17, 1), "b": (16, 0), "c": (16, 16)}


def test_free_slack_reaches_through_the_end_of_a_phase() -> None:
    made = schedule(
        plan(
            phase("Phase 1", task("short", hours=2)),
            task("long", hours=10),
            task("z", needs=["Phase 1", "long"], hours=1),
        ),
        start=MONDAY,
    )
    assert {one.id: one.free_slack for one in made.activities} == {"long": 0, "z": 0, "short": 8}


def test_phase_completion_waits_for_everything_in_it() -> None:
    made = schedule(
        plan(
            phase("Phase 1", task("1.1", hours=4), phase("Week 2", task("1.2", hours=10))),
            phase("Phase 2", task("2.1", needs=["Phase 1"], hours=8), task("2.2", hours=8)),
        ),
        start=MONDAY,
    )
    assert span(made, "2.1")[0] == at(3, 11)
    assert span(made, "2.2")[0] == at(2, 9), "phases that only follow one another are in no order"
    assert made.critical_path == ("1.2", "2.1")
    one = made.activity("2.1")
    assert one is not None
    assert (one.after, one.after_phases) == ((), ("Phase 1",))


def test_what_a_phase_depends_on_holds_for_its_tasks() -> None:
    made = schedule(
        plan(phase("Phase 1", task("1.1", hours=8)), phase("Phase 2", task("2.1"), needs=["Phase 1"])),
        start=MONDAY,
    )
    assert span(made, "2.1")[0] == at(3, 9)


def test_weeks_are_earliest_starts_counted_from_the_start() -> None:
    made = schedule(
        plan(
            phase("Phase 1", task("1.1", hours=8), window="Weeks 1-2"),
            phase("Phase 2", task("2.1", hours=8), task("2.2", hours=8, window="Week 4"), window="Weeks 3-4"),
        ),
        start=MONDAY,
    )
    assert span(made, "2.1")[0] == at(16, 9)
    assert span(made, "2.2") == (at(23, 9), at(23, 17))
    assert made.critical_path == ("2.2",)
    assert made.hours == 3 * 40 + 8
    assert [one.due for one in made.activities] == [at(13, 17), at(27, 17), at(27, 17)]


def test_days_are_working_days_and_count_in_their_week_or_from_the_beginning() -> None:
    made = schedule(
        plan(
            task("local", window=within("Week 2", "Day 2-3")),
            task("global", window=within("Week 2", "Day 8")),
            task("plain", window="Day 6"),
            task("weekend", window=within("Week 1", "Weekend"), hours=4),
        ),
        start=MONDAY,
    )
    assert span(made, "local") == (at(10, 9), at(11, 17))
    assert span(made, "global") == (at(11, 9), at(11, 17))
    assert span(made, "plain") == (at(9, 9), at(9, 17))
    assert span(made, "weekend") == (at(9, 9), at(9, 13))
    late = [one.id for one in made.activities if one.late]
    assert late == [], "nobody is late for a window in which nobody works"


def test_dates_months_and_quarters_are_placed_in_the_calendar() -> None:
    made = schedule(
        plan(
            task("date", window="2026-04-07 to 2026-04-08"),
            task("month", window="April 2026", hours=1),
            task("second month", window="Month 2", hours=1),
            task("quarter", window="Q2 2026", hours=1),
            task("next quarter", window="Q1", hours=1),
            task("sprint", window="Sprint 2", hours=1),
        ),
        start=MONDAY,
    )
    starts = {one.id: one.start.date().isoformat() for one in made.activities}
    assert starts == {
        "date": "2026-04-07",
        "month": "2026-04-01",
        "second month": "2026-04-02",
        "quarter": "2026-04-01",
        "next quarter": "2026-03-02",
        "sprint": "2026-03-16",
    }
    one = made.activity("date")
    assert one is not None
    assert (one.hours, one.basis) == (16, Basis.WINDOW)


def test_a_duration_comes_from_the_rehearsal_the_estimate_the_subtasks_the_window_or_is_assumed() -> None:
    inner = [task("s1", hours=2), task("s2", hours=3), task("s3"), task("s4", hours=7, status=Status.SKIPPED)]
    made = schedule(
        plan(
            task("measured", hours=8),
            task("estimate", hours="1-2 hours", window="Week 1"),
            task("subtasks", subtasks=inner),
            task("window", window="Day 1-2"),
            task("nothing"),
        ),
        start=MONDAY,
        durations={"measured": 0.25},
        default_hours=3,
    )
    assert {one.id: (one.hours, one.basis) for one in made.activities} == {
        "measured": (0.25, Basis.MEASURED),
        "estimate": (1.5, Basis.ESTIMATE),
        "subtasks": (5, Basis.SUBTASKS),
        "window": (16, Basis.WINDOW),
        "nothing": (3, Basis.ASSUMED),
    }
    assert [one.total for one in made.activities] == [0.25, 1.5, 5, 16, 3], "what is skipped counts nowhere"
    assert made.assumed == ("nothing",)
    assert made.notes == ("1 task states no estimate: 3 hours are assumed for each",)
    assert [row.notes for row in made.rows()] == [("measured",), (), (), (), ("assumed 3 h",)]


def test_done_tasks_have_no_work_left_and_stand_at_their_dates() -> None:
    made = schedule(
        plan(
            task("a", hours=8, status=Status.DONE, finished=MONDAY, started=MONDAY),
            task("b", needs=["a"], hours=8),
            task("c", hours=8, status=Status.DONE),
            task("d", needs=["c", "x"], hours=8),
            task("x", hours=8, status=Status.SKIPPED),
        ),
        start=MONDAY,
    )
    assert span(made, "a") == (at(2, 9), at(2, 17))
    assert span(made, "b") == (at(3, 9), at(3, 17))
    assert span(made, "d")[0] == at(2, 9)
    assert made.activity("x") is None
    assert [one.hours for one in made.activities] == [0, 8, 0, 8]
    assert made.critical_path == ("b",)
    assert all(load.owner == "" and load.hours == 16 for load in made.loads)


def test_what_waits_for_a_skipped_task_waits_for_what_that_waited_for() -> None:
    made = schedule(
        plan(
            task("a", hours=8),
            task("b", needs=["a"], hours=8, status=Status.SKIPPED),
            task("c", needs=["b"], hours=8),
        ),
        start=MONDAY,
    )
    assert span(made, "c")[0] == at(3, 9)


def test_tasks_that_tell_no_status_are_done_with_their_phase() -> None:
    made = schedule(
        plan(phase("Phase 1", task("1.1", hours=8), status=Status.DONE), task("2", hours=8)), start=MONDAY
    )
    assert [one.done for one in made.activities] == [False, True]


def test_what_is_under_way_has_only_the_rest_left() -> None:
    begun = task("a", hours=10, status=Status.IN_PROGRESS, progress=75, window="Week 3", started=MONDAY)
    parts = [task("b1", hours=6, status=Status.DONE), task("b2", hours=2)]
    made = schedule(plan(begun, task("b", subtasks=parts)), start=MONDAY, today=MONDAY + WEEK)
    assert [one.hours for one in made.activities] == [2.5, 2]
    one = made.activity("a")
    assert one is not None
    assert (one.start, one.earliest_start, one.end) == (at(2, 9), at(9, 9), at(9, 11, 30))


def test_open_work_is_not_placed_before_today() -> None:
    made = schedule(plan(task("a", hours=8, window="Week 1")), start=MONDAY, today=MONDAY + 2 * WEEK)
    assert span(made, "a") == (at(16, 9), at(16, 17))
    one = made.activity("a")
    assert one is not None
    assert one.late
    assert made.rows()[0].notes == ("late: due 2026-03-06",)


def test_subtasks_are_part_of_their_task() -> None:
    made = schedule(
        plan(
            task("a", subtasks=[task("a1", hours=8, needs=["b1"]), task("a2", hours=8, needs=["a1"])]),
            task("b", subtasks=[task("b1", hours=4)]),
            task("c", needs=["a2"], hours=1),
        ),
        start=MONDAY,
    )
    assert [one.id for one in made.activities] == ["a", "b", "c"]
    assert made.critical_path == ("b", "a", "c")
    assert span(made, "a")[0] == at(2, 13)


def test_subtasks_that_wait_crosswise_are_no_circle() -> None:
    made = schedule(
        plan(
            task("a", subtasks=[task("a1", hours=1, needs=["b1"]), task("a2", hours=1)]),
            task("b", subtasks=[task("b1", hours=1), task("b2", hours=1, needs=["a2"])]),
        ),
        start=MONDAY,
    )
    assert len(made.notes) == 1
    assert "crosswise" in made.notes[0]


def test_milestones_come_with_their_window_or_their_phase_and_are_waited_for() -> None:
    made = schedule(
        plan(
            phase("Phase 1", task("1.1", hours=8)),
            task("go", needs=["M2"], hours=1),
            milestones=(milestone("M1", phase="Phase 1"), milestone("M2", window="Week 2"), milestone("M3")),
        ),
        start=MONDAY,
    )
    assert {one.id: (one.at, one.due) for one in made.milestones} == {
        "M1": (at(2, 17), False),
        "M2": (at(13, 17), True),
    }
    assert span(made, "go")[0] == at(16, 9)


def test_a_phase_without_tasks_lasts_for_its_window() -> None:
    made = schedule(
        plan(phase("Phase 1", window="Weeks 1-2"), task("2.1", needs=["Phase 1"], hours=8)), start=MONDAY
    )
    assert span(made, "2.1")[0] == at(16, 9)
    assert [(one.id, one.start, one.end) for one in made.phases if not one.implicit] == [
        ("Phase 1", at(2, 9), at(13, 17))
    ]


def test_load_is_told_by_owner_and_week_and_overload_is_marked() -> None:
    made = schedule(
        plan(
            task("a", hours=40, owner="Ada"),
            task("b", hours=50, owner="@ada & Bob (DBA)"),
            task("c", hours=8, owner="TBD"),
            task("d", hours=100, owner="Eve", window="Week 2"),
        ),
        start=MONDAY,
    )
    found = {(load.owner, load.week): (load.hours, load.overload) for load in made.loads}
    assert found == {
        ("Ada", 10): (60, True),
        ("Ada", 11): (5, False),
        ("Bob", 10): (20, False),
        ("Bob", 11): (5, False),
        ("", 10): (8, False),
        ("Eve", 11): (40, False),
        ("Eve", 12): (40, False),
        ("Eve", 13): (20, False),
    }
    assert [(load.owner, load.week) for load in made.overloads] == [("Ada", 10)]
    assert made.loads[0].monday == MONDAY


def test_holidays_are_not_worked() -> None:
    made = schedule(
        plan(task("a", hours=20)), start=MONDAY, calendar=Calendar.of(holidays=[MONDAY, at(4, 0).date()])
    )
    assert span(made, "a") == (at(3, 9), at(6, 13))


def test_a_circle_is_an_error_that_names_it_with_lines() -> None:
    circle = plan(
        phase("Phase 1", task("1.1", needs=["1.3"]), task("1.2", needs=["1.1"]), task("1.3", needs=["1.2"]))
    )
    with pytest.raises(PlanError) as caught:
        schedule(circle, start=MONDAY)
    assert "task 1.1 → task 1.3 → task 1.2 → task 1.1" in caught.value.what
    assert "task 1.2 in line 7" in caught.value.what
    assert caught.value.where == "PLAN.md:5"
    assert caught.value.todo


def test_a_task_that_waits_for_its_own_phase_is_a_circle() -> None:
    with pytest.raises(PlanError, match=r"task 1\.1 → Phase 1 → task 1\.1"):
        schedule(plan(phase("Phase 1", task("1.1", needs=["Phase 1"]))), start=MONDAY)


@pytest.mark.parametrize("hours", [float("nan"), float("inf"), -1.0])
def test_a_duration_that_is_none_is_refused(hours: float) -> None:
    with pytest.raises(UsageError, match="no duration"):
        schedule(plan(task("a")), start=MONDAY, durations={"a": hours})


@pytest.mark.parametrize(
    ("hours", "window"), [(9_000_000.0, None), (200_000.0, "9990-01-01"), (1.0, "9999-12-31")]
)
def test_a_plan_without_an_end_is_an_error(hours: float, window: str | None) -> None:
    with pytest.raises(PlanError):
        schedule(plan(task("a", hours=hours, window=window), task("b", needs=["a"])), start=MONDAY)


def test_an_empty_plan_ends_where_it_begins() -> None:
    made = schedule(Plan(title="Nothing", path="PLAN.md"), start=MONDAY + datetime.timedelta(days=5))
    assert (made.start, made.end, made.hours) == (at(9, 9), at(9, 9), 0)
    assert (made.activities, made.critical_path, made.rows()) == ((), (), ())


def test_a_plan_that_is_done_ended_with_its_last_task() -> None:
    made = schedule(plan(task("a", status=Status.DONE, finished=at(4, 0).date())), start=MONDAY)
    assert made.end == at(4, 17)
    assert made.critical_path == ()


def test_a_schedule_is_told_as_json() -> None:
    made = schedule(plan(task("a", hours=50, owner="Ada")), start=MONDAY)
    told = json.loads(json.dumps(made.as_json()))
    assert told["end"] == "2026-03-10T11:00:00"
    assert told["activities"][0]["id"] == "a"
    assert told["activities"][0]["start"] == "2026-03-02T09:00:00"
    assert told["activities"][0]["source"] == {"file": "PLAN.md", "line": 5}
    assert told["critical_path"] == ["a"]
    assert told["loads"][0]["overload"] is False


# --- properties -------------------------------------------------------------


@st.composite
def plans(draw: st.DrawFn, *, windows: bool = True) -> Plan:
    """Plans of up to three phases without circles: what is later in the document waits for what is earlier."""
    phases = draw(st.integers(1, 3))
    made = []
    earlier: list[str] = []
    for number in range(phases):
        tasks = []
        before = list(earlier)
        for index in range(draw(st.integers(0, 5))):
            identifier = f"{number}.{index}"
            needs = draw(st.lists(st.sampled_from(earlier), max_size=3)) if earlier else []
            week = draw(st.none() | st.integers(1, 5)) if windows else None
            status = draw(st.sampled_from([None, None, None, Status.DONE, Status.SKIPPED]))
            tasks.append(
                task(
                    identifier,
                    needs=needs,
                    hours=draw(st.sampled_from([0.25, 1, 7.5, 8, 30])),
                    window=_week(week),
                    owner=draw(st.sampled_from(["", "Ada", "Bob", "Ada, Bob"])),
                    status=status,
                )
            )
            earlier.append(identifier)
        needs = draw(st.lists(st.sampled_from(before), max_size=1)) if before else []
        made.append(phase(f"Phase {number}", *tasks, needs=needs))
        earlier.append(f"Phase {number}")
    return plan(*made)


def _week(number: int | None) -> Window | None:
    return numbers(Unit.WEEK, number) if number else None


starts = st.dates(datetime.date(2024, 1, 1), datetime.date(2030, 1, 1))
reckoned = given(plans(), starts)
few = settings(max_examples=60, deadline=None)


def needed(source: Plan, identifier: str) -> set[str]:
    """The tasks that a task directly or through phases and skipped tasks waits for, by walking the model."""
    one = source.task(identifier)
    assert one is not None
    home = source.phase(one.phase)
    assert home is not None
    found: set[str] = set()
    for dependency in (*one.dependencies, *home.dependencies):
        target = dependency.target or ""
        inside = source.phase(target)
        if inside is None:
            found.add(target)
        else:
            found |= {task.id for task in inside.tasks}
            for task_ in inside.tasks:
                found |= needed(source, task_.id) if task_.status is Status.SKIPPED else set()
    for other in list(found):
        skipped = source.task(other)
        if skipped is not None and skipped.status is Status.SKIPPED:
            found |= needed(source, other)
    return found


@reckoned
@few
def test_nothing_starts_before_what_it_waits_for_ends(source: Plan, start: datetime.date) -> None:
    made = schedule(source, start=start)
    by_id = {one.id: one for one in made.activities}
    for one in made.activities:
        if not one.done:
            for other in needed(source, one.id):
                if other in by_id:
                    assert by_id[other].done or by_id[other].earliest_end <= one.earliest_start


@reckoned
@few
def test_slack_is_never_negative_and_what_is_late_by_it_still_fits(
    source: Plan, start: datetime.date
) -> None:
    made = schedule(source, start=start)
    calendar = made.calendar
    for one in made.activities:
        assert 0 <= one.free_slack <= one.slack
        if not one.done:
            assert calendar.between(one.earliest_start, one.earliest_end) == one.hours
            assert calendar.between(one.latest_start, one.latest_end) == one.hours
            assert calendar.between(one.earliest_end, one.latest_end) == one.slack
            assert one.latest_end <= made.end


@reckoned
@few
def test_the_critical_path_has_no_gaps_no_slack_and_the_length_of_the_project(
    source: Plan, start: datetime.date
) -> None:
    made = schedule(source, start=start)
    path = [made.activity(identifier) for identifier in made.critical_path]
    steps = [one for one in path if one is not None]
    if not steps:
        assert all(one.done for one in made.activities)
        return
    assert all(one.critical and one.slack == 0 for one in steps)
    assert steps[-1].earliest_end == made.end
    waited = made.calendar.between(made.start, steps[0].earliest_start)
    assert waited + sum(one.hours for one in steps) == made.hours
    if not any(one.window for one in source.tasks):
        assert waited == 0
    for one, following in pairwise(steps):
        assert made.calendar.between(one.earliest_end, following.earliest_start) == 0


@given(plans(windows=False))
@few
def test_the_end_is_the_longest_chain_of_tasks(source: Plan) -> None:
    made = schedule(source, start=MONDAY)
    hours = {one.id: one.hours for one in made.activities if not one.done}

    @cache
    def chain(identifier: str) -> float:
        before = [chain(other) for other in needed(source, identifier) if other in hours]
        return hours[identifier] + max(before, default=0.0)

    assert made.hours == max((chain(one) for one in hours), default=0.0)


@reckoned
@few
def test_a_week_later_everything_is_a_week_later(source: Plan, start: datetime.date) -> None:
    made = schedule(source, start=start)
    moved = schedule(source, start=start + WEEK)
    assert moved.end == made.end + WEEK
    assert moved.critical_path == made.critical_path
    for one, other in zip(made.activities, moved.activities, strict=True):
        assert other == replace(
            one,
            earliest_start=one.earliest_start + WEEK,
            earliest_end=one.earliest_end + WEEK,
            latest_start=one.latest_start + WEEK,
            latest_end=one.latest_end + WEEK,
            due=one.due + WEEK if one.due else None,
        )


@reckoned
@few
def test_a_longer_task_never_ends_the_plan_earlier(source: Plan, start: datetime.date) -> None:
    made = schedule(source, start=start)
    for one in source.tasks[:3]:
        longer = schedule(source, start=start, durations={one.id: 100.0})
        assert longer.end >= made.end


@reckoned
@few
def test_every_hour_of_open_work_is_in_the_load_once(source: Plan, start: datetime.date) -> None:
    made = schedule(source, start=start)
    left = sum(one.hours for one in made.activities)
    assert sum(load.hours for load in made.loads) == pytest.approx(left, abs=1e-3)
    for load in made.loads:
        assert load.monday.weekday() == 0
        assert load.monday.isocalendar()[:2] == (load.year, load.week)


# --- starts and ends, as documents tell them ------------------------------------


def read(text: str) -> Plan:
    return parse_plan(text.encode("utf-8"), "p.md")


def ends(window: Window | None) -> tuple[datetime.date | None, datetime.date | None]:
    assert window is not None
    return window.start.date if window.start else None, window.end.date if window.end else None


def test_a_start_is_no_due_date() -> None:
    text = "# P\n## Phase 1: A\n**Task 1: One**\n- **Start**: 2026-12-07\n- **Time**: 3 days\n"
    made = schedule(read(text), start=datetime.date(2026, 12, 1))
    one = made.activity("1")
    assert one is not None
    assert one.start.date() == datetime.date(2026, 12, 7)
    assert one.end.date() == datetime.date(2026, 12, 9)
    assert (one.due, one.late) == (None, False)
    assert not any("late" in note for row in made.rows() for note in row.notes)


FIRST, LAST = datetime.date(2026, 12, 7), datetime.date(2026, 12, 18)


@pytest.mark.parametrize("start", ["Start", "Start date", "Planned start"])
@pytest.mark.parametrize("end", ["End", "End date", "Due", "Deadline"])
@pytest.mark.parametrize("turned", [False, True])
def test_a_start_and_an_end_make_one_window_in_either_order(start: str, end: str, *, turned: bool) -> None:
    pair = [f"**{start}**: 2026-12-07", f"**{end}**: 2026-12-18"]
    if turned:
        pair.reverse()
    lines = "\n".join(f"- {one}" for one in pair)
    (task,) = read(f"# P\n## Phase 1: A\n**Task 1: One**\n{lines}\n").tasks
    assert ends(task.window) == (FIRST, LAST)
    (whole,) = read(f"# P\n## Phase 1: A\n{lines}\n\n**Task 1: One**\n").phases
    assert ends(whole.window) == (FIRST, LAST)
    assert ends(read(f"# P\n\n{lines}\n\n## Phase 1: A\n- [ ] one\n").window) == (FIRST, LAST)


def test_a_start_alone_leaves_the_end_open() -> None:
    document = read("# P\n**Start**: 2026-12-07\n\n## Phase 1: A\n**Start**: 2026-12-07\n- [ ] one\n")
    assert ends(document.window) == (FIRST, None)
    assert ends(document.phases[0].window) == (FIRST, None)


def test_a_start_that_is_a_range_is_a_window() -> None:
    text = "# P\n## Phase 1: A\n**Task 1: One**\n- **Start**: 2026-12-07 to 2026-12-18\n"
    assert ends(read(text).tasks[0].window) == (FIRST, LAST)


def test_a_start_does_not_open_a_window_that_the_title_states() -> None:
    text = "# P\n## Phase 1: A (2026-12-07 to 2026-12-18)\n**Start**: 2026-12-08\n- [ ] one\n"
    assert ends(read(text).phases[0].window) == (FIRST, LAST)
