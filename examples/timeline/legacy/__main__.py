"""``python -m examples.timeline.legacy --database PATH --port N``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]  # it has no types

from examples.timeline.legacy.app import create_app

_IDLE_S = 120
"""Seconds that an idle connection is kept: longer than a router keeps it, so that no request is sent into a
connection that is just being closed."""


class _Server(BaseApplication):  # type: ignore[misc]  # of a class without types
    """One process with a few threads.

    Its threads share one turn at the database (``database.py``); several processes would wait for each other
    in SQLite's own way, which is slower.  The server waits for its connections with epoll: a crowd of held
    requests, let through at once, costs it no more than the same requests one after the other.
    """

    def __init__(self, database: Path, settings: dict[str, Any], statistics_ttl: float) -> None:
        self._database = database
        self._settings = settings
        self._statistics_ttl = statistics_ttl
        super().__init__()

    def load_config(self) -> None:
        """Take the settings as they are."""
        for name, value in self._settings.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Make the app, in the process that serves it."""
        return create_app(self._database, statistics_ttl=self._statistics_ttl)


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="timeline-legacy", description="The Timeline game on SQLite.")
    parser.add_argument("--database", type=Path, required=True, help="the SQLite file; created if missing")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=8, help="threads that answer requests")
    parser.add_argument(
        "--statistics-ttl", type=float, default=5.0, help="seconds for which statistics are kept"
    )
    chosen = parser.parse_args(arguments)
    settings = {
        "bind": f"{chosen.host}:{chosen.port}",
        "workers": 1,
        "worker_class": "gthread",
        "threads": chosen.threads,
        "worker_connections": 4096,
        "backlog": 2048,
        "keepalive": _IDLE_S,
        "graceful_timeout": 5,
        "loglevel": "warning",
        "control_socket_disable": True,
    }
    _Server(chosen.database, settings, chosen.statistics_ttl).run()


if __name__ == "__main__":
    main()
