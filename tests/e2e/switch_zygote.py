"""Coordinators that die or are stopped at a step, as real processes, in a few milliseconds each.

``python -m tests.e2e.switch_zygote`` imports once and forks for every order that it reads from stdin, one JSON
object a line: ``{"spec", "verb", "step", "when", "signal"}`` runs a switch that sends itself that signal at that
step (``when`` is ``before``, ``after``, or ``inside`` step 7); ``{"resume": pid}`` lets a stopped one go on.  It answers ``{"pid", "stopped", "code"}``; ``code`` is 0 when the
switch went through, 1 when it was refused, and negative when a signal ended it.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crossfade.stores.postgres.store  # imported before the first fork, not after each
import crossfade.stores.sqlite.store  # noqa: F401
from crossfade import spec as specs
from crossfade.errors import CrossfadeError
from crossfade.move import Move

LIMIT = 120.0
"""Seconds after which a coordinator that does not end says where it is, and ends."""


def switch(order: dict[str, Any]) -> int:
    """In the child: nobody watches (the move has no spec file), so what it leaves is left."""

    def look(step: int, when: str) -> None:
        if (step, when) == (order["step"], order["when"]):
            os.kill(os.getpid(), getattr(signal, order["signal"]))

    def between(commit: Callable[..., None]) -> Callable[..., None]:
        """COMMIT was announced, and is not sent yet."""

        def lead(*arguments: object) -> None:
            look(7, "inside")
            commit(*arguments)

        return lead

    path = Path(order["spec"])
    with Move(specs.load(path)) as move:
        for store in move.stores.values():
            store.lead = between(store.lead)  # type: ignore[method-assign]
        try:
            getattr(move, order["verb"])(observe=look)
        except CrossfadeError:
            return 1
    return 0


def wait(pid: int) -> dict[str, Any]:
    _, status = os.waitpid(pid, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        return {"pid": pid, "stopped": True, "code": None}
    return {"pid": pid, "stopped": False, "code": os.waitstatus_to_exitcode(status)}


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        if "resume" in order:
            pid = order["resume"]
            os.kill(pid, signal.SIGCONT)
        elif (pid := os.fork()) == 0:
            faulthandler.dump_traceback_later(LIMIT, exit=True)
            code = 2
            try:
                code = switch(order)
            finally:
                os._exit(code)
        print(json.dumps(wait(pid)), flush=True)


if __name__ == "__main__":
    main()
