"""A folder with a plan, workers that run it as processes, and a desk to look and to answer."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from crossfade.engine import Engine
from crossfade.ledger import Entry, Ledger
from crossfade.plans.model import Plan
from crossfade.plans.reading import parse_plan
from crossfade.runs.order import RunInput, input_of
from crossfade.runs.people import Person
from crossfade.runs.results import RunResult, TaskStatus
from crossfade.runs.state import TaskState
from tests.ending import end_all_in

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0


def person(name: str) -> Person:
    return Person(name=name, account=name, uid=1000, host="here")


ANN, BEN, EVE, STARTER = (person(name) for name in ("ann", "ben", "eve", "starter"))
GROUPS = {"ops": ("ann", "ben", "starter")}

EFFECT = 'printf \'%s %s\\n\' "$CROSSFADE_TASK" "$CROSSFADE_ATTEMPT_KEY" >> effects.txt'
"""A command that leaves one line for each time that it is run."""


def until(what: Callable[[], Any], told: str, patience: float = PATIENCE) -> Any:
    """Wait for it to be true; what it gave."""
    end = time.monotonic() + patience
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < end, f"waited in vain until {told}"
        time.sleep(0.02)


class Process:
    """A worker's process."""

    def __init__(self, pid: int, output: Path) -> None:
        self.pid = pid
        self.output = output

    @property
    def lives(self) -> bool:
        try:
            return psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def kill(self, *, group: bool = False) -> None:
        with suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.pid, signal.SIGKILL)

    def works(self) -> bool:
        return self.output.exists() and "working" in self.output.read_text()


class Nursery:
    """Starts workers; see `tests.runs.nursery`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.runs.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def worker(self, config: Path, output: Path) -> Process:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"config": str(config), "output": str(output)}) + "\n")
        self._process.stdin.flush()
        return Process(int(self._process.stdout.readline()), output)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._process.stdout.close()


class Scene:
    """One run of one plan."""

    def __init__(self, folder: Path, nursery: Nursery, url: str | None = None) -> None:
        self.folder = folder
        self.nursery = nursery
        self.url = url or f"sqlite:///{folder}/state.sqlite"
        self.ledger = Ledger(folder / "ledger.jsonl")
        self.order: RunInput | None = None
        self.settings: dict[str, Any] = {}
        self.processes: list[Process] = []
        self._numbers = itertools.count(1)
        self.desk = Engine(
            self.url,
            folder=folder / "desk",
            ledger=self.ledger,
            cwd=folder,
            polling=0.05,
            secrets=self.settings.get("secrets", ()),
        )

    # --- running ----------------------------------------------------------------

    def plan(self, text: str) -> tuple[Plan, bytes]:
        data = text.encode()
        return parse_plan(data, "PLAN.md"), data

    def make(self, text: str, **options: Any) -> RunInput:
        """The run of a plan in which ``EFFECT`` leaves its line."""
        plan, data = self.plan(text.replace("EFFECT", EFFECT))
        options = {"started_by": STARTER, "groups": GROUPS, "retry_pause": 0.05} | options
        self.order = input_of(plan, data, **options)
        return self.order

    def worker(self, name: str = "w1", *, start: bool = True, **settings: Any) -> Process:
        """A process that works, begins the run unless it has begun, and ends with it."""
        assert self.order is not None
        number = next(self._numbers)
        folder = self.folder / f"state-{name}"
        folder.mkdir(exist_ok=True)
        config = {
            "url": self.url,
            "folder": str(folder),
            "ledger": str(self.ledger.path),
            "cwd": str(self.folder),
            "name": name,
            "run": self.order.run,
            "start": self.order.as_json() if start else None,
            **self.settings,
            **settings,
        }
        path = self.folder / f"config-{number}.json"
        path.write_text(json.dumps(config))
        process = self.nursery.worker(path, self.folder / f"output-{number}.txt")
        self.processes.append(process)
        return process

    def run(self, text: str, **options: Any) -> RunResult:
        """Run a plan to its end."""
        self.make(text, **options)
        self.worker()
        return self.wait()

    def wait(self, patience: float = PATIENCE) -> RunResult:
        """The end of the run, which some worker has to bring."""

        def look() -> RunResult | None:
            if not self.desk.database.exists:
                assert any(one.lives for one in self.processes), self.outputs()
                return None
            found = [one for one in self.desk.runs() if one.run == self.run_id and one.outcome is not None]
            if not found:
                assert any(one.lives for one in self.processes), self.outputs()
                return None
            return self.desk.result(self.run_id)

        result = until(look, "the run ended", patience)
        assert isinstance(result, RunResult)
        until(lambda: not any(one.lives for one in self.processes), "the workers ended")
        return result

    @property
    def run_id(self) -> str:
        assert self.order is not None
        return self.order.run

    def is_begun(self) -> bool:
        return self.desk.database.exists and any(one.run == self.run_id for one in self.desk.runs())

    def task(self, identifier: str) -> TaskState:
        found = self.desk.state(self.run_id).task(identifier)
        assert found is not None
        return found

    def until_task(self, identifier: str, *statuses: TaskStatus) -> TaskState:
        """Wait until a task stands like that."""

        def look() -> TaskState | None:
            if not self.is_begun():
                return None
            found = self.task(identifier)
            return found if found.status in statuses else None

        found = until(look, f"task {identifier} is {' or '.join(statuses)}")
        assert isinstance(found, TaskState)
        return found

    # --- looking ----------------------------------------------------------------

    def effects(self) -> list[str]:
        """The tasks whose effect there is, in the order in which they were done."""
        path = self.folder / "effects.txt"
        return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def evidence(self, event: str | None = None) -> list[Entry]:
        assert self.ledger.verify().whole
        return [entry for entry in self.ledger.read() if event is None or entry.event == event]

    def notices(self) -> list[str]:
        return [
            json.loads(line)[0]
            for path in self.folder.glob("state-*/notices.jsonl")
            for line in path.read_text().splitlines()
        ]

    def outputs(self) -> str:
        texts = [path.read_text() for path in sorted(self.folder.glob("output-*.txt"))]
        texts += [path.read_text()[-4000:] for path in sorted(self.folder.glob("state-*/engine.log"))]
        return "\n".join(texts)

    def close(self) -> None:
        for process in self.processes:
            process.kill(group=True)
        end_all_in(self.folder)
        self.desk.close()
