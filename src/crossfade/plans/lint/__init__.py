"""What is wrong with a plan, before anybody runs it.

`lint` looks at the model alone and never changes anything.  Each finding has a dotted check:

=====================  ======================================================================================
``plan.empty``         no task was found
``id.duplicate``       a task (or milestone) states the id of an earlier one
``dependency.unknown`` a dependency on something that the document does not have
``dependency.cycle``   dependencies that go around in a circle, told once and whole
``order.late``         a task is to happen before what it depends on
``order.verbs``        a verb of Crossfade that would run side by side with one that it stands on
``status.progress``    a percentage contradicts the status, or the tasks' progress
``status.subtasks``    done, with open subtasks
``status.phase``       a phase is done with open tasks, or not started with done ones
``status.dependency``  done, though what it depends on is not
``status.dates``       finished before it was started, or finished and not done
``status.unreadable``  a status that means nothing known
``total.sum``          a stated total of hours is not the sum of the tasks'
``field.unreadable``   an approval, timeout, retry or reaction to a failure that is not understood
``deliverable.missing``  a task without a deliverable among tasks that have one
``deliverable.absent``   a file of a done task that does not exist
``gate.missing``       a phase that nothing checks
``gate.expression``    a gate that cannot be evaluated
``gate.metric``        a gate that reads what nothing measures
``undo.missing``       a destructive task with no way back
``metric.unmeasured``  a success metric that nothing measures
``metric.unknown``     a success metric measured by a name that does not exist
``owner.tbd``          an owner that is still to be found
``owner.missing``      a task without an owner among tasks that have one
``reading``            what the reader could not make sense of
=====================  ======================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from crossfade.plans.lint import (
    controls,
    deliverables,
    dependencies,
    gates,
    ids,
    measures,
    owners,
    progress,
    totals,
    undo,
    verbs,
)
from crossfade.plans.lint.gates import KNOWN_METRICS
from crossfade.plans.lint.problem import Check, Level, Problem, Subject, warning
from crossfade.plans.model import Plan

__all__ = ["KNOWN_METRICS", "Level", "Problem", "lint"]

CHECKS: tuple[Check, ...] = (
    ids.empty,
    ids.duplicate,
    dependencies.unknown,
    dependencies.circular,
    dependencies.late,
    dependencies.undone,
    verbs.unordered,
    progress.tasks,
    progress.phases,
    progress.unreadable,
    totals.totals,
    controls.unreadable,
    deliverables.missing,
    deliverables.not_there,
    gates.missing,
    gates.expressions,
    undo.missing,
    measures.unmeasured,
    owners.to_be_found,
    owners.missing,
)

_TOLD_BETTER = {
    "id.duplicate": "with the id",
    "status.unreadable": "the status",
    "field.unreadable": "is not understood",
}
"""By check, the words of the reader's notice that says the same."""


def lint(
    plan: Plan,
    *,
    metrics: Collection[str] = KNOWN_METRICS,
    gate_problem: Callable[[str], str | None] | None = None,
    root: Path | None = None,
) -> list[Problem]:
    """Every problem of a plan, in the document's order, errors before warnings of the same line.

    ``metrics`` are the names that gates may read: whole ones (``verify.differences``), or their first words.
    ``gate_problem`` says what is wrong with a gate's expression, ``None`` for nothing; without it expressions
    are not compiled.  ``root`` is the folder in which the files of done tasks must exist; without it they are
    not looked for.
    """
    subject = Subject(plan, metrics, gate_problem, root)
    found = [problem for check in CHECKS for problem in check(subject)]
    found += _notices(subject, found)
    unique = {(one.check, one.line, one.what): one for one in found}
    return sorted(unique.values(), key=lambda one: (one.line, one.level.value, one.check, one.what))


def _notices(subject: Subject, found: list[Problem]) -> Iterator[Problem]:
    """The reader's notices, but for those that a check tells better."""
    told: dict[int, set[str]] = {}
    for one in found:
        if one.check in _TOLD_BETTER:
            told.setdefault(one.line, set()).add(_TOLD_BETTER[one.check])
    for notice in subject.plan.notices:
        if not any(words in notice.text for words in told.get(notice.source.line, ())):
            yield warning(
                "reading", notice.source, notice.text, "correct it, so that it is read as it is meant"
            )
