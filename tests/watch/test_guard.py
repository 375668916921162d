"""The error-rate guard: windows, what too little says, and what a row of breaches is."""

from __future__ import annotations

from itertools import pairwise

import pytest

from crossfade.errors import SpecError
from crossfade.routers.base import SideStats
from crossfade.watch.guard import Decision, ErrorRateGuard, Verdict


class Traffic:
    """Requests at given times: ``(when, failed, seconds)``; counted exactly as a router would."""

    def __init__(self) -> None:
        self.requests: list[tuple[float, bool, float]] = []
        self.asked: list[tuple[float, float]] = []

    def add(self, begin: float, end: float, count: int, failed: int = 0, slow: int = 0) -> None:
        for n in range(count):
            when = begin + (end - begin) * n / count
            self.requests.append((when, n < failed, 2.0 if n < slow else 0.01))

    def __call__(self, since: float, until: float) -> SideStats:
        self.asked.append((since, until))
        seen = [r for r in self.requests if since <= r[0] < until]
        return SideStats(len(seen), sum(r[1] for r in seen), tuple(r[2] for r in seen))


def guard(traffic: Traffic, **changed: float | None) -> ErrorRateGuard:
    wanted: dict[str, float | None] = {"window": 10.0, "min_samples": 100, "consecutive": 3}
    made = ErrorRateGuard(traffic, **(wanted | changed))  # type: ignore[arg-type]
    made.reset(0.0)
    return made


def looks(made: ErrorRateGuard, *times: float) -> list[Decision]:
    return [made.look(now).decision for now in times]


def test_three_breaches_in_a_row_roll_back() -> None:
    traffic = Traffic()
    traffic.add(0, 30, 600, failed=600)
    made = guard(traffic)
    assert looks(made, 10, 20) == [Decision.BREACH, Decision.BREACH]
    verdict = made.look(30)
    assert verdict == Verdict(
        Decision.ROLLBACK,
        "200 errors in 200 requests are 100.00 %, over the limit of 5 % (breach 3 of 3) in 10.0 s",
        since=20,
        until=30,
        requests=200,
        errors=200,
        timed=200,
        slow=0,
        breaches=3,
    )


def test_a_good_window_ends_the_row() -> None:
    traffic = Traffic()
    for window, failed in enumerate([50, 50, 0, 50, 50, 50]):
        traffic.add(10 * window, 10 * window + 10, 200, failed=failed)
    made = guard(traffic)
    breach, ok, back = Decision.BREACH, Decision.OK, Decision.ROLLBACK
    assert looks(made, 10, 20, 30, 40, 50, 60) == [breach, breach, ok, breach, breach, back]


def test_the_limit_itself_is_not_a_breach() -> None:
    traffic = Traffic()
    traffic.add(0, 10, 200, failed=10)
    traffic.add(10, 20, 200, failed=11)
    assert looks(guard(traffic), 10, 20) == [Decision.OK, Decision.BREACH]


def test_too_few_requests_are_neither_a_breach_nor_an_end_of_the_row() -> None:
    traffic = Traffic()
    traffic.add(0, 10, 200, failed=100)
    traffic.add(10, 20, 99, failed=0)
    traffic.add(20, 30, 101, failed=60)
    traffic.add(30, 40, 200, failed=100)
    made = guard(traffic)
    assert looks(made, 10) == [Decision.BREACH]
    verdict = made.look(20)
    assert (verdict.decision, verdict.breaches) == (Decision.UNKNOWN, 1)
    assert "99 of the 100 requests needed" in verdict.why
    # The window goes on: its 200 requests are judged together, each once.
    verdict = made.look(30)
    assert (verdict.decision, verdict.breaches, verdict.since) == (Decision.BREACH, 2, 10)
    assert (verdict.requests, verdict.errors) == (200, 60)
    assert looks(made, 40) == [Decision.ROLLBACK]


def test_silence_is_never_health() -> None:
    made = guard(Traffic())
    assert set(looks(made, *range(1, 1000))) == {Decision.UNKNOWN}


def test_low_traffic_is_judged_once_there_is_enough_of_it() -> None:
    traffic = Traffic()
    traffic.add(0, 1000, 400, failed=400)
    made = guard(traffic)
    decisions = looks(made, *range(10, 1010, 10))
    assert decisions.count(Decision.BREACH) == 2
    assert decisions.count(Decision.ROLLBACK) >= 1


def test_windows_are_disjoint_and_gapless() -> None:
    traffic = Traffic()
    traffic.add(0, 100, 10_000)
    made = guard(traffic)
    verdicts = [made.look(now / 10) for now in range(0, 1000, 7)]
    judged = [v for v in verdicts if v.decision is Decision.OK]
    assert len(judged) >= 9
    assert all(a.until == b.since for a, b in pairwise(judged))
    assert sum(v.requests for v in judged) == 100 * (judged[-1].until - judged[0].since)


def test_a_window_that_is_not_over_asks_nobody() -> None:
    traffic = Traffic()
    made = guard(traffic)
    assert looks(made, 1, 5, 9.9) == [Decision.UNKNOWN] * 3
    assert traffic.asked == []


def test_the_95th_percentile_is_a_share() -> None:
    traffic = Traffic()
    traffic.add(0, 10, 200, slow=10)
    traffic.add(10, 20, 200, slow=11)
    made = guard(traffic, p95_limit=0.5)
    assert looks(made, 10) == [Decision.OK]
    verdict = made.look(20)
    assert (verdict.decision, verdict.slow, verdict.timed) == (Decision.BREACH, 11, 200)
    assert "11 of 200 requests took longer than 500 ms, more than 5 %" in verdict.why


def test_either_clause_breaks_the_window_and_both_are_named() -> None:
    traffic = Traffic()
    traffic.add(0, 10, 200, failed=50, slow=50)
    why = guard(traffic, p95_limit=0.5).look(10).why
    assert "errors" in why
    assert "took longer" in why
    assert guard(traffic, error_rate_limit=None, p95_limit=0.5).look(10).decision is Decision.BREACH
    assert guard(traffic, error_rate_limit=0.3).look(10).decision is Decision.OK


def test_reset_forgets_breaches_and_earlier_requests() -> None:
    traffic = Traffic()
    traffic.add(0, 25, 500, failed=500)
    traffic.add(25, 35, 200, failed=100)
    made = guard(traffic)
    assert looks(made, 10, 20) == [Decision.BREACH, Decision.BREACH]
    made.reset(25)
    verdict = made.look(35)
    assert (verdict.decision, verdict.since, verdict.errors) == (Decision.BREACH, 25, 100)
    assert verdict.breaches == 1


def test_the_first_look_begins_the_first_window() -> None:
    traffic = Traffic()
    traffic.add(0, 200, 4000, failed=4000)
    made = ErrorRateGuard(traffic, window=10, min_samples=1)
    assert made.look(100).decision is Decision.UNKNOWN
    assert made.look(110).since == 100


@pytest.mark.parametrize(
    "changed",
    [{"error_rate_limit": None}, {"window": 0.0}, {"min_samples": 0}, {"consecutive": 0}],
)
def test_limits_that_decide_nothing_are_refused(changed: dict[str, float | None]) -> None:
    with pytest.raises(SpecError):
        guard(Traffic(), **changed)
