"""A status report as GitHub-flavoured Markdown.

The same report always gives the same text.  Whatever stands in the plan stays text: what Markdown or HTML would
take for markup is escaped, and a cell is one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from crossfade.plans.report import Report
from crossfade.plans.report_sections import closing, headline, sections
from crossfade.plans.report_tables import Cell, Code, Mark, Section, Table, moment, zone

_ACTIVE = re.compile(r"[\\`*\[\]<|~$]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)|!(?=\[)")
_BREAKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def markdown(report: Report) -> str:
    """The whole report."""
    return "".join(_lines(report))


def escape(text: str) -> str:
    """A text of the plan on one line, with nothing in it that is markup."""
    return _ACTIVE.sub(r"\\\g<0>", _BREAKS.sub(" ", text).strip())


def code(text: str) -> str:
    """A text in backticks on one line, in a table's cell."""
    plain = _BREAKS.sub(" ", text).strip().replace("|", "\\|")
    if not plain:
        return ""
    longest = max((len(run) for run in re.findall("`+", plain)), default=0)
    ticks = "`" * (longest + 1)
    space = " " if longest else ""
    return f"{ticks}{space}{plain}{space}{ticks}"


def _lines(report: Report) -> Iterator[str]:
    yield f"# Status report: {escape(report.title) or 'plan'}\n\n"
    since = f", since {moment(report.since)}" if report.since else ""
    owner = f" · {escape(report.owner)}" if report.owner else ""
    yield f"{moment(report.now)} {zone(report.now)}{since}{owner} · {escape(report.plan)}\n\n"
    for figure, what, tone in headline(report):
        strong = f"**{figure}**" if tone != "neutral" else figure
        yield f"- {strong} {what}\n"
    for section in sections(report):
        yield from _section(section)
    yield "\n---\n\n"
    yield "\n\n".join(_sentence(text) for text in closing(report)) + "\n"


def _section(section: Section) -> Iterator[str]:
    yield f"\n{'#' * section.level} {section.title}\n\n"
    table = section.table
    if table is None or not table.rows:
        yield f"{section.empty or section.text}\n"
        return
    if section.text:
        yield f"{section.text}\n\n"
    yield from _table(table)


def _table(table: Table) -> Iterator[str]:
    yield "| " + " | ".join(column.title for column in table.columns) + " |\n"
    yield "|" + "|".join(" ---: " if column.numeric else " --- " for column in table.columns) + "|\n"
    indents = table.indents or (0,) * len(table.rows)
    for row, depth in zip(table.rows, indents, strict=True):
        # spaces at a cell's beginning are lost
        first = "&emsp;" * depth + _cell(row[0])
        yield "| " + " | ".join((first, *map(_cell, row[1:]))) + " |\n"


def _cell(cell: Cell) -> str:
    if isinstance(cell, Code):
        return code(cell.text)
    text = escape(str(cell))
    return f"**{text}**" if isinstance(cell, Mark) and cell.tone == "bad" and text else text


def _sentence(text: str) -> str:
    return _BREAKS.sub(" ", text)
