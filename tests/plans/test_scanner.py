"""The structure of Markdown: what is a heading, a list item, a table, code, and what is hidden."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from crossfade.plans.manuscript import Manuscript
from crossfade.plans.outline import DEEPEST, Block, Code, Item, Outline, Rule, Table, Text
from crossfade.plans.scanner import read_outline
from tests.plans.golden_models import GOLDEN


def outline(text: str) -> tuple[Manuscript, Outline]:
    book = Manuscript(text.encode("utf-8"), "p.md")
    return book, read_outline(book)


def shape(book: Manuscript, blocks: list[Block]) -> list[object]:
    """Blocks as nested lists of words."""
    found: list[object] = []
    for block in blocks:
        if isinstance(block, Item):
            words = " ".join(book.lines[one.index].text[one.start : one.end] for one in block.pieces)
            box = "" if block.box is None else f"[{book.lines[block.index].text[block.box]}] "
            found.append([box + words, *shape(book, block.children)])
        elif isinstance(block, Text):
            found.append(
                "T:" + "/".join(book.lines[one.index].text[one.start : one.end] for one in block.pieces)
            )
        elif isinstance(block, Code):
            found.append("C:" + "/".join(block.lines))
        elif isinstance(block, Table):
            rows = [block.head, *block.rows]
            found.append([[book.lines[row.index].text[c.start : c.end] for c in row.cells] for row in rows])
        elif isinstance(block, Rule):
            found.append("---")
    return found


def blocks(text: str) -> list[object]:
    book, outlined = outline(text)
    return shape(book, [block for section in outlined.sections for block in section.blocks])


def headings(text: str) -> list[tuple[int, str]]:
    book, outlined = outline(text)
    return [
        (one.level, book.lines[one.piece.index].text[one.piece.start : one.piece.end])
        for one in outlined.sections
        if one.piece
    ]


def test_headings_of_both_kinds() -> None:
    text = "# One #\n## Two ##  \n###\tThree\n####\n#Five\nSix\n===\nSeven\n---\n   # Eight\n    # nine\n"
    assert headings(text) == [
        (1, "One"),
        (2, "Two"),
        (3, "Three"),
        (4, ""),
        (1, "Six"),
        (2, "Seven"),
        (1, "Eight"),
    ]


def test_sections_know_what_is_around_them() -> None:
    _, outlined = outline("# A\n### B\n## C\n### D\n# E\n")
    assert [one.parent for one in outlined.sections] == [None, None, 1, 1, 3, None]


def test_nested_lists_by_two_columns_whatever_the_marker() -> None:
    assert blocks("- a\n  - b\n    1. c\n      - d\n- e\n1. f\n  - g\n") == [
        ["a", ["b", ["c", ["d"]]]],
        ["e"],
        ["f", ["g"]],
    ]


def test_tabs_count_to_multiples_of_four() -> None:
    assert blocks("- a\n\t- b\n\t\t- c\n") == [["a", ["b", ["c"]]]]


def test_checkboxes() -> None:
    assert blocks("- [ ] a\n* [x] b\n1. [X] c\n- [-] d\n- [link](x)\n- [ab] e\n- [ ]\n") == [
        ["[ ] a"],
        ["[x] b"],
        ["[X] c"],
        ["[-] d"],
        ["[link](x)"],
        ["[ab] e"],
        ["[ ] "],
    ]


def test_a_paragraph_goes_on_lazily_but_not_with_bold_words() -> None:
    assert blocks("- a\nlazy\n- b\n**Label**: x\n") == [["a lazy"], ["b"], "T:**Label**: x"]


def test_paragraphs_in_items() -> None:
    assert blocks("- a\n\n  more\n\nout\n") == [["a", "T:more"], "T:out"]


def test_fences_hide_what_is_in_them() -> None:
    assert blocks("```\n- [ ] a\n# b\n```\n- c\n") == ["C:- [ ] a/# b", ["c"]]
    assert blocks("~~~~\n```\n~~~\n~~~~\nx\n") == ["C:```/~~~", "T:x"]
    assert blocks("- a\n  ```sh\n  b\n  ```\n- c\n") == [["a", "C:b"], ["c"]]
    # a fence in an item ends with the item
    assert blocks("- a\n  ```\n  b\n- c\n") == [["a", "C:b"], ["c"]]


def test_a_fence_that_is_never_closed_is_noticed() -> None:
    book, _ = outline("a\n\n```\n- [ ] lost\n")
    assert [(one.source.line, "never closed" in one.text) for one in book.notices] == [(3, True)]


def test_indented_code_and_comments_and_raw_html_are_hidden() -> None:
    assert blocks("a\n\n    - [ ] code\n\nb\n") == ["T:a", "T:b"]
    assert blocks("<!-- - [ ] a -->\n<!--\n- [ ] b\n-->\n- c\n") == [["c"]]
    assert blocks("<pre>\n- [ ] a\n</pre>\n- b\n") == [["b"]]
    assert blocks("<details>\n<summary>x</summary>\n\n- a\n\n</details>\n") == [["a"]]


def test_a_comment_that_never_ends_is_noticed() -> None:
    book, _ = outline("a\n<!--\n- [ ] lost\n")
    assert [one.source.line for one in book.notices] == [2]


def test_front_matter() -> None:
    _, outlined = outline('---\ntitle: "A: b"\nOwner: ops\n- x\n---\n# C\n')
    assert outlined.front == {"title": "A: b", "owner": "ops"}
    assert headings("---\nnot closed\n\n# C\n") == [(1, "C")]


def test_rules() -> None:
    assert blocks("a\n\n---\n\n***\n_ _ _\nb\n") == ["T:a", "---", "---", "---", "T:b"]
    # under fields dashes are a rule: nobody means a heading by it
    assert blocks("**Status**: done\n---\nb\n") == ["T:**Status**: done", "---", "T:b"]


def test_block_quotes_are_one_block_of_lines() -> None:
    book, outlined = outline("> **A**: b\n> - c\n> ```\n> - [ ] d\n> ```\n")
    (block,) = outlined.sections[0].blocks
    assert isinstance(block, Text)
    assert block.quoted
    assert [book.lines[one.index].text[one.start : one.end] for one in block.pieces] == ["**A**: b", "c"]


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("| a | b |\n|---|---|\n| c | d |\n", [["a", "b"], ["c", "d"]]),
        ("a | b\n--|--\nc | d\n", [["a", "b"], ["c", "d"]]),
        ("| a | b\n|:-:|--:\n| c | d\n", [["a", "b"], ["c", "d"]]),
        ("| a |\n|---|\n| b \\| c |\n", [["a"], ["b \\| c"]]),
        ("| a | b |\n|---|---|\n|   | d |\n| | |\n||d|\n", [["a", "b"], ["", "d"], ["", ""], ["", "d"]]),
        ("  | a | b |\n  |---|---|\n  | c | d |\n", [["a", "b"], ["c", "d"]]),
    ],
)
def test_tables(text: str, cells: list[list[str]]) -> None:
    assert blocks(text) == [cells]


def test_the_place_of_an_empty_cell_lies_between_its_bars() -> None:
    book, outlined = outline("| a | b |\n|---|---|\n|   | d |\n||e|\n")
    (table,) = outlined.sections[0].blocks
    assert isinstance(table, Table)
    assert [table.rows[0].cells[0].start, table.rows[0].cells[0].end] == [2, 2]
    assert [table.rows[1].cells[0].start, table.rows[1].cells[0].end] == [1, 1]
    del book


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("| a | b |\n|---|\n| c | d |\n", 2, "divider has 1 cells"),
        ("| a | b |\n|---|---|\n| c |\n", 3, "too few cells"),
        ("| a | b |\n|---|---|\n| c | d | e |\n", 3, "too many cells"),
        ("| a | b |\n| c | d |\n", 1, "without a head"),
        ("| a | b |\n|---|---|\n| c | d |\nmore words\n", 4, "right under a table"),
        ("- []  a\n", 1, "no checkbox"),
        ("- [x]a\n", 1, "no checkbox"),
        ("x" * 20_001 + "\n", 1, "20,001 characters"),
    ],
)
def test_what_is_odd_is_noticed_with_its_line(text: str, line: int, words: str) -> None:
    book, _ = outline(text)
    assert [one.source.line for one in book.notices] == [line]
    assert words in book.notices[0].text


def test_absurd_nesting_is_flattened() -> None:
    book, outlined = outline("".join(f"{'  ' * depth}- [ ] {depth}\n" for depth in range(100)))
    depth, found = 0, outlined.sections[0].blocks
    while found:
        depth += 1
        found = [child for block in found if isinstance(block, Item) for child in block.children]
    assert depth == DEEPEST
    assert len(book.notices) == 1


# --- against a renderer --------------------------------------------------------------------


def rendered(text: str) -> tuple[list[tuple[int, int]], set[int]]:
    """Level and line of each heading, and the lines of fenced code, as a renderer sees them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    found = [(int(one.tag[1]), one.map[0]) for one in tokens if one.type == "heading_open" and one.map]
    hidden = {line for one in tokens if one.type == "fence" and one.map for line in range(*one.map)}
    return found, hidden


