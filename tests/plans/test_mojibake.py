"""Text whose UTF-8 was decoded wrongly: repaired for reading, damaged alike for writing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.plans.model import Plan
from crossfade.plans.mojibake import damaged_like, repair
from crossfade.plans.reading import parse_plan
from tests.plans.golden_models import GOLDEN

STATUSES = [
    "⏳ Not Started",
    "✅ Complete",
    "🔄 In Progress",
    "❌ Failed",
    "⬜ Open",
    "🚧 Building",
    "⚠️ Late",
    "🟡 On Track",
]
PAGES = ["sloppy-windows-1252", "latin-1", "mac_roman"]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    "text", [*STATUSES, "a – b", "don’t", "“quoted” here", "1 → 2", "p95 ≤ 250", "Größe – été"]
)
def test_repairs_what_a_code_page_broke(text: str, page: str) -> None:
    assert repair(text.encode("utf-8").decode(page)) == text


@pytest.mark.parametrize("lost", ["ignore", "replace"])
@pytest.mark.parametrize("text", STATUSES)
def test_repairs_what_lost_bytes(text: str, lost: str) -> None:
    assert repair(text.encode("utf-8").decode("cp1252", lost)) == text


def test_the_named_examples() -> None:
    assert repair("â³ Not Started") == "⏳ Not Started"
    assert repair("âœ… Complete") == "✅ Complete"
    assert repair('Copy â€" then âŒ Failed') == "Copy — then ❌ Failed"
    assert repair("ðŸš¦ Quality gate") == "🚦 Quality gate"
    # half of a line was repaired by somebody already
    assert repair("✅ done â€“ really") == "✅ done – really"


@pytest.mark.parametrize(
    "text",
    ["ça va? Où", "naïve – “é”", "Москва", "Ünïcödé", "東京", "Ã", "â", "a?b", "²³ ±5 °C", "À la carte", "É"],
)
def test_sound_text_stays(text: str) -> None:
    assert repair(text) == text


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["⏳", "✅", "–", "—", "“so”", "→", "✓", "🟡", "über", "été", "café––", "a", "≤", "µs"]
        )
    )
)
def test_sound_words_of_plans_stay(words: list[str]) -> None:
    assert repair(" ".join(words)) == " ".join(words)


@pytest.mark.parametrize("page", PAGES)
def test_what_is_written_is_damaged_like_its_line(page: str) -> None:
    line = "- **Status**: ⏳ Not Started – later".encode().decode(page)
    written = damaged_like("✅ Complete", line)
    assert written == "✅ Complete".encode().decode(page)
    assert repair(written) == "✅ Complete"


def test_what_is_written_into_a_sound_line_is_sound() -> None:
    assert damaged_like("✅ Complete", "- **Status**: ⏳ Not Started") == "✅ Complete"
    assert damaged_like("✅ Complete", "- **Status**: not started") == "✅ Complete"


@pytest.mark.parametrize("name", ["task_blocks", "tables", "slices", "checkboxes", "bullets", "mixed"])
@pytest.mark.parametrize("lost", ["ignore", "replace"])
def test_a_damaged_plan_reads_like_the_sound_one(name: str, lost: str) -> None:
    sound = (GOLDEN / f"{name}.md").read_text(encoding="utf-8")
    damaged = sound.encode("utf-8").decode("cp1252", lost).encode("utf-8")
    assert essence(parse_plan(damaged, name)) == essence(parse_plan(sound.encode("utf-8"), name))


@pytest.mark.parametrize("step", [2, 3, 7])
def test_a_partly_damaged_plan_reads_like_the_sound_one(step: int) -> None:
    sound = (GOLDEN / "mixed.md").read_text(encoding="utf-8")
    lines = sound.split("\n")
    lines[::step] = [line.encode("utf-8").decode("sloppy-windows-1252") for line in lines[::step]]
    assert essence(parse_plan("\n".join(lines).encode("utf-8"), "x")) == essence(
        parse_plan(sound.encode("utf-8"), "x")
    )


def test_bytes_that_are_no_utf8_are_read_and_noticed() -> None:
    data = "# Plan\n\n## Week 1\n\n- [ ] Caf\xe9 \x97 open\n".encode("latin-1")
    plan = parse_plan(data, "p.md")
    assert plan.tasks[0].title.startswith("Café")
    assert [notice.source.line for notice in plan.notices] == [5]


def test_the_committed_damaged_plan_is_damaged() -> None:
    text = Path(GOLDEN / "mojibake.md").read_text(encoding="utf-8")
    assert "â³ Not Started" in text
    assert "⏳" not in text


def essence(plan: Plan) -> list[object]:
    """What a plan says, without the columns, which damage moves."""
    return [
        plan.title,
        [(phase.id, phase.title, phase.status_text, phase.goal) for phase in plan.phases],
        [
            (task.id, task.title, task.status, task.status_text, task.progress, task.owner, task.description)
            for task in plan.walk()
        ],
        [(gate.text, gate.action) for gate in plan.gates],
        [(risk.title, risk.mitigation) for risk in plan.risks],
        [(metric.name, metric.target) for metric in plan.metrics],
        [(notice.source.line, notice.text) for notice in plan.notices],
    ]
