"""When everything in a plan happens, when it ends, what decides that, and who has how much to do.

Tasks are activities, their subtasks part of them.  They wait for what they depend on and for the windows that
they (or their phases) state, and for nothing else: phases that merely follow one another in the document may
run at the same time.  Skipped tasks are left out, and what waits for them waits for what they waited for; done
tasks are history and have no work left.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping

from crossfade.errors import PlanError
from crossfade.plans.calendar import Calendar
from crossfade.plans.load import Load, Share, loads
from crossfade.plans.model import DependencyKind, Milestone, Phase, Plan, Status, Task
from crossfade.plans.ordering import Node, Ordering, Side
from crossfade.plans.passes import Network, Times, both_passes
from crossfade.plans.placeholders import people
from crossfade.plans.stretches import Placement, Stretch
from crossfade.plans.survey import Survey, is_open
from crossfade.plans.timetable import Activity, MilestoneDate, PhaseSpan, Row, Schedule
from crossfade.plans.work import Basis, Effort, Work

__all__ = ["Activity", "Basis", "Load", "MilestoneDate", "PhaseSpan", "Row", "Schedule", "schedule"]


def schedule(
    plan: Plan,
    *,
    start: datetime.date,
    calendar: Calendar | None = None,
    durations: Mapping[str, float] | None = None,
    today: datetime.date | None = None,
    default_hours: float = 8.0,
    capacity: float = 40.0,
) -> Schedule:
    """Reckon a plan's schedule.

    ``start`` is the plan's first day: ``Week 1`` begins on it.  ``durations`` are measured working hours by task
    id and override estimates.  With ``today``, open work is not placed before it.  ``capacity`` is how many
    hours an owner works in a week.

    ``PlanError`` when the dependencies go around in a circle, or when the plan does not end within reason.
    """
    survey = Survey(plan)
    ordering = Ordering(survey)
    ordering.demand_no_cycle()
    calendar = calendar or Calendar()
    placement = Placement(start, calendar)
    effort = Effort(survey, placement, calendar, durations=durations, default=default_hours)
    try:
        scheduling = _Scheduling(survey, ordering, calendar, placement, effort, start, today)
        return scheduling.result(default_hours, capacity)
    except OverflowError as error:
        raise PlanError(
            "the plan does not end before the year 10000",
            where=plan.path,
            todo="correct its estimates and dates, or the start",
        ) from error


class _Scheduling:
    def __init__(
        self,
        survey: Survey,
        ordering: Ordering,
        calendar: Calendar,
        placement: Placement,
        effort: Effort,
        start: datetime.date,
        today: datetime.date | None,
    ) -> None:
        self._survey = survey
        self._calendar = calendar
        self._placement = placement
        self._today = today
        self._origin = calendar.at_start(start)
        self._floor = max(self._origin, calendar.at_start(today)) if today else self._origin
        self._tasks = [
            task
            for task in survey.tasks.values()
            if survey.top[task.id] is task and survey.status(task) is not Status.SKIPPED
        ]
        self._work = {task.id: effort.of(task) for task in self._tasks}
        self._stretches = {task.id: self._stretch(task) for task in self._tasks}
        before, self._crosswise = ordering.of_whole_tasks()
        self._times = both_passes(
            Network(
                before=before,
                lengths={task.id: self._work[task.id].left for task in self._tasks if self._open(task)},
                bounds=dict(self._bounds()),
                fixed=dict(self._fixed()),
                origin=self._origin,
            )
        )

    def _open(self, task: Task) -> bool:
        return is_open(self._survey.status(task))

    # --- what bounds the times ----------------------------------------------

    def _stretch(self, task: Task) -> Stretch:
        """The first and last date of a task; an end that it leaves open is its phase's."""
        own = self._placement.place(self._survey.window(task))
        around = self._placement.place(self._survey.phase_window(task))
        first = own.first if own and own.first else around.first if around else None
        last = own.last if own and own.last else around.last if around else None
        return Stretch(first, last, None)

    def _bounds(self) -> Iterator[tuple[Node, int]]:
        for task in self._tasks:
            if self._open(task):
                first = self._stretches[task.id].first
                if first is not None:
                    earliest = max(self._floor, self._calendar.at_start(first))
                    # what is under way has begun, whatever its window says
                    begun = task.started is not None or self._survey.status(task) is Status.IN_PROGRESS
                    yield _node(DependencyKind.TASK, task.id, Side.BEGIN), self._floor if begun else earliest
                else:
                    yield _node(DependencyKind.TASK, task.id, Side.BEGIN), self._floor
        for phase in self._survey.phases.values():
            if is_open(phase.status) and not self._survey.tasks_inside(phase):
                stretch = self._placement.place(phase.window)
                if stretch is not None and stretch.last is not None:
                    end = self._calendar.at_end(stretch.last)
                    yield _node(DependencyKind.PHASE, phase.id, Side.END), end
        for milestone in self._survey.plan.milestones:
            stretch = self._placement.place(milestone.window)
            if stretch is not None and stretch.last is not None and is_open(milestone.status):
                end = self._calendar.at_end(stretch.last)
                yield _node(DependencyKind.MILESTONE, milestone.id, Side.END), end

    def _fixed(self) -> Iterator[tuple[Node, int]]:
        """What is over: it waits for nothing any more."""
        for task in self._tasks:
            if self._survey.status(task) is Status.DONE:
                ended = self._calendar.at_end(task.finished) if task.finished else self._origin
                yield _node(DependencyKind.TASK, task.id, Side.BEGIN), min(ended, self._origin)
                yield _node(DependencyKind.TASK, task.id, Side.END), ended
        for milestone in self._survey.plan.milestones:
            if milestone.status is Status.DONE:
                yield _node(DependencyKind.MILESTONE, milestone.id, Side.END), self._origin

    # --- the result ---------------------------------------------------------

    def result(self, default_hours: float, capacity: float) -> Schedule:
        times = self._times
        activities = tuple(
            self._activity(task) if self._open(task) else self._past(task) for task in self._tasks
        )
        by_id = {one.id: one for one in activities}
        assumed = tuple(one.id for one in activities if not one.done and one.basis is Basis.ASSUMED)
        open_ends = [one.earliest_end for one in activities if not one.done]
        start = self._calendar.beginning(self._origin)
        phases = tuple(self._phases(by_id))
        return Schedule(
            title=self._survey.plan.title,
            start=start,
            end=max(open_ends or [one.end for one in activities] or [start]),
            hours=max(0, times.horizon - self._origin) / 60,
            calendar=self._calendar,
            activities=activities,
            phases=phases,
            milestones=tuple(self._milestones({phase.id: phase for phase in phases})),
            critical_path=times.path,
            loads=self._loads(times, by_id, capacity),
            assumed=assumed,
            assumed_hours=default_hours,
            notes=tuple(self._notes(assumed, default_hours)),
            today=self._today,
        )

    def _notes(self, assumed: tuple[str, ...], hours: float) -> Iterator[str]:
        if assumed:
            one = "1 task states" if len(assumed) == 1 else f"{len(assumed)} tasks state"
            yield f"{one} no estimate: {hours:g} hours are assumed for each"
        idle = [
            task.id for task in self._tasks if self._open(task) and self._is_idle(self._stretches[task.id])
        ]
        if idle:
            one = "1 task has" if len(idle) == 1 else f"{len(idle)} tasks have"
            yield f"{one} a window in which nobody works (such as a weekend), and follow right after it"
        if self._crosswise:
            yield "subtasks of different tasks wait for each other crosswise: these dependencies are left out"

    def _activity(self, task: Task) -> Activity:
        begin = _node(DependencyKind.TASK, task.id, Side.BEGIN)
        end = _node(DependencyKind.TASK, task.id, Side.END)
        times = self._times
        first, last = times.earliest[begin], times.earliest[end]
        slack = times.latest[end] - last
        due = self._due(task)
        start, ends = self._moments(first, last)
        latest_start, latest_end = self._moments(first + slack, last + slack)
        return self._of(
            task,
            start,
            ends,
            latest_start=latest_start,
            latest_end=latest_end,
            slack=slack / 60,
            free_slack=times.free[end] / 60,
            critical=slack == 0,
            due=due,
            late=due is not None and ends > due,
        )

    def _moments(self, first: int, last: int) -> tuple[datetime.datetime, datetime.datetime]:
        if last > first:
            return self._calendar.beginning(first), self._calendar.ending(last)
        moment = self._calendar.beginning(first) if first <= self._floor else self._calendar.ending(first)
        return moment, moment

    def _is_idle(self, stretch: Stretch) -> bool:
        """Whether a window has an end and nobody works in it."""
        if stretch.last is None:
            return False
        first = stretch.first or stretch.last
        return first <= stretch.last and not self._calendar.within(first, stretch.last)

    def _due(self, task: Task) -> datetime.datetime | None:
        """The end of a task's window, if any of the window is working time."""
        stretch = self._stretches[task.id]
        if stretch.last is None or self._is_idle(stretch):
            return None
        if stretch.first is not None and stretch.first > stretch.last:
            return None
        return self._calendar.ending(self._calendar.at_end(stretch.last))

    def _past(self, task: Task) -> Activity:
        """A done task at its actual dates, else where it was planned, with no work left."""
        first = task.started or task.finished
        length = datetime.timedelta(minutes=self._calendar.minutes)
        if first is not None and task.finished is not None:
            start = datetime.datetime.combine(min(first, task.finished), self._calendar.begins)
            end = datetime.datetime.combine(task.finished, self._calendar.begins) + length
        else:
            planned = first or self._stretches[task.id].first
            if planned is None:
                start = end = self._calendar.beginning(self._origin)
            else:
                minute = self._calendar.at_start(planned)
                start, end = self._moments(minute, minute + self._work[task.id].total)
        return self._of(
            task, start, end, latest_start=start, latest_end=end, slack=0.0, free_slack=0.0, critical=False
        )

    def _of(
        self,
        task: Task,
        start: datetime.datetime,
        end: datetime.datetime,
        *,
        latest_start: datetime.datetime,
        latest_end: datetime.datetime,
        slack: float,
        free_slack: float,
        critical: bool,
        due: datetime.datetime | None = None,
        late: bool = False,
    ) -> Activity:
        work: Work = self._work[task.id]
        owner = self._survey.owner(task)
        top = self._survey.top
        waits = [dependency for inner in task.walk() for dependency in inner.dependencies if dependency.known]
        after = dict.fromkeys(
            top[one.target].id
            for one in waits
            if one.kind is DependencyKind.TASK and one.target in top and top[one.target] is not task
        )
        phases = dict.fromkeys(one.target for one in waits if one.kind is DependencyKind.PHASE and one.target)
        return Activity(
            id=task.id,
            id_stated=task.id_stated,
            title=task.title,
            phase=task.phase,
            source=task.source,
            owner=owner,
            owners=people(owner),
            status=self._survey.status(task),
            progress=task.progress,
            executable=any(inner.run for inner in task.walk()),
            hours=work.left / 60,
            total=work.total / 60,
            basis=work.basis,
            earliest_start=start,
            earliest_end=end,
            latest_start=latest_start,
            latest_end=latest_end,
            slack=slack,
            free_slack=free_slack,
            critical=critical,
            started=task.started,
            finished=task.finished,
            due=due,
            late=late,
            after=tuple(after),
            after_phases=tuple(phases),
        )

    def _phases(self, activities: Mapping[str, Activity]) -> Iterator[PhaseSpan]:
        for phase in self._survey.phases.values():
            inside = [
                activities[task.id] for task in self._survey.tasks_inside(phase) if task.id in activities
            ]
            span = self._span(phase, inside)
            if span is None:
                continue
            weight = sum(one.total for one in inside)
            left = sum(one.hours for one in inside)
            done = is_open(phase.status) is False
            yield PhaseSpan(
                id=phase.id,
                title=phase.title,
                source=phase.source,
                depth=len(self._survey.around(phase.id)) - 1,
                start=span[0],
                end=span[1],
                status=phase.status,
                progress=round(100 * (1 - left / weight), 1) if weight else 100.0 if done else 0.0,
                activities=tuple(task.id for task in phase.tasks if task.id in activities),
                implicit=phase.implicit,
            )

    def _span(
        self, phase: Phase, inside: list[Activity]
    ) -> tuple[datetime.datetime, datetime.datetime] | None:
        if inside:
            return min(one.start for one in inside), max(one.end for one in inside)
        stretch = self._placement.place(phase.window)
        if stretch is None or stretch.first is None or stretch.last is None or stretch.first > stretch.last:
            return None
        return self._moments(self._calendar.at_start(stretch.first), self._calendar.at_end(stretch.last))

    def _milestones(self, phases: Mapping[str, PhaseSpan]) -> Iterator[MilestoneDate]:
        for milestone in self._survey.plan.milestones:
            at = self._milestone_at(milestone, phases)
            if at is not None:
                yield MilestoneDate(
                    id=milestone.id,
                    title=milestone.title,
                    source=milestone.source,
                    status=milestone.status,
                    phase=milestone.phase,
                    at=at,
                    due=milestone.window is not None,
                )

    def _milestone_at(
        self, milestone: Milestone, phases: Mapping[str, PhaseSpan]
    ) -> datetime.datetime | None:
        if milestone.window is None:
            phase = phases.get(milestone.phase or "")
            return phase.end if phase else None
        stretch = self._placement.place(milestone.window)
        day = stretch.last or stretch.first if stretch else None
        return self._calendar.ending(self._calendar.at_end(day)) if day else None

    def _loads(self, times: Times, activities: Mapping[str, Activity], capacity: float) -> tuple[Load, ...]:
        shares = (
            Share(
                activities[task.id].owners,
                times.earliest[_node(DependencyKind.TASK, task.id, Side.BEGIN)],
                times.earliest[_node(DependencyKind.TASK, task.id, Side.END)],
            )
            for task in self._tasks
            if self._open(task)
        )
        return loads(shares, self._calendar, capacity)


def _node(kind: DependencyKind, identifier: str, side: Side) -> Node:
    return Node(kind, identifier, side)
