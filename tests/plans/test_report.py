"""What a report says, from the plan, the evidence, the schedule and the measures."""

from __future__ import annotations

import datetime

import pytest

from crossfade.errors import UsageError
from crossfade.plans.model import Plan, Status
from crossfade.plans.reading import parse_plan
from crossfade.plans.report import Report, State
from crossfade.plans.report_build import build
from crossfade.plans.schedule import schedule
from crossfade.plans.truth import true_plan, truth
from tests.plans.test_truth import plan_of
from tests.plans.weekly import (
    MEASURES,
    NOW,
    SINCE,
    START,
    History,
    weekly_entries,
    weekly_plan,
    weekly_report,
    weekly_schedule,
)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return weekly_plan()


@pytest.fixture(scope="module")
def report(plan: Plan) -> Report:
    return weekly_report(plan)


def test_progress_by_phase_and_workstream(report: Report) -> None:
    assert str(report.progress) == "32 % done, 20 % claimed"
    assert [(one.title, one.progress.done_tasks, one.slipped) for one in report.phases] == [
        ("Phase 1: Prepare (Weeks 1-2)", 2, 2),
        ("Phase 2: Copy and follow (Weeks 3-4)", 1, 0),
        ("Phase 3: Switch (Week 5)", 0, 0),
    ]
    assert [(one.title, one.progress.hours) for one in report.workstreams] == [
        ("Data", 26.0),
        ("Platform", 54.0),
        ("Quality", 14.0),
    ]


def test_done_since_the_last_report(plan: Plan, report: Report) -> None:
    assert [one.id for one in report.done] == ["2.1", "1.3"], "the latest first, and not what was done before"
    first = report.done[0].proof
    assert first is not None
    assert (first.entry, first.by, first.approved_by, first.seconds) == (9, "ann", ("ben",), 5_466.0)
    everything = build(plan, weekly_entries(plan), now=NOW)
    assert [one.id for one in everything.done] == ["2.1", "1.3", "1.2"]


def test_what_is_claimed_stands_apart(report: Report) -> None:
    assert [one.name for one in report.claimed] == [
        "1.1 Inventory of tables and types",
        "feature flag (of 2.3)",
    ]
    assert "1.1" not in [one.id for one in report.done]


def test_what_is_under_way_by_how_much_it_needs_attention(report: Report) -> None:
    assert [(one.id, one.state) for one in report.in_progress] == [
        ("2.2", State.FAILED),
        ("3.1", State.WAITING),
        ("2.3", State.IN_PROGRESS),
    ]
    assert report.in_progress[0].note == "its gate is closed: verify.differences = 3"


def test_what_slipped_and_by_how_much(report: Report) -> None:
    assert [(one.id, one.late.days, one.basis) for one in report.slipped] == [
        ("1.4", 4, "its window"),
        ("1.5", 4, "its window"),
    ]
    # a window in week 2 ends with that week's Friday
    assert report.slipped[0].due == datetime.datetime(2026, 3, 13, 17, tzinfo=datetime.UTC)
    assert report.slipped[0].expected == datetime.datetime(2026, 3, 18, 15, tzinfo=datetime.UTC)


def test_a_task_without_a_window_slips_against_its_schedule() -> None:
    plan = plan_of(
        "# P\n\n## Phase 1\n\n**Task 1: a**\n- **Time**: 8 hours\n\n**Task 2: b**\n- **Time**: 8 hours\n"
    )
    history = History(plan)
    history.start("2026-03-02T08:00")
    history.task("2026-03-02T16:00", "task.done", "2")
    for today in (None, NOW.date()):
        made = schedule(plan, start=START, today=today)
        report = build(plan, history.entries, now=NOW, schedule=made)
        assert [(one.id, one.basis, one.due) for one in report.slipped] == [
            ("1", "the schedule", datetime.datetime(2026, 3, 2, 17, tzinfo=datetime.UTC))
        ]


def test_what_comes_next_is_ready_or_says_what_it_waits_for() -> None:
    plan = plan_of(
        "# P\n\n## Phase 1\n\n**Task 1: a**\n- **Time**: 8 hours\n- **Timeline**: Week 4\n\n"
        "**Task 2: b**\n- **Time**: 8 hours\n- **Dependencies**: Task 1\n- **Timeline**: Week 4\n\n"
        "**Task 3: c**\n- **Time**: 8 hours\n- **Timeline**: Week 9\n"
    )
    made = schedule(plan, start=START, today=NOW.date())
    report = build(plan, [], now=NOW, schedule=made)
    assert [(one.id, one.note) for one in report.next] == [("1", "ready"), ("2", "waits for 1")]
    without = build(plan, [], now=NOW)
    assert [one.id for one in without.next] == ["1", "3"], "without a schedule, all that waits for nothing"
    assert "first day is not known" in without.notes[0]


def test_risks_by_probability_and_impact(report: Report) -> None:
    assert [(one.title, one.score) for one in report.risks] == [
        ("Dates in three formats", 12.0),
        ("A cron job writes to the old side", 12.0),
        ("Disk fills up during the copy", 8.0),
        ("Two people on holiday in week 5", None),
    ]


