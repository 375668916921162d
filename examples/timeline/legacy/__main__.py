"""``python -m examples.timeline.legacy --database PATH --port N``."""

from __future__ import annotations

import argparse
import logging
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
    parser.add_argument("--threads", type=int, default=4, help="threads that answer requests")
    parser.add_argument(
        "--statistics-ttl", type=float, default=5.0, help="seconds for which statistics are kept"
    )
    chosen = parser.parse_args(arguments)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a short queue is no news
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    waitress.serve(
        create_app(chosen.database, statistics_ttl=chosen.statistics_ttl),
        host=chosen.host,
        port=chosen.port,
        threads=chosen.threads,
        # held requests come all at once when a router lets them through; waitress looks at every open
        # connection in each of its turns, so the crowd waits in the kernel's queue
        connection_limit=300,
        backlog=2048,
        asyncore_use_poll=True,
        ident=None,
    )


if __name__ == "__main__":
    main()
