"""Workers in a moment: a process that has imported everything and forks.

``python -m tests.runs.nursery`` reads lines of JSON ``{"config", "output"}`` and answers each with the process id
of a worker, which leads a session of its own.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path

from crossfade.engine import Engine
from crossfade.runs import gates, measures  # noqa: F401  # what a worker would import later
from tests.runs.play import play


def main() -> None:
    """Fork until the end of the input."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are nobody's business here
    for line in sys.stdin:
        wish = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _worker(wish)
        print(pid, flush=True)


def _worker(wish: dict[str, str]) -> None:
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    output = os.open(wish["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    code = 1
    try:
        code = play(json.loads(Path(wish["config"]).read_text()))
    except BaseException:
        traceback.print_exc()
    finally:
        Engine.end_process(code)


if __name__ == "__main__":
    main()
