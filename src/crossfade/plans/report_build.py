"""Making a status report: the plan, the evidence, the schedule and what is measured, put together."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from crossfade.errors import UsageError
from crossfade.ledger import Entry
from crossfade.plans.calendar import Calendar
from crossfade.plans.model import GateKind, Phase, Plan, Status, Task, Window
from crossfade.plans.report import (
    Bucket,
    DecisionLine,
    EvidenceLine,
    GateLine,
    GroupLine,
    LoadLine,
    MilestoneLine,
    Report,
    RiskLine,
    SlipLine,
    TaskLine,
)
from crossfade.plans.report_history import judgements, lag_points, switches
from crossfade.plans.risks import is_closed, score_of
from crossfade.plans.schedule import schedule as reckon
from crossfade.plans.stretches import Axis, Placement
from crossfade.plans.survey import Survey, is_open
from crossfade.plans.targets import line_of
from crossfade.plans.timetable import Activity, Schedule
from crossfade.plans.truth import (
    State,
    of_plan,
    phase_progress,
    plan_progress,
    progress_of,
    truth,
)
from crossfade.plans.work import Basis

SOON = datetime.timedelta(days=7)
"""What begins within this time is *next*."""

_OPEN = (State.NOT_STARTED, State.IN_PROGRESS, State.WAITING, State.FAILED, State.BLOCKED)
_UNDER_WAY = (State.FAILED, State.WAITING, State.BLOCKED, State.IN_PROGRESS)
"""In the order in which they deserve attention."""


def build(
    plan: Plan,
    entries: Iterable[Entry],
    *,
    now: datetime.datetime,
    since: datetime.datetime | None = None,
    schedule: Schedule | None = None,
    measures: Mapping[str, Any] | None = None,
    traffic: Sequence[Bucket] = (),
    problems: Mapping[str, int] | None = None,
) -> Report:
    """The report at ``now``; ``since`` is the moment of the last one.

    ``entries`` are those of the ledger in order.  ``schedule`` should be that of the `true_plan`, from its first day
    and with today's date; without one nothing is said of what slipped and what comes next by time.  ``measures`` are the values that gates see (`crossfade.runs.measures`), ``traffic`` what
    `crossfade.plans.traffic.traffic_over` found, ``problems`` how many problems the check of the plan found, by
    level.  ``UsageError`` for moments without a zone.
    """
    for moment, name in ((now, "now"), (since, "since")):
        if moment is not None and moment.tzinfo is None:
            raise UsageError(
                "a moment without a zone is ambiguous",
                where=f"report/{name}",
                todo="give its offset, such as 2026-03-02T09:00+01:00",
            )
    return _Building(plan, list(entries), now, since, schedule).report(
        measures or {}, tuple(traffic), problems or {}
    )


class _Building:
    def __init__(
        self,
        plan: Plan,
        entries: list[Entry],
        now: datetime.datetime,
        since: datetime.datetime | None,
        schedule: Schedule | None,
    ) -> None:
        self._plan = plan
        self._entries = entries
        self._ours = list(of_plan(plan, entries))
        self._now = now
        self._zone = now.tzinfo
        self._since = since
        self._schedule = schedule
        self._survey = Survey(plan)
        self._truths = truth(plan, entries)
        self._activities = {one.id: one for one in schedule.activities} if schedule else {}
        self._planned = _planned(plan, schedule)
        self._placement = Placement(
            schedule.start.date() if schedule else now.date(), schedule.calendar if schedule else Calendar()
        )

    def report(
        self, measures: Mapping[str, Any], traffic: tuple[Bucket, ...], problems: Mapping[str, int]
    ) -> Report:
        plan = self._plan
        slipped = sorted(self._slipped(), key=lambda one: (-one.late, one.name))
        late = {one.id for one in slipped}
        return Report(
            title=plan.title,
            plan=plan.path,
            owner=plan.owner,
            now=self._now,
            since=self._since.astimezone(self._zone) if self._since else None,
            progress=plan_progress(plan, self._truths),
            end=self._moment(self._schedule.end) if self._schedule else None,
            due=self._last(plan.window) if plan.window and plan.window.end else None,
            phases=tuple(self._phases(late)),
            workstreams=tuple(self._workstreams(late)),
            done=tuple(self._done()),
            undone=tuple(self._undone()),
            claimed=tuple(self._line(task) for task in self._outermost(State.CLAIMED)),
            in_progress=tuple(self._in_progress()),
            next=tuple(self._next()),
            slipped=tuple(slipped),
            milestones=tuple(self._milestones()),
            risks=tuple(self._risks()),
            decisions=tuple(self._decisions()),
            metrics=tuple(self._metrics(measures)),
            gates=tuple(self._gates()),
            loads=tuple(self._loads()),
            traffic=traffic,
            lag=lag_points(self._ours, self._zone, now=self._now, current=measures.get("lag")),
            switches=switches(self._ours, self._zone),
            notices=len(plan.notices),
            problems=dict(problems),
            evidence=EvidenceLine(
                entries=self._entries[-1].seq if self._entries else 0,
                head=self._entries[-1].hash if self._entries else "",
            ),
            notes=tuple(self._notes()),
        )

    def _notes(self) -> Iterator[str]:
        if self._schedule is None:
            yield "The plan's first day is not known, so nothing is said about what slipped and what is due."
        else:
            yield from (f"{note[:1].upper()}{note[1:]}." for note in self._schedule.notes)

    # --- groups -------------------------------------------------------------

    def _phases(self, late: set[str]) -> Iterator[GroupLine]:
        progress = phase_progress(self._plan, self._truths)
        ends = {span.id: span.end for span in self._schedule.phases} if self._schedule else {}
        for phase in self._survey.phases.values():
            tasks = self._survey.tasks_inside(phase)
            if tasks:
                yield GroupLine(
                    title=self._title(phase),
                    depth=len(self._survey.around(phase.id)) - 1,
                    progress=progress[phase.id],
                    slipped=sum(task.id in late for task in tasks),
                    end=self._moment(ends.get(phase.id)),
                )

    def _title(self, phase: Phase) -> str:
        return "Other tasks" if phase.implicit and len(self._plan.phases) > 1 else phase.title

    def _workstreams(self, late: set[str]) -> Iterator[GroupLine]:
        groups: dict[str, tuple[str, list[Task]]] = {
            stream.name.casefold(): (stream.name, []) for stream in self._plan.workstreams
        }
        for task in self._plan.tasks:
            if task.workstream:
                groups.setdefault(task.workstream.casefold(), (task.workstream, []))[1].append(task)
        for name, tasks in groups.values():
            if tasks:
                ends = [self._activities[task.id].end for task in tasks if task.id in self._activities]
                yield GroupLine(
                    title=name,
                    progress=progress_of(self._truths, tasks),
                    slipped=sum(task.id in late for task in tasks),
                    end=self._moment(max(ends, default=None)),
                )

    # --- tasks --------------------------------------------------------------

    def _line(self, task: Task, **more: Any) -> TaskLine:
        return TaskLine(**self._fields(task) | more)

    def _fields(self, task: Task) -> dict[str, Any]:
        known = self._truths[task.id]
        activity = self._activities.get(self._survey.top[task.id].id)
        phase = self._survey.phases.get(self._survey.top[task.id].phase)
        proof = known.proof
        return {
            "id": task.id,
            "name": self._name(task),
            "phase": self._title(phase) if phase is not None and not phase.implicit else "",
            "owner": self._survey.owner(task),
            "state": known.status,
            "hours": known.hours,
            "start": self._moment(activity.start) if activity else None,
            "due": self._moment(activity.due or activity.end) if activity else None,
            "critical": activity is not None and activity.critical,
            "proof": proof.model_copy(update={"at": proof.at.astimezone(self._zone)}) if proof else None,
            "note": known.note,
        }

    def _name(self, task: Task) -> str:
        """Its id and title; of a subtask without an id, also what it belongs to."""
        if task.id_stated:
            return f"{task.id} {task.title}".strip()
        around = self._survey.parent.get(task.id)
        if around is None:
            return task.title
        return f"{task.title} (of {around.id if around.id_stated else around.title})"

    def _outermost(self, state: State) -> Iterator[Task]:
        """The tasks in that state, and the subtasks of others in it."""
        for task in self._survey.tasks.values():
            around = (self._truths[one.id].status for one in self._survey.ancestors(task))
            if self._truths[task.id].status is state and state not in around:
                yield task

    def _done(self) -> list[TaskLine]:
        lines = [self._line(task) for task in self._outermost(State.DONE)]
        fresh = [one for one in lines if one.proof and (not self._since or one.proof.at > self._since)]
        return sorted(fresh, key=lambda one: -(one.proof.entry if one.proof else 0))

    def _undone(self) -> Iterator[TaskLine]:
        for task in self._outermost(State.NOT_STARTED):
            known = self._truths[task.id]
            if known.proof and known.note and (not self._since or known.proof.at > self._since):
                yield self._line(task)

    def _in_progress(self) -> Iterator[TaskLine]:
        for state in _UNDER_WAY:
            for task in self._outermost(state):
                inner = self._survey.top[task.id] is not task
                if not inner or self._truths[task.id].proof is not None:
                    yield self._line(task)

    def _next(self) -> list[TaskLine]:
        """What is not begun and may begin by the schedule within `SOON`; ready ones first."""
        found = []
        until = self._now + SOON
        for task in self._plan.tasks:
            if self._truths[task.id].status is not State.NOT_STARTED:
                continue
            activity = self._activities.get(task.id)
            waits = self._waits_for(task)
            if activity is not None and self._moment(activity.start) > until:
                continue
            if activity is None and waits:
                continue
            note = f"waits for {', '.join(waits)}" if waits else "ready"
            found.append(self._line(task, note=note))
        return sorted(found, key=lambda one: (one.note != "ready", one.start or self._now, not one.critical))

    def _waits_for(self, task: Task) -> list[str]:
        """The open tasks and phases that it names as what has to be done before."""
        waits: dict[str, None] = {}
        for inner in task.walk():
            for one in inner.dependencies:
                target = one.target or ""
                if target in self._truths and self._truths[target].status in _OPEN:
                    before = self._survey.tasks[target]
                    if self._survey.top[target] is not task:
                        waits[target if before.id_stated else self._name(before)] = None
                elif target in self._survey.phases:
                    inside = self._survey.tasks_inside(self._survey.phases[target])
                    if any(self._truths[open_].status in _OPEN for open_ in (one.id for one in inside)):
                        waits[self._survey.phases[target].title] = None
        return list(waits)

    def _slipped(self) -> Iterator[SlipLine]:
        for task in self._plan.tasks:
            activity, planned = self._activities.get(task.id), self._planned.get(task.id)
            if activity is None or planned is None or self._truths[task.id].status not in _OPEN:
                continue
            due, basis = (activity.due, "its window") if activity.due else (planned.end, "the schedule")
            late = self._now - self._moment(due)
            if late > datetime.timedelta():
                expected = self._moment(activity.end)
                yield SlipLine(
                    **self._fields(task) | {"due": self._moment(due)},
                    late=late,
                    basis=basis,
                    expected=expected if expected > self._now else None,
                )

    # --- registers ----------------------------------------------------------

    def _milestones(self) -> Iterator[MilestoneLine]:
        dates = {one.id: one.at for one in self._schedule.milestones} if self._schedule else {}
        for one in self._plan.milestones:
            at = self._moment(dates.get(one.id))
            yield MilestoneLine(
                title=one.title,
                at=at,
                text=one.window.raw if one.window else "",
                status=one.status,
                late=at is not None and at < self._now and is_open(one.status),
            )

    def _risks(self) -> list[RiskLine]:
        lines = [
            RiskLine(
                title=risk.title,
                probability=risk.probability,
                impact=risk.impact or risk.severity,
                score=score_of(risk),
                mitigation=risk.mitigation,
                owner=risk.owner,
                status=risk.status_text,
                closed=is_closed(risk),
            )
            for risk in self._plan.risks
        ]
        return sorted(lines, key=lambda one: (one.closed, -(one.score or 0.0)))

    def _decisions(self) -> list[DecisionLine]:
        lines = []
        for one in self._plan.decisions:
            if one.due is None and (one.outcome or one.date is not None):
                continue
            due = self._last(one.due)
            lines.append(
                DecisionLine(
                    title=one.title,
                    owner=one.owner,
                    due=due,
                    text=one.due.raw if one.due else one.status_text,
                    overdue=due is not None and due < self._now.date(),
                )
            )
        return sorted(lines, key=lambda one: (one.due is None, one.due or self._now.date()))

    def _metrics(self, measures: Mapping[str, Any]) -> Iterator[Any]:
        for metric in self._plan.metrics:
            line = line_of(metric, measures)
            phase = self._survey.phases.get(line.phase)
            yield line.model_copy(update={"phase": self._title(phase) if phase else ""})

    def _gates(self) -> Iterator[GateLine]:
        judged = judgements(self._ours, self._zone)
        for task in self._survey.tasks.values():
            if task.gate:
                passed, text, proof = judged.get(task.id, (None, "", None))
                yield GateLine(
                    text=task.gate,
                    kind="task",
                    belongs=self._name(task),
                    passed=passed,
                    note=text if text != task.gate else "",
                    proof=proof,
                )
        for gate in self._plan.gates:
            owner = self._survey.tasks.get(gate.task or "")
            phase = self._survey.phases.get(gate.phase or "")
            yield GateLine(
                text=f"{gate.text}: {gate.threshold}" if gate.threshold else gate.text,
                kind=_KINDS[gate.kind],
                belongs=self._name(owner) if owner else self._title(phase) if phase else "",
                claimed=gate.status is Status.DONE,
                note=gate.action,
            )

    def _loads(self) -> list[LoadLine]:
        """By owner, those with the most to do first; nobody comes last."""
        lines = []
        open_tasks: dict[str, int] = {}
        for one in self._activities.values():
            if self._truths[one.id].status in _OPEN:
                for name in one.owners or ("",):
                    open_tasks[name.casefold()] = open_tasks.get(name.casefold(), 0) + 1
        by_owner: dict[str, list[Any]] = {}
        for load in self._schedule.loads if self._schedule else ():
            by_owner.setdefault(load.owner, []).append(load)
        for owner, loads in by_owner.items():
            peak = max(loads, key=lambda load: load.hours)
            lines.append(
                LoadLine(
                    owner=owner,
                    tasks=open_tasks.get(owner.casefold(), 0),
                    hours=round(sum(load.hours for load in loads), 2),
                    peak=peak.hours,
                    peak_week=peak.monday,
                    capacity=peak.capacity,
                    overloaded=sum(load.overload for load in loads),
                )
            )
        return sorted(lines, key=lambda one: (not one.owner, -one.hours))

    # --- moments ------------------------------------------------------------

    def _moment(self, local: Any) -> Any:
        """A moment of the schedule, which carries no zone; None stays None."""
        return local.replace(tzinfo=self._zone) if local is not None else None

    def _last(self, window: Window | None) -> datetime.date | None:
        """The last day of a window, as far as it is known without and with the plan's first day."""
        stretch = self._placement.place(window)
        if stretch is None or (self._schedule is None and stretch.axis is not Axis.DATES):
            return None
        return stretch.last or stretch.first


_KINDS = {
    GateKind.QUALITY: "quality gate",
    GateKind.SUCCESS: "success criterion",
    GateKind.ROLLBACK: "rollback trigger",
}


def _planned(plan: Plan, schedule: Schedule | None) -> dict[str, Activity]:
    """Where each task was planned: a schedule that begins today places nothing in the past."""
    if schedule is None:
        return {}
    if schedule.today is not None:
        schedule = reckon(
            plan,
            start=schedule.start.date(),
            calendar=schedule.calendar,
            durations={one.id: one.total for one in schedule.activities if one.basis is Basis.MEASURED},
            default_hours=schedule.assumed_hours,
        )
    return {one.id: one for one in schedule.activities}
