"""Health, events and categories."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from examples.timeline import rules
from examples.timeline.backend import cards
from examples.timeline.backend.errors import documented
from examples.timeline.backend.routes.asked import (
    Cursor,
    Db,
    InCategory,
    Limit,
    OfDifficulty,
    event_cursor,
    reply,
)
from examples.timeline.backend.schemas import Categories, EventPage, Health

router = APIRouter(prefix="/api", tags=["events"])


@router.get("/health", response_model=Health, responses={503: {"model": Health}})
def health(db: Db) -> Response:
    """Whether the database can be read.  It writes nothing, so it answers where writes are refused."""
    if db.reachable():
        return reply(Health(status="ok", database="reachable"))
    return reply(Health(status="unavailable", database="unreachable"), 503)


@router.get("/events", response_model=EventPage, responses=documented(422, 503))
def events(
    db: Db,
    count: Annotated[int | None, Query(ge=1, le=rules.PAGE_MOST, description="Draw at random.")] = None,
    limit: Limit = rules.PAGE_DEFAULT,
    category: InCategory = None,
    difficulty: OfDifficulty = None,
    cursor: Cursor = None,
) -> Response:
    """A page of events, or ``count`` of them at random."""
    if count is not None:
        with db.reading() as connection:
            return reply(cards.draw(connection, count, category, difficulty))
    after = event_cursor(cursor)
    with db.reading() as connection:
        return reply(cards.page(connection, limit, after, category, difficulty))


@router.get("/categories", response_model=Categories, responses=documented(503))
def categories(db: Db) -> Response:
    """The categories, and how many events each has."""
    with db.reading() as connection:
        return reply(cards.categories(connection))
