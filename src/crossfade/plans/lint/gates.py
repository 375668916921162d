"""Gates: phases that nothing checks, and expressions that cannot be evaluated."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator

from crossfade.plans.lint.problem import Problem, Subject, called, error, some, warning
from crossfade.plans.model import GateKind, Milestone, Phase, Task
from crossfade.plans.survey import is_open

KNOWN_METRICS = frozenset(
    {
        # what is true of the move at this moment
        *("epoch", "error_rate", "errors", "lag", "leader", "new", "old", "p50", "p95", "phase"),
        *("reads_percent", "requests", "troubles"),
        # what the verbs measured, and what the tasks' own commands did
        *("backup", "check", "complete", "copy", "shift", "switch", "verify", "result", "tasks"),
    }
)
"""The first words of the names that a gate may read; those of `crossfade.runs.gates`."""

_SUGGESTIONS = 50
"""Unknown names for which a similar one is looked for."""

_CALENDAR = re.compile(r"(?:week|day|weekend|month|sprint|quarter)s?\b|Q[1-4]\b|\d", re.I)
_DECIDES = re.compile(
    r"\bgo\s*/?\s*no[ -]?go\b|\bsign[ -]?off\b|\bgates?\b|\bapprov(?:e|al|ed)\b|\bacceptance\b|\bexit (?:criteria|review)\b",
    re.I,
)
_STRING = re.compile(r"(?:\b[rb])?(?:\"\"\".*?\"\"\"|'''.*?'''|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*')", re.S)
_NAME = re.compile(r"(?<![\w.])([A-Za-z_]\w*)((?:\s*\.\s*[A-Za-z_]\w*)*)\s*(\()?")
_LOOPS = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*([A-Za-z_]\w*)\s*,")
_WORD = re.compile(r"\w+")
_WORDS = {"true", "false", "null", "in", "int", "uint", "double", "string", "bytes", "bool", "list", "map"}


def missing(subject: Subject) -> Iterator[Problem]:
    """Phases that are not over and end without any gate.

    A quality gate, a success criterion, a milestone with criteria and a task that has a gate, an approval or
    decides by its name (``Go/no-go``) are gates.  Weeks and days are headings of a calendar, not phases: of a
    plan that has nothing else it is only demanded that there is a gate at all.
    """
    survey, plan = subject.survey, subject.plan
    named = {stream.name.casefold() for stream in plan.workstreams}
    gated = _gated(subject)
    outermost = [phase for phase in plan.phases if phase.parent is None and not phase.implicit]
    real = [
        phase
        for phase in outermost
        if not _CALENDAR.match(phase.id) and not {phase.id.casefold(), phase.title.casefold()} & named
    ]
    for phase in real:
        left = [task for task in survey.tasks_inside(phase) if is_open(survey.status(task))]
        if left and is_open(phase.status) and not any(one.id in gated for one in survey.inside(phase)):
            yield warning(
                "gate.missing",
                phase.source,
                f"{_name(phase)} has {len(left)} open tasks and no gate",
                "add a quality gate, or give its last task a gate or an approval",
            )
    ids = {phase.id for phase in real}
    weeks = [phase for phase in outermost if phase.id not in ids and survey.tasks_inside(phase)]
    if weeks and not real and not gated and not plan.gates:
        yield warning(
            "gate.missing",
            weeks[-1].source,
            "the plan has no gate at all",
            "add a quality gate, or give the task before the switch a gate or an approval",
        )


def _gated(subject: Subject) -> set[str]:
    """The ids of the phases that have a gate of their own."""
    survey, plan = subject.survey, subject.plan
    found: set[str] = set()
    for gate in plan.gates:
        if gate.kind is not GateKind.ROLLBACK:
            owner = survey.top.get(gate.task or "")
            found.update(one for one in (gate.phase, owner.phase if owner else None) if one)
    deciding = {gate.id for gate in plan.gates if gate.kind is not GateKind.ROLLBACK}
    found.update(phase.id for phase in plan.phases if not deciding.isdisjoint(phase.gates))
    named = _by_first_word(plan.phases)
    for milestone in plan.milestones:
        if milestone.criteria or milestone.description:
            found.update(_phases_of(milestone, named))
    for task in survey.tasks.values():
        if task.gate or task.approve is not None or _DECIDES.search(task.title):
            found.add(survey.top[task.id].phase)
    return found


def _by_first_word(phases: Collection[Phase]) -> dict[str, dict[str, re.Pattern[str]]]:
    """What finds the id of each phase in a text, by the first word of the id."""
    found: dict[str, dict[str, re.Pattern[str]]] = {}
    for phase in phases:
        name = phase.id.casefold()
        first = _WORD.search(name)
        pattern = re.compile(rf"\b{re.escape(name)}\b")
        found.setdefault(first[0] if first else "", {})[phase.id] = pattern
    return found


def _phases_of(milestone: Milestone, named: dict[str, dict[str, re.Pattern[str]]]) -> Iterator[str]:
    """The phase that a milestone stands in, and the ones that its words name."""
    if milestone.phase:
        yield milestone.phase
    text = f"{milestone.title} {milestone.description} {' '.join(milestone.criteria)}".casefold()
    for word in {"", *_WORD.findall(text)}:
        for identifier, pattern in named.get(word, {}).items():
            if pattern.search(text):
                yield identifier


def _name(phase: Phase) -> str:
    return phase.id if phase.title.startswith(phase.id) else f"“{phase.title}”"


# --- expressions ------------------------------------------------------------


def expressions(subject: Subject) -> Iterator[Problem]:
    """Gates of tasks that cannot be compiled, or that use names which nothing measures."""
    unknown: dict[str, list[str]] = {}
    for task in subject.survey.tasks.values():
        if not task.gate:
            continue
        line = task.lines.get("gate")
        wrong = subject.gate_problem(task.gate) if subject.gate_problem is not None else None
        if wrong is not None:
            yield error(
                "gate.expression",
                task.source,
                f"the gate of {called(task)} cannot be evaluated: {wrong}",
                "correct the expression, such as `verify.differences == 0 && p95 < 200`",
                line=line,
            )
            continue
        for name in names_of(task.gate):
            if not is_measured(name, subject.metrics):
                if name not in unknown:
                    few = len(unknown) < _SUGGESTIONS
                    unknown[name] = similar_metrics(name, subject.metrics) if few else []
                yield _unmeasured(name, task, line, unknown[name])


def names_of(expression: str) -> list[str]:
    """The dotted names that an expression reads, each once; functions and the variables of loops left out."""
    text = _STRING.sub("''", expression)
    loops = set(_LOOPS.findall(text))
    found: dict[str, None] = {}
    for first, rest, call in _NAME.findall(text):
        parts = [first, *(part.strip() for part in rest.split(".")[1:])]
        if call:
            parts.pop()
        if parts and first not in loops and first not in _WORDS:
            found.setdefault(".".join(parts))
    return list(found)


def _unmeasured(name: str, task: Task, line: int | None, similar: list[str]) -> Problem:
    if similar:
        return error(
            "gate.metric",
            task.source,
            f"the gate of {called(task)} reads {name}, which nothing measures",
            f"did you mean {some(similar, 3)}?",
            line=line,
        )
    return warning(
        "gate.metric",
        task.source,
        f"the gate of {called(task)} reads {name}, which is not known to be measured",
        "make sure that a command before it measures that, or correct the name",
        line=line,
    )


def is_measured(name: str, metrics: Collection[str]) -> bool:
    """Whether a dotted name is one of these, or is what one of these holds."""
    first = name.split(".")[0]
    inside = [metric for metric in metrics if metric.startswith(f"{first}.")]
    if name in metrics or any(metric.startswith(f"{name}.") for metric in inside):
        return True
    return first in metrics if not inside else any(name.startswith(f"{metric}.") for metric in inside)


def similar_metrics(name: str, metrics: Collection[str]) -> list[str]:
    """Names that may have been meant."""
    first, _, rest = name.partition(".")
    whole = difflib.get_close_matches(name, metrics, 3, 0.75)
    if whole or not rest:
        # p59 for p95: a short name is alike when it has the same letters
        same = [one for one in metrics if sorted(one) == sorted(name)]
        return whole or sorted(same)
    return [f"{one}.{rest}" for one in difflib.get_close_matches(first, metrics, 3, 0.75)]
