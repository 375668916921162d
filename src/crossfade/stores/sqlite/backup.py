"""Backups of one consistent state, and restoring them to look at."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crossfade.errors import BackupError
from crossfade.stores.sqlite.connection import Database, text


def backup(database: Database, to: Path) -> Path:
    """Copy the database to the file ``to`` (or into the directory ``to``) in one step.

    In WAL mode nobody waits for it.  In rollback-journal mode writers wait for the whole copy: about
    80 ms per 65 MB here, so take backups of large databases in a quiet hour.  Copying in smaller steps
    would block less, but starts again at every foreign write and may never end.
    """
    target = to / f"{database.path.name}.backup" if to.is_dir() else to
    partial = target.with_name(target.name + ".partial")
    with database.mapped():
        source = database.open()
        try:
            partial.unlink(missing_ok=True)
            sink = sqlite3.connect(partial)
            try:
                # the copy is made of whole pages: synchronising once, at the end, is enough
                sink.execute("PRAGMA synchronous=OFF")
                source.backup(sink, pages=-1)
            finally:
                sink.close()
        except (sqlite3.Error, OSError) as error:
            partial.unlink(missing_ok=True)
            raise BackupError(
                f"the backup was not made: {error}",
                where=str(target),
                todo="check disk space and permissions; if the database is locked, try again",
            ) from error
        finally:
            source.close()
    _synchronise(partial)
    partial.replace(target)
    return target


def _synchronise(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def restored(backup_file: Path, scratch: Path) -> Iterator[Path]:
    """A copy of a backup in ``scratch``, checked to be a whole database; removed on exit."""
    copy = scratch / f"{backup_file.name}.restored.db"
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(backup_file, copy)
        con = sqlite3.connect(copy)
        try:
            said = [text(row[0]) for row in con.execute("PRAGMA integrity_check(3)").fetchall()]
        finally:
            con.close()
    except (OSError, sqlite3.Error) as error:
        _remove(copy)
        raise BackupError(
            f"the backup cannot be restored: {error}", where=str(backup_file), todo="make a new backup"
        ) from error
    if said != ["ok"]:
        _remove(copy)
        raise BackupError(
            f"the restored backup is damaged: {'; '.join(said)}",
            where=str(backup_file),
            todo="make a new backup",
        )
    try:
        yield copy
    finally:
        _remove(copy)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
