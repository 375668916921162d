"""Copies a move and kills itself after so many chunks: ``SPEC CHUNKS``."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path

from crossfade.move import Move
from crossfade.report import Quiet


class Killer(Quiet):
    """Counts finished chunks."""

    def __init__(self, after: int) -> None:
        self._after = after
        self._chunks = itertools.count(1)

    def advance(self, table: str, rows: int) -> None:
        if next(self._chunks) == self._after:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    with Move.open(Path(sys.argv[1]), reporter=Killer(int(sys.argv[2]))) as move:
        move.copy()
