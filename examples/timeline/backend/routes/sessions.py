"""Game sessions and moves."""

from __future__ import annotations

from fastapi import APIRouter, Response

from examples.timeline import rules
from examples.timeline.backend import games
from examples.timeline.backend.errors import documented
from examples.timeline.backend.routes.asked import Cursor, Db, Limit, reply, session_cursor
from examples.timeline.backend.schemas import Move, NewMove, NewSession, Session, SessionDetail, SessionPage

router = APIRouter(prefix="/api/game-sessions", tags=["game sessions"])


@router.get("", response_model=SessionPage, responses=documented(422, 503))
def sessions(db: Db, limit: Limit = rules.PAGE_DEFAULT, cursor: Cursor = None) -> Response:
    """Sessions, the latest first."""
    after = session_cursor(cursor)
    with db.reading() as connection:
        return reply(games.page(connection, limit, after))


@router.post("", response_model=SessionDetail, status_code=201, responses=documented(400, 409, 422, 503))
def create(db: Db, wanted: NewSession) -> Response:
    """Start a game: one card on the table, the others in the hand."""
    with db.writing() as connection:
        answer = games.create(connection, wanted)
    return reply(answer, 201)


@router.get("/{session_id}", response_model=SessionDetail, responses=documented(404, 503))
def read(db: Db, session_id: str) -> Response:
    """A session with its timeline and its hand."""
    with db.reading() as connection:
        return reply(games.read(connection, session_id))


@router.post(
    "/{session_id}/moves",
    response_model=Move,
    status_code=201,
    responses=documented(400, 404, 409, 422, 503),
)
def move(db: Db, session_id: str, wanted: NewMove) -> Response:
    """Place a card.  A repeated idempotency key gets the first answer again."""
    with db.writing() as connection:
        answer = games.move(connection, session_id, wanted)
    return reply(answer, 201)


@router.post("/{session_id}/complete", response_model=Session, responses=documented(404, 503))
def complete(db: Db, session_id: str) -> Response:
    """End a game.  Safe to repeat."""
    with db.writing() as connection:
        answer = games.complete(connection, session_id)
    return reply(answer)
