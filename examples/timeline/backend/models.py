"""The tables, as typed SQLAlchemy mappings; the migrations create them."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

INSTANT = TIMESTAMP(timezone=True, precision=3)
"""Milliseconds: what clients are shown, and what cursors are made of."""


class Base(DeclarativeBase):
    """The root of all mappings."""


class EventRow(Base):
    """A card.  ``source`` exists in the new home only."""

    __tablename__ = "events"
    __table_args__ = (Index("events_by_category", "category", "difficulty"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    year: Mapped[int] = mapped_column(Integer)
    category: Mapped[str] = mapped_column(Text)
    difficulty: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text, server_default="")
    created_at: Mapped[datetime] = mapped_column(INSTANT, server_default=func.now())
    source: Mapped[str] = mapped_column(Text, server_default="legacy")


class SessionRow(Base):
    """One game.  ``client`` exists in the new home only."""

    __tablename__ = "game_sessions"
    __table_args__ = (
        Index("game_sessions_by_start", "started_at", "id"),
        Index("game_sessions_by_event", "start_event_id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    player_name: Mapped[str] = mapped_column(Text)
    card_count: Mapped[int] = mapped_column(Integer)
    categories: Mapped[list[str]] = mapped_column(JSONB, server_default="[]")
    difficulty: Mapped[str] = mapped_column(Text, server_default="mixed")
    deck: Mapped[list[int]] = mapped_column(JSONB)
    start_event_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("events.id"))
    started_at: Mapped[datetime] = mapped_column(INSTANT)
    completed_at: Mapped[datetime | None] = mapped_column(INSTANT)
    finished: Mapped[bool] = mapped_column(Boolean, server_default="false")
    score: Mapped[int] = mapped_column(Integer, server_default="0")
    streak: Mapped[int] = mapped_column(Integer, server_default="0")
    best_streak: Mapped[int] = mapped_column(Integer, server_default="0")
    move_count: Mapped[int] = mapped_column(Integer, server_default="0")
    correct_count: Mapped[int] = mapped_column(Integer, server_default="0")
    accuracy: Mapped[float | None] = mapped_column(Double)
    client: Mapped[str] = mapped_column(Text, server_default="web")


Index(
    "game_sessions_by_score",
    SessionRow.finished,
    SessionRow.score.desc(),
    SessionRow.completed_at,
    SessionRow.id,
)


class MoveRow(Base):
    """One card placed."""

    __tablename__ = "moves"
    __table_args__ = (
        UniqueConstraint("session_id", "idempotency_key", name="moves_once"),
        Index("moves_by_event", "event_id"),
        Index("moves_by_time", "placed_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("game_sessions.id", ondelete="CASCADE"))
    event_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("events.id"))
    position: Mapped[int] = mapped_column(Integer)
    correct_position: Mapped[int] = mapped_column(Integer)
    correct: Mapped[bool] = mapped_column(Boolean)
    points: Mapped[int] = mapped_column(Integer, server_default="0")
    score_after: Mapped[int] = mapped_column(Integer)
    streak_after: Mapped[int] = mapped_column(Integer)
    response_ms: Mapped[int | None] = mapped_column(Integer)
    idempotency_key: Mapped[str] = mapped_column(Text)
    placed_at: Mapped[datetime] = mapped_column(INSTANT)


EVENTS: Any = EventRow.__table__
SESSIONS: Any = SessionRow.__table__
MOVES: Any = MoveRow.__table__
