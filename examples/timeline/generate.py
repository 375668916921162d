"""Plays past games straight into the legacy database, so that there is something to move.

``python -m examples.timeline.generate --database PATH [--sessions N] [--seed N] [--until ISO]``

Everything follows from the seed and from the moment ``until`` which the games lead up to: two runs with
the same arguments write the same rows.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import uuid
from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from examples.timeline import rules
from examples.timeline.legacy.database import Database, stored_time

SESSIONS = 50_000
UNTIL = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 240

_BATCH = 2_000
_FIRST_NAMES = (
    "Ada", "Alan", "Amara", "Björn", "Chidi", "Chloé", "Dario", "Elif", "Emmy", "Farah", "Grace", "Hedy",
    "Hiro", "Ines", "Jamal", "Katya", "Leo", "Linh", "Mateo", "Mei", "Nadia", "Noor", "Olu", "Priya",
    "Quinn", "Rosa", "Sami", "Søren", "Tomás", "Uma", "Vera", "Wei", "Ximena", "Yuki", "Zoë", "李雷",
)  # fmt: skip
_SESSION_COLUMNS = (
    "id, player_name, card_count, categories, difficulty, deck, start_event_id, started_at, completed_at,"
    " finished, score, streak, best_streak, move_count, correct_count, accuracy"
)
_MOVE_COLUMNS = (
    "session_id, event_id, position, correct_position, correct, points, score_after, streak_after,"
    " response_ms, idempotency_key, placed_at"
)
_CARD_COUNTS = ((5, 4), (6, 2), (8, 8), (10, 4), (12, 2), (15, 1))
_DIFFICULTIES = (("mixed", 5), ("easy", 3), ("medium", 3), ("hard", 2))
_EASE = {"easy": 0.16, "medium": 0.0, "hard": -0.14}


@dataclass(frozen=True, slots=True)
class _Player:
    name: str
    skill: float  # the share of medium cards that this player places rightly
    haste: float  # milliseconds for a usual move


@dataclass(frozen=True, slots=True)
class _Card:
    id: int
    year: int
    category: str
    difficulty: str


def generate(
    database: Path, *, sessions: int = SESSIONS, seed: int = 1, until: datetime = UNTIL
) -> tuple[int, int]:
    """Add that many sessions and their moves; returns how many of each were written.

    The database is created when it is missing.  One transaction per few thousand sessions.
    """
    store = Database(database)
    store.prepare()
    connection = store.connect()
    try:
        cards = [
            _Card(*row)
            for row in connection.execute("SELECT id, year, category, difficulty FROM events ORDER BY id")
        ]
        games = _Games(Random(seed), cards, until)
        written = 0
        moves = 0
        for batch in _batches(games.play(sessions)):
            with store.writing(connection):
                moves += _store(connection, batch)
            written += len(batch)
    finally:
        connection.close()
    return written, moves


class _Games:
    """Deals and plays games, one after the other, in the order of time."""

    def __init__(self, random: Random, cards: list[_Card], until: datetime) -> None:
        self._random = random
        self._cards = cards
        self._until = until
        self._decks: dict[tuple[tuple[str, ...], str], list[_Card]] = {}

    def play(self, sessions: int) -> Iterator[tuple[tuple[Any, ...], list[tuple[Any, ...]]]]:
        """The row of each session with the rows of its moves."""
        players = [self._player(number) for number in range(max(10, sessions // 12))]
        # regulars play far more often than the others
        often = [1.0 / (1 + rank) ** 0.6 for rank in range(len(players))]
        chosen = self._random.choices(players, often, k=sessions)
        for started, player in zip(self._starts(sessions), chosen, strict=True):
            yield self._game(player, started)

    def _player(self, number: int) -> _Player:
        name = f"{self._random.choice(_FIRST_NAMES)} {number + 1}"
        return _Player(name, self._random.betavariate(6, 3), self._random.uniform(3_500, 14_000))

    def _starts(self, sessions: int) -> list[datetime]:
        """More games at weekends, in the evening, and as the game became known."""
        days = [self._until - timedelta(days=DAYS - number) for number in range(DAYS)]
        weights = [
            (0.4 + number / DAYS) * (1.6 if day.weekday() >= 5 else 1.0) for number, day in enumerate(days)
        ]
        starts = []
        for day in self._random.choices(days, weights, k=sessions):
            second = self._random.triangular(0, 86_000, 72_000)
            starts.append(day + timedelta(milliseconds=int(second * 1000)))
        return sorted(starts)

    def _game(self, player: _Player, started: datetime) -> tuple[tuple[Any, ...], list[tuple[Any, ...]]]:
        random = self._random
        session_id = str(uuid.UUID(int=random.getrandbits(128), version=4))
        card_count = _weighted(random, _CARD_COUNTS)
        difficulty = _weighted(random, _DIFFICULTIES)
        categories: tuple[str, ...] = ()
        if random.random() < 0.35:
            categories = tuple(sorted(random.sample(rules.CATEGORIES, random.randint(1, 3))))
        fitting = self._fitting(categories, difficulty)
        if len(fitting) <= card_count:
            categories, difficulty = (), "mixed"
            fitting = self._fitting(categories, difficulty)
        deck = random.sample(fitting, card_count + 1)
        wanted = card_count if random.random() < 0.93 else random.randrange(card_count)
        moves: list[tuple[Any, ...]] = []
        years = [deck[0].year]
        at = started
        score = streak = best_streak = correct_count = 0
        for card in deck[1 : wanted + 1]:
            right = bisect_left(years, card.year)
            position = self._place(player, card, right, len(years))
            response_ms = int(random.lognormvariate(0, 0.45) * player.haste)
            at += timedelta(milliseconds=response_ms + 400)
            correct = position == right
            earned = rules.points(card.difficulty, streak, response_ms) if correct else 0
            streak = streak + 1 if correct else 0
            best_streak = max(best_streak, streak)
            score += earned
            correct_count += correct
            insort(years, card.year)
            moves.append(
                (
                    session_id,
                    card.id,
                    position,
                    right,
                    int(correct),
                    earned,
                    score,
                    streak,
                    # an old version of the web page did not measure
                    response_ms if random.random() < 0.98 else None,
                    f"{random.getrandbits(96):024x}",
                    stored_time(at),
                )
            )
        finished = wanted == card_count
        if finished:
            score = rules.final_score(score, len(moves), correct_count, card_count)
        session = (
            session_id,
            player.name,
            card_count,
            json.dumps(categories),
            difficulty,
            json.dumps([card.id for card in deck]),
            deck[0].id,
            stored_time(started),
            stored_time(at + timedelta(seconds=1)) if finished else None,
            int(finished),
            score,
            streak,
            best_streak,
            len(moves),
            correct_count,
            correct_count / len(moves) if moves else None,
        )
        return session, moves

    def _place(self, player: _Player, card: _Card, right: int, length: int) -> int:
        """The right place by skill (harder on a longer timeline), otherwise one not far from it."""
        chance = player.skill + _EASE[card.difficulty] - 0.012 * length
        if self._random.random() < min(0.97, max(0.1, chance)):
            return right
        off = 1 + int(self._random.expovariate(0.9))
        off = -off if self._random.random() < 0.5 else off
        return min(length, max(0, right + off))

    def _fitting(self, categories: tuple[str, ...], difficulty: str) -> list[_Card]:
        key = (categories, difficulty)
        if key not in self._decks:
            self._decks[key] = [
                card
                for card in self._cards
                if (not categories or card.category in categories)
                and difficulty in (rules.MIXED, card.difficulty)
            ]
        return self._decks[key]


def _weighted(random: Random, choices: tuple[tuple[Any, int], ...]) -> Any:
    """One of the choices, by its weight."""
    left = random.randrange(sum(weight for _, weight in choices))
    for choice, weight in choices:
        left -= weight
        if left < 0:
            return choice
    raise AssertionError("weights add up")


def _batches(games: Iterator[Any]) -> Iterator[list[Any]]:
    while batch := list(islice(games, _BATCH)):
        yield batch


def _store(connection: sqlite3.Connection, batch: list[tuple[tuple[Any, ...], list[tuple[Any, ...]]]]) -> int:
    moves = [move for _, moves in batch for move in moves]
    connection.executemany(
        f"INSERT INTO game_sessions ({_SESSION_COLUMNS}) VALUES ({_marks(_SESSION_COLUMNS)})",
        [session for session, _ in batch],
    )
    connection.executemany(
        f"INSERT INTO moves ({_MOVE_COLUMNS}) VALUES ({_marks(_MOVE_COLUMNS)})",
        moves,
    )
    return len(moves)


def _marks(columns: str) -> str:
    return ", ".join("?" * (columns.count(",") + 1))


def main(arguments: list[str] | None = None) -> None:
    """Generate, and say how much."""
    parser = argparse.ArgumentParser(prog="timeline-generate", description="Fill a legacy database.")
    parser.add_argument("--database", type=Path, required=True)
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--until",
        type=datetime.fromisoformat,
        default=UNTIL,
        help="the moment the games lead up to, with its zone (2026-01-01T00:00:00+00:00)",
    )
    chosen = parser.parse_args(arguments)
    if chosen.until.tzinfo is None:
        parser.error("--until needs a zone, for example +00:00")
    sessions, moves = generate(
        chosen.database, sessions=chosen.sessions, seed=chosen.seed, until=chosen.until
    )
    print(f"{sessions} sessions, {moves} moves")


if __name__ == "__main__":
    main()
