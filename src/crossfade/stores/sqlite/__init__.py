"""The SQLite store: a database file that an application opens by itself, from any process."""

from crossfade.stores.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore"]
