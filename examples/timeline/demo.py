"""The whole job, for real: a live legacy game is moved under traffic, rolled back when it misbehaves, and
moved again.

``python -m examples.timeline.demo [--keep] [--clicks]`` starts both backends, PostgreSQL, the router, the
players and the dashboard, then runs ``PLAN.md`` with ``crossfade run`` as a team would.  Somebody who did not start
the run approves the cutovers: the demo itself, or you, with ``--clicks``.  It ends with a table and
``demo-report.json``; the exit status is 0 only if no request failed and no write was lost or doubled.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crossfade.stores.postgres.embedded import EmbeddedPostgres
from examples.timeline.audit import audit

ROOT = Path(__file__).resolve().parents[2]
SPEC = Path(__file__).with_name("crossfade.yaml")
PLAN = Path(__file__).with_name("PLAN.md")


@dataclass
class Stage:
    """The processes and files of one run; everything started here is ended here."""

    folder: Path
    environment: dict[str, str]
    processes: dict[str, subprocess.Popen[Any]] = field(default_factory=dict)

    def start(self, name: str, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a Python module of the repository in the background; its output goes to a log."""
        log = (self.folder / f"{name}.log").open("ab")
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                env=self.environment | environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.processes[name] = process
        return process

    def end(self, name: str) -> None:
        """End one process and wait for it."""
        process = self.processes.pop(name, None)
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def crossfade(self, *arguments: str, allowed: tuple[int, ...] = (0,)) -> dict[str, Any]:
        """Run the command with ``--json`` and give its answer; ``SystemExit`` when it says no."""
        began = time.monotonic()
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "crossfade",
                *arguments,
                "--spec",
                str(self.folder / "crossfade.yaml"),
                "--json",
            ],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in allowed:
            raise SystemExit(
                f"crossfade {' '.join(arguments)} answered {done.returncode}:\n{done.stdout}{done.stderr}"
                f"logs: {self.folder}"
            )
        answer = json.loads(done.stdout)
        answer["took"] = time.monotonic() - began
        return dict(answer)


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rate",
        type=float,
        default=200.0,
        help="requests a second (default 200)",
    )
    parser.add_argument("--sessions", type=int, default=50_000, help="past games in the database")
    parser.add_argument(
        "--lead-changes", type=int, default=3, help="odd; more than 3 go there and back again"
    )
    parser.add_argument("--report", type=Path, default=ROOT / "demo-report.json")
    parser.add_argument("--keep", action="store_true", help="leave the game running in the browser")
    parser.add_argument(
        "--clicks",
        action="store_true",
        help="approve nothing by itself: the dashboard or `crossfade approve` does",
    )
    chosen = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="crossfade-demo-", dir="/tmp"))
    folder.chmod(0o755)
    began = time.monotonic()
    with EmbeddedPostgres(folder / "pg") as postgres:
        stage = _stage(folder, postgres)
        try:
            report = _run(stage, chosen.rate, chosen.sessions, chosen.lead_changes, clicks=chosen.clicks)
            report["seconds"] = round(time.monotonic() - began, 1)
            chosen.report.write_text(json.dumps(report, indent=2) + "\n")
            good = _judge(report, chosen.report)
            if chosen.keep:
                _keep(stage)
        finally:
            for name in list(stage.processes):
                stage.end(name)
            _end_move(folder)
    if good:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"logs and databases: {folder}")
    return 0 if good else 1


def _stage(folder: Path, postgres: EmbeddedPostgres) -> Stage:
    database = "timeline"
    import psycopg

    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {database}")
    ports = [_free_port() for _ in range(3)]
    environment = dict(os.environ) | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": str(ROOT),
        "TIMELINE_FAULT": str(folder / "fault"),
        "CROSSFADE_SPEC": str(folder / "crossfade.yaml"),
        "CROSSFADE_USER": "demo",
        "TIMELINE_OLD_DB": str(folder / "legacy.db"),
        "TIMELINE_NEW_DB": postgres.url(database),
        "TIMELINE_OLD_PORT": str(ports[0]),
        "TIMELINE_NEW_PORT": str(ports[1]),
        "TIMELINE_PORT": str(ports[2]),
        "TIMELINE_ADMIN_KEYS": os.environ.get("TIMELINE_ADMIN_KEYS", ""),
    }
    os.environ.update(environment)
    shutil.copy(SPEC, folder / "crossfade.yaml")
    return Stage(folder, environment)


