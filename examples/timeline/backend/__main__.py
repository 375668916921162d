"""``python -m examples.timeline.backend [serve|migrate] --database-url URL [--port N]``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import uvicorn

from examples.timeline.backend.app import Settings, create_app
from examples.timeline.backend.security import KEYS_VARIABLE, read_keys


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, or run the migrations and end."""
    parser = argparse.ArgumentParser(
        prog="timeline-backend",
        description="The Timeline game on PostgreSQL.",
        epilog=f"API keys for /api/admin come from the environment: {KEYS_VARIABLE}=key:admin,other:viewer",
    )
    parser.add_argument("command", nargs="?", choices=["serve", "migrate"], default="serve")
    parser.add_argument("--database-url", required=True, help="postgresql://user:password@host/name")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--migrate", action="store_true", help="run the migrations before serving")
    parser.add_argument("--seed", action="store_true", help="with migrate: add the events if there are none")
    parser.add_argument(
        "--statistics-ttl", type=float, default=5.0, help="seconds for which statistics are kept"
    )
    parser.add_argument(
        "--fault-file",
        type=Path,
        default=os.environ.get("TIMELINE_FAULT_FILE"),
        help="while this file exists, writes fail; reads too if it contains the word reads",
    )
    chosen = parser.parse_args(arguments)
    if chosen.command == "migrate" or chosen.migrate:
        from examples.timeline.backend.migrate import migrate, seed  # Alembic is slow to import

        migrate(chosen.database_url)
        if chosen.seed:
            seed(chosen.database_url)
    if chosen.command == "migrate":
        return
    try:
        keys = read_keys(os.environ.get(KEYS_VARIABLE, ""))
    except ValueError as error:
        parser.error(str(error))
    app = create_app(
        Settings(
            database_url=chosen.database_url,
            statistics_ttl=chosen.statistics_ttl,
            fault_file=Path(chosen.fault_file) if chosen.fault_file else None,
            keys=keys,
        )
    )
    uvicorn.run(
        app,
        host=chosen.host,
        port=chosen.port,
        access_log=False,
        log_level="warning",
        server_header=False,
        headers=[("X-Served-By", "timeline-backend")],
        # held requests come all at once when a router lets them through
        backlog=2048,
        timeout_keep_alive=75,
    )


if __name__ == "__main__":
    main()
