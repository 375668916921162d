"""The files that a task was to deliver, as evidence: which of them are there, and their digests."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_TIME = 600.0
"""Seconds for the digests of one task's files."""


def delivered(names: Iterable[str], folder: Path) -> list[dict[str, Any]]:
    """Those of the names that are files, relative to the folder: ``{"path", "bytes", "sha256"}``.  What cannot be
    read is left out: most deliverables of a plan are words and no files.

    A process of its own reads them.  One of them may be a database that this process has open, and closing any
    descriptor of an SQLite file would let go of the locks that SQLite holds for the process.
    """
    there = [name for name in names if _is_file(folder / name)]
    if not there:
        return []
    try:
        done = subprocess.run(
            [sys.executable, "-m", "crossfade.runs.deliverables"],
            input=json.dumps({"names": there, "folder": str(folder)}),
            capture_output=True,
            text=True,
            timeout=_TIME,
            check=False,
        )
        found: list[dict[str, Any]] = json.loads(done.stdout) if done.returncode == 0 else []
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return []
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def digests(names: Iterable[str], folder: Path) -> list[dict[str, Any]]:
    """The same, read by this process."""
    found = []
    for name in names:
        try:
            with (folder / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                found.append({"path": name, "bytes": file.tell(), "sha256": digest})
        except (OSError, ValueError):
            continue
    return found


if __name__ == "__main__":
    wanted = json.load(sys.stdin)
    json.dump(digests(wanted["names"], Path(wanted["folder"])), sys.stdout)
