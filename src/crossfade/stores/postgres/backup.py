"""Backups by ``pg_dump`` and their restoration into a scratch database."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from psycopg.conninfo import make_conninfo

from crossfade.errors import BackupError, StoreError
from crossfade.stores.postgres.connection import Database
from crossfade.stores.postgres.embedded import binaries
from crossfade.stores.postgres.names import ident


def backup(db: Database, to: Path) -> Path:
    """A dump of one consistent state in PostgreSQL's custom format; ``to`` may be a directory."""
    file = to / f"{db.parts.get('dbname', 'database')}.dump" if to.is_dir() else to
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    command = [program(db, "pg_dump"), "--format=custom", "--compress=1", "--no-password", f"--file={part}"]
    try:
        _run(db, [*command, f"--dbname={_without_password(db)}"], "pg_dump")
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return file


@contextmanager
def restored(db: Database, backup: Path) -> Iterator[str]:
    """The address of a scratch database on the same server that holds the backup; dropped on exit."""
    if not backup.exists():
        raise BackupError("the backup is missing", where=str(backup), todo="make a backup first")
    name = f"crossfade_restore_{secrets.token_hex(4)}"
    with db.session() as connection:
        connection.execute(f"CREATE DATABASE {ident(name)} TEMPLATE template0".encode())
    try:
        restore_into(db, name, backup)
        yield make_conninfo("", **(db.parts | {"dbname": name}))
    finally:
        with db.session() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {ident(name)} WITH (FORCE)".encode())


def restore_into(db: Database, name: str, backup: Path) -> None:
    """Restore a backup into the empty database ``name`` on the server of ``db``, owned by who does it."""
    command = [program(db, "pg_restore"), "--no-owner", "--no-privileges", "--exit-on-error", "--no-password"]
    _run(db, [*command, f"--dbname={_without_password(db, name)}", str(backup)], "pg_restore")


def _without_password(db: Database, database: str | None = None) -> str:
    parts = {k: v for k, v in db.parts.items() if k != "password"}
    return make_conninfo("", **(parts | ({"dbname": database} if database else {})))


def _run(db: Database, command: Sequence[str], name: str) -> None:
    environment = dict(os.environ)
    if "password" in db.parts:
        environment["PGPASSWORD"] = db.parts["password"]
    done = subprocess.run(
        command, capture_output=True, check=False, env=environment, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        text = done.stderr.decode(errors="replace").strip()
        raise BackupError(
            f"{name} failed: {text}",
            where=db.url,
            todo="the message above is PostgreSQL's own; correct its cause",
        )


def program(db: Database, name: str) -> str:
    """The client program of the server's major version.  ``BackupError`` when there is none."""
    major = db.version // 10_000
    places = [Path(f"/usr/lib/postgresql/{major}/bin") / name, Path(f"/usr/pgsql-{major}/bin") / name]
    found = shutil.which(name)
    places += [Path(found)] if found else []
    with suppress(StoreError):  # the embedded server is optional
        places.insert(0, binaries() / name)
    for place in places:
        if place.exists() and _major(place) == major:
            return str(place)
    raise BackupError(
        f"no {name} of PostgreSQL {major} was found",
        where=db.url,
        todo=f"install the client programs of PostgreSQL {major} and put them on PATH",
    )


def _major(place: Path) -> int | None:
    done = subprocess.run([str(place), "--version"], capture_output=True, check=False, text=True)
    number = re.search(r"(\d+)", done.stdout)
    return int(number.group(1)) if number else None
