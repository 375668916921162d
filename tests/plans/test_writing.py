"""Statuses, progress, dates and evidence go back into the document, and nothing else changes."""

from __future__ import annotations

import datetime
import difflib

import pytest

from crossfade.errors import PlanError
from crossfade.plans.model import Link, Plan, Status
from crossfade.plans.reading import parse_plan
from crossfade.plans.writing import Change, Written, rewrite, write_back
from tests.plans.golden_models import GOLDEN, plan_of

DAY = datetime.date(2026, 1, 2)
LINK = Link(text="run 7", target="evidence/7.json")


def read(text: str | bytes) -> Plan:
    return parse_plan(text.encode("utf-8") if isinstance(text, str) else text, "p.md")


def written(text: str, *changes: Change) -> str:
    return write_back(text.encode("utf-8"), read(text), changes).decode("utf-8")


def left_out(text: str, *changes: Change) -> list[tuple[str, str]]:
    result: Written = rewrite(text.encode("utf-8"), read(text), changes)
    return [(one.task, one.field) for one in result.left_out]


def diff(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.split("\n"), after.split("\n"), n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


BLOCKS = """\
# P
## Phase 1: A
**Task 1: One**
- **Owner**: ops
- **Status**: ⏳ Not Started
- **Time**: 2 h

**Task 2: Two**
- **Status**: ✅ Complete

**Task 3: Three**
- **Status**: ✅ Complete
"""


def test_a_status_in_the_documents_own_words() -> None:
    assert diff(BLOCKS, written(BLOCKS, Change("1", status=Status.DONE))) == [
        "-- **Status**: ⏳ Not Started",
        "+- **Status**: ✅ Complete",
    ]


def test_a_status_that_the_document_never_uses_is_put_into_its_style() -> None:
    assert (
        diff(BLOCKS, written(BLOCKS, Change("1", status=Status.IN_PROGRESS)))[1]
        == "+- **Status**: 🔄 In Progress"
    )
    for sample, word in (
        ("⚪ Pending", "🟡 In Progress"),
        ("PENDING", "IN PROGRESS"),
        ("pending", "in progress"),
        ("Not started", "In progress"),
        ("⏳", "🔄"),
        ("⏳ NOT STARTED", "🔄 IN PROGRESS"),
    ):
        text = f"**Task 1: One**\n- **Status**: {sample}\n"
        assert (
            written(text, Change("1", status=Status.IN_PROGRESS))
            == f"**Task 1: One**\n- **Status**: {word}\n"
        )


def test_given_words_are_written_as_they_are() -> None:
    after = written(BLOCKS, Change("1", status=Status.DONE, status_text="✔️ Claimed"))
    assert diff(BLOCKS, after)[1] == "+- **Status**: ✔️ Claimed"


def test_a_remark_behind_a_status_stays() -> None:
    text = "**Task 1: One**\n- **Status**: 🚧 blocked - waiting for the DBA\n"
    assert written(text, Change("1", status=Status.DONE)).endswith("✅ complete - waiting for the DBA\n")


def test_missing_fields_are_added_in_the_style_of_the_block() -> None:
    change = Change("1", status=Status.DONE, progress=100, started=DAY, finished=DAY, evidence=LINK)
    assert diff(BLOCKS, written(BLOCKS, change)) == [
        "-- **Status**: ⏳ Not Started",
        "+- **Status**: ✅ Complete",
        "+- **Progress**: 100%",
        "+- **Started**: 2026-01-02",
        "+- **Finished**: 2026-01-02",
        "+- **Evidence**: [run 7](evidence/7.json)",
    ]


@pytest.mark.parametrize(
    ("block", "line"),
    [
        ("- **Owner**: ops", "- **Status**: Complete"),
        ("* **Owner:** ops", "* **Status:** Complete"),
        ("  - Owner: ops", "  - Status: Complete"),
        ("- owner: ops", "- status: Complete"),
        ("**Owner**: ops  ", "**Status**: Complete  "),
        ("__Owner__: ops\\", "__Status__: Complete\\"),
        ("+   **Owner**:  ops", "+   **Status**:  Complete"),
    ],
)
def test_the_style_of_an_added_field(block: str, line: str) -> None:
    text = f"### Task 1: One\n{block}\n\nmore\n"
    assert written(text, Change("1", status=Status.DONE)) == f"### Task 1: One\n{block}\n{line}\n\nmore\n"


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("### Task 1: One\n", "### Task 1: One\n- **Status**: Complete\n"),
        ("### Task 1: One", "### Task 1: One\n- **Status**: Complete"),
        (
            "### Task 1: One\nwords\nmore words\n",
            "### Task 1: One\nwords\nmore words\n- **Status**: Complete\n",
        ),
        (
            "**Task 1: One**\nwords\n\n- [ ] a\n",
            "**Task 1: One**\nwords\n- **Status**: Complete\n\n- [ ] a\n",
        ),
        ("### Task 1: One\n\nwords\n", "### Task 1: One\n- **Status**: Complete\n\nwords\n"),
        ("- **Task 1**: One\n- next\n", "- **Task 1**: One\n  - **Status**: Complete\n- next\n"),
        (
            "**Task 1: One**\n* **Files:**\n  - a\n* **Notes:**\n  - c\n",
            "**Task 1: One**\n* **Status:** Complete\n* **Files:**\n  - a\n* **Notes:**\n  - c\n",
        ),
    ],
)
def test_where_an_added_field_goes(text: str, after: str) -> None:
    assert written(text, Change("1", status=Status.DONE)) == after
    assert read(after).tasks[0].status is Status.DONE


