"""The report's page: one file, nothing in a plan can break out of it, and it is readable everywhere."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Request, sync_playwright
from pydantic import BaseModel

from crossfade.plans.markup import Markup, element, escaped
from crossfade.plans.model import Plan
from crossfade.plans.report import Report
from crossfade.plans.report_build import build
from crossfade.plans.report_html import page
from crossfade.plans.report_style import DARK, LIGHT
from tests.examples.timeline.test_timeline_page import ARGUMENTS, CHROMIUM
from tests.plans.test_truth import plan_of
from tests.plans.weekly import NOW, weekly_plan, weekly_report, weekly_schedule

EVIL = "<script>document.title='broken'</script>\"'><img src=x onerror=alert(1)>&lt;</style></svg>"


@pytest.fixture(scope="module")
def plan() -> Plan:
    return weekly_plan()


@pytest.fixture(scope="module")
def report(plan: Plan) -> Report:
    return weekly_report(plan)


@pytest.fixture(scope="module")
def html(plan: Plan, report: Report) -> str:
    return page(report, schedule=weekly_schedule(plan))


class Seen(HTMLParser):
    """The elements of a page with their attributes, what was not closed, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.comments: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        assert len(attrs) == len(dict(attrs)), "an attribute twice"
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def kinds(self) -> set[tuple[str, str]]:
        """Every attribute with the element it stands at."""
        return {(tag, name) for tag, attributes in self.elements for name in ("", *attributes)}

    def values(self, name: str) -> set[str]:
        """The values of that attribute, wherever it stands."""
        return {attributes[name] for _, attributes in self.elements if name in attributes}

    def all(self, tag: str) -> Iterator[dict[str, str]]:
        return (attributes for name, attributes in self.elements if name == tag)


# --- nothing breaks out -----------------------------------------------------

FREE = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="<>\"'&;=/!-[]`\\ \x00\u202e\ufffexs", max_size=40),
    st.sampled_from(
        [EVIL, "--><b>", "]]>", "</title>", "&#60;b&#62;", "javascript:alert(1)", "{{x}}", "\u2028"]
    ),
)
STATIC = {"id", "hash", "run", "comparison", "measure"}
"""Texts of a report that are not the plan's own."""


def with_texts(value: Any, texts: Iterator[str]) -> Any:
    """A copy of a report or schedule in which every text that may come from a plan is another one."""
    if isinstance(value, BaseModel):
        changed = {
            name: with_texts(getattr(value, name), texts)
            for name in type(value).model_fields
            if name not in STATIC and isinstance(getattr(value, name), str | tuple | BaseModel)
        }
        return value.model_copy(update=changed)
    if isinstance(value, tuple):
        return tuple(with_texts(item, texts) for item in value)
    # an enumeration is a str of its own; an empty text stays empty
    return next(texts) if type(value) is str and value else value


@settings(max_examples=25, deadline=None)
@given(st.lists(FREE.filter(bool), min_size=3, max_size=8))
def test_no_text_of_a_plan_is_markup(texts: list[str]) -> None:
    report = weekly_report()
    benign = Seen(page(report))
    changed = with_texts(report, itertools.cycle(texts))
    seen = Seen(page(changed))
    assert not seen.open
    assert not seen.comments
    assert seen.kinds() <= benign.kinds()
    assert seen.values("id") == benign.values("id")
    assert seen.values("href") == benign.values("href")
    assert seen.values("data-label") <= benign.values("data-label")
    assert seen.values("class") <= benign.values("class")
    assert all(re.fullmatch(r"width:\d+\.\d%", value) for value in seen.values("style"))
    assert escaped(changed.title) in page(changed)


@settings(max_examples=15, deadline=None)
@given(FREE.map(lambda text: text.replace("\0", " ").encode("utf-8", "replace").decode()))
def test_no_text_in_the_schedule_is_markup(text: str) -> None:
    document = (Path(__file__).parent / "report" / "plan.md").read_text(encoding="utf-8")
    line = " ".join(text.split()) or "x"
    changed = document.replace("Copy every table", line).replace("Phase 3: Switch", f"Phase 3: {line}")
    plan = plan_of(changed.replace("Ben Okafor", line).replace("Ready to copy", line))
    seen = Seen(page(weekly_report(plan), schedule=weekly_schedule(plan)))
    assert not seen.open
    assert {tag for tag, _ in seen.elements} <= ELEMENTS
    assert not [name for _, name in seen.kinds() if name.startswith("on")]


ELEMENTS = frozenset(
    re.findall(
        r"\w+",
        "html head meta title style body div a header p h1 h2 h3 dl dt dd nav ul li main section table thead tbody tr "
        "th td span small code figure figcaption svg desc g path rect line text tspan circle defs marker pattern "
        "details summary footer",
    )
)


