"""Real servers of both apps, each test module with its own databases."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from crossfade.stores.postgres.embedded import EmbeddedPostgres
from examples.timeline.backend.migrate import migrate, seed

ROOT = Path(__file__).resolve().parents[3]
KEYS = {"viewer": "look-key", "editor": "edit-key", "admin": "full-key"}
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Running:
    """A server process of ours and where it answers; ``database`` is a path or a URL."""

    url: str
    database: str
    log: Path
    pid: int


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    module: str, database: str, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Start a module of the example, wait until its health answers, and end it by its process id."""
    port = free_port()
    log = folder / f"{module.rsplit('.', 1)[-1]}-{port}.log"
    option = "--database-url" if module.endswith("backend") else "--database"
    command = [sys.executable, "-m", module, option, database, "--port", str(port), *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=output, env={**os.environ, **(environment or {})}
        )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 30
        while True:
            try:
                httpx.get(f"{url}/api/health", timeout=2)
                break
            except httpx.TransportError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"{module} does not start:\n{log.read_text()}") from None
                time.sleep(0.02)
        yield Running(url, database, log, process.pid)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(20)


@pytest.fixture(scope="module")
def module_postgres(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """A database of this module's own with the migrations run and the events seeded."""
    name = f"timeline{next(_numbers)}"
    with psycopg.connect(postgres_server.url(), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    url = postgres_server.url(name)
    migrate(url)
    seed(url)
    yield url
    with psycopg.connect(postgres_server.url(), autocommit=True) as admin:
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="module")
def legacy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("legacy")
    arguments = ("--statistics-ttl", "0")
    with running("examples.timeline.legacy", str(folder / "game.db"), folder, *arguments) as server:
        yield server


@pytest.fixture(scope="module")
def fault_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The backend's fault switch; it does not exist until a test writes it."""
    return tmp_path_factory.mktemp("fault") / "fault"


@pytest.fixture(scope="module")
def backend(
    module_postgres: str, fault_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    keys = ",".join(f"{key}:{role}" for role, key in KEYS.items())
    with running(
        "examples.timeline.backend",
        module_postgres,
        tmp_path_factory.mktemp("backend"),
        "--statistics-ttl",
        "0",
        "--fault-file",
        str(fault_file),
        environment={"TIMELINE_ADMIN_KEYS": keys},
    ) as server:
        yield server
