"""Documents that nobody should write: refused or noticed with file and line, never slow, never a traceback."""

from __future__ import annotations

import time

import pytest

from crossfade.errors import PlanError
from crossfade.plans.manuscript import LARGEST
from crossfade.plans.reading import parse_plan

SIZE = 400_000
"""Bytes of each document here; a quarter of it may take about a quarter of the time."""


@pytest.mark.parametrize(
    ("data", "where", "words"),
    [
        (b"# P\n\n- [ ] a\0b\n", "p.md:3", "NUL"),
        (b"\x7fELF\x00\x01", "p.md:1", "NUL"),
        ("# P\n".encode("utf-16"), "p.md:1", "UTF-16"),
        (b"x" * (LARGEST + 1), "p.md", "bytes"),
    ],
)
def test_what_is_no_text_is_refused(data: bytes, where: str, words: str) -> None:
    with pytest.raises(PlanError, match=words) as caught:
        parse_plan(data, "p.md")
    assert caught.value.where == where
    assert caught.value.todo


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"\xef\xbb\xbf", b"\r\r\r", b"\xff\xfe"[::-1][:1], b"#", b"|", b"- [ ]", b"---\n---"]
)
def test_next_to_nothing(data: bytes) -> None:
    assert parse_plan(data, "p.md").tasks == ()


def filled(text: str, size: int) -> str:
    return text * (size // len(text.encode()) + 1)


DOCUMENTS = {
    "checkboxes": lambda size: "# T\n## Week 1\n" + filled("- [ ] do something useful here now\n", size),
    "blocks": lambda size: "".join(
        f"**Task {number}.1: Title of it**\n- **Status**: ⏳ Not Started\n- **Dependencies**: Task {number - 1}.1\n\n"
        for number in range(size // 90)
    ),
    "rows": lambda size: "| Task | Status |\n|---|---|\n" + filled("| words | ✅ Done |\n", size),
    "one id": lambda size: filled("**Task 1.1: t**\n", size // 4),
    "damaged": lambda size: filled("- [ ] â³ words â€” more\n", size // 2),
    "headings": lambda size: filled("## Phase 1: x\n### Week 2\n", size // 4),
    "nested": lambda _: "".join("  " * depth + "- [ ] deeper\n" for depth in range(900)),
    "one line": lambda size: "# T\n" + filled("a`b**c[d](e ", size),
    "long lines": lambda size: filled("- " + "a`b**c[d](e<!-- " * 1000 + "\n", size),
    "bars": lambda size: filled("|" * 300 + "\n", size),
    "ticks": lambda size: filled("- " + "`" * 7 + " `` x ```\n", size),
    "stars": lambda size: filled("**" * 200 + "\n", size),
    "quotes": lambda size: filled(">" * 200 + " x\n", size),
    "fences": lambda size: filled("```\n", size // 2),
    "comments": lambda size: filled("<!--\n", size // 2),
    "blanks": lambda size: filled(" " * 19_000 + "x-|\n|a" + " " * 19_000 + "\n", size),
    "whole phase": lambda size: (
        "## Phase 1: a\n" + filled("**Task: t**\n- **Depends on**: All Phase 1 tasks\n", size // 4)
    ),
    "brackets": lambda size: filled("- [" * 300 + "\n", size),
    "colons": lambda size: filled("a: " * 300 + "\n", size // 2),
    "fields": lambda size: "**Task 1: x**\n" + filled("- **Description**: more\n", size // 4),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_time_grows_with_length_and_nothing_else(name: str) -> None:
    make = DOCUMENTS[name]
    part, whole = make(SIZE // 4).encode(), make(SIZE).encode()
    parse_plan(part[:20_000], "warm.md")
    taken = []
    for data in (part, whole):
        start = time.process_time()
        parse_plan(data, "p.md")
        taken.append(time.process_time() - start)
    # a quadratic reader would need sixteen times as long; below a second and a half the clock says little
    assert taken[1] < max(9 * taken[0], 1.5), taken


def test_more_tasks_than_a_plan_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossfade.plans.collection.MOST_TASKS", 1000)
    plan = parse_plan(b"## Week 1\n" + b"- [ ] x\n" * 1005, "p.md")
    assert len(plan.tasks) == 1000
    assert [(notice.source.line, "not read" in notice.text) for notice in plan.notices] == [(1002, True)]


def test_absurd_nesting_survives_json() -> None:
    data = "".join("  " * depth + f"- [ ] level {depth}\n" for depth in range(300)).encode()
    plan = parse_plan(data, "p.md")
    assert len(list(plan.walk())) == 300
    assert plan.model_dump_json()
    assert any("deeper" in notice.text for notice in plan.notices)
