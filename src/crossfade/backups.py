"""A backup counts only after it was restored to a scratch place and compared."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crossfade.errors import BackupError
from crossfade.spec import TableRule
from crossfade.stores.base import Side, Store, View
from crossfade.sync.mapping import Pair
from crossfade.sync.rejects import Policy
from crossfade.sync.verify import Progress, verify


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A verified backup: the file, its size in bytes and SHA-256, the rows found in the restored copy per
    table, and how many rows the live database has changed since the backup was taken."""

    file: str
    bytes: int
    sha256: str
    rows: dict[str, int]
    changed_since: int
    seconds: float


def back_up(
    store: Store,
    folder: Path,
    views: Sequence[View],
    move: str,
    *,
    progress: Progress = lambda _table, _rows: None,
) -> BackedUp:
    """Back up a store, restore the backup to a scratch place, read every row of it and compare them with
    the live database.  ``BackupError`` when it cannot be restored or lacks a table.

    Rows that the application changed meanwhile differ, and are counted: the live side moves on.
    """
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    file = store.backup(folder / f"{move}-{stamp}-{time.time_ns() % 1_000_000:06d}")
    file.chmod(0o600)
    with (
        tempfile.TemporaryDirectory(prefix="crossfade-restore-") as scratch,
        store.restore(file, Path(scratch)) as restored,
    ):
        missing = [v.table.name for v in views if v.table.name not in restored.inspect().tables]
        if missing:
            raise BackupError(
                f"the restored backup lacks the table {', '.join(missing)}",
                where=str(file),
                todo="make another backup; do not move without one",
            )
        pairs = [Pair(v, v, False, TableRule(), True) for v in views]
        found = verify(
            restored,
            store,
            pairs,
            Side.OLD,
            rejects=Policy({v.table.name for v in views}, None),
            progress=progress,
        )
    if found.rows > 1000 and found.differing > found.rows // 2:
        raise BackupError(
            f"{found.differing} of {found.rows} rows of the restored backup differ from the live database",
            where=str(file),
            todo="an application does not change most rows in a moment: make another backup, and look at this one",
        )
    return BackedUp(
        file=str(file),
        bytes=file.stat().st_size,
        sha256=_digest(file),
        rows=found.tables,
        changed_since=found.differing,
        seconds=round(time.monotonic() - started, 3),
    )


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
