"""The PostgreSQL store."""

from crossfade.stores.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
