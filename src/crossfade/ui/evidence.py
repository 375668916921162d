"""The ledger as the page shows it: the last entries, whether the chain is whole, and what follows from them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from crossfade.ledger import Entry, Ledger
from crossfade.ui.snapshot import EntryView, Evidence, GuardSaid, SwitchView

LAST = 10
"""Entries that are shown."""

_LONGEST = 150


class EvidenceSource:
    """Reads a ledger, again only when its file has changed."""

    def __init__(self, ledger: Callable[[], Ledger]) -> None:
        self._ledger = ledger
        self._seen: tuple[int, int, int] | None = None
        self._shown = Evidence(whole=True)
        self.entries: tuple[Entry, ...] = ()
        """Every entry, as of the last look."""

    def look(self) -> Evidence:
        """What the ledger holds.  ``LedgerError`` when it cannot be read."""
        ledger = self._ledger()
        stamp = _stamp(ledger.path)
        if stamp is None or stamp != self._seen:
            checked = ledger.verify()
            # somebody may be appending: what was not checked is left for the next look
            entries = list(itertools.islice(ledger.read(), checked.entries)) if checked.entries else []
            self.entries = tuple(entries)
            where = "" if checked.whole else f"entry {checked.first_broken}: {checked.reason}"
            self._shown = shown(entries, whole=checked.whole, broken=where, head=checked.head)
            self._seen = stamp
        return self._shown


def shown(entries: Sequence[Entry], *, whole: bool | None, broken: str = "", head: str = "") -> Evidence:
    """Entries of a ledger, oldest first, as the page shows them."""
    switches: list[SwitchView] = []
    guard: GuardSaid | None = None
    verified: dict[str, int] = {}
    begun: Mapping[str, Any] = {}
    for entry in entries:
        data = entry.data
        match entry.event:
            case "switch.begun":
                begun = data
            case "switch.done":
                reason = str(begun.get("reason", "")) if begun.get("to") == data.get("to") else ""
                switches.append(
                    SwitchView(
                        str(data.get("to", "")),
                        int(data.get("epoch", 0)),
                        seconds(entry.at),
                        float(data.get("hold_ms", 0.0)),
                        reason,
                    )
                )
            case "guard.breach" | "guard.rollback":
                guard = GuardSaid(entry.event.partition(".")[2], str(data.get("why", "")), seconds(entry.at))
            case "verify.done":
                verified = {str(name): int(rows) for name, rows in dict(data.get("tables", {})).items()}
    return Evidence(
        entries=len(entries),
        last=tuple(_entry(entry) for entry in reversed(entries[-LAST:])),
        whole=whole,
        broken=broken,
        head=head,
        switches=tuple(switches),
        guard=guard,
        verified=verified,
    )


def seconds(at: str) -> float:
    """RFC 3339 as Unix seconds; 0 for what is no time."""
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return 0.0


def in_words(data: Mapping[str, Any], longest: int = _LONGEST) -> str:
    """What an entry measured, in one line: what it is about first, and nothing that stands elsewhere."""
    told = {name: value for name, value in data.items() if name not in _ELSEWHERE and value not in _NOTHING}
    first: dict[str, Any] = {name: told[name] for name in ("task", "verb", "to") if name in told}
    text = ", ".join(f"{name} {_value(value)}" for name, value in (first | told).items())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


_ELSEWHERE = frozenset(
    {
        "account",
        "allow_self",
        "at",
        "by",
        "digest",
        "files",
        "finished",
        "finished_at",
        "host",
        "index",
        "key",
    }
    | {"mode", "path", "plan", "request", "run", "sha256", "started", "started_at", "started_by", "title"}
    | {"stderr", "stdout", "steps_ms"}
)
"""What stands elsewhere on the page, or is nothing for one line."""

_NOTHING: tuple[Any, ...] = ("", None, [], {})


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict) and "name" in value:
        return str(value["name"])  # a person
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _entry(entry: Entry) -> EntryView:
    who = str(entry.data.get("by") or entry.who.get("user", ""))
    return EntryView(entry.seq, seconds(entry.at), who, entry.event, in_words(entry.data), entry.hash)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_ino, about.st_size, about.st_mtime_ns
