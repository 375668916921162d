"""The document as it stands in the file: lines with their bytes, and spans that lead back to them.

Everything that is read is found by columns of a line's *decoded* text, and a column leads back to a byte of the
file (`Manuscript.span`).  The structure of Markdown (bars, stars, brackets, colons) is ASCII, which no wrong
decoding touches, so structure is found in the text as it stands, and only the pieces cut out of it are repaired
(`Manuscript.read`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from crossfade.errors import PlanError
from crossfade.plans.model import Notice, Source, Span
from crossfade.plans.mojibake import repair

LARGEST = 32 * 1024 * 1024
"""Bytes.  A larger file is not a plan that people write, and is refused."""

_ENDS = re.compile(rb"\r\n|\n|\r")
_RUNS = re.compile(r"[\x00-\x7f]+|[^\x00-\x7f]+")
_BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Line:
    """One line without its end.  ``text`` has as many columns as there are characters; ``plain`` says that a
    column is also a byte (ASCII, or bytes that are no UTF-8 and were read one by one)."""

    start: int
    """Where the line begins in the file, in bytes; after the byte order mark on the first line."""
    text: str
    plain: bool


class Manuscript:
    """The lines of a file, by 0-based index; line numbers that people see are one more.

    Raises `PlanError` for what is not text: a NUL byte, a UTF-16 file, or more than `LARGEST` bytes.  Bytes
    that are not UTF-8 are read as Windows-1252, with one notice.
    """

    def __init__(self, data: bytes, file: str) -> None:
        self.file = file
        self.notices: list[Notice] = []
        self.damaged = False
        self._repaired: dict[str, str] = {}
        self._refuse_binary(data)
        self.offset = len(_BOM) if data.startswith(_BOM) else 0
        self.lines: list[Line] = []
        self.end = b"\n"
        broken: list[int] = []
        start = self.offset
        for found in _ENDS.finditer(data, start):
            self._add(data[start : found.start()], start, broken)
            start = found.end()
        if start < len(data):
            self._add(data[start:], start, broken)
        first = _ENDS.search(data)
        if first:
            self.end = first[0]
        if broken:
            rest = f" (and {len(broken) - 1} more lines)" if len(broken) > 1 else ""
            self.notice(broken[0], f"bytes that are not UTF-8{rest}; read as Windows-1252")

    def _refuse_binary(self, data: bytes) -> None:
        if len(data) > LARGEST:
            raise PlanError(
                f"the file has {len(data):,} bytes; a plan has at most {LARGEST:,}",
                where=self.file,
                todo="give the Markdown document, or split it",
            )
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise PlanError(
                "the file is UTF-16, not UTF-8", where=f"{self.file}:1", todo="save the document as UTF-8"
            )
        nul = data.find(b"\0")
        if nul >= 0:
            number = len(_ENDS.findall(data, 0, nul)) + 1
            raise PlanError(
                "a NUL byte: this is not a text file",
                where=f"{self.file}:{number}",
                todo="give the Markdown document; if it is one, remove the byte",
            )

    def _add(self, raw: bytes, start: int, broken: list[int]) -> None:
        if raw.isascii():
            self.lines.append(Line(start, raw.decode("ascii"), plain=True))
            return
        try:
            self.lines.append(Line(start, raw.decode("utf-8"), plain=False))
        except UnicodeDecodeError:
            broken.append(len(self.lines))
            self.lines.append(Line(start, raw.decode("latin-1"), plain=True))

    def notice(self, index: int, text: str) -> None:
        """Remember something odd about the line of that index."""
        self.notices.append(Notice(source=self.source(index), text=text))

    def source(self, index: int) -> Source:
        """Where the line of that index stands."""
        return Source(file=self.file, line=index + 1)

    def read(self, text: str) -> str:
        """A piece of a line as it was meant (see `crossfade.plans.mojibake`)."""
        if text.isascii():
            return text
        known = self._repaired.get(text)
        if known is None:
            known = repair(text)
            if len(self._repaired) < 20_000:
                self._repaired[text] = known
        if known != text:
            self.damaged = True
        return known

    def columns(self, index: int, start: int, end: int, first: int, last: int) -> tuple[int, int]:
        """Where characters ``first`` to ``last`` of a piece *as it was meant* stand in its line.

        The piece is columns ``start`` to ``end``.  In a damaged piece a run of damaged characters counts whole;
        where the repair cannot be followed run by run, all of the piece is meant.
        """
        raw = self.lines[index].text[start:end]
        meant = self.read(raw)
        if meant == raw:
            return start + first, start + last
        left = right = -1
        at = 0
        for run in _RUNS.finditer(raw):
            text = repair(run[0])
            if not meant.startswith(text, at):
                return start, end
            same = text == run[0]
            if left < 0 and first < at + len(text):
                left = run.start() + (first - at if same else 0)
            if right < 0 and last <= at + len(text):
                right = run.start() + (last - at if same else len(run[0]))
            at += len(text)
        return (start + left, start + right) if 0 <= left <= right else (start, end)

    def span(self, index: int, start: int, end: int) -> Span:
        """The bytes of columns ``start`` to ``end`` of a line, counted in the line as it stands in the file."""
        line = self.lines[index]
        shift = self.offset if index == 0 else 0
        if not line.plain:
            first = len(line.text[:start].encode("utf-8"))
            end = first + len(line.text[start:end].encode("utf-8"))
            start = first
        return Span(line=index + 1, start=start + shift, end=end + shift)

    def position(self, span: Span) -> tuple[int, int]:
        """Start and end of a span, in bytes of the file."""
        shift = self.offset if span.line == 1 else 0
        start = self.lines[span.line - 1].start - shift
        return start + span.start, start + span.end

    def line_end(self, index: int) -> int:
        """The byte of the file at which a line ends, before its line end."""
        line = self.lines[index]
        return line.start + (len(line.text) if line.plain else len(line.text.encode("utf-8")))

    def text(self, span: Span) -> str:
        """The characters of a span as they stand in the file."""
        line = self.lines[span.line - 1]
        shift = self.offset if span.line == 1 else 0
        if line.plain:
            return line.text[span.start - shift : span.end - shift]
        return line.text.encode("utf-8")[span.start - shift : span.end - shift].decode("utf-8")

    def after(self, span: Span) -> str:
        """What stands in the line behind a span."""
        line = self.lines[span.line - 1]
        shift = self.offset if span.line == 1 else 0
        if line.plain:
            return line.text[span.end - shift :]
        return line.text.encode("utf-8")[span.end - shift :].decode("utf-8")
