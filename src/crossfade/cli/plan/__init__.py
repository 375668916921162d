"""``crossfade plan``: read a migration plan as its team wrote it, check it, and reckon when it ends."""

from __future__ import annotations

import typer

from crossfade.cli.plan import lint, report, schedule, show

app = typer.Typer(no_args_is_help=True, help="Read, check, schedule and report on a plan in Markdown.")

VERBS = {"show": show, "lint": lint, "schedule": schedule, "report": report}

for _name, _module in VERBS.items():
    app.command(_name)(_module.run)
