"""Success metrics that nothing measures.

A metric is measured when it says by what, or when a task, a gate, a criterion or a milestone speaks of the same
thing.  Words are compared by their stems, and a few words of the field mean each other (latency and p95).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from crossfade.plans.lint.gates import is_measured, similar_metrics
from crossfade.plans.lint.problem import Problem, Subject, some, warning
from crossfade.plans.model import Metric
from crossfade.plans.placeholders import is_placeholder, says_none

_WORD = re.compile(r"[A-Za-z][a-z]+|[A-Z]+(?![a-z])|[a-z]+|\d+", re.A)
_ENDING = re.compile(r"(?:ations?|ing|ed|ies|es|s|y|e)$")
_GENERIC = frozenset(
    re.findall(
        r"\w+",
        """rate rates time times number numbers count total average avg mean percentage percent level score ratio
        target current overall per the of a an in for to and or on with by under all new max maximum min minimum
        value zero no than less more least most at is are be from during after before each every our we key kpi
        metric metrics success""",
    )
)
_SAME = (
    frozenset({"latency", "response", "p50", "p90", "p95", "p99", "percentile"}),
    frozenset({"error", "failure", "failed", "5xx", "fault"}),
    frozenset({"downtime", "uptime", "availability", "outage", "unavailability"}),
    frozenset(
        {
            "loss",
            "integrity",
            "accuracy",
            "consistency",
            "verify",
            "difference",
            "reconcile",
            "checksum",
            "discrepancy",
        }
    ),
    frozenset({"throughput", "rps", "qps", "load"}),
    frozenset({"cost", "spend", "bill", "budget", "invoice"}),
    frozenset({"satisfaction", "nps", "survey", "feedback", "csat"}),
)
_NAME = re.compile(r"[a-z_]\w*(?:\.[a-z_]\w*)+|[a-z]+_\w+|p\d\d")


def unmeasured(subject: Subject) -> Iterator[Problem]:
    """Metrics that nothing in the plan measures, and ones measured by a name that does not exist."""
    if not subject.plan.metrics:
        return
    mentions = _Mentions(subject)
    seen: set[str] = set()
    for metric in subject.plan.metrics:
        by = metric.measured_by.strip()
        told = bool(by) and not is_placeholder(by) and not says_none(by)
        if told:
            yield from _misspelt(metric, by.strip("`"), subject)
        elif metric.name.casefold() not in seen and not mentions.of(metric.name):
            yield warning(
                "metric.unmeasured",
                metric.source,
                f"nothing in the plan measures {metric.name!r}",
                "add a task or a gate that measures it, or say what measures it",
            )
        seen.add(metric.name.casefold())


def _misspelt(metric: Metric, by: str, subject: Subject) -> Iterator[Problem]:
    if _NAME.fullmatch(by) and not is_measured(by, subject.metrics):
        similar = similar_metrics(by, subject.metrics)
        if similar:
            yield warning(
                "metric.unknown",
                metric.source,
                f"{metric.name!r} is measured by {by}, which does not exist",
                f"did you mean {some(similar, 3)}?",
            )


class _Mentions:
    """The words of everything in the plan that may measure something."""

    def __init__(self, subject: Subject) -> None:
        self._texts: dict[str, set[int]] = {}
        plan = subject.plan
        texts = [
            " ".join((task.title, task.description, task.gate, *task.deliverables, *task.run))
            for task in subject.survey.tasks.values()
        ]
        texts += [f"{gate.text} {gate.threshold}" for gate in plan.gates]
        texts += [" ".join((one.title, one.description, *one.criteria)) for one in plan.milestones]
        for index, text in enumerate(texts):
            for stem in _stems(text):
                self._texts.setdefault(stem, set()).add(index)

    def of(self, name: str) -> bool:
        """Whether one text has the words of that name: all of them, or two thirds of three and more."""
        words = [word for word in dict.fromkeys(_words(name)) if not word.isdigit()]
        core = [word for word in words if word not in _GENERIC] or words
        if not core:
            return True
        found: Counter[int] = Counter()
        for word in core:
            found.update(set().union(*(self._texts.get(stem, set()) for stem in _alike(word))))
        needed = len(core) if len(core) < 3 else -(-2 * len(core) // 3)
        return any(count >= needed for count in found.values())


def _alike(word: str) -> set[str]:
    """The stems that mean the same as a word."""
    stem = _stem(word)
    for group in _SAME:
        stems = {_stem(one) for one in group}
        if stem in stems:
            return stems
    return {stem}


def _words(text: str) -> list[str]:
    """Words in lower case; names in code are taken apart, but for ``p95`` and the like."""
    joined = re.findall(r"\bp\d\d\b|\b5xx\b", text, re.I)
    return [word.lower() for word in (*joined, *_WORD.findall(text)) if len(word) > 1]


def _stems(text: str) -> set[str]:
    return {_stem(word) for word in _words(text)}


def _stem(word: str) -> str:
    cut = _ENDING.sub("", word)
    return (cut if len(cut) >= 4 else word.rstrip("s") if len(word) > 3 else word)[:5]
