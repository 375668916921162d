"""Compares what players were promised (the ledger) with what a database holds.

``python -m examples.timeline.audit --ledger FILE --database PATH|URL``

Every acknowledged session, move and completion must be there exactly once, with the acknowledged values;
and in the players' sessions there must be nothing that no player asked for.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from examples.timeline.ledger import ACKNOWLEDGED, Promise, read_ledger

_BATCH = 500
_PROBLEMS_KEPT = 50
_BY_UUID = sql.SQL("SELECT * FROM {} WHERE {} = ANY(%s::uuid[])")
_BY_TEXT = sql.SQL("SELECT * FROM {} WHERE {} = ANY(%s::text[])")


@dataclass
class Audit:
    """The verdict.

    ``lost_writes``: acknowledged writes that are missing or whose values differ; ``duplicated_writes``:
    rows beyond the one that was promised, and rows of the players' games that nobody asked for;
    ``unknown_present``: writes without an answer that did happen.  ``problems`` describes the first few.
    """

    acknowledged_writes: int = 0
    lost_writes: int = 0
    duplicated_writes: int = 0
    unknown_present: int = 0
    problems: list[dict[str, Any]] = field(default_factory=list)

    def lose(self, kind: str, key: object, why: str) -> None:
        self.lost_writes += 1
        self._describe(kind, key, why)

    def double(self, kind: str, key: object, extra: int, why: str) -> None:
        self.duplicated_writes += extra
        self._describe(kind, key, why)

    def _describe(self, kind: str, key: object, why: str) -> None:
        if len(self.problems) < _PROBLEMS_KEPT:
            self.problems.append({"kind": kind, "key": key, "why": why})


class _Rows(Protocol):
    def __call__(self, table: str, column: str, values: Sequence[str]) -> list[dict[str, Any]]: ...


@dataclass
class _Promises:
    """What the ledger says about one session."""

    writes: dict[tuple[str, str], Promise] = field(default_factory=dict)
    last_move: Promise | None = None
    doubtful: bool = False

    def add(self, promise: Promise) -> None:
        key = (promise.kind, promise.key.get("idempotency_key", ""))
        known = self.writes.get(key)
        if known is None or known.outcome != ACKNOWLEDGED:
            self.writes[key] = promise
        if promise.outcome != ACKNOWLEDGED:
            self.doubtful = True
        elif promise.kind == "move":
            self.last_move = promise


def audit(ledger: Path, database: str | Path) -> Audit:
    """Compare the ledger with a SQLite file (a path) or a PostgreSQL database (a ``postgresql://`` URL).

    Nobody should be writing meanwhile.  Raises ``ValueError`` on a damaged ledger, and the driver's errors.
    """
    sessions: dict[str, _Promises] = defaultdict(_Promises)
    for promise in read_ledger(ledger):
        sessions[promise.session_id].add(promise)
    found = Audit()
    with _open(str(database)) as rows:
        for batch in _batches(sessions):
            games = _by(rows("game_sessions", "id", batch), "id")
            moves = _by(rows("moves", "session_id", batch), "session_id")
            for session_id in batch:
                _compare(found, session_id, sessions[session_id], games[session_id], moves[session_id])
        names = {p.fields["player_name"] for s in sessions.values() for p in s.writes.values() if p.fields
                 and p.kind == "session"}  # fmt: skip
        for batch in _batches(names):
            for game in rows("game_sessions", "player_name", batch):
                if game["id"] not in sessions:
                    found.double("session", game["id"], 1, "a game that no player asked for")
    return found


def _compare(
    found: Audit,
    session_id: str,
    promised: _Promises,
    games: list[dict[str, Any]],
    moves: list[dict[str, Any]],
) -> None:
    if len(games) > 1:
        found.double("session", session_id, len(games) - 1, f"{len(games)} rows")
    by_key: dict[str, list[dict[str, Any]]] = _by(moves, "idempotency_key")
    for (kind, key), promise in promised.writes.items():
        present = by_key[key] if kind == "move" else games
        if promise.outcome != ACKNOWLEDGED:
            happened = present and (kind != "completion" or bool(present[0]["finished"]))
            found.unknown_present += bool(happened)
            continue
        found.acknowledged_writes += 1
        if not present:
            found.lose(kind, dict(promise.key), "no row")
        elif differing := _differing(promise.fields, present[0]):
            found.lose(kind, dict(promise.key), differing)
    for key, copies in by_key.items():
        if ("move", key) not in promised.writes:
            found.double("move", [session_id, key], len(copies), "a move that no player asked for")
        elif len(copies) > 1:
            found.double("move", [session_id, key], len(copies) - 1, f"{len(copies)} rows")
    _compare_totals(found, promised, games)


def _compare_totals(found: Audit, promised: _Promises, games: list[dict[str, Any]]) -> None:
    """An unfinished game shows what its last move made of it (a finished one was compared whole)."""
    last = promised.last_move
    if last is None or promised.doubtful or ("completion", "") in promised.writes or not games:
        return
    moves = sum(kind == "move" for kind, _ in promised.writes)
    expected = {
        "score": last.fields["score_after"],
        "streak": last.fields["streak_after"],
        "move_count": moves,
    }
    if differing := _differing(expected, games[0]):
        found.lose("move", dict(last.key), f"the session does not show it: {differing}")


def _differing(expected: Any, row: dict[str, Any]) -> str:
    """The columns whose values are not the expected ones, as text; empty when all agree."""
    wrong = [
        f"{column} is {row[column]!r}, promised {value!r}"
        for column, value in expected.items()
        if _plain(column, row[column]) != _plain(column, value)
    ]
    return "; ".join(wrong)


def _plain(column: str, value: Any) -> Any:
    """One form for what SQLite, PostgreSQL and the API each write in their own way."""
    if value is None:
        return None
    if column.endswith("_at"):
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if column in ("finished", "correct"):
        return bool(value)
    if column == "categories" and isinstance(value, str):
        return json.loads(value)
    return value


def _by(rows: Iterable[dict[str, Any]], column: str) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        grouped[row[column]].append(row)
    return grouped


def _batches(values: Iterable[str]) -> Iterator[list[str]]:
    left = iter(values)
    while batch := list(islice(left, _BATCH)):
        yield batch


@contextmanager
def _open(database: str) -> Iterator[_Rows]:
    """A function that reads the rows whose column has one of the values; UUIDs come as text."""
    if database.startswith(("postgresql://", "postgres://")):
        with psycopg.connect(database, row_factory=dict_row, autocommit=True) as connection:

            def from_postgres(table: str, column: str, values: Sequence[str]) -> list[dict[str, Any]]:
                query = _BY_UUID if column in ("id", "session_id") else _BY_TEXT
                composed = query.format(sql.Identifier(table), sql.Identifier(column))
                result = connection.execute(composed, [list(values)])
                return [_as_text(row) for row in result]

            yield from_postgres
        return
    if not Path(database).is_file():
        raise FileNotFoundError(database)
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as file:
        file.row_factory = sqlite3.Row

        def from_sqlite(table: str, column: str, values: Sequence[str]) -> list[dict[str, Any]]:
            marks = ", ".join("?" * len(values))
            return [
                dict(row)
                for row in file.execute(f"SELECT * FROM {table} WHERE {column} IN ({marks})", values)
            ]

        yield from_sqlite


def _as_text(row: dict[str, Any]) -> dict[str, Any]:
    """UUIDs as text, as the ledger has them."""
    for column in ("session_id", "id"):
        if column in row and not isinstance(row[column], int):
            row[column] = str(row[column])
    return row


def main(arguments: list[str] | None = None) -> int:
    """Print the verdict as JSON; the exit status is 1 when a write was lost or doubled."""
    parser = argparse.ArgumentParser(prog="timeline-audit", description="Ledger against database.")
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--database", required=True, help="a SQLite file or a postgresql:// URL")
    chosen = parser.parse_args(arguments)
    found = audit(chosen.ledger, chosen.database)
    print(json.dumps(asdict(found), indent=2, ensure_ascii=False))
    return 1 if found.lost_writes or found.duplicated_writes else 0


if __name__ == "__main__":
    raise SystemExit(main())
