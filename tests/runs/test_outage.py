"""The state database goes away and comes back: what runs goes on, and is found again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from crossfade.runs.results import Outcome
from crossfade.stores.postgres.embedded import EmbeddedPostgres
from tests.runs.scene import Nursery, Scene, until

WAITS = "Database connection failed: (psycopg.OperationalError) connection is bad"
"""What DBOS says when it is going to try again."""


def engine_log(folder: Path) -> str:
    path = folder / "state-w1" / "engine.log"
    return path.read_text() if path.exists() else ""


class Server:
    """A server of its own, whose address stays the same when it is started again."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._server = EmbeddedPostgres(base / "d", durable=False)
        self._link = base / "s"

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self._link}"

    def start(self) -> None:
        host = self._server.start().url().rpartition("host=")[2]
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(host)

    def stop(self) -> None:
        self._server.stop()


@pytest.fixture
def server() -> Iterator[Server]:
    base = Path(tempfile.mkdtemp(prefix="cfo", dir="/tmp"))
    base.chmod(0o755)
    made = Server(base)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(base, ignore_errors=True)


def test_a_command_that_ends_while_the_database_is_away_counts(
    tmp_path: Path, nursery: Nursery, server: Server
) -> None:
    scene = Scene(tmp_path, nursery, server.url)
    text = """# Outage

**Task 1: Long**
- **Run**: `EFFECT; while [ ! -e go ]; do sleep 0.02; done; echo end >> ends`

**Task 2: After**
- **Run**: `EFFECT`
- **Dependencies**: Task 1
"""
    try:
        scene.make(text)
        scene.worker()
        until(lambda: scene.effects(), "the command runs")
        server.stop()
        (tmp_path / "go").touch()
        [result] = until(
            lambda: list(tmp_path.glob("state-w1/runs/*/1/1-0.json")), "the runner keeps its result"
        )
        assert result.exists()
        # a socket that is not there was no lost connection to DBOS: the flow ended, and the run stood for ever
        until(lambda: WAITS in engine_log(tmp_path), "the flow waits for the database", 30.0)
        server.start()
        assert scene.wait().outcome is Outcome.DONE
        assert scene.effects() == ["1", "2"]
        assert scene.lines("ends") == ["end"]
        assert len(scene.evidence("task.done")) == 2
    finally:
        scene.close()
