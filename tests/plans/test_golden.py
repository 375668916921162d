"""Plans written for this project, one for each shape, read to the model that stands beside them.

The JSON beside a plan was read against the document, line by line; after a change of the reader it is written
anew by ``python -m tests.plans.golden_models`` and has to be read again.
"""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from crossfade.plans.manuscript import Manuscript
from crossfade.plans.model import (
    DependencyKind,
    GateKind,
    OnFailure,
    Phase,
    Plan,
    Status,
    Task,
    TaskKind,
    Unit,
)
from crossfade.plans.reading import parse_plan
from tests.plans.golden_models import GOLDEN, as_json, plan_of

NAMES = sorted(path.stem for path in GOLDEN.glob("*.md"))


def task_of(plan: Plan, identifier: str) -> Task:
    found = plan.task(identifier)
    assert found is not None, identifier
    return found


def phase_of(plan: Plan, identifier: str) -> Phase:
    found = plan.phase(identifier)
    assert found is not None, identifier
    return found


@pytest.mark.parametrize("name", NAMES)
def test_reads_as_the_committed_model(name: str) -> None:
    expected = (GOLDEN / f"{name}.json").read_text(encoding="utf-8")
    assert as_json(plan_of(name)) == expected
    assert Plan.model_validate(json.loads(expected)) == plan_of(name)


@pytest.mark.parametrize("name", NAMES)
def test_survives_json(name: str) -> None:
    plan = plan_of(name)
    assert Plan.model_validate(plan.model_dump(mode="json")) == plan
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


@pytest.mark.parametrize("name", NAMES)
def test_walking_phases_meets_every_task_once(name: str) -> None:
    whole = plan_of(name).model_dump(mode="json")
    seen = [task["id"] for phase in whole["phases"] for task in phase["tasks"]]
    assert len(seen) == len(set(seen))
    assert seen == [task.id for task in plan_of(name).tasks]
    for part in ("milestones", "gates", "risks", "decisions", "metrics", "stakeholders", "workstreams"):
        assert isinstance(whole[part], list)


@pytest.mark.parametrize("name", NAMES)
def test_every_item_says_where_it_stands(name: str) -> None:
    plan = plan_of(name)
    lines = (GOLDEN / f"{name}.md").read_text(encoding="utf-8").split("\n")
    book = Manuscript((GOLDEN / f"{name}.md").read_bytes(), name)
    for task in plan.walk():
        line = book.read(lines[task.source.line - 1])
        assert task.title.split(" ")[0].strip(".,:`") in line, (task.id, line)
        assert task.phase in {phase.id for phase in plan.phases}
    for phase in plan.phases:
        assert phase.implicit or phase.title.split(" ")[-1] in book.read(lines[phase.source.line - 1])
    for risk in plan.risks:
        assert risk.title in book.read(lines[risk.source.line - 1])
    for gate in plan.gates:
        words = gate.text.split(": ")[-1].split(" ")
        assert words[0].strip("`") in book.read(lines[gate.source.line - 1])


@pytest.mark.parametrize("name", NAMES)
def test_spans_hold_what_was_read(name: str) -> None:
    book = Manuscript((GOLDEN / f"{name}.md").read_bytes(), name)
    for task in plan_of(name).walk():
        places = task.places
        if places.status is not None:
            assert task.status_text.startswith(book.read(book.text(places.status)).strip("*"))
        if places.box is not None:
            assert len(book.text(places.box)) == 1
        if places.title_status is not None:
            assert task.status is not Status.UNKNOWN
            assert book.text(places.title_status).strip()
        if places.progress is not None and task.progress is not None:
            assert f"{task.progress:g}" in book.text(places.progress)


