"""The embedded server starts on an empty directory, keeps its data, and ends with its owner's word."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from crossfade.errors import StoreError
from crossfade.stores.postgres.embedded import EmbeddedPostgres
from tests.stores.postgres.scene import app


@pytest.fixture
def place() -> Iterator[Path]:
    base = Path(tempfile.mkdtemp(prefix="cft", dir="/tmp"))
    base.chmod(0o755)
    yield base
    shutil.rmtree(base, ignore_errors=True)


def test_data_outlives_the_server(place: Path) -> None:
    with EmbeddedPostgres(place / "d") as server:
        first = server.pid
        with app(server.url()) as c:
            c.execute("CREATE TABLE a (id int); INSERT INTO a VALUES (1)")
            assert c.execute("SHOW listen_addresses").fetchone() == ("",)
            row = c.execute("SHOW max_prepared_transactions").fetchone()
            assert row is not None
            assert int(row[0]) > 0
            socket = Path(server.url().partition("host=")[2])
    assert first is not None
    assert not psutil.pid_exists(first)
    assert not socket.exists()
    with pytest.raises(StoreError):
        server.url()
    with EmbeddedPostgres(place / "d", durable=False) as server, app(server.url()) as c:
        assert c.execute("SELECT id FROM a").fetchone() == (1,)


def test_a_server_whose_owner_died_is_taken_over(place: Path) -> None:
    first = EmbeddedPostgres(place / "d", durable=False).start()
    pid = first.pid
    with EmbeddedPostgres(place / "d") as second:
        assert second.pid == pid
        with app(second.url()) as c:
            assert c.execute("SELECT 1").fetchone() == (1,)
    first.stop()
    with EmbeddedPostgres(place / "d") as third:  # a stale pid file is no obstacle
        assert third.pid != pid


def test_a_directory_that_is_no_database_is_refused(place: Path) -> None:
    (place / "d").mkdir()
    (place / "d" / "file").write_text("x")
    server = EmbeddedPostgres(place / "d")
    with pytest.raises(StoreError, match="initdb failed"):
        server.start()
    assert server.pid is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_can_run_it(place: Path) -> None:
    shutil.chown(place, "nobody")
    code = (
        "from pathlib import Path; import sys, psycopg\n"
        "from crossfade.stores.postgres.embedded import EmbeddedPostgres\n"
        f"with EmbeddedPostgres(Path({str(place / 'd')!r})) as s:\n"
        "    print(psycopg.connect(s.url()).execute('SELECT 1').fetchone()[0])\n"
    )
    command = [sys.executable, "-c", code]
    try:
        done = subprocess.run(command, user="nobody", cwd="/", capture_output=True, text=True, check=False)
    except PermissionError:
        pytest.skip("another user cannot read this Python")
    assert done.stdout.strip() == "1", done.stderr
