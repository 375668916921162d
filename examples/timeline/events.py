"""The historical events of the game, read from ``events.csv`` beside this file."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Event:
    """One card.  ``year`` is negative before our era (there is no year 0); no two events share one."""

    title: str
    year: int
    category: str
    difficulty: str
    description: str


def load_events() -> list[Event]:
    """All events in the order of the file, which is the order of time."""
    with (Path(__file__).parent / "events.csv").open(encoding="utf-8", newline="") as file:
        return [
            Event(row["title"], int(row["year"]), row["category"], row["difficulty"], row["description"])
            for row in csv.DictReader(file)
        ]
