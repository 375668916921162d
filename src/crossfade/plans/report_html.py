"""A status report as one HTML file: no script, nothing loaded, readable in light and dark, on a phone, on paper.

Everything that is not made here is escaped (`crossfade.plans.markup`), and the page forbids scripts and requests by
its content security policy besides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crossfade.plans.charts import Event, Series, line_chart
from crossfade.plans.markup import Markup, element, joined
from crossfade.plans.report import Report
from crossfade.plans.report_sections import closing, headline, sections
from crossfade.plans.report_style import style
from crossfade.plans.report_tables import (
    Cell,
    Code,
    Mark,
    Section,
    Share,
    Table,
    count,
    moment,
    number,
    rate,
    table_of,
    zone,
)
from crossfade.plans.timetable import Schedule
from crossfade.plans.traffic import Bucket

MOST_ROWS = 200
"""Rows of a table; the page says how many more there are."""

_FEW = 60
"""Measurements that are shown one by one: the line between few of them is only a guess."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(report: Report, *, schedule: Schedule | None = None) -> str:
    """The whole file, with the Gantt chart of ``schedule`` where there is one."""
    title = f"Status report: {report.title or 'plan'}"
    document = element(
        "html",
        element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
            element("meta", name="generator", content="Crossfade"),
            element("title", title),
            element("style", Markup(style())),
        ),
        element("body", element("div", *_body(report, schedule), class_="page")),
        lang="en",
    )
    return f"<!doctype html>\n{document}\n"


def _body(report: Report, schedule: Schedule | None) -> Iterator[Markup]:
    made = sections(report)
    yield element("a", "Skip to the figures", href="#progress", class_="skip")
    yield _header(report)
    yield _contents(made, schedule)
    yield element("main", *_main(report, made, schedule))
    yield element("footer", *(element("p", text) for text in closing(report)))


def _header(report: Report) -> Markup:
    since = f", since {moment(report.since)}" if report.since else ""
    about = [f"{moment(report.now)} {zone(report.now)}{since}", report.owner, report.plan]
    progress = Share(report.progress.done, report.progress.claimed)
    return element(
        "header",
        element("p", "Status report", class_="kicker"),
        element("h1", report.title or "Plan"),
        element("p", " · ".join(text for text in about if text), class_="about"),
        element(
            "dl",
            *(
                element("div", element("dt", what), element("dd", figure), class_=tone)
                for figure, what, tone in headline(report)
            ),
            class_="figures",
        ),
        element("div", _bar(progress), class_="whole"),
    )


def _contents(made: Sequence[Section], schedule: Schedule | None) -> Markup:
    links = [(one.name, one.title.partition(" since ")[0]) for one in made if one.level == 2]
    if schedule is not None and schedule.activities:
        links.insert(1, ("schedule", "Schedule"))
    items = (element("li", element("a", title, href=f"#{name}")) for name, title in links)
    return element("nav", element("ul", *items), class_="toc", aria_label="Contents")


def _main(report: Report, made: Sequence[Section], schedule: Schedule | None) -> Iterator[Markup]:
    # a section of level 3 stands inside the one of level 2 before it
    outer: list[tuple[Section, list[Section]]] = []
    for section in made:
        if section.level == 2:
            outer.append((section, []))
        else:
            outer[-1][1].append(section)
    for section, inner in outer:
        parts = [*_section(section), *(part for one in inner for part in _section(one))]
        if section.name == "traffic":
            parts += _charts(report)
        yield element("section", *parts, id=section.name)
        if section.name == "progress" and schedule is not None and schedule.activities:
            yield _gantt(schedule, claims=bool(report.claimed))


def _section(section: Section) -> Iterator[Markup]:
    name = section.name if section.level > 2 else None
    yield element(f"h{section.level}", section.title, id=name)
    if section.table is None or not section.table.rows:
        yield element("p", section.empty or section.text, class_="none")
        return
    if section.text:
        yield element("p", section.text, class_="hint")
    yield element("div", _table(section.table), class_="cards")
    hidden = len(section.table.rows) - MOST_ROWS
    if hidden > 0:
        yield element("p", f"and {hidden} more; the report in JSON has all of them", class_="more")


# --- tables -----------------------------------------------------------------


def _table(table: Table, rows: int = MOST_ROWS) -> Markup:
    # the roles keep the table a table where the style sheet makes cards of its rows
    head = element(
        "tr",
        *(
            element(
                "th", column.title, scope="col", role="columnheader", class_="n" if column.numeric else None
            )
            for column in table.columns
        ),
        role="row",
    )
    indents = table.indents or (0,) * len(table.rows)
    body = (_row(table, row, depth) for row, depth in zip(table.rows[:rows], indents[:rows], strict=True))
    return element(
        "table",
        element("thead", head, role="rowgroup"),
        element("tbody", *body, role="rowgroup"),
        role="table",
    )


def _row(table: Table, row: Sequence[Cell], depth: int) -> Markup:
    indent = f"deep-{min(depth, 4)}" if depth else None
    cells = [element("th", _cell(row[0]), scope="row", role="rowheader", class_=indent)]
    for column, cell in zip(table.columns[1:], row[1:], strict=True):
        shown = _cell(cell)
        kind = (
            "n" if column.numeric else "s" if column.short else "share" if isinstance(cell, Share) else None
        )
        cells.append(
            element(
                "td",
                element("div", shown) if shown else "",
                role="cell",
                class_=kind,
                data_label=column.title,
            )
        )
    return element("tr", *cells, role="row")


