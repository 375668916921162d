"""Success metrics against their targets: what is measured of them, and whether that is good enough.

A metric is *measured* when its ``measured_by`` or its name says a name that gates know (``verify.differences``,
``p95``, ``new.error_rate``) or one of the usual words for it (``p95 latency``, ``replication lag``).  Otherwise the
current value that the document states is compared, and said to be stated.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Any

from crossfade.plans.model import Metric
from crossfade.plans.values import Frozen, Quantity
from crossfade.runs.gates import FIELDS, LIVE


class Outcome(enum.StrEnum):
    """How a metric stands to its target."""

    MET = "met"
    NOT_MET = "not_met"
    UNKNOWN = "unknown"

    def __str__(self) -> str:
        return self.value.replace("_", " ")


class MetricLine(Frozen):
    """One metric.  ``measure`` is the name of what is measured, empty where nothing measures it; ``measured``
    says that ``current`` comes from there, and not from the document.  ``why`` tells what is not known."""

    name: str
    target: str
    current: str
    outcome: Outcome
    measure: str = ""
    measured: bool = False
    phase: str = ""
    owner: str = ""
    why: str = ""


_SIDES = tuple((f"{side}.", LIVE[side]) for side in ("old", "new"))

_UNITS: Mapping[str, str] = {
    "p50": "ms",
    "p95": "ms",
    "error_rate": "ratio",
    "lag": "s",
    "seconds": "s",
    "hold_ms": "ms",
    "percent": "%",
    "reads_percent": "%",
}
"""The units of measures, by the last part of their names; everything else is counted."""

_NAMES = frozenset(
    f"{prefix}{name}"
    for prefix, fields in (("", LIVE), *((f"{space}.", FIELDS[space]) for space in FIELDS), *_SIDES)
    for name, example in fields.items()
    if isinstance(example, int | float)
)
"""Every measure that is a number, as gates name it."""

_WORDS: tuple[tuple[str, str], ...] = (
    (r"(api |app |http )?(p95|95th percentile)( (api|http))?( (latency|response times?|duration))?", "p95"),
    (r"(api |app |http )?(latency|response times?) \(?(p95|95th percentile)\)?", "p95"),
    (r"(api |app |http )?(p50|median|50th percentile)( (latency|response times?|duration))", "p50"),
    (r"(api |app |http )?(latency|response times?) \(?(p50|median|50th percentile)\)?", "p50"),
    (r"((api|app|http|request) )?(error|failure) rate|rate of (5xx|errors)|5xx rate", "error_rate"),
    (r"(replication|sync(hronisation|hronization)?|follower|data) (lag|delay)", "lag"),
    (
        r"(data |cell |row |verification )?(differences|discrepancies|mismatches)|differing (cells|rows)",
        "verify.differences",
    ),
    (r"(rejected|rejects?) ?rows|rows rejected", "copy.rejected"),
    (r"(switch |cutover |request )?hold( time)?|held time|time held", "switch.hold_ms"),
    (r"(verification|verify) (time|duration)", "verify.seconds"),
    (r"(data )?copy (time|duration)", "copy.seconds"),
    (r"requests? cut off|cut[- ]off requests", "switch.cut_off"),
)


def measure_of(metric: Metric) -> str | None:
    """The name of the measure that tells a metric's current value; None when nothing measures it."""
    for text in (metric.measured_by, metric.name):
        for part in re.split(r"[`,;]| via | by | from ", text):
            name = part.strip().strip("`*_.:").casefold()
            if (found := _named(name)) is not None:
                return found
    return None


def _named(name: str) -> str | None:
    for known in (name, re.sub(r"[\s-]+", "_", name)):
        if known in _NAMES:
            return known
    plain = re.sub(r"\s+", " ", name.replace("_", " ").replace("-", " "))
    return next((measure for words, measure in _WORDS if re.fullmatch(words, plain)), None)


def line_of(metric: Metric, measures: Mapping[str, Any] | None = None) -> MetricLine:
    """A metric, its current value and whether it meets its target."""
    measure = measure_of(metric)
    unit, value = _measured(measure, measures or {})
    target = metric.target
    stated = _raw(metric.current, metric.unit)
    current = stated if value is None else _shown(value, unit, target, metric)
    if target is None or target.number is None:
        outcome, why = Outcome.UNKNOWN, "there is no target" if target is None else "the target is no number"
    elif value is not None:
        outcome, why = _judged(target, metric, value, unit)
    elif metric.current is None or metric.current.number is None:
        outcome, why = Outcome.UNKNOWN, "there is no current value"
    else:
        outcome, why = _judged(
            target, metric, metric.current.number, _unit(metric.current.unit or metric.unit)
        )
    return MetricLine(
        name=metric.name,
        target=_raw(target, metric.unit),
        current=current,
        outcome=outcome,
        measure=measure or "",
        measured=value is not None,
        phase=metric.phase or "",
        owner=metric.owner,
        why=why,
    )


