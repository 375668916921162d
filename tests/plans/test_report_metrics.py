"""Metrics against targets, and risks by their grades, in the words that plans use."""

from __future__ import annotations

import pytest

from crossfade.plans.model import Metric, Risk, Source
from crossfade.plans.records import parse_quantity
from crossfade.plans.risks import is_closed, level, score_of
from crossfade.plans.targets import Outcome, line_of, measure_of
from crossfade.runs.gates import FIELDS, LIVE

SOURCE = Source(file="PLAN.md", line=1)
MEASURES = {**LIVE, **FIELDS} | {
    "p95": 187.44,
    "p50": 42.0,
    "error_rate": 0.0123,
    "lag": 0.2,
    "verify": {"differences": 0},
    "switch": {"hold_ms": 36.5},
}


def metric(name: str, target: str, current: str = "", by: str = "") -> Metric:
    return Metric(
        name=name,
        source=SOURCE,
        current=parse_quantity(current),
        target=parse_quantity(target),
        measured_by=by,
    )


@pytest.mark.parametrize(
    ("name", "by", "measure"),
    [
        ("p95 latency", "", "p95"),
        ("API response time (p95)", "", "p95"),
        ("95th percentile response time", "", "p95"),
        ("Median response time", "", "p50"),
        ("Error rate", "", "error_rate"),
        ("error_rate", "", "error_rate"),
        ("Replication lag", "", "lag"),
        ("Integrity", "`verify.differences`", "verify.differences"),
        ("Speed", "p95 via the access log", "p95"),
        ("New side", "new.error_rate", "new.error_rate"),
        ("Hold time", "", "switch.hold_ms"),
        ("Availability", "", None),
        ("Satisfaction", "survey", None),
        ("Leader", "leader", None),
        ("Cost", "verify.cost", None),
    ],
)
def test_what_measures_a_metric(name: str, by: str, measure: str | None) -> None:
    assert measure_of(metric(name, "1", by=by)) == measure


@pytest.mark.parametrize(
    ("name", "target", "stated", "current", "outcome"),
    [
        ("p95 latency", "< 200 ms", "450 ms", "187 ms", Outcome.MET),
        ("p95 latency", "< 0.18 s", "", "0.187 s", Outcome.NOT_MET),
        ("p95 latency", "150 ms", "", "187 ms", Outcome.NOT_MET),
        ("Error rate", "< 1 %", "", "1.23 %", Outcome.NOT_MET),
        ("Error rate", "≤ 2%", "", "1.23 %", Outcome.MET),
        ("Error rate", "< 0.02", "", "1.23 %", Outcome.MET),
        ("Replication lag", "< 500 ms", "", "200 ms", Outcome.MET),
        ("Data differences", "0", "unknown", "0", Outcome.MET),
        ("Hold time", "< 2 s", "", "0.0365 s", Outcome.MET),
        ("Availability", "≥ 99.9 %", "99.5 %", "99.5 %", Outcome.NOT_MET),
        ("Availability", "99.9 %", "99.95 %", "99.95 %", Outcome.MET),
        ("Lost writes", "0", "0", "0", Outcome.MET),
        ("Lost writes", "0", "1", "1", Outcome.NOT_MET),
        ("Test coverage", "80 %", "92 %", "92 %", Outcome.MET),
        ("Deploys per week", "10", "4", "4", Outcome.NOT_MET),
        ("Monthly cost", "$300", "$500", "$500", Outcome.NOT_MET),
        ("Boundary", "<= 3", "3", "3", Outcome.MET),
        ("Boundary", "< 3", "3", "3", Outcome.NOT_MET),
        ("Weight", "< 3 kg", "200 ms", "200 ms", Outcome.UNKNOWN),
        ("Satisfaction", "≥ 8", "TBD", "", Outcome.UNKNOWN),
        ("Satisfaction", "TBD", "7", "7", Outcome.UNKNOWN),
        ("Satisfaction", "good", "7", "7", Outcome.UNKNOWN),
        ("Number of teams", "5", "5", "5", Outcome.UNKNOWN),
    ],
)
def test_how_a_metric_stands(name: str, target: str, stated: str, current: str, outcome: Outcome) -> None:
    line = line_of(metric(name, target, stated), MEASURES)
    assert (line.current, line.outcome) == (current, outcome), line.why
    if outcome is Outcome.UNKNOWN:
        assert line.why


def test_what_is_measured_stands_above_what_is_stated() -> None:
    stated = line_of(metric("p95 latency", "< 200 ms", "450 ms"))
    assert (stated.outcome, stated.measured, stated.current) == (Outcome.NOT_MET, False, "450 ms")
    measured = line_of(metric("p95 latency", "< 200 ms", "450 ms"), MEASURES)
    assert (measured.outcome, measured.measured) == (Outcome.MET, True)


def test_a_value_that_is_none_is_not_compared() -> None:
    line = line_of(metric("p95 latency", "< 200 ms"), {"p95": float("nan")})
    assert (line.outcome, line.measured) == (Outcome.UNKNOWN, False)


@pytest.mark.parametrize(
    ("text", "grade"),
    [
        ("High", 4),
        ("🔴 HIGH", 4),
        ("very low", 1),
        ("Critical", 5),
        ("Medium-High", 3.5),
        ("M", 3),
        ("VH", 5),
        ("3", 3),
        ("4/5", 4),
        ("8", 4),
        ("6/10", 3),
        ("25%", 2),
        ("unlikely", 2),
        ("Highlands", None),
        ("", None),
        ("42", None),
        ("150 %", None),
    ],
)
def test_grades(text: str, grade: float | None) -> None:
    assert level(text) == grade


def test_scores() -> None:
    def risk(**fields: str) -> Risk:
        return Risk(id="r", title="r", source=SOURCE, **fields)  # type: ignore[arg-type]

    assert score_of(risk(probability="High", impact="Medium")) == 12
    assert score_of(risk(severity="Critical")) == 25
    assert score_of(risk(probability="High")) is None
    assert is_closed(risk(status_text="✅ Resolved"))
    assert not is_closed(risk(status_text="Open"))
