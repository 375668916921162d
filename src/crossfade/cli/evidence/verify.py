"""``crossfade evidence verify``: every entry is there, unaltered and in its place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossfade.cli.console import DEFAULT_SPEC, JsonOption, SpecOption, emit, failing

if TYPE_CHECKING:
    from crossfade.ledger import Verification

JSON = {
    "path": "the ledger",
    "entries": "entries before the first that is broken",
    "head": "the hash of the last good entry; kept elsewhere, it also shows entries cut off the end",
    "whole": "true: with a broken entry the answer is an error",
}

LedgerOption = Annotated[
    Path | None, typer.Option("--ledger", help="A ledger file, without a spec.", show_default=False)
]


def run(
    ledger: LedgerOption = None,
    head: Annotated[
        str | None,
        typer.Option("--head", help="A hash that an entry must have: one that was kept elsewhere."),
    ] = None,
    spec: SpecOption = DEFAULT_SPEC,
    as_json: JsonOption = False,
) -> None:
    """Check the form, the numbers, the chain and the hash of every entry.

    Exit 1 names the first that was altered, removed, added or moved.
    """
    with failing(as_json):
        from crossfade import evidence

        path = ledger or evidence.ledger_of(spec, given=spec != DEFAULT_SPEC)
        found = evidence.demand_whole(path, head=head)
        result = {"path": str(path), "entries": found.entries, "head": found.head, "whole": found.whole}
        emit(result, as_json, lambda: _text(path, found))


def _text(path: Path, found: Verification) -> str:
    return f"{path}: {found.entries:,} entries, whole; head {found.head}"
