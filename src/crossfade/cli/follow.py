"""``crossfade follow``: keep the other side equal until told to stop."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from crossfade.cli.console import DEFAULT_SPEC, Console, JsonOption, SpecOption, emit, failing
from crossfade.errors import UsageError

JSON = {
    "passes": "passes made",
    "keys": "changed keys brought over",
    "longest_lag": "longest time behind, in seconds",
    "longest_lock_ms": "longest time that one of our transactions could keep an application's writer waiting",
    "rollback": "what the guard's rollback did (the shape of `cutover`), or null",
    "rollback_reason": "why the guard rolled back, or an empty text",
    "pid": "with --detach or --stop: the process that follows, or that has ended; otherwise null",
}


def run(
    spec: SpecOption = DEFAULT_SPEC,
    interval: Annotated[float, typer.Option(min=0.0, max=60.0, help="Seconds between two passes.")] = 0.1,
    detach: Annotated[
        bool, typer.Option("--detach", help="Follow in the background, and return once it does.")
    ] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End whoever follows on this machine.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Keep the other side equal, whoever leads, until SIGTERM or Ctrl-C.

    Makes room for a switch and goes on after it; supervises the router; rolls back by itself when the
    guard says so.
    """
    with failing(as_json):
        if detach or stop:
            from crossfade import background

            if detach and stop:
                raise UsageError("--detach and --stop are two wishes", todo="give one of them")
            pid = background.start_follower(spec, interval) if detach else background.stop_follower(spec)
            nothing = dict.fromkeys(JSON)
            words = f"process {pid} follows" if detach else f"process {pid} has ended"
            emit(nothing | {"pid": pid}, as_json, lambda: words)
            return
        from crossfade.following import Follower
        from crossfade.move import Move

        with Move.open(spec, reporter=Console()) as move:
            follower = Follower(move, interval=interval)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda _number, _frame: follower.stop())
            done = follower.run()
        emit(
            {
                "passes": done.passes,
                "keys": done.keys,
                "longest_lag": round(done.longest_lag, 3),
                "longest_lock_ms": round(done.longest_lock * 1000, 1),
                "rollback": done.rollback,
                "rollback_reason": done.rollback_reason,
                "pid": None,
            },
            as_json,
            lambda: (
                f"{done.passes:,} passes, {done.keys:,} keys, at most {done.longest_lag:.2f} s behind, "
                f"longest lock {done.longest_lock * 1000:.1f} ms"
            ),
        )
