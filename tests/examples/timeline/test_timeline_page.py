"""The page, played in a real browser."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, Route, expect, sync_playwright

from tests.examples.timeline.conftest import Running

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium")


@pytest.fixture
def page(legacy: Running) -> Iterator[Page]:
    """The page, ready to start; a script error fails the test."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        opened = browser.new_page()
        errors: list[str] = []
        opened.on("pageerror", lambda error: errors.append(str(error)))
        opened.goto(legacy.url)
        opened.get_by_test_id("category-war").wait_for(state="attached")
        opened.get_by_test_id("player-name").fill("Ada")
        yield opened
        browser.close()
        assert errors == []


@pytest.fixture(scope="module")
def years(legacy: Running) -> dict[str, int]:
    items = httpx.get(f"{legacy.url}/api/events?limit=300").json()["items"]
    return {str(event["id"]): event["year"] for event in items}


def right_place(page: Page, years: dict[str, int]) -> int:
    card = page.get_by_test_id("current-card").get_attribute("data-event-id") or ""
    placed = page.get_by_test_id("timeline").get_by_test_id("timeline-card").all()
    return sum(int(event.get_attribute("data-year") or 0) < years[card] for event in placed)


def start(page: Page, cards: int) -> None:
    page.get_by_test_id("card-count").fill(str(cards))
    page.get_by_test_id("start-button").click()
    expect(page.get_by_test_id("cards-left")).to_have_text(str(cards))


def test_a_whole_game_is_played_by_keyboard(page: Page, years: dict[str, int]) -> None:
    start(page, 4)
    for left in range(4, 0, -1):
        place = right_place(page, years)
        slots = page.get_by_test_id("timeline").get_by_role("button")
        page.keyboard.press("ArrowDown")
        for _ in range(slots.count()):
            page.keyboard.press("ArrowUp")
        for _ in range(place):
            page.keyboard.press("ArrowDown")
        expect(page.get_by_test_id(f"slot-{place}")).to_be_focused()
        page.keyboard.press("Enter")
        if left > 1:
            expect(page.get_by_test_id("cards-left")).to_have_text(str(left - 1))
            expect(page.get_by_test_id("live-region")).to_contain_text(". Right.")
    expect(page.get_by_test_id("live-region")).to_contain_text("The game is over")
    expect(page.get_by_test_id("result-right")).to_have_text("4 of 4")
    expect(page.get_by_test_id("result")).to_be_focused()
    page.get_by_test_id("tab-leaderboard").click()
    expect(page.locator("tr.own")).to_contain_text("Ada")


def test_a_lost_answer_is_asked_for_again_and_counts_once(
    page: Page, legacy: Running, years: dict[str, int]
) -> None:
    """The server plays the move, but its answer gets lost, three times and then three times again."""
    start(page, 3)
    lost = []

    def lose(route: Route) -> None:
        if len(lost) < 4:
            lost.append(route.request.post_data_json)
            route.fetch()
            route.abort()
        else:
            route.continue_()

    page.route(re.compile("/moves$"), lose)
    page.get_by_test_id(f"slot-{right_place(page, years)}").click()
    banner = page.get_by_test_id("error-banner")
    expect(banner).to_contain_text("cannot be reached")
    assert len(lost) == 3
    page.get_by_test_id("retry-button").click()
    expect(page.get_by_test_id("cards-left")).to_have_text("2")
    expect(banner).to_be_hidden()
    assert len({move["idempotency_key"] for move in lost}) == 1
    with closing(sqlite3.connect(legacy.database)) as file:
        found = file.execute(
            "SELECT count(*) FROM moves WHERE idempotency_key = ?", (lost[0]["idempotency_key"],)
        ).fetchone()
    assert found == (1,)


def test_a_game_goes_on_after_a_reload(page: Page, years: dict[str, int]) -> None:
    start(page, 3)
    page.get_by_test_id(f"slot-{right_place(page, years)}").click()
    expect(page.get_by_test_id("cards-left")).to_have_text("2")
    card = page.get_by_test_id("current-title").inner_text()
    page.reload()
    expect(page.get_by_test_id("current-title")).to_have_text(card)
    expect(page.get_by_test_id("timeline").get_by_test_id("timeline-card")).to_have_count(2)


def test_settings_that_cannot_work_are_explained(page: Page) -> None:
    page.get_by_test_id("player-name").fill("  ")
    page.get_by_test_id("start-button").click()
    expect(page.get_by_text("Please enter a name.")).to_be_visible()
    page.get_by_test_id("player-name").fill("Ada")
    page.get_by_test_id("category-nature").check(force=True)
    page.get_by_test_id("difficulty-hard").check(force=True)
    page.get_by_test_id("card-count").fill("20")
    page.get_by_test_id("start-button").click()
    expect(page.get_by_test_id("error-banner")).to_contain_text("Too few events")
    expect(page.get_by_test_id("retry-button")).to_be_hidden()


def test_a_phone_needs_no_sideways_scrolling(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    start(page, 5)
    for view in ("play", "leaderboard", "statistics"):
        page.get_by_test_id(f"tab-{view}").click()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
