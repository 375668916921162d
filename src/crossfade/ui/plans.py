"""The plan as the page shows it: the document, what the evidence says of it, and the run that is under way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from crossfade.ledger import Entry
from crossfade.masking import mask
from crossfade.plans.model import Phase, Plan, Status, Task
from crossfade.plans.reading import parse_plan, read_plan
from crossfade.plans.truth import State, TaskTruth, phase_progress, plan_progress, truth
from crossfade.runs.needs import is_executable
from crossfade.ui.runs import Live, RunSeen
from crossfade.ui.snapshot import ApprovalView, GateView, PhaseView, PlanView, ProofView, TaskView, Word

MOST = 400
"""Tasks that one page shows; a document with more is read in parts."""

_WORDS = {
    State.DONE: Word.DONE,
    State.CLAIMED: Word.CLAIMED,
    State.IN_PROGRESS: Word.IN_PROGRESS,
    State.WAITING: Word.WAITING,
    State.FAILED: Word.FAILED,
    State.BLOCKED: Word.BLOCKED,
    State.SKIPPED: Word.SKIPPED,
    State.NOT_STARTED: Word.NOT_STARTED,
}


class PlanSource:
    """Reads the document, again only when it has changed, and sets it beside evidence and run."""

    def __init__(
        self, path: Path, entries: Callable[[], Sequence[Entry]], run: Callable[[], RunSeen | None]
    ) -> None:
        self._path = path
        self._entries = entries
        self._run = run
        self._content: bytes | None = None
        self._plan: Plan | None = None
        self._of: tuple[int, str] | None = None
        self._truths: Mapping[str, TaskTruth] = {}

    def look(self) -> PlanView:
        """The plan at this moment.  ``PlanError`` when it cannot be read."""
        plan, entries = self._read(), self._entries()
        of = (id(plan), entries[-1].hash if entries else "")
        if of != self._of:
            self._truths = truth(plan, entries)
            self._of = of
        return plan_view(plan, self._truths, self._run())

    def _read(self) -> Plan:
        try:
            content = self._path.read_bytes()
        except OSError:
            return read_plan(self._path)  # which says it in the project's words
        if self._plan is None or content != self._content:
            self._plan = parse_plan(content, str(self._path))
            self._content = content
        return self._plan


def plan_view(plan: Plan, truths: Mapping[str, TaskTruth], run: RunSeen | None) -> PlanView:
    """A plan with what is true of it."""
    whole, parts = plan_progress(plan, truths), phase_progress(plan, truths)
    phases: list[PhaseView] = []
    left = MOST
    live = run.tasks if run is not None else {}
    active = run is not None and run.view.active
    for phase in plan.phases:
        progress = parts[phase.id]
        tasks = phase.tasks[:left]
        left -= len(tasks)
        phases.append(
            PhaseView(
                id=phase.id,
                title=phase.title,
                depth=_depth(plan, phase),
                goal=phase.goal,
                window=phase.window.raw if phase.window else "",
                done=progress.done_tasks,
                claimed=progress.claimed_tasks,
                total=progress.tasks,
                tasks=tuple(task_view(task, truths, live.get(task.id), active=active) for task in tasks),
            )
        )
    return PlanView(
        title=plan.title,
        path=plan.path,
        phases=tuple(phase for phase in phases if phase.total or phase.tasks),
        done=whole.done,
        claimed=whole.claimed,
        tasks=whole.tasks,
        done_tasks=whole.done_tasks,
        more=max(0, len(plan.tasks) - MOST),
        run=run.view if run is not None else None,
    )


def task_view(task: Task, truths: Mapping[str, TaskTruth], live: Live | None, *, active: bool) -> TaskView:
    """One task.  While a run is under way, what the run says of it is newer than the evidence."""
    true = truths[task.id]
    word = word_of(true, live, active=active)
    live = live or Live()
    proof = true.proof
    return TaskView(
        id=task.id,
        title=task.title,
        word=word,
        runs=is_executable(task),
        owner=task.owner,
        window=task.window.raw if task.window else "",
        estimate=task.estimate.raw if task.estimate else "",
        line=task.source.line,
        progress=true.done if 0 < true.done < 1 else _stated(task),
        description=task.description,
        deliverables=task.deliverables,
        depends=tuple(one.raw for one in task.dependencies),
        commands=tuple(mask(one) for one in task.run),
        undo=tuple(mask(one) for one in task.undo),
        subtasks=tuple((one.title, _WORDS[truths[one.id].status]) for one in task.subtasks),
        gate=_gate(task, live),
        approval=_approval(task, live),
        proof=None if proof is None else ProofView(proof.entry, proof.hash, proof.at.timestamp(), proof.by),
        note=live.note or true.note,
        attempt=live.attempt,
        started_at=live.started_at,
        finished_at=live.finished_at,
        output=live.output,
        measured=live.measured,
        error=live.error,
        doubt=live.doubt,
    )


def word_of(true: TaskTruth, live: Live | None, *, active: bool) -> Word:
    """What the page calls the state of a task."""
    if live is not None and live.word is not None:
        if true.status is State.DONE and live.word in (Word.SKIPPED, Word.DONE):
            return Word.DONE  # the run skips it because an earlier one has proven it
        if active or live.word in (Word.FAILED, Word.REJECTED, Word.UNKNOWN, Word.UNDONE):
            return live.word
    return _WORDS[true.status]


def _stated(task: Task) -> float | None:
    """The progress that the document states, where it is neither nothing nor all."""
    partly = task.progress is not None and 0 < task.progress < 100
    if task.progress is None or not partly or task.status in (Status.DONE, Status.SKIPPED):
        return None
    return task.progress / 100


def _gate(task: Task, live: Live) -> GateView | None:
    if not task.gate:
        return None
    return GateView(task.gate, live.gate_passed, live.gate_text, live.gate_seen)


def _approval(task: Task, live: Live) -> ApprovalView | None:
    if live.approval is not None:
        return live.approval
    if task.approve is None:
        return None
    return ApprovalView(task.approve.count, task.approve.group or "", given=live.given)


def _depth(plan: Plan, phase: Phase) -> int:
    depth, parent = 0, phase.parent
    while parent is not None and depth < 5:
        depth += 1
        above = plan.phase(parent)
        parent = above.parent if above is not None else None
    return depth
