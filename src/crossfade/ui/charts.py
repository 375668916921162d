"""Small charts as SVG, drawn here: nothing is fetched, and colours follow the page's theme.

Every number is ours and every text is escaped, so the result may be put into the page as it is.  The lines are
stretched to the width that there is; texts stand outside of them and are not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 600.0, 100.0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: a value per point of time, None where there is none.  ``style`` is the class that
    gives it its colour and its dashes (lines differ by more than colour)."""

    style: str
    values: Sequence[float | None]


def lines(
    series: Sequence[Line],
    *,
    label: str,
    unit: Callable[[float], str],
    ages: tuple[str, str],
    least: float = 0.0,
) -> str:
    """Lines over the same points of time.  ``label`` is what a screen reader says, ``unit`` writes a value,
    ``ages`` are the texts under the first and the last point, and ``least`` is the smallest full height."""
    top = nice(max([least, *(value for line in series for value in line.values if value is not None)]))
    grid = "".join(
        f'<line class="grid" x1="0" x2="{_WIDTH:g}" y1="{y:g}" y2="{y:g}"/>'
        for y in (1, _HEIGHT / 2, _HEIGHT - 1)
    )
    paths = "".join(_drawn(line.values, top, f"line {line.style}") for line in series)
    ticks = "".join(f"<span>{escape(unit(top * share))}</span>" for share in (1.0, 0.5, 0.0))
    return (
        f'<div class="chart"><div class="ticks" aria-hidden="true">{ticks}</div>{_opening(label)}{grid}{paths}</svg>'
        f'<div class="ages" aria-hidden="true"><span>{escape(ages[0])}</span><span>{escape(ages[1])}</span></div></div>'
    )


def sparkline(
    values: Sequence[float | None], *, label: str, limit: float | None = None, least: float = 0.0
) -> str:
    """A line without axes; ``limit`` is a dashed line when it is within sight."""
    top = nice(max([least, *(value for value in values if value is not None)]))
    bound = ""
    if limit is not None and limit <= top:
        y = _HEIGHT * (1 - limit / top)
        bound = f'<line class="limit" x1="0" x2="{_WIDTH:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return f"{_opening(label)}{bound}{_drawn(values, top, 'line lag')}</svg>"


def nice(value: float) -> float:
    """The next rounder number: 1, 2 or 5 times a power of ten; 1 for nothing."""
    if value <= 0 or not math.isfinite(value):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if value <= step * power * (1 + 1e-9))


def _opening(label: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{escape(label)}" '
        'preserveAspectRatio="none" focusable="false">'
    )


def _drawn(values: Sequence[float | None], top: float, style: str) -> str:
    """A path for every stretch of values without a gap; a lonely value is a dot."""
    stretches: list[list[str]] = []
    gap = True
    step = _WIDTH / max(1, len(values) - 1)
    for index, value in enumerate(values):
        if value is None:
            gap = True
            continue
        point = f"{index * step:.1f} {1 + (_HEIGHT - 2) * (1 - min(1.0, value / top)):.1f}"
        if gap:
            stretches.append([point])
            gap = False
        else:
            stretches[-1].append(point)
    return "".join(
        f'<path class="{style}" d="M{points[0]}'
        + ("".join(f"L{one}" for one in points[1:]) or "h0.01")
        + '"/>'
        for points in stretches
    )
