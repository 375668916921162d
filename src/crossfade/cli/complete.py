"""``crossfade complete``: end the move."""

from __future__ import annotations

from crossfade.cli.console import DEFAULT_SPEC, Console, JsonOption, SpecOption, emit, failing

JSON = {"completed": "true"}


def run(spec: SpecOption = DEFAULT_SPEC, as_json: JsonOption = False) -> None:
    """End the move: the new side keeps the lead, capture is removed from it, and there is no way back.

    The old database stays as it is, fenced, so that nothing writes to it by mistake.
    """
    with failing(as_json):
        from crossfade.move import Move

        with Move.open(spec, reporter=Console(quiet=as_json)) as move:
            move.complete()
        emit(
            {"completed": True},
            as_json,
            lambda: "complete: the new side is home; the old database stays fenced",
        )
