"""Moves that many tests begin with: both sides copied and verified, the old one leads, nobody follows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import scene as scenes
from tests.e2e.scene import Scene


@pytest.fixture
def scene(tmp_path: Path, postgres_url: str) -> Iterator[Scene]:
    """With applications and a router."""
    with scenes.verified(tmp_path, postgres_url) as scene:
        yield scene


@pytest.fixture
def bare(tmp_path: Path, postgres_url: str) -> Scene:
    """Two databases and nothing else."""
    return scenes.bare(tmp_path, postgres_url)
