"""The JSON answers: rows of the database as clients see them, and errors."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flask import Response

from examples.timeline.legacy.database import read_time


class ApiError(Exception):
    """An answer with a 4xx or 5xx status; ``details`` is a list of ``{"field", "message"}``."""

    def __init__(self, status: int, code: str, message: str, details: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = list(details)


def reply(body: Any, status: int = 200) -> Response:
    """A JSON response, keys in the order given."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Response(text, status, mimetype="application/json")


def error_reply(error: ApiError) -> Response:
    """The body that every error has."""
    inner = {"code": error.code, "message": error.message, "details": error.details}
    return reply({"error": inner}, error.status)


def session_missing() -> ApiError:
    return ApiError(404, "session_not_found", "There is no such game session.")


def event_json(row: sqlite3.Row) -> dict[str, Any]:
    """An event, its year included."""
    return {name: row[name] for name in ("id", "title", "year", "category", "difficulty", "description")}


def card_json(row: sqlite3.Row) -> dict[str, Any]:
    """An event as it is dealt: without its year and the description that may give it away."""
    return {name: row[name] for name in ("id", "title", "category", "difficulty")}


def session_json(row: sqlite3.Row) -> dict[str, Any]:
    """A game session without its cards."""
    return {
        "id": row["id"],
        "player_name": row["player_name"],
        "card_count": row["card_count"],
        "categories": json.loads(row["categories"]),
        "difficulty": row["difficulty"],
        "started_at": _time(row["started_at"]),
        "completed_at": _time(row["completed_at"]) if row["completed_at"] is not None else None,
        "finished": bool(row["finished"]),
        "score": row["score"],
        "streak": row["streak"],
        "best_streak": row["best_streak"],
        "move_count": row["move_count"],
        "correct_count": row["correct_count"],
        "accuracy": row["accuracy"],
    }


def detail_json(row: sqlite3.Row, deck: Sequence[sqlite3.Row], placed: set[int]) -> dict[str, Any]:
    """A game session with what lies on the table and what is in the hand."""
    table = [event for event in deck if event["id"] in placed]
    table.sort(key=lambda event: (event["year"], event["id"]))
    hand = [event for event in deck if event["id"] not in placed]
    return session_json(row) | {
        "timeline": [event_json(event) for event in table],
        "cards": [card_json(event) for event in hand],
    }


def move_json(row: sqlite3.Row, event: sqlite3.Row) -> dict[str, Any]:
    """A move as it was answered the first time."""
    return {
        "id": row["id"],
        "session_id": row["session_id"],
        "event_id": row["event_id"],
        "position": row["position"],
        "correct_position": row["correct_position"],
        "correct": bool(row["correct"]),
        "points": row["points"],
        "score": row["score_after"],
        "streak": row["streak_after"],
        "response_ms": row["response_ms"],
        "idempotency_key": row["idempotency_key"],
        "placed_at": _time(row["placed_at"]),
        "event": event_json(event),
    }


def leader_json(rank: int, row: sqlite3.Row) -> dict[str, Any]:
    """A line of the leaderboard."""
    return {
        "rank": rank,
        "session_id": row["id"],
        "player_name": row["player_name"],
        "score": row["score"],
        "accuracy": row["accuracy"],
        "card_count": row["card_count"],
        "difficulty": row["difficulty"],
        "completed_at": _time(row["completed_at"]),
    }


def api_time(moment: datetime) -> str:
    """UTC with milliseconds: ``2024-05-01T12:34:56.789Z``."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _time(text: str) -> str:
    return api_time(read_time(text))
