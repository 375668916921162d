"""What phases say of themselves is kept true, where they say it, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.keeping import keep_true
from crossfade.ledger import Ledger
from crossfade.plans.model import Status
from crossfade.plans.reading import parse_plan
from crossfade.plans.values import Link
from crossfade.plans.writing import Change, PhaseChange, rewrite, rewrite_phases
from crossfade.runs.order import Mode

DOCUMENTS = sorted((Path(__file__).with_name("golden")).glob("*.md"))

PLAN = """# Plan

## Phase 1: Build

**Status**: ⏳ Not Started
**Progress**: 0%

**Task 1.1: First**
- **Status**: ⏳ Not Started
- **Run**: `true`

**Task 1.2: Second**
- **Status**: ⏳ Not Started
- **Run**: `true`

## Phase 2: Move

- **Status**: Pending (0%)

**Task 2.1: Third**
- **Status**: ⏳ Not Started
- **Run**: `true`

## Phase 3: Rest

**Task 3.1: Last**
- **Run**: `true`
"""


def changed(before: bytes, after: bytes) -> list[tuple[str, str]]:
    """The lines that differ, as pairs."""
    olds, news = before.decode().splitlines(), after.decode().splitlines()
    assert len(olds) == len(news)
    return [(old, new) for old, new in zip(olds, news, strict=True) if old != new]


def test_only_what_a_phase_says_of_itself_is_written() -> None:
    data = PLAN.encode()
    changes = [PhaseChange(name, Status.DONE, 100.0) for name in ("Phase 1", "Phase 2", "Phase 3")]
    after = rewrite_phases(data, "PLAN.md", changes)
    assert changed(data, after) == [
        ("**Status**: ⏳ Not Started", "**Status**: ✅ Complete"),
        ("**Progress**: 0%", "**Progress**: 100%"),
        ("- **Status**: Pending (0%)", "- **Status**: Complete (100%)"),
    ]
    assert rewrite_phases(after, "PLAN.md", changes) == after


def test_of_two_phases_of_one_name_neither_is_written() -> None:
    data = PLAN.replace("Phase 2: Move", "Phase 1: Build").encode()
    names = {phase.id for phase in parse_plan(data, "PLAN.md").phases}
    after = rewrite_phases(data, "PLAN.md", [PhaseChange(name, Status.DONE) for name in names])
    for old, _ in changed(data, after):
        assert old in ("**Status**: ⏳ Not Started", "- **Status**: Pending (0%)")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_every_shape_takes_it_or_stays_as_it_is(path: Path) -> None:
    data = path.read_bytes()
    plan = parse_plan(data, path.name)
    for status in (Status.DONE, Status.IN_PROGRESS):
        after = rewrite_phases(data, path.name, [PhaseChange(phase.id, status) for phase in plan.phases])
        lines = {phase.places.status.line for phase in plan.phases if phase.places.status is not None}
        lines |= {
            phase.places.title_status.line for phase in plan.phases if phase.places.title_status is not None
        }
        olds, news = data.splitlines(), after.splitlines()
        assert {n for n, (old, new) in enumerate(zip(olds, news, strict=True), 1) if old != new} <= lines
        assert [(t.id, t.status) for t in parse_plan(after, path.name).walk()] == [
            (t.id, t.status) for t in plan.walk()
        ]


@given(st.text(max_size=300))
def test_writing_nothing_changes_nothing(text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    assert rewrite_phases(data, "PLAN.md", []) == data


def proven(ledger: Ledger, data: bytes, *tasks: str) -> None:
    """Evidence that these tasks are done."""
    plan = parse_plan(data, "PLAN.md")
    for task in tasks:
        ledger.append("task.done", run="r", plan=plan.title, mode=Mode.LIVE.value, task=task)


def kept(folder: Path, text: str, *tasks: str) -> list[tuple[str, str]]:
    """What becomes of the phases of a document of which these tasks are proven: their statuses and progress."""
    path = folder / "PLAN.md"
    path.write_text(text)
    ledger = Ledger(folder / "ledger.jsonl")
    proven(ledger, path.read_bytes(), *tasks)
    told: list[str] = []
    keep_true(path, ledger, told.append)
    assert told == []
    plan = parse_plan(path.read_bytes(), "PLAN.md")
    return [(phase.status.value, f"{phase.progress or 0:g}") for phase in plan.phases[:2]]


def test_a_phase_is_done_when_all_of_its_tasks_are_proven(tmp_path: Path) -> None:
    assert kept(tmp_path, PLAN, "1.1", "1.2") == [("done", "100"), ("not_started", "0")]


def test_a_phase_with_some_evidence_is_in_progress(tmp_path: Path) -> None:
    assert kept(tmp_path, PLAN, "1.1") == [("in_progress", "50"), ("not_started", "0")]


def test_what_is_only_claimed_does_not_end_a_phase(tmp_path: Path) -> None:
    ticked = PLAN.replace(
        "**Task 1.2: Second**\n- **Status**: ⏳ Not Started", "**Task 1.2: Second**\n- **Status**: ✅"
    )
    assert ticked != PLAN
    assert kept(tmp_path, ticked, "1.1") == [("in_progress", "50"), ("not_started", "0")]


def test_without_evidence_a_phase_is_left_alone(tmp_path: Path) -> None:
    ticked = PLAN.replace("⏳ Not Started\n**Progress**: 0%", "✅ Complete\n**Progress**: 100%")
    assert kept(tmp_path, ticked) == [("done", "100"), ("not_started", "0")]


UNDONE = """# Plan

