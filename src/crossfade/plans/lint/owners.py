"""Owners that are still to be found."""

from __future__ import annotations

from collections.abc import Iterator

from crossfade.plans.lint.groups import lacking
from crossfade.plans.lint.problem import Problem, Subject, called, warning
from crossfade.plans.model import Source
from crossfade.plans.placeholders import is_placeholder, says_none
from crossfade.plans.survey import is_open


def to_be_found(subject: Subject) -> Iterator[Problem]:
    """Owners that read ``TBD`` and the like."""
    plan, survey = subject.plan, subject.survey
    found: list[tuple[str, str, Source, int | None]] = [("the plan", plan.owner, _head(subject), None)]
    found += [
        (phase.id, phase.owner, phase.source, phase.lines.get("owner"))
        for phase in plan.phases
        if is_open(phase.status)
    ]
    found += [
        (called(task), task.owner, task.source, task.lines.get("owner"))
        for task in survey.tasks.values()
        if is_open(survey.status(task))
    ]
    found += [
        (f"milestone {one.id}", one.owner, one.source, None) for one in plan.milestones if is_open(one.status)
    ]
    found += [(f"gate {one.id}", one.owner, one.source, None) for one in plan.gates if is_open(one.status)]
    found += [(f"risk {one.id}", one.owner, one.source, None) for one in plan.risks]
    found += [
        (f"decision {one.id}", one.owner, one.source, None) for one in plan.decisions if not one.outcome
    ]
    found += [(f"the metric {one.name}", one.owner, one.source, None) for one in plan.metrics]
    found += [(f"workstream {one.name}", one.owner, one.source, None) for one in plan.workstreams]
    for who, owner, source, line in found:
        if owner and is_placeholder(owner):
            yield warning("owner.tbd", source, f"the owner of {who} is {owner!r}", "name somebody", line=line)


def missing(subject: Subject) -> Iterator[Problem]:
    """Tasks without an owner among tasks that have one."""
    survey = subject.survey
    for task, group in lacking(subject, lambda task: bool(task.owner) and not says_none(task.owner)):
        if not survey.owner(task):
            yield warning(
                "owner.missing",
                task.source,
                f"{called(task)} has no owner; {group.having} of the {group.size} tasks beside it have one",
                "name its owner",
            )


def _head(subject: Subject) -> Source:
    return Source(file=subject.plan.path, line=subject.plan.lines.get("owner", 1))
