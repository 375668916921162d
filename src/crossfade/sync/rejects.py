"""What happens to a value that the other side cannot hold exactly: stop, or write its row to a file."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from crossfade.errors import Unrepresentable
from crossfade.stores.base import Rejected


def stop(rejected: Rejected) -> None:
    """The sink that stops the move at the first such value."""
    raise Unrepresentable(
        f"{rejected.value} {rejected.reason}",
        table=rejected.table,
        key=rejected.key[0] if len(rejected.key) == 1 else rejected.key,
        column=rejected.column,
        value=rejected.value,
        todo=rejected.todo or "change the value, or set `on_unrepresentable: reject` for this table",
    )


class Policy:
    """The sink of a whole move: rows of the tables that may reject go to a JSON Lines file and are counted;
    any other table stops.

    One object per line: ``{"table", "key", "column", "value", "reason", "row"}``; bytes as ``\\x`` hex.
    A row that is read again is written again: the last line of a key is the one that counts.  Without a
    ``path`` rows are only counted, for reading again what is on file already.
    """

    def __init__(self, tables: Collection[str], path: Path | None) -> None:
        self.tables = frozenset(tables)
        self.path = path
        self.count = 0
        self._lock = threading.Lock()

    def __call__(self, rejected: Rejected) -> None:
        if rejected.table not in self.tables:
            stop(rejected)
        with self._lock:
            self.count += 1
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a", encoding="utf-8", errors="surrogateescape") as file:
                    file.write(_line(rejected) + "\n")


def _line(rejected: Rejected) -> str:
    return json.dumps(
        {
            "table": rejected.table,
            "key": [_plain(part) for part in rejected.key],
            "column": rejected.column,
            "value": rejected.value,
            "reason": rejected.reason,
            "row": _row(rejected.row),
        },
        ensure_ascii=False,
    )


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "\\x" + bytes(value).hex()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return repr(value) if isinstance(value, float) else str(value)
