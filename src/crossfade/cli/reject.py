"""``crossfade reject``: keep a task of a run from going on."""

from __future__ import annotations

from typing import Annotated

import typer

from crossfade.cli import approve
from crossfade.cli.approve import PlanOption, RunOption, TaskArgument
from crossfade.cli.console import DEFAULT_SPEC, JsonOption, SpecOption
from crossfade.cli.run import StateOption

JSON = approve.JSON


def run(
    task: TaskArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why; it becomes evidence.", show_default=False)],
    run_id: RunOption = None,
    plan: PlanOption = None,
    state: StateOption = None,
    spec: SpecOption = DEFAULT_SPEC,
    as_json: JsonOption = False,
) -> None:
    """Reject a task that waits for people: it ends, and the run stops or undoes what it did, as the plan says."""
    approve.answer("reject", task, reason, run_id, plan, state, spec, as_json)
