"""``crossfade backup``: a backup that was restored and compared before it counts."""

from __future__ import annotations

from crossfade.cli.console import DEFAULT_SPEC, Console, JsonOption, SpecOption, emit, failing, politely

JSON = {
    "file": "the backup",
    "bytes": "its size",
    "sha256": "its digest",
    "rows": "{table: rows found in the restored copy}",
    "changed_since": "rows that the live database has changed since the backup was taken",
    "seconds": "how long it took",
}


def run(spec: SpecOption = DEFAULT_SPEC, as_json: JsonOption = False) -> None:
    """Back up the leading database, restore the backup to a scratch place, and compare it."""
    with failing(as_json):
        politely()
        from dataclasses import asdict

        from crossfade.move import Move

        with Move.open(spec, reporter=Console(quiet=as_json)) as move:
            done = move.backup()
        emit(
            asdict(done),
            as_json,
            lambda: (
                f"{done.file}: {done.bytes:,} bytes, restored and compared "
                f"({sum(done.rows.values()):,} rows, {done.changed_since} changed since) in {done.seconds:.1f} s"
            ),
        )
