"""``crossfade verify``: compare every cell of both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from crossfade.cli.console import DEFAULT_SPEC, Console, JsonOption, SpecOption, emit, failing, politely

if TYPE_CHECKING:
    from pathlib import Path

    from crossfade.sync.verify import Verification

JSON = {
    "rows": "rows compared",
    "cells": "cells compared",
    "tables": "{table: rows compared}",
    "rechecked": "rows that changed while they were compared, and were compared again at one exact snapshot",
    "unkeyed": "{table without a key: rows that differ}; they are not followed, and here only where that is allowed",
    "differences": "rows that differ: 0, because otherwise the answer is an error",
    "seconds": "how long it took",
}


def run(
    source: Annotated[
        str | None, typer.Argument(help="With TARGET: compare these two, without a spec.")
    ] = None,
    target: Annotated[str | None, typer.Argument(help="The database to compare with.")] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="With a spec: bring differing rows over from the leading side.")
    ] = False,
    spec: SpecOption = DEFAULT_SPEC,
    as_json: JsonOption = False,
) -> None:
    """Compare every cell, also while the application writes.

    Exit 1 lists what differs.
    """
    with failing(as_json):
        politely()
        import time

        console = Console(quiet=as_json)
        started = time.monotonic()
        found = _plain(source, target, console) if source is not None else _move(spec, console, repair)
        seconds = time.monotonic() - started
        rechecked = sum(keys.num_rows for keys in found.suspects.values())
        emit(
            {
                "rows": found.rows,
                "cells": found.cells,
                "tables": found.tables,
                "rechecked": rechecked,
                "unkeyed": found.unkeyed,
                "differences": 0,
                "seconds": round(seconds, 3),
            },
            as_json,
            lambda: (
                f"equal: {found.rows:,} rows, {found.cells:,} cells, 0 differences in {seconds:.1f} s"
                + (f" ({rechecked} rows changed meanwhile and were compared again)" if rechecked else "")
                + "".join(
                    f"\n{name} has no key and is not followed: {n} rows differ"
                    for name, n in found.unkeyed.items()
                )
            ),
        )


def _plain(source: str, target: str | None, console: Console) -> Verification:
    from crossfade.stores import reading_process

    if target is not None:
        reading_process.expect(source)  # before the imports, which take as long
    from crossfade.errors import UsageError
    from crossfade.plain import spec_of, verify_plain

    if target is None:
        raise UsageError("TARGET is missing", todo="crossfade verify SOURCE_URL TARGET_URL")
    return verify_plain(spec_of(source, target), reporter=console)


def _move(spec: Path, console: Console, repair: bool) -> Verification:
    from crossfade.move import Move

    with Move.open(spec, reporter=console) as move:
        return move.verify(repair=repair)
