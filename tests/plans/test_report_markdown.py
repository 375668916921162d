"""The report in Markdown: the same every time, and nothing in the plan is taken for markup."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from crossfade.plans.report_build import build
from crossfade.plans.report_markdown import code, escape, markdown
from tests.plans.test_truth import plan_of
from tests.plans.weekly import FOLDER, NOW, weekly_report

NASTY = st.one_of(
    st.text(max_size=30),
    st.text(alphabet="`*_[]()<>|~$\\!&#;-+ \n\tax1", max_size=30),
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            "![x](http://evil/)",
            "[a](javascript:alert(1))",
            "| a | b |",
            "&lt;b&gt;",
            "a\\|b\\",
            "``",
            "http_error_rate",
            "**bold**",
        ]
    ),
)


def test_the_weekly_report() -> None:
    assert markdown(weekly_report()) == (FOLDER / "report.md").read_text(encoding="utf-8")


def rendered(text: str) -> list[str]:
    """The cells of the only table's second row, as a reader sees them."""
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    cells: list[str] = []
    inside = False
    for token in tokens:
        inside = token.type == "td_open" or (inside and token.type != "td_close")
        if inside and token.type == "inline":
            children = token.children or []
            assert {child.type for child in children} <= {"text", "text_special", "code_inline"}, text
            cells.append("".join(child.content for child in children))
    return cells


@settings(max_examples=150)
@given(NASTY, NASTY)
def test_a_cell_shows_its_text_and_nothing_else(first: str, second: str) -> None:
    row = rendered(f"| A | B | C |\n| --- | --- | --- |\n| {escape(first)} | {code(second)} | end |\n")
    assert [plain(cell) for cell in row] == [plain(first), plain(second), "end"]


def plain(text: str) -> str:
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+", " ", text).strip()


def test_names_stay_readable() -> None:
    assert escape("error_rate > 0.05 (p95 of /api_v2/items), 70 %") == (
        "error_rate > 0.05 (p95 of /api_v2/items), 70 %"
    )


def test_a_title_is_one_heading() -> None:
    report = build(plan_of("# Move\n"), [], now=NOW)
    text = markdown(report.model_copy(update={"title": "a\n\n# b\n| c |", "plan": "x\n---"}))
    assert [line for line in text.splitlines() if line.startswith("# ")] == [
        "# Status report: a # b \\| c \\|"
    ]


def test_an_empty_report_says_so() -> None:
    text = markdown(build(plan_of("# Nothing\n"), [], now=NOW))
    assert "The plan has no tasks." in text
    assert "There is no evidence yet." in text
