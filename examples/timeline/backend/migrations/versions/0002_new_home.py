"""What only the new home has: where a card and a game came from, and indexes for analytics."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("events", sa.Column("source", sa.Text, nullable=False, server_default="legacy"))
    op.add_column("game_sessions", sa.Column("client", sa.Text, nullable=False, server_default="web"))
    op.create_index("game_sessions_by_event", "game_sessions", ["start_event_id"])
    op.create_index("moves_by_time", "moves", ["placed_at"])


def downgrade() -> None:
    op.drop_index("moves_by_time", "moves")
    op.drop_index("game_sessions_by_event", "game_sessions")
    op.drop_column("game_sessions", "client")
    op.drop_column("events", "source")
