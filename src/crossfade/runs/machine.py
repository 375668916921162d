"""This machine and this boot of it, to tell whether a process that somebody wrote down can still be here."""

from __future__ import annotations

import socket
from functools import cache
from pathlib import Path


def host() -> str:
    """The name of this machine."""
    return socket.gethostname()


@cache
def boot() -> str:
    """Something that changes when the machine is started anew, and that differs between machines of one name."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        import psutil  # only where the kernel does not tell

        return f"{psutil.boot_time():.0f}"
