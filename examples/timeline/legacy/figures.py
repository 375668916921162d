"""Statistics and the leaderboard."""

from __future__ import annotations

import sqlite3
from typing import Any

from examples.timeline import rules
from examples.timeline.legacy.answers import leader_json

_SUMS = (
    "count(*) AS sessions, coalesce(sum(finished), 0) AS finished, coalesce(sum(move_count), 0) AS moves,"
    " coalesce(sum(correct_count), 0) AS correct,"
    " coalesce(sum(CASE WHEN finished THEN score END), 0) AS score,"
    " coalesce(max(CASE WHEN finished THEN score END), 0) AS best"
)


def statistics(db: sqlite3.Connection) -> dict[str, Any]:
    """Totals over all sessions, and by difficulty; averages are over finished sessions."""
    rows = {
        row["difficulty"]: row
        for row in db.execute(f"SELECT difficulty, {_SUMS} FROM game_sessions GROUP BY difficulty")
    }

    def total(name: str) -> int:
        return sum(row[name] for row in rows.values())

    return {
        "sessions": total("sessions"),
        "finished_sessions": total("finished"),
        "moves": total("moves"),
        "correct_moves": total("correct"),
        "accuracy": _ratio(total("correct"), total("moves")),
        "average_score": _ratio(total("score"), total("finished")),
        "best_score": max((row["best"] for row in rows.values()), default=0),
        "by_difficulty": [
            {
                "difficulty": name,
                "sessions": rows[name]["sessions"],
                "finished_sessions": rows[name]["finished"],
                "accuracy": _ratio(rows[name]["correct"], rows[name]["moves"]),
                "average_score": _ratio(rows[name]["score"], rows[name]["finished"]),
            }
            for name in (*rules.DIFFICULTIES, rules.MIXED)
            if name in rows
        ],
    }


def leaderboard(db: sqlite3.Connection, limit: int, difficulty: str | None) -> dict[str, Any]:
    """The best finished sessions; of equal scores the earlier one first."""
    narrower = "" if difficulty is None else " AND difficulty = ?"
    rows = db.execute(
        "SELECT id, player_name, score, accuracy, card_count, difficulty, completed_at FROM game_sessions"
        f" WHERE finished = 1{narrower} ORDER BY score DESC, completed_at, id LIMIT ?",
        (limit,) if difficulty is None else (difficulty, limit),
    )
    return {"items": [leader_json(rank, row) for rank, row in enumerate(rows, start=1)]}


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
