"""``crossfade rollback``: the old side takes the lead back."""

from __future__ import annotations

from typing import Annotated

import typer

from crossfade.cli.console import DEFAULT_SPEC, Console, JsonOption, SpecOption, emit, failing
from crossfade.cli.cutover import JSON as SWITCHED
from crossfade.cli.cutover import result_of, text_of

JSON = SWITCHED


def run(
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss",
            help="Roll back although the new side's database does not answer, or was restored to an earlier "
            "day; says what may be lost.",
        ),
    ] = False,
    reason: Annotated[str, typer.Option(help="Why; kept in the evidence.")] = "",
    spec: SpecOption = DEFAULT_SPEC,
    as_json: JsonOption = False,
) -> None:
    """Give the lead back to the old side, with every write.

    Works while the new app hangs or is dead.
    """
    with failing(as_json):
        from crossfade.move import Move

        with Move.open(spec, reporter=Console(quiet=as_json)) as move:
            done = move.rollback(accept_loss=accept_loss, reason=reason)
        emit(result_of(done), as_json, lambda: text_of(done))
