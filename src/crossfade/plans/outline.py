"""The structure of a Markdown document, line by line: sections, lists, tables, code, paragraphs.

This is the block structure of CommonMark with GitHub's tables and checkboxes, read in one pass whose time grows
with the length of the document and nothing else.  It is written for this purpose because plans are documents
that people edit by hand: a general parser drops what breaks a rule of the grammar (a table whose divider has a
cell too few is no table to it), while here it is read and a notice says what is wrong; and everything keeps its
columns, so that it can be written back.  Where it is more generous than CommonMark:

- an item that is indented two columns or more under another is nested in it, whatever the width of the marker;
- a table's divider may have another number of cells than its head;
- a line that begins with bold words ends the list before it, though no empty line stands between;
- an underline of dashes under a paragraph of fields (``**Status**: done``) is a rule, not a heading;
- HTML tags that stand alone in a line (``<details>``) do not hide the Markdown between them.

Hidden from reading, as in any renderer: fenced and indented code, HTML comments, front matter.  Nesting deeper
than `DEEPEST` is flattened, and lines longer than `LONGEST` characters are not read; both leave a notice.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DEEPEST = 16
"""Levels of nested lists."""

LONGEST = 20_000
"""Characters in a line."""


@dataclass(slots=True)
class Piece:
    """Columns ``start`` to ``end`` of the line with that index."""

    index: int
    start: int
    end: int


@dataclass(slots=True)
class Text:
    """A paragraph, a piece for each of its lines.  ``quoted`` for a block quote."""

    pieces: list[Piece]
    quoted: bool = False


@dataclass(slots=True)
class Item:
    """A list item.  ``pieces`` are the lines of its first paragraph; ``box`` is the column of the character
    between the brackets of a checkbox; ``columns`` is its indentation, tabs counted to multiples of four."""

    columns: int
    content: int
    marker: str
    prefix: str
    """What stands before the text: indentation and marker, without a checkbox."""
    pieces: list[Piece]
    box: int | None = None
    children: list[Block] = field(default_factory=list)

    @property
    def index(self) -> int:
        """The line on which it begins."""
        return self.pieces[0].index


@dataclass(slots=True)
class Row:
    """A table's row: the pieces of its cells, without their padding."""

    index: int
    cells: list[Piece]


@dataclass(slots=True)
class Table:
    """A table; ``head`` are its column titles."""

    head: Row
    rows: list[Row]


@dataclass(slots=True)
class Code:
    """A fenced block; ``lines`` without the fence's own indentation."""

    index: int
    lines: list[str]


@dataclass(slots=True)
class Rule:
    """A thematic break."""

    index: int


Block = Text | Item | Table | Code | Rule


@dataclass(slots=True)
class Section:
    """A heading and what stands under it up to the next heading.  ``level`` is 0 and ``piece`` ``None`` for
    what stands before the first one; ``parent`` is the index of the section around."""

    level: int
    piece: Piece | None
    parent: int | None
    blocks: list[Block] = field(default_factory=list)
    end: int = 0
    """The index after its last line."""


@dataclass(slots=True)
class Outline:
    """The sections in the document's order, and the simple fields of the front matter."""

    sections: list[Section]
    front: dict[str, str]
