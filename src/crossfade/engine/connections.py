"""The connections over which DBOS reaches PostgreSQL."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import ExceptionContext

_IDLE = 60_000
"""Milliseconds after which PostgreSQL ends a transaction that nobody goes on with, and frees its locks."""

_TIMEOUT = 10
"""Seconds for one attempt to connect."""


def engine_for(url: str, *, size: int) -> sa.Engine | None:
    """At most ``size`` connections to that PostgreSQL; None for SQLite, which DBOS opens by itself.

    Every failure to connect is told as a lost connection.  DBOS waits for a database that is away, but knows that
    it is away by the words of the driver, and not by all of them: a socket that is not there, or a name that cannot
    be resolved, is ``connection is bad`` and not ``connection failed``.  The workflow that met it would end, could
    not even write that down, and would stand there as running for ever.
    """
    address = sa.make_url(url)
    if address.get_backend_name() == "sqlite":
        return None
    connect: dict[str, object] = {"application_name": "crossfade"}
    if "connect_timeout" not in address.query:
        connect["connect_timeout"] = _TIMEOUT
    if "options" not in address.query:
        connect["options"] = f"-c idle_in_transaction_session_timeout={_IDLE}"
    engine = sa.create_engine(
        address.set(drivername="postgresql+psycopg"),
        connect_args=connect,
        pool_size=size,
        max_overflow=0,
        pool_timeout=30,
        pool_pre_ping=True,
    )
    sa.event.listen(engine, "handle_error", _tell_as_lost)
    return engine


def _tell_as_lost(context: ExceptionContext) -> None:
    if context.connection is None and isinstance(context.sqlalchemy_exception, sa.exc.OperationalError):
        context.is_disconnect = True