def test_task_blocks() -> None:
    plan = plan_of("task_blocks")
    assert plan.title == "Backend Replacement: Card Game API to PostgreSQL"
    assert (plan.status, plan.owner) == (Status.IN_PROGRESS, "Backend lead")
    assert plan.estimate is not None
    assert plan.estimate.hours == 48
    assert [phase.id for phase in plan.phases] == [
        "Week 11",
        "Day 51",
        "Day 52",
        "Day 53",
        "Week 12",
        "Day 56",
        "Day 57",
        "Week 13",
        "Day 61",
        "Day 62",
        "Day 63",
    ]
    assert [task.id for task in plan.tasks] == [
        "27.1",
        "27.2",
        "27.3",
        "27.4",
        "28.1",
        "28.2",
        "28.3",
        "29.1",
        "29.2",
        "30.1",
        "30.2",
        "31.1",
        "31.2",
        "32.1",
        "32.2",
        "33.1",
        "33.2",
        "34.1",
        "34.2",
    ]
    first = task_of(plan, "27.1")
    assert first.title == "List every endpoint of the old service"
    assert first.files == ("docs/endpoints.csv", "tools/list_endpoints.py")
    assert (first.status, first.status_text, first.progress) == (Status.DONE, "✅ Complete", 100)
    assert first.finished == datetime.date(2025, 3, 3)
    assert [link.target for link in first.evidence] == ["evidence/27.1.json"]
    assert first.estimate is not None
    assert first.estimate.hours == 2
    assert task_of(plan, "27.2").description.endswith("and the share of requests that write")
    assert [one.target for one in task_of(plan, "27.4").dependencies] == ["27.1", "27.2", "27.3"]
    third = task_of(plan, "29.1")
    assert [(one.kind, one.target, one.known) for one in third.dependencies] == [
        (DependencyKind.TASK, "27.2", True),
        (DependencyKind.TASK, "28.2", True),
        (DependencyKind.PHASE, "Phase 3", False),
    ]
    blocked = task_of(plan, "28.3")
    assert (blocked.status, blocked.status_text) == (
        Status.BLOCKED,
        "🚧 blocked - waiting for the security group",
    )
    assert blocked.estimate is not None
    assert blocked.estimate.hours == 4
    load = task_of(plan, "28.2")
    assert load.run == ("python -m tools.load cards", "python -m tools.load categories --with-levels")
    assert load.undo == ("psql -c 'TRUNCATE cards, categories CASCADE'",)
    assert load.estimate is not None
    assert (load.estimate.low, load.estimate.hours, load.estimate.high) == (1, 1.5, 2)
    schema = task_of(plan, "28.1")
    assert schema.deliverables == ("Schema in version control", "A diagram for the wiki")
    assert (schema.timeout, schema.retry) == (300, 2)
    copy = task_of(plan, "29.2")
    assert (copy.run, copy.gate, copy.on_failure) == (
        ("crossfade copy",),
        "verify.differences == 0",
        OnFailure.UNDO,
    )
    criteria = [gate for gate in plan.gates if gate.task == "29.2"]
    assert [gate.status for gate in criteria] == [Status.NOT_STARTED, Status.NOT_STARTED, Status.DONE]
    assert {gate.kind for gate in criteria} == {GateKind.SUCCESS}
    shift = task_of(plan, "31.2")
    assert shift.run == ("crossfade shift 40", "crossfade shift 70", "crossfade shift 100")
    assert shift.phase == "Day 57"
    switch = task_of(plan, "33.1")
    assert switch.approve is not None
    assert (switch.approve.count, switch.approve.group) == (2, "ops")
    assert switch.deliverables == ("Recording of the call", "Figures of the held requests")
    assert switch.run == ("crossfade cutover",)
    assert [(one.kind, one.target) for one in switch.dependencies] == [
        (DependencyKind.TASK, "32.2"),
        (DependencyKind.PHASE, "Week 12"),
    ]
    assert {total.phase: total.estimate.hours for total in plan.totals} == {
        "Day 51": 6.5,
        "Day 52": 9.5,
        "Day 53": 5,
        "Week 11": 21,
        "Day 56": 7,
        "Week 13": 14.5,
        None: 48,
    }
    day = phase_of(plan, "Day 51")
    assert (day.parent, day.window and day.window.within and day.window.within.raw) == ("Week 11", "Week 11")
    assert [gate.action for gate in plan.gates if gate.kind is GateKind.ROLLBACK] == [
        "crossfade rollback",
        "shift the reads back",
        "crossfade rollback, then a post-mortem",
    ]
    assert (plan.risks[0].title, plan.risks[0].mitigation) == (
        "Copy too slow",
        "rehearse it with production data",
    )
    assert not plan.notices


