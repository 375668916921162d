"""``crossfade copy``: the initial copy of a move, or a plain copy between two addresses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossfade.cli.console import DEFAULT_SPEC, Console, JsonOption, SpecOption, emit, failing, politely

if TYPE_CHECKING:
    from crossfade.sync.copy import Copied

JSON = {
    "rows": "{table: rows written by this run}",
    "total": "their sum",
    "resumed": "rows that an earlier, interrupted run had written",
    "rejected": "rows in the reject file",
    "shared": "{worker: chunks that it took}, when workers shared the copy",
    "seconds": "how long it took",
    "longest_lock_ms": "longest time that one of our transactions could keep the application's writer waiting",
    "findings": "list of {level, check, what, where, todo}: what could not be translated",
}


def run(
    source: Annotated[str | None, typer.Argument(help="With TARGET: copy from here, without a spec.")] = None,
    target: Annotated[str | None, typer.Argument(help="The database to copy to.")] = None,
    spec: SpecOption = DEFAULT_SPEC,
    rejects: Annotated[
        Path | None,
        typer.Option(
            help="With SOURCE TARGET: write rows that TARGET cannot hold here, instead of stopping."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="With SOURCE TARGET: chunks side by side.")] = 2,
    as_json: JsonOption = False,
) -> None:
    """Copy every row.

    With a spec, capture is installed first, so the application may go on writing; with SOURCE TARGET
    the source is only read and should be quiet. A killed copy goes on where it was.
    """
    with failing(as_json):
        console = Console(quiet=as_json)
        if source is not None:
            result = _plain(source, target, rejects, workers, console)
        else:
            politely()
            result = _move(spec, console)
        emit(result, as_json, lambda: _text(result))


def _plain(
    source: str, target: str | None, rejects: Path | None, workers: int, console: Console
) -> dict[str, Any]:
    from crossfade.stores import reading_process

    if target is not None:
        reading_process.expect(source)  # before the imports, which take as long
    from crossfade.errors import UsageError
    from crossfade.plain import copy_plain, spec_of

    if target is None:
        raise UsageError("TARGET is missing", todo="crossfade copy SOURCE_URL TARGET_URL")
    done = copy_plain(
        spec_of(source, target, reject=rejects, workers=workers), rejects=rejects, reporter=console
    )
    return _result(done.copied, done.seconds) | {
        "longest_lock_ms": round(done.longest_lock * 1000, 1),
        "findings": list(done.findings),
    }


def _move(spec: Path, console: Console) -> dict[str, Any]:
    import time

    from crossfade import sharing
    from crossfade.move import Move
    from crossfade.stores.base import Side

    started = time.monotonic()
    with Move.open(spec, reporter=console) as move:
        with sharing.workers_of(spec, move, console) as elsewhere:
            copied = move.copy(elsewhere=elsewhere)
        locked = move.stores[Side.OLD].longest_lock()
    return _result(copied, time.monotonic() - started) | {
        "longest_lock_ms": round(locked * 1000, 1),
        "findings": [],
    }


def _result(copied: Copied, seconds: float) -> dict[str, Any]:
    return {
        "rows": copied.rows,
        "total": copied.total,
        "resumed": copied.resumed,
        "rejected": copied.rejected,
        "shared": copied.shared,
        "seconds": round(seconds, 3),
    }


def _text(result: dict[str, Any]) -> str:
    lines = [f"  {table}: {rows:,}" for table, rows in result["rows"].items()]
    rate = result["total"] / result["seconds"] if result["seconds"] else 0
    lines.append(
        f"copied {result['total']:,} rows in {result['seconds']:.1f} s ({rate:,.0f} rows/s)"
        + (f", {result['resumed']:,} were there already" if result["resumed"] else "")
        + (f", {result['rejected']:,} rejected" if result["rejected"] else "")
        + (f", shared by {', '.join(result['shared'])}" if result["shared"] else "")
        + f"; longest lock on the source {result['longest_lock_ms']:.1f} ms"
    )
    lines.extend(f"{f.level}: {f.where}: {f.what}" for f in result["findings"])
    return "\n".join(lines)
