"""Line and area charts as SVG: made to be read at the size of a phone, in light and dark, and on paper.

A chart carries no colours: it names classes (``line-1``, ``area-1``, ``grid``, ``tick``, ``mark``), and the page's style
sheet says how they look.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from crossfade.plans.markup import Markup, element, joined

WIDTH, HEIGHT = 480, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 22, 26
_MOST_POINTS = 240

_STEPS = tuple(
    datetime.timedelta(seconds=seconds)
    for seconds in (
        *(1, 5, 15, 30, 60, 300, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200),
        *(86_400, 172_800, 604_800, 1_209_600, 2_592_000, 7_776_000, 31_536_000),
    )
)

Point = tuple[datetime.datetime, float | None]


@dataclass(frozen=True, slots=True)
class Series:
    """One line.  ``style`` is the number in its class (``line-1``); a point without a value is a gap; with
    ``filled`` the area under it is filled, with ``dotted`` each point is shown."""

    name: str
    style: int
    points: tuple[Point, ...]
    filled: bool = False
    dotted: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """A moment that is marked on the time axis."""

    at: datetime.datetime
    text: str


def line_chart(
    name: str,
    *,
    title: str,
    description: str,
    series: Sequence[Series],
    events: Sequence[Event] = (),
    figure: Callable[[float], str] = "{:g}".format,
    at_least: float = 0.0,
) -> Markup:
    """The chart.  ``name`` makes its ids unique in the page; ``figure`` writes a value on the vertical axis, which
    begins at 0 and reaches ``at_least`` that value.  Nothing is drawn where there is no point."""
    series = [_thinned(one) for one in series]
    known = [point for one in series for point in one.points]
    if not known:
        return Markup()
    top, ticks = _scale(max([at_least, *(value for _, value in known if value is not None)]))
    frame = _Frame(min(at for at, _ in known), max(at for at, _ in known), top)
    inside = [event for event in events if frame.begin <= event.at <= frame.end]
    return element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", description, id=f"{name}-desc"),
        *_values(frame, ticks, figure),
        *_times(frame),
        *(_area(frame, one) for one in series if one.filled),
        *_marks(frame, inside),
        *(_line(frame, one) for one in series),
        xmlns="http://www.w3.org/2000/svg",
        class_="chart",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    begin: datetime.datetime
    end: datetime.datetime
    top: float

    @property
    def floor(self) -> float:
        return HEIGHT - _BOTTOM

    def x(self, at: datetime.datetime) -> float:
        span = (self.end - self.begin).total_seconds()
        share = (at - self.begin).total_seconds() / span if span else 0.5
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        share = min(max(value / self.top, 0.0), 1.0)
        return round(self.floor - share * (self.floor - _TOP), 1)


# --- what stands behind -----------------------------------------------------


def _values(frame: _Frame, ticks: Sequence[float], figure: Callable[[float], str]) -> Iterator[Markup]:
    for value in ticks:
        y = frame.y(value)
        yield element("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y, y2=y, class_="grid" if value else "axis")
        yield element("text", figure(value), x=_LEFT - 6, y=y + 4, class_="tick", text_anchor="end")


def _times(frame: _Frame) -> Iterator[Markup]:
    span = frame.end - frame.begin
    step = next((one for one in _STEPS if span / one <= 5), span)
    for at in _round_moments(frame, step):
        x = frame.x(at)
        anchor = "start" if x < _LEFT + 14 else "end" if x > WIDTH - _RIGHT - 14 else "middle"
        yield element("line", x1=x, x2=x, y1=frame.floor, y2=frame.floor + 4, class_="axis")
        yield element("text", _time(at, step, span), x=x, y=HEIGHT - 8, class_="tick", text_anchor=anchor)


def _round_moments(frame: _Frame, step: datetime.timedelta) -> Iterator[datetime.datetime]:
    """Moments a step apart, counted from midnight where the first one lies."""
    if not step:
        yield frame.begin
        return
    midnight = frame.begin.replace(hour=0, minute=0, second=0, microsecond=0)
    at = midnight + math.ceil((frame.begin - midnight) / step) * step
    while at <= frame.end:
        yield at
        at += step


def _time(at: datetime.datetime, step: datetime.timedelta, span: datetime.timedelta) -> str:
    if step >= datetime.timedelta(days=1):
        return f"{at.day} {at:%b}" if span < datetime.timedelta(days=600) else f"{at:%b %Y}"
    if step < datetime.timedelta(minutes=1):
        return f"{at:%H:%M:%S}"
    if at.hour == at.minute == 0 and span > datetime.timedelta(hours=20):
        return f"{at.day} {at:%b}"
    return f"{at:%H:%M}"


def _marks(frame: _Frame, events: Sequence[Event]) -> Iterator[Markup]:
    """A vertical line for each; its words only where they do not run into the last ones."""
    free = float("-inf")
    for event in sorted(events, key=lambda one: one.at):
        x = frame.x(event.at)
        yield element("line", x1=x, x2=x, y1=_TOP - 4, y2=frame.floor, class_="mark")
        width = 6.6 * len(event.text)
        left = min(max(x - width / 2, _LEFT), WIDTH - _RIGHT - width)
        if left >= free:
            yield element("text", event.text, x=round(left, 1), y=_TOP - 9, class_="tick")
            free = left + width + 8


_LEAST = 1e-300
"""What is smaller, or larger than its inverse, leaves no room to reckon with."""


def _scale(largest: float) -> tuple[float, list[float]]:
    """The top of the vertical axis and its ticks: three to five round steps."""
    if not math.isfinite(largest) or largest < _LEAST:
        return 1.0, [0.0, 1.0]
    largest = min(largest, 1 / _LEAST)
    rough = largest / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999999)
    count = max(1, math.ceil(largest / step - 1e-9))
    return step * count, [round(step * index, 12) for index in range(count + 1)]


# --- the lines --------------------------------------------------------------


def _line(frame: _Frame, series: Series) -> Markup:
    drawn: list[Markup] = []
    for run in _runs(series):
        if len(run) > 1:
            drawn.append(element("path", d=_path(frame, run), class_=f"line-{series.style}"))
        for at, value in run if series.dotted or len(run) == 1 else ():
            x, y = frame.x(at), frame.y(value)
            drawn.append(element("circle", cx=x, cy=y, r=2.5, class_=f"dot-{series.style}"))
    return joined(*drawn)


def _area(frame: _Frame, series: Series) -> Markup:
    return joined(
        *(
            element(
                "path",
                d=f"{_path(frame, run)}L{frame.x(run[-1][0]):g},{frame.floor:g}"
                f"L{frame.x(run[0][0]):g},{frame.floor:g}Z",
                class_=f"area-{series.style}",
            )
            for run in _runs(series)
            if len(run) > 1
        )
    )


def _path(frame: _Frame, run: Sequence[tuple[datetime.datetime, float]]) -> str:
    return "M" + "L".join(f"{frame.x(at):g},{frame.y(value):g}" for at, value in run)


def _runs(series: Series) -> Iterator[list[tuple[datetime.datetime, float]]]:
    """The stretches of points between gaps."""
    run: list[tuple[datetime.datetime, float]] = []
    for at, value in (*series.points, (None, None)):
        if at is None or value is None:
            if run:
                yield run
            run = []
        else:
            run.append((at, value))


def _thinned(series: Series) -> Series:
    """At most `_MOST_POINTS` points: of many the highest, because that is what people look for."""
    points = [(at, value if value is None or math.isfinite(value) else None) for at, value in series.points]
    size = math.ceil(len(points) / _MOST_POINTS)
    if size > 1:
        parts = (points[begin : begin + size] for begin in range(0, len(points), size))
        points = [max(part, key=lambda point: -1.0 if point[1] is None else point[1]) for part in parts]
    return replace(series, points=tuple(points))
