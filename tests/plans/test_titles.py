"""What titles say besides a name."""

from __future__ import annotations

import pytest

from crossfade.plans.model import Status
from crossfade.plans.titles import split_title


@pytest.mark.parametrize(
    ("text", "word", "identifier", "name"),
    [
        ("Task 28.1: Update the routes", "task", "28.1", "Update the routes"),
        ("📋 Task 28.1 - Update", "task", "28.1", "Update"),
        ("Slice 1.2: Upload", "slice", "1.2", "Upload"),
        ("Step 3. Restore", "step", "3", "Restore"),
        ("Task 34.1-34.3: Three at once", "task", "34.1-34.3", "Three at once"),
        ("Task: Finalise", "task", "", "Finalise"),
        ("T001 Initialise", "", "T001", "Initialise"),
        ("AUTH-12: Sign in", "", "AUTH-12", "Sign in"),
        ("1.2 Install", "", "1.2", "Install"),
        ("#7: Create", "", "7", "Create"),
        ("3. Install", "", "3", "Install"),
        ("Install 2 disks", "", "", "Install 2 disks"),
        ("1.4 TB of photos", "", "", "1.4 TB of photos"),
        ("2 disks", "", "", "2 disks"),
        ("Task force meets", "", "", "Task force meets"),
        ("Stepping stones", "", "", "Stepping stones"),
        ("COVID-19 page", "", "COVID-19", "page"),
    ],
)
def test_id_and_name(text: str, word: str, identifier: str, name: str) -> None:
    title = split_title(text)
    assert (title.word, title.id, title.text) == (word, identifier, name)


def test_only_a_running_number_is_weak() -> None:
    assert split_title("3. Install").weak
    assert not split_title("1.3 Install").weak
    assert not split_title("Task 3: Install").weak


@pytest.mark.parametrize(
    ("text", "name", "attribute", "value"),
    [
        ("Install (2 hours)", "Install", "estimate", 2),
        ("Install [2h]", "Install", "estimate", 2),
        ("Install (est. 2h)", "Install", "estimate", 2),
        ("Install (Week 4)", "Install", "window", "Week 4"),
        ("Install (Week 4, 2h)", "Install", "estimate", 2),
        ("Install (@ops)", "Install", "owner", "ops"),
        ("Install (Owner: DBA team)", "Install", "owner", "DBA team"),
        ("Install @ops", "Install", "owner", "ops"),
        ("Install [P1]", "Install", "priority", "P1"),
    ],
)
def test_brackets_that_are_understood_are_cut_off(
    text: str, name: str, attribute: str, value: object
) -> None:
    title = split_title(text)
    said = getattr(title, attribute)
    assert title.text == name
    assert getattr(said, "hours", getattr(said, "raw", said)) == value


@pytest.mark.parametrize(
    "text",
    [
        "Install (new backend)",
        "Install (2 of them)",
        "Install (Week 4, or so)",
        "Mail a@b.org",
        "f(x)",
        "(all)",
    ],
)
def test_other_brackets_stay(text: str) -> None:
    assert split_title(text).text == text


def test_status_behind_and_in_front() -> None:
    behind = split_title("Install - 🔄 IN PROGRESS (60% complete)")
    assert behind.text == "Install"
    assert behind.status is not None
    assert (behind.status.status, behind.status.progress, behind.status_text) == (
        Status.IN_PROGRESS,
        60,
        "🔄 IN PROGRESS",
    )
    front = split_title("✅ Export the users")
    assert front.text == "Export the users"
    assert front.status is not None
    assert (front.status.status, front.suffix) == (Status.DONE, False)
    # a word in front is the beginning of a name
    assert split_title("Pending orders").status is None
    assert split_title("📋 Checklist").status is None
