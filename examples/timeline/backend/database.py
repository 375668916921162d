"""The connection pool, and the two ways in which the app uses it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

POOL_SIZE = 12


def dialect_url(url: str) -> str:
    """The same address with the driver named, as SQLAlchemy wants it (psycopg 3)."""
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in ("postgres", "postgresql") else url


class Database:
    """A pool of ``POOL_SIZE`` connections that are tried before use, so a restart of the server or an
    ended session costs no request."""

    def __init__(self, url: str) -> None:
        self.engine = create_engine(
            dialect_url(url),
            pool_size=POOL_SIZE,
            max_overflow=0,
            pool_timeout=10,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 5, "options": "-c timezone=UTC"},
        )
        self._reading = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection without a transaction around its statements."""
        with self._reading.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction, committed at the end of the block or rolled back when it raises."""
        with self.engine.begin() as connection:
            yield connection

    def reachable(self) -> bool:
        """Whether the tables can be read."""
        try:
            with self.reading() as connection:
                connection.execute(text("SELECT 1 FROM events LIMIT 1"))
        except SQLAlchemyError:
            return False
        return True

    def close(self) -> None:
        self.engine.dispose()


def now() -> datetime:
    """This instant; the tables keep its milliseconds."""
    return datetime.now(UTC)
