"""Inside a line: plain words, code, links, fields."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.plans.inline import codes, fields, links, outside_code, plain


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("**bold** and *thin* and __both__", "bold and thin and both"),
        ("snake_case_name and 2 * 3 * 4", "snake_case_name and 2 * 3 * 4"),
        ("`a_b*c` stays", "a_b*c stays"),
        ("`` a`b `` stays", "a`b stays"),
        ("[text](https://example.org) and ![image](x.png)", "text and image"),
        ("[[wiki|shown]]", "shown"),
        (r"a \| b \* c", "a | b * c"),
        ("one<br>two", "one\ntwo"),
        ("~~gone~~ <b>html</b> <!-- hidden -->rest", "gone html rest"),
        ("a  \t b", "a b"),
        ("an unclosed ` tick", "an unclosed ` tick"),
    ],
)
def test_plain(text: str, words: str) -> None:
    assert plain(text) == words


def test_codes_and_what_is_outside() -> None:
    assert codes("`a` then ``b`c``") == ["a", "b`c"]
    assert outside_code("x `a:b` y") == "x       y"


def test_links_in_their_order_each_once() -> None:
    text = "see https://a.example/x. and [b](b.json), [again](https://a.example/x)"
    assert [(link.text, link.target) for link in links(text)] == [
        ("again", "https://a.example/x"),
        ("b", "b.json"),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("**Status**: done", [("Status", "done")]),
        ("**Status:** done", [("Status", "done")]),
        ("**Status :** done  ", [("Status", "done")]),
        ("__Status__: done", [("Status", "done")]),
        ("Status: done", [("Status", "done")]),
        ("**Owner**: ops | **Time**: 2 h", [("Owner", "ops"), ("Time", "2 h")]),
        ("**Owner:** ops · **Time:** 2 h", [("Owner", "ops"), ("Time", "2 h")]),
        ("**Gate**: a || **b**", [("Gate", "a || **b**")]),
        ("**Run**: `x **Time**: y`", [("Run", "`x **Time**: y`")]),
        ("**Status**:", [("Status", "")]),
        ("**Status**: done\\", [("Status", "done")]),
        ("https://example.org", []),
        ("12:30 lunch", []),
        ("no field here", []),
        ("**bold** words", []),
    ],
)
def test_fields(text: str, found: list[tuple[str, str]]) -> None:
    assert [(field.label, text[field.start : field.end]) for field in fields(text, 0, len(text))] == found


def test_an_aside_between_label_and_colon() -> None:
    text = "**M1** (Week 4): Kick-off"
    assert [(field.label, field.aside) for field in fields(text, 0, len(text))] == [("M1", "Week 4")]


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab`*_[]()<>!|\\: -\n", max_size=60))
def test_anything_has_plain_words(text: str) -> None:
    plain(text)
    links(text)
    for field in fields(text, 0, len(text)):
        assert 0 <= field.label_start <= field.start <= field.end <= len(text)
