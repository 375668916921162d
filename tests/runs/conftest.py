"""Scenes of runs, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs.scene import Nursery, Scene


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Workers in a moment."""
    made = Nursery()
    yield made
    made.close()


@pytest.fixture
def scene(tmp_path: Path, nursery: Nursery) -> Iterator[Scene]:
    """A scene that keeps its state in SQLite."""
    made = Scene(tmp_path, nursery)
    yield made
    made.close()


@pytest.fixture
def postgres_scene(tmp_path: Path, nursery: Nursery, postgres_url: str) -> Iterator[Scene]:
    """A scene that keeps its state in PostgreSQL."""
    made = Scene(tmp_path, nursery, postgres_url)
    yield made
    made.close()
