"""Stores: the databases that take part in a move."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossfade.errors import UsageError

if TYPE_CHECKING:
    from crossfade.stores.base import Store


def open_store(url: str) -> Store:
    """The store behind an address; nothing is connected yet.  ``UsageError`` for an unknown kind."""
    scheme = url.partition(":")[0].lower()
    if scheme in ("postgresql", "postgres"):
        from crossfade.stores.postgres import PostgresStore  # heavy, and often not needed

        return PostgresStore(url)
    if scheme == "sqlite":
        from crossfade.stores.sqlite import SQLiteStore

        return SQLiteStore(url)
    raise UsageError(
        f"{scheme!r} is no kind of store that Crossfade knows",
        todo="an address begins with sqlite:/// or postgresql://",
    )
