"""What people are told in notifications: the events, and messages that fit on a phone."""

from __future__ import annotations

import enum
from dataclasses import dataclass

LONGEST_TITLE = 120
"""Characters of a title; a phone shows about half of it."""

LONGEST_BODY = 1_500
"""Characters of a body; the shortest limit among the usual services is 2,000."""


class Event(enum.StrEnum):
    """What people are told of."""

    GATE_WAITING = "gate_waiting"
    APPROVAL_EXPIRING = "approval_expiring"
    TASK_FAILED = "task_failed"
    SWITCHED = "switched"
    ROLLED_BACK = "rolled_back"
    RUN_COMPLETED = "run_completed"
    ALARM = "alarm"


LEVELS = {
    Event.GATE_WAITING: "info",
    Event.APPROVAL_EXPIRING: "warning",
    Event.TASK_FAILED: "failure",
    Event.SWITCHED: "success",
    Event.ROLLED_BACK: "warning",
    Event.RUN_COMPLETED: "success",
    Event.ALARM: "failure",
}
"""How grave each is, in the words of the services."""


@dataclass(frozen=True, slots=True)
class Message:
    """One notification.  Of two messages with the same ``key`` only the first is sent."""

    event: Event
    key: str
    title: str
    body: str


def short(text: str, longest: int, space: str) -> str:
    """At most so many characters, with no control characters and, in a title, on one line."""
    clean = "".join(character if character.isprintable() or character == "\n" else " " for character in text)
    if space == " ":
        clean = " ".join(clean.split())
    return clean if len(clean) <= longest else clean[: longest - 1].rstrip() + "…"
