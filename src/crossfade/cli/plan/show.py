"""``crossfade plan show``: what a plan says, as Crossfade reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossfade.cli.console import JsonOption, emit, failing

if TYPE_CHECKING:
    from crossfade.plans.model import Plan, Task

PlanArgument = Annotated[Path, typer.Argument(help="The plan, a Markdown file.", show_default=False)]

JSON = {
    "title": "the document's title",
    "path": "the file as it was named",
    "owner": "who the document's head names, or an empty text",
    "window": "when, as the head states it, or null",
    "estimate": "the total that the head states, {raw, hours, low, high}, or null",
    "status": "not_started, in_progress, blocked, done, skipped or unknown",
    "status_text": "the same as it was written",
    "progress": "0 to 100 as the head states it, or null",
    "lines": "{field of the head: its line}",
    "phases": "list of {title, id, tasks: list of {id, title, kind, status, owner, estimate, window, deliverables, "
    "dependencies, progress, run, gate, approve, undo, timeout, retry, subtasks, source, …}, gates, window, …}; "
    "walking it meets every task once",
    "milestones": "list of {id, title, window, status, criteria, source, …}",
    "gates": "list of {id, kind: quality_gate, success_criterion or rollback_trigger, text, phase, source, …}",
    "risks": "list of {id, title, probability, impact, mitigation, owner, source, …}",
    "decisions": "list of {id, title, outcome, rationale, due, source, …}",
    "metrics": "list of {name, current, target, unit, source, …}",
    "stakeholders": "list of {name, role, responsibility, source, …}",
    "workstreams": "list of {name, owner, source, …}",
    "totals": "sums of hours that the document states, list of {raw, estimate, phase, source, …}",
    "notices": "what could not be read as it stands, list of {text, source}",
    "mojibake": "true when lines had to be repaired for reading because their UTF-8 was once decoded wrongly",
}


def run(plan: PlanArgument, as_json: JsonOption = False) -> None:
    """Show phases, tasks, gates, risks and the rest of a plan; changes nothing."""
    with failing(as_json):
        from crossfade.plans.reading import read_plan

        found = read_plan(plan)
        emit(_result(found) if as_json else {}, as_json, lambda: "\n".join(_text(found)))


def _result(plan: Plan) -> dict[str, Any]:
    result: dict[str, Any] = plan.model_dump(mode="json")
    return result


def _text(plan: Plan) -> Iterator[str]:
    tasks = list(plan.walk())
    done = sum(task.status == "done" for task in tasks)
    yield plan.title or plan.path
    yield f"{len(tasks)} tasks in {len(plan.phases)} phases, {done} marked done"
    for phase in plan.phases:
        yield ""
        yield "  " * (len(phase.path) - 1 if phase.path else 0) + phase.title
        for task in phase.tasks:
            yield from _task(task, "  " * max(1, len(phase.path)))
    for title, count in (
        ("milestones", len(plan.milestones)),
        ("gates", len(plan.gates)),
        ("risks", len(plan.risks)),
        ("decisions", len(plan.decisions)),
        ("metrics", len(plan.metrics)),
    ):
        if count:
            yield f"{count} {title}"
    for notice in plan.notices:
        yield f"{notice.source.file}:{notice.source.line}: {notice.text}"


def _task(task: Task, indent: str) -> Iterator[str]:
    marks = [task.status.value.replace("_", " ")]
    if task.owner:
        marks.append(task.owner)
    if task.estimate is not None:
        marks.append(f"{task.estimate.hours:g} h")
    if task.run:
        marks.append(f"runs {'; '.join(task.run)}")
    if task.approve is not None:
        marks.append(f"waits for {task.approve.raw}")
    name = f"{task.id} {task.title}" if task.id_stated else task.title
    yield f"{indent}{name}  [{', '.join(marks)}]  line {task.source.line}"
    for part in task.subtasks:
        yield from _task(part, indent + "  ")
