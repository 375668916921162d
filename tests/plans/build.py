"""Plans made by hand: short words for tasks, phases and windows, with lines numbered as they come.

``plan(phase("Phase 1", task("1.1", hours=8), task("1.2", needs=["1.1", "Phase 0"]), window="Week 1"))``
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from crossfade.plans.durations import parse_estimate
from crossfade.plans.model import (
    Dependency,
    DependencyKind,
    Estimate,
    Gate,
    GateKind,
    Metric,
    Milestone,
    Phase,
    Plan,
    Source,
    Status,
    Task,
    TaskKind,
    Total,
    Unit,
    Window,
)
from crossfade.plans.windows import parse_window

FILE = "PLAN.md"


@dataclass
class T:
    """A task to be."""

    id: str
    title: str
    needs: list[str]
    subtasks: list[T]
    fields: dict[str, Any]


@dataclass
class P:
    """A phase to be."""

    id: str
    tasks: list[T]
    phases: list[P]
    needs: list[str]
    fields: dict[str, Any] = field(default_factory=dict)


def task(
    identifier: str,
    title: str = "",
    *,
    needs: Iterable[str] = (),
    hours: float | str | None = None,
    window: str | Window | None = None,
    subtasks: Iterable[T] = (),
    status: Status | None = None,
    **fields: Any,
) -> T:
    """A task; ``hours`` as a number or as written (``1-2 hours``), ``window`` as written (``Week 3``)."""
    if hours is not None:
        fields["estimate"] = _estimate(hours)
    if window is not None:
        fields["window"] = parse_window(window) if isinstance(window, str) else window
    if status is not None:
        fields["status"] = status
        fields.setdefault("status_text", status.value)
    return T(identifier, title or f"Work on {identifier}", list(needs), list(subtasks), fields)


def phase(identifier: str, *inside: T | P, needs: Iterable[str] = (), **fields: Any) -> P:
    """A phase with its tasks and the phases nested in it."""
    if isinstance(fields.get("window"), str):
        fields["window"] = parse_window(fields["window"])
    if isinstance(fields.get("estimate"), int | float | str):
        fields["estimate"] = _estimate(fields["estimate"])
    if "status" in fields:
        fields.setdefault("status_text", fields["status"].value)
    tasks = [one for one in inside if isinstance(one, T)]
    return P(identifier, tasks, [one for one in inside if isinstance(one, P)], list(needs), fields)


def within(outer: str, inner: str) -> Window:
    """``inner`` as it is read under a heading that tells ``outer``."""
    window, around = parse_window(inner), parse_window(outer)
    assert window is not None
    return window.model_copy(update={"within": around})


def numbers(unit: Unit, first: int, last: int | None = None) -> Window:
    """A window of numbers of a unit."""
    found = parse_window(f"{first}-{last or first}", unit)
    assert found is not None
    return found


def gate(text: str, *, phase: str | None = None, kind: GateKind = GateKind.QUALITY, **fields: Any) -> Gate:
    fields.setdefault("source", source(900))
    return Gate(id=fields.pop("id", text), kind=kind, text=text, phase=phase, **fields)


def milestone(identifier: str, *, window: str | None = None, **fields: Any) -> Milestone:
    fields.setdefault("title", f"Reach {identifier}")
    fields.setdefault("source", source(800))
    return Milestone(id=identifier, window=parse_window(window) if window else None, **fields)


def metric(name: str, **fields: Any) -> Metric:
    fields.setdefault("source", source(700))
    return Metric(name=name, **fields)


def total(raw: str, *, phase: str | None = None, workstream: str = "", line: int = 600) -> Total:
    return Total(raw=raw, estimate=_estimate(raw), source=source(line), phase=phase, workstream=workstream)


def source(line: int) -> Source:
    return Source(file=FILE, line=line)


def plan(*phases: P | T, title: str = "Move the shop", **fields: Any) -> Plan:
    """A plan of these phases; tasks right in it stand in the phase that stands for the document."""
    loose = [one for one in phases if isinstance(one, T)]
    every: list[P] = [one for one in phases if isinstance(one, P)]
    if loose:
        every.insert(0, P("document", loose, [], [], {"title": title, "implicit": True}))
    if isinstance(fields.get("estimate"), int | float | str):
        fields["estimate"] = _estimate(fields["estimate"])
    builder = _Builder(every, fields.get("milestones", ()))
    return Plan(title=title, path=FILE, phases=tuple(builder.phases), **fields)


class _Builder:
    def __init__(self, phases: list[P], milestones: Iterable[Milestone]) -> None:
        self._line = 1
        self._kinds: dict[str, DependencyKind] = {one.id: DependencyKind.MILESTONE for one in milestones}
        for one in phases:
            self._learn(one)
        self.phases: list[Phase] = []
        for one in phases:
            self._phase(one, None, ())

    def _learn(self, one: P) -> None:
        self._kinds[one.id] = DependencyKind.PHASE
        waiting = list(one.tasks)
        while waiting:
            this = waiting.pop()
            self._kinds[this.id] = DependencyKind.TASK
            waiting.extend(this.subtasks)
        for inner in one.phases:
            self._learn(inner)

    def _next(self) -> int:
        self._line += 2
        return self._line

    def _phase(self, one: P, parent: str | None, path: tuple[str, ...]) -> None:
        line = self._next()
        fields = {"title": one.id, **one.fields}
        path = (*path, str(fields["title"]))
        at = len(self.phases)
        tasks = tuple(self._task(inner, one.id, path) for inner in one.tasks)
        needs = self._needs(one.needs, line)
        made = Phase(
            id=one.id,
            source=source(line),
            parent=parent,
            path=path,
            tasks=tasks,
            dependencies=needs,
            **fields,
        )
        self.phases.insert(at, made)
        for nested in one.phases:
            self._phase(nested, one.id, path)

    def _task(self, one: T, phase: str, path: tuple[str, ...]) -> Task:
        line = self._next()
        fields = {"kind": TaskKind.TASK, "path": path, **one.fields}
        return Task(
            id=one.id,
            title=one.title,
            source=source(line),
            phase=phase,
            dependencies=self._needs(one.needs, line),
            subtasks=tuple(self._task(inner, phase, path) for inner in one.subtasks),
            **fields,
        )

    def _needs(self, names: list[str], line: int) -> tuple[Dependency, ...]:
        return tuple(self._need(name, line) for name in names)

    def _need(self, name: str, line: int) -> Dependency:
        kind = self._kinds.get(name)
        if kind is None and not re.search(r"\d", name):
            return Dependency(raw=name, kind=DependencyKind.TEXT, source=source(line))
        guess = DependencyKind.PHASE if name.startswith("Phase") else DependencyKind.TASK
        return Dependency(
            raw=name, kind=kind or guess, target=name, known=kind is not None, source=source(line)
        )


def _estimate(hours: float | str) -> Estimate:
    if isinstance(hours, str):
        found = parse_estimate(hours, bare_hours=True)
        assert found is not None
        return found
    return Estimate(raw=f"{hours:g} hours", hours=hours, low=hours, high=hours)


MONDAY = datetime.date(2026, 3, 2)
"""A Monday to start on."""
