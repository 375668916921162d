"""A plan in its third week: the document, the evidence of its runs, its schedule and the traffic."""

from __future__ import annotations

import datetime
import hashlib
import math
import sys
from pathlib import Path
from typing import Any

from crossfade.ledger import GENESIS, Entry
from crossfade.plans.model import Plan
from crossfade.plans.reading import parse_plan
from crossfade.plans.report import Report
from crossfade.plans.report_build import build
from crossfade.plans.schedule import Schedule, schedule
from crossfade.plans.traffic import Bucket, SideTraffic
from crossfade.plans.truth import true_plan, truth
from crossfade.runs.order import digest_of

FOLDER = Path(__file__).parent / "report"
START = datetime.date(2026, 3, 2)
NOW = datetime.datetime(2026, 3, 18, 9, 0, tzinfo=datetime.UTC)
SINCE = datetime.datetime(2026, 3, 11, 9, 0, tzinfo=datetime.UTC)
MEASURES = {
    "p95": 187.4,
    "error_rate": 0.0021,
    "lag": 0.14,
    "verify": {"differences": 3},
}


class History:
    """Entries as the ledger of ``ann``'s machine would have them, chained, with times of our own."""

    def __init__(self, plan: Plan, *, run: str = "r1", mode: str = "live", starter: str = "ann") -> None:
        self.plan = plan
        self.entries: list[Entry] = []
        self.run, self.mode, self.starter = run, mode, starter

    def add(self, at: str, event: str, /, **data: Any) -> Entry:
        """An entry that belongs to no run."""
        before = self.entries[-1].hash if self.entries else GENESIS
        number = len(self.entries) + 1
        entry = Entry(
            seq=number,
            at=f"{at}:00.000Z",
            who={"user": "ann@host", "pid": 7, "version": "0.1.0"},
            move="orders",
            event=event,
            data=data,
            prev=before,
            hash=hashlib.sha256(f"{before}{number}{at}{event}".encode()).hexdigest(),
        )
        self.entries.append(entry)
        return entry

    def start(self, at: str) -> None:
        """The run begins."""
        self.add(at, "run.started", started_by={"name": self.starter}, **self._common())

    def task(self, at: str, event: str, task: str, /, **data: Any) -> Entry:
        """An entry of the run about a task."""
        known = self.plan.task(task)
        common = self._common() | {"task": task, "by": "worker-1"}
        if known is not None:
            common["digest"] = digest_of(known)
        return self.add(at, event, **common | data)

    def end(self, at: str, outcome: str = "done") -> None:
        """The run ends."""
        self.add(at, "run.finished", outcome=outcome, **self._common())

    def _common(self) -> dict[str, Any]:
        return {"plan": self.plan.title, "mode": self.mode, "run": self.run}


def weekly_plan() -> Plan:
    """The plan as it is read from the document."""
    return parse_plan((FOLDER / "plan.md").read_bytes(), "PLAN.md")


def weekly_entries(plan: Plan) -> list[Entry]:
    """One run: preflight and inventory done, the copy done, verification failed, the cutover waits."""
    history = History(plan)
    history.start("2026-03-05T08:00")
    history.task("2026-03-06T16:00", "task.started", "1.2")
    history.task("2026-03-06T17:30", "task.done", "1.2", seconds=5_400.0)
    history.task("2026-03-16T10:00", "task.started", "1.3")
    history.task(
        "2026-03-16T10:02", "gate.judged", "1.3", gate="check.errors == 0", passed=True, text="holds"
    )
    history.task("2026-03-16T10:02", "task.done", "1.3", seconds=96.4)
    history.task("2026-03-16T11:00", "task.started", "2.1")
    history.task(
        "2026-03-16T12:31",
        "gate.judged",
        "2.1",
        gate="copy.rejected == 0",
        passed=True,
        text="copy.rejected == 0 is true (copy.rejected = 0)",
        seen={"copy.rejected": 0},
    )
    history.task("2026-03-16T12:31", "task.done", "2.1", seconds=5_466.0, approvals=["ben"])
    history.add("2026-03-17T08:00", "shift.withdrawn", lag=6.2)
    history.task("2026-03-17T09:00", "task.started", "2.2")
    history.task(
        "2026-03-17T09:08",
        "gate.judged",
        "2.2",
        gate="verify.differences == 0",
        passed=False,
        text="verify.differences == 0 is false (verify.differences = 3)",
        seen={"verify.differences": 3, "lag": 0.4},
    )
    history.task(
        "2026-03-17T09:08", "task.failed", "2.2", reason="its gate is closed: verify.differences = 3"
    )
    history.add("2026-03-17T14:00", "switch.begun", to="new", epoch=0, verb="cutover", reason="")
    history.add("2026-03-17T14:00", "switch.done", to="new", epoch=1, hold_ms=36.4, cut_off=0, maybe_lost="")
    history.add(
        "2026-03-17T18:30",
        "switch.begun",
        to="old",
        epoch=1,
        verb="rollback",
        reason="error_rate 0.21 > 0.05",
    )
    history.add("2026-03-17T18:30", "switch.done", to="old", epoch=2, hold_ms=41.9, cut_off=2, maybe_lost="")
    history.task("2026-03-18T07:00", "approval.asked", "3.1", request={"count": 2, "group": "ops"})
    return history.entries


def weekly_schedule(plan: Plan) -> Schedule:
    """From the second of March on, as it looks on the day of the report."""
    true = true_plan(plan, truth(plan, weekly_entries(plan)))
    return schedule(true, start=START, today=NOW.date())


def weekly_traffic() -> tuple[Bucket, ...]:
    """Two days in half hours: days and nights, a cutover, trouble, and a rollback."""
    found = []
    for number in range(96):
        at = NOW - datetime.timedelta(days=2) + datetime.timedelta(minutes=30 * number)
        total = 60 + 45 * math.sin((at.hour + at.minute / 60 - 8) / 24 * 2 * math.pi)
        leads_new = (
            datetime.datetime(2026, 3, 17, 14, tzinfo=datetime.UTC)
            <= at
            < datetime.datetime(2026, 3, 17, 18, 30, tzinfo=datetime.UTC)
        )
        trouble = leads_new and at.hour >= 17
        lead = _side(total * 0.9, 0.21 if trouble else 0.002, 420.0 if trouble else 180 + total)
        other = _side(total * 0.1 if number > 30 else 0.0, 0.0, 120 + total / 2)
        old, new = (other, lead) if leads_new else (lead, other)
        found.append(Bucket(at=at, seconds=1_800, old=old, new=new))
    return tuple(found)


def _side(per_second: float, error_rate: float, p95: float) -> SideTraffic:
    requests = round(per_second * 1_800)
    errors = round(requests * error_rate)
    return SideTraffic(
        requests=requests,
        per_second=requests / 1_800,
        errors=errors,
        error_rate=errors / requests if requests else None,
        p95=round(p95, 1) if requests else None,
    )


def weekly_report(plan: Plan | None = None) -> Report:
    """The report of the third week."""
    plan = plan or weekly_plan()
    return build(
        plan,
        weekly_entries(plan),
        now=NOW,
        since=SINCE,
        schedule=weekly_schedule(plan),
        measures=MEASURES,
        traffic=weekly_traffic(),
        problems={"error": 0, "warning": 2},
    )


if __name__ == "__main__":
    # python -m tests.plans.weekly > tests/plans/report/report.md
    from crossfade.plans.report_markdown import markdown

    sys.stdout.write(markdown(weekly_report()))
