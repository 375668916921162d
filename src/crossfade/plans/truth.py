"""What is done, as far as the evidence tells; what is only claimed; and how much of the whole that is.

A status that somebody typed is a claim.  `truth` sets it beside the evidence and says of each task:

- **done**: there is a ``task.done`` entry for it, from a run of this plan against the real stores, and what is
  run, judged and approved for it has not been rewritten since.  A task in which nothing is executable is also
  done when all its subtasks are.
- **claimed**: the document says done (a tick, a status, a finished phase around it), and there is no such entry.
- **failed**, **waiting** (for people), **in progress**: what the latest entry about it says.  What was undone, or
  begun by a run that was stopped, is not started, whatever the document says; ``note`` tells why.
- **blocked**, **in progress**, **skipped**, **not started**: what the document says, where there is no evidence.

Progress is the share of *done* work, by hours: a task weighs its estimate, else the sum of its subtasks'
estimates, else the median of all estimates in the plan (an hour where there are none).  Of a task with subtasks
the parts count, by their estimates when each has one and equally otherwise; what is executable in the task
itself is one part more.  Skipped tasks weigh nothing.  The claimed share is reckoned in the same way and always
stands apart: 40 % done, 25 % claimed.
"""

from __future__ import annotations

import datetime
import enum
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crossfade.ledger import Entry
from crossfade.plans.model import Plan, Task
from crossfade.plans.survey import Survey
from crossfade.plans.values import Frozen, Status
from crossfade.runs.needs import is_executable
from crossfade.runs.order import Mode, digest_of


class State(enum.StrEnum):
    """What is true of a task."""

    DONE = "done"
    CLAIMED = "claimed"
    IN_PROGRESS = "in_progress"
    WAITING = "waiting"
    FAILED = "failed"
    BLOCKED = "blocked"
    SKIPPED = "skipped"
    NOT_STARTED = "not_started"

    def __str__(self) -> str:
        return self.value.replace("_", " ")


_STATUSES = {
    State.DONE: Status.DONE,
    State.CLAIMED: Status.DONE,
    State.IN_PROGRESS: Status.IN_PROGRESS,
    State.WAITING: Status.IN_PROGRESS,
    State.FAILED: Status.BLOCKED,
    State.BLOCKED: Status.BLOCKED,
    State.SKIPPED: Status.SKIPPED,
    State.NOT_STARTED: Status.NOT_STARTED,
}


class Proof(Frozen):
    """The entry of the ledger that something rests on: its number and hash, when, by whom, in which run.
    ``seconds`` is how long the task took; None when the entry does not say."""

    entry: int
    hash: str
    at: datetime.datetime
    by: str = ""
    """Who started the run, else who made the entry."""
    approved_by: tuple[str, ...] = ()
    run: str = ""
    seconds: float | None = None


class TaskTruth(Frozen):
    """What is true of one task or subtask.

    ``stated`` is what the document says.  ``done`` and ``claimed`` are shares of its work (0 to 1); ``hours`` is
    the estimate, None where there is none; ``weight`` is what it counts in the progress of the whole.
    """

    id: str
    status: State
    stated: Status
    done: float = 0.0
    claimed: float = 0.0
    hours: float | None = None
    weight: float = 0.0
    proof: Proof | None = None
    """The latest evidence about it; of a done task, that it is done."""
    note: str = ""


class Progress(Frozen):
    """Of some tasks: how many, how many of them are done and claimed, their estimated hours, and the shares of
    the work (0 to 1, by weight) that are done and claimed."""

    tasks: int = 0
    done_tasks: int = 0
    claimed_tasks: int = 0
    hours: float = 0.0
    done: float = 0.0
    claimed: float = 0.0

    def __str__(self) -> str:
        claimed = f", {percent(self.claimed)} % claimed" if self.claimed else ""
        return f"{percent(self.done)} % done{claimed}"


