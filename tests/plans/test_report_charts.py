"""Charts: round scales, honest gaps, and nothing outside the frame."""

from __future__ import annotations

import datetime
import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crossfade.plans.charts import HEIGHT, WIDTH, Event, Series, line_chart
from crossfade.plans.markup import Markup

BEGIN = datetime.datetime(2026, 3, 2, 22, 0, tzinfo=datetime.UTC)
SVG = "{http://www.w3.org/2000/svg}"


def at(minutes: float) -> datetime.datetime:
    return BEGIN + datetime.timedelta(minutes=minutes)


def chart(*series: Series, events: tuple[Event, ...] = ()) -> ET.Element:
    drawn = line_chart("c", title="T <1>", description="D & d", series=series, events=events)
    return ET.fromstring(drawn)


def line(*values: float | None, **more: bool) -> Series:
    return Series("s", 1, tuple((at(10 * index), value) for index, value in enumerate(values)), **more)


def texts(drawn: ET.Element) -> list[str]:
    return [text.text or "" for text in drawn.iter(f"{SVG}text")]


def test_the_axis_is_round_and_holds_everything() -> None:
    assert texts(chart(line(1, 87)))[:5] == ["0", "25", "50", "75", "100"]
    assert texts(chart(line(0.0012, 0.0007)))[:4] == ["0", "0.0005", "0.001", "0.0015"]
    assert texts(chart(line(0, 0)))[:2] == ["0", "1"]


def test_a_gap_is_a_gap_and_a_lonely_point_is_seen() -> None:
    drawn = chart(line(1, 2, None, 3, None, 4, 5))
    assert len(list(drawn.iter(f"{SVG}path"))) == 2
    assert len(list(drawn.iter(f"{SVG}circle"))) == 1


def test_it_says_what_it_shows() -> None:
    drawn = chart(line(1, 2))
    assert drawn.attrib["role"] == "img"
    assert [drawn.findtext(f"{SVG}{name}") for name in ("title", "desc")] == ["T <1>", "D & d"]
    ids = [child.attrib["id"] for child in drawn if child.tag in (f"{SVG}title", f"{SVG}desc")]
    assert drawn.attrib["aria-labelledby"].split() == ids


def test_the_time_axis_says_the_day_at_midnight() -> None:
    drawn = chart(Series("s", 1, ((at(0), 1.0), (at(60 * 30), 1.0))))
    assert "3 Mar" in texts(drawn)
    assert "12:00" in texts(drawn)
    weeks = chart(Series("s", 1, ((at(0), 1.0), (at(60 * 24 * 20), 1.0))))
    assert [text for text in texts(weeks) if "Mar" in text] == ["9 Mar", "16 Mar"]


def test_events_are_marked_and_their_words_do_not_run_together() -> None:
    drawn = chart(
        line(*range(100)), events=(Event(at(500), "→ new"), Event(at(505), "→ old"), Event(at(900), "→ new"))
    )
    assert sum(one.attrib["class"] == "mark" for one in drawn.iter(f"{SVG}line")) == 3
    assert [text for text in texts(drawn) if "→" in text] == ["→ new", "→ new"]
    outside = chart(line(1, 2), events=(Event(at(-5), "before"),))
    assert "before" not in texts(outside)


def test_of_many_points_the_highest_stay() -> None:
    drawn = chart(line(*([1.0] * 5_000), 99.0, *([1.0] * 5_000)))
    (path,) = drawn.iter(f"{SVG}path")
    assert path.attrib["d"].count(",") <= 240
    highest = min(float(y) for y in re.findall(r",([\d.]+)", path.attrib["d"]))
    assert highest == pytest.approx(22 + (1 - 99 / 100) * (HEIGHT - 26 - 22), abs=0.2)


def test_nothing_is_drawn_of_nothing() -> None:
    assert line_chart("c", title="t", description="d", series=[line()]) == Markup()


@settings(max_examples=60)
@example(values=[1.5e308], seconds=[0])
@example(values=[5e-324], seconds=[0])
@given(
    st.lists(st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)), min_size=1, max_size=20),
    st.lists(st.integers(0, 10**9), min_size=1, max_size=20),
)
def test_whatever_comes_stays_in_the_frame(values: list[float | None], seconds: list[int]) -> None:
    points = tuple(
        (BEGIN + datetime.timedelta(seconds=offset), value)
        for offset, value in zip(sorted(seconds), values, strict=False)
    )
    drawn = chart(Series("s", 1, points, filled=True, dotted=True))
    for path in drawn.iter(f"{SVG}path"):
        for x, y in re.findall(r"[ML](-?[\d.e+-]+),(-?[\d.e+-]+)", path.attrib["d"]):
            assert 0 <= float(x) <= WIDTH
            assert 0 <= float(y) <= HEIGHT
    assert all(math.isfinite(float(one.attrib["cy"])) for one in drawn.iter(f"{SVG}circle"))
    assert len(texts(drawn)) < 25
