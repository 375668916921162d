"""A game is played in a real browser, through the router, while the lead changes hands there and back."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from crossfade.move import Move
from crossfade.stores.base import Side
from examples.timeline.backend.migrate import migrate
from tests.e2e.scene import end, free_port, start, until
from tests.examples.timeline.conftest import running
from tests.examples.timeline.test_timeline_page import ARGUMENTS, CHROMIUM

pytestmark = pytest.mark.timeout(180)


def test_chromium_is_there_in_ci() -> None:
    if os.environ.get("CI") == "true":
        assert CHROMIUM.exists(), "CI installs Chromium, so that nothing is skipped"


@pytest.fixture
def spec(tmp_path: Path, postgres_url: str) -> Iterator[Path]:
    """Both backends, the router, and ``crossfade follow``; everything is copied and verified."""
    if not CHROMIUM.exists():
        pytest.skip("needs Chromium: apt-get install chromium")
    migrate(postgres_url)
    database = tmp_path / "legacy.db"
    with (
        running("examples.timeline.legacy", str(database), tmp_path) as legacy,
        running("examples.timeline.backend", postgres_url, tmp_path) as backend,
    ):
        path = tmp_path / "crossfade.yaml"
        path.write_text(
            f"""
move: game
old: {{store: "sqlite:///{database}", app: "{legacy.url}", health: /api/health}}
new: {{store: "{postgres_url}", app: "{backend.url}", health: /api/health}}
router: {{listen: "127.0.0.1:{free_port()}"}}
read_only_paths: [/api/events*, /api/categories, /api/statistics, /api/leaderboard]
guard: null
"""
        )
        follow = None
        with Move.open(path) as move:
            try:
                move.shift(0)
                move.copy()
                move.verify()
                follow = start("crossfade", "follow", "--spec", str(path), log=tmp_path / "follow.log")
                yield path
            finally:
                if follow is not None:
                    end(follow)
                if move.router is not None:
                    move.router.stop()


@pytest.fixture
def page(spec: Path) -> Iterator[Page]:
    """The game, reached through the router; a script error fails the test."""
    with Move.open(spec) as move:
        router = move.spec.router
    assert router is not None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        opened = browser.new_page()
        errors: list[str] = []
        opened.on("pageerror", lambda error: errors.append(str(error)))
        opened.goto(f"http://{router.listen}/")
        opened.get_by_test_id("category-war").wait_for(state="attached")
        opened.get_by_test_id("player-name").fill("Grace")
        yield opened
        browser.close()
        assert errors == []


def place(page: Page, years: dict[int, int], left: int) -> None:
    """Put the card where it belongs."""
    card = int(page.get_by_test_id("current-card").get_attribute("data-event-id") or 0)
    placed = page.get_by_test_id("timeline").get_by_test_id("timeline-card").all()
    right = sum(int(event.get_attribute("data-year") or 0) < years[card] for event in placed)
    page.get_by_test_id(f"slot-{right}").click()
    if left > 1:
        expect(page.get_by_test_id("cards-left")).to_have_text(str(left - 1), timeout=15_000)


def test_a_player_notices_neither_cutover_nor_rollback(spec: Path, page: Page, tmp_path: Path) -> None:
    with Move.open(spec) as move:
        new_url = move.spec.new.store.get_secret_value()
        with psycopg.connect(new_url) as new:
            years = dict(new.execute("SELECT id, year FROM events").fetchall())
        page.get_by_test_id("card-count").fill("6")
        page.get_by_test_id("start-button").click()
        expect(page.get_by_test_id("cards-left")).to_have_text("6")
        place(page, years, 6)
        place(page, years, 5)
        assert move.cutover().to is Side.NEW
        place(page, years, 4)
        place(page, years, 3)
        until("somebody follows", lambda: move.status().lease is not None)
        assert move.rollback().to is Side.OLD
        place(page, years, 2)
        place(page, years, 1)
        expect(page.get_by_test_id("result-right")).to_have_text("6 of 6", timeout=15_000)
        score = page.get_by_test_id("result-score").inner_text()
        until("the new side has it all", lambda: _game(new_url)[1] == 6)
        move.verify()
    with closing(sqlite3.connect(tmp_path / "legacy.db")) as old:
        game = old.execute(
            "SELECT id, score, finished, correct_count FROM game_sessions WHERE player_name = 'Grace'"
        ).fetchall()
        assert len(game) == 1
        assert game[0][2:] == (1, 6)
        assert score == f"{game[0][1]:,}"
        moves = old.execute("SELECT count(*), sum(correct) FROM moves WHERE session_id = ?", (game[0][0],))
        assert moves.fetchone() == (6, 6)


def _game(url: str) -> tuple[int, int]:
    with psycopg.connect(url) as new:
        found = new.execute(
            "SELECT count(DISTINCT s.id), count(m.id) FROM game_sessions s JOIN moves m ON m.session_id = s.id "
            "WHERE s.player_name = 'Grace'"
        ).fetchone()
    return found or (0, 0)
