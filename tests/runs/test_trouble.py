"""Why a command failed is said in the sentence that says what happened."""

from __future__ import annotations

import pytest

from crossfade.runs.results import Ran
from crossfade.runs.task import _trouble


@pytest.mark.parametrize(
    ("stderr", "stdout", "says"),
    [
        ("one\ntwo\n", "out", "`make it` ended with 1: two"),
        ("", "first\nlast\n", "`make it` ended with 1: last"),
        ("", "", "`make it` ended with 1"),
        (
            "holding\ncrossfade: timeline: 3 requests were unanswered\n  what to do: try again\n",
            "",
            "`make it` ended with 1: timeline: 3 requests were unanswered",
        ),
    ],
)
def test_it_is_the_last_thing_said_or_our_own_sentence(stderr: str, stdout: str, says: str) -> None:
    ran = Ran(command="make it", outcome="failed", exit=1, stderr=stderr, stdout=stdout)
    assert _trouble(ran, None) == says