def scanned(text: str) -> tuple[list[tuple[int, int]], set[int]]:
    _, outlined = outline(text)
    found = [(one.level, one.piece.index) for one in outlined.sections if one.piece]
    hidden: set[int] = set()

    def walk(some: list[Block]) -> None:
        for block in some:
            if isinstance(block, Code):
                hidden.update(range(block.index, block.index + len(block.lines) + 2))
            elif isinstance(block, Item):
                walk(block.children)

    for section in outlined.sections:
        walk(section.blocks)
    return found, hidden


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.md")), ids=lambda path: str(path.stem))
def test_agrees_with_a_renderer_on_the_golden_plans(path: object) -> None:
    text = (GOLDEN / str(path)).read_text(encoding="utf-8")
    if text.startswith("---"):
        text = "\n" * text.index("---", 3) + text[text.index("---", 3) + 3 :]
    assert scanned(text) == rendered(text)


LINES = st.sampled_from(
    [
        "# A",
        "### B",
        "words",
        "- item",
        "- [ ] box",
        "  - nested",
        "1. one",
        "```",
        "~~~",
        "",
        "",
        "> quote",
        "| a | b |",
        "***",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(LINES, max_size=14))
def test_agrees_with_a_renderer_on_headings_and_fences(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    found, hidden = scanned(text)
    expected, code = rendered(text)
    assert found == expected
    assert {line for line in hidden if line < len(lines)} == code
