"""The rules of the game and the limits of its interface, the same for both apps and the generator.

A session has a deck of ``card_count + 1`` events.  The first lies on the table; the player places
the others one by one.  A card always ends up in its right place, so the timeline stays sorted; the
move was correct when the player had pointed to that place.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

CATEGORIES = ("culture", "exploration", "nature", "politics", "science", "sport", "technology", "war")
DIFFICULTIES = ("easy", "medium", "hard")
MIXED = "mixed"

CARDS_LEAST, CARDS_MOST, CARDS_DEFAULT = 3, 20, 8
NAME_LONGEST = 40
KEY_SHORTEST, KEY_LONGEST = 8, 64
RESPONSE_MS_MOST = 3_600_000
PAGE_DEFAULT, PAGE_MOST = 50, 300

PROBLEMS = {
    "body": "must be a JSON object",
    "id": "must be a UUID in lower case with hyphens",
    "player_name": f"must be text of 1 to {NAME_LONGEST} characters",
    "card_count": f"must be an integer from {CARDS_LEAST} to {CARDS_MOST}",
    "categories": "must be a list of distinct categories: " + ", ".join(CATEGORIES),
    "category": "must be one of: " + ", ".join(CATEGORIES),
    "difficulty": "must be one of: " + ", ".join((*DIFFICULTIES, MIXED)),
    "event_id": "must be a positive integer",
    "position": "must be an integer from 0 to the number of cards on the timeline",
    "response_ms": f"must be null or an integer from 0 to {RESPONSE_MS_MOST}",
    "idempotency_key": f"must be text of {KEY_SHORTEST} to {KEY_LONGEST} characters",
    "count": f"must be an integer from 1 to {PAGE_MOST}",
    "limit": f"must be an integer from 1 to {PAGE_MOST}",
    "cursor": "must be the next_cursor of an earlier answer",
}
"""What a client is told about a field that is wrong, whatever is wrong with it."""

_POINTS = {"easy": 100, "medium": 150, "hard": 200}
_STREAK_STEP, _STREAK_CAP = 10, 5
_FAST_MS, _FAST_POINTS = 5_000, 20
PERFECT_BONUS = 250


def is_storable(text: str) -> bool:
    """No NUL and no half of a surrogate pair: text that every database can hold."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def right_position(years: Sequence[int], year: int) -> int:
    """Where a card of that year belongs on a timeline whose years are in order."""
    return bisect_left(years, year)


def is_correct(years: Sequence[int], year: int, position: int) -> bool:
    """Whether the neighbours at ``position`` allow the card (equal years go either way)."""
    before = position == 0 or years[position - 1] <= year
    after = position == len(years) or year <= years[position]
    return before and after


def points(difficulty: str, streak: int, response_ms: int | None) -> int:
    """What a correct move earns: by the card, the correct moves just before it, and speed."""
    fast = response_ms is not None and response_ms <= _FAST_MS
    return _POINTS[difficulty] + _STREAK_STEP * min(streak, _STREAK_CAP) + (_FAST_POINTS if fast else 0)


def final_score(score: int, moves: int, correct: int, card_count: int) -> int:
    """The score at the end: a perfect, complete timeline earns a bonus."""
    return score + PERFECT_BONUS if moves == card_count == correct else score
