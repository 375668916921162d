"""The fields that make a task executable."""

from __future__ import annotations

import pytest

from crossfade.plans.commands import (
    block_commands,
    parse_approval,
    parse_commands,
    parse_gate,
    parse_on_failure,
    parse_retry,
)
from crossfade.plans.model import OnFailure


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("`crossfade copy`", ("crossfade copy",)),
        ("`a` then `b`", ("a", "b")),
        ("crossfade copy --chunk 100", ("crossfade copy --chunk 100",)),
        ("ls *.db_x", ("ls *.db_x",)),
        ("none", ()),
        ("-", ()),
        ("n/a", ()),
        ("", ()),
    ],
)
def test_commands(text: str, expected: tuple[str, ...]) -> None:
    assert parse_commands(text, [], []) == expected


def test_commands_of_bullets_and_blocks_follow() -> None:
    assert parse_commands("`a`", ["`b`", "c d"], ["$ e\n# note\nf \\\n  --g"]) == (
        "a",
        "b",
        "c d",
        "e",
        "f --g",
    )


@pytest.mark.parametrize(
    "block",
    [
        "for t in a b; do\n  echo $t\ndone",
        "if true; then\n  echo a\nfi",
        "cat <<EOF\nx\nEOF",
        "echo 'a\nb'",
    ],
)
def test_a_block_that_is_one_script_stays_one_command(block: str) -> None:
    assert block_commands(block) == [block]


def test_operators_at_the_end_of_a_line_go_on() -> None:
    assert block_commands("a &&\nb\nc |\n  d\ne") == ["a && b", "c | d", "e"]


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("verify.differences == 0 && p95 < 200", "verify.differences == 0 && p95 < 200"),
        ("`verify.differences == 0`", "verify.differences == 0"),
        ("`a == 0` and `b < 5`", "(a == 0) && (b < 5)"),
        ("`a == 0` or `b < 5`", "(a == 0) || (b < 5)"),
        ("error_rate < 0.01 || a * b_c > 2", "error_rate < 0.01 || a * b_c > 2"),
        ("none", ""),
    ],
)
def test_gate(text: str, gate: str) -> None:
    assert parse_gate(text) == gate


@pytest.mark.parametrize(
    ("text", "count", "group"),
    [
        ("2 of ops", 2, "ops"),
        ("2 of @ops", 2, "ops"),
        ("two approvals from the DBAs", 2, "DBAs"),
        ("1", 1, None),
        ("ops", 1, "ops"),
        ("yes", 1, None),
        ("2 approvers", 2, None),
        ("3x ops", 3, "ops"),
        ("release board", 1, "release board"),
    ],
)
def test_approval(text: str, count: int, group: str | None) -> None:
    approval = parse_approval(text)
    assert approval is not None
    assert (approval.count, approval.group, approval.raw) == (count, group, text)


@pytest.mark.parametrize("text", ["none", "-", "", "0 of ops", "??"])
def test_no_approval(text: str) -> None:
    assert parse_approval(text) is None


def test_retry_and_on_failure() -> None:
    assert [parse_retry(one) for one in ("3", "3 times", "up to 2", "once", "none", "often")] == [
        3,
        3,
        2,
        1,
        0,
        None,
    ]
    assert parse_on_failure("Stop") is OnFailure.STOP
    assert parse_on_failure("`undo`") is OnFailure.UNDO
    assert parse_on_failure("roll back in reverse order") is OnFailure.UNDO
    assert parse_on_failure("call somebody") is None