def test_slices() -> None:
    plan = plan_of("slices")
    assert [task.id for task in plan.tasks] == ["0.1", "0.2", "1.1", "1.2", "1.3", "2.1", "2.2", "2.3"]
    assert {task.kind for task in plan.tasks} == {TaskKind.SLICE}
    accounts = task_of(plan, "0.2")
    assert (accounts.status, accounts.progress, accounts.priority) == (Status.IN_PROGRESS, 60, "P0")
    assert [sub.status for sub in accounts.subtasks] == [Status.DONE, Status.DONE, Status.NOT_STARTED]
    assert accounts.subtasks[2].progress == 50
    through = task_of(plan, "1.2")
    assert [sub.id for sub in through.subtasks] == ["1", "2"]
    assert [sub.title for sub in through.subtasks[0].subtasks] == [
        "Store in IndexedDB",
        "Replay in order",
        "Drop duplicates by key",
    ]
    assert [gate.text for gate in plan.gates if gate.task == "1.2"] == [
        "No tick is lost in 1,000 random sessions",
        "The page is not slower by more than 20 ms",
    ]
    assert through.approve is not None
    assert (through.approve.count, through.approve.group) == (1, "product owner")
    late = task_of(plan, "2.2")
    assert [(one.kind, one.target, one.known) for one in late.dependencies] == [
        (DependencyKind.TASK, "2.1", True),
        (DependencyKind.MILESTONE, "M2", True),
    ]
    phase = phase_of(plan, "Phase 2")
    assert phase.window is not None
    assert phase.window.start is not None
    assert phase.window.start.date == datetime.date(2025, 9, 1)
    assert phase.gates == ("G3", "G4", "G5")
    assert [one.target for one in phase.dependencies] == ["Phase 1"]
    assert [(one.id, one.title) for one in plan.milestones] == [
        ("M1", "First account"),
        ("M2", "All devices agree"),
        ("M3", "Browser storage empty"),
    ]
    assert len(plan.milestones[1].criteria) == 2
    quota = plan.risks[1]
    assert (quota.probability, quota.impact, quota.mitigation, quota.owner) == (
        "Medium",
        "Low",
        "ask for persistent storage",
        "Frontend engineer",
    )
    assert [one.id for one in plan.decisions] == ["D1", "ADR-007", "D2"]
    assert plan.decisions[0].outcome == "A tick is a fact with a day; two of them are one"
    saving = plan.metrics[2]
    assert saving.current is not None
    assert saving.target is not None
    assert (saving.current.number, saving.target.comparison, saving.target.number, saving.unit) == (
        4,
        "<",
        150,
        "ms",
    )
    assert not any("Export what only" in task.title for task in plan.walk())
    assert not any("write it down" in task.title.lower() for task in plan.walk())


def test_tables() -> None:
    plan = plan_of("tables")
    assert len(plan.tasks) == 10 + 10 + 9 + 3
    schema = task_of(plan, "identity-schema")
    assert (schema.status, schema.progress, schema.workstream) == (Status.IN_PROGRESS, 40, "Architecture")
    assert schema.estimate is not None
    assert schema.estimate.hours == 16
    escaped = task_of(plan, "hash-import-re-hash-on-sign-in")
    assert escaped.title == "Hash import | re-hash on sign-in"
    threat = task_of(plan, "threat-model")
    assert threat.window is not None
    assert (threat.window.start, threat.window.end and threat.window.end.number) == (None, 6)
    assert [one.target for one in task_of(plan, "K-6").dependencies] == ["K-2", "K-3", "K-4", "K-5"]
    assert task_of(plan, "verification-of-every-account").deliverables == (
        "Difference report",
        "List of rejects",
    )
    assert task_of(plan, "session-hand-over").deliverables == ("Cookie bridge",)
    board = task_of(plan, "report-to-the-board")
    assert board.window is not None
    assert board.window.start is not None
    assert (board.window.start.unit, board.window.start.number) == (Unit.WEEK, 18)
    first = phase_of(plan, "Phase 1")
    assert (first.status, first.progress, first.goal) == (
        Status.IN_PROGRESS,
        85,
        "Agree on what is built, in which order, and by whom",
    )
    assert first.deliverables == ("Charter, target architecture",)
    assert [(total.estimate.hours, total.phase, total.workstream) for total in plan.totals] == [
        (62, "Phase 1", "Architecture"),
        (10.5, "Phase 4", ""),
    ]
    assert [gate.text for gate in plan.gates if gate.phase == "Phase 1"] == [
        "Architecture reviewed",
        "Risks have owners",
    ]
    assert plan.gates[0].threshold == "2 reviewers"
    assert [risk.id for risk in plan.risks] == ["R-1", "R-2", "R-3", "R-4"]
    assert plan.risks[0].contingency == "Reset mails"
    assert [one.id for one in plan.decisions] == ["ADR-001", "ADR-002", "ADR-003"]
    names = [metric.name for metric in plan.metrics]
    assert "Documents finished" in names
    assert "Kratos" not in names
    cost = plan.metrics[-1]
    assert cost.target is not None
    assert (cost.name, cost.target.number, cost.measured_by) == ("Monthly cost", 1500, "invoice")
    assert [one.name for one in plan.stakeholders] == ["Board", "Support desk", "Legal"]
    assert {one.name: one.owner for one in plan.workstreams}["Cluster"] == "Platform team"
    assert [(notice.source.line, notice.text.split(":")[0]) for notice in plan.notices] == [
        (102, "the row has too few cells"),
        (103, "the row has too many cells"),
        (202, "2 rows without a head and a divider (| --- |); they are not read as a table"),
    ]


