"""``crossfade evidence``: is the ledger whole, and a copy of it for whoever audits the move."""

from __future__ import annotations

import typer

from crossfade.cli.evidence import export, verify

app = typer.Typer(no_args_is_help=True, help="Prove that the evidence is whole, or hand it over.")

VERBS = {"verify": verify, "export": export}

for _name, _module in VERBS.items():
    app.command(_name)(_module.run)
