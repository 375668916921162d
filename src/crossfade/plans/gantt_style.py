"""How a Gantt chart looks: its colours in light and dark, its patterns and its legend."""

from __future__ import annotations

from crossfade.plans.svgtext import safe, width

_LIGHT = {
    "bg": "#ffffff",
    "ink": "#1c2430",
    "muted": "#5b6675",
    "grid": "#eceff3",
    "grid2": "#d5dbe3",
    "line": "#b4bdc9",
    "idle": "#f5f7fa",
    "stripe": "#eef2f7",
    "open": "#8db4ea",
    "part": "#3f78c9",
    "done": "#a9b4bf",
    "tick": "#ffffff",
    "critical": "#f0936b",
    "criticalink": "#a33a08",
    "stripes": "#c2541d",
    "phase": "#9aa8ba",
    "phasedone": "#4b5a70",
    "slack": "#b4bdc9",
    "arrow": "#a3aebc",
    "now": "#c01e62",
    "nowink": "#ffffff",
    "diamond": "#6d3fc0",
    "late": "#b3161b",
}
_DARK = {
    "bg": "#14181f",
    "ink": "#e6eaf0",
    "muted": "#9aa6b5",
    "grid": "#1f252e",
    "grid2": "#2d3541",
    "line": "#46505f",
    "idle": "#191e26",
    "stripe": "#1d232d",
    "open": "#3f6ba8",
    "part": "#7fb0f5",
    "done": "#4d5764",
    "tick": "#dfe5ec",
    "critical": "#b2552a",
    "criticalink": "#ffb38f",
    "stripes": "#ff9d6e",
    "phase": "#59667a",
    "phasedone": "#b9c5d6",
    "slack": "#46505f",
    "arrow": "#566172",
    "now": "#ff6fa5",
    "nowink": "#14181f",
    "diamond": "#b394f4",
    "late": "#ff8a8a",
}

_RULES = """
.cf-gantt text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-size:12px;fill:var(--ink)}
.cf-gantt .cf-bg{fill:var(--bg)}
.cf-gantt .cf-h{font-size:19px;font-weight:650}
.cf-gantt .cf-s,.cf-gantt .cf-l{font-size:12.5px;fill:var(--muted)}
.cf-gantt .cf-l{font-size:11px}
.cf-gantt .cf-m{font-size:11.5px;font-weight:600}
.cf-gantt .cf-w{font-size:10.5px;fill:var(--muted)}
.cf-gantt .cf-p{font-weight:650}
.cf-gantt .cf-tc{font-weight:650;fill:var(--criticalink)}
.cf-gantt .cf-td{fill:var(--muted)}
.cf-gantt .cf-ms{font-style:italic}
.cf-gantt .cf-r{font-size:10.5px;fill:var(--muted);white-space:pre;paint-order:stroke;stroke:var(--bg);stroke-width:4px;stroke-linejoin:round}
.cf-gantt .cf-late{fill:var(--late);font-weight:700;text-decoration:underline}
.cf-gantt .cf-mark{fill:var(--muted)}
.cf-gantt .cf-grid,.cf-gantt .cf-grid2,.cf-gantt .cf-line{stroke:var(--grid);fill:none}
.cf-gantt .cf-grid2{stroke:var(--grid2)}
.cf-gantt .cf-line{stroke:var(--line)}
.cf-gantt .cf-idle{fill:var(--idle)}
.cf-gantt .cf-stripe{fill:var(--stripe);fill-opacity:.75}
.cf-gantt .cf-hit{fill:var(--ink);fill-opacity:0}
.cf-gantt .cf-row:hover .cf-hit{fill-opacity:.05}
.cf-gantt .cf-open{fill:var(--open)}
.cf-gantt .cf-done{fill:var(--done)}
.cf-gantt .cf-critical{fill:var(--critical)}
.cf-gantt .cf-part{fill:var(--part)}
.cf-gantt .cf-partc{fill:var(--criticalink)}
.cf-gantt .cf-stripes{stroke:var(--stripes)}
.cf-gantt .cf-outline{fill:none;stroke:var(--criticalink);stroke-width:1.6}
.cf-gantt .cf-assumed{fill:none;stroke:var(--part);stroke-width:1.2;stroke-dasharray:3 2.5}
.cf-gantt .cf-tick,.cf-gantt .cf-cross{fill:none;stroke:var(--tick);stroke-width:2;stroke-linecap:round;stroke-linejoin:round}
.cf-gantt .cf-cross{stroke:var(--late)}
.cf-gantt .cf-phase{fill:var(--phase)}
.cf-gantt .cf-phasedone,.cf-gantt .cf-phaseend{fill:var(--phasedone)}
.cf-gantt .cf-slack{fill:none;stroke:var(--slack);stroke-width:1.5}
.cf-gantt .cf-arrow{fill:none;stroke:var(--arrow)}
.cf-gantt .cf-arrowc{stroke:var(--criticalink);stroke-width:1.6}
.cf-gantt .cf-head{fill:var(--arrow)}
.cf-gantt .cf-headc{fill:var(--criticalink)}
.cf-gantt .cf-now{stroke:var(--now);stroke-width:1.6;stroke-dasharray:6 3}
.cf-gantt .cf-nowbox{fill:var(--now)}
.cf-gantt .cf-nowtext{font-size:10.5px;font-weight:650;fill:var(--nowink);text-anchor:middle}
.cf-gantt .cf-diamond{fill:var(--bg);stroke:var(--diamond);stroke-width:2}
.cf-gantt .cf-reached{fill:var(--diamond)}
"""

