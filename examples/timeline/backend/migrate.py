"""Runs the migrations, from anywhere and without an ini file."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, insert, select

from examples.timeline.backend.database import dialect_url, now
from examples.timeline.backend.models import EVENTS
from examples.timeline.events import load_events

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(url: str, *, revision: str = "head") -> None:
    """Upgrade the schema to ``revision``, in one transaction."""
    engine = create_engine(dialect_url(url))
    try:
        with engine.begin() as connection:
            config = Config()
            config.set_main_option("script_location", str(MIGRATIONS))
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    finally:
        engine.dispose()


def seed(url: str) -> int:
    """Put the game's events into an empty table; returns how many were put in."""
    engine = create_engine(dialect_url(url))
    try:
        with engine.begin() as connection:
            if connection.execute(select(EVENTS.c.id).limit(1)).first() is not None:
                return 0
            made = now()
            rows = [
                {
                    "title": event.title,
                    "year": event.year,
                    "category": event.category,
                    "difficulty": event.difficulty,
                    "description": event.description,
                    "created_at": made,
                    "source": "seed",
                }
                for event in load_events()
            ]
            connection.execute(insert(EVENTS), rows)
            return len(rows)
    finally:
        engine.dispose()
