"""Every error that Crossfade raises, in one tree.

Each error says what happened, where, and what to do next.  The exit code of the
command line follows from the class: 1 the move's answer is no, 2 wrong use, 3 environment.
"""

from __future__ import annotations

from typing import ClassVar


class CrossfadeError(Exception):
    """The base of the tree.

    ``what`` is one sentence, ``where`` names the place (``tables/events/columns/ts``,
    a store, a file), ``todo`` tells the reader what to do next.
    """

    exit_code: ClassVar[int] = 3

    def __init__(self, what: str, *, where: str = "", todo: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.todo = todo

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  what to do: {self.todo}" if self.todo else text

    def as_json(self) -> dict[str, str]:
        """The shape that ``--json`` prints: ``{"error", "what", "where", "todo"}``."""
        return {
            "error": type(self).__name__,
            "what": self.what,
            "where": self.where,
            "todo": self.todo,
        }


# --- wrong use (exit 2) -----------------------------------------------------


class UsageError(CrossfadeError):
    """The command was called in a way that cannot work."""

    exit_code = 2


class SpecError(UsageError):
    """``crossfade.yaml`` is wrong; ``where`` is the path inside it."""


class PlanError(UsageError):
    """A plan cannot be read or written back; ``where`` is the file, with the line where there is one."""


# --- the move's answer is no (exit 1) ---------------------------------------


class Refused(CrossfadeError):
    """A precondition is not met, so nothing was changed."""

    exit_code = 1


class LeaseHeld(Refused):
    """Somebody else is working on this move; the message says who, since when."""


class LeaseLost(Refused):
    """This process no longer holds the lease, so it wrote nothing."""


class AttemptOver(Refused):
    """The switch attempt was ended by somebody else; this coordinator may not go on."""


class BudgetOver(Refused):
    """A step did not finish inside its budget; the switch was aborted."""


class Different(Refused):
    """Verification found cells that differ."""


class EvidenceBroken(Refused):
    """The evidence is not whole: an entry was altered, removed, added or moved."""


class SchemaChanged(Refused):
    """A table's definition changed while it was followed."""


class Unmappable(Refused):
    """The schemas of the two sides do not fit."""


class Unrepresentable(Refused):
    """A value cannot be held exactly by the other side."""

    def __init__(
        self, what: str, *, table: str, key: object, column: str, value: str, todo: str = ""
    ) -> None:
        super().__init__(what, where=f"tables/{table}/columns/{column} key {key!r}", todo=todo)
        self.table = table
        self.key = key
        self.column = column
        self.value = value

    def as_json(self) -> dict[str, str]:
        return super().as_json() | {
            "table": self.table,
            "key": repr(self.key),
            "column": self.column,
            "value": self.value,
        }


# --- environment (exit 3) ---------------------------------------------------


class StoreError(CrossfadeError):
    """A database refused or failed; the driver's message is in ``what``."""


class StoreUnreachable(StoreError):
    """A database does not answer, so the outcome of the last statement may be unknown."""


class RouterError(CrossfadeError):
    """The router cannot be started, reached or told."""


class BackupError(CrossfadeError):
    """A backup was not made, or could not be restored and verified."""


class LedgerError(CrossfadeError):
    """The evidence ledger is damaged or cannot be written."""
