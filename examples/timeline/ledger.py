"""What the players were promised: one JSON line for each write, to be compared with a database.

A line is ``{"kind", "table", "key", "fields", "outcome", "at"}``.  ``kind`` is ``session``, ``move`` or
``completion``; ``key`` names the row (``{"id"}``, or ``{"session_id", "idempotency_key"}`` of a move);
``outcome`` is ``acknowledged`` (a 2xx answer came: ``fields`` must be found later) or ``unknown`` (no
answer, or a failure that does not say whether the row was written); ``at`` is in Unix seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

ACKNOWLEDGED, UNKNOWN = "acknowledged", "unknown"
TABLES = {"session": "game_sessions", "move": "moves", "completion": "game_sessions"}


@dataclass(frozen=True, slots=True)
class Promise:
    """One line of the ledger."""

    kind: str
    key: Mapping[str, str]
    fields: Mapping[str, Any]
    outcome: str
    at: float

    @property
    def session_id(self) -> str:
        return self.key["session_id"] if self.kind == "move" else self.key["id"]


class Ledger:
    """Appends lines; each one is in the file when the call returns."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("a", encoding="utf-8", buffering=1)
        self.acknowledged = 0
        self.unknown = 0

    def acknowledge(self, kind: str, key: Mapping[str, str], answer: Mapping[str, Any]) -> None:
        """A write was answered 2xx; of the answer those fields are kept that no later write changes."""
        fields = {ours: answer[theirs] for ours, theirs in _FIELDS[kind].items()}
        self._write(kind, key, fields, ACKNOWLEDGED)
        self.acknowledged += 1

    def doubt(self, kind: str, key: Mapping[str, str]) -> None:
        """A write was sent, and its outcome is not known."""
        self.unknown += 1
        self._write(kind, key, {}, UNKNOWN)

    def close(self) -> None:
        self._file.close()

    def _write(self, kind: str, key: Mapping[str, str], fields: Mapping[str, Any], outcome: str) -> None:
        line = {
            "kind": kind,
            "table": TABLES[kind],
            "key": key,
            "fields": fields,
            "outcome": outcome,
            "at": time.time(),
        }
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")


def read_ledger(path: Path) -> Iterator[Promise]:
    """The lines of a ledger.  Raises ``ValueError`` on a damaged line that is not the last."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.endswith("\n"):
                return  # the writer was killed while it wrote
            part = json.loads(line)
            yield Promise(part["kind"], part["key"], part["fields"], part["outcome"], part["at"])


_SESSION = ("player_name", "card_count", "categories", "difficulty", "started_at")
_TOTALS = (
    "completed_at", "finished", "score", "streak", "best_streak", "move_count", "correct_count", "accuracy",
)  # fmt: skip
_MOVE = ("id", "event_id", "position", "correct_position", "correct", "points", "response_ms", "placed_at")
_FIELDS = {
    "session": {name: name for name in _SESSION},
    "completion": {name: name for name in (*_SESSION, *_TOTALS)},
    "move": {name: name for name in _MOVE} | {"score_after": "score", "streak_after": "streak"},
}
"""Column of the database → field of the answer."""
