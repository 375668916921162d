"""What a rehearsal may run, because it reaches nothing real."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.runs.harmless import is_harmless


@pytest.mark.parametrize(
    "command",
    [
        "crossfade check",
        " crossfade  copy ",
        "crossfade follow --detach",
        "crossfade shift 12.5%",
        "crossfade verify && crossfade complete",
        "crossfade verify --repair; crossfade status --json",
        "crossfade rollback --reason 'the p95 is over 200 ms; back'",
        "crossfade evidence verify",
    ],
)
def test_verbs_of_the_move_at_hand_are_harmless(command: str) -> None:
    assert is_harmless(command)


@pytest.mark.parametrize(
    "command",
    [
        "",
        "crossfade",
        "kubectl apply -f deployment.yaml",
        "crossfade check; kubectl delete namespace old",
        "crossfade check && python -m fault on",
        "crossfade check || reboot",
        "crossfade check & reboot",
        "crossfade check | sh",
        "crossfade check > /etc/passwd",
        "crossfade check < answers",
        "(crossfade check)",
        "crossfade check\nreboot",
        "crossfade check $(reboot)",
        "crossfade rollback --reason `reboot`",
        'crossfade rollback --reason "$(reboot)"',
        "crossfade copy sqlite:///a.db postgresql://prod/app",
        "crossfade verify a b",
        "crossfade cutover --spec other.yaml",
        "crossfade cutover --spec=other.yaml",
        "crossfade cutover -f other.yaml",
        "crossfade cutover -fother.yaml",
        "crossfade run OTHER.md",
        "crossfade worker",
        "crossfade evidence export /srv/evidence.zip",
        "crossfade status --watch",
        "CROSSFADE_SPEC=real.yaml crossfade cutover",
        "env crossfade cutover",
        "crossfade rollback --reason",
        "crossfade shift 10 --reason > 25",
        "crossfade rollback --reason | --json",
        "crossfade rollback --reason & --json",
        "crossfade rollback --reason >> --json",
        "crossfade rollback --reason 'it",
        "crossfade shift 10% ../x",
        "crossfade-other check",
        "./crossfade check",
    ],
)
def test_whatever_reaches_further_is_not(command: str) -> None:
    assert not is_harmless(command)


@given(st.text(alphabet="crossfadechk -&|;<>$`()'\"/\n=%1", max_size=40))
def test_whatever_is_behind_a_separator_counts(tail: str) -> None:
    """Nothing that is put behind a verb makes another program harmless."""
    assert not is_harmless(f"reboot; crossfade check {tail}")
    assert not is_harmless(f"crossfade check {tail}; reboot")
