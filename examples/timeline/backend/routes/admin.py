"""Editing the cards, with an API key."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response

from examples.timeline import rules
from examples.timeline.backend import cards
from examples.timeline.backend.errors import documented
from examples.timeline.backend.routes.asked import Cursor, Db, Limit, event_cursor, reply
from examples.timeline.backend.schemas import AdminEvent, AdminEventPage, EventChange, NewEvent
from examples.timeline.backend.security import Role, needs

router = APIRouter(
    prefix="/api/admin/events", tags=["admin"], responses=documented(401, 403), dependencies=[]
)


@router.get("", response_model=AdminEventPage, dependencies=[Depends(needs(Role.VIEWER))])
def events(db: Db, limit: Limit = rules.PAGE_DEFAULT, cursor: Cursor = None) -> Response:
    """A page of events with all their columns."""
    after = event_cursor(cursor)
    with db.reading() as connection:
        return reply(cards.admin_page(connection, limit, after))


@router.get(
    "/{event_id}",
    response_model=AdminEvent,
    responses=documented(404),
    dependencies=[Depends(needs(Role.VIEWER))],
)
def event(db: Db, event_id: int) -> Response:
    """One event."""
    with db.reading() as connection:
        return reply(cards.read(connection, event_id))


@router.post(
    "",
    response_model=AdminEvent,
    status_code=201,
    responses=documented(422),
    dependencies=[Depends(needs(Role.EDITOR))],
)
def create(db: Db, wanted: NewEvent) -> Response:
    """Add an event."""
    with db.writing() as connection:
        answer = cards.create(connection, wanted)
    return reply(answer, 201)


@router.patch(
    "/{event_id}",
    response_model=AdminEvent,
    responses=documented(404, 422),
    dependencies=[Depends(needs(Role.EDITOR))],
)
def change(db: Db, event_id: int, wanted: EventChange) -> Response:
    """Change some fields of an event."""
    with db.writing() as connection:
        answer = cards.change(connection, event_id, wanted)
    return reply(answer)


@router.delete(
    "/{event_id}",
    status_code=204,
    responses=documented(404, 409),
    dependencies=[Depends(needs(Role.ADMIN))],
)
def remove(db: Db, event_id: int) -> Response:
    """Delete an event that no game has used."""
    with db.writing() as connection:
        cards.remove(connection, event_id)
    return Response(status_code=204)
