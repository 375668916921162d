"""The whole demo, whose plan goes on only when somebody clicks."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.runs.scene import until
from tests.ui.conftest import ROOT, Dashboard, visiting

pytestmark = pytest.mark.timeout(300)

ADDRESS = re.compile(r"the dashboard is at (http://\S+)/\?token=(\S+)")


class Demo:
    """``make demo`` with few players and few past games."""

    def __init__(self, folder: Path) -> None:
        self.report = folder / "report.json"
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-u", "-m", "examples.timeline.demo", "--clicks"),
                *("--rate", "80", "--sessions", "2000", "--report", str(self.report)),
            ],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("CROSSFADE_")},
        )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    @property
    def said(self) -> str:
        return "".join(self.lines)

    def dashboard(self) -> tuple[Dashboard, str]:
        """The page, and the token to come in with."""
        until(lambda: ADDRESS.search(self.said) or self.process.poll() is not None, "the page is there")
        found = ADDRESS.search(self.said)
        assert found is not None, self.said
        return Dashboard(f"{found[1]}/?token={found[2]}", self.process.pid, self.report), found[2]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # it ends what it started
        self.process.wait(60)
        self._reading.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    made = Demo(tmp_path)
    try:
        yield made
    finally:
        made.close()


def test_a_whole_demo_goes_by_clicks(demo: Demo, chromium: Browser, axe: str) -> None:
    served, token = demo.dashboard()
    with visiting(chromium, served, token, dark=True) as visit:
        page = visit.page
        for task in ("4.1", "5.1"):
            approve = page.get_by_role("button", name=f"Approve {task}")
            expect(approve).to_be_visible(timeout=120_000)
            visit.audit(axe, f"demo-{task}-dark")
            approve.click()
            visit.confirm("Approve")
            visit.leave()
        expect(page.get_by_role("button", name=re.compile("^done 5.1"))).to_be_visible(timeout=120_000)
        expect(page.get_by_text("The guard rolled back")).to_be_visible()
        visit.look("demo-home-dark")
    assert demo.process.wait(120) == 0, demo.said
    report = json.loads(demo.report.read_text())
    found = {name: report[name] for name in ("failed", "lost_writes", "duplicated_writes", "differences")}
    assert found == dict.fromkeys(found, 0), demo.said
    assert (report["lead_changes"], report["acknowledged_writes"] > 0) == (3, True)
