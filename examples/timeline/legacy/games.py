"""Playing: the three writes, and reading a session back.

The writes run inside a transaction that their caller begins and ends.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from examples.timeline import rules
from examples.timeline.legacy.answers import ApiError, detail_json, move_json, session_json, session_missing
from examples.timeline.legacy.database import stored_time
from examples.timeline.legacy.requests import NewMove, NewSession, invalid


def create(db: sqlite3.Connection, wanted: NewSession) -> dict[str, Any]:
    """Deal a deck.  A session that this client has already created is answered again."""
    row = _find(db, wanted.id) if wanted.id is not None else None
    if row is None:
        session_id = wanted.id or str(uuid.uuid4())
        deck = _draw(db, wanted)
        db.execute(
            "INSERT INTO game_sessions (id, player_name, card_count, categories, difficulty, deck,"
            " start_event_id, started_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                session_id,
                wanted.player_name,
                wanted.card_count,
                json.dumps(wanted.categories),
                wanted.difficulty,
                json.dumps(deck),
                deck[0],
                stored_time(datetime.now(UTC)),
            ),
        )
        row = _find(db, session_id)
    elif (row["player_name"], row["card_count"], json.loads(row["categories"]), row["difficulty"]) != (
        wanted.player_name,
        wanted.card_count,
        wanted.categories,
        wanted.difficulty,
    ):
        raise ApiError(409, "id_in_use", "Another game session has this id.")
    return _detail(db, row)


def read(db: sqlite3.Connection, session_id: str) -> dict[str, Any]:
    """Raises ``ApiError`` (404)."""
    row = _find(db, session_id)
    if row is None:
        raise session_missing()
    return _detail(db, row)


def move(db: sqlite3.Connection, session_id: str, wanted: NewMove) -> dict[str, Any]:
    """Judge and store a move.  One with a known idempotency key is answered again and writes nothing."""
    session = _find(db, session_id)
    if session is None:
        raise session_missing()
    moves = db.execute("SELECT * FROM moves WHERE session_id = ? ORDER BY id", (session_id,)).fetchall()
    events = {event["id"]: event for event in _deck(db, session)}
    known = next((m for m in moves if m["idempotency_key"] == wanted.idempotency_key), None)
    if known is not None:
        if (known["event_id"], known["position"]) != (wanted.event_id, wanted.position):
            raise ApiError(422, "idempotency_key_reused", "This idempotency key belongs to a different move.")
        return move_json(known, events[known["event_id"]])
    placed = {session["start_event_id"]} | {m["event_id"] for m in moves}
    _refuse(session, wanted, events, placed)
    event = events[wanted.event_id]
    years = sorted(events[number]["year"] for number in placed)
    if wanted.position > len(years):
        raise invalid([{"field": "position", "message": rules.PROBLEMS["position"]}])
    correct = rules.is_correct(years, event["year"], wanted.position)
    right = wanted.position if correct else rules.right_position(years, event["year"])
    earned = rules.points(event["difficulty"], session["streak"], wanted.response_ms) if correct else 0
    score = session["score"] + earned
    streak = session["streak"] + 1 if correct else 0
    count, correct_count = session["move_count"] + 1, session["correct_count"] + correct
    inserted = db.execute(
        "INSERT INTO moves (session_id, event_id, position, correct_position, correct, points,"
        " score_after, streak_after, response_ms, idempotency_key, placed_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            session_id,
            wanted.event_id,
            wanted.position,
            right,
            correct,
            earned,
            score,
            streak,
            wanted.response_ms,
            wanted.idempotency_key,
            stored_time(datetime.now(UTC)),
        ),
    )
    db.execute(
        "UPDATE game_sessions SET score = ?, streak = ?, best_streak = max(best_streak, ?),"
        " move_count = ?, correct_count = ?, accuracy = ? WHERE id = ?",
        (score, streak, streak, count, correct_count, correct_count / count, session_id),
    )
    stored = db.execute("SELECT * FROM moves WHERE id = ?", (inserted.lastrowid,)).fetchone()
    return move_json(stored, event)


def complete(db: sqlite3.Connection, session_id: str) -> dict[str, Any]:
    """End a game.  Completing it again answers the same and writes nothing."""
    row = _find(db, session_id)
    if row is None:
        raise session_missing()
    if not row["finished"]:
        score = rules.final_score(row["score"], row["move_count"], row["correct_count"], row["card_count"])
        db.execute(
            "UPDATE game_sessions SET finished = 1, completed_at = ?, score = ? WHERE id = ?",
            (stored_time(datetime.now(UTC)), score, session_id),
        )
        row = _find(db, session_id)
    return session_json(row)


def _refuse(session: sqlite3.Row, wanted: NewMove, events: dict[int, sqlite3.Row], placed: set[int]) -> None:
    if session["finished"]:
        raise ApiError(409, "session_finished", "This game session is finished.")
    if wanted.event_id not in events:
        raise ApiError(409, "event_not_dealt", "This event is not in the session's deck.")
    if wanted.event_id in placed:
        raise ApiError(409, "event_already_placed", "This event is on the timeline already.")


def _draw(db: sqlite3.Connection, wanted: NewSession) -> list[int]:
    conditions, values = ["1"], []
    if wanted.categories:
        conditions.append(f"category IN ({', '.join('?' * len(wanted.categories))})")
        values.extend(wanted.categories)
    if wanted.difficulty != rules.MIXED:
        conditions.append("difficulty = ?")
        values.append(wanted.difficulty)
    rows = db.execute(
        f"SELECT id FROM events WHERE {' AND '.join(conditions)} ORDER BY random() LIMIT ?",
        (*values, wanted.card_count + 1),
    ).fetchall()
    if len(rows) <= wanted.card_count:
        raise ApiError(409, "not_enough_events", "Too few events fit these settings.")
    return [row["id"] for row in rows]


def _find(db: sqlite3.Connection, session_id: str | None) -> Any:
    return db.execute("SELECT * FROM game_sessions WHERE id = ?", (session_id,)).fetchone()


def _deck(db: sqlite3.Connection, session: sqlite3.Row) -> Sequence[sqlite3.Row]:
    """The events of a deck in the order they were dealt."""
    numbers = json.loads(session["deck"])
    marks = ", ".join("?" * len(numbers))
    rows = db.execute(f"SELECT * FROM events WHERE id IN ({marks})", numbers).fetchall()
    found = {row["id"]: row for row in rows}
    return [found[number] for number in numbers if number in found]


def _detail(db: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any]:
    moves = db.execute("SELECT event_id FROM moves WHERE session_id = ?", (row["id"],))
    return detail_json(row, _deck(db, row), {row["start_event_id"]} | {m["event_id"] for m in moves})