def test_checkboxes() -> None:
    plan = plan_of("checkboxes")
    assert [phase.id for phase in plan.phases] == [
        "before-anything-else",
        "Week 1",
        "Day 1",
        "Day 2-3",
        "Day 4",
        "Day 5",
        "Week 2",
        "Day 8",
        "Day 9-10",
        "Day 11",
        "Weekend",
        "Weekend 2",
        "empty-boxes-and-odd-ones",
    ]
    system = task_of(plan, "install-the-system")
    assert system.progress == 33.33
    assert [sub.title for sub in system.subtasks] == ["Encrypted root", "Unlock over the network"]
    assert [sub.title for sub in system.subtasks[1].subtasks] == ["Key on the router", "Test from the phone"]
    assert task_of(plan, "users-and-groups").status is Status.IN_PROGRESS
    assert task_of(plan, "second-network-bridge").status is Status.SKIPPED
    monitoring = task_of(plan, "monitoring")
    assert (monitoring.status, monitoring.owner) == (Status.IN_PROGRESS, "me")
    assert monitoring.description == "disk, temperature, reachability\nalerts go to the phone"
    off_site = task_of(plan, "off-site-copy")
    assert (off_site.run, off_site.undo, off_site.timeout) == (("restic copy --repo2 offsite",), (), 6 * 3600)
    assert [one.target for one in off_site.dependencies] == ["first-backup-to-the-second-disk"]
    assert task_of(plan, "test-from-outside").owner == "neighbour"
    assert task_of(plan, "8.2").estimate is not None
    assert [task_of(plan, one).status for one in ("recipe-book", "budget", "calendar")] == [
        Status.DONE,
        Status.IN_PROGRESS,
        Status.BLOCKED,
    ]
    window = phase_of(plan, "Day 9-10").window
    assert window is not None
    assert (window.start and window.start.number, window.end and window.end.number) == (9, 10)
    assert window.within is not None
    assert window.within.raw == "Week 2"
    titles = {task.title for task in plan.walk()}
    assert not titles & {"not a task", "commented out", "quoted, not a task", "Go to bed", "Initialize"}
    assert {"Solar statistics", "Weather station"} <= titles
    assert [notice.source.line for notice in plan.notices] == [91, 176, 177, 179, 180, 182]


def test_bullets() -> None:
    plan = plan_of("bullets")
    titles = [task.title for task in plan.tasks]
    assert "Log every query for three days" in titles
    assert "Count the rows of every table" in titles
    assert task_of(plan, "count-the-rows-of-every-table").estimate is not None
    assert task_of(plan, "find-the-places-that-rely-on-one-writer").description == (
        "the stock counter\nthe invoice number"
    )
    assert task_of(plan, "decide-on-the-region").description == "the one nearest to most customers"
    assert task_of(plan, "secrets-into-the-platform-s-store").status is Status.DONE
    assert not {
        "The shop runs on one small machine",
        "No failed order",
        "The free tier sleeps after five minutes",
        "Two people",
        "Copy the new orders back",
        "Not a task: no phase stands above it",
        "Send this around",
        "the platform's manual",
    } & set(titles)
    assert [task.title for task in phase_of(plan, "Sprint 3").tasks] == [
        "Delete the old deploy job",
        "Delete the file",
        "Close the account at the hoster",
    ]
    assert phase_of(plan, "Sprint 3").deliverables == ("A bill without a server", "A page in the wiki")
    assert phase_of(plan, "Phase 2").gates == ("G1", "G2", "G3")
    assert [(one.id, one.title) for one in plan.milestones] == [
        ("M1", "Queries known"),
        ("M2", "Tests green"),
        ("M3", "Switched"),
        ("M4", "Old machine gone"),
    ]
    assert [risk.id for risk in plan.risks] == ["R1", "R2", "R3", "R4", "R7", "R5"]
    assert plan.risks[2].mitigation == "one writer per order"
    assert plan.decisions[0].outcome == "hosted PostgreSQL"
    assert [metric.name for metric in plan.metrics] == [
        "Orders per day",
        "Checkout time (p95)",
        "Monthly cost",
        "Availability",
        "Cold starts",
        "p95",
    ]
    assert (plan.stakeholders[0].name, plan.stakeholders[0].role) == ("Shop owner", "Sponsor")
    assert plan.estimate is not None
    assert plan.estimate.hours == 74


