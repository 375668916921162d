"""One scene for each test, ended by whoever began it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.routers.router_scene import App, Scene, free_port


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "router", App("old"), App("new"), free_port())
    try:
        yield made
    finally:
        for router in made.routers:
            router.stop()
        made.old.stop()
        made.new.stop()
