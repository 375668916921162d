"""One pass over the lines that finds their structure; see `crossfade.plans.outline` for the rules."""

from __future__ import annotations

import itertools
import re

from crossfade.plans.manuscript import Manuscript
from crossfade.plans.outline import (
    DEEPEST,
    LONGEST,
    Block,
    Code,
    Item,
    Outline,
    Piece,
    Row,
    Rule,
    Section,
    Table,
    Text,
)

_HEADING = re.compile(r"[ \t]*(#{1,6})(?:[ \t]+|$)")
_SETEXT = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_RULE = re.compile(r" {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$")
_ITEM = re.compile(r"(?P<marker>[-*+•]|\d{1,4}[.)])(?:[ \t]+|$)")
_BOX = re.compile(r"\[(?P<box>[^\[\]\n])\](?=[ \t]|$)[ \t]*|\[\][ \t]+")
_NEARLY_BOX = re.compile(r"\[[ xX]\](?=[^\s(\[:])")
_FENCE = re.compile(r"(`{3,}|~{3,})([^\n]*)$")
_DIVIDER = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?$")
_TAG_LINE = re.compile(r"[ \t]*</?[A-Za-z][\w-]*(?:\s[^<>]*)?/?>(?:[^<>]*</[A-Za-z][\w-]*>)?[ \t]*$")
_RAW_HTML = re.compile(r"[ \t]*<(script|pre|style|textarea)(?=[\s>]|$)", re.I)
_BOLD_START = re.compile(r"\*\*|__")
_FIELD_LINE = re.compile(r"(?:\*\*|__)[^*_]{1,60}(?::(?:\*\*|__)|(?:\*\*|__)[ \t]*:)")
_FRONT_FIELD = re.compile(r"([A-Za-z][\w -]{0,40}):(.*)")
_QUOTE = re.compile(r"(?:[ \t]*>)+[ \t]?")


def read_outline(manuscript: Manuscript) -> Outline:
    """The structure of the whole document; what is broken in it becomes the manuscript's notices."""
    return _Scanner(manuscript).scan()


