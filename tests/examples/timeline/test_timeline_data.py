"""The cards, the rules, and the past games that the generator plays."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from examples.timeline import rules
from examples.timeline.events import load_events
from examples.timeline.generate import generate


def test_the_cards_are_distinct_and_in_order() -> None:
    events = load_events()
    assert len(events) >= 160
    years = [event.year for event in events]
    assert years == sorted(set(years))
    assert 0 not in years
    assert len({event.title for event in events}) == len(events)
    assert {event.category for event in events} == set(rules.CATEGORIES)
    assert {event.difficulty for event in events} == set(rules.DIFFICULTIES)
    for event in events:
        assert event.description.endswith(".")
        assert str(abs(event.year)) not in event.description
    assert min(Counter(event.category for event in events).values()) > 5


@pytest.mark.parametrize(
    ("years", "year", "right"), [([], 5, {0}), ([1, 9], 5, {1}), ([1, 9], 0, {0}), ([1, 5, 5, 9], 5, {1, 2, 3})]
)  # fmt: skip
def test_a_card_fits_where_its_neighbours_allow_it(years: list[int], year: int, right: set[int]) -> None:
    fitting = {place for place in range(len(years) + 1) if rules.is_correct(years, year, place)}
    assert fitting == right
    assert rules.right_position(years, year) == min(right)


def test_points_follow_difficulty_streak_and_speed() -> None:
    assert rules.points("easy", 0, None) == 100
    assert rules.points("hard", 3, 5_001) == 230
    assert rules.points("medium", 99, 5_000) == 220
    assert rules.final_score(1000, 8, 8, 8) == 1250
    assert rules.final_score(1000, 8, 7, 8) == rules.final_score(1000, 7, 7, 8) == 1000


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("past") / "past.db"
    assert generate(path, sessions=1500, seed=11)[0] == 1500
    return path


def _rows(path: Path, query: str) -> list[sqlite3.Row]:
    with closing(sqlite3.connect(path)) as file:
        file.row_factory = sqlite3.Row
        return file.execute(query).fetchall()


def test_the_same_seed_plays_the_same_games(past: Path, tmp_path: Path) -> None:
    again, other = tmp_path / "again.db", tmp_path / "other.db"
    generate(again, sessions=1500, seed=11)
    generate(other, sessions=1500, seed=12)
    for table in ("game_sessions", "moves"):
        rows = [[tuple(row) for row in _rows(p, f"SELECT * FROM {table}")] for p in (past, again, other)]
        assert rows[0] == rows[1]
        assert rows[0] != rows[2]


def test_every_past_game_obeys_the_rules(past: Path) -> None:
    """Each game is played again by the rules, move by move."""
    cards = {row["id"]: row for row in _rows(past, "SELECT * FROM events")}
    moves: dict[str, list[sqlite3.Row]] = {}
    for move in _rows(past, "SELECT * FROM moves ORDER BY id"):
        moves.setdefault(move["session_id"], []).append(move)
    for game in _rows(past, "SELECT * FROM game_sessions"):
        deck = json.loads(game["deck"])
        assert (deck[0], len(deck)) == (game["start_event_id"], game["card_count"] + 1)
        years = [cards[deck[0]]["year"]]
        score = streak = correct_count = 0
        played = moves.get(game["id"], [])
        for move, event_id in zip(played, deck[1:], strict=False):
            card = cards[event_id]
            assert move["event_id"] == event_id
            correct = rules.is_correct(years, card["year"], move["position"])
            assert (move["correct"], move["correct_position"]) == (
                correct,
                rules.right_position(years, card["year"]),
            )
            if correct and move["response_ms"] is not None:
                assert move["points"] == rules.points(card["difficulty"], streak, move["response_ms"])
            score, streak = score + move["points"], streak + 1 if correct else 0
            correct_count += correct
            assert (move["score_after"], move["streak_after"]) == (score, streak)
            years = sorted([*years, card["year"]])
        if game["finished"]:
            assert len(played) == game["card_count"]
            score = rules.final_score(score, len(played), correct_count, game["card_count"])
        assert (game["score"], game["streak"], game["move_count"]) == (score, streak, len(played))
        assert game["accuracy"] == (correct_count / len(played) if played else None)
        assert (game["completed_at"] is not None) == bool(game["finished"])


def test_past_games_are_spread_as_real_ones_are(past: Path) -> None:
    assert _rows(past, "PRAGMA foreign_key_check") == []
    shares = {
        row["difficulty"]: row["share"]
        for row in _rows(
            past,
            "SELECT difficulty, avg(correct) AS share FROM moves JOIN events ON events.id = event_id GROUP BY 1",
        )
    }
    assert 0.9 > shares["easy"] > shares["medium"] > shares["hard"] > 0.4
    days = _rows(past, "SELECT DISTINCT date(started_at) FROM game_sessions")
    assert len(days) > 150
    [totals] = _rows(past, "SELECT avg(finished) AS done, avg(move_count) AS moves FROM game_sessions")
    assert 0.88 < totals["done"] < 0.97
    assert 7 < totals["moves"] < 9
