"""Runs one switch and hurts itself at a step: ``SPEC VERB STEP WHEN SIGNAL``.

Used by the fault tests as the coordinator process; exit 0 when the switch went through, 1 when it was refused.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from crossfade.errors import CrossfadeError
from crossfade.move import Move


def main() -> int:
    spec, verb, step, when, name = sys.argv[1:6]

    def observe(number: int, at: str) -> None:
        if number == int(step) and at == when:
            os.kill(os.getpid(), getattr(signal, name))

    with Move.open(Path(spec)) as move:
        try:
            done = move.cutover(observe=observe) if verb == "cutover" else move.rollback(observe=observe)
        except CrossfadeError as error:
            print(type(error).__name__, error)
            return 1
    print("leads:", done.to, "held", round(done.hold_ms))
    return 0


if __name__ == "__main__":
    sys.exit(main())
