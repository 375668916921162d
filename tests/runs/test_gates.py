"""What a gate says, and what is wrong with one before it is ever asked."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.errors import PlanError
from crossfade.ledger import Entry
from crossfade.runs.gates import FIELDS, KNOWN, LIVE, is_live, judge, problem, values_of

SOUND = [
    "verify.differences == 0 && p95 < 200",
    "error_rate > 0.05 || p95 > 200",
    "new.error_rate <= 0.01 && new.requests > 100",
    "copy.rows.all(name, copy.rows[name] > 0)",
    "check.errors == 0",
    "leader == 'new' && lag < 2",
    "switch.hold_ms < 500.0",
    "result.answer == 42 && tasks['28.1'].seconds < 3",
    "true",
]


@pytest.mark.parametrize("expression", SOUND)
def test_what_teams_write_is_sound(expression: str) -> None:
    assert problem(expression) is None


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("p95 <", "not CEL"),
        ("verify.differences = 0", "not CEL"),
        ("p95 < 200ms", "not CEL"),
        ("", "not CEL"),
        ("p96 < 200", "did you mean 'p95'"),
        ("verify.diferences == 0", "did you mean 'differences'"),
        ("verify.total == 0", "known are cells, differences"),
        ("new.p99 < 1.0", "'new' has no 'p99'"),
        ("nobody > 3", "measured by nobody"),
        ("p95", "not true or false"),
        ("p95 * 2 < 300", "cannot be judged"),
        ("nosuch(p95)", "cannot be judged"),
        ("0/0", "cannot be judged"),
        ("(" * 5000 + "true" + ")" * 5000, "longer than"),
        ("(" * 900 + "true" + ")" * 900, ""),
    ],
)
def test_a_wrong_gate_is_told_what_would_be_right(expression: str, says: str) -> None:
    assert says in (problem(expression) or "")


def test_it_judges_by_what_was_measured_and_says_so() -> None:
    values = {"verify": {"differences": 0}, "p95": 120.5}
    verdict = judge("verify.differences == 0 && p95 < 200", values)
    assert verdict.passed
    assert verdict.seen == {"verify.differences": 0, "p95": 120.5}
    assert verdict.text.endswith("is true (p95 = 120.5, verify.differences = 0)")
    assert not judge("verify.differences == 0 && p95 < 100", values).passed


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({}, "p95, verify"),
        ({"verify": {}, "p95": 1.0}, "verify.differences"),
        ({"verify": {"differences": 0}}, "p95"),
    ],
)
def test_what_is_not_known_keeps_it_closed(values: dict[str, Any], missing: str) -> None:
    verdict = judge("verify.differences == 0 && p95 < 200", values)
    assert not verdict.passed
    assert verdict.text == f"not known yet: {missing}"


@pytest.mark.parametrize("expression", ["p95 <", "p95", "size(p95) > 1"])
def test_a_gate_that_cannot_be_judged_is_an_error_and_never_open(expression: str) -> None:
    with pytest.raises(PlanError):
        judge(expression, {"p95": 1.5})


def test_a_number_that_is_none_opens_nothing() -> None:
    for nothing in (math.nan, None):
        verdict = judge("p95 > 200 || p95 < 300", {"p95": nothing})
        assert not verdict.passed
        assert verdict.text == "not known yet: p95"


def test_the_evidence_gives_what_each_verb_last_measured() -> None:
    def entry(event: str, **data: Any) -> Entry:
        return Entry(1, "", {}, "m", event, data, "", "")

    values = values_of(
        [
            entry("verify.done", rows=5, differences=3),
            entry("verify.repaired", rows=3),
            entry("switch.aborted", why="x"),
            entry("verify.done", rows=6, differences=0),
            entry("other.done", rows=1),
        ]
    )
    assert values == {"verify": {"rows": 6, "differences": 0}}


def test_only_what_may_change_is_asked_again() -> None:
    assert is_live("verify.differences == 0 && p95 < 200")
    assert not is_live("verify.differences == 0")


@given(st.text(max_size=60) | st.sampled_from(sorted(KNOWN)).map(lambda name: f"{name} > 1 &&"))
def test_any_text_gets_an_answer_and_no_traceback(text: str) -> None:
    said = problem(text)
    assert said is None or isinstance(said, str)


def test_names_mean_one_thing() -> None:
    assert not set(FIELDS) & set(LIVE)
