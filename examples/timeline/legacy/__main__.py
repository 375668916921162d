"""``python -m examples.timeline.legacy --database PATH --port N``."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

import waitress  # type: ignore[import-untyped]

from examples.timeline.legacy.app import create_app


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="timeline-legacy", description="The Timeline game on SQLite.")
    parser.add_argument("--database", type=Path, required=True, help="the SQLite file; created if missing")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=12, help="threads that answer requests")
    parser.add_argument(
        "--statistics-ttl", type=float, default=5.0, help="seconds for which statistics are kept"
    )
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    waitress.serve(
        create_app(chosen.database, statistics_ttl=chosen.statistics_ttl),
        host=chosen.host,
        port=chosen.port,
        threads=chosen.threads,
        # held requests come all at once when a router lets them through
        connection_limit=4000,
        backlog=2048,
        asyncore_use_poll=True,
        ident=None,
    )


if __name__ == "__main__":
    main()
