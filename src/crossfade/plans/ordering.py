"""What has to come before what: the graph of a plan's tasks, phases and milestones, and the cycles in it.

Every item has two nodes, its begin and its end.  An item begins after the end of all that it depends on; what is
inside a phase (or a task) begins after that phase began and ends before it ends; so ``Phase 4 completion`` waits
for everything in phase 4.  A milestone that tells no time of its own comes with the end of its phase.  Phases
that merely follow one another in the document are not in any order.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from crossfade.errors import PlanError
from crossfade.plans.model import Dependency, DependencyKind, Source, Task
from crossfade.plans.survey import Survey

_LARGE = 4000
"""Nodes of a knot of circles that is too large to be told whole."""


class Side(enum.IntEnum):
    """The two nodes of an item."""

    BEGIN = 0
    END = 1


class Node(NamedTuple):
    """The begin or the end of the task, phase or milestone of that id."""

    kind: DependencyKind
    id: str
    side: Side


@dataclass(frozen=True, slots=True)
class Step:
    """One item of a cycle.  ``needs`` is the dependency through which it waits for the next one; ``None`` when
    it waits for it as a phase waits for what is inside it."""

    kind: DependencyKind
    id: str
    source: Source
    needs: Dependency | None

    @property
    def is_task(self) -> bool:
        return self.kind is DependencyKind.TASK

    def __str__(self) -> str:
        return f"task {self.id}" if self.is_task else self.id


@dataclass(frozen=True, slots=True)
class Cycle:
    """Items each of which waits for the next one, and the last for the first.  The first one is the task
    that stands first in the document."""

    steps: tuple[Step, ...]

    def __str__(self) -> str:
        """The whole circle, once around: ``task 1.1 → task 1.2 → task 1.1``."""
        return " → ".join(str(step) for step in (*self.steps, self.steps[0]))

    @property
    def lines(self) -> str:
        """Where to look: ``task 1.1 in line 7, task 1.2 in line 12``."""
        return ", ".join(f"{step} in line {step.source.line}" for step in self.steps)


class Ordering:
    """The graph of one plan.  ``before[node]`` are the nodes that come before it, each with the dependency that
    says so or ``None`` where the plan's structure does."""

    def __init__(self, survey: Survey) -> None:
        self.survey = survey
        self.sources: dict[tuple[DependencyKind, str], Source] = {}
        self.before: dict[Node, dict[Node, Dependency | None]] = {}
        self._add_phases()
        self._add_tasks()
        self._add_milestones()
        self._add_dependencies()

    # --- building -----------------------------------------------------------

    def _add_phases(self) -> None:
        for phase in self.survey.phases.values():
            self._item(DependencyKind.PHASE, phase.id, phase.source)
        for phase in self.survey.phases.values():
            around = self.survey.around(phase.id)
            if len(around) > 1:
                self._inside((DependencyKind.PHASE, phase.id), (DependencyKind.PHASE, around[1].id))

    def _add_tasks(self) -> None:
        for task in self.survey.tasks.values():
            self._item(DependencyKind.TASK, task.id, task.source)
            parent = self.survey.parent.get(task.id)
            if parent is not None:
                self._inside((DependencyKind.TASK, task.id), (DependencyKind.TASK, parent.id))
            elif task.phase in self.survey.phases:
                self._inside((DependencyKind.TASK, task.id), (DependencyKind.PHASE, task.phase))

    def _add_milestones(self) -> None:
        for milestone in self.survey.plan.milestones:
            key = (DependencyKind.MILESTONE, milestone.id)
            if key in self.sources:
                continue
            self._item(*key, milestone.source)
            if milestone.window is None and milestone.phase in self.survey.phases:
                phase = Node(DependencyKind.PHASE, milestone.phase or "", Side.END)
                self.before[Node(*key, Side.END)][phase] = None

    def _add_dependencies(self) -> None:
        for task in self.survey.tasks.values():
            for dependency in task.dependencies:
                if dependency.kind is DependencyKind.TASK and self._nested(task.id, dependency.target or ""):
                    continue  # a subtask that names the task around it, or the other way round: it belongs to it
                self._depend((DependencyKind.TASK, task.id), dependency)
        for phase in self.survey.phases.values():
            for dependency in phase.dependencies:
                self._depend((DependencyKind.PHASE, phase.id), dependency)

    def _nested(self, one: str, other: str) -> bool:
        """Whether one of two tasks lies inside the other."""
        tasks = self.survey.tasks
        return any(
            outer in tasks
            and inner in tasks
            and outer in (task.id for task in self.survey.ancestors(tasks[inner]))
            for outer, inner in ((one, other), (other, one))
        )

    def _item(self, kind: DependencyKind, identifier: str, source: Source) -> None:
        self.sources[kind, identifier] = source
        begin = Node(kind, identifier, Side.BEGIN)
        self.before[begin] = {}
        self.before[Node(kind, identifier, Side.END)] = {begin: None}

    def _inside(self, inner: tuple[DependencyKind, str], outer: tuple[DependencyKind, str]) -> None:
        self.before[Node(*inner, Side.BEGIN)][Node(*outer, Side.BEGIN)] = None
        self.before[Node(*outer, Side.END)][Node(*inner, Side.END)] = None

    def _depend(self, item: tuple[DependencyKind, str], dependency: Dependency) -> None:
        key = (dependency.kind, dependency.target or "")
        if key in self.sources:
            self.before[Node(*item, Side.BEGIN)].setdefault(Node(*key, Side.END), dependency)

    # --- cycles -------------------------------------------------------------

    def cycles(self, most: int = 20) -> list[Cycle]:
        """Every circle of dependencies, once; circles that share a dependency count as one.

        At most ``most``; of a knot of thousands of items only the first three.
        """
        graph = _knots(self.before)
        most = most if len(graph) <= _LARGE else min(most, 3)
        found: list[Cycle] = []
        while graph and len(found) < most:
            nodes = _any_cycle(graph)
            if nodes is None:
                break
            nodes = _shortest(graph, nodes)
            found.append(self._cycle(nodes))
            edges = list(zip(nodes, (*nodes[1:], nodes[0]), strict=True))
            stated = [(node, after) for node, after in edges if graph[node][after] is not None]
            for node, after in stated or edges:
                del graph[node][after]
        return sorted(found, key=lambda cycle: cycle.steps[0].source.line)

    def _cycle(self, nodes: list[Node]) -> Cycle:
        """The items along the nodes, each of which comes after the next one."""
        steps: list[Step] = []
        for node, after in zip(nodes, (*nodes[1:], nodes[0]), strict=True):
            if (node.kind, node.id) != (after.kind, after.id):
                source = self.sources[node.kind, node.id]
                steps.append(Step(node.kind, node.id, source, self.before[node][after]))
        if not steps:  # an item that names itself
            node, after = nodes[0], nodes[-1]
            needs = self.before[node].get(after) or self.before[after].get(node)
            steps.append(Step(node.kind, node.id, self.sources[node.kind, node.id], needs))
        first = min(range(len(steps)), key=lambda at: (not steps[at].is_task, steps[at].source.line))
        return Cycle(tuple(steps[first:] + steps[:first]))

    def demand_no_cycle(self) -> None:
        """``PlanError`` that names the circles, when there are any."""
        cycles = self.cycles()
        if cycles:
            told = "; ".join(f"{cycle} ({cycle.lines})" for cycle in cycles[:5])
            more = f"; and {len(cycles) - 5} more" if len(cycles) > 5 else ""
            first = cycles[0].steps[0].source
            raise PlanError(
                f"the dependencies go around in a circle: {told}{more}",
                where=f"{first.file}:{first.line}",
                todo="take one dependency out of each circle",
            )

    # --- as activities ------------------------------------------------------

    def of_whole_tasks(self) -> tuple[dict[Node, dict[Node, None]], bool]:
        """The graph with every subtask taken as part of the outermost task around it.

        Subtasks of two tasks may wait for each other crosswise without any circle; taken whole, their tasks
        cannot be put in an order.  Then the dependencies of subtasks are left out, and the second value is true.
        """
        whole = self._contracted(subtasks=True)
        if _any_cycle(whole) is None:
            return whole, False
        return self._contracted(subtasks=False), True

    def _contracted(self, *, subtasks: bool) -> dict[Node, dict[Node, None]]:
        top = self.survey.top
        graph: dict[Node, dict[Node, None]] = {}
        for node, before in self.before.items():
            inner = node.kind is DependencyKind.TASK and top[node.id].id != node.id
            target = _whole(node, top)
            known = graph.setdefault(target, {})
            for other, dependency in before.items():
                whole = _whole(other, top)
                if (whole.kind, whole.id) == (target.kind, target.id) and (inner or whole != other):
                    continue
                if dependency is not None and not subtasks and (inner or whole != other):
                    continue
                known[whole] = None
        return graph


