"""Totals that do not add up: what phases, workstreams and the document state, against the sum of their tasks.

Nothing is said where it cannot be known: while some tasks have no estimate, a stated total is only wrong when the
others exceed it already; days and weeks may be elapsed time in which several people work; a range fits any
total inside it; and a total is as exact as its unit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from crossfade.plans.durations import find_amount
from crossfade.plans.lint.problem import Problem, Subject, called, warning
from crossfade.plans.model import Estimate, Phase, Source, Status, Task
from crossfade.plans.placeholders import people
from crossfade.plans.survey import Survey

_EXACT = {"s": 1 / 60, "m": 1 / 60, "h": 0.5, "d": 4.0, "w": 20.0, "mo": 80.0}
_FINENESS = ("s", "m", "h", "d", "w", "mo")
_ABOUT = re.compile(r"~|≈|\babout\b|\bapprox|\broughly\b|\baround\b|\bcirca\b", re.I)
_AT_LEAST = re.compile(r"\+(?!\s*\d)|\bat least\b|\bmin(?:imum)?\b|>|≥", re.I)
_AT_MOST = re.compile(r"\bup to\b|\bat most\b|\bmax(?:imum)?\b|<|≤", re.I)
_MORE_THAN_TASKS = re.compile(r"\bbuffer|\bcontingenc|\boverhead|\bincl|\bslack\b|\breserve|\bmeeting", re.I)


@dataclass(slots=True)
class Sum:
    """The hours of some tasks.  ``low`` leaves out what is skipped, ``high`` does not; ``unknown`` tasks tell no
    estimate."""

    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0
    known: int = 0
    unknown: int = 0

    def add(self, estimate: Estimate, *, skipped: bool) -> None:
        self.known += 1
        self.high += estimate.high
        if not skipped:
            self.low += estimate.low
            self.mean += estimate.hours


@dataclass(slots=True)
class _Stated:
    """A total, whose it is, and whether it may be elapsed time."""

    who: str
    estimate: Estimate
    source: Source
    line: int | None = None
    owners: int = 1
    at_most: bool = False
    """Whether the parts may sum to less: a task may be more than what its subtasks tell."""


def totals(subject: Subject) -> Iterator[Problem]:
    """Every stated total, once."""
    survey = subject.survey
    seen: set[tuple[str, float, float]] = set()
    for stated, tasks in _stated(subject):
        key = (stated.who, stated.estimate.low, stated.estimate.high)
        if key in seen:
            continue
        seen.add(key)
        stated.owners = _owners(survey, tasks)
        problem = _judge(stated, _sum(survey, tasks), "tasks")
        if problem is not None:
            yield problem
        elif stated.who == "the plan":
            problem = _judge(stated, _of_phases(subject), "phases")
            if problem is not None:
                yield problem
    for task in survey.tasks.values():
        if task.estimate is not None and task.subtasks:
            whole = _Stated(
                called(task),
                task.estimate,
                task.source,
                task.lines.get("estimate"),
                _owners(survey, task.subtasks),
                at_most=True,
            )
            problem = _judge(whole, _sum(survey, task.subtasks), "subtasks")
            if problem is not None:
                yield problem


def _stated(subject: Subject) -> Iterator[tuple[_Stated, list[Task]]]:
    survey, plan = subject.survey, subject.plan
    every = list(plan.tasks)
    for phase in survey.phases.values():
        if phase.estimate is not None and not phase.implicit:
            line = phase.lines.get("estimate")
            yield _Stated(_name(phase), phase.estimate, phase.source, line), survey.tasks_inside(phase)
    if plan.estimate is not None:
        source = Source(file=plan.path, line=plan.lines.get("estimate", 1))
        yield _Stated("the plan", plan.estimate, source), every
    for total in plan.totals:
        known = survey.phases.get(total.phase or "")
        if total.phase is not None and known is None:
            continue
        tasks = survey.tasks_inside(known) if known is not None else every
        who = _name(known) if known is not None and not known.implicit else "the plan"
        if total.workstream:
            wanted = total.workstream.casefold()
            tasks = [task for task in tasks if task.workstream.casefold() == wanted]
            who = f"workstream {total.workstream}"
        yield _Stated(who, total.estimate.model_copy(update={"raw": total.raw}), total.source), tasks


def _name(phase: Phase) -> str:
    return phase.id if any(character.isdigit() for character in phase.id) else f"“{phase.title}”"


def _owners(survey: Survey, tasks: Iterable[Task]) -> int:
    """How many people share some tasks."""
    return max(1, len({name.casefold() for task in tasks for name in people(survey.owner(task))}))


def _sum(survey: Survey, tasks: Iterable[Task]) -> Sum:
    total = Sum()
    waiting = list(tasks)
    while waiting:
        task = waiting.pop()
        if task.estimate is not None:
            total.add(task.estimate, skipped=survey.status(task) is Status.SKIPPED)
        elif any(inner.estimate is not None for inner in task.walk()):
            waiting.extend(task.subtasks)
        else:
            total.unknown += 1
    return total


def _of_phases(subject: Subject) -> Sum:
    """The totals that the outermost phases state."""
    total = Sum()
    for phase in subject.plan.phases:
        if phase.parent is None and not phase.implicit:
            if phase.estimate is not None:
                total.add(phase.estimate, skipped=phase.status is Status.SKIPPED)
            else:
                total.unknown += 1
    return total


def _judge(stated: _Stated, total: Sum, parts: str) -> Problem | None:
    raw = stated.estimate.raw
    if not total.known or _MORE_THAN_TASKS.search(raw):
        return None
    units = _units(raw)
    exact = 0.05 if "h" in units and re.search(r"\d[.,]\d", raw) else _EXACT[units[0]]
    low, high = stated.estimate.low, stated.estimate.high
    if _ABOUT.search(raw):
        exact = max(exact, 0.1 * high)
    elapsed = units[-1] in ("d", "w", "mo")
    most = math.inf if _AT_LEAST.search(raw) else high * (stated.owners if elapsed else 1)
    lenient = stated.at_most or elapsed or total.unknown > 0 or _AT_MOST.search(raw)
    least = 0.0 if lenient else low
    if total.low <= most + exact and total.high >= least - exact:
        return None
    count = f"{total.known} {parts}" if total.known > 1 else f"one {parts.rstrip('s')}"
    some = f" that tell{'s' if total.known == 1 else ''} an estimate" if total.unknown else ""
    return warning(
        "total.sum",
        stated.source,
        f"{stated.who} states {_hours(low, high)}, but its {count}{some} sum to "
        f"{_hours(total.low, max(total.low, total.high), total.mean)}",
        "correct the total, or the estimates",
        line=stated.line,
    )


def _units(raw: str) -> tuple[str, ...]:
    """The units of a text, the finest first; hours where it tells none."""
    amount = find_amount(raw)
    found = [unit for unit in _FINENESS if amount and unit in amount.units]
    return tuple(found) or ("h",)


def _hours(low: float, high: float, mean: float | None = None) -> str:
    if high - low < 0.01:
        return f"{round(low, 2):g} hours"
    text = f"{round(low, 2):g} to {round(high, 2):g} hours"
    return f"{text} ({round(mean, 2):g} on average)" if mean is not None else text