# --- values -----------------------------------------------------------------

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "min": 60.0, "h": 3_600.0, "d": 86_400.0}
_SPELT = {
    "sec": "s",
    "secs": "s",
    "second": "s",
    "seconds": "s",
    "msec": "ms",
    "millisecond": "ms",
    "milliseconds": "ms",
    "µs": "us",
    "m": "min",
    "mins": "min",
    "minute": "min",
    "minutes": "min",
    "hr": "h",
    "hrs": "h",
    "hour": "h",
    "hours": "h",
    "day": "d",
    "days": "d",
    "percent": "%",
    "pct": "%",
}


def _unit(text: str) -> str:
    plain = text.strip().casefold()
    return _SPELT.get(plain, plain)


def _measured(measure: str | None, measures: Mapping[str, Any]) -> tuple[str, float | None]:
    """The unit of a measure, and its value where it is known."""
    if measure is None:
        return "", None
    space, _, name = measure.rpartition(".")
    found = measures.get(space) if space else measures
    value = found.get(name) if isinstance(found, Mapping) else None
    unit = _UNITS.get(name, "")
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return unit, None
    return unit, float(value)


def _converted(value: float, unit: str, wanted: str) -> float | None:
    """A value in another unit; None when one is not the other."""
    if unit == wanted:
        return value
    if unit in _SECONDS and wanted in _SECONDS:
        return value * _SECONDS[unit] / _SECONDS[wanted]
    if (unit, wanted) == ("ratio", "%"):
        return value * 100
    if (unit, wanted) == ("ratio", ""):
        return value
    # "0 lost rows" and a mere 0 count the same things
    counted = {unit, wanted}.isdisjoint({*_SECONDS, "%", "ratio"})
    return value if counted or (not wanted and unit in _SECONDS) or not unit else None


def _shown(value: float, unit: str, target: Quantity | None, metric: Metric) -> str:
    wanted = _unit((target.unit if target else "") or metric.unit)
    converted = _converted(value, unit, wanted) if wanted in _SECONDS or wanted == "%" else None
    if converted is not None:
        return f"{_number(converted)} {wanted}"
    if unit == "ratio":
        return f"{_number(value * 100)} %"
    return f"{_number(value)} {unit}".strip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 or value == int(value) else f"{value:.3g}"


def _raw(quantity: Quantity | None, unit: str) -> str:
    if quantity is None:
        return ""
    bare = quantity.number is not None and not quantity.unit and unit and unit not in quantity.raw
    return f"{quantity.raw} {unit}" if bare else quantity.raw


# --- judging ----------------------------------------------------------------

_LESS_IS_BETTER = re.compile(
    r"error|fail|loss|lost|downtime|latenc|response|duration|\btime\b|\blag\b|delay|differen|mismatch|reject|cost|defect|bug|"
    r"incident|outage|ticket|hold|cut.?off|violation",
    re.I,
)


def _judged(target: Quantity, metric: Metric, value: float, unit: str) -> tuple[Outcome, str]:
    if target.number is None:
        return Outcome.UNKNOWN, "the target is no number"
    wanted = _unit(target.unit or metric.unit)
    converted = _converted(value, unit, wanted)
    if converted is None:
        return Outcome.UNKNOWN, f"{unit or 'a number'} cannot be compared with {wanted or 'a number'}"
    sign, why = target.comparison, ""
    if not sign:
        sign = _direction(target, metric, wanted)
        if not sign:
            return Outcome.UNKNOWN, "the target does not tell whether more or less is better"
        if target.number:
            why = f"taken as {'at most' if sign == '<=' else 'at least'} {target.raw}"
    close = abs(converted - target.number) <= 1e-9 * max(1.0, abs(target.number))
    met = {
        "<": converted < target.number and not close,
        "<=": converted < target.number or close,
        "==": close,
        ">=": converted > target.number or close,
        ">": converted > target.number and not close,
    }[sign]
    return Outcome.MET if met else Outcome.NOT_MET, why


def _direction(target: Quantity, metric: Metric, unit: str) -> str:
    """``<=`` or ``>=`` for a target that is a mere number; empty when nothing tells."""
    number = target.number or 0.0
    if unit == "%" and number >= 50:
        return ">="
    if number == 0 or unit in _SECONDS or _LESS_IS_BETTER.search(metric.name):
        return "<="
    stated = metric.current
    if stated is not None and stated.number is not None and stated.number != number:
        return "<=" if stated.number > number else ">="
    return ""
