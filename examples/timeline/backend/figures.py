"""Statistics, the leaderboard and analytics."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import BigInteger, Connection, Date, case, cast, func, select

from examples.timeline import rules
from examples.timeline.backend.database import now
from examples.timeline.backend.models import EVENTS, MOVES, SESSIONS
from examples.timeline.backend.schemas import (
    AccuracyFigures,
    Analytics,
    DayFigures,
    DifficultyFigures,
    Leader,
    Leaderboard,
    Statistics,
)

_FINISHED_SCORE = case((SESSIONS.c.finished, SESSIONS.c.score))
_BY_DIFFICULTY = select(
    SESSIONS.c.difficulty,
    func.count().label("sessions"),
    func.count().filter(SESSIONS.c.finished).label("finished"),
    func.sum(SESSIONS.c.move_count).label("moves"),
    func.sum(SESSIONS.c.correct_count).label("correct"),
    func.coalesce(func.sum(_FINISHED_SCORE), 0).label("score"),
    func.coalesce(func.max(_FINISHED_SCORE), 0).label("best"),
).group_by(SESSIONS.c.difficulty)


def statistics(db: Connection) -> Statistics:
    """Totals over all sessions, and by difficulty; averages are over finished sessions."""
    rows = {row.difficulty: row for row in db.execute(_BY_DIFFICULTY)}

    def total(name: str) -> int:
        return sum(getattr(row, name) for row in rows.values())

    return Statistics(
        sessions=total("sessions"),
        finished_sessions=total("finished"),
        moves=total("moves"),
        correct_moves=total("correct"),
        accuracy=_ratio(total("correct"), total("moves")),
        average_score=_ratio(total("score"), total("finished")),
        best_score=max((row.best for row in rows.values()), default=0),
        by_difficulty=[
            DifficultyFigures(
                difficulty=name,
                sessions=rows[name].sessions,
                finished_sessions=rows[name].finished,
                accuracy=_ratio(rows[name].correct, rows[name].moves),
                average_score=_ratio(rows[name].score, rows[name].finished),
            )
            for name in (*rules.DIFFICULTIES, rules.MIXED)
            if name in rows
        ],
    )


def leaderboard(db: Connection, limit: int, difficulty: str | None) -> Leaderboard:
    """The best finished sessions; of equal scores the earlier one first."""
    columns = SESSIONS.c
    query = (
        select(
            columns.id.label("session_id"),
            columns.player_name,
            columns.score,
            columns.accuracy,
            columns.card_count,
            columns.difficulty,
            columns.completed_at,
        )
        .where(columns.finished)
        .order_by(columns.score.desc(), columns.completed_at, columns.id)
        .limit(limit)
    )
    if difficulty is not None:
        query = query.where(columns.difficulty == difficulty)
    rows = db.execute(query).mappings()
    return Leaderboard(items=[Leader(rank=rank, **row) for rank, row in enumerate(rows, start=1)])


def analytics(db: Connection, days: int) -> Analytics:
    """The last ``days`` days up to now."""
    since = now() - timedelta(days=days)
    day = cast(SESSIONS.c.started_at, Date)  # the connection's time zone is UTC
    games = db.execute(
        select(
            day.label("day"),
            func.count().label("started"),
            func.count().filter(SESSIONS.c.finished).label("finished"),
        )
        .where(SESSIONS.c.started_at >= since)
        .group_by(day)
        .order_by(day)
    ).mappings()
    off_by = func.abs(MOVES.c.position - MOVES.c.correct_position)
    kinds = db.execute(
        select(
            EVENTS.c.category,
            EVENTS.c.difficulty,
            func.count().label("moves"),
            func.count().filter(MOVES.c.correct).label("correct"),
            func.sum(off_by).label("off_by"),
            func.count(MOVES.c.response_ms).label("timed"),
            func.coalesce(cast(func.sum(MOVES.c.response_ms), BigInteger), 0).label("response_ms"),
        )
        .join_from(MOVES, EVENTS)
        .where(MOVES.c.placed_at >= since)
        .group_by(EVENTS.c.category, EVENTS.c.difficulty)
        .order_by(EVENTS.c.category, EVENTS.c.difficulty)
    ).all()
    return Analytics(
        days=days,
        games_per_day=[DayFigures(**row) for row in games],
        accuracy=[_kind(row) for row in kinds],
        moves=sum(row.moves for row in kinds),
        mean_placement_error=_ratio(sum(r.off_by for r in kinds), sum(r.moves for r in kinds)),
        mean_response_ms=_ratio(sum(r.response_ms for r in kinds), sum(r.timed for r in kinds)),
    )


def _kind(row: Any) -> AccuracyFigures:
    return AccuracyFigures(
        category=row.category,
        difficulty=row.difficulty,
        moves=row.moves,
        correct=row.correct,
        accuracy=row.correct / row.moves,
        mean_placement_error=row.off_by / row.moves,
    )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
