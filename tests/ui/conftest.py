"""The page as its users meet it: `crossfade ui` as a process, and Chromium."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect, sync_playwright

ROOT = Path(__file__).parents[2]
CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
]
ANN, BEN = "annannannannann", "benbenbenbenben"


@dataclass(frozen=True)
class Dashboard:
    """A page that is served."""

    url: str
    pid: int
    errors: Path
    people: dict[str, str] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def dashboard(folder: Path, *arguments: str) -> Iterator[Dashboard]:
    """Start ``crossfade ui`` and end it by its process id."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    errors = folder / "ui.log"
    with errors.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "crossfade", "ui", *arguments, "--json"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
        )
    assert process.stdout is not None
    try:
        ready, _, _ = select.select([process.stdout], [], [], 60)
        line = process.stdout.readline() if ready else b""
        assert line, f"the page does not start: {errors.read_text()}"
        said = json.loads(line)
        assert said.keys() == {"url", "people", "pid"}, said
        yield Dashboard(said["url"], said["pid"], errors, said["people"])
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
        process.stdout.close()
    assert code == 0, errors.read_text()


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """A browser for these tests; each opens a context of its own.  It ends with the package: while Playwright is
    open no other test of the same process can run an event loop of its own."""
    if not CHROMIUM.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("CI installs Chromium, so that nothing is skipped")
        pytest.skip("needs Chromium: apt-get install chromium")
    expect.set_options(timeout=40_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, as npm installs it by the lock file."""
    folder = tmp_path_factory.mktemp("axe")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(Path(__file__).with_name(name), folder)
    source = folder / "node_modules" / "axe-core" / "axe.min.js"
    try:
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=True)
        return source.read_text(encoding="utf-8")
    except (OSError, subprocess.SubprocessError) as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI has npm and axe-core, so that nothing is skipped: {error}")
        pytest.skip(f"needs axe-core from npm: {error}")


@dataclass
class Visit:
    """A page in Chromium; what goes wrong in its scripts is collected."""

    page: Page
    errors: list[str]

    def look(self, name: str) -> None:
        """Keep a picture of it in the folder that CROSSFADE_SCREENSHOTS names."""
        folder = os.environ.get("CROSSFADE_SCREENSHOTS")
        if folder:
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page="dialog" not in name)

    def press(self, button: str, confirm: str) -> None:
        """Click a button and confirm what the dialog says."""
        self.page.get_by_role("button", name=button).first.click()
        expect(self.dialog).to_be_visible()
        self.confirm(confirm)

    def confirm(self, button: str) -> None:
        """Click the confirming button, and again while that counts as the end of a double click."""
        working = self.dialog.locator(".work")
        for _ in range(20):
            self.dialog.get_by_role("button", name=button, exact=True).click()
            with contextlib.suppress(AssertionError):
                expect(working).to_be_visible(timeout=1000)
                break
        expect(self.dialog.get_by_text("Done", exact=True)).to_be_visible(timeout=60_000)

    @property
    def dialog(self) -> Locator:
        return self.page.locator("dialog.confirm")

    def leave(self) -> None:
        """Close the dialog."""
        self.page.keyboard.press("Escape")
        expect(self.dialog).not_to_be_visible()

    def audit(self, axe: str, name: str) -> None:
        """No serious or critical finding, and nothing wider than the window."""
        self.look(name)
        found = self.page.evaluate(f"{axe}; axe.run(document, {{resultTypes: ['violations']}})")
        assert [
            (one["id"], one["help"], [node["html"][:200] for node in one["nodes"]][:5])
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ] == []
        assert len(found["passes"]) > 10, "it looked at something"
        wide = self.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert wide[0] <= wide[1], f"{name} scrolls sideways"


PHONE: ViewportSize = {"width": 390, "height": 844}
DESK: ViewportSize = {"width": 1280, "height": 900}


@contextmanager
def visiting(
    browser: Browser, served: Dashboard, token: str, *, phone: bool = False, dark: bool = False
) -> Iterator[Visit]:
    """Come in by the address with the token; a script error fails the test."""
    context = browser.new_context(
        viewport=PHONE if phone else DESK,
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("request", lambda asked: errors.append(asked.url) if is_foreign(asked.url, served) else None)
    try:
        page.goto(f"{served.base}/?token={token}")
        page.wait_for_url(f"{served.base}/")
        expect(page.locator(".page")).to_be_visible()
        yield Visit(page, errors)
        assert errors == []
    finally:
        context.close()


def is_foreign(url: str, served: Dashboard) -> bool:
    """Whether a request goes anywhere else."""
    return not url.startswith((served.base, f"ws://127.0.0.1:{served.port}", "data:", "blob:"))
