"""What a legacy application's writes feel while Crossfade copies and follows, against a run without it.

A writer with a busy time-out of one second inserts and updates one row per transaction in a SQLite database,
first alone, then while ``crossfade copy`` and ``crossfade follow`` read it; in both journal modes.  Printed are
milliseconds per transaction and lock errors, which must be none.

``python -m bench.locks`` from the root of the repository.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from crossfade.stores.postgres.embedded import EmbeddedPostgres

_THINK = 0.002
"""Seconds between two transactions of the writer."""


def main() -> int:
    """Run it; the exit status is 1 when the writer saw a lock error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--seconds", type=float, default=8.0, help="how long the writer writes alone")
    parser.add_argument("--writer", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.writer:
        _write(Path(chosen.writer))
        return 0
    errors = 0
    folder = Path(tempfile.mkdtemp(prefix="crossfade-locks-", dir="/tmp"))
    folder.chmod(0o755)
    print(f"{'':<34}{'writes':>8}{'median':>9}{'p99':>9}{'worst':>9}{'lock errors':>13}")
    with EmbeddedPostgres(folder / "pg") as postgres:
        for mode in ("delete", "wal"):
            database = folder / f"{mode}.db"
            _make(database, mode, chosen.rows)
            alone = _during(database, lambda: time.sleep(chosen.seconds))
            _print(f"{mode}: alone", alone)
            spec = _spec(folder, mode, database, postgres)
            said: list[dict[str, Any]] = []
            copying = _during(database, lambda spec=spec, said=said: said.append(_copy(spec)))
            _print(f"{mode}: while it is copied", copying)
            following = _during(
                database, lambda spec=spec, said=said: said.append(_follow(spec, chosen.seconds))
            )
            _print(f"{mode}: while it is followed", following)
            locks = " and ".join(f"{answer['longest_lock_ms']} ms" for answer in said)
            print(f"  longest lock that Crossfade measured (copy and follow): {locks}")
            errors += len(copying["errors"]) + len(following["errors"])
    return 1 if errors else 0


def _make(database: Path, mode: str, rows: int) -> None:
    with closing(sqlite3.connect(database)) as db:
        db.execute(f"PRAGMA journal_mode={mode}")
        db.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL, changed DATETIME)")
        db.executemany(
            "INSERT INTO notes(text, changed) VALUES (?, '2024-01-01 00:00:00')",
            ((f"note {number} " * 8,) for number in range(rows)),
        )
        db.commit()


def _spec(folder: Path, mode: str, database: Path, postgres: EmbeddedPostgres) -> Path:
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {mode}_copy".encode())
    path = folder / mode / "crossfade.yaml"
    path.parent.mkdir()
    path.write_text(
        f"move: locks\nold: {{store: 'sqlite:///{database}'}}\nnew: {{store: '{postgres.url(mode + '_copy')}'}}\n"
    )
    return path


def _during(database: Path, what: Any) -> dict[str, Any]:
    """The writer's times while something happens."""
    writer = subprocess.Popen(
        [sys.executable, "-m", "bench.locks", "--writer", str(database)],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        what()
    finally:
        writer.send_signal(signal.SIGTERM)
        output, _ = writer.communicate(timeout=30)
    return dict(json.loads(output))


def _copy(spec: Path) -> dict[str, Any]:
    return _crossfade("copy", "--spec", str(spec), "--json")


def _follow(spec: Path, seconds: float) -> dict[str, Any]:
    with subprocess.Popen(
        [sys.executable, "-m", "crossfade", "follow", "--spec", str(spec), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as follow:
        time.sleep(seconds)
        follow.send_signal(signal.SIGTERM)
        output, _ = follow.communicate(timeout=30)
    return dict(json.loads(output))


def _crossfade(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "crossfade", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return dict(json.loads(done.stdout))


def _write(database: Path) -> None:
    """The application: one row per transaction, a busy time-out of one second."""
    ended = False

    def end(*_: object) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, end)
    took: list[float] = []
    errors: list[str] = []
    with closing(sqlite3.connect(database, timeout=1.0, isolation_level=None)) as db:
        number = os.getpid()
        while not ended:
            number += 7919
            began = time.perf_counter()
            try:
                db.execute("BEGIN IMMEDIATE")
                db.execute("INSERT INTO notes(text) VALUES ('new')")
                db.execute(
                    "UPDATE notes SET changed = CURRENT_TIMESTAMP WHERE id = ?", (number % 200_000 + 1,)
                )
                db.execute("COMMIT")
            except sqlite3.OperationalError as error:
                errors.append(str(error))
                if db.in_transaction:
                    db.execute("ROLLBACK")
            took.append((time.perf_counter() - began) * 1000)
            time.sleep(_THINK)
    print(json.dumps({"took": took, "errors": errors}))


def _print(name: str, seen: dict[str, Any]) -> None:
    took = sorted(seen["took"])
    p99 = took[int(len(took) * 0.99)]
    print(
        f"{name:<34}{len(took):>8}{statistics.median(took):>9.2f}{p99:>9.2f}{took[-1]:>9.2f}"
        f"{len(seen['errors']):>13}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
