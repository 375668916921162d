"""The tables of the game, as the legacy app has them, in PostgreSQL's own types."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = TIMESTAMP(timezone=True, precision=3)


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("year", sa.Integer, nullable=False),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("difficulty", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False, server_default=""),
        sa.Column("created_at", INSTANT, nullable=False, server_default=sa.func.now()),
    )
    op.create_index("events_by_category", "events", ["category", "difficulty"])
    op.create_table(
        "game_sessions",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("player_name", sa.Text, nullable=False),
        sa.Column("card_count", sa.Integer, nullable=False),
        sa.Column("categories", JSONB, nullable=False, server_default="[]"),
        sa.Column("difficulty", sa.Text, nullable=False, server_default="mixed"),
        sa.Column("deck", JSONB, nullable=False),
        sa.Column("start_event_id", sa.BigInteger, sa.ForeignKey("events.id"), nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("completed_at", INSTANT),
        sa.Column("finished", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("score", sa.Integer, nullable=False, server_default="0"),
        sa.Column("streak", sa.Integer, nullable=False, server_default="0"),
        sa.Column("best_streak", sa.Integer, nullable=False, server_default="0"),
        sa.Column("move_count", sa.Integer, nullable=False, server_default="0"),
        sa.Column("correct_count", sa.Integer, nullable=False, server_default="0"),
        sa.Column("accuracy", sa.Double),
    )
    op.create_index(
        "game_sessions_by_score", "game_sessions", ["finished", sa.text("score DESC"), "completed_at", "id"]
    )
    op.create_index("game_sessions_by_start", "game_sessions", ["started_at", "id"])
    op.create_table(
        "moves",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column(
            "session_id", sa.Uuid, sa.ForeignKey("game_sessions.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("event_id", sa.BigInteger, sa.ForeignKey("events.id"), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("correct_position", sa.Integer, nullable=False),
        sa.Column("correct", sa.Boolean, nullable=False),
        sa.Column("points", sa.Integer, nullable=False, server_default="0"),
        sa.Column("score_after", sa.Integer, nullable=False),
        sa.Column("streak_after", sa.Integer, nullable=False),
        sa.Column("response_ms", sa.Integer),
        sa.Column("idempotency_key", sa.Text, nullable=False),
        sa.Column("placed_at", INSTANT, nullable=False),
        sa.UniqueConstraint("session_id", "idempotency_key", name="moves_once"),
    )
    op.create_index("moves_by_event", "moves", ["event_id"])


def downgrade() -> None:
    for table in ("moves", "game_sessions", "events"):
        op.drop_table(table)
