"""The Gantt chart is one well-formed, self-contained and accessible SVG, whatever the plan."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page, sync_playwright

from crossfade.plans.gantt import gantt_svg
from crossfade.plans.model import Plan, Status
from crossfade.plans.reading import read_plan
from crossfade.plans.schedule import Schedule, schedule
from crossfade.plans.svgtext import fit, safe, width
from crossfade.plans.timescale import Timescale
from tests.examples.timeline.test_timeline_page import ARGUMENTS, CHROMIUM
from tests.plans.build import MONDAY, milestone, phase, plan, task

SVG = "{http://www.w3.org/2000/svg}"
DOCUMENTS = Path(__file__).parent / "documents"
WEEK = datetime.timedelta(days=7)


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def of_kind(root: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    """The elements of that class, without the legend's."""
    return [one for one in root.iter() if kind in one.get("class", "").split()]


def words(root: ElementTree.Element) -> list[str]:
    return ["".join(one.itertext()) for one in root.iter(f"{SVG}text")]


def bars(root: ElementTree.Element) -> dict[str, ElementTree.Element]:
    """The bar of each task, by what its tooltip says."""
    return {
        one.findtext(f"{SVG}title") or "": next(inner for inner in one if "cf-bar" in inner.get("class", ""))
        for one in of_kind(root, "cf-row")
    }


@pytest.fixture
def sample() -> Schedule:
    made = plan(
        phase(
            "Phase 1",
            task("1.1", title="Take stock", hours=8, owner="Ada", status=Status.DONE, finished=MONDAY),
            task("1.2", title="Write & <compare>", hours=20, owner="Ada", needs=["1.1"]),
            task("1.3", title="Choose a date", needs=["1.1"]),
        ),
        phase(
            "Phase 2",
            task("2.1", title="Copy", hours=4, needs=["Phase 1"], run=("crossfade copy",)),
            task("2.2", title="Wait", hours=1, window="Week 1", status=Status.IN_PROGRESS, progress=50),
        ),
        milestones=(
            milestone("M1", title="Prepared", phase="Phase 1"),
            milestone("M2", title="Live", window="2026-03-20", status=Status.DONE),
        ),
    )
    return schedule(made, start=MONDAY)


def test_the_chart_stands_alone_and_tells_itself_in_words(sample: Schedule) -> None:
    text = gantt_svg(sample, title="The move & its end")
    root = parsed(text)
    assert root.get("role") == "img"
    told = {one.get("id"): one.text for one in root if one.get("id")}
    assert (root.get("aria-labelledby") or "").split() == list(told)
    title, description = told.values()
    assert title == "The move & its end"
    assert "Gantt chart of 5 tasks from 2 Mar 2026 to 5 Mar 2026." in (description or "")
    assert "Critical path: 1.2 Write & <compare> → 2.1 Copy." in (description or "")
    assert "Milestone Live: 20 Mar 2026." in (description or "")
    assert not re.search(r"<script|<image|<foreignObject|href|@import|url\((?!#)|\son\w+=", text)
    assert set(re.findall(r"https?://[^\"']+", text)) == {"http://www.w3.org/2000/svg"}


def test_bars_lie_where_their_time_is(sample: Schedule) -> None:
    root = parsed(gantt_svg(sample))
    found = {told.split()[0]: bar for told, bar in bars(root).items()}
    left = {name: float(bar.get("x") or 0) for name, bar in found.items()}
    long = {name: float(bar.get("width") or 0) for name, bar in found.items()}
    day = (1176 - 354) / 21
    assert left["1.1"] == pytest.approx(354 + day * 9 / 24, abs=0.1)
    assert left["1.2"] == pytest.approx(354 + day * (1 + 9 / 24), abs=0.1)
    assert long["1.1"] == pytest.approx(day * 8 / 24, abs=0.1)
    assert long["1.2"] == pytest.approx(day * (2 + 4 / 24), abs=0.1)
    assert left["2.1"] == pytest.approx(left["1.2"] + long["1.2"], abs=0.2)


