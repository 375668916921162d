"""Keeping a plan's document true: what the evidence proves is written into it, and nothing else."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from crossfade.errors import PlanError
from crossfade.ledger import Entry, Ledger
from crossfade.plans.model import Plan, Status, Task
from crossfade.plans.reading import parse_plan
from crossfade.plans.survey import Survey
from crossfade.plans.truth import State, TaskTruth, percent, progress_of, truth
from crossfade.plans.values import Link
from crossfade.plans.writing import Change, PhaseChange, rewrite, rewrite_phases

_WRITTEN: Mapping[State, Status] = {
    State.DONE: Status.DONE,
    State.IN_PROGRESS: Status.IN_PROGRESS,
    State.WAITING: Status.IN_PROGRESS,
    State.FAILED: Status.BLOCKED,
    State.BLOCKED: Status.BLOCKED,
    State.NOT_STARTED: Status.NOT_STARTED,
}


def keep_true(path: Path, ledger: Ledger, warn: Callable[[str], None]) -> None:
    """Write statuses, progress, dates and evidence that the ledger proves into the document, and nothing else.

    A document that cannot take it (it was edited into something else meanwhile) is left as it is, and ``warn``
    hears why: the evidence does not depend on it.
    """
    try:
        data = path.read_bytes()
        plan = parse_plan(data, str(path))
        entries = list(ledger.read())
        written = rewrite(data, plan, list(_changes(plan, truth(plan, entries)))).data
        written = _with_phases(written, str(path), entries, warn)
        if written != data:
            _replace(path, data, written)
    except PlanError as error:
        warn(f"the plan was not kept true: {error}")
    except OSError as error:
        warn(f"the plan was not kept true: {path}: {error.strerror or error}")


def _changes(plan: Plan, truths: Mapping[str, TaskTruth]) -> Iterator[Change]:
    for task in plan.walk():
        known = truths[task.id]
        if known.proof is None or known.status not in _WRITTEN:
            continue
        status = _WRITTEN[known.status]
        at = known.proof.at.date()
        done = known.status is State.DONE
        progress = 100.0 if done and task.places.progress is not None else None
        if not done and task.places.progress is not None and task.progress == 100.0:
            progress = 0.0
        yield Change(
            task=task.id,
            line=task.source.line,
            status=None if status is task.status else status,
            progress=progress,
            finished=at if done and task.finished is None else None,
            evidence=_link(known) if done else None,
            withdrawn=not done,
        )


def _with_phases(data: bytes, path: str, entries: Sequence[Entry], warn: Callable[[str], None]) -> bytes:
    """The document with what follows for its phases, if that says nothing new of any task: tasks with no status of
    their own take that of their phase."""
    plan = parse_plan(data, path)
    before = truth(plan, entries)
    try:
        written = rewrite_phases(data, path, list(_phase_changes(plan, before)))
    except PlanError as error:
        warn(f"the phases were not kept true: {error}")
        return data
    if written != data and truth(parse_plan(written, path), entries) != before:
        return data
    return written


def _phase_changes(plan: Plan, truths: Mapping[str, TaskTruth]) -> Iterator[PhaseChange]:
    """Of each phase in which something was proven, and all of whose tasks speak for themselves: what follows from
    them.  Done takes evidence of all; one that is only claimed keeps it from that.  What the document skips stays."""
    survey = Survey(plan)
    for phase in plan.phases:
        tasks = survey.tasks_inside(phase)
        inside = [truths[task.id] for task in tasks]
        if phase.implicit or phase.status is Status.SKIPPED or not all(map(_speaks, tasks)):
            continue
        if not any(known.proof is not None for known in inside):
            continue
        counted = {known.status for known in inside} - {State.SKIPPED}
        if counted == {State.DONE}:
            status = Status.DONE
        elif counted & {State.FAILED, State.BLOCKED}:
            status = Status.BLOCKED
        else:
            status = Status.NOT_STARTED if counted == {State.NOT_STARTED} else Status.IN_PROGRESS
        share = percent(progress_of(truths, tasks).done)
        yield PhaseChange(phase.id, None if status is phase.status else status, float(share))


def _speaks(task: Task) -> bool:
    """Whether the document says of the task itself how far it is."""
    places = task.places
    return any(one is not None for one in (places.status, places.title_status, places.box))


def _link(known: TaskTruth) -> Link | None:
    if known.proof is None:
        return None
    return Link(text=f"ledger {known.proof.entry} ({known.proof.hash[:12]})", target="")


def _replace(path: Path, before: bytes, after: bytes) -> None:
    """Put the new bytes in place of the old in one step, with the same rights; ``PlanError`` when somebody
    changed the file meanwhile."""
    mode = stat.S_IMODE(path.stat().st_mode)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(after)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        if path.read_bytes() != before:
            raise PlanError("somebody is editing it", where=str(path), todo="nothing: it is tried again")
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