def _run(stage: Stage, rate: float, sessions: int, lead_changes: int, *, clicks: bool) -> dict[str, Any]:
    env, folder = stage.environment, stage.folder

    _say(f"past games: {sessions:,} sessions in a SQLite database")
    _python("examples.timeline.generate", "--database", env["TIMELINE_OLD_DB"], "--sessions", str(sessions))
    _python("examples.timeline.backend", "migrate", "--database-url", env["TIMELINE_NEW_DB"])
    stage.start(
        "legacy",
        "examples.timeline.legacy",
        "--database",
        env["TIMELINE_OLD_DB"],
        "--port",
        env["TIMELINE_OLD_PORT"],
    )
    stage.start(
        "backend", "examples.timeline.backend", "--database-url", env["TIMELINE_NEW_DB"],
        "--port", env["TIMELINE_NEW_PORT"], "--fault-file", env["TIMELINE_FAULT"],
    )  # fmt: skip
    _until("the legacy backend answers", lambda: _answers(env["TIMELINE_OLD_PORT"]))
    _until("the new backend answers", lambda: _answers(env["TIMELINE_NEW_PORT"]))

    stage.crossfade("shift", "0%")
    _say(f"the router stands before the game at http://127.0.0.1:{env['TIMELINE_PORT']}/")
    _play(stage, rate)

    plan = folder / PLAN.name
    plan.write_text(with_lead_changes(PLAN.read_text(encoding="utf-8"), lead_changes), encoding="utf-8")
    _show_dashboard(stage, plan)
    _carry_out(stage, plan, clicks=clicks)
    _more_requests(folder, int(rate))
    stage.end("players")

    verified = [entry["data"] for entry in _evidence(folder, "verify.done")]
    holds = [entry["data"]["hold_ms"] for entry in _evidence(folder, "switch.done")]
    played = _players(folder)
    found = audit(folder / "ledger.jsonl", env["TIMELINE_NEW_DB"])
    return {
        "requests": played["requests"],
        "failed": played["failed"],
        "injected_failures": played["injected_failures"],
        "acknowledged_writes": found.acknowledged_writes,
        "lost_writes": found.lost_writes,
        "duplicated_writes": found.duplicated_writes,
        "rows_verified": sum(one["rows"] for one in verified),
        "differences": sum(one["differences"] for one in verified),
        "lead_changes": len(holds),
        "holds_ms": [round(hold, 1) for hold in holds],
        "longest_hold_ms": round(max(holds), 1),
        "rollback_trigger": _guard_reason(folder),
        "rate": rate,
    }


