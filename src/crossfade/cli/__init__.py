"""The command line: one thin file per verb.  Exit 0 done, 1 the move's answer is no, 2 wrong use,
3 environment."""

from __future__ import annotations

import gc

import typer

from crossfade import __version__
from crossfade.cli import (
    approve,
    assume,
    backup,
    check,
    complete,
    copy,
    cutover,
    doctor,
    evidence,
    follow,
    init,
    plan,
    reject,
    rollback,
    run,
    shift,
    status,
    ui,
    verify,
    worker,
)

app = typer.Typer(
    name="crossfade",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Move a live application to its new home without a failed request, and back without a lost write.",
    epilog="Exit: 0 done, 1 the move's answer is no, 2 wrong use, 3 environment.",
)

VERBS = {
    "init": init,
    "check": check,
    "backup": backup,
    "copy": copy,
    "follow": follow,
    "verify": verify,
    "shift": shift,
    "cutover": cutover,
    "rollback": rollback,
    "complete": complete,
    "status": status,
    "doctor": doctor,
    "run": run,
    "approve": approve,
    "reject": reject,
    "assume": assume,
    "worker": worker,
    "ui": ui,
}
"""The verbs in the order of a move; each module has ``run`` and ``JSON``, the documented output."""

GROUPS = {"plan": plan, "evidence": evidence}
"""What comes in several verbs of its own: each package has ``app`` and ``VERBS``."""

for _name, _module in VERBS.items():
    app.command(_name)(_module.run)
for _name, _group in GROUPS.items():
    app.add_typer(_group.app, name=_name)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"crossfade {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version."
    ),
) -> None:
    pass


def main() -> None:
    """The entry point of the ``crossfade`` command."""
    # Arrow's buffers are not the collector's to find; looking for cycles at the default pace only costs time.
    gc.set_threshold(50_000, 20, 100)
    try:
        app()
    finally:
        gc.freeze()  # the process ends: nobody needs the cycles in what it leaves
