"""Statuses and progress in the words of plans."""

from __future__ import annotations

import pytest

from crossfade.plans.model import Status
from crossfade.plans.statuses import BOXES, find_progress, find_status, parse_progress, status_suffix


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("⏳ Not Started", Status.NOT_STARTED),
        ("🟡 Not Started", Status.NOT_STARTED),
        ("⚪ Pending", Status.NOT_STARTED),
        ("todo", Status.NOT_STARTED),
        ("⬜", Status.NOT_STARTED),
        ("Not done", Status.NOT_STARTED),
        ("no", Status.NOT_STARTED),
        ("🔄 In Progress", Status.IN_PROGRESS),
        ("in-progress", Status.IN_PROGRESS),
        ("WIP", Status.IN_PROGRESS),
        ("🚧", Status.IN_PROGRESS),
        ("🔴 Behind", Status.IN_PROGRESS),
        ("🟡 On Track", Status.IN_PROGRESS),
        ("incomplete", Status.IN_PROGRESS),
        ("⛔ Blocked", Status.BLOCKED),
        ("on hold: nobody asked", Status.BLOCKED),
        ("❌", Status.BLOCKED),
        ("⚠️ waiting", Status.BLOCKED),
        ("❌ Not started", Status.NOT_STARTED),
        ("✅", Status.DONE),
        ("✔️", Status.DONE),
        ("✅ COMPLETED with known issue", Status.DONE),
        ("**Done**", Status.DONE),
        ("done (2025-05-16)", Status.DONE),
        ("shipped", Status.DONE),
        ("⏭️ Skipped", Status.SKIPPED),
        ("cancelled", Status.SKIPPED),
        ("n/a", Status.SKIPPED),
        ("90% complete", Status.IN_PROGRESS),
        ("100%", Status.DONE),
        ("0%", Status.NOT_STARTED),
        ("0/5 tasks complete", Status.NOT_STARTED),
        ("Complete (100%)", Status.DONE),
    ],
)
def test_find_status(text: str, status: Status) -> None:
    found = find_status(text)
    assert found is not None
    assert found.status is status


@pytest.mark.parametrize(
    "text", ["", "Deploy when done", "new-feature", "completely new", "claimed", "Phase 1", "donor"]
)
def test_no_status(text: str) -> None:
    assert find_status(text) is None


def test_the_columns_hold_emoji_and_words_without_the_remark() -> None:
    text = "🚧 blocked - waiting for the DBA"
    found = find_status(text)
    assert found is not None
    assert text[found.start : found.end] == "🚧 blocked"
    assert not found.exact
    exact = find_status("⏳ Not Started")
    assert exact is not None
    assert exact.exact


def test_a_percentage_beside_a_status_is_its_progress() -> None:
    text = "🔄 in progress (60%)"
    found = find_status(text)
    assert found is not None
    assert (found.progress, text[found.progress_start : found.progress_end]) == (60, "60%")
    # one told about something else is not
    told = find_status("In progress - error rate below 2 %")
    assert told is not None
    assert told.progress is None


@pytest.mark.parametrize(
    ("text", "value"),
    [("85%", 85), ("85 %", 85), ("99.5%", 99.5), ("3/5", 60), ("2 of 8 tables", 25), ("120%", 100)],
)
def test_find_progress(text: str, value: float) -> None:
    found = find_progress(text)
    assert found is not None
    assert found.value == value


@pytest.mark.parametrize("text", ["", "24/7", "v1.2.3", "12", "2025/03/01"])
def test_no_progress(text: str) -> None:
    assert find_progress(text) is None


def test_a_mere_number_is_a_percentage_in_a_progress_field() -> None:
    found = parse_progress("40")
    assert found is not None
    assert found.value == 40


@pytest.mark.parametrize(
    ("title", "name", "status"),
    [
        ("Install - ✅ COMPLETED", "Install", Status.DONE),
        ("Install — in progress", "Install", Status.IN_PROGRESS),
        ("Install (done)", "Install", Status.DONE),
        ("Install ✅", "Install", Status.DONE),
        ("Audit (85% complete)", "Audit", Status.IN_PROGRESS),
    ],
)
def test_status_suffix(title: str, name: str, status: Status) -> None:
    suffix = status_suffix(title)
    assert suffix is not None
    assert (title[: suffix[0]], suffix[1].status) == (name, status)


@pytest.mark.parametrize(
    "title", ["Routes (new)", "Go live", "Move - the files", "Code review", "Test plan (review)"]
)
def test_no_status_suffix(title: str) -> None:
    assert status_suffix(title) is None


def test_every_sign_of_a_checkbox_has_a_status() -> None:
    assert (BOXES[" "], BOXES["x"], BOXES["X"]) == (Status.NOT_STARTED, Status.DONE, Status.DONE)
    assert BOXES["/"] is Status.IN_PROGRESS
    assert BOXES["-"] is Status.SKIPPED
