"""A plan that is run beside the page: approved and rejected by clicks, over the same state."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from crossfade.ledger import Ledger
from tests.ui.conftest import ANN, BEN, ROOT, dashboard, visiting

pytestmark = pytest.mark.timeout(300)

PLAN = """# Two doors

## Phase 1: Open

**Task 1.1: Measure**
- **Owner**: Ann
- **Time**: 1 hour
- **Run**: `echo '{"width": 7}'`
- **Gate**: `result.width == 7`

**Task 1.2: Told by 1 < 2 & "people"**
- **Status**: ✅ Done

## Phase 2: Go through

**Task 2.1: The first door**
- **Description**: A door that opens to whoever is asked.
- **Dependencies**: Task 1.1
- **Approve**: 1
- **Run**: `echo through the first door`

**Task 2.2: The second door**
- **Dependencies**: Task 2.1
- **Approve**: 1
- **Run**: `echo through the second door`
"""


@contextmanager
def running(plan: Path, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """``crossfade run``, started by somebody who is not the one that approves."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CROSSFADE_")}
    with plan.with_name("run.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "crossfade", "run", str(plan)],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            env=environment | {"CROSSFADE_USER": name},
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_people_decide_by_clicks_and_the_run_goes_on(tmp_path: Path, chromium: Browser, axe: str) -> None:
    plan = tmp_path / "PLAN.md"
    plan.write_text(PLAN)
    tokens = ("--token", f"ann={ANN}", "--token", f"ben={BEN}")
    with dashboard(tmp_path, str(plan), *tokens) as served:
        with running(plan, "ann") as run, visiting(chromium, served, ANN) as visit:
            page = visit.page
            expect(page.get_by_text("There is no move here, only its plan.")).to_be_visible()
            asking = page.get_by_role("region", name="Waiting for people")
            expect(asking).to_contain_text("2.1 The first door waits for approval")
            expect(page).to_have_title("(1) Two doors · plan · Crossfade")
            visit.audit(axe, "r1-approval-light")

            page.get_by_role("button", name="Approve 2.1").click()
            page.wait_for_timeout(400)
            visit.dialog.get_by_role("button", name="Approve", exact=True).click()
            expect(visit.dialog).to_contain_text("ann started the run, and may not approve it")
            visit.look("r2-refused-dialog")
            visit.leave()

            with visiting(chromium, served, BEN) as other:
                other.page.get_by_role("button", name="Approve 2.1").click()
                other.dialog.get_by_label("Remark").fill("seen <b>it</b>")
                other.confirm("Approve")
                other.leave()
                expect(other.page.get_by_role("region", name="Waiting for people")).to_contain_text("2.2")
                other.page.get_by_role("button", name="Reject 2.2").click()
                other.page.wait_for_timeout(400)
                other.dialog.get_by_role("button", name="Reject", exact=True).click()
                expect(other.dialog.get_by_role("alert")).to_contain_text("Say why")
                other.dialog.get_by_label("Why").fill("not today")
                other.confirm("Reject")
                other.leave()
            expect(page.get_by_role("button", name="rejected 2.2")).to_be_visible()
            assert run.wait(60) == 1
            expect(asking).not_to_be_visible()
            page.get_by_role("button", name="done 2.1").click()
            drawer = page.locator("dialog.drawer")
            expect(drawer).to_contain_text("ben (as ")
            expect(drawer).to_contain_text("seen <b>it</b>")
            expect(drawer).to_contain_text("through the first door")
            visit.audit(axe, "r3-drawer-dialog")
            page.keyboard.press("Escape")
            page.get_by_role("button", name="done 1.1").click()
            expect(drawer).to_contain_text("width7")
            expect(drawer).to_contain_text("result.width == 7 is true")
            page.keyboard.press("Escape")
            expect(page.get_by_role("button", name='claimed 1.2 Told by 1 < 2 & "people"')).to_be_visible()
        with visiting(chromium, served, ANN, phone=True, dark=True) as visit:
            expect(visit.page.get_by_role("button", name="rejected 2.2")).to_be_visible()
            visit.audit(axe, "r4-rejected-phone")
    entries = list(Ledger(tmp_path / ".crossfade" / "ledger.jsonl").read())
    asked = [(one.data["verb"], one.data["by"].split()[0]) for one in entries if one.event == "ui.asked"]
    assert asked == [("approve", "ann"), ("approve", "ben"), ("reject", "ben")]
