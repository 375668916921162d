"""Reading what SQLite's catalogue keeps only as SQL text: checks, collations, predicates, AUTOINCREMENT."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

_TOKEN = re.compile(
    r"""
      (?P<skip>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
    | (?P<string>[xX]?'(?:[^']|'')*')
    | (?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
    | (?P<word>[^\W\d][\w$]*)
    | (?P<number>\d[\w.]*)
    | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)

_BARE_DEFAULTS = {"NULL", "TRUE", "FALSE", "CURRENT_TIME", "CURRENT_DATE", "CURRENT_TIMESTAMP"}


@dataclass(frozen=True, slots=True)
class Lexeme:
    """One token: its kind, its text, where it begins and ends, and how deep in parentheses it is."""

    kind: str
    text: str
    start: int
    end: int
    depth: int

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.upper() in words

    @property
    def name(self) -> str:
        """The identifier that this token spells."""
        if self.kind == "quoted" or self.text[:1] == "'":
            closing = self.text[-1]
            inner = self.text[1:-1]
            return inner if closing == "]" else inner.replace(closing * 2, closing)
        return self.text


def lexemes(sql: str) -> Iterator[Lexeme]:
    """The tokens of a statement.  A parenthesis counts as being outside of what it encloses."""
    depth = 0
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup or "mark"
        if kind == "skip":
            continue
        if match.group() == ")":
            depth -= 1
        yield Lexeme(kind, match.group(), match.start(), match.end(), depth)
        if match.group() == "(":
            depth += 1


@dataclass(frozen=True, slots=True)
class TableText:
    """What only the CREATE TABLE text says."""

    checks: tuple[str, ...]
    collations: dict[str, str]
    autoincrement: bool
    deferrable: frozenset[tuple[str, ...]]


def read_create_table(sql: str) -> TableText:
    """Parse a CREATE TABLE text.  Column names in ``collations`` are lower case."""
    tokens = list(lexemes(sql))
    checks: list[str] = []
    collations: dict[str, str] = {}
    deferrable: set[tuple[str, ...]] = set()
    for part in _parts(tokens):
        checks += _checks(sql, part)
        column = part[0].name.lower()
        is_table_constraint = part[0].is_word("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN")
        for here, after in pairwise(part):
            if here.is_word("COLLATE") and here.depth == 1 and not is_table_constraint:
                collations[column] = after.name
            if after.is_word("DEFERRABLE") and not here.is_word("NOT"):
                deferrable.add(_foreign_columns(part) if is_table_constraint else (column,))
    return TableText(
        checks=tuple(checks),
        collations=collations,
        autoincrement=any(t.is_word("AUTOINCREMENT") and t.depth == 1 for t in tokens),
        deferrable=frozenset(deferrable),
    )


def _parts(tokens: list[Lexeme]) -> Iterator[list[Lexeme]]:
    """The comma-separated definitions inside the outermost parentheses."""
    part: list[Lexeme] = []
    for token in tokens:
        if token.depth == 0:
            if token.text == ")" and part:
                yield part
                return
            continue
        if token.depth == 1 and token.text == ",":
            if part:
                yield part
            part = []
        else:
            part.append(token)


def _checks(sql: str, part: list[Lexeme]) -> list[str]:
    found: list[str] = []
    for place, token in enumerate(part[:-1]):
        opening = part[place + 1]
        if token.is_word("CHECK") and token.depth == 1 and opening.text == "(":
            closing = next((t for t in part[place + 2 :] if t.text == ")" and t.depth == opening.depth), None)
            if closing is not None:
                found.append(sql[opening.end : closing.start].strip())
    return found


def _foreign_columns(part: list[Lexeme]) -> tuple[str, ...]:
    names: list[str] = []
    inside = False
    for token in part:
        if token.is_word("REFERENCES"):
            break
        if token.is_word("FOREIGN"):
            inside = True
        elif inside and token.depth == 2 and token.kind in ("word", "quoted", "string"):
            names.append(token.name.lower())
    return tuple(names)


def index_predicate(sql: str) -> str | None:
    """The WHERE of a partial index."""
    for token in lexemes(sql):
        if token.depth == 0 and token.is_word("WHERE"):
            return sql[token.end :].strip()
    return None


def default_expression(default: str) -> str:
    """A column's default as an expression that means the same inside a trigger.

    SQLite lets a default be a bare or double-quoted word that stands for a string; inside a trigger such
    a word would be looked up as a column.
    """
    tokens = list(lexemes(default))
    if len(tokens) == 1:
        token = tokens[0]
        if token.kind == "quoted" or (token.kind == "word" and token.text.upper() not in _BARE_DEFAULTS):
            return "'" + token.name.replace("'", "''") + "'"
    return f"({default})"