def test_the_critical_path_shows_without_colours(sample: Schedule) -> None:
    root = parsed(gantt_svg(sample))
    critical = [told for told, bar in bars(root).items() if "cf-critical" in (bar.get("class") or "")]
    assert len(critical) == 2
    assert all("on the critical path" in told for told in critical)
    assert len(of_kind(root, "cf-outline")) == 2 + 1, "outlined, and once in the legend"
    stripes = [one for one in root.iter(f"{SVG}rect") if (one.get("fill") or "").startswith("url(#")]
    assert len(stripes) == 2 + 1
    assert len(of_kind(root, "cf-tc")) == 2
    assert len(of_kind(root, "cf-arrowc")) == 1


def test_everything_else_has_its_sign(sample: Schedule) -> None:
    root = parsed(gantt_svg(sample, today=MONDAY + datetime.timedelta(days=1)))
    told = " ".join(words(root))
    assert "today" in told
    assert {"Phase 1", "Phase 2", "Milestones", "Prepared", "Live"} <= set(words(root))
    assert "Ada · 20 h" in words(root)
    assert "W1" not in words(root), "three weeks are told in days"
    assert len(of_kind(root, "cf-diamond")) == 2 + 1
    assert len(of_kind(root, "cf-reached")) == 1
    assert len(of_kind(root, "cf-assumed")) == 1 + 1
    assert len(of_kind(root, "cf-part")) == 1 + 1
    groups = [one.get("aria-label") for one in root.iter(f"{SVG}g") if one.get("aria-label")]
    assert groups == ["Phase 1", "Phase 2", "Milestones"]
    titles = [one.findtext(f"{SVG}title") for one in of_kind(root, "cf-row")]
    assert "1.3 Choose a date: 3 Mar 2026 09:00–17:00, 8 hours (assumed), slack 12 hours" in titles


def test_late_tasks_say_so() -> None:
    late = schedule(plan(task("1", hours=80, window="Week 1", owner="Ada")), start=MONDAY)
    root = parsed(gantt_svg(late))
    assert "late  Ada · 80 h" in words(root)
    assert "Late for their window: 1 task." in (root.findtext(f"{SVG}desc") or "")


def test_today_outside_of_the_plan_is_not_drawn(sample: Schedule) -> None:
    assert "today" not in words(parsed(gantt_svg(sample, today=MONDAY + 60 * WEEK)))
    assert "today" not in words(parsed(gantt_svg(sample)))


def test_a_theme_is_the_readers_unless_one_is_asked_for(sample: Schedule) -> None:
    auto, light, dark = (gantt_svg(sample, theme=theme) for theme in ("auto", "light", "dark"))
    assert "prefers-color-scheme:dark" in auto
    assert "prefers-color-scheme" not in light + dark
    assert "--bg:#ffffff" in light
    assert "--bg:#ffffff" not in dark


def test_two_charts_on_a_page_can_have_ids_of_their_own(sample: Schedule) -> None:
    ids = set(re.findall(r'id="([^"]+)"', gantt_svg(sample, name="one")))
    assert ids
    assert not ids & set(re.findall(r'id="([^"]+)"', gantt_svg(sample, name="two")))


def test_long_titles_are_cut_and_told_whole(sample: Schedule) -> None:
    name = "Move every single table of the shop, " * 20
    root = parsed(gantt_svg(schedule(plan(task("1", title=name, hours=1)), start=MONDAY), title=name))
    labels = [word for word in words(root) if word.startswith("1 Move")]
    assert len(labels) == 1
    assert labels[0].endswith("…")
    assert len(labels[0]) < 80
    assert any(name.strip() in told for told in bars(root))


@pytest.mark.parametrize("tasks", [0, 1, 2, 500])
def test_any_number_of_tasks_is_drawn_in_its_height(tasks: int) -> None:
    made = [task(f"{n}", hours=3, needs=[f"{n - 1}"] if n else []) for n in range(tasks)]
    text = gantt_svg(schedule(plan(*made) if made else Plan(title="x", path="x"), start=MONDAY))
    root = parsed(text)
    assert len(of_kind(root, "cf-row")) == tasks
    assert len(text) < 20_000 + 1000 * tasks
    height = float(root.get("height") or 0)
    for one in root.iter():
        for edge in ("y", "y1"):
            assert 0 <= float(one.get(edge) or 0) <= height
    assert ("No tasks" in words(root)) == (tasks == 0)


