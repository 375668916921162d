"""Playing: the three writes, and reading sessions back."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, tuple_, update
from sqlalchemy.dialects import postgresql

from examples.timeline import rules
from examples.timeline.backend.database import now
from examples.timeline.backend.errors import ApiError, invalid, session_missing
from examples.timeline.backend.models import EVENTS, MOVES, SESSIONS
from examples.timeline.backend.schemas import (
    Card,
    Event,
    Move,
    NewMove,
    NewSession,
    Session,
    SessionDetail,
    SessionPage,
    api_time,
    is_canonical_uuid,
)


def create(db: Connection, wanted: NewSession) -> SessionDetail:
    """Deal a deck.  A session that this client has already created is answered again."""
    row = None
    session_id = uuid.uuid4() if wanted.id is None else uuid.UUID(wanted.id)
    if wanted.id is not None:
        row = db.execute(_BY_ID, {"id": session_id}).one_or_none()
    if row is None:
        deck = _draw(db, wanted)
        # of two requests with one id at the same time, the later one reads what the earlier one wrote
        row = db.execute(
            _NEW_SESSION,
            {
                "id": session_id,
                "player_name": wanted.player_name,
                "card_count": wanted.card_count,
                "categories": wanted.categories,
                "difficulty": wanted.difficulty,
                "deck": [event.id for event in deck],
                "start_event_id": deck[0].id,
                "started_at": now(),
            },
        ).one_or_none()
        if row is not None:
            return _detail(row, deck, {deck[0].id})
        row = db.execute(_BY_ID, {"id": session_id}).one()
    if (row.player_name, row.card_count, row.categories, row.difficulty) != (
        wanted.player_name,
        wanted.card_count,
        wanted.categories,
        wanted.difficulty,
    ):
        raise ApiError(409, "id_in_use", "Another game session has this id.")
    return _read_detail(db, row)


def read(db: Connection, session_id: str) -> SessionDetail:
    """Raises ``ApiError`` (404)."""
    return _read_detail(db, _find(db, session_id))


def page(db: Connection, limit: int, after: tuple[datetime, uuid.UUID] | None) -> SessionPage:
    """Sessions, the latest first."""
    query = select(SESSIONS).order_by(SESSIONS.c.started_at.desc(), SESSIONS.c.id.desc()).limit(limit + 1)
    if after is not None:
        query = query.where(tuple_(SESSIONS.c.started_at, SESSIONS.c.id) < after)
    rows = db.execute(query).all()
    cursor = None
    if len(rows) > limit:
        rows = rows[:limit]
        cursor = f"{api_time(rows[-1].started_at)}~{rows[-1].id}"
    return SessionPage(items=[Session.model_validate(row) for row in rows], next_cursor=cursor)


def move(db: Connection, session_id: str, wanted: NewMove) -> Move:
    """Judge and store a move.  One with a known idempotency key is answered again and writes nothing."""
    session = _find(db, session_id, lock=True)
    moves = db.execute(_MOVES_OF, {"session_id": session.id}).all()
    events = {event.id: event for event in _deck(db, session.deck)}
    known = next((row for row in moves if row.idempotency_key == wanted.idempotency_key), None)
    if known is not None:
        if (known.event_id, known.position) != (wanted.event_id, wanted.position):
            raise ApiError(422, "idempotency_key_reused", "This idempotency key belongs to a different move.")
        return _move(known, events[known.event_id])
    placed = {session.start_event_id} | {row.event_id for row in moves}
    _refuse(session, wanted, events, placed)
    event = events[wanted.event_id]
    years = sorted(events[number].year for number in placed)
    if wanted.position > len(years):
        raise invalid("position")
    correct = rules.is_correct(years, event.year, wanted.position)
    earned = rules.points(event.difficulty, session.streak, wanted.response_ms) if correct else 0
    streak = session.streak + 1 if correct else 0
    count, correct_count = session.move_count + 1, session.correct_count + correct
    stored = db.execute(
        _NEW_MOVE,
        {
            "session_id": session.id,
            "event_id": wanted.event_id,
            "position": wanted.position,
            "correct_position": wanted.position if correct else rules.right_position(years, event.year),
            "correct": correct,
            "points": earned,
            "score_after": session.score + earned,
            "streak_after": streak,
            "response_ms": wanted.response_ms,
            "idempotency_key": wanted.idempotency_key,
            "placed_at": now(),
        },
    ).one()
    db.execute(
        update(SESSIONS).where(SESSIONS.c.id == session.id),
        {
            "score": session.score + earned,
            "streak": streak,
            "best_streak": max(session.best_streak, streak),
            "move_count": count,
            "correct_count": correct_count,
            "accuracy": correct_count / count,
        },
    )
    return _move(stored, event)


def complete(db: Connection, session_id: str) -> Session:
    """End a game.  Completing it again answers the same and writes nothing."""
    row = _find(db, session_id, lock=True)
    if not row.finished:
        score = rules.final_score(row.score, row.move_count, row.correct_count, row.card_count)
        row = db.execute(
            update(SESSIONS).where(SESSIONS.c.id == row.id).returning(SESSIONS),
            {"finished": True, "completed_at": now(), "score": score},
        ).one()
    return Session.model_validate(row)


_BY_ID = select(SESSIONS).where(SESSIONS.c.id == bindparam("id"))
_MOVES_OF = select(MOVES).where(MOVES.c.session_id == bindparam("session_id")).order_by(MOVES.c.id)
_NEW_SESSION = postgresql.insert(SESSIONS).on_conflict_do_nothing(index_elements=["id"]).returning(SESSIONS)
_NEW_MOVE = insert(MOVES).returning(MOVES)


def _find(db: Connection, session_id: str, *, lock: bool = False) -> Any:
    """The session's row.  Raises ``ApiError`` (404)."""
    row = None
    if is_canonical_uuid(session_id):
        query = _BY_ID.with_for_update() if lock else _BY_ID
        row = db.execute(query, {"id": uuid.UUID(session_id)}).one_or_none()
    if row is None:
        raise session_missing()
    return row