def percent(share: float) -> int:
    """A share as whole per cent; 0 and 100 only for nothing and all of it."""
    if share <= 0 or share >= 1 - 1e-9:
        return 0 if share <= 0 else 100
    return min(99, max(1, round(share * 100)))


def truth(plan: Plan, entries: Iterable[Entry]) -> dict[str, TaskTruth]:
    """Of every task and subtask of the plan, by id, what is true; see the module's head."""
    survey = Survey(plan)
    found = _evidence(survey, entries)
    usual = _usual(plan)
    truths: dict[str, TaskTruth] = {}
    for task in reversed(list(survey.tasks.values())):  # what is nested comes after what it is nested in
        parts = [truths[part.id] for part in task.subtasks if part.id in truths]
        truths[task.id] = _of(task, survey.status(task), found.get(task.id), parts, usual)
    return dict(reversed(truths.items()))


def true_plan(plan: Plan, truths: Mapping[str, TaskTruth]) -> Plan:
    """The plan with the statuses, progress and dates that the evidence tells, so that a schedule reckons with
    what is true.  What is claimed stays as the document says it; that is not known better."""
    made: dict[str, Task] = {}
    for task in reversed(list(plan.walk())):
        known = truths[task.id]
        update: dict[str, Any] = {"subtasks": tuple(made[part.id] for part in task.subtasks)}
        if known.proof is not None:
            update |= {"status": _STATUSES[known.status], "status_text": known.status.value}
            update["progress"] = round(known.done * 100, 1) if known.status is not State.NOT_STARTED else None
            if known.status is State.DONE:
                update["finished"] = known.proof.at.date()
        made[task.id] = task.model_copy(update=update)
    return plan.model_copy(
        update={
            "phases": tuple(
                phase.model_copy(update={"tasks": tuple(made[task.id] for task in phase.tasks)})
                for phase in plan.phases
            )
        }
    )


def progress_of(truths: Mapping[str, TaskTruth], tasks: Iterable[Task]) -> Progress:
    """The progress of these tasks; their subtasks are part of them."""
    counted = [truths[task.id] for task in tasks if truths[task.id].status is not State.SKIPPED]
    weights = [one.weight for one in counted]
    if not sum(weights):
        weights = [1.0] * len(counted)
    total = sum(weights)
    return Progress(
        tasks=len(counted),
        done_tasks=sum(one.status is State.DONE for one in counted),
        claimed_tasks=sum(one.status is State.CLAIMED for one in counted),
        hours=round(sum(one.hours or 0.0 for one in counted), 4),
        done=_share(sum(one.done * weight for one, weight in zip(counted, weights, strict=True)), total),
        claimed=_share(
            sum(one.claimed * weight for one, weight in zip(counted, weights, strict=True)), total
        ),
    )


def plan_progress(plan: Plan, truths: Mapping[str, TaskTruth]) -> Progress:
    """The progress of the whole plan."""
    return progress_of(truths, plan.tasks)


def phase_progress(plan: Plan, truths: Mapping[str, TaskTruth]) -> dict[str, Progress]:
    """The progress of every phase by its id, the phases nested in it included."""
    survey = Survey(plan)
    return {phase.id: progress_of(truths, survey.tasks_inside(phase)) for phase in survey.phases.values()}


