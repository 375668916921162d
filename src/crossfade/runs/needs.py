"""Which executable tasks of a plan each one waits for, and what else would have to be done before it.

Only tasks with commands, a gate or an approval are run.  What stands between them (a task that people do and
tick, a phase, a milestone) is looked through: whoever waits for it waits for every executable task behind it,
and whether *it* is done is only claimed by the document.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from crossfade.errors import PlanError
from crossfade.plans.model import Dependency, DependencyKind, Plan, Source, Status, Task
from crossfade.plans.ordering import Node, Ordering, Side
from crossfade.plans.survey import Survey, is_open


@dataclass(frozen=True, slots=True)
class Open:
    """Something that is not done as far as the document tells, and that ``task`` waits for."""

    task: str
    text: str
    source: Source


@dataclass(slots=True)
class Needs:
    """What one task waits for: the ids of executable tasks, what the document claims to be done already, and
    what it does not even claim."""

    after: list[str]
    claimed: list[str]
    open: list[Open]


def is_executable(task: Task) -> bool:
    """Whether a run has anything to do for a task.  One that the document skips is not run."""
    return bool(task.run or task.gate or task.approve) and task.status is not Status.SKIPPED


def needs_of(plan: Plan) -> dict[str, Needs]:
    """For each executable task, in the document's order, what it waits for.

    A task waits for the executable ones nested in it, and these for whatever it depends on itself; a phase's
    dependencies are those of all that is inside.  ``PlanError`` for a circle, and for a dependency on a task,
    phase or milestone that the document does not have.
    """
    survey = Survey(plan)
    ordering = Ordering(survey)
    ordering.demand_no_cycle()
    executable = {
        identifier
        for identifier, task in survey.tasks.items()
        # also when it is its phase that the document skips
        if is_executable(task) and survey.status(task) is not Status.SKIPPED
    }
    walk = _Walk(plan, survey, ordering, executable)
    return {
        identifier: walk.needs(task) for identifier, task in survey.tasks.items() if identifier in executable
    }


class _Walk:
    """Looks backwards through the ordering, from the begin of a task to the ends of executable ones."""

    def __init__(self, plan: Plan, survey: Survey, ordering: Ordering, executable: set[str]) -> None:
        self._survey = survey
        self._before = ordering.before
        self._executable = executable
        self._milestones = {milestone.id: milestone for milestone in plan.milestones}

    def needs(self, task: Task) -> Needs:
        after: dict[str, None] = {}
        claimed: dict[str, None] = {}
        missing: dict[tuple[str, Source], Open] = {}
        own = Node(DependencyKind.TASK, task.id, Side.BEGIN)
        waiting: list[tuple[Node, bool]] = [(own, False)]
        waiting += [
            (Node(DependencyKind.TASK, inner.id, Side.END), False)
            for inner in task.walk()
            if inner is not task and inner.id in self._executable
        ]
        seen: dict[Node, bool] = {}
        while waiting:
            node, trusted = waiting.pop()
            # what stands behind a claim has to be done as well, but nobody asks whether it is claimed
            if node in seen and (trusted or not seen[node]):
                continue
            seen[node] = trusted
            if node.side is Side.BEGIN:
                missing |= {
                    (one.text, one.source): one for one in self._unresolved(task.id, node) if not trusted
                }
            elif node.kind is DependencyKind.TASK and node.id in self._executable:
                after[node.id] = None
                continue
            else:
                told = self._told_done(node)
                if told and not trusted:
                    claimed[node.id] = None
                elif not told and not trusted and self._stands_alone(node):
                    source = self._source(node)
                    text = f"{node.kind.value} {node.id!r} is not done as far as the document tells"
                    missing[text, source] = Open(task.id, text, source)
                trusted = trusted or told
            waiting += [(one, trusted) for one in self._before[node]]
        return Needs(list(after), sorted(claimed), sorted(missing.values(), key=lambda one: one.source.line))

    def _told_done(self, node: Node) -> bool:
        status = self._status(node)
        return status is not None and not is_open(status)

    def _status(self, node: Node) -> Status | None:
        match node.kind:
            case DependencyKind.TASK:
                return self._survey.status(self._survey.tasks[node.id])
            case DependencyKind.PHASE:
                return self._survey.phases[node.id].status
            case DependencyKind.MILESTONE:
                return self._milestones[node.id].status
        return None

    def _stands_alone(self, node: Node) -> bool:
        """Whether nothing else tells if it is done: it has nothing inside."""
        return all(
            one.side is Side.BEGIN and (one.kind, one.id) == (node.kind, node.id)
            for one in self._before[node]
        )

    def _source(self, node: Node) -> Source:
        match node.kind:
            case DependencyKind.TASK:
                return self._survey.tasks[node.id].source
            case DependencyKind.PHASE:
                return self._survey.phases[node.id].source
        return self._milestones[node.id].source

    def _unresolved(self, waiting: str, node: Node) -> Iterable[Open]:
        """Dependencies of an item that lead nowhere: words that name nothing in the document."""
        for dependency in self._dependencies(node):
            if dependency.kind is DependencyKind.TEXT:
                yield Open(
                    waiting,
                    f"{dependency.raw!r} is nothing that the document can tell to be done",
                    dependency.source,
                )
            elif not self._is_known(dependency):
                raise PlanError(
                    f"depends on {dependency.raw!r}, which the plan does not have",
                    where=str(dependency.source),
                    todo="correct the dependency; `crossfade plan lint` names the nearest",
                )

    def _dependencies(self, node: Node) -> tuple[Dependency, ...]:
        if node.kind is DependencyKind.TASK:
            return self._survey.tasks[node.id].dependencies
        return self._survey.phases[node.id].dependencies if node.kind is DependencyKind.PHASE else ()

    def _is_known(self, dependency: Dependency) -> bool:
        target = dependency.target or ""
        match dependency.kind:
            case DependencyKind.TASK:
                return target in self._survey.tasks
            case DependencyKind.PHASE:
                return target in self._survey.phases
        return target in self._milestones
