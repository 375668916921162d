"""``crossfade evidence export``: the evidence as one archive, with what is needed to check it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossfade.cli.console import DEFAULT_SPEC, JsonOption, SpecOption, emit, failing
from crossfade.cli.evidence.verify import LedgerOption

JSON = {
    "path": "the archive",
    "entries": "entries of the ledger",
    "head": "the hash of the last entry",
    "files": "files in the archive",
}


def run(
    output: Annotated[Path, typer.Argument(help="The archive to write, a .zip.")],
    ledger: LedgerOption = None,
    spec: SpecOption = DEFAULT_SPEC,
    as_json: JsonOption = False,
) -> None:
    """Write the ledger, what commands printed, a readable list and every file's SHA-256 into one archive.

    A ledger that is not whole is not exported: exit 1 names what is broken.
    """
    with failing(as_json):
        from crossfade import evidence

        done = evidence.export(ledger or evidence.ledger_of(spec, given=spec != DEFAULT_SPEC), output)
        emit(
            {"path": str(output), "entries": done.entries, "head": done.head, "files": len(done.files)},
            as_json,
            lambda: f"{output}: {done.entries:,} entries, {len(done.files)} files; head {done.head}",
        )
