"""The names of fields and columns, and the words of a field's value.

A field is ``**Label**: value`` or ``**Label:** value``, in a bullet or in a line of its own; without bold only
labels that are known here count.  Labels are compared without case and with these synonyms.
"""

from __future__ import annotations

from crossfade.plans import commands
from crossfade.plans.drafts import Depends, Value
from crossfade.plans.inline import codes, outside_code, plain
from crossfade.plans.manuscript import Manuscript
from crossfade.plans.outline import Item, Piece
from crossfade.plans.titles import undecorated

_SYNONYMS: dict[str, str] = {
    "description": "description|desc|what|details|task description|objective|goal|purpose|summary|action",
    "files": "files|file|files to create|files to modify|files to change|files changed|file(s)|location|path|paths|modules",
    "owner": "owner|owners|owner(s)|assignee|assignees|assigned to|assigned|responsible|responsibility|lead|who|dri|accountable|team|person",
    "priority": "priority|prio",
    "workstream": "workstream|work stream|stream|track|area",
    "estimate": "time|estimate|estimated|estimates|est|est.|estimated time|time estimate|estimated effort|effort|effort estimate|effort (hours)|hours|hrs|estimated hours|estimate (hours)|est. hours|hours (est.)|hours (estimated)|duration|estimated duration|effort (h)|estimate (h)|time (hours)|duration (hours)|effort (days)|days",
    "window": "timeline|when|week|weeks|day|due|due date|deadline|schedule|scheduled|target date|date|dates|window|sprint|month|quarter|timeframe|time frame|time window|planned|start|start date|planned start|target|period|target week",
    "end": "end|end date|planned end|finish by",
    "deliverables": "deliverable|deliverables|deliverable(s)|key deliverables|key deliverable|output|outputs|output(s)|artifact|artifacts|artefact|artefacts|expected output",
    "dependencies": "dependencies|dependency|depends on|depends|depends upon|blocked by|requires|prerequisite|prerequisites|pre-requisites|predecessor|predecessors|after|needs|dependency on|dependencies on|depends-on",
    "status": "status|state|current status|done?|done",
    "progress": "progress|% complete|% done|%|complete %|percent complete|percentage|completion|percent|overall progress|% progress|progress (%)|progress %|complete (%)|completion %",
    "started": "started|started on|actual start|start (actual)|started at|start time",
    "finished": "finished|finished on|completed on|completion date|date completed|completed|completed at|done on|actual end|actual finish|closed on|closed",
    "evidence": "evidence|proof|evidence links|evidence link",
    "run": "run",
    "gate": "gate",
    "approve": "approve|approval|approvals|approvers",
    "undo": "undo",
    "timeout": "timeout|time-out|time out",
    "retry": "retry|retries|attempts",
    "on_failure": "on failure|on-failure|on error|if it fails|failure",
    "subtasks": "subtasks|sub-tasks|steps|tasks|checklist|to do|todo|action items|actions|activities",
}
NAMES: dict[str, str] = {label: name for name, labels in _SYNONYMS.items() for label in labels.split("|")}
"""Label in lower case to the name of the field."""


def field_name(label: str) -> str:
    """The name of the field with that label; empty when it is not known."""
    label = undecorated(label).lower().strip(" \t*_`").rstrip(":").rstrip()
    return NAMES.get(label, "")


def piece_text(book: Manuscript, piece: Piece) -> str:
    """The words of a piece as they were meant, Markdown kept."""
    return book.read(book.lines[piece.index].text[piece.start : piece.end])


def cell_text(book: Manuscript, piece: Piece) -> str:
    """The words of a table's cell as they were meant, Markdown kept.  A bar is escaped there even in code, as
    nothing else tells it from the end of the cell."""
    return piece_text(book, piece).replace("\\|", "|")


def item_text(book: Manuscript, item: Item) -> str:
    """The first paragraph of an item in one line, as it was meant, Markdown kept."""
    if len(item.pieces) == 1:
        return piece_text(book, item.pieces[0])
    return " ".join(piece_text(book, piece).rstrip("\\") for piece in item.pieces)


def details(book: Manuscript, items: list[Item], depth: int = 0) -> list[str]:
    """The words of bullets, one line each, nested ones indented."""
    found: list[str] = []
    for item in items:
        found.append("  " * depth + plain(item_text(book, item)))
        found += details(book, [child for child in item.children if isinstance(child, Item)], depth + 1)
    return found


def words(book: Manuscript, value: Value) -> str:
    """All that a value says, in plain words; bullets below it each in a line."""
    return "\n".join(filter(None, [plain(value.text), *details(book, value.items)]))


def several(book: Manuscript, value: Value) -> tuple[str, ...]:
    """The entries of a list-like value: bullets, lines of a cell, parts between semicolons; a comma separates
    only code spans (``Scanning, multi-stage builds`` is one deliverable)."""
    found: list[str] = []
    text = value.text.strip()
    if text:
        spans = codes(text)
        if len(spans) > 1 and not outside_code(text).replace("and", "").replace("&", "").strip(" ,;+"):
            found += spans
        else:
            found += [part.strip(" ,") for line in plain(text).split("\n") for part in line.split(";")]
    found += [plain(item_text(book, item)) for item in value.items]
    return tuple(entry for entry in found if entry and not commands.NOTHING.match(entry))


def dependency_texts(book: Manuscript, value: Value) -> list[Depends]:
    """What a dependency field says: its text, and each bullet below it."""
    found = [Depends(plain(value.text), value.piece.index)] if value.text.strip() else []
    return found + [Depends(plain(item_text(book, item)), item.index) for item in value.items]


def short(text: str) -> str:
    """A text as it is quoted in a notice."""
    return repr(text if len(text) <= 60 else text[:57] + "...")