def test_decisions_and_milestones_that_are_due(report: Report) -> None:
    assert [(str(one.due), one.overdue) for one in report.decisions] == [
        ("2026-03-16", True),
        ("2026-03-30", False),
    ]
    assert [(one.title, one.late) for one in report.milestones] == [
        ("Ready to copy", True),
        ("New side leads", False),
    ]


def test_gates_with_their_last_verdict(report: Report) -> None:
    told = {
        one.belongs: (one.passed, one.proof.entry if one.proof else None)
        for one in report.gates
        if one.kind == "task"
    }
    assert told == {
        "2.1 Copy every table": (True, 8),
        "2.2 Compare every cell": (False, 12),
        "3.1 Cut over": (None, None),
    }
    assert [one.claimed for one in report.gates if one.kind == "quality gate"] == [True, False]


def test_load_by_owner_reckons_with_what_is_true(report: Report) -> None:
    assert [(one.owner, one.tasks, one.hours) for one in report.loads] == [
        ("Ben Okafor", 2, 26.0),
        ("Dana Petrov", 2, 14.0),
        ("Ada Moreau", 1, 4.0),
        ("", 1, 8.0),
    ]


def test_switches_with_their_holds(report: Report) -> None:
    assert [(one.verb, one.to, one.hold_ms, one.why, one.cut_off) for one in report.switches] == [
        ("cutover", "new", 36.4, "", 0),
        ("rollback", "old", 41.9, "error_rate 0.21 > 0.05", 2),
    ]


def test_an_aborted_switch_says_why(plan: Plan) -> None:
    history = History(plan)
    history.add("2026-03-17T14:00", "switch.begun", to="new", epoch=0, verb="cutover")
    history.add("2026-03-17T14:01", "switch.aborted", to="new", epoch=0, why="the hold took too long")
    (told,) = build(plan, history.entries, now=NOW).switches
    assert told.aborted == "the hold took too long"
    assert told.hold_ms is None


def test_lag_is_taken_from_wherever_it_was_put_down(report: Report) -> None:
    assert [one.seconds for one in report.lag] == [6.2, 0.4, 0.14]
    assert report.lag[-1].at == NOW


def test_the_evidence_it_rests_on(plan: Plan, report: Report) -> None:
    entries = weekly_entries(plan)
    assert (report.evidence.entries, report.evidence.head) == (len(entries), entries[-1].hash)


def test_what_was_undone_is_told(plan: Plan) -> None:
    history = History(plan)
    history.start("2026-03-16T08:00")
    history.task("2026-03-16T09:00", "task.done", "2.1")
    history.task("2026-03-16T10:00", "task.undone", "2.1")
    report = build(plan, history.entries, now=NOW, since=SINCE)
    assert [(one.id, one.note) for one in report.undone] == [("2.1", "was undone")]
    assert report.done == ()
    later = build(plan, history.entries, now=NOW, since=NOW)
    assert later.undone == ()


def test_moments_are_told_in_the_zone_of_now(plan: Plan) -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    report = build(
        plan,
        weekly_entries(plan),
        now=NOW.astimezone(zone),
        since=SINCE,
        schedule=weekly_schedule(plan),
        measures=MEASURES,
    )
    assert report.done[0].proof is not None
    assert report.done[0].proof.at.isoformat() == "2026-03-16T14:31:00+02:00"
    assert report.switches[0].at.isoformat() == "2026-03-17T16:00:00+02:00"
    assert report.since is not None
    assert report.since.utcoffset() == datetime.timedelta(hours=2)


@pytest.mark.parametrize("name", ["now", "since"])
def test_a_moment_without_a_zone_is_refused(plan: Plan, name: str) -> None:
    with pytest.raises(UsageError) as error:
        build(plan, [], **{"now": NOW, "since": SINCE} | {name: datetime.datetime(2026, 3, 1)})  # type: ignore[arg-type]  # noqa: DTZ001
    assert error.value.where == f"report/{name}"


def test_it_is_plain_json_and_comes_back(report: Report) -> None:
    assert Report.model_validate(report.as_json()) == report


def test_an_empty_plan_has_a_report() -> None:
    plan = plan_of("# Nothing\n")
    report = build(plan, [], now=NOW, schedule=schedule(plan, start=START))
    assert report.progress.tasks == 0
    assert report.phases == ()


def test_the_schedule_of_the_true_plan_knows_what_is_done(plan: Plan) -> None:
    made = schedule(true_plan(plan, truth(plan, weekly_entries(plan))), start=START)
    copied = made.activity("2.1")
    assert copied is not None
    assert copied.status is Status.DONE


HEAD = "# P\n**Start**: 2026-12-01\n{end}\n## Phase 1: A\n**Task 1: One**\n- **Time**: 3 days\n"


@pytest.mark.parametrize(
    ("end", "due"),
    [("", None), ("**End**: 2026-12-18\n", datetime.date(2026, 12, 18))],
    ids=["open", "ended"],
)
def test_a_plan_is_due_at_its_end_and_not_at_its_start(end: str, due: datetime.date | None) -> None:
    plan = parse_plan(HEAD.format(end=end).encode(), "p.md")
    assert plan.window is not None
    made = schedule(plan, start=datetime.date(2026, 12, 1))
    now = datetime.datetime(2026, 12, 1, 9, tzinfo=datetime.UTC)
    assert build(plan, [], now=now, schedule=made).due == due