class _Scanner:
    def __init__(self, manuscript: Manuscript) -> None:
        self.manuscript = manuscript
        self.texts = [line.text for line in manuscript.lines]
        self.sections = [Section(0, None, None)]
        self.open: list[Item] = []
        self.paragraph: Text | None = None
        self.blank = True
        self.flattened = False

    def scan(self) -> Outline:
        front, index = self._front_matter()
        while index < len(self.texts):
            text = self.texts[index]
            if len(text) > LONGEST:
                self.manuscript.notice(index, f"a line of {len(text):,} characters; it is not read")
                self._end_paragraph()
                index += 1
                continue
            index = self._line(index, text)
        for section, following in itertools.pairwise(self.sections):
            section.end = following.piece.index if following.piece else 0
        self.sections[-1].end = len(self.texts)
        return Outline(self.sections, front)

    # --- one line -------------------------------------------------------------

    def _line(self, index: int, text: str) -> int:
        """Takes the line, and more where a block needs them; returns the index of the next one to take."""
        start, columns = _indentation(text)
        if start == len(text):
            self._end_paragraph()
            return index + 1
        first = text[start]
        if first == "<":
            following = self._html(index, text)
            if following is not None:
                return following
        if columns >= 4 and self.blank and not self._inside(columns):
            return self._indented_code(index)
        if first in "`~":
            fence = _FENCE.match(text, start)
            if fence and not (first == "`" and "`" in fence[2]) and (columns < 4 or self._inside(columns)):
                return self._fence(index, fence[1], columns)
        if first == "#" and columns < 4:
            heading = _HEADING.match(text)
            if heading:
                return self._heading(index, heading)
        if first == ">" and (columns < 4 or self._inside(columns)):
            return self._quote(index)
        if columns < 4 and first in "=-" and self._setext(index, text):
            return index + 1
        if first in "-*_" and columns < 4 and _RULE.match(text):
            self._close_lists(0)
            self._end_paragraph()
            self._put(Rule(index))
            return index + 1
        item = _ITEM.match(text, start)
        if item and not (columns >= 4 and not self.open and not self.blank):
            self._item(index, text, columns, item)
            return index + 1
        if "|" in text:
            following = self._table(index, columns)
            if following is not None:
                return following
        self._text(index, text, start, columns)
        return index + 1

    def _inside(self, columns: int) -> bool:
        return bool(self.open) and columns >= self.open[0].columns + 2

    # --- where blocks go --------------------------------------------------------

    def _put(self, block: Block) -> None:
        if self.open:
            self.open[-1].children.append(block)
        else:
            self.sections[-1].blocks.append(block)

    def _end_paragraph(self) -> None:
        self.paragraph = None
        self.blank = True

    def _close_lists(self, columns: int) -> None:
        """Close the items that a block indented that far does not belong to."""
        while self.open and columns < self.open[-1].columns + 2:
            self.open.pop()

    # --- kinds of blocks ----------------------------------------------------------

    def _front_matter(self) -> tuple[dict[str, str], int]:
        if not self.texts or self.texts[0].rstrip(" \t") != "---":
            return {}, 0
        fields: dict[str, str] = {}
        for index in range(1, min(len(self.texts), 200)):
            text = self.texts[index].rstrip(" \t")
            if text in ("---", "..."):
                return fields, index + 1
            found = _FRONT_FIELD.match(text)
            if found:
                fields.setdefault(found[1].lower(), found[2].strip(" \t").strip("\"'"))
        return {}, 0

    def _html(self, index: int, text: str) -> int | None:
        if text.lstrip(" \t").startswith("<!--"):
            return self._skip_to("-->", index, text.find("<!--") + 4, "an HTML comment")
        raw = _RAW_HTML.match(text)
        if raw:
            return self._skip_to(f"</{raw[1].lower()}>", index, raw.end(), f"<{raw[1].lower()}>")
        if _TAG_LINE.match(text):
            self._end_paragraph()
            return index + 1
        return None

    def _skip_to(self, mark: str, index: int, start: int, name: str) -> int:
        self.paragraph = None
        for number in range(index, len(self.texts)):
            if self.texts[number].lower().find(mark, start if number == index else 0) >= 0:
                return number + 1
        self.manuscript.notice(index, f"{name} that never ends: nothing behind it is read")
        return len(self.texts)

    def _indented_code(self, index: int) -> int:
        while index < len(self.texts):
            start, columns = _indentation(self.texts[index])
            if start < len(self.texts[index]) and columns < 4:
                break
            index += 1
        return index

    def _fence(self, index: int, fence: str, columns: int) -> int:
        self._close_lists(columns)
        self.paragraph = None
        self.blank = True
        inner = self.open[-1].columns + 2 if self.open else 0
        code = Code(index, [])
        self._put(code)
        closing = re.compile(r"[ \t]*" + re.escape(fence[0]) + "{" + str(len(fence)) + r",}[ \t]*$")
        for number in range(index + 1, len(self.texts)):
            text = self.texts[number]
            start, indent = _indentation(text)
            if closing.match(text) and (indent < inner + 4):
                return number + 1
            if start < len(text) and indent < inner:
                return number
            code.lines.append(text[min(start, columns) :])
        self.manuscript.notice(index, "a code fence that is never closed: nothing behind it is read")
        return len(self.texts)

    def _heading(self, index: int, heading: re.Match[str]) -> int:
        text = self.texts[index]
        end = len(text.rstrip(" \t"))
        hashes = len(text[:end].rstrip("#"))
        if hashes < end and (hashes <= heading.end() or text[hashes - 1] in " \t"):
            end = len(text[:hashes].rstrip(" \t"))
        end = max(heading.end(), end)
        self._open_section(len(heading[1]), Piece(index, heading.end(), end))
        return index + 1

    def _open_section(self, level: int, piece: Piece) -> None:
        self.open.clear()
        self._end_paragraph()
        parent: int | None = len(self.sections) - 1
        while parent is not None and self.sections[parent].level >= level:
            parent = self.sections[parent].parent
        self.sections.append(Section(level, piece, parent if parent else None))

    def _setext(self, index: int, text: str) -> bool:
        underline = _SETEXT.match(text)
        if underline is None or self.blank or self.open or self.paragraph is None or self.paragraph.quoted:
            return False
        last = self.paragraph.pieces[-1]
        if last.index != index - 1:
            return False
        if underline[1][0] == "-" and _FIELD_LINE.match(self.texts[last.index], last.start):
            return False
        self.paragraph.pieces.pop()
        if not self.paragraph.pieces:
            self.sections[-1].blocks.pop()
        self._open_section(1 if underline[1][0] == "=" else 2, last)
        return True

    def _quote(self, index: int) -> int:
        _, columns = _indentation(self.texts[index])
        self._close_lists(columns)
        quote = Text([], quoted=True)
        fenced = False
        while index < len(self.texts):
            text = self.texts[index]
            mark = _QUOTE.match(text)
            if mark is None or len(text) > LONGEST:
                break
            start, end = mark.end(), len(text)
            content = text[start:].lstrip(" \t")
            if content.startswith(("```", "~~~")):
                fenced = not fenced
            elif content and not fenced:
                item = _ITEM.match(text, end - len(content))
                start = item.end() if item else end - len(content)
                quote.pieces.append(Piece(index, start, len(text[:end].rstrip(" \t"))))
            index += 1
        self._end_paragraph()
        if quote.pieces:
            self._put(quote)
        return index

    def _item(self, index: int, text: str, columns: int, found: re.Match[str]) -> None:
        while self.open and columns < self.open[-1].columns + 2:
            self.open.pop()
        if len(self.open) >= DEEPEST:
            if not self.flattened:
                self.flattened = True
                self.manuscript.notice(
                    index, f"lists nested deeper than {DEEPEST} levels are read as level {DEEPEST}"
                )
            del self.open[DEEPEST - 1 :]
        start = found.end()
        prefix = text[: found.end("marker")] + (text[found.end("marker") : start] or " ")
        box = _BOX.match(text, start)
        if (box and not box["box"]) or (not box and _NEARLY_BOX.match(text, start)):
            self.manuscript.notice(
                index, "brackets that are no checkbox; a checkbox is '[ ]' or '[x]' and a blank"
            )
        at = None
        if box:
            at = box.start("box") if box["box"] else None
            start = box.end()
        item = Item(
            columns=columns,
            content=columns + len(found[0]),
            marker=found["marker"],
            prefix=prefix,
            pieces=[Piece(index, start, max(start, len(text.rstrip(" \t"))))],
            box=at,
        )
        self._put(item)
        self.open.append(item)
        self.paragraph = None
        self.blank = False

    def _text(self, index: int, text: str, start: int, columns: int) -> None:
        piece = Piece(index, start, len(text.rstrip(" \t")))
        if self.open:
            lazy = not self.blank and not _BOLD_START.match(text, start)
            if columns < self.open[-1].columns + 2 and not lazy:
                self._close_lists(columns)
                self.paragraph = None
            elif not self.blank and self.paragraph is None and not self.open[-1].children:
                self.open[-1].pieces.append(piece)
                return
        if self.paragraph is not None and not self.blank:
            self.paragraph.pieces.append(piece)
            return
        self.paragraph = Text([piece])
        self._put(self.paragraph)
        self.blank = False

    # --- tables -------------------------------------------------------------------

    def _table(self, index: int, columns: int) -> int | None:
        following = self.texts[index + 1] if index + 1 < len(self.texts) else ""
        if "-" not in following or "|" not in following or len(following) > LONGEST:
            return self._headless(index, columns)
        if not _DIVIDER.match(following.strip(" \t")):
            return self._headless(index, columns)
        head = self._row(index)
        divider = self._row(index + 1)
        if len(divider.cells) != len(head.cells):
            self.manuscript.notice(
                index + 1, f"the table's divider has {len(divider.cells)} cells, its head {len(head.cells)}"
            )
        self._close_lists(columns)
        self._end_paragraph()
        table = Table(head, [])
        self._put(table)
        number = index + 2
        while number < len(self.texts):
            text = self.texts[number]
            if "|" not in text or len(text) > LONGEST or text.lstrip(" \t")[:1] in ("#", ">"):
                break
            row = self._row(number)
            if len(row.cells) != len(head.cells):
                few = "few" if len(row.cells) < len(head.cells) else "many"
                self.manuscript.notice(
                    number, f"the row has too {few} cells: {len(row.cells)} instead of {len(head.cells)}"
                )
            table.rows.append(row)
            number += 1
        if number < len(self.texts) and self.texts[number].strip(" \t") and number > index + 2:
            text = self.texts[number].lstrip(" \t")
            if "|" not in text and not text.startswith(("#", ">", "`", "~", "<", "-", "*", "+", "_", "=")):
                self.manuscript.notice(number, "text right under a table; it is not read as a row of it")
        return number

    def _headless(self, index: int, columns: int) -> int | None:
        """Rows of bars with no divider under the first: not a table to any reader of Markdown."""
        if not self.texts[index].lstrip(" \t").startswith("|"):
            return None
        number = index
        while number < len(self.texts) and self.texts[number].lstrip(" \t").startswith("|"):
            number += 1
        if number - index < 2:
            return None
        self.manuscript.notice(
            index,
            f"{number - index} rows without a head and a divider (| --- |); they are not read as a table",
        )
        self._close_lists(columns)
        self._end_paragraph()
        return number

    def _row(self, index: int) -> Row:
        """The cells of a row: split at bars that are not escaped (a bar in a code span splits, as GitHub's)."""
        text = self.texts[index]
        start, _ = _indentation(text)
        end = len(text.rstrip(" \t"))
        if start < end and text[start] == "|":
            start += 1
        bars = _bars(text, start, end)
        if bars and bars[-1] == end - 1:
            end = bars.pop()
        edges = [start - 1, *bars, end]
        cells = []
        for left, right in itertools.pairwise(edges):
            first, last = left + 1, right
            while last > first and text[last - 1] in " \t":
                last -= 1
            while first < last and text[first] in " \t":
                first += 1
            if first == last and right - left > 1:
                first = last = left + 2 if right - left > 2 else left + 1
            cells.append(Piece(index, first, last))
        return Row(index, cells)


def _bars(text: str, start: int, end: int) -> list[int]:
    bars = []
    at = text.find("|", start, end)
    while at >= 0:
        slashes = at - 1
        while slashes >= start and text[slashes] == "\\":
            slashes -= 1
        if (at - 1 - slashes) % 2 == 0:
            bars.append(at)
        at = text.find("|", at + 1, end)
    return bars


def _indentation(text: str) -> tuple[int, int]:
    """The index of the first character that is no blank, and its column with tabs to multiples of four."""
    column = 0
    for index, character in enumerate(text):
        if character == " ":
            column += 1
        elif character == "\t":
            column += 4 - column % 4
        else:
            return index, column
    return len(text), column