def with_lead_changes(plan: str, lead_changes: int) -> str:
    """The plan with more changes of the lead, there and back, before it stays."""
    last = "5.1"
    more = ""
    for number in range((lead_changes - 3) // 2):
        for name, verb, side in (("back", "rollback", "old"), ("forth", "cutover", "new")):
            task = f"5.1.{2 * number + (1 if side == 'old' else 2)}"
            more += (
                f"**Task {task}: Once more {name}**\n- **Owner**: operations\n- **Deliverable**: the {side} side leads\n"
                f"- **Dependencies**: Task {last}\n- **Status**: ⏳ Not Started\n- **Run**: `crossfade {verb}`\n- **Retry**: 2\n"
                f"- **Gate**: `leader == '{side}' && {side}.requests > 200 && {side}.error_rate < 0.01`\n\n"
            )
            last = task
    # what waited for the last cutover waits for the last of these
    plan = plan.replace("- **Dependencies**: Task 5.1\n", f"- **Dependencies**: Task {last}\n")
    return plan.replace("**Task 5.2:", f"{more}**Task 5.2:")


def _show_dashboard(stage: Stage, plan: Path) -> None:
    """Start ``crossfade ui`` and say where it is.  Whoever clicks there is not the one who starts the run, and so may
    approve."""
    log = stage.folder / "ui.log"
    stage.start("ui", "crossfade", "ui", str(plan), "--json", CROSSFADE_USER="operator")
    _until("the dashboard is there", lambda: log.exists() and log.read_text().startswith("{"))
    _say(f"the dashboard is at {json.loads(log.read_text().splitlines()[0])['url']}")


def _carry_out(stage: Stage, plan: Path, *, clicks: bool) -> None:
    """``crossfade run``, line by line; whoever did not start it approves what it asks for."""
    process = subprocess.Popen(
        [sys.executable, "-m", "crossfade", "run", str(plan)],
        cwd=ROOT,
        env=stage.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    stage.processes["run"] = process
    for line in process.stdout or ():
        _say(f"  {line.rstrip()}")
        asked = re.search(r"crossfade approve (\S+)", line)
        if asked and not clicks:
            done = subprocess.run(
                [sys.executable, "-m", "crossfade", "approve", asked[1], "--reason", "the numbers are good"],
                cwd=ROOT,
                env=stage.environment | {"CROSSFADE_USER": "operator"},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise SystemExit(f"approving {asked[1]} failed:\n{done.stdout}{done.stderr}")
    if process.wait(30):
        raise SystemExit(f"the plan was not carried out; see {stage.folder / '.crossfade' / 'runs'}")
    del stage.processes["run"]


def _play(stage: Stage, rate: float) -> None:
    """Start the players, and go on when they play."""
    (stage.folder / "players.json").unlink(missing_ok=True)
    stage.start(
        "players", "examples.timeline.players",
        "--base-url", f"http://127.0.0.1:{stage.environment['TIMELINE_PORT']}", "--rate", str(rate),
        "--ledger", str(stage.folder / "ledger.jsonl"), "--report", str(stage.folder / "players.json"),
    )  # fmt: skip
    _until("the players play", lambda: _players(stage.folder).get("requests", 0) > rate)
    _say(f"players send {rate:g} requests a second, a third of them writes")


def _judge(report: dict[str, Any], path: Path) -> bool:
    print()
    for name, value in report.items():
        print(f"  {name:<20} {value}")
    print(f"\n  {path}")
    return not any(report[name] for name in ("failed", "lost_writes", "duplicated_writes", "differences"))


def _keep(stage: Stage) -> None:
    print(f"\nThe game goes on at http://127.0.0.1:{stage.environment['TIMELINE_PORT']}/  (Ctrl-C ends it)")
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()


def _end_move(folder: Path) -> None:
    """The follower and the router outlive the ``crossfade`` that started them, so the demo ends them itself."""
    from crossfade import background
    from crossfade.errors import CrossfadeError
    from crossfade.move import Move

    with contextlib.suppress(CrossfadeError):
        background.stop_follower(folder / "crossfade.yaml")
    with Move.open(folder / "crossfade.yaml") as move:
        if move.router is not None:
            move.router.stop()


def _guard_reason(folder: Path) -> str:
    entries = _evidence(folder, "guard.rollback")
    return str(entries[-1]["data"]["why"]) if entries else "unknown"


def _evidence(folder: Path, event: str) -> list[dict[str, Any]]:
    lines = (folder / ".crossfade" / "ledger.jsonl").read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if entry["event"] == event]


def _players(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / "players.json").read_text()))
    except FileNotFoundError:
        return {}


def _more_requests(folder: Path, count: int) -> None:
    """Go on when the players have sent that many more."""
    target = _players(folder)["requests"] + count
    _until("the players go on", lambda: _players(folder)["requests"] >= target, seconds=120)


def _answers(port: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _until(what: str, true: Callable[[], bool], *, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {seconds:g} s in vain until {what}")
        time.sleep(0.1)


def _python(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
