"""Alembic's entry: runs on the connection that ``migrate`` hands over."""

from __future__ import annotations

from alembic import context

from examples.timeline.backend.models import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
