"""What holds for any document: nothing but what was named is changed, and what was written is read again."""

from __future__ import annotations

import datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossfade.errors import PlanError
from crossfade.plans.model import Link, Plan, Status, Task, TaskKind
from crossfade.plans.reading import parse_plan
from crossfade.plans.writing import Change, rewrite, write_back
from tests.plans.documents import documents

QUICK = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
MARKS = "#-*+>|`~[]()x: \t\n\r_<!=.1T\\&é⏳✅Â\x85\u2028"


@QUICK
@given(st.binary(max_size=200) | st.text(alphabet=MARKS, max_size=120).map(str.encode) | documents())
def test_any_document_is_read_or_refused_with_its_place(data: bytes) -> None:
    try:
        plan = parse_plan(data, "p.md")
    except PlanError as error:
        assert error.where.startswith("p.md")
        return
    lines = data.count(b"\n") + data.count(b"\r") + 1
    for item in [*plan.walk(), *plan.phases, *plan.gates, *plan.risks, *plan.notices]:
        assert 1 <= item.source.line <= lines
    assert Plan.model_validate(plan.model_dump(mode="json")) == plan
    ids = [task.id for task in plan.walk()]
    assert len(ids) == len(set(ids))
    assert sorted(task.id for phase in plan.phases for task in phase.tasks) == sorted(
        task.id for task in plan.tasks
    )


@QUICK
@given(st.binary(max_size=200) | documents())
def test_writing_nothing_changes_nothing(data: bytes) -> None:
    try:
        plan = parse_plan(data, "p.md")
    except PlanError:
        return
    assert write_back(data, plan, []) == data


@QUICK
@given(documents())
def test_writing_what_it_says_already_changes_nothing(data: bytes) -> None:
    plan = parse_plan(data, "p.md")
    changes = []
    for task in plan.walk():
        said = task.status_text and task.status is not Status.UNKNOWN and not contradicts(task)
        changes.append(
            Change(
                task.id,
                task.source.line,
                status=task.status if said else None,
                progress=task.progress if states(task) else None,
                started=task.started if task.places.started else None,
                finished=task.finished if task.places.finished else None,
                evidence=task.evidence[0] if task.evidence else None,
            )
        )
    assert write_back(data, plan, changes) == data


def states(task: Task) -> bool:
    """Whether a progress is written, not only concluded from the status."""
    span = task.places.progress
    return span is not None and span.start < span.end


def contradicts(task: Task) -> bool:
    """Whether a box, a title and a field may say different things about one task."""
    places = task.places
    return sum(one is not None for one in (places.box, places.title_status, places.status)) > 1


STATUS = st.sampled_from([one for one in Status if one is not Status.UNKNOWN])
DATES = st.dates(datetime.date(2024, 1, 1), datetime.date(2026, 12, 31))

EVIDENCE = st.builds(Link, text=st.sampled_from(["", "run"]), target=st.just("e/1.json"))


@st.composite
def changed(draw: st.DrawFn) -> tuple[bytes, Plan, list[Change]]:
    data = draw(documents())
    plan = parse_plan(data, "p.md")
    changes = [
        Change(
            task.id,
            draw(st.sampled_from([None, task.source.line])),
            status=draw(st.none() | STATUS),
            progress=draw(st.none() | st.sampled_from([0, 12.5, 60, 100])),
            started=draw(st.none() | DATES),
            finished=draw(st.none() | DATES),
            evidence=draw(st.none() | EVIDENCE),
        )
        for task in plan.walk()
        if draw(st.booleans())
    ]
    return data, plan, changes


@QUICK
@given(changed())
def test_changes_alter_only_what_they_name(case: tuple[bytes, Plan, list[Change]]) -> None:
    data, plan, changes = case
    result = rewrite(data, plan, changes)
    after = parse_plan(result.data, "p.md")
    skipped = {(one.task, one.field) for one in result.left_out}

    # every line is there again in its order; only lines with a named place differ, only named tasks grow
    may_change, may_grow = named_lines(plan, changes)
    old, new = data.split(b"\n"), result.data.split(b"\n")
    at = 0
    for number, line in enumerate(old, 1):
        if number in may_change:
            at += 1
        else:
            while at < len(new) and new[at].rstrip(b"\r") != line.rstrip(b"\r") and may_grow:
                at += 1
            assert at < len(new), line
            assert new[at].rstrip(b"\r") == line.rstrip(b"\r")
            at += 1
    assert len(new) - len(old) <= 5 * len(changes)

    # what was written is read again, everything else reads as before
    wanted = {change.task: change for change in changes}
    for before in plan.walk():
        task = after.task(before.id)
        assert task is not None
        assert (task.title, task.kind, task.owner, task.phase) == (
            before.title,
            before.kind,
            before.owner,
            before.phase,
        )
        change = wanted.get(before.id)
        if change is None:
            assert (task.status, task.status_text, task.evidence) == (
                before.status,
                before.status_text,
                before.evidence,
            )
            continue
        if change.status is not None and (before.id, "status") not in skipped and change.progress is None:
            assert task.status is change.status
        if change.started is not None and (before.id, "started") not in skipped:
            assert task.started == change.started
        if change.evidence is not None and (before.id, "evidence") not in skipped:
            assert change.evidence.target in [link.target for link in task.evidence]
    assert [gate.text for gate in after.gates] == [gate.text for gate in plan.gates]
    assert [phase.id for phase in after.phases] == [phase.id for phase in plan.phases]

    # once is as good as twice, from the old plan or from the new one
    again = [Change(**{**as_dict(change), "line": None}) for change in changes]
    assert write_back(result.data, after, again) == result.data
    assert write_back(result.data, plan, again) == result.data


def as_dict(change: Change) -> dict[str, object]:
    return {name: getattr(change, name) for name in Change.__slots__}


def named_lines(plan: Plan, changes: list[Change]) -> tuple[set[int], bool]:
    """The lines that hold a place of a changed task, and whether lines may be added."""
    lines: set[int] = set()
    grows = False
    for change in changes:
        task = plan.task(change.task)
        assert task is not None
        for name in ("box", "title_status", "status", "progress", "started", "finished", "evidence"):
            place = getattr(task.places, name)
            if place is not None:
                lines.add(place.line)
        grows |= task.places.insertion is not None
    return lines, grows


@QUICK
@given(changed())
def test_rows_change_only_in_their_cells(case: tuple[bytes, Plan, list[Change]]) -> None:
    data, plan, changes = case
    result = rewrite(data, plan, changes).data
    after = parse_plan(result, "p.md")
    for before in plan.walk():
        if before.kind is not TaskKind.ROW:
            continue
        task = after.task(before.id)
        assert task is not None
        for name in (
            "title",
            "owner",
            "window",
            "estimate",
            "deliverables",
            "priority",
            "description",
            "other",
        ):
            assert getattr(task, name) == getattr(before, name)
