"""``crossfade status``: where the move stands."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from crossfade.cli.console import DEFAULT_SPEC, JsonOption, SpecOption, ago, emit, failing

if TYPE_CHECKING:
    from crossfade.status import Status

JSON = {
    "move": "its name",
    "phase": "planned, copying, following, verified, switching, complete, or leaderless: see the troubles",
    "leader": "old, new, or null before the first copy and when no side leads",
    "epoch": "grows by one at every switch",
    "verified_at": "Unix seconds of the last full verification, or null",
    "lag": "seconds behind, or null when nobody follows",
    "lease": "{verb, host, pid, version, since, until} of whoever is at work, or null",
    "router": "{alive, held, leader, reads_percent, reads_from}, or null without a router",
    "troubles": "list of {what, repairable, todo}",
}


def run(
    watch: Annotated[bool, typer.Option("--watch", help="Repeat every second until Ctrl-C.")] = False,
    spec: SpecOption = DEFAULT_SPEC,
    as_json: JsonOption = False,
) -> None:
    """Say who leads, how far the other side is behind, and what is wrong."""
    with failing(as_json):
        from crossfade.move import Move

        with Move.open(spec) as move:
            while True:
                status = move.status()
                emit(_result(status), as_json, partial(_text, status))
                if not watch:
                    return
                time.sleep(1.0)
                if not as_json:
                    typer.echo("")


def _result(status: Status) -> dict[str, object]:
    lease = status.lease
    return {
        "move": status.move,
        "phase": status.phase,
        "leader": status.leader,
        "epoch": status.epoch,
        "verified_at": status.verified_at,
        "lag": status.lag,
        "lease": None
        if lease is None
        else {
            "verb": lease.verb,
            "host": lease.host,
            "pid": lease.pid,
            "version": lease.version,
            "since": lease.since,
            "until": lease.until,
        },
        "router": status.router,
        "troubles": status.troubles,
    }


def _text(status: Status) -> str:
    now = time.time()
    nobody = "nobody yet (the old side serves)" if status.phase == "planned" else "NOBODY"
    lines = [
        f"move      {status.move}: {status.phase}",
        f"leader    {status.leader or nobody}, epoch {status.epoch}",
        f"verified  {ago(status.verified_at, now)}",
    ]
    if status.lease is not None:
        lag = "" if status.lag is None else f", {status.lag:.1f} s behind"
        lines.append(
            f"at work   {status.lease.verb} (process {status.lease.pid} on {status.lease.host}){lag}"
        )
    if status.router is not None:
        router = status.router
        state = (
            "does not run"
            if not router.alive
            else "HOLDS"
            if router.held
            else f"writes go to {router.leader}"
        )
        lines.append(f"router    {state}, {router.reads_percent:g} % of reads shifted")
    for trouble in status.troubles:
        lines.append(f"TROUBLE   {trouble.what}")
        lines.append(f"          {'crossfade doctor --repair' if trouble.repairable else trouble.todo}")
    return "\n".join(lines)
