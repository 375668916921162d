"""The events: drawn and listed for players, created, changed and deleted by editors."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from examples.timeline import rules
from examples.timeline.backend.database import now
from examples.timeline.backend.errors import ApiError, invalid
from examples.timeline.backend.models import EVENTS
from examples.timeline.backend.schemas import (
    AdminEvent,
    AdminEventPage,
    Categories,
    CategoryCount,
    Event,
    EventChange,
    EventPage,
    NewEvent,
)


def draw(db: Connection, count: int, category: str | None, difficulty: str | None) -> EventPage:
    """``count`` events at random, or all when there are fewer."""
    query = _chosen(category, difficulty).order_by(func.random()).limit(count)
    return EventPage(items=[Event.model_validate(row) for row in db.execute(query)], next_cursor=None)


def page(db: Connection, limit: int, after: int, category: str | None, difficulty: str | None) -> EventPage:
    """Events by id, those after ``after``."""
    query = _chosen(category, difficulty).where(EVENTS.c.id > after).order_by(EVENTS.c.id)
    rows = db.execute(query.limit(limit + 1)).all()
    return EventPage(
        items=[Event.model_validate(row) for row in rows[:limit]],
        next_cursor=str(rows[limit - 1].id) if len(rows) > limit else None,
    )


def categories(db: Connection) -> Categories:
    """How many events each category has."""
    query = (
        select(EVENTS.c.category.label("name"), func.count().label("events"))
        .group_by(EVENTS.c.category)
        .order_by(EVENTS.c.category)
    )
    return Categories(items=[CategoryCount.model_validate(row) for row in db.execute(query)])


def admin_page(db: Connection, limit: int, after: int) -> AdminEventPage:
    """Events by id with all their columns, those after ``after``."""
    query = select(EVENTS).where(EVENTS.c.id > after).order_by(EVENTS.c.id).limit(limit + 1)
    rows = db.execute(query).all()
    return AdminEventPage(
        items=[AdminEvent.model_validate(row) for row in rows[:limit]],
        next_cursor=str(rows[limit - 1].id) if len(rows) > limit else None,
    )


def read(db: Connection, event_id: int) -> AdminEvent:
    """Raises ``ApiError`` (404)."""
    row = db.execute(select(EVENTS).where(EVENTS.c.id == event_id)).one_or_none()
    if row is None:
        raise _missing()
    return AdminEvent.model_validate(row)


def create(db: Connection, wanted: NewEvent) -> AdminEvent:
    values = wanted.model_dump() | {"created_at": now()}
    return AdminEvent.model_validate(db.execute(insert(EVENTS).returning(EVENTS), values).one())


def change(db: Connection, event_id: int, wanted: EventChange) -> AdminEvent:
    """Set the given fields.  Raises ``ApiError`` (404; 422 for a field that is null)."""
    values = wanted.model_dump(exclude_unset=True)
    empty = [name for name, value in values.items() if value is None]
    if empty:
        raise invalid(*empty)
    if not values:
        return read(db, event_id)
    query = update(EVENTS).where(EVENTS.c.id == event_id).returning(EVENTS)
    row = db.execute(query, values).one_or_none()
    if row is None:
        raise _missing()
    return AdminEvent.model_validate(row)


def remove(db: Connection, event_id: int) -> None:
    """Raises ``ApiError`` (404; 409 when a game has used the event)."""
    try:
        gone = db.execute(delete(EVENTS).where(EVENTS.c.id == event_id))
    except IntegrityError:
        raise ApiError(409, "event_in_use", "A game has used this event, so it stays.") from None
    if gone.rowcount == 0:
        raise _missing()


def _missing() -> ApiError:
    return ApiError(404, "event_not_found", "There is no such event.")


def _chosen(category: str | None, difficulty: str | None) -> Select[Any]:
    query = select(EVENTS)
    if category is not None:
        query = query.where(EVENTS.c.category == category)
    if difficulty is not None and difficulty != rules.MIXED:
        query = query.where(EVENTS.c.difficulty == difficulty)
    return query
