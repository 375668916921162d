"""Statistics, the leaderboard and analytics."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from examples.timeline.backend import figures
from examples.timeline.backend.database import Database
from examples.timeline.backend.errors import documented
from examples.timeline.backend.routes.asked import Db, Limit, OfDifficulty, reply
from examples.timeline.backend.schemas import Analytics, Leaderboard, Statistics

router = APIRouter(prefix="/api", tags=["figures"])


class KeptStatistics:
    """Statistics that are computed at most once in ``ttl`` seconds."""

    def __init__(self, ttl: float) -> None:
        self._ttl = ttl
        self._until = 0.0
        self._answer: Statistics | None = None

    def read(self, db: Database) -> Statistics:
        """The kept answer while it is young enough, or a fresh one."""
        answer = self._answer
        if answer is None or time.monotonic() >= self._until:
            with db.reading() as connection:
                answer = self._answer = figures.statistics(connection)
            self._until = time.monotonic() + self._ttl
        return answer


@router.get("/statistics", response_model=Statistics, responses=documented(503))
def statistics(db: Db, request: Request) -> Response:
    """Totals over all games; they may be a few seconds old."""
    kept: KeptStatistics = request.app.state.statistics
    return reply(kept.read(db))


@router.get("/leaderboard", response_model=Leaderboard, responses=documented(422, 503))
def leaderboard(db: Db, limit: Limit = 10, difficulty: OfDifficulty = None) -> Response:
    """The best finished games."""
    with db.reading() as connection:
        return reply(figures.leaderboard(connection, limit, difficulty))


@router.get("/analytics", response_model=Analytics, responses=documented(422, 503))
def analytics(db: Db, days: Annotated[int, Query(ge=1, le=3660)] = 30) -> Response:
    """Games a day, accuracy by category and difficulty, and how far off moves were."""
    with db.reading() as connection:
        return reply(figures.analytics(connection, days))
