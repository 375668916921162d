"""``crossfade approve``: let a task of a run go on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossfade.cli.console import DEFAULT_SPEC, JsonOption, SpecOption, emit, failing
from crossfade.cli.run import StateOption

if TYPE_CHECKING:
    from crossfade.engine import Engine

JSON = {
    "run": "the run",
    "task": "the task",
    "by": "who answered, by the name that counts",
    "answer": "approve or reject",
    "new": "false when that person had said so already",
    "status": "where the task stands now",
}

TaskArgument = Annotated[str, typer.Argument(help="The task's id.", show_default=False)]
RunOption = Annotated[
    str | None,
    typer.Option("--run", help="The run; may be left out while only one goes on.", show_default=False),
]
PlanOption = Annotated[
    Path | None,
    typer.Option("--plan", help="The plan, to find its state where there is no spec.", show_default=False),
]


def run(
    task: TaskArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why; it becomes evidence.")] = "",
    run_id: RunOption = None,
    plan: PlanOption = None,
    state: StateOption = None,
    spec: SpecOption = DEFAULT_SPEC,
    as_json: JsonOption = False,
) -> None:
    """Approve a task that waits for people, or that will.

    Exit 1 when the approval cannot count: by whoever started the run, or by somebody outside the group.
    """
    answer("approve", task, reason, run_id, plan, state, spec, as_json)


def answer(
    what: str,
    task: str,
    reason: str,
    run_id: str | None,
    plan: Path | None,
    state: str | None,
    spec: Path,
    as_json: bool,
) -> None:
    """Give the answer of the person behind this process."""
    with failing(as_json):
        from crossfade import running
        from crossfade.runs.people import whoami

        setting = running.setting_of(spec, given=spec != DEFAULT_SPEC, plan=plan, state=state)
        with running.engine_of(setting) as engine:
            found = run_id or only_run(engine)
            person = whoami()
            give = engine.approve if what == "approve" else engine.reject
            new = give(found, task, person, reason)
            now = engine.state(found).task(task)
        result: dict[str, Any] = {
            "run": found,
            "task": task,
            "by": person.name,
            "answer": what,
            "new": new,
            "status": str(now.status) if now is not None else "",
        }
        said = "approved" if what == "approve" else "rejected"
        emit(
            result,
            as_json,
            lambda: (
                f"{task} of run {found}: {said} by {person}" + ("" if new else " before; nothing changes")
            ),
        )


def only_run(engine: Engine) -> str:
    """The one run that goes on.  ``UsageError`` when there is none, or more."""
    from crossfade.errors import UsageError

    going = [one for one in engine.runs() if one.outcome is None]
    if len(going) == 1:
        return going[0].run
    names = ", ".join(f"{one.run} ({one.plan})" for one in going)
    raise UsageError(
        "several runs go on: " + names if going else "no run goes on",
        where="--run",
        todo="name one with --run" if going else "see `crossfade run --list`",
    )
