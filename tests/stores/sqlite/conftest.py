"""Scenes that close themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stores.sqlite.sqlite_scene import Scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    """Makes scenes: ``scene(script, wal=…, name=…)``."""
    made: list[Scene] = []

    def make(script: str = "", *, wal: bool = False, name: str = "app.db") -> Scene:
        made.append(Scene(tmp_path / name, script, wal=wal))
        return made[-1]

    yield make
    for one in made:
        one.close()
