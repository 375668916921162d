"""``crossfade doctor``: explain any state in words, and repair a half-done switch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from crossfade.cli.console import DEFAULT_SPEC, Console, JsonOption, SpecOption, emit, failing

if TYPE_CHECKING:
    from crossfade.stores.base import Lease

JSON = {
    "healthy": "true when nothing is wrong (after the repair, with --repair)",
    "troubles": "list of {what, repairable, todo}",
    "repaired": "list of sentences: what --repair did",
}


def run(
    repair: Annotated[
        bool, typer.Option("--repair", help="Bring a half-done switch to a legal state.")
    ] = False,
    spec: SpecOption = DEFAULT_SPEC,
    as_json: JsonOption = False,
) -> None:
    """Explain what is wrong.

    --repair finishes a switch that was committed, takes back any other, fences what must be fenced, and
    sets the router to what the databases say. Exit 1 while something is wrong.
    """
    with failing(as_json):
        from crossfade import recovery
        from crossfade.move import Move

        with Move.open(spec, reporter=Console(quiet=as_json)) as move:
            done = move.repair(stuck=_is_stopped) if repair else []
            troubles = recovery.examine(move.standing(), move.router, move.ledger)
        lines = [f"repaired: {line}" for line in done]
        for trouble in troubles:
            lines.append(f"wrong: {trouble.what}")
            lines.append(f"       {'crossfade doctor --repair' if trouble.repairable else trouble.todo}")
        emit(
            {"healthy": not troubles, "troubles": troubles, "repaired": done},
            as_json,
            lambda: "\n".join(lines) or "all is well",
        )
        if troubles:
            raise typer.Exit(1)


def _is_stopped(lease: Lease) -> bool:
    """The holder's process is on this host, and stopped or dead."""
    import socket

    import psutil

    if lease.host != socket.gethostname():
        return False
    try:
        return psutil.Process(lease.pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
