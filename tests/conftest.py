"""Servers that many tests share: one embedded PostgreSQL, and a fresh database for each test."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from crossfade.stores.postgres.embedded import EmbeddedPostgres
from tests.ending import end_all_in, those_in

_numbers = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No process outlives the tests."""
    folder = tmp_path_factory.getbasetemp()
    yield
    left = [f"{process.pid}: {' '.join(process.cmdline())}" for process in those_in(folder)]
    end_all_in(folder)
    assert not left, "tests left processes behind:\n" + "\n".join(left)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """One embedded PostgreSQL 18 for the whole run; not durable, prepared transactions allowed."""
    base = Path(tempfile.mkdtemp(prefix="cft", dir="/tmp"))
    base.chmod(0o755)
    server = EmbeddedPostgres(base / "d", durable=False, settings={"autovacuum_naptime": "1h"})
    try:
        yield server.start()
    finally:
        server.stop()
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """The address of an empty database of this test's own."""
    name = f"t{next(_numbers)}"
    with psycopg.connect(postgres_server.url(), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    yield postgres_server.url(name)
    with psycopg.connect(postgres_server.url(), autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        for (gid,) in admin.execute(
            "SELECT gid FROM pg_prepared_xacts WHERE database = %s", [name]
        ).fetchall():
            with psycopg.connect(postgres_server.url(name), autocommit=True) as inside:
                inside.execute(f"ROLLBACK PREPARED '{gid}'")
        admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