def test_line_ends_are_kept() -> None:
    text = BLOCKS.replace("\n", "\r\n")
    after = written(text, Change("1", status=Status.DONE, progress=100))
    assert after.count("\r\n") == text.count("\r\n") + 1
    assert after.count("\n") == after.count("\r\n")


def test_checkboxes() -> None:
    text = "## Week 1\n- [ ] one\n* [x] two\n1. [ ] three\n   - [ ] four\n"
    plan = read(text)
    assert [task.id for task in plan.walk()] == ["one", "two", "three", "four"]
    after = written(
        text,
        Change("one", status=Status.DONE),
        Change("two", status=Status.NOT_STARTED),
        Change("four", status=Status.DONE),
    )
    assert after == "## Week 1\n- [x] one\n* [ ] two\n1. [ ] three\n   - [x] four\n"


def test_a_checkbox_says_what_the_document_lets_it_say() -> None:
    plain = "## Week 1\n- [ ] one\n- [x] two\n"
    signs = "## Week 1\n- [ ] one\n- [/] two\n- [X] three\n"
    assert left_out(plain, Change("one", status=Status.IN_PROGRESS)) == [("one", "status")]
    # a box that is no longer done is unticked all the same
    assert written(plain, Change("two", status=Status.BLOCKED)) == "## Week 1\n- [ ] one\n- [ ] two\n"
    assert written(signs, Change("one", status=Status.IN_PROGRESS)) == signs.replace("[ ] one", "[/] one")
    assert written(signs, Change("one", status=Status.DONE)) == signs.replace("[ ] one", "[X] one")
    assert left_out(plain, Change("one", evidence=LINK, progress=50)) == [
        ("one", "progress"),
        ("one", "evidence"),
    ]


def test_box_title_and_field_are_kept_together() -> None:
    text = "## Week 1\n- [ ] one - in progress\n  - **Status**: In Progress\n  - **Owner**: ops\n- [x] two - done\n"
    after = written(text, Change("one", status=Status.DONE))
    assert after.startswith("## Week 1\n- [x] one - done\n  - **Status**: done\n  - **Owner**: ops\n")
    assert read(after).tasks[0].status is Status.DONE


def test_a_status_in_the_title() -> None:
    text = "#### Task 1: One - ⏳ PENDING\n**Owner**: ops\n**Status**: ⏳ PENDING\n\n#### Task 2: Two - ✅ COMPLETED\n**Status**: ✅ COMPLETED\n"
    after = written(text, Change("1", status=Status.DONE))
    assert after == text.replace("⏳ PENDING", "✅ COMPLETED")


TABLE = """\
## Phase 1: A

| Task | Status         | Progress | Started | Evidence | Owner |
|------|----------------|----------|---------|----------|-------|
| One  | ⏳ Not Started | 0%       |         |          | ops   |
| Two  | ✅ Complete    | 100%     | -       | [a](b)   | ops   |
"""


def test_cells_keep_the_bars_where_they_are() -> None:
    change = Change("one", status=Status.DONE, progress=100)
    assert diff(TABLE, written(TABLE, change)) == [
        "-| One  | ⏳ Not Started | 0%       |         |          | ops   |",
        "+| One  | ✅ Complete    | 100%     |         |          | ops   |",
    ]