**Task 1: First**
- **Status**: ⏳ Not Started
- **Progress**: 0%
- **Finished**: -
- **Evidence**: [a photo](photo.png)
- **Run**: `true`

| Task | Status | Progress | Finished | Evidence | Run |
|---|---|---|---|---|---|
| Row | Not started | 0% | | | `true` |
"""


def test_what_was_undone_does_not_keep_its_end_and_its_evidence(tmp_path: Path) -> None:
    path = tmp_path / "PLAN.md"
    path.write_text(UNDONE)
    ledger = Ledger(tmp_path / "ledger.jsonl")
    told: list[str] = []
    [first, row] = [task.id for task in parse_plan(path.read_bytes(), "PLAN.md").walk()]
    proven(ledger, path.read_bytes(), first, row)
    keep_true(path, ledger, told.append)
    done = path.read_text()
    assert done.count("100%") == 2
    assert done.count("ledger ") == 2
    assert "[a photo](photo.png), ledger 1 (" in done
    for task in (first, row):
        ledger.append("task.undone", run="r", plan="Plan", mode=Mode.LIVE.value, task=task)
    keep_true(path, ledger, told.append)
    undone = path.read_text()
    assert "ledger" not in undone
    assert "100%" not in undone
    assert "[a photo](photo.png)\n" in undone
    assert undone.count("Not Started") + undone.count("Not started") == 2
    assert [task.finished for task in parse_plan(undone.encode(), "PLAN.md").walk()] == [None, None]
    proven(ledger, path.read_bytes(), first, row)
    keep_true(path, ledger, told.append)
    again = path.read_text()
    assert [part[:2] for part in again.split("ledger ")[1:]] == ["5 ", "6 "]
    proven(ledger, path.read_bytes(), first)
    keep_true(path, ledger, told.append)
    assert [part[:2] for part in path.read_text().split("ledger ")[1:]] == ["7 ", "6 "]
    assert told == []


def lines_written(folder: Path, text: str, *tasks: str, event: str = "task.done") -> set[str]:
    """The lines that keeping it true puts into a document; the second time there is nothing more to say."""
    path = folder / "PLAN.md"
    path.write_text(text)
    ledger = Ledger(folder / "ledger.jsonl")
    plan = parse_plan(path.read_bytes(), "PLAN.md")
    for task in tasks:
        ledger.append(event, run="r", plan=plan.title, mode=Mode.LIVE.value, task=task)
    told: list[str] = []
    keep_true(path, ledger, told.append)
    once = path.read_text()
    keep_true(path, ledger, told.append)
    assert path.read_text() == once
    assert told == []
    return {line.partition(" (")[0] for line in set(once.splitlines()) - set(text.splitlines())}


OWN = "**Evidence**: ledger 1"


def test_a_phase_whose_tasks_take_their_status_from_it_is_left_alone(tmp_path: Path) -> None:
    text = (
        "# Plan\n\n## Phase 1: Setup\n**Status**: Complete\n\n### Task 1.1: A\n**Run**: `true`\n\n"
        "### Task 1.2: B\n**Effort**: 3 hours\n"
    )
    written = lines_written(tmp_path, text, "1.1")
    assert "**Status**: In Progress" not in written
    assert OWN in written


@pytest.mark.parametrize("event", ["task.done", "task.failed"])
@pytest.mark.parametrize("more", ["", "\n### Task 1.2: B\n**Run**: `true`\n"])
def test_a_skipped_phase_stays_skipped(tmp_path: Path, event: str, more: str) -> None:
    text = (
        "# Plan\n\n## Phase 1: Setup\n**Status**: Skipped\n\n### Task 1.1: A\n**Status**: Not started\n"
        f"**Run**: `true`\n{more}"
    )
    lines_written(tmp_path, text, "1.1", event=event)
    plan = parse_plan((tmp_path / "PLAN.md").read_bytes(), "PLAN.md")
    assert plan.phases[0].status is Status.SKIPPED


@pytest.mark.parametrize("status", ["Approved", "✅ Approved by board", "Draft"])
def test_what_a_document_says_of_itself_is_nobody_elses_status(tmp_path: Path, status: str) -> None:
    text = (
        f"# Plan\n\n**Status**: {status}\n**Progress**: 10%\n\n### Task 1.1: A\n**Status**: Not started\n"
        "**Run**: `true`\n\n### Task 1.2: B\n**Status**: Not started\n"
    )
    written = lines_written(tmp_path, text, "1.1")
    assert not [line for line in written if "pproved" in line]
    after = (tmp_path / "PLAN.md").read_text()
    assert f"# Plan\n\n**Status**: {status}\n**Progress**: 10%\n" in after


def test_a_phase_whose_tasks_were_all_undone_is_not_in_progress(tmp_path: Path) -> None:
    text = "# Plan\n\n## Phase 1: A\n**Status**: Not started\n\n### Task 1.1: A\n**Status**: Not started\n**Run**: `true`\n"
    assert lines_written(tmp_path, text, "1.1", event="task.undone") == set()


def test_bars_of_a_table_of_phases_stay_where_they_are(tmp_path: Path) -> None:
    text = (
        "# Plan\n\n| Phase            | Status      | Progress |\n|------------------|-------------|----------|\n"
        "| Phase 1: Prepare | Not started | 0%       |\n\n## Phase 1: Prepare\n\n### Task 1.1: A\n"
        "**Status**: Not started\n**Run**: `true`\n"
    )
    assert "| Phase 1: Prepare | Complete    | 100%     |" in lines_written(tmp_path, text, "1.1")


def test_a_day_that_somebody_wrote_is_not_taken_back(tmp_path: Path) -> None:
    text = "# Plan\n\n**Task 1: A**\n- **Status**: Done\n- **Finished**: 2026-01-05\n- **Run**: `true`\n"
    assert "- **Finished**: -" not in lines_written(tmp_path, text, "1", event="task.failed")
    assert "- **Finished**: 2026-01-05\n" in (tmp_path / "PLAN.md").read_text()


def test_of_two_changes_the_later_one_says_whether_it_is_done() -> None:
    entry = "ledger 7 (0123456789ab)"
    text = (
        f"# Plan\n\n**Task 1: A**\n- **Status**: Done\n- **Finished**: 2026-01-05\n- **Evidence**: {entry}\n"
    )
    plan = parse_plan(text.encode(), "PLAN.md")
    link = Link(text="ledger 9 (0123456789ab)", target="")
    done, undone = Change("1", evidence=link), Change("1", withdrawn=True)
    assert b"ledger" not in rewrite(text.encode(), plan, [done, undone]).data
    assert b"ledger 9" in rewrite(text.encode(), plan, [undone, done]).data