def _cell(cell: Cell) -> Markup:
    if isinstance(cell, Share):
        return joined(_bar(cell), element("small", str(cell)))
    if isinstance(cell, Mark):
        return element("span", cell.text, class_=f"sign {cell.tone}") if cell.text else Markup()
    if isinstance(cell, Code):
        return element("code", cell.text) if cell.text else Markup()
    return joined(cell)


def _bar(share: Share) -> Markup:
    return element(
        "div",
        element("span", class_="done", style=f"width:{_percentage(share.done)}"),
        element("span", class_="claimed", style=f"width:{_percentage(share.claimed)}"),
        class_="bar",
        role="img",
        aria_label=str(share),
    )


def _percentage(share: float) -> str:
    return f"{min(max(share, 0.0), 1.0) * 100:.1f}%"


# --- pictures ---------------------------------------------------------------


def _gantt(schedule: Schedule, *, claims: bool) -> Markup:
    from crossfade.plans.gantt import gantt_svg

    picture = Markup(gantt_svg(schedule))
    return element(
        "section",
        element("h2", "Schedule"),
        element("p", "What is only claimed is drawn as done.", class_="hint") if claims else "",
        element("div", picture, class_="scroll gantt", role="region", aria_label="Gantt chart", tabindex="0"),
        id="schedule",
    )


def _charts(report: Report) -> Iterator[Markup]:
    events = [Event(one.at, f"→ {one.to}") for one in report.switches if not one.aborted]
    figures = [*_traffic_charts(report.traffic, events), *_lag_chart(report, events)]
    if figures:
        yield element("div", *figures, class_="charts")
    if report.traffic:
        yield element(
            "details",
            element("summary", "The figures of the traffic charts"),
            element("div", _table(_figures(report.traffic), rows=len(report.traffic)), class_="scroll"),
        )
    if len(report.lag) > 1:
        lag = table_of(
            report.lag,
            ("Time", lambda one: moment(one.at)),
            (count("Seconds behind"), lambda one: number(one.seconds, 3)),
        )
        yield element(
            "details",
            element("summary", "The figures of the lag chart"),
            element("div", _table(lag, rows=2_000), class_="scroll"),
        )


_KEYS = Markup(
    element(
        "figcaption",
        element("span", "old side", class_="key key-1"),
        element("span", "new side", class_="key"),
    )
)


def _traffic_charts(buckets: Sequence[Bucket], events: Sequence[Event]) -> Iterator[Markup]:
    if not buckets:
        return

    def lines(figure: str, factor: float = 1.0, *, filled: bool = False) -> list[Series]:
        made = []
        for style_, side in enumerate(("old", "new"), 1):
            values = ((bucket.at, getattr(getattr(bucket, side), figure)) for bucket in buckets)
            points = tuple((at, None if value is None else value * factor) for at, value in values)
            made.append(Series(side, style_, points, filled))
        return made

    yield _figure(
        "requests",
        "Requests per second",
        "Requests a second that each side answered.",
        lines("per_second", filled=True),
        events,
    )
    yield _figure(
        "errors",
        "Error rate, per cent",
        "Share of answers of each side that were errors, in per cent.",
        lines("error_rate", 100.0),
        events,
        at_least=1.0,
    )
    yield _figure(
        "p95",
        "95th percentile, milliseconds",
        "The time within which each side answered 95 of 100 requests, in milliseconds.",
        lines("p95"),
        events,
    )


def _lag_chart(report: Report, events: Sequence[Event]) -> Iterator[Markup]:
    if len(report.lag) > 1:
        points = tuple((one.at, one.seconds) for one in report.lag)
        yield _figure(
            "lag",
            "Lag of the follower, seconds",
            "How many seconds the side that follows was behind.",
            [Series("lag", 2, points, dotted=len(points) <= _FEW)],
            events,
            sides=False,
        )


def _figure(
    name: str,
    title: str,
    description: str,
    series: list[Series],
    events: Sequence[Event],
    *,
    at_least: float = 0.0,
    sides: bool = True,
) -> Markup:
    chart = line_chart(
        f"chart-{name}",
        title=title,
        description=description,
        series=series,
        events=events,
        figure=_tick,
        at_least=at_least,
    )
    return element("figure", element("h3", title), chart, _KEYS if sides else "")


def _tick(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:g}"


def _figures(buckets: Sequence[Bucket]) -> Table:
    return table_of(
        buckets,
        ("Time", lambda one: moment(one.at)),
        (count("Old: requests/s"), lambda one: number(one.old.per_second)),
        (count("Old: errors"), lambda one: rate(one.old.error_rate)),
        (count("Old: p95, ms"), lambda one: number(one.old.p95)),
        (count("New: requests/s"), lambda one: number(one.new.per_second)),
        (count("New: errors"), lambda one: rate(one.new.error_rate)),
        (count("New: p95, ms"), lambda one: number(one.new.p95)),
    )
