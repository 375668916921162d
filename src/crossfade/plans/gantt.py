"""A schedule as a Gantt chart: one self-contained SVG, without scripts and without anything from elsewhere.

Tasks are grouped by phase; the critical path is striped, outlined and in bold, so it shows without colours too.
The colours follow the reader's light or dark setting, unless a theme is asked for.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from crossfade.plans.gantt_style import BACKGROUND, definitions, legend, style
from crossfade.plans.model import Status
from crossfade.plans.svgtext import fit, safe, width
from crossfade.plans.timescale import Timescale
from crossfade.plans.timetable import Activity, MilestoneDate, PhaseSpan, Schedule
from crossfade.plans.work import Basis

Theme = Literal["auto", "light", "dark"]

WIDTH = 1200.0
_MARGIN = 24.0
_LABELS = 330.0
_HEAD = 112.0
_AXIS = 44.0
_ROW = 26.0
_BAR = 14.0
_PHASE = 30.0
_SIZE = 12.0
_SMALL = 10.5
_MOST_ARROWS = 160
"""With more arrows than that only the critical ones are drawn."""


_Item = PhaseSpan | Activity | MilestoneDate | str


@dataclass(slots=True)
class _Line:
    """One row of the chart; a text is a heading of its own."""

    item: _Item
    depth: int
    y: float
    height: float

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


def gantt_svg(
    schedule: Schedule,
    *,
    title: str | None = None,
    theme: Theme = "auto",
    today: datetime.date | None = None,
    name: str = "gantt",
) -> str:
    """The chart as the text of an SVG document, 1200 pixels wide and as high as it has rows.

    ``title`` is the plan's unless another one is given.  A line marks ``today`` (else the schedule's own, if it
    has one) where that lies in the plan's time.  ``name`` begins the ids inside, which have to differ between
    two charts on one page.
    """
    return _Chart(schedule, title or schedule.title, theme, today or schedule.today, name).draw()


class _Chart:
    def __init__(
        self, schedule: Schedule, title: str, theme: Theme, today: datetime.date | None, name: str
    ) -> None:
        self._schedule = schedule
        self._title = " ".join(title.split()) or "Plan"
        self._theme = theme
        self._today = today
        self._name = name
        self._top = _HEAD + _AXIS
        self._lines = self._arrange()
        last = self._lines[-1] if self._lines else None
        self._bottom = (last.y + last.height if last else self._top + 48) + 8
        moments = [moment for line in self._lines for moment in _moments(line.item)]
        self._scale = Timescale(
            schedule.start.date(),
            min(moments, default=schedule.start),
            max(moments, default=schedule.end),
            _MARGIN + _LABELS,
            WIDTH - _MARGIN,
        )
        self._tasks = {line.item.id: line for line in self._lines if isinstance(line.item, Activity)}
        self._spans = {line.item.id: line for line in self._lines if isinstance(line.item, PhaseSpan)}
        path = schedule.critical_path
        self._chain = set(pairwise(path))

    def _arrange(self) -> list[_Line]:
        """The rows from top to bottom: phases, in each its tasks and then its milestones."""
        schedule = self._schedule
        tasks = {one.id: one for one in schedule.activities}
        known = {phase.id for phase in schedule.phases}
        lines: list[_Line] = []
        y = self._top + 6

        def add(item: _Item, depth: int) -> None:
            nonlocal y
            height = _PHASE if isinstance(item, PhaseSpan | str) else _ROW
            lines.append(_Line(item, depth, y, height))
            y += height

        for phase in schedule.phases:
            alone = phase.implicit and len(schedule.phases) == 1
            if not alone:
                add(phase, phase.depth)
            depth = 0 if alone else phase.depth + 1
            for identifier in phase.activities:
                add(tasks[identifier], depth)
            for milestone in schedule.milestones:
                if milestone.phase == phase.id:
                    add(milestone, depth)
        others = [milestone for milestone in schedule.milestones if milestone.phase not in known]
        if others and lines:
            add("Milestones", 0)
        for milestone in others:
            add(milestone, 1 if len(lines) > len(others) else 0)
        return lines

    # --- the document -------------------------------------------------------

    def draw(self) -> str:
        height = self._bottom + _MARGIN
        return "\n".join(
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" class="cf-gantt cf-{self._theme}" role="img" '
                f'viewBox="0 0 {WIDTH:g} {height:g}" width="{WIDTH:g}" height="{height:g}" '
                f'style="max-width:100%;height:auto" '
                f'aria-labelledby="{safe(self._name)}-title {safe(self._name)}-desc">',
                f'<title id="{safe(self._name)}-title">{safe(self._title)}</title>',
                f'<desc id="{safe(self._name)}-desc">{safe(self._told())}</desc>',
                style(self._theme),
                definitions(self._name),
                BACKGROUND.format(width=f"{WIDTH:g}", height=f"{height:g}"),
                *self._heading(),
                *self._grid(),
                *self._arrows(),
                *self._rows(),
                *self._now(),
                "</svg>\n",
            )
        )

    def _told(self) -> str:
        """The chart in words."""
        schedule = self._schedule
        parts = [
            f"Gantt chart of {_counted(len(schedule.activities), 'task')} from {_date(schedule.start)} to {_date(schedule.end)}."
        ]
        if schedule.critical_path:
            titles = {one.id: _called(one) for one in schedule.activities}
            path = [titles[one] for one in schedule.critical_path]
            shown = " → ".join(path if len(path) <= 12 else [*path[:11], f"… {len(path) - 11} more"])
            parts.append(f"Critical path: {shown}.")
        late = [one for one in schedule.activities if one.late]
        if late:
            parts.append(f"Late for their window: {_counted(len(late), 'task')}.")
        parts += [f"Milestone {one.title}: {_date(one.at)}." for one in schedule.milestones[:12]]
        return " ".join(parts)

    def _heading(self) -> Iterator[str]:
        schedule = self._schedule
        room = WIDTH - 2 * _MARGIN
        yield (
            f'<text class="cf-h" x="{_MARGIN:g}" y="{_MARGIN + 16:g}">'
            f"{safe(fit(self._title, room, 19, bold=True))}</text>"
        )
        done = sum(1 for one in schedule.activities if one.done)
        critical = len(schedule.critical_path)
        facts = [
            " – ".join(dict.fromkeys((_date(schedule.start), _date(schedule.end)))),
            _counted(len(schedule.activities), "task") + (f", {done} done" if done else ""),
        ]
        if critical:
            facts.append(f"critical path: {_counted(critical, 'task')}")
        if schedule.overloads:
            overloaded = {load.owner for load in schedule.overloads}
            facts.append(f"{_counted(len(overloaded), 'owner')} overloaded")
        yield f'<text class="cf-s" x="{_MARGIN:g}" y="{_MARGIN + 38:g}">{safe("  ·  ".join(facts))}</text>'
        yield legend(self._name, _MARGIN, _MARGIN + 62)

    def _grid(self) -> Iterator[str]:
        scale, top = self._scale, self._top
        left, right = scale.left, scale.right
        for band in scale.idle(self._schedule.calendar.weekdays):
            yield _rect("cf-idle", band.x, top, band.width, self._bottom - top)
        for line in self._lines:
            if isinstance(line.item, PhaseSpan | str):
                yield _rect("cf-stripe", _MARGIN, line.y, WIDTH - 2 * _MARGIN, line.height)
        for band in scale.bands():
            yield f'<path class="cf-grid2" d="M{band.x:.1f} {_HEAD:g}V{top:g}"/>'
            if band.label:
                yield f'<text class="cf-m" x="{band.x + 5:.1f}" y="{_HEAD + 15:g}">{safe(band.label)}</text>'
        for tick in scale.ticks():
            kind = "cf-grid2" if tick.strong else "cf-grid"
            yield f'<path class="{kind}" d="M{tick.x:.1f} {_HEAD + 22:g}V{self._bottom:g}"/>'
            if tick.label:
                yield f'<text class="cf-w" x="{tick.x + 4:.1f}" y="{_HEAD + 37:g}">{safe(tick.label)}</text>'
        yield f'<path class="cf-line" d="M{_MARGIN:g} {top:g}H{right:g}"/>'
        yield f'<path class="cf-grid2" d="M{_MARGIN:g} {_HEAD:g}H{right:g}M{left:g} {_HEAD:g}V{self._bottom:g}"/>'
        yield f'<path class="cf-line" d="M{_MARGIN:g} {self._bottom:g}H{right:g}"/>'

    def _now(self) -> Iterator[str]:
        if self._today is None or not self._scale.holds(self._today):
            return
        x = self._scale.x(self._today)
        room = width("today", _SMALL) + 8
        at = min(x - room / 2, self._scale.right - room)
        yield f'<g><title>today: {_date(self._today)}</title><path class="cf-now" d="M{x:.1f} {self._top - 4:g}V{self._bottom:g}"/>'
        yield _rect("cf-nowbox", at, self._top - 18, room, 15, 3)
        yield f'<text class="cf-nowtext" x="{at + room / 2:.1f}" y="{self._top - 7:g}">today</text></g>'

    # --- rows ---------------------------------------------------------------

    def _rows(self) -> Iterator[str]:
        if not self._lines:
            yield f'<text class="cf-s" x="{_MARGIN:g}" y="{self._top + 30:g}">No tasks</text>'
        opened = False
        for line in self._lines:
            if isinstance(line.item, PhaseSpan | str):
                heading = line.item if isinstance(line.item, str) else line.item.title
                if opened:
                    yield "</g>"
                yield f'<g class="cf-group" aria-label="{safe(heading)}">'
                opened = True
                if isinstance(line.item, str):
                    yield self._label(line, "cf-p", heading, bold=True)
                else:
                    yield from self._phase(line, line.item)
            elif isinstance(line.item, Activity):
                yield from self._task(line, line.item)
            else:
                yield from self._milestone(line, line.item)
        if opened:
            yield "</g>"

    def _label(self, line: _Line, kind: str, text: str, *, bold: bool = False, mark: str = "") -> str:
        indent = _MARGIN + 4 + 14 * min(line.depth, 6) + (12 if mark else 0)
        room = _MARGIN + _LABELS - indent - 10
        shown = safe(fit(text, room, _SIZE, bold=bold))
        at = f'<text class="{kind}" x="{indent:g}" y="{line.middle + 4:g}">{shown}</text>'
        return (
            f'<path class="cf-mark" transform="translate({indent - 12:g} {line.middle:g})" d="{mark}"/>{at}'
            if mark
            else at
        )

    def _phase(self, line: _Line, phase: PhaseSpan) -> Iterator[str]:
        x, end = self._scale.x(phase.start), self._scale.x(phase.end)
        long = max(end - x, 3)
        y = line.middle - 4
        yield f"<g><title>{safe(f'{phase.title}: {_span(phase.start, phase.end)}, {phase.progress:g} %')}</title>"
        yield self._label(line, "cf-p", phase.title, bold=True)
        yield _rect("cf-phase", x, y, long, 7, 2)
        if phase.progress > 0:
            yield _rect("cf-phasedone", x, y, long * min(phase.progress, 100) / 100, 7, 2)
        yield f'<path class="cf-phaseend" d="M{x:.1f} {y + 3:.1f}v8l5-5v-3zM{x + long:.1f} {y + 3:.1f}v8l-5-5v-3z"/>'
        yield self._beside(x + long, line, f"{phase.progress:.0f} %" if phase.progress else "")
        yield "</g>"

    def _task(self, line: _Line, one: Activity) -> Iterator[str]:
        scale = self._scale
        x, end = scale.x(one.start), scale.x(one.end)
        long = max(end - x, 3)
        y = line.middle - _BAR / 2
        told = self._tooltip(one)
        yield f'<g class="cf-row"><title>{safe(told)}</title>'
        yield _rect("cf-hit", _MARGIN, line.y, WIDTH - 2 * _MARGIN, line.height)
        kind = "cf-tc" if one.critical else "cf-td" if one.done else "cf-t"
        mark = "M0 -4L7 0L0 4Z" if one.executable else ""
        yield self._label(line, kind, _called(one), bold=one.critical, mark=mark)
        right = x + long
        if not one.done and one.slack > 0:
            until = scale.x(one.latest_end)
            if until - right > 2:
                # under the remark beside the bar, so that neither hides the other
                yield f'<path class="cf-slack" d="M{right - 2:.1f} {line.middle + 6.5:g}H{until:.1f}v-5"/>'
        state = "critical" if one.critical else "done" if one.done else "open"
        yield _rect(f"cf-bar cf-{state}", x, y, long, _BAR, 3)
        if not one.done and one.progress:
            part = "cf-part cf-partc" if one.critical else "cf-part"
            yield _rect(part, x, y, long * min(one.progress, 100) / 100, _BAR, 3)
        if one.critical:
            fill = f'fill="url(#{safe(self._name)}-stripes)"'
            yield f'<rect {fill} x="{x:.1f}" y="{y:.1f}" width="{long:.1f}" height="{_BAR:g}" rx="3"/>'
            yield _rect("cf-outline", x, y, long, _BAR, 3)
        elif one.basis is Basis.ASSUMED and not one.done:
            yield _rect("cf-assumed", x, y, long, _BAR, 3)
        if one.done and long >= 12:
            yield f'<path class="cf-tick" d="M{x + long / 2 - 4:.1f} {line.middle:g}l3 3l5-6"/>'
        if one.status is Status.BLOCKED and long >= 10:
            yield f'<path class="cf-cross" d="M{x + 4:.1f} {line.middle - 3:g}l6 6m0-6l-6 6"/>'
        yield self._beside(right, line, self._remark(one), late=one.late, before=x)
        yield "</g>"

    def _milestone(self, line: _Line, one: MilestoneDate) -> Iterator[str]:
        x = self._scale.x(one.at)
        told = f"milestone {one.title}: {_date(one.at)}" + (", reached" if one.status is Status.DONE else "")
        kind = "cf-diamond cf-reached" if one.status is Status.DONE else "cf-diamond"
        yield f"<g><title>{safe(told)}</title>"
        yield _rect("cf-hit", _MARGIN, line.y, WIDTH - 2 * _MARGIN, line.height)
        yield self._label(line, "cf-ms", one.title, mark="M4 -5L9 0L4 5L-1 0Z")
        yield f'<path class="{kind}" d="M{x:.1f} {line.middle - 8:g}l8 8l-8 8l-8 -8z"/>'
        yield self._beside(x + 8, line, _date(one.at), before=x - 8)
        yield "</g>"

    def _remark(self, one: Activity) -> str:
        hours = one.hours if not one.done else one.total
        parts = [*one.owners, f"{hours:.3g} h" if hours < 1000 else f"{hours:,.0f} h"]
        return " · ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)

    def _beside(
        self, x: float, line: _Line, text: str, *, late: bool = False, before: float | None = None
    ) -> str:
        """A remark right of a bar, else left of it, where there is room."""
        warning = "late" if late else ""
        whole = width(f"{warning}  {text}", _SMALL) if late else width(text, _SMALL)
        if not text:
            return ""
        if x + 8 + whole <= self._scale.right:
            at, anchor = x + 7, ""
        elif before is not None and before - 8 - whole >= self._scale.left:
            at, anchor = before - 7, ' text-anchor="end"'
        else:
            return ""
        told = f'<tspan class="cf-late">{warning}</tspan>  ' if late else ""
        return f'<text class="cf-r"{anchor} x="{at:.1f}" y="{line.middle + 3.7:g}">{told}{safe(text)}</text>'

    def _tooltip(self, one: Activity) -> str:
        parts = [f"{_called(one)}: {_span(one.start, one.end)}"]
        if one.owner:
            parts.append(one.owner)
        if one.done:
            parts.append("done")
        else:
            assumed = " (assumed)" if one.basis is Basis.ASSUMED else ""
            parts.append(
                f"{one.hours:g} hours left{assumed}" if one.progress else f"{one.hours:g} hours{assumed}"
            )
            parts.append("on the critical path" if one.critical else f"slack {one.slack:g} hours")
            if one.progress:
                parts.append(f"{one.progress:g} %")
        if one.late and one.due is not None:
            parts.append(f"late: due {_date(one.due)}")
        return ", ".join(parts)

    # --- arrows -------------------------------------------------------------

    def _arrows(self) -> Iterator[str]:
        pairs: list[tuple[_Line, _Line, bool]] = []
        for one in self._schedule.activities:
            to = self._tasks[one.id]
            pairs += [
                (self._tasks[other], to, (other, one.id) in self._chain)
                for other in one.after
                if other in self._tasks
            ]
            for phase in one.after_phases:
                if phase in self._spans:
                    inside = set(self._inside(phase))
                    critical = any((other, one.id) in self._chain for other in inside)
                    pairs.append((self._spans[phase], to, critical))
        every = len(pairs) <= _MOST_ARROWS
        for start, to, critical in sorted(pairs, key=lambda pair: pair[2]):
            if every or critical:
                yield self._arrow(start, to, critical=critical)

    def _inside(self, phase: str) -> Iterator[str]:
        """The tasks of a phase and of the ones nested in it: those that follow it and lie deeper."""
        spans = self._schedule.phases
        at = next(index for index, span in enumerate(spans) if span.id == phase)
        yield from spans[at].activities
        for span in spans[at + 1 :]:
            if span.depth <= spans[at].depth:
                break
            yield from span.activities

    def _arrow(self, start: _Line, to: _Line, *, critical: bool) -> str:
        x1, x2 = self._extent(start)[1], self._extent(to)[0]
        y1, y2 = start.middle, to.middle
        kind = "cf-arrow cf-arrowc" if critical else "cf-arrow"
        head = f'marker-end="url(#{safe(self._name)}-{"headc" if critical else "head"})"'
        if x2 - x1 >= 12:
            d = f"M{x1:.1f} {y1:g}H{x1 + 6:.1f}V{y2:g}H{x2 - 2:.1f}"
        else:
            edge = y2 - _BAR / 2 - 2 if y2 > y1 else y2 + _BAR / 2 + 2
            d = f"M{x1:.1f} {y1:g}H{max(x2 + 4, x1 + 1):.1f}V{edge:g}" if x2 >= x1 - 6 else ""
        return f'<path class="{kind}" {head} d="{d}"/>' if d else ""

    def _extent(self, line: _Line) -> tuple[float, float]:
        """Where the bar of a phase or task begins and ends; the shortest one is three pixels long."""
        first, last = _moments(line.item)[:2]
        x = self._scale.x(first)
        return x, max(self._scale.x(last), x + 3)


def _rect(kind: str, x: float, y: float, long: float, high: float, round_: float = 0) -> str:
    corner = f' rx="{round_:g}"' if round_ else ""
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{long:.1f}" height="{high:.1f}"{corner}/>'


def _moments(item: _Item) -> tuple[datetime.datetime, ...]:
    """The moments that have to lie on the axis; of a bar its begin, its end, and what more there is."""
    if isinstance(item, str):
        return ()
    if isinstance(item, MilestoneDate):
        return (item.at,)
    if isinstance(item, Activity) and not item.done:
        return item.start, item.end, item.latest_end
    return item.start, item.end


def _called(one: Activity) -> str:
    return f"{one.id}  {one.title}" if one.id_stated else one.title


def _date(day: datetime.date) -> str:
    return f"{day.day} {day:%b %Y}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _span(start: datetime.datetime, end: datetime.datetime) -> str:
    if start.date() == end.date():
        return f"{_date(start)} {start:%H:%M}–{end:%H:%M}"
    return f"{_date(start)} {start:%H:%M} – {_date(end)} {end:%H:%M}"
