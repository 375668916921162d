"""A whole move, there and back, by clicks and by the keyboard, while clients write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e import scene as scenes
from tests.e2e.scene import Clients, Scene, until
from tests.ui.conftest import ANN, Dashboard, Visit, dashboard, visiting

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def scene(tmp_path: Path, postgres_url: str) -> Iterator[Scene]:
    """Two applications and a router; nothing is copied yet."""
    settings = "hold_budget: 5s\ndrain_budget: 1s\nlag_limit: 30s\nread_only_paths: [/notes/*]"
    found = scenes.build(tmp_path, postgres_url, settings=settings)
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def served(scene: Scene) -> Iterator[Dashboard]:
    with dashboard(scene.folder, "--spec", str(scene.spec), "--token", f"ann={ANN}") as found:
        yield found


def by_keyboard(visit: Visit, scene: Scene) -> None:
    """The cutover, without a mouse: Enter alone confirms nothing, and Esc leads back."""
    page, dialog = visit.page, visit.dialog
    page.reload()
    cutover = page.get_by_role("button", name="Cut over …")
    expect(cutover).to_be_enabled()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    for _ in range(20):
        page.keyboard.press("Tab")
        if cutover.evaluate("one => one === document.activeElement"):
            break
    expect(cutover).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).not_to_be_visible()
    expect(cutover).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    for _ in range(5):  # round and round, never out of the dialog
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )
    page.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()
    assert scene.leader() == "old"
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Tab")
    expect(dialog.get_by_role("button", name="Cut over now")).to_be_focused()
    page.wait_for_timeout(400)
    page.keyboard.press("Enter")
    expect(dialog.get_by_text("Leads now")).to_be_visible()
    expect(dialog.get_by_role("button", name="Close")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).not_to_be_visible()


def test_a_move_there_and_back(scene: Scene, served: Dashboard, chromium: Browser, axe: str) -> None:
    clients = Clients(scene.port, threads=1, pause=0.05)
    with visiting(chromium, served, ANN) as visit:
        page = visit.page
        expect(page.get_by_text("Nothing has been copied yet; the old side serves.")).to_be_visible()
        expect(page.locator(".side.old")).to_contain_text("serves")
        cutover = page.get_by_role("button", name="Cut over …")
        expect(cutover).to_have_attribute("aria-disabled", "true")
        cutover.click(force=True)
        expect(visit.dialog).not_to_be_visible()
        expect(page.locator("[aria-live=polite]").first).to_have_text("Nothing has been copied yet.")
        visit.audit(axe, "1-empty-light")

        with scene.move() as move:
            move.copy()
            move.verify()
            assert move.router is not None
            move.router.hold()
        wrong = page.get_by_role("region", name="What is wrong")
        expect(wrong).to_contain_text("The router holds requests, and no switch is at work.")
        wrong.get_by_role("button", name="Repair …").click()
        page.wait_for_timeout(400)
        visit.dialog.get_by_role("button", name="Repair now").click()
        expect(visit.dialog).to_contain_text("the router sends requests to the old side")
        expect(visit.dialog).to_contain_text("Still wrong")  # nobody follows yet
        visit.leave()
        expect(wrong).not_to_contain_text("holds requests")

        clients.begin()
        scene.follow()
        expect(page.locator(".side.old")).to_contain_text("leads")
        expect(page.locator(".side.new")).to_contain_text("is kept equal")
        expect(page.get_by_role("progressbar", name="notes copied")).to_have_attribute("aria-valuenow", "100")

        visit.press("25 %", "Shift to 25 %")
        visit.leave()
        with scene.move() as move:
            assert move.router is not None
            assert move.router.state().reads_percent == 25
        expect(page.get_by_role("button", name="25 %")).to_have_attribute("aria-pressed", "true")

        page.get_by_role("button", name="Other …").click()
        visit.dialog.get_by_label("Per cent of the reads").fill("140")
        page.wait_for_timeout(400)
        visit.dialog.locator(".button.main").click()
        expect(visit.dialog.get_by_role("alert")).to_have_text("Say a share from 0 to 100.")
        visit.dialog.get_by_label("Per cent of the reads").fill("12.5")
        expect(visit.dialog.get_by_role("button", name="Shift to 12.5 %")).to_be_visible()
        visit.confirm("Shift to 12.5 %")
        visit.leave()
        visit.audit(axe, "2-following-light")

        by_keyboard(visit, scene)
        assert scene.leader() == "new"
        expect(page.locator(".side.new")).to_contain_text("leads")
        expect(page.locator(".side.new.leads")).to_be_visible()
        expect(page.get_by_role("row", name="the new side, epoch 1")).to_contain_text("ms")
        expect(page).to_have_title("notes · The new side leads · Crossfade")
        visit.look("3-cutover-light")
        until("somebody follows", scene.is_followed)
        expect(page.locator(".side.old")).to_contain_text("is kept equal")

        page.get_by_role("button", name="Roll back …").click()
        visit.dialog.get_by_label("Remark").fill("it was only a test")
        visit.look("4-dialog-light")
        visit.confirm("Roll back now")
        visit.leave()
        assert scene.leader() == "old"
        expect(page.get_by_text("it was only a test").first).to_be_visible()
        clients.finish()
        assert clients.failed == []
    with visiting(chromium, served, ANN, dark=True) as visit:
        expect(visit.page.locator(".side.old.leads")).to_be_visible()
        visit.audit(axe, "5-dark")
        visit.page.get_by_role("button", name="Theme").click()
        assert visit.page.evaluate("document.documentElement.dataset.theme") == "light"
        visit.page.reload()
        assert visit.page.evaluate("document.documentElement.dataset.theme") == "light", "it is remembered"
    with visiting(chromium, served, ANN, phone=True) as visit:
        expect(visit.page.locator(".side.old.leads")).to_be_visible()
        visit.audit(axe, "6-phone")
        visit.page.get_by_role("button", name="25 %").click()
        expect(visit.dialog).to_be_visible()
        visit.audit(axe, "7-phone-dialog")
    with scene.move() as move:
        asked = [
            (one.data["verb"], one.data["by"].split()[0])
            for one in move.ledger.read()
            if one.event == "ui.asked"
        ]
    assert asked == [
        ("doctor", "ann"),
        ("shift", "ann"),
        ("shift", "ann"),
        ("cutover", "ann"),
        ("rollback", "ann"),
    ]
    scene.audit(clients, "old")


def test_a_database_that_is_down_is_said_and_the_rest_lives(
    tmp_path: Path, chromium: Browser, axe: str
) -> None:
    import sqlite3

    sqlite3.connect(tmp_path / "old.db").close()
    (tmp_path / "crossfade.yaml").write_text(
        f"move: lost\nold: {{store: 'sqlite:///{tmp_path}/old.db'}}\n"
        "new: {store: 'postgresql://me:geheim@127.0.0.1:1/x'}\nguard: null\n"
    )
    (tmp_path / "PLAN.md").write_text(
        "# A plan\n\n## Phase 1: Look\n\n**Task 1.1: Look < twice**\n- **Owner**: Ann\n"
    )
    arguments = (str(tmp_path / "PLAN.md"), "--spec", str(tmp_path / "crossfade.yaml"), "--token", ANN)
    with dashboard(tmp_path, *arguments) as served, visiting(chromium, served, ANN) as visit:
        page = visit.page
        expect(page.get_by_role("region", name="What is wrong")).to_contain_text("new store does not answer")
        expect(page.locator(".side.new")).to_contain_text("its database does not answer")
        expect(page.get_by_role("button", name="Look < twice")).to_be_visible()
        expect(page.get_by_text("0 entries, chain whole")).to_be_visible()
        assert "geheim" not in page.content()
        visit.audit(axe, "8-down-light")
        page.get_by_role("button", name="Look < twice").click()
        expect(page.locator("dialog.drawer")).to_be_visible()
        visit.audit(axe, "9-drawer-dialog")
        page.keyboard.press("Escape")
        expect(page.locator("dialog.drawer")).not_to_be_visible()
        expect(page.get_by_role("button", name="Look < twice")).to_be_focused()
