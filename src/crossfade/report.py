"""How the story tells what it does: one small protocol, so that it never prints by itself."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Receives what happens; called from any thread."""

    def say(self, text: str) -> None:
        """One sentence."""
        ...

    def begin(self, stage: str, totals: dict[str, int]) -> None:
        """A stage begins; ``totals`` are the expected rows per table (0 = unknown)."""
        ...

    def advance(self, table: str, rows: int) -> None:
        """Rows done in the running stage."""
        ...

    def lag(self, seconds: float) -> None:
        """How far the follower is behind, while following."""
        ...

    def end(self) -> None:
        """The running stage is over."""
        ...


class Quiet:
    """Tells nobody."""

    def say(self, text: str) -> None:
        pass

    def begin(self, stage: str, totals: dict[str, int]) -> None:
        pass

    def advance(self, table: str, rows: int) -> None:
        pass

    def lag(self, seconds: float) -> None:
        pass

    def end(self) -> None:
        pass