def of_plan(plan: Plan, entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries without those of rehearsals, of dry runs, and of runs of other plans."""
    foreign: set[str] = set()
    for entry in entries:
        if not _is_ours(plan, entry):
            foreign.add(str(entry.data.get("run", "")))
        elif "run" not in entry.data or str(entry.data["run"]) not in foreign:
            yield entry


# --- the evidence -----------------------------------------------------------

_STATES = {
    "approval.asked": State.WAITING,
    "command.unknown": State.WAITING,
    "outcome.assumed": State.IN_PROGRESS,
    "task.started": State.IN_PROGRESS,
    "task.done": State.DONE,
    "task.failed": State.FAILED,
    "task.rejected": State.FAILED,
    "undo.started": State.IN_PROGRESS,
    "undo.failed": State.FAILED,
    "task.undone": State.NOT_STARTED,
}
"""What an entry says of the task that it names."""

_NOTES = {
    "approval.asked": "waits for approval",
    "command.unknown": "nobody knows how a command ended: somebody has to look and say",
    "undo.started": "is being undone",
    "undo.failed": "could not be undone",
    "task.undone": "was undone",
}

_LEFT = ("task.skipped", "task.cancelled", "approval.withdrawn")
"""The run did not, or not any more, do this task."""

_OVER = ("run.finished", "run.cancelled")


@dataclass(slots=True)
class _Latest:
    """The latest evidence about a task; ``before`` is what was known before that run touched it."""

    state: State
    proof: Proof
    note: str = ""
    before: _Latest | None = None

    def left(self, proof: Proof, why: str) -> _Latest:
        """The run left it where it was: what had been done before still is."""
        if self.before is not None and self.before.state is State.DONE:
            return self.before
        return _Latest(State.NOT_STARTED, proof, why)


def _evidence(survey: Survey, entries: Iterable[Entry]) -> dict[str, _Latest]:
    found: dict[str, _Latest] = {}
    starters: dict[str, str] = {}
    for entry in of_plan(survey.plan, entries):
        run = str(entry.data.get("run", ""))
        if entry.event == "run.started":
            person = entry.data.get("started_by")
            starters[run] = str(person.get("name", "")) if isinstance(person, Mapping) else ""
        elif entry.event in _OVER:
            for task, latest in found.items():
                if latest.proof.run == run and latest.state in (State.IN_PROGRESS, State.WAITING):
                    found[task] = latest.left(proof_of(entry), "its run was stopped")
        elif (known := survey.tasks.get(str(entry.data.get("task", "")))) is not None:
            read = _read(known, entry, found.get(known.id))
            if read is not None:
                if starters.get(run) and read.proof.entry == entry.seq:
                    read.proof = read.proof.model_copy(update={"by": starters[run]})
                found[known.id] = read
    return found


def _is_ours(plan: Plan, entry: Entry) -> bool:
    """Whether an entry is about this plan, as far as it says, and about the real stores."""
    mode, title = entry.data.get("mode", Mode.LIVE), entry.data.get("plan", plan.title)
    return bool(mode == Mode.LIVE and title == plan.title)


def _read(task: Task, entry: Entry, latest: _Latest | None) -> _Latest | None:
    """What is known of a task after an entry."""
    proof = proof_of(entry)
    if entry.event in _LEFT:
        same_run = latest is not None and latest.proof.run == proof.run
        return latest.left(proof, "its run was stopped") if latest is not None and same_run else latest
    state = _STATES.get(entry.event)
    if state is None:
        return latest
    note = _NOTES.get(entry.event, "")
    if state is State.FAILED:
        reason = str(entry.data.get("reason") or "")
        note = f"{note}: {reason}" if note and reason else note or reason
    if state is State.DONE and entry.data.get("digest", digest_of(task)) != digest_of(task):
        return _Latest(State.NOT_STARTED, proof, "was done, and what it does was rewritten since")
    if latest is not None and latest.proof.run == proof.run:
        latest = latest.before
    return _Latest(state, proof, note, latest)


def proof_of(entry: Entry) -> Proof:
    """The entry as what something rests on.  An entry of a run says itself when it was made; it may have come
    into the ledger later, from another machine."""
    data = entry.data
    approvals = data.get("approvals")
    return Proof(
        entry=entry.seq,
        hash=entry.hash,
        at=_moment(data.get("finished_at")) or _moment(data.get("at")) or _moment(entry.at) or _NEVER,
        by=str(data.get("by") or entry.who.get("user", "")),
        approved_by=tuple(map(str, approvals)) if isinstance(approvals, list) else (),
        run=str(data.get("run", "")),
        seconds=number_of(data.get("seconds")),
    )


_NEVER = datetime.datetime.fromtimestamp(0, datetime.UTC)


def _moment(value: object) -> datetime.datetime | None:
    """Seconds since 1970, or ISO 8601; without a zone it is UTC."""
    try:
        if (seconds := number_of(value)) is not None:
            return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
        found = datetime.datetime.fromisoformat(value) if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):
        return None
    return found.replace(tzinfo=datetime.UTC) if found is not None and found.tzinfo is None else found


def number_of(value: object) -> float | None:
    """A finite number of the evidence; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


# --- one task ---------------------------------------------------------------


def _of(
    task: Task, stated: Status, evidence: _Latest | None, parts: list[TaskTruth], usual: float
) -> TaskTruth:
    counted = [part for part in parts if part.status is not State.SKIPPED]
    hours = task.estimate.hours if task.estimate is not None else _hours(counted)
    done, claimed = _shares(task, evidence, counted)
    proof = evidence.proof if evidence is not None else None
    state, note = _state(task, stated, evidence, counted)
    if state is State.DONE:
        done, claimed = 1.0, 0.0
        if evidence is None or evidence.state is not State.DONE:
            proof = max(
                (part.proof for part in counted if part.proof), key=lambda one: one.entry, default=None
            )
    elif state is State.CLAIMED:
        claimed = 1.0 - done
    elif state is State.SKIPPED:
        done = claimed = 0.0
    return TaskTruth(
        id=task.id,
        status=state,
        stated=stated,
        done=done,
        claimed=claimed,
        hours=hours,
        weight=0.0 if state is State.SKIPPED else usual if hours is None else hours,
        proof=proof,
        note=note,
    )


def _state(task: Task, stated: Status, evidence: _Latest | None, parts: list[TaskTruth]) -> tuple[State, str]:
    if evidence is not None:
        return evidence.state, evidence.note
    if stated is Status.SKIPPED:
        return State.SKIPPED, ""
    whole = {part.status for part in parts} if not is_executable(task) else set()
    if whole == {State.DONE}:
        return State.DONE, ""
    if stated is Status.DONE or (whole and whole <= {State.DONE, State.CLAIMED}):
        return State.CLAIMED, ""
    if stated is Status.BLOCKED:
        return State.BLOCKED, ""
    begun = (State.DONE, State.CLAIMED, State.IN_PROGRESS, State.WAITING, State.FAILED)
    if stated is Status.IN_PROGRESS or any(part.status in begun for part in parts):
        return State.IN_PROGRESS, ""
    return State.NOT_STARTED, ""


def _shares(task: Task, evidence: _Latest | None, parts: list[TaskTruth]) -> tuple[float, float]:
    """How much of a task is done and claimed, by its parts."""
    if not parts:
        return (1.0, 0.0) if evidence is not None and evidence.state is State.DONE else (0.0, 0.0)
    known = [part.hours for part in parts if part.hours]
    weights = [part.hours or 0.0 for part in parts] if len(known) == len(parts) else [1.0] * len(parts)
    own = sum(weights) / len(weights) if is_executable(task) else 0.0
    total = sum(weights) + own
    done = sum(part.done * weight for part, weight in zip(parts, weights, strict=True))
    claimed = sum(part.claimed * weight for part, weight in zip(parts, weights, strict=True))
    return _share(done, total), _share(claimed, total)


def _hours(parts: list[TaskTruth]) -> float | None:
    known = [part.hours for part in parts if part.hours is not None]
    return sum(known) if known else None


def _share(part: float, whole: float) -> float:
    return min(1.0, part / whole) if whole else 0.0


def _usual(plan: Plan) -> float:
    """What a task without an estimate weighs."""
    known = [task.estimate.hours for task in plan.walk() if task.estimate is not None and task.estimate.hours]
    return statistics.median(known) if known else 1.0
