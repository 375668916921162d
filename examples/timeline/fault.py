"""``python -m examples.timeline.fault on|off``: break the new backend's writes on purpose, and mend them.

The new backend watches the file that ``TIMELINE_FAULT`` names (its ``--fault-file``).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Write or remove the file; 2 for anything but ``on`` or ``off``."""
    file = os.environ.get("TIMELINE_FAULT")
    if arguments not in (["on"], ["off"]) or not file:
        print("usage: TIMELINE_FAULT=FILE python -m examples.timeline.fault on|off", file=sys.stderr)
        return 2
    if arguments == ["on"]:
        Path(file).write_text("writes", encoding="utf-8")
    else:
        Path(file).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