def _whole(node: Node, top: dict[str, Task]) -> Node:
    return node._replace(id=top[node.id].id) if node.kind is DependencyKind.TASK else node


def _knots(before: dict[Node, dict[Node, Dependency | None]]) -> dict[Node, dict[Node, Dependency | None]]:
    """The part of a graph in which the circles are: without all that comes before or after them."""
    sorter = TopologicalSorter[Node](before)
    try:
        sorter.prepare()
    except CycleError:
        left = set(before)
        while sorter.is_active():
            ready = sorter.get_ready()
            if not ready:
                break
            left.difference_update(ready)
            sorter.done(*ready)
        return {
            node: {other: dependency for other, dependency in before[node].items() if other in left}
            for node in before
            if node in left
        }
    return {}


def _any_cycle(
    graph: dict[Node, dict[Node, Dependency | None]] | dict[Node, dict[Node, None]],
) -> list[Node] | None:
    """The nodes of one circle, each of which comes after the next one."""
    try:
        TopologicalSorter[Node](graph).prepare()
    except CycleError as error:
        nodes: list[Node] = error.args[1]
        return nodes[:0:-1]  # told with the first one repeated at the end, and in the order of the work
    return None


def _shortest(graph: dict[Node, dict[Node, Dependency | None]], nodes: list[Node]) -> list[Node]:
    """A shortest circle through one of the nodes of a circle that was found."""
    goal = next((node for node in nodes if node.kind is DependencyKind.TASK), nodes[0])
    came: dict[Node, Node] = {}
    waiting = deque([goal])
    while waiting:
        node = waiting.popleft()
        for after in graph[node]:
            if after == goal:
                return _path(came, node, goal)
            if after not in came:
                came[after] = node
                waiting.append(after)
    return nodes


def _path(came: dict[Node, Node], node: Node, goal: Node) -> list[Node]:
    path = [node]
    while path[-1] != goal:
        path.append(came[path[-1]])
    return path[::-1]
