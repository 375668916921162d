"""``crossfade cutover``: the new side takes the lead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from crossfade.cli.console import DEFAULT_SPEC, Console, JsonOption, SpecOption, emit, failing

if TYPE_CHECKING:
    from crossfade.switch import Switched

JSON = {
    "to": "the side that leads now",
    "epoch": "the number of this lead",
    "hold_ms": "how long requests were held",
    "steps_ms": "{step: milliseconds}",
    "last_pass_keys": "changed keys brought over behind the fence",
    "in_flight": "requests still unanswered when the drain budget was over",
    "cut_off": "database sessions of the old leader that were ended",
    "maybe_lost": "what --accept-loss gave up, in words; empty otherwise",
    "follows": "false when the other side does not know yet that it follows",
    "unrecorded": "what could not be written to the evidence, and why; empty otherwise",
}


def run(
    cut_off: Annotated[
        bool,
        typer.Option(
            "--cut-off",
            help="Fence after drain_budget although requests are in flight; those that write then fail.",
        ),
    ] = False,
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss",
            help="Cut over although the old side's database does not answer; says what may be lost.",
        ),
    ] = False,
    spec: SpecOption = DEFAULT_SPEC,
    as_json: JsonOption = False,
) -> None:
    """Give the lead to the new side: hold, drain, fence, last pass, commit, release."""
    with failing(as_json):
        from crossfade.move import Move

        with Move.open(spec, reporter=Console(quiet=as_json)) as move:
            done = move.cutover(cut_off=cut_off, accept_loss=accept_loss)
        emit(result_of(done), as_json, lambda: text_of(done))


def result_of(done: Switched) -> dict[str, object]:
    """A switch as JSON."""
    from dataclasses import asdict

    return asdict(done) | {
        "hold_ms": round(done.hold_ms, 3),
        "steps_ms": {name: round(value, 3) for name, value in done.steps_ms.items()},
    }


def text_of(done: Switched) -> str:
    """A switch for people."""
    lines = [f"the {done.to} side leads (epoch {done.epoch}); requests were held for {done.hold_ms:.0f} ms"]
    lines.extend(f"  {name:<14} {value:8.1f} ms" for name, value in done.steps_ms.items())
    if done.in_flight:
        lines.append(f"  {done.in_flight} requests were still in flight when the drain budget was over")
    if done.cut_off:
        lines.append(f"  {done.cut_off} database sessions of the old leader were ended")
    if done.maybe_lost:
        lines.append(f"  MAY BE LOST: {done.maybe_lost}")
    if done.unrecorded:
        lines.append(f"  NOT RECORDED: {done.unrecorded}")
    lines.append("keep `crossfade follow` running: it is the way back")
    return "\n".join(lines)