def test_markup_is_made_of_markup_only() -> None:
    assert element("p", "<b>", element("i", "x"), title='"') == '<p title="&quot;">&lt;b&gt;<i>x</i></p>'
    assert escaped("a\x00b\ud800") == "a\ufffdb\ufffd"
    assert escaped(Markup("<b>")) == "<b>"
    for wrong in ("p onclick=x", "", "1p", 'p"'):
        with pytest.raises(ValueError, match="is not the name"):
            element(wrong)
    with pytest.raises(ValueError, match="is not the name"):
        element("p", **{"a b": "x"})


# --- the page as a document -------------------------------------------------


def test_nothing_is_loaded_and_nothing_runs(html: str) -> None:
    seen = Seen(html)
    assert not seen.open
    assert not list(seen.all("script"))
    assert {tag for tag, _ in seen.elements} <= ELEMENTS
    assert not [name for _, name in seen.kinds() if name in ("src", "srcset", "data", "action")]
    targets = {attributes["href"] for attributes in seen.all("a")}
    ids = Counter(attributes["id"] for _, attributes in seen.elements if "id" in attributes)
    assert all(target.removeprefix("#") in ids for target in targets)
    assert set(ids.values()) == {1}
    policies = [
        one["content"] for one in seen.all("meta") if one.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org/2000/svg)", html)


def test_headings_are_in_order_and_headers_have_a_scope(html: str) -> None:
    seen = Seen(html)
    levels = [int(tag[1]) for tag, _ in seen.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert {one.get("scope") for one in seen.all("th")} == {"col", "row"}
    assert all(one["role"] == "img" and one["aria-labelledby"] for one in seen.all("svg"))
    bars = [one for one in seen.all("div") if one.get("class") == "bar"]
    assert all(one["aria-label"] for one in bars)


def test_the_page_says_what_the_report_says(html: str, report: Report) -> None:
    text = " ".join(" ".join(Seen(html).text).split())
    for expected in (
        "43 % done, 26 % claimed",
        "What is only claimed is drawn as done.",
        "2.2 Compare every cell failed",
        "its gate is closed: verify.differences = 3",
        "The figures of the traffic charts",
        report.evidence.head,
    ):
        assert expected in text
    assert html.count('class="chart"') == 4


def test_long_tables_say_what_they_leave_out() -> None:
    tasks = "".join(f"- [x] task number {number}\n" for number in range(230))
    plan = plan_of(f"# P\n\n## Phase 1\n\n{tasks}")
    text = page(build(plan, [], now=NOW))
    assert text.count("task number") == 200
    assert "and 30 more" in text


# --- how it looks -----------------------------------------------------------


def luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_contrast(theme: dict[str, str]) -> None:
    """WCAG 2.1, level AA: 4.5 for text, 3 for lines."""
    for name in ("ink", "soft", "good", "bad", "warning", "link"):
        for behind in ("paper", "panel"):
            assert contrast(theme[name], theme[behind]) >= 4.5, (name, behind)
    for name in ("old", "new", "good", "warning"):
        assert contrast(theme[name], theme["paper"]) >= 3, name


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.mark.parametrize(
    ("width", "scheme"), [(1200, "light"), (390, "light"), (390, "dark"), (320, "light")]
)
def test_it_fits_and_is_alone(browser: Browser, html: str, tmp_path: Path, width: int, scheme: Any) -> None:
    """No sideways scrolling of the page, no request but its own, no complaint of the browser."""
    file = tmp_path / "report.html"
    file.write_text(html, encoding="utf-8")
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    opened = context.new_page()
    requests: list[Request] = []
    complaints: list[str] = []
    opened.on("request", lambda request: requests.append(request))
    opened.on("console", lambda message: complaints.append(message.text))
    opened.goto(file.as_uri())
    assert opened.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    background = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(16, 21, 27)"}[scheme]
    assert [request.url for request in requests] == [file.as_uri()]
    assert complaints == []
    # a table stays one for those who hear it, whatever the style sheet makes of it
    assert opened.get_by_role("columnheader", name="Phase", exact=True).count() > 0
    assert opened.get_by_role("rowheader", name="2.2 Compare every cell").count() > 0
    context.close()


def test_a_browser_runs_nothing_of_a_plan(browser: Browser, tmp_path: Path) -> None:
    document = (Path(__file__).parent / "report" / "plan.md").read_text(encoding="utf-8")
    plan = plan_of(document.replace("Copy every table", EVIL).replace("Switch", EVIL))
    report = with_texts(weekly_report(plan), itertools.repeat(EVIL))
    file = tmp_path / "report.html"
    # also without the policy that forbids it
    text = page(report, schedule=weekly_schedule(plan)).replace("Content-Security-Policy", "x")
    file.write_text(text, encoding="utf-8")
    opened = browser.new_page()
    dialogs: list[str] = []
    opened.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    opened.goto(file.as_uri())
    assert opened.evaluate("document.querySelectorAll('script, img').length") == 0
    assert opened.title().startswith("Status report: <script>")
    assert dialogs == []
    opened.close()