def _refuse(session: Any, wanted: NewMove, events: Mapping[int, Any], placed: set[int]) -> None:
    if session.finished:
        raise ApiError(409, "session_finished", "This game session is finished.")
    if wanted.event_id not in events:
        raise ApiError(409, "event_not_dealt", "This event is not in the session's deck.")
    if wanted.event_id in placed:
        raise ApiError(409, "event_already_placed", "This event is on the timeline already.")


def _draw(db: Connection, wanted: NewSession) -> Sequence[Any]:
    query = select(EVENTS).order_by(func.random()).limit(wanted.card_count + 1)
    if wanted.categories:
        query = query.where(EVENTS.c.category.in_(wanted.categories))
    if wanted.difficulty != rules.MIXED:
        query = query.where(EVENTS.c.difficulty == wanted.difficulty)
    rows = db.execute(query).all()
    if len(rows) <= wanted.card_count:
        raise ApiError(409, "not_enough_events", "Too few events fit these settings.")
    return rows


def _deck(db: Connection, numbers: Sequence[int]) -> list[Any]:
    """The events of a deck in the order they were dealt."""
    rows = db.execute(select(EVENTS).where(EVENTS.c.id.in_(numbers)))
    found = {row.id: row for row in rows}
    return [found[number] for number in numbers if number in found]


def _read_detail(db: Connection, row: Any) -> SessionDetail:
    placed = db.execute(select(MOVES.c.event_id).where(MOVES.c.session_id == row.id)).scalars()
    return _detail(row, _deck(db, row.deck), {row.start_event_id, *placed})


def _detail(row: Any, deck: Sequence[Any], placed: set[int]) -> SessionDetail:
    table = sorted((e for e in deck if e.id in placed), key=lambda event: (event.year, event.id))
    return SessionDetail(
        **Session.model_validate(row).__dict__,
        timeline=[Event.model_validate(event) for event in table],
        cards=[Card.model_validate(event) for event in deck if event.id not in placed],
    )


def _move(row: Any, event: Any) -> Move:
    return Move(
        id=row.id,
        session_id=row.session_id,
        event_id=row.event_id,
        position=row.position,
        correct_position=row.correct_position,
        correct=row.correct,
        points=row.points,
        score=row.score_after,
        streak=row.streak_after,
        response_ms=row.response_ms,
        idempotency_key=row.idempotency_key,
        placed_at=row.placed_at,
        event=Event.model_validate(event),
    )
