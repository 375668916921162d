"""``crossfade plan report``: the weekly status report, from evidence."""

from __future__ import annotations

import contextlib
import datetime
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossfade.cli.console import DEFAULT_SPEC, JsonOption, SpecOption, emit, failing
from crossfade.cli.plan.schedule import first_day, measured
from crossfade.cli.plan.show import PlanArgument
from crossfade.errors import CrossfadeError, UsageError

if TYPE_CHECKING:
    from crossfade.plans.report import Report
    from crossfade.plans.schedule import Schedule

JSON = {
    "title": "the plan's title",
    "plan": "the file",
    "owner": "who the document names",
    "now": "the moment of the report, ISO 8601",
    "since": "the moment of the last one, or null",
    "progress": "{tasks, done_tasks, claimed_tasks, hours, done, claimed}; done and claimed are shares, 0 to 1",
    "end": "when the plan ends by the schedule, or null",
    "due": "when it should end by the document, or null",
    "phases": "list of a phase's progress",
    "workstreams": "list of a workstream's progress",
    "done": "list of tasks done since the last report, with their evidence",
    "undone": "what was done, and was undone or rewritten since",
    "claimed": "what is marked done with no evidence",
    "in_progress": "what is under way, failed and waiting things first",
    "next": "what begins within a week",
    "slipped": "what should have ended, and by how long",
    "milestones": "list of {title, at, due, …}",
    "risks": "the gravest first",
    "decisions": "those that are due",
    "metrics": "list of {name, current, target, met, …}",
    "gates": "list of {text, kind, …}",
    "loads": "hours of each owner by week",
    "traffic": "requests a second, error rate and p95 of each side over time",
    "lag": "seconds that the follower was behind, over time",
    "switches": "each change of the lead, with its hold",
    "notices": "what the reader could not make sense of",
    "problems": "{error, warning}: how many problems the check of the plan found",
    "evidence": "{entries, head, …} of the ledger",
    "notes": "what the report could not say",
}

_SPAN = datetime.timedelta(days=7)
_LAST = "report.json"


def run(
    plan: PlanArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write it there: .md or .html.", show_default=False),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", help="When the last report was, such as 2026-12-01T09:00; remembered if left out."
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--start", help="The plan's first day, if it does not state it.")
    ] = None,
    spec: SpecOption = DEFAULT_SPEC,
    as_json: JsonOption = False,
) -> None:
    """Say how the plan stands: what was done since last time, what is next, what slipped, risks, decisions due,
    metrics against their targets.

    Markdown on the terminal; with --output also a self-contained HTML page with the chart of the schedule, traffic
    and lag. Progress is computed from evidence: what is only ticked is shown as claimed.
    """
    with failing(as_json):
        from crossfade import running
        from crossfade.plans.report_markdown import markdown

        if output is not None and output.suffix not in (".md", ".html"):
            raise UsageError("ends in neither .md nor .html", where=str(output), todo="choose one of them")
        setting = running.setting_of(spec, given=spec != DEFAULT_SPEC, plan=plan)
        now = datetime.datetime.now().astimezone()
        last = _moment(since) if since else _last(setting.folder)
        report, found = _build(plan, setting, now, last, start)
        if output is not None:
            _write(output, report, found)
        if since is None:
            _remember(setting.folder, now)
        emit(
            report.as_json(), as_json, lambda: markdown(report) if output is None else f"written to {output}"
        )


def _build(
    path: Path, setting: Any, now: datetime.datetime, since: datetime.datetime | None, start: str | None
) -> tuple[Report, Schedule | None]:
    from crossfade.plans.calendar import Calendar
    from crossfade.plans.lint import lint
    from crossfade.plans.reading import read_plan
    from crossfade.plans.report_build import build
    from crossfade.plans.schedule import schedule
    from crossfade.plans.traffic import traffic_over
    from crossfade.plans.truth import true_plan, truth
    from crossfade.runs import gates

    read = read_plan(path)
    entries = list(setting.ledger.read())
    calendar = Calendar()
    found = None
    with contextlib.suppress(CrossfadeError):  # a circle is among the problems that the report counts
        found = schedule(
            true_plan(read, truth(read, entries)),
            start=first_day(start, calendar, read),
            calendar=calendar,
            durations=measured(None, path, read.title),
            today=now.date(),
        )
    problems = lint(read, metrics=gates.NAMES, gate_problem=gates.problem)
    counts = {
        level: sum(problem.level.value == level for problem in problems) for level in ("error", "warning")
    }
    measures: dict[str, Any] = {}
    traffic: tuple[Any, ...] = ()
    if setting.spec_path is not None:
        from crossfade.move import Move
        from crossfade.runs.measures import MoveMeasures

        measuring = MoveMeasures(setting.spec_path)
        with contextlib.closing(measuring), contextlib.suppress(CrossfadeError):
            measures = dict(measuring())
        with contextlib.suppress(CrossfadeError), Move.open(setting.spec_path) as move:
            if move.router is not None:
                traffic = tuple(traffic_over(move.router.stats, since or now - _SPAN, now))
    report = build(
        read,
        entries,
        now=now,
        since=since,
        schedule=found,
        measures=measures,
        traffic=traffic,
        problems=counts,
    )
    return report, found


def _write(output: Path, report: Report, schedule: Schedule | None) -> None:
    from crossfade.plans.report_html import page
    from crossfade.plans.report_markdown import markdown

    text = markdown(report) if output.suffix == ".md" else page(report, schedule=schedule)
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"the report cannot be written: {error.strerror or error}",
            where=str(output),
            todo="check the folder",
        ) from None


def _moment(text: str) -> datetime.datetime:
    try:
        return datetime.datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise UsageError(
            f"{text!r} is not a moment", where="--since", todo="write 2026-12-01T09:00"
        ) from None


def _last(folder: Path) -> datetime.datetime | None:
    """When the last report was made here; None for the first."""
    try:
        return datetime.datetime.fromisoformat(json.loads((folder / _LAST).read_text(encoding="utf-8"))["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(folder: Path, now: datetime.datetime) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / _LAST).write_text(json.dumps({"at": now.isoformat()}), encoding="utf-8")