def test_time_that_is_told_in_weeks_months_and_years() -> None:
    weeks = words(parsed(gantt_svg(schedule(plan(task("1", hours=400)), start=MONDAY))))
    assert {"March 2026", "April 2026", "W1", "W9"} <= set(weeks)
    years = words(parsed(gantt_svg(schedule(plan(task("1", hours=30_000)), start=MONDAY))))
    assert {"2026", "2030"} <= set(years)
    assert len([word for word in years if word.startswith("W")]) < 30


@given(
    st.dates(datetime.date(2000, 1, 1), datetime.date(2100, 1, 1)),
    st.integers(-400, 400),
    st.integers(0, 200_000),
)
@settings(max_examples=80, deadline=None)
def test_the_axis_holds_all_of_it_in_order(origin: datetime.date, before: int, hours: int) -> None:
    first = datetime.datetime.combine(origin, datetime.time(9)) + datetime.timedelta(days=before)
    last = first + datetime.timedelta(hours=hours)
    scale = Timescale(origin, first, last, 300, 1100)
    assert 300 <= scale.x(first) <= scale.x(last) <= 1100
    assert scale.first <= first.date()
    assert last.date() < scale.first + datetime.timedelta(days=scale.days)
    ticks = [tick.x for tick in scale.ticks()]
    assert ticks == sorted(ticks)
    assert all(right - left >= 6.9 for left, right in pairwise(ticks))
    assert sum(band.width for band in scale.bands()) == pytest.approx(800)


@given(st.text(max_size=60), st.text(max_size=60))
@settings(max_examples=80, deadline=None)
def test_any_words_make_well_formed_xml(title: str, owner: str) -> None:
    made = plan(phase("P", task("1", title=title or "x", owner=owner, hours=8), title=title))
    root = parsed(gantt_svg(schedule(made, start=MONDAY), title=title, name="a<b"))
    assert len(of_kind(root, "cf-row")) == 1


@given(st.text(max_size=80), st.integers(5, 400))
@settings(max_examples=60, deadline=None)
def test_what_is_cut_fits(text: str, room: int) -> None:
    cut = fit(text, room, 12)
    assert width(cut, 12) <= room
    assert cut == " ".join(text.split()) or cut == "" or cut.endswith("…")


def test_what_xml_forbids_is_left_out() -> None:
    assert safe('a\x00b\x1b <c> & "d"\ufffe\n e') == "ab &lt;c&gt; &amp; &quot;d&quot; e"


# --- in a browser -----------------------------------------------------------


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    if not CHROMIUM.exists():
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser.new_page()
        browser.close()


def test_a_browser_draws_every_word_inside_of_its_room(page: Page) -> None:
    made = schedule(read_plan(DOCUMENTS / "sane.md"), start=MONDAY)
    page.set_viewport_size({"width": 1300, "height": 800})
    page.set_content(f"<body style='margin:0'>{gantt_svg(made, today=MONDAY + 3 * WEEK)}</body>")
    boxes = page.eval_on_selector_all(
        "svg text",
        "all => all.map(one => ({kind: one.getAttribute('class'), words: one.textContent, "
        "x: one.getBoundingClientRect().left, end: one.getBoundingClientRect().right}))",
    )
    assert len(boxes) > 200
    assert [box["words"] for box in boxes if box["x"] < 20 or box["end"] > 1184] == []
    labels = [box for box in boxes if box["kind"] in ("cf-t", "cf-tc", "cf-td", "cf-p", "cf-ms")]
    assert len(labels) > 90
    assert [box["words"] for box in labels if box["end"] > 354] == []


def test_a_browser_follows_the_readers_setting(page: Page, sample: Schedule) -> None:
    page.set_content(gantt_svg(sample))
    colours = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        colours.append(page.eval_on_selector(".cf-bg", "one => getComputedStyle(one).fill"))
    assert colours == ["rgb(255, 255, 255)", "rgb(20, 24, 31)"]