def test_cells_that_grow_move_the_bars() -> None:
    after = written(TABLE, Change("one", started=DAY, evidence=Link(text="a|b", target="c d.json")))
    assert (
        diff(TABLE, after)[1]
        == "+| One  | ⏳ Not Started | 0%       | 2026-01-02 | [a\\|b](c%20d.json) | ops   |"
    )
    assert [link.target for link in read(after).tasks[0].evidence] == ["c%20d.json"]


def test_cells_without_alignment_keep_their_padding() -> None:
    text = "|Task|Status|Owner|\n|-|-|-|\n|One| todo |ops|\n|Two|done|ops|\n|Three||ops|\n"
    text = "## Phase 1: A\n" + text
    assert written(text, Change("one", status=Status.DONE)) == text.replace("| todo |", "| done |")
    assert written(text, Change("two", status=Status.NOT_STARTED)) == text.replace("|done|", "|todo|")
    assert written(text, Change("three", status=Status.DONE)) == text.replace("|Three||", "|Three|done |")


def test_evidence_is_added_to_what_is_there_once() -> None:
    after = written(TABLE, Change("two", evidence=LINK))
    assert "| [a](b), [run 7](evidence/7.json) |" in after
    assert written(after, Change("two", evidence=LINK)) == after
    assert written(TABLE, Change("two", started=DAY)).count("2026-01-02") == 1


def test_a_table_without_the_column_takes_nothing_and_says_so() -> None:
    text = "## Phase 1: A\n| Task | Owner |\n|---|---|\n| One | ops |\n"
    change = Change("one", status=Status.DONE, progress=100, started=DAY, finished=DAY, evidence=LINK)
    assert written(text, change) == text
    assert left_out(text, change) == [
        ("one", name) for name in ("status", "progress", "started", "finished", "evidence")
    ]


@pytest.mark.parametrize(
    ("field", "progress", "after"),
    [
        ("**Progress**: 40%", 60, "**Progress**: 60%"),
        ("**Progress**: 40", 60, "**Progress**: 60"),
        ("**Progress**: 40 % of the rows", 60, "**Progress**: 60% of the rows"),
        ("**Progress**: 2/5 tables", 60, "**Progress**: 3/5 tables"),
        ("**Progress**: 2 of 5", 60, "**Progress**: 3 of 5"),
        ("**Progress**:", 60, "**Progress**: 60%"),
        ("**Progress**: 0%", 33.333, "**Progress**: 33.3%"),
        ("**Status**: in progress (40%)", 60, "**Status**: in progress (60%)"),
        ("**Status**: 40% complete", 60, "**Status**: 60% complete"),
    ],
)
def test_progress_keeps_its_form(field: str, progress: float, after: str) -> None:
    text = f"**Task 1: One**\n- {field}\n"
    assert written(text, Change("1", progress=progress)) == f"**Task 1: One**\n- {after}\n"


def test_a_number_that_is_the_status() -> None:
    text = "**Task 1: One**\n- **Status**: 40% complete\n"
    assert written(text, Change("1", status=Status.DONE)) == text.replace("40%", "100%")
    assert left_out(text, Change("1", status=Status.BLOCKED)) == [("1", "status")]


def test_what_says_the_same_already_is_left_alone() -> None:
    text = "**Task 1: One**\n- **Status**: COMPLETED\n- **Progress**: 100 %\n- **Finished**: 2 January 2026\n"
    assert written(text, Change("1", status=Status.DONE, progress=100, finished=DAY)) == text


def test_several_changes_of_one_task_are_one() -> None:
    after = written(
        BLOCKS, Change("1", status=Status.IN_PROGRESS, progress=10), Change("1", status=Status.DONE)
    )
    assert "- **Status**: ✅ Complete\n- **Progress**: 10%\n" in after


def test_the_unknown_status_cannot_be_written() -> None:
    with pytest.raises(PlanError, match="unknown"):
        written(BLOCKS, Change("1", status=Status.UNKNOWN))


# --- a document that somebody edited in between ---------------------------------------------------------


