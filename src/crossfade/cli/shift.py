"""``crossfade shift``: send a share of the reads to the following side."""

from __future__ import annotations

from typing import Annotated

import typer

from crossfade.cli.console import DEFAULT_SPEC, Console, JsonOption, SpecOption, emit, failing

JSON = {"reads_percent": "share of shiftable reads that now goes to the following side"}


def run(
    share: Annotated[str, typer.Argument(help='How much, such as "25%".')],
    spec: SpecOption = DEFAULT_SPEC,
    as_json: JsonOption = False,
) -> None:
    """Send that share of the reads on `read_only_paths` to the following side; the choice is sticky per client, and a client that has just written reads from the leader.

    0% also starts the router.
    """
    with failing(as_json):
        percent = _percent(share)
        from crossfade.move import Move

        with Move.open(spec, reporter=Console(quiet=as_json)) as move:
            move.shift(percent)
        emit({"reads_percent": percent}, as_json, lambda: f"{percent:g} % of the shiftable reads")


def _percent(text: str) -> float:
    from crossfade.errors import UsageError

    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise UsageError(f"{text!r} is no share", where="shift", todo="say 0% to 100%, such as 25%")
    return value
