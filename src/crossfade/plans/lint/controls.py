"""Fields that decide how a task is run, and say nothing that can be read.

A run would go on with the default of such a field: without the timeout, the approval or the way back that
somebody asked for.  So these are errors.
"""

from __future__ import annotations

from collections.abc import Iterator

from crossfade.plans.commands import NOTHING
from crossfade.plans.durations import parse_seconds
from crossfade.plans.labels import field_name, short
from crossfade.plans.lint.problem import Problem, Subject, called, error

_EXAMPLES = {
    "approve": "`2 of ops`, `ops` or `2`",
    "timeout": "`30 s`, `5 minutes` or `1 h`",
    "retry": "a number such as `3`, or `none`",
    "on_failure": "`stop` or `undo`",
}
"""By the name of the field, what it may say."""

_LOOSE = frozenset(("failure", "attempts"))
"""Labels that in a task which nothing runs are words about something else."""


def unreadable(subject: Subject) -> Iterator[Problem]:
    """Approvals, timeouts, retries and reactions to a failure that are written and not understood."""
    for task in subject.survey.tasks.values():
        for label, text in task.other.items():
            name = field_name(label)
            if name in _EXAMPLES and (label not in _LOOSE or task.run or task.gate):
                yield error(
                    "field.unreadable",
                    task.source,
                    f"the field {label!r} of {called(task)} is not understood: {short(text)}",
                    f"write {_EXAMPLES[name]}",
                    line=task.lines.get(name),
                )
        within = task.other.get("within", "")
        if task.approve is not None and not NOTHING.match(within) and parse_seconds(within) is None:
            yield error(
                "field.unreadable",
                task.source,
                f"the field 'within' of {called(task)} is not understood: {short(within)}",
                "write how long the approval may take, such as `2 days`",
            )