def test_a_task_that_moved_is_found_by_its_id() -> None:
    plan = read(BLOCKS)
    now = BLOCKS.replace("## Phase 1: A\n", "## Phase 1: A\n\nA new remark.\n\n").replace(
        "Task 1: One", "Task 1: The first"
    )
    after = write_back(now.encode(), plan, [Change("1", line=3, status=Status.DONE)]).decode()
    assert diff(now, after) == ["-- **Status**: ⏳ Not Started", "+- **Status**: ✅ Complete"]


@pytest.mark.parametrize(
    ("text", "now", "identifier"),
    [
        (BLOCKS, BLOCKS.replace("**Task 1: One**", "**Task 9: One**"), "1"),
        ("## Week 1\n- [ ] one\n", "## Week 1\n- [ ] other\n", "one"),
        ("## Week 1\n- [ ] one\n- [ ] one\n", "## Week 1\n- [ ] one\n\n- [ ] one\n- [ ] one\n", "one~2"),
        ("## Week 1\n- [ ] one\n- [ ] one\n", "## Week 1\n\n- [ ] one\n", "one~2"),
        ("**Task 1: a**\n", "**Task 1: a**\n**Task 1: b**\n**Task 1: a**\n" * 2, "1"),
    ],
)
def test_a_task_that_cannot_be_told_is_refused_with_its_place(text: str, now: str, identifier: str) -> None:
    with pytest.raises(PlanError) as caught:
        write_back(now.encode(), read(text), [Change(identifier, status=Status.DONE)])
    assert caught.value.where.startswith("p.md:")
    assert caught.value.todo


def test_the_second_of_two_alike_is_the_second() -> None:
    text = "## Week 1\n- [ ] one\n- [ ] one\n"
    now = "## Week 1\n\nremark\n\n- [ ] one\n- [ ] one\n"
    assert (
        write_back(now.encode(), read(text), [Change("one~2", status=Status.DONE)])
        .decode()
        .endswith("- [ ] one\n- [x] one\n")
    )


def test_wrong_names_and_lines_are_refused() -> None:
    with pytest.raises(PlanError, match="no task 'x'"):
        written(BLOCKS, Change("x", status=Status.DONE))
    with pytest.raises(PlanError, match="stood in line 3"):
        written(BLOCKS, Change("1", line=4, status=Status.DONE))


# --- damaged documents -------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["sloppy-windows-1252", "latin-1", "mac_roman"])
def test_what_is_written_into_a_damaged_line_is_damaged_like_it(page: str) -> None:
    text = BLOCKS.encode().decode(page)
    after = written(text, Change("1", status=Status.DONE), Change("2", status=Status.IN_PROGRESS))
    mended = after.encode(page).decode("utf-8")
    assert diff(BLOCKS, mended) == [
        "-- **Status**: ⏳ Not Started",
        "+- **Status**: ✅ Complete",
        "-- **Status**: ✅ Complete",
        "+- **Status**: 🔄 In Progress",
    ]


def test_lost_bytes_are_written_as_the_document_has_them() -> None:
    text = BLOCKS.replace("✅ Complete", "❌ Failed").encode().decode("cp1252", "ignore")
    after = written(text, Change("1", status=Status.BLOCKED))
    assert diff(text, after) == ["-- **Status**: â³ Not Started", "+- **Status**: âŒ Failed"]


def test_bytes_that_are_no_utf8_stay() -> None:
    data = b"**Task 1: Caf" + b"\xe9\x97**\n- **Status**: todo \xe9\n\xff\n"
    plan = read(data)
    after = write_back(data, plan, [Change("1", status=Status.DONE)])
    assert after == data.replace(b"todo", b"complete")


# --- the golden plans -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.md")))
def test_one_change_is_one_line_of_diff(name: str) -> None:
    data = (GOLDEN / f"{name}.md").read_bytes()
    plan = plan_of(name)
    before = data.split(b"\n")
    for task in [one for one in plan.walk() if one.places.status or one.places.box][::4]:
        wanted = Status.NOT_STARTED if task.status is Status.DONE else Status.DONE
        after = write_back(data, plan, [Change(task.id, task.source.line, status=wanted)])
        lines = after.split(b"\n")
        places = task.places
        changed = {place.line for place in (places.status, places.box, places.title_status) if place}
        assert len(lines) == len(before)
        assert {
            number for number, (a, b) in enumerate(zip(before, lines, strict=True), 1) if a != b
        } <= changed
        again = parse_plan(after, plan.path).task(task.id)
        assert again is not None
        assert again.status is wanted
        assert write_back(after, plan, [Change(task.id, status=wanted)]) == after
