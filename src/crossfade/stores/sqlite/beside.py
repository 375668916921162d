"""What the application's triggers changed beside the rows of a pass, in the same transaction.

A row of the pass is read back and proven by it, whoever changed it.  Any other row of a mapped table would be
different from the leader's, and nobody would look at it again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from crossfade.errors import Different
from crossfade.stores.base import Change, View
from crossfade.stores.sqlite.capture import LOG
from crossfade.stores.sqlite.connection import text
from crossfade.stores.sqlite.keys import plain_key
from crossfade.stores.sqlite.lookup import plain_keys
from crossfade.stores.sqlite.temporal import NotExact

_SHOWN = 5


class Beside:
    """Reads what capture logs during one apply transaction, and takes it out of the log again."""

    def __init__(self, con: sqlite3.Connection, where: str) -> None:
        self._con = con
        self._where = where
        row = con.execute(f"SELECT max(seq) FROM {LOG}").fetchone()
        self._begin = row[0] or 0
        self._passed: dict[int, set[tuple[Any, ...]]] = {}

    def check(self, changes: Sequence[Change]) -> None:
        """``Different`` names the rows of mapped tables that were changed and are none of the pass."""
        views = {change.view.id: change.view for change in changes}
        for change in changes:
            keys = self._passed.setdefault(change.view.id, set())
            for rows in (change.upserts.select(list(change.view.key)), change.deletes):
                keys.update(plain_keys(change.view, rows))
        numbers = self._con.execute(
            f"SELECT DISTINCT tbl FROM {LOG} WHERE seq > ?", (self._begin,)
        ).fetchall()
        for (number,) in numbers:
            stray = self._strays(number, views.get(number))
            if stray:
                raise self._error(number, stray)
        self._con.execute(f"DELETE FROM {LOG} WHERE seq > ?", (self._begin,))

    def _strays(self, number: int, view: View | None) -> list[tuple[Any, ...]]:
        marks = "*" if view is None else ", ".join(f"k{n + 1}" for n in range(len(view.key)))
        rows = self._con.execute(
            f"SELECT DISTINCT {marks} FROM {LOG} WHERE seq > ? AND tbl = ?", (self._begin, number)
        ).fetchall()
        if view is None:
            return [tuple(value for value in row[2:] if value is not None) for row in rows[:_SHOWN]]
        passed = self._passed.get(number, set())
        return [row for row in rows if not _is_in(view, row, passed)][:_SHOWN]

    def _error(self, number: int, stray: Sequence[tuple[Any, ...]]) -> Different:
        row = self._con.execute("SELECT name FROM crossfade_mapped WHERE tbl = ?", (number,)).fetchone()
        name = text(row[0]) if row else str(number)
        shown = "; ".join(", ".join(map(_shown, key)) for key in stray)
        return Different(
            f"a trigger on the following side changed rows of {name} that the leader did not ({shown}); nothing "
            "was written",
            where=f"{self._where}/{name}",
            todo="drop that trigger on the following side while it follows",
        )


def _is_in(view: View, stored: Sequence[Any], keys: set[tuple[Any, ...]]) -> bool:
    try:
        return plain_key(view, stored) in keys
    except NotExact:
        return False


def _shown(value: Any) -> str:
    return text(value) if isinstance(value, bytes) else str(value)
