"""The FastAPI application, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio.to_thread
from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from examples.timeline.backend.database import POOL_SIZE, Database
from examples.timeline.backend.errors import add_handlers
from examples.timeline.backend.faults import InjectedFaults
from examples.timeline.backend.routes import admin, events, figures, sessions
from examples.timeline.backend.security import Role

WEB = Path(__file__).parents[1] / "web"


@dataclass(frozen=True)
class Settings:
    """How the app runs.  ``statistics_ttl`` is in seconds; ``keys`` are the API keys and their roles."""

    database_url: str
    statistics_ttl: float = 5.0
    fault_file: Path | None = None
    keys: dict[str, Role] = field(default_factory=dict)


def create_app(settings: Settings) -> FastAPI:
    """The application on a database whose migrations have been run.  Starting it writes nothing."""
    database = Database(settings.database_url)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        # a thread without a connection could only wait for one
        anyio.to_thread.current_default_thread_limiter().total_tokens = POOL_SIZE
        yield
        database.close()

    app = FastAPI(
        title="Timeline",
        version="2.0.0",
        description="Put historical events in order.",
        lifespan=life,
        redirect_slashes=False,
        strict_content_type=False,
    )
    app.state.database = database
    app.state.statistics = figures.KeptStatistics(settings.statistics_ttl)
    app.state.keys = settings.keys
    add_handlers(app)
    for part in (events, sessions, figures, admin):
        app.include_router(part.router)
    app.mount("/", StaticFiles(directory=WEB, html=True))
    if settings.fault_file is not None:
        app.add_middleware(InjectedFaults, file=settings.fault_file)
    return app
