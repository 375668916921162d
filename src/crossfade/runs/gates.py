"""Gates: a CEL expression over what was measured (https://cel.dev, the Common Expression Language).

``verify.differences == 0 && p95 < 200`` asks the evidence of the last ``crossfade verify`` and what the
leading app answers at this moment.  An expression is checked before anything runs: its grammar, every name in
it, and that it gives true or false.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from crossfade.errors import PlanError
from crossfade.ledger import Entry

Measures = Callable[[], Mapping[str, Any]]
"""Gives the values of all that is known at this moment, by the names in `FIELDS` and `LIVE`."""

FIELDS: Mapping[str, Mapping[str, Any]] = {
    "check": {"errors": 0, "warnings": 0, "tables": ["events"]},
    "backup": {"side": "old", "bytes": 1, "rows": {"events": 1}, "seconds": 0.5},
    "copy": {"rows": {"events": 1}, "resumed": 0, "rejected": 0, "seconds": 0.5},
    "verify": {
        "rows": 1,
        "cells": 1,
        "tables": {"events": 1},
        "rechecked": 0,
        "differences": 0,
        "seconds": 0.5,
    },
    "shift": {"percent": 25.0},
    "switch": {
        "to": "new",
        "epoch": 1,
        "hold_ms": 36.5,
        "steps_ms": {"drain": 1.5},
        "keys": 0,
        "in_flight": 0,
        "cut_off": 0,
        "maybe_lost": "",
    },
    "complete": {"epoch": 1},
}
"""What the last ``crossfade`` verb of that name left in the evidence, with a value as an example of its type.
``switch`` is the last cutover or rollback."""

_SIDE = {"requests": 1, "errors": 0, "error_rate": 0.01, "p50": 10.5, "p95": 100.5}

LIVE: Mapping[str, Any] = {
    "errors": 0,
    "error_rate": 0.01,
    "p50": 10.5,
    "p95": 100.5,
    "requests": 100,
    "old": _SIDE,
    "new": _SIDE,
    "lag": 0.1,
    "leader": "old",
    "phase": "following",
    "epoch": 0,
    "reads_percent": 0.0,
    "troubles": 0,
}
"""What is true at this moment.  ``error_rate`` (0 to 1), ``p50`` and ``p95`` (milliseconds) and ``requests``
are those of the leading app over the last seconds; ``old`` and ``new`` hold the same of each; ``lag`` is how many
seconds the follower is behind; ``troubles`` how many things ``crossfade doctor`` would name."""

OPEN = {
    "result": "what this task's last command printed as JSON",
    "tasks": "the same of each task, by its id",
}
"""Names whose fields nobody can know beforehand."""

NAMES = frozenset(
    {*LIVE, *OPEN}
    | {f"{verb}.{name}" for verb, fields in FIELDS.items() for name in fields}
    | {f"{side}.{name}" for side in ("old", "new") for name in _SIDE}
)
"""Every whole name that something measures."""

KNOWN = frozenset({*FIELDS, *LIVE, *OPEN})
"""Every name that a gate may begin with."""

_STRING = re.compile(r"""[rR]?("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""")
_BOUND = re.compile(r"\.(?:all|exists|exists_one|map|filter)\(\s*([A-Za-z_]\w*)\s*,")
_FIELD = re.compile(r"(?<![\w.)\]])([A-Za-z_]\w*)\s*\.\s*([A-Za-z_]\w*)(?!\s*\()")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a gate is open; ``text`` says why in one sentence, ``seen`` holds the values it rests on."""

    passed: bool
    text: str
    seen: dict[str, Any] = field(default_factory=dict)


def judge(expression: str, values: Mapping[str, Any]) -> Verdict:
    """Evaluate it.  A value that is not known yet keeps the gate closed and is named.  ``PlanError`` for an
    expression that `problem` would refuse."""
    program = _compile(expression)
    bound = _bound(expression)
    missing = [name for name in program.variables() if name not in bound and not _known(values, name)]
    if "has(" not in expression:
        missing += [
            f"{space}.{name}"
            for space, name in _fields(expression)
            if isinstance(inner := values.get(space), Mapping) and not _known(inner, name)
        ]
    seen = _seen(expression, program.variables(), values)
    if missing:
        return Verdict(False, f"not known yet: {', '.join(dict.fromkeys(missing))}", seen)
    try:
        answer = program.execute(dict(values))
    except _FAULTS as error:
        raise PlanError(f"the gate {expression!r} cannot be judged: {_plain(error)}", todo=_HELP) from error
    if not isinstance(answer, bool):
        raise PlanError(f"the gate {expression!r} gives {answer!r}, not true or false", todo=_HELP)
    shown = ", ".join(f"{name} = {value}" for name, value in seen.items())
    return Verdict(
        answer, f"{expression} is {'true' if answer else 'false'}" + (f" ({shown})" if shown else ""), seen
    )


def problem(expression: str) -> str | None:
    """What is wrong with an expression, in one sentence that says what would be right; None when it is sound."""
    try:
        program = _compile(expression)
    except PlanError as error:
        return error.what
    bound = _bound(expression)
    for name in program.variables():
        if name not in KNOWN and name not in bound:
            return f"{name!r} is measured by nobody{_nearest(name, KNOWN)}"
    for space, name in _fields(expression):
        known = FIELDS.get(space) or LIVE.get(space)
        if isinstance(known, Mapping) and name not in known:
            return f"{space!r} has no {name!r}{_nearest(name, known)}"
    if any(name in OPEN for name in program.variables()):
        return None  # nobody knows the types either
    try:
        answer = program.execute({**FIELDS, **LIVE})
    except _FAULTS as error:
        return f"{expression!r} cannot be judged: {_plain(error)}"
    return None if isinstance(answer, bool) else f"{expression!r} gives {answer!r}, not true or false"


def is_live(expression: str) -> bool:
    """Whether it asks what is true at this moment, so that asking again later may give another answer."""
    return any(name in LIVE for name in _compile(expression).variables())


def names_in(expression: str) -> frozenset[str]:
    """The names that it begins with.  ``PlanError`` for a wrong one."""
    return frozenset(_compile(expression).variables())


def values_of(entries: Iterable[Entry]) -> dict[str, Any]:
    """The evidence as a gate sees it: of each verb, what its last success measured."""
    found: dict[str, Any] = {}
    for entry in entries:
        verb, _, what = entry.event.partition(".")
        if what == "done" and verb in FIELDS:
            found[verb] = {name: value for name, value in entry.data.items() if name in FIELDS[verb]}
    return found


_FAULTS = (ValueError, TypeError, RuntimeError, LookupError, ArithmeticError)
"""What evaluating may raise."""

_LONGEST = 2_000
"""Characters of an expression; the parser recurses, and nobody reads a longer one."""

_HELP = "write it in CEL: comparisons joined by && and ||, such as verify.differences == 0 && p95 < 200"


def _compile(expression: str) -> Any:
    if len(expression) > _LONGEST:
        raise PlanError(f"a gate of {len(expression):,} characters is longer than {_LONGEST:,}", todo=_HELP)
    import cel  # a compiled library that only gates need

    try:
        return cel.compile(expression)
    except ValueError as error:
        raise PlanError(f"the gate {expression!r} is not CEL: {_plain(error)}", todo=_HELP) from error


def _plain(error: Exception) -> str:
    """The first line of the library's message, without its own prefix."""
    if isinstance(error, KeyError):
        return f"there is no {error.args[0]!r}"
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return first.rpartition("ERROR: ")[2].removeprefix("<input>:")


def _known(values: Mapping[str, Any], name: str) -> bool:
    """Whether there is a value; nothing follows from a number that is none."""
    value = values.get(name)
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _bound(expression: str) -> set[str]:
    """Names that a macro of the expression binds itself: the ``x`` of ``rows.all(x, x > 0)``."""
    return set(_BOUND.findall(_STRING.sub("''", expression)))


def _fields(expression: str) -> list[tuple[str, str]]:
    """Every ``name.field`` in it."""
    return _FIELD.findall(_STRING.sub("''", expression))


def _seen(expression: str, names: Iterable[str], values: Mapping[str, Any]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    fields = _fields(expression)
    for name in names:
        value = values.get(name)
        if isinstance(value, Mapping):
            seen |= {f"{name}.{one}": value[one] for space, one in fields if space == name and one in value}
        elif name in values:
            seen[name] = value
    return seen


def _nearest(name: str, known: Iterable[str]) -> str:
    choices = sorted(known)
    close = difflib.get_close_matches(name, choices, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(choices)}"
