"""``crossfade plan schedule``: when everything happens, and what decides the end."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossfade.cli.console import JsonOption, emit, failing
from crossfade.cli.plan.show import PlanArgument
from crossfade.errors import UsageError

if TYPE_CHECKING:
    from crossfade.plans.calendar import Calendar
    from crossfade.plans.model import Plan
    from crossfade.plans.schedule import Schedule

JSON = {
    "title": "the plan's title",
    "start": "its first moment, ISO 8601",
    "end": "when the last open task ends",
    "hours": "working hours from start to end",
    "activities": "list of {id, title, owner, phase, start, end, hours, slack, free_slack, critical, late, done, …}",
    "phases": "list of {id, title, start, end, …}",
    "milestones": "list of {id, title, at, due, …}",
    "critical_path": "ids of the open tasks that decide the end, in order",
    "loads": "list of {owner, week, hours, capacity, overload, …}",
    "assumed": "ids of tasks of which nobody knows how long they take",
    "assumed_hours": "what is taken for them",
    "notes": "what could not be reckoned with",
    "today": "the day before which no open work is placed, or null",
}


def run(
    plan: PlanArgument,
    start: Annotated[
        str | None,
        typer.Option(
            "--start",
            help="First day, such as 2026-12-01; if left out, the one that the plan states, or the next working day.",
        ),
    ] = None,
    hours: Annotated[float, typer.Option("--hours", min=0.5, max=24, help="Working hours of a day.")] = 8.0,
    holiday: Annotated[
        list[str] | None, typer.Option("--holiday", help="A day on which nobody works; may be repeated.")
    ] = None,
    capacity: Annotated[
        float, typer.Option("--capacity", min=1, help="Hours that an owner works in a week.")
    ] = 40.0,
    durations: Annotated[
        Path | None,
        typer.Option(
            "--durations", help="Measured hours by task id, as a rehearsal wrote them.", show_default=False
        ),
    ] = None,
    gantt: Annotated[
        Path | None, typer.Option("--gantt", help="Write the chart into this SVG file.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Reckon start and end of every task, the critical path, slack, each owner's load, and the end date."""
    with failing(as_json):
        from crossfade.plans.calendar import Calendar
        from crossfade.plans.reading import read_plan
        from crossfade.plans.schedule import schedule

        calendar = Calendar.of(holidays=[_day(text, "--holiday") for text in holiday or ()], hours=hours)
        read = read_plan(plan)
        found = schedule(
            read,
            start=first_day(start, calendar, read),
            calendar=calendar,
            durations=measured(durations, plan, read.title),
            capacity=capacity,
        )
        if gantt is not None:
            write_gantt(found, gantt)
        emit(found.as_json(), as_json, lambda: _text(found))


def write_gantt(schedule: Schedule, path: Path) -> None:
    """Write the chart.  ``UsageError`` when the file cannot be written."""
    from crossfade.plans.gantt import gantt_svg

    try:
        path.write_text(gantt_svg(schedule, title=schedule.title), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"the chart cannot be written: {error.strerror or error}",
            where=str(path),
            todo="check the folder",
        ) from None


def measured(path: Path | None, plan: Path, title: str) -> Mapping[str, float]:
    """Hours by task id as a rehearsal measured them: from ``path``, else from where `crossfade run --rehearse` left
    them.  ``UsageError`` for another file."""
    from crossfade import running

    if path is not None:
        return running.durations(path, title)
    for folder in (plan.parent, Path()):
        kept = folder / ".crossfade" / running.DURATIONS
        if kept.exists():
            return running.durations(kept, title)
    return {}


def _day(text: str, option: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a day", where=option, todo="write it as 2026-12-01") from None


def first_day(start: str | None, calendar: Calendar, plan: Plan) -> datetime.date:
    """The day that ``--start`` names, else the one that the document states, else the next working day.
    ``UsageError``."""
    if start:
        return _day(start, "--start")
    if plan.window is not None and plan.window.start is not None and plan.window.start.date is not None:
        return plan.window.start.date
    return calendar.day(calendar.days_before(datetime.datetime.now().astimezone().date()))


def _text(schedule: Schedule) -> str:
    import io

    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("", "task", "owner", "start", "end"):
        table.add_column(title)
    table.add_column("hours", justify="right")
    table.add_column("slack", justify="right")
    table.add_column("")
    phase = None
    for row in schedule.rows():
        if row.phase != phase:
            phase = row.phase
            table.add_row("", phase, style="bold")
        table.add_row(
            "*" if row.critical else "",
            f"{row.id}  {row.title}",
            row.owner,
            f"{row.start:%a %d %b %H:%M}",
            f"{row.end:%a %d %b %H:%M}",
            f"{row.hours:g}",
            "" if row.slack is None else f"{row.slack:g}",
            ", ".join(row.notes),
        )
    text = io.StringIO()
    Console(file=text, width=140).print(table)
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    lines += ["", f"ends {schedule.end:%A %d %B %Y %H:%M}, after {schedule.hours:g} working hours"]
    lines.append(f"decided by {' → '.join(schedule.critical_path) or 'nothing: all is done'} (marked *)")
    lines += [
        f"overload: {load.owner} has {load.hours:g} h in the week of {load.week}"
        for load in schedule.overloads
    ]
    if schedule.assumed:
        lines.append(
            f"assumed {schedule.assumed_hours:g} h each for {', '.join(schedule.assumed)}: nobody says how long they take"
        )
    return "\n".join([*lines, *schedule.notes])
