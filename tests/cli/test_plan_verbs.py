"""``crossfade plan`` and ``crossfade run`` as a newcomer meets them: shapes, exit codes, and the document kept true."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from crossfade.cli import GROUPS, VERBS, app
from crossfade.ledger import Ledger
from tests.runs.scene import until

PLAN = """\
# A small plan

**Estimated**: 3 hours

## Phase 1: Begin

**Task 1.1: First**
- **Owner**: backend
- **Time**: 1 hour
- **Deliverable**: a line
- **Status**: ⏳ Not Started
- **Run**: `echo one >> out.txt`

**Task 1.2: Second**
- **Owner**: backend
- **Time**: 2 hours
- **Deliverable**: another line
- **Dependencies**: Task 1.1
- **Status**: ⏳ Not Started
- **Run**: `echo two >> out.txt; echo '{"answer": 42}'`
- **Gate**: `result.answer == 42`

### Quality gates

- both lines are there
"""


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "PLAN.md"
    path.write_text(PLAN, encoding="utf-8")
    return path


def ask(*arguments: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(app, [*arguments, "--json"])
    return done.exit_code, json.loads(done.stdout)


def run(*arguments: str, user: str = "ann") -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "crossfade", *arguments, "--json"],
        capture_output=True,
        text=True,
        timeout=100,
        env=os.environ | {"CROSSFADE_USER": user},
    )
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("verb", ["show", "lint", "schedule", "report"])
def test_each_verb_prints_its_documented_shape(plan: Path, verb: str) -> None:
    code, answer = ask("plan", verb, str(plan))
    assert code == 0
    assert answer.keys() == GROUPS["plan"].VERBS[verb].JSON.keys()
    assert CliRunner().invoke(app, ["plan", verb, str(plan)]).exit_code == 0


def test_show_has_phases_with_tasks_at_their_lines(plan: Path) -> None:
    _, answer = ask("plan", "show", str(plan))
    tasks = [(task["id"], task["title"], task["source"]["line"]) for task in answer["phases"][0]["tasks"]]
    assert tasks == [("1.1", "First", 7), ("1.2", "Second", 14)]


def test_lint_says_no_to_errors_only_unless_it_is_strict(plan: Path) -> None:
    plan.write_text(PLAN.replace("Task 1.1\n", "Task 9.9\n"), encoding="utf-8")
    code, answer = ask("plan", "lint", str(plan))
    assert (code, answer["errors"], answer["problems"][0]["line"]) == (1, 1, 18)
    plan.write_text(PLAN.replace("3 hours", "30 hours"), encoding="utf-8")
    code, answer = ask("plan", "lint", str(plan))
    assert (code, answer["errors"], answer["warnings"]) == (0, 0, 1)
    assert ask("plan", "lint", str(plan), "--strict")[0] == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"\x00\x01\x02", "NUL byte"), (b"\xff\xfe\x00a", "UTF-16"), (None, "cannot be read")],
)
def test_what_is_no_plan_is_said_with_file_and_line(plan: Path, content: bytes | None, says: str) -> None:
    plan.unlink() if content is None else plan.write_bytes(content)
    for verb in ("show", "lint", "schedule", "report"):
        code, answer = ask("plan", verb, str(plan))
        assert code == 2
        assert says in answer["what"]
        assert str(plan) in answer["where"]


def test_schedule_ends_when_the_work_does_and_draws_it(plan: Path) -> None:
    chart = plan.with_name("chart.svg")
    code, answer = ask("plan", "schedule", str(plan), "--start", "2026-11-20", "--gantt", str(chart))
    assert code == 0
    assert answer["end"].startswith("2026-11-20T12:00")
    assert answer["critical_path"] == ["1.1", "1.2"]
    assert chart.read_text(encoding="utf-8").startswith("<svg")
    code, answer = ask("plan", "schedule", str(plan), "--start", "soon")
    assert (code, answer["where"]) == (2, "--start")


def test_a_rehearsals_durations_are_what_schedule_reckons_with(plan: Path) -> None:
    kept = plan.parent / ".crossfade" / "rehearsal.json"
    kept.parent.mkdir()
    kept.write_text(json.dumps({"plan": "A small plan", "run": "r", "hours": {"1.1": 0.5}}), encoding="utf-8")
    _, answer = ask("plan", "schedule", str(plan), "--start", "2026-11-20")
    assert answer["end"].startswith("2026-11-20T11:30")
    kept.write_text(json.dumps({"plan": "Another", "hours": {"1.1": 0.5}}), encoding="utf-8")
    _, answer = ask("plan", "schedule", str(plan), "--start", "2026-11-20")
    assert answer["end"].startswith("2026-11-20T12:00")


def test_a_report_is_a_page_of_its_own(plan: Path) -> None:
    page = plan.with_name("report.html")
    assert ask("plan", "report", str(plan), "--output", str(page))[0] == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "//" not in text.replace("http://www.w3.org", ""), "nothing is fetched from anywhere"
    assert ask("plan", "report", str(plan), "--output", str(plan.with_name("r.pdf")))[0] == 2


def test_a_dry_run_does_nothing_and_says_everything(plan: Path) -> None:
    code, answer = run("run", str(plan), "--dry-run")
    assert code == 0
    assert answer.keys() == VERBS["run"].JSON.keys()
    assert [step["kind"] for step in answer["steps"] if step["task"] == "1.2"] == [
        "begin",
        "command",
        "gate",
        "files",
    ]
    assert not plan.with_name("out.txt").exists()
    assert plan.read_text(encoding="utf-8") == PLAN


def test_a_run_does_each_task_once_and_keeps_the_document_true(plan: Path) -> None:
    code, answer = run("run", str(plan))
    assert (code, answer["outcome"], answer["tasks"]) == (0, "done", {"1.1": "done", "1.2": "done"})
    assert plan.with_name("out.txt").read_text() == "one\ntwo\n"
    before, after = PLAN.splitlines(), plan.read_text(encoding="utf-8").splitlines()
    gone = [line for line in before if line not in after]
    assert gone == ["- **Status**: ⏳ Not Started"] * 2
    assert sum(line.startswith("- **Evidence**: ledger ") for line in after) == 2
    code, answer = run("run", str(plan))
    assert (code, answer["tasks"]) == (0, {"1.1": "skipped", "1.2": "skipped"})
    assert plan.with_name("out.txt").read_text() == "one\ntwo\n"
    assert plan.read_text(encoding="utf-8").splitlines() == after, "nothing more to say"
    ledger = str(plan.parent / ".crossfade" / "ledger.jsonl")
    assert ask("evidence", "verify", "--ledger", ledger)[0] == 0
    _, answer = run("run", "--list")
    assert [one["outcome"] for one in answer["runs"]] == ["done", "done"]


def test_a_closed_gate_ends_the_run_with_no_and_stands_in_the_document(plan: Path) -> None:
    plan.write_text(PLAN.replace("== 42", "== 43"), encoding="utf-8")
    code, answer = run("run", str(plan))
    assert (code, answer["outcome"], answer["failed"]) == (1, "failed", "1.2")
    text = plan.read_text(encoding="utf-8")
    assert "❌" in text or "Blocked" in text
    plan.write_text(text.replace("== 43", "== 42"), encoding="utf-8")
    code, answer = run("run", str(plan))
    assert (code, answer["tasks"]) == (0, {"1.1": "skipped", "1.2": "done"})
    assert plan.with_name("out.txt").read_text() == "one\ntwo\ntwo\n"


def test_a_plan_with_errors_is_not_run(plan: Path) -> None:
    plan.write_text(PLAN.replace("Task 1.1\n", "Task 9.9\n"), encoding="utf-8")
    code, answer = run("run", str(plan))
    assert code == 1
    assert "PLAN.md:18" in answer["what"]
    assert not plan.with_name("out.txt").exists()


def test_whoever_started_a_run_does_not_approve_it(plan: Path) -> None:
    plan.write_text(PLAN.replace("- **Gate**", "- **Approve**: 1\n- **Gate**"), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "crossfade", "run", str(plan), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"CROSSFADE_USER": "ann"},
    )
    try:
        for line in process.stderr or ():
            if "crossfade approve 1.2" in line:
                break
        code, answer = run("approve", "1.2", "--plan", str(plan), user="ann")
        assert code == 1
        assert "started" in answer["what"]
        code, answer = run("approve", "1.2", "--plan", str(plan), "--reason", "looks good", user="ben")
        assert (code, answer["by"], answer["new"]) == (0, "ben", True)
        assert answer.keys() == VERBS["approve"].JSON.keys()
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert json.loads(out)["outcome"] == "done"
    code, answer = run("reject", "1.2", "--plan", str(plan), "--reason", "too late", user="ben")
    assert (code, answer["what"]) == (2, "no run goes on")


def works(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_is_cancelled_has_ended_before_it_is_done_again(plan: Path) -> None:
    folder = plan.parent
    loop = "echo $$ >> pids; while [ ! -e go ]; do sleep 0.02; done; echo end >> ends"
    plan.write_text(
        f"# Long\n\n**Task 1: Long**\n- **Status**: ⏳ Not Started\n- **Run**: `{loop}`\n", encoding="utf-8"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "crossfade", "run", str(plan)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
    )
    try:
        until(lambda: (folder / "pids").exists() and (folder / "pids").read_text().endswith("\n"), "it runs")
        process.kill()
        process.wait()
        [listed] = run("run", "--list")[1]["runs"]
        assert "is gone" in listed["stands_still"]
        code, answer = run("run", str(plan), "--cancel")
        assert (code, answer["outcome"]) == (0, "cancelled")
        [pid] = map(int, (folder / "pids").read_text().split())
        assert not works(pid), "it would run beside its successor"
        assert "Not Started" in plan.read_text(encoding="utf-8")
        stopped = [
            e for e in Ledger(folder / ".crossfade" / "ledger.jsonl").read() if e.event == "command.stopped"
        ]
        assert [one.data["task"] for one in stopped] == ["1"]
    finally:
        (folder / "go").touch()
        if process.poll() is None:
            process.kill()
            process.wait()
    code, answer = run("run", str(plan))
    assert (code, answer["tasks"]) == (0, {"1": "done"})
    assert (folder / "ends").read_text() == "end\n"


def test_a_place_that_cannot_be_is_told_and_not_traced(plan: Path) -> None:
    for state in ("sqlite:////proc/x.db", f"sqlite:///{plan}/x.db"):
        code, answer = run("run", str(plan), "--state", state)
        assert (code, answer["what"].startswith("the database of the runs cannot be made")) == (3, True), (
            answer
        )
    code, answer = run("run", str(plan), "--state", str(plan.parent))
    assert (code, "sqlite:////absolute/path" in answer["todo"]) == (2, True)
    assert run("run", str(plan), "--dry-run", "--rehearse")[0] == 2
    assert run("approve", "1", "--plan", str(plan.with_name("none.md")))[0] == 2


def test_evidence_is_found_where_a_run_without_a_spec_left_it(
    plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(plan.parent)
    assert run("run", str(plan))[0] == 0
    code, answer = ask("evidence", "verify")
    assert (code, answer["whole"]) == (0, True)
