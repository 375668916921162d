"""``crossfade plan lint``: what is wrong with a plan, before anybody runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossfade.cli.console import JsonOption, emit, failing
from crossfade.cli.plan.show import PlanArgument

JSON = {
    "plan": "the file",
    "errors": "how many make a run impossible or dangerous",
    "warnings": "how many say that the document is not true, or lacks something",
    "problems": "list of {level: error or warning, check, what, file, line, todo}",
}


def run(
    plan: PlanArgument,
    root: Annotated[
        Path | None,
        typer.Option(
            "--root", help="Folder in which the files of done tasks must exist.", show_default=False
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings too make the answer no.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Find unknown and circular dependencies, sums that do not add up, statuses that contradict each other,
    gates that nothing measures, destructive tasks without an undo, and more.

    Exit 1 when there are errors.
    """
    with failing(as_json):
        from crossfade.plans.lint import Level, lint
        from crossfade.plans.reading import read_plan
        from crossfade.runs import gates

        problems = lint(read_plan(plan), metrics=gates.NAMES, gate_problem=gates.problem, root=root)
        errors = sum(problem.level is Level.ERROR for problem in problems)
        result = {
            "plan": str(plan),
            "errors": errors,
            "warnings": len(problems) - errors,
            "problems": [problem.as_json() for problem in problems],
        }
        summary = f"{plan}: errors: {errors}, warnings: {len(problems) - errors}"
        emit(result, as_json, lambda: "\n".join([*map(str, problems), summary]))
        if errors or (strict and problems):
            raise typer.Exit(1)
