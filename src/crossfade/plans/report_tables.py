"""What a report's sections are made of: headings, sentences, tables, and figures as people read them."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from crossfade.plans.truth import Progress


@dataclass(frozen=True, slots=True)
class Share:
    """A cell: how much is done and claimed, from 0 to 1."""

    done: float
    claimed: float

    def __str__(self) -> str:
        return str(Progress(done=self.done, claimed=self.claimed))


@dataclass(frozen=True, slots=True)
class Mark:
    """A cell: a word that is ``good``, ``bad``, a ``warning`` or ``neutral``."""

    text: str
    tone: str = "neutral"

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Code:
    """A cell: something that a machine reads."""

    text: str

    def __str__(self) -> str:
        return self.text


Cell = str | Share | Mark | Code


@dataclass(frozen=True, slots=True)
class Column:
    """``numeric`` ones are aligned to the right; what stands in ``short`` ones is not broken into lines."""

    title: str
    numeric: bool = False
    short: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """``indents`` says how deep the first cell of each row stands."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    indents: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """``name`` is what it is called in links; ``level`` 2 or 3.  Without rows the ``empty`` sentence stands for
    the table."""

    name: str
    title: str
    table: Table | None = None
    level: int = 2
    text: str = ""
    empty: str = ""


# --- words ------------------------------------------------------------------


def day(when: datetime.date | None) -> str:
    """``2026-03-02``; nothing for None."""
    return f"{when:%Y-%m-%d}" if when is not None else ""


def moment(when: datetime.datetime | None) -> str:
    """``2026-03-02 14:05``; nothing for None."""
    return f"{when:%Y-%m-%d %H:%M}" if when is not None else ""


def zone(when: datetime.datetime) -> str:
    """The zone of a moment as people write it: ``UTC``, ``UTC+02:00``."""
    offset = f"{when:%z}"
    return "UTC" if offset[:5] in ("+0000", "-0000") else f"UTC{offset[:3]}:{offset[3:5]}"


def hours(value: float | None) -> str:
    """``12 h``, ``1.5 h``; nothing for None."""
    return f"{value:,.1f}".removesuffix(".0") + " h" if value is not None else ""


def duration(seconds: float) -> str:
    """A length of time in its largest fitting unit: ``36 ms``, ``12.4 s``, ``3 min``, ``5 h``, ``2.5 days``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    for size, unit, until in ((60.0, "min", 5_400.0), (3_600.0, "h", 129_600.0)):
        if seconds < until:
            return f"{seconds / size:.0f} {unit}"
    days = f"{seconds / 86_400:.1f}".removesuffix(".0")
    return f"{days} {'day' if days == '1' else 'days'}"


def number(value: float | None, digits: int = 1) -> str:
    """A figure with thousands separated; nothing for None."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.{digits}f}"


def rate(share: float | None) -> str:
    """A share of errors as a percentage."""
    if share is None:
        return ""
    return f"{share * 100:.2f} %" if 0 < share < 0.1 else f"{share * 100:.1f} %".replace(".0 %", " %")


# --- tables ---------------------------------------------------------------

Line = TypeVar("Line")


def table_of(
    lines: Iterable[Line],
    *columns: tuple[str | Column, Callable[[Line], Cell]],
    indents: tuple[int, ...] = (),
) -> Table:
    """A table of lines; columns in which nothing would stand are left out, except the first."""
    rows = [tuple(make(line) for _, make in columns) for line in lines]
    kept = [index for index in range(len(columns)) if index == 0 or any(str(row[index]) for row in rows)]
    titles = (columns[index][0] for index in kept)
    return Table(
        columns=tuple(title if isinstance(title, Column) else Column(title) for title in titles),
        rows=tuple(tuple(row[index] for index in kept) for row in rows),
        indents=indents,
    )


def count(title: str) -> Column:
    """A column of figures."""
    return Column(title, numeric=True)


def short(title: str) -> Column:
    """A column of dates or single words."""
    return Column(title, short=True)