def test_mixed() -> None:
    plan = plan_of("mixed")
    assert plan.title == "Photo service – from one machine to the cluster"
    assert [phase.id for phase in plan.phases] == ["Phase 1", "Phase 2", "Week 5", "Phase 3", "notes"]
    assert phase_of(plan, "Phase 1").status_text == "✅ COMPLETED"
    assert [task.id for task in phase_of(plan, "Phase 1").tasks] == ["3.1", "3.2", "3.3"]
    follow = task_of(plan, "4.2")
    assert follow.run == ("crossfade copy", "crossfade follow --daemon")
    assert follow.gate == "(verify.differences == 0) && (lag < 60)"
    assert follow.progress == 40
    kinds = [task.kind for task in phase_of(plan, "Phase 2").tasks]
    assert kinds == [TaskKind.TASK] * 3 + [TaskKind.ROW] * 4 + [TaskKind.CHECKBOX] * 2
    assert task_of(plan, "compare-checksums").dependencies[0].target == "first-copy-bucket"
    assert [task.kind for task in phase_of(plan, "Week 5").tasks] == [TaskKind.BULLET] * 2
    rehearsal = task_of(plan, "rehearsal")
    assert rehearsal.window is not None
    assert rehearsal.window.raw == "Day 3"
    assert [sub.kind for sub in rehearsal.subtasks] == [TaskKind.CHECKBOX] * 2
    writes = task_of(plan, "5.2")
    assert (writes.timeout, writes.retry, writes.on_failure) == (7200, 0, OnFailure.STOP)
    assert [(total.phase, total.estimate.hours) for total in plan.totals] == [
        ("Phase 1", 10),
        ("Phase 1", 12),
    ]
    assert [(risk.id, risk.mitigation) for risk in plan.risks] == [
        ("R1", "cache in front\nmeasure in Week 4"),
        ("R2", "keep them for a year"),
        ("R3", "copy inside the region"),
    ]
    assert [(one.title, one.outcome) for one in plan.decisions] == [
        ("Which bucket?", "One per region"),
        ("Thumbnails?", ""),
    ]
    assert not plan.mojibake


def test_mojibake_reads_as_the_undamaged_plan() -> None:
    damaged, sound = plan_of("mojibake"), plan_of("mixed")
    assert damaged.mojibake

    def without_places(plan: Plan) -> str:
        whole = json.loads(plan.model_dump_json(exclude={"mojibake", "path"}))
        return json.dumps(_drop(whole, {"places", "file"}), ensure_ascii=False)

    assert without_places(damaged) == without_places(sound)


def _drop(value: object, names: set[str]) -> object:
    if isinstance(value, dict):
        return {name: _drop(one, names) for name, one in value.items() if name not in names}
    return [_drop(one, names) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
@pytest.mark.parametrize("name", NAMES)
def test_line_ends_and_byte_order_mark_change_nothing(name: str, end: bytes) -> None:
    data = (GOLDEN / f"{name}.md").read_bytes()
    other = parse_plan(b"\xef\xbb\xbf" + data.replace(b"\n", end).rstrip(), name)
    assert other.model_dump(exclude={"path"}) == parse_plan(data.rstrip(), name).model_dump(exclude={"path"})


def test_the_reader_of_a_file_is_the_reader_of_bytes(tmp_path: Path) -> None:
    from crossfade.plans.reading import read_plan

    path = tmp_path / "PLAN.md"
    path.write_bytes((GOLDEN / "slices.md").read_bytes())
    assert read_plan(path).path == str(path)
    assert len(read_plan(str(path)).tasks) == 8
