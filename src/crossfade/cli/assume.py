"""``crossfade assume``: say what became of a command whose outcome nobody knows."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from crossfade.cli.approve import PlanOption, RunOption, TaskArgument, only_run
from crossfade.cli.console import DEFAULT_SPEC, JsonOption, SpecOption, emit, failing
from crossfade.cli.run import StateOption

JSON = {
    "run": "the run",
    "task": "the task",
    "by": "who said so",
    "outcome": "done, again or failed",
    "new": "false when it had been said already",
}


class Outcome(enum.StrEnum):
    """What a person found when they looked."""

    DONE = "done"
    AGAIN = "again"
    FAILED = "failed"


def run(
    task: TaskArgument,
    outcome: Annotated[Outcome, typer.Argument(help="What you found; `again` runs it once more.")],
    reason: Annotated[str, typer.Option("--reason", help="How you know; it becomes evidence.")] = "",
    run_id: RunOption = None,
    plan: PlanOption = None,
    state: StateOption = None,
    spec: SpecOption = DEFAULT_SPEC,
    as_json: JsonOption = False,
) -> None:
    """Settle a task in state `unknown`: its command was begun, and died with its machine before it could tell.

    Nothing is guessed and nothing is done twice by itself.
    """
    with failing(as_json):
        from crossfade import running
        from crossfade.runs.people import whoami

        setting = running.setting_of(spec, given=spec != DEFAULT_SPEC, plan=plan, state=state)
        with running.engine_of(setting) as engine:
            found = run_id or only_run(engine)
            person = whoami()
            new = engine.assume(found, task, outcome.value, person, reason)
        emit(
            {"run": found, "task": task, "by": person.name, "outcome": outcome.value, "new": new},
            as_json,
            lambda: f"{task} of run {found}: {outcome.value}, says {person}",
        )