BACKGROUND = '<rect class="cf-bg" width="{width}" height="{height}" rx="10"/>'


def style(theme: str) -> str:
    """The style sheet: every rule is bound to the chart's own class, so that it changes nothing around it."""
    light, dark = (
        ";".join(f"--{name}:{colour}" for name, colour in colours.items()) for colours in (_LIGHT, _DARK)
    )
    colours = f".cf-gantt{{{dark if theme == 'dark' else light}}}"
    if theme == "auto":
        colours += (
            f"\n@media (prefers-color-scheme:dark){{.cf-gantt.cf-auto{{{dark}}}}}"
            f"\n@media print{{.cf-gantt.cf-auto{{{light}}}}}"
        )
    return f"<style>\n{colours}{_RULES}</style>"


def definitions(name: str) -> str:
    """The stripes of the critical path and the heads of the arrows."""
    prefix = safe(name)
    heads = "".join(
        f'<marker id="{prefix}-{kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path class="cf-{kind}" d="M0 0L8 4L0 8z"/></marker>'
        for kind in ("head", "headc")
    )
    stripes = (
        f'<pattern id="{prefix}-stripes" width="6" height="6" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><path class="cf-stripes" d="M0 0V6" stroke-width="2.5"/></pattern>'
    )
    return f"<defs>{stripes}{heads}</defs>"


def legend(name: str, x: float, y: float) -> str:
    """What the bars and signs mean, in one line."""
    critical = (
        f'<rect class="cf-bar cf-critical" width="22" height="11" rx="2.5"/>'
        f'<rect fill="url(#{safe(name)}-stripes)" width="22" height="11" rx="2.5"/>'
        '<rect class="cf-outline" width="22" height="11" rx="2.5"/>'
    )
    signs = (
        (critical, 22, "critical path (striped, bold)"),
        ('<rect class="cf-open" width="22" height="11" rx="2.5"/>', 22, "open"),
        (
            '<rect class="cf-open" width="22" height="11" rx="2.5"/><rect class="cf-part" width="11" height="11" rx="2.5"/>',
            22,
            "part done",
        ),
        (
            '<rect class="cf-done" width="22" height="11" rx="2.5"/><path class="cf-tick" d="M7 5.5l3 3l5-6"/>',
            22,
            "done",
        ),
        (
            '<rect class="cf-open" width="22" height="11" rx="2.5"/><rect class="cf-assumed" width="22" height="11" rx="2.5"/>',
            22,
            "duration assumed",
        ),
        ('<path class="cf-slack" d="M0 8H20v-5"/>', 22, "slack"),
        ('<path class="cf-diamond" d="M6 -1l6.5 6.5l-6.5 6.5l-6.5 -6.5z"/>', 13, "milestone"),
        ('<path class="cf-mark" d="M1 1.5L8 5.5L1 9.5Z"/>', 9, "runs by itself"),
    )
    drawn: list[str] = []
    for sign, wide, text in signs:
        drawn.append(
            f'<g transform="translate({x:.1f} {y - 9:.1f})">{sign}<text class="cf-l" x="{wide + 6}" y="9.5">{text}</text></g>'
        )
        x += wide + 6 + width(text, 11) + 20
    return "".join(drawn)
