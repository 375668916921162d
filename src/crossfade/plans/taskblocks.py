"""Tasks out of titles, fields and bullets.

A task has a title line (a heading, a bold line, a bullet, a checkbox) and then fields.  This module makes the
draft, fills it, and remembers how a missing field would be added in the same style.
"""

from __future__ import annotations

import re

from crossfade.plans.collection import Collection, Context
from crossfade.plans.drafts import Record, TaskDraft, Value
from crossfade.plans.fields import set_task_field
from crossfade.plans.headings import gate_kind
from crossfade.plans.inline import Field, fields, plain
from crossfade.plans.labels import details, field_name, item_text
from crossfade.plans.misspelt import note
from crossfade.plans.model import GateKind, Status, TaskKind
from crossfade.plans.outline import Block, Code, Item, Piece, Table, Text
from crossfade.plans.records import Register
from crossfade.plans.registers import gate, value_of
from crossfade.plans.statuses import BOXES, find_status
from crossfade.plans.titles import TASK_WORD, Title, split_title
from crossfade.plans.values import Insertion
from crossfade.plans.windows import find_window

_CRITERIA = frozenset(
    ("validation", "verification", "acceptance", "done when", "done if", "verify", "checks")
)
"""Labels of a task whose bullets are its criteria, beside those that say criteria."""

_BULLET = re.compile(r"(?P<indent>[ \t]*)(?P<marker>[-*+]|\d{1,4}[.)])[ \t]")
_OTHER_LABEL = re.compile(r"[A-Z][A-Za-z -]{1,30}:[ \t]")
_TOTAL = re.compile(r"\btotal\b", re.I)
_DEFAULT_STYLE = "- **{name}**: {value}"


def task_kind(title: Title, shape: TaskKind) -> TaskKind:
    """``Task 1: …`` and ``Slice 1: …`` are tasks and slices in whatever shape; others are what they look like."""
    if title.word == "slice":
        return TaskKind.SLICE
    return TaskKind.TASK if title.word and shape is not TaskKind.CHECKBOX else shape


def new_task(plan: Collection, context: Context, title: Title, kind: TaskKind, piece: Piece) -> TaskDraft:
    """A task of that title, whose line is ``piece``, with what the title says about it."""
    task = TaskDraft(
        title=title.text, kind=kind, index=piece.index, id=title.id, weak=title.weak, path=context.path
    )
    if title.window:
        task.values["window"] = title.window
    if title.estimate:
        task.values["estimate"] = title.estimate
        task.lines["estimate"] = piece.index + 1
    for name in ("owner", "priority"):
        if getattr(title, name):
            task.values[name] = getattr(title, name)
    if context.workstream:
        task.values["workstream"] = context.workstream
    if title.status is not None:
        task.values["status"], task.values["status_text"] = title.status.status, title.status_text
        if title.status.progress is not None:
            task.values["progress"] = title.status.progress
        _place_title_status(plan, task, title, piece)
    return task


def _place_title_status(plan: Collection, task: TaskDraft, title: Title, piece: Piece) -> None:
    book = plan.book
    raw = book.lines[piece.index].text[piece.start : piece.end]
    meant = book.read(raw)
    for name, text in (("title_status", title.status_text), ("progress", title.progress_text)):
        at = meant.rfind(text) if title.suffix else meant.find(text)
        if at >= 0 and text and (name == "progress" or text != title.progress_text):
            first, last = book.columns(piece.index, piece.start, piece.end, at, at + len(text))
            task.places[name] = book.span(piece.index, first, last)


def insertable(task: TaskDraft, after: int, template: str = _DEFAULT_STYLE, *, lower: bool = False) -> None:
    """Missing fields of the task may be added after the line with that index."""
    task.places["insertion"] = Insertion(after=after + 1, template=template, lower=lower)


def end_of_prose(plan: Collection, block: Text, first: int, title: int) -> int:
    """The index of the line after which a first field goes: behind the prose that follows the title's line
    (``title``) in a paragraph, from its piece ``first`` on, but before the next bold line or field."""
    last = title
    for number in range(first, len(block.pieces)):
        piece = block.pieces[number]
        text = plan.book.lines[piece.index].text
        if text.startswith(("**", "__"), piece.start) or line_fields(plan, [piece], known_only=False):
            break
        last = piece.index
    return last


def insertable_here(plan: Collection, task: TaskDraft, after: int, indent: str = "") -> None:
    """Missing fields of a task that has none yet may be added after that line: as bullets like those that follow,
    or indented by ``indent``.  Less indented than the bullets behind them they would take these in."""
    following = next(
        (line.text for line in plan.book.lines[after + 1 : after + 4] if line.text.strip(" \t")), ""
    )
    bullet = _BULLET.match(following)
    room = len(indent.expandtabs(4))
    # four columns further in it would be code, or go on with the paragraph
    if bullet and room <= len(bullet["indent"].expandtabs(4)) < room + 4:
        marker = bullet["marker"] if bullet["marker"] in "-*+" else "-"
        insertable(task, after, f"{bullet['indent']}{marker} **{{name}}**: {{value}}")
    elif not indent and following.startswith(("  ", "\t")):
        # a bullet would take in what is indented behind it; a line of its own does not
        insertable(task, after, "**{name}**: {value}")
    else:
        insertable(task, after, f"{indent}{_DEFAULT_STYLE}")


def field_style(plan: Collection, index: int, field: Field) -> str:
    """The line of a field with its name and value taken out: ``  * **{name}:** {value}``."""
    text = plan.book.lines[index].text
    label = text.find(field.label, field.label_start)
    between = text[label + len(field.label) : field.start]
    if field.start == field.end and not between.endswith((" ", "\t")):
        between += " "
    return f"{text[:label]}{{name}}{between}{{value}}{text[field.end :]}"


def give_field(
    plan: Collection, context: Context, task: TaskDraft, field: Field, value: Value, last: int
) -> None:
    """Apply a field to a task.  ``last`` is the index of the last line that belongs to the field."""
    book = plan.book
    label = book.read(field.label)
    kind = gate_kind(label) or (GateKind.SUCCESS if label.lower().strip() in _CRITERIA else None)
    if kind is not None and field_name(label) == "":
        _criteria(plan, context, task, kind, value)
        return
    boxed = [item for item in value.items if item.box is not None]
    name = field_name(label)
    if boxed and (name == "subtasks" or not name):
        for item in value.items:
            add_subtask(plan, context, task, item)
        if not value.text:
            return
    set_task_field(book, task, label, value)
    known = task.places.get("insertion")
    style = field_style(plan, value.piece.index, field)
    if style.count("{name}") != 1 or style.count("{value}") != 1:
        return
    lower = field.label.islower()
    simple = value.piece.index == last
    if name == "status" or not isinstance(known, Insertion) or (simple and "status" not in task.lines):
        insertable(task, last, style, lower=lower)
        task.styled = True
    elif not task.styled:
        # a field with bullets below it: its style, but not its place
        insertable(task, known.after - 1, style, lower=lower)


def _criteria(plan: Collection, context: Context, task: TaskDraft, kind: GateKind, value: Value) -> None:
    """``**Acceptance Criteria**:`` of a task: gates that belong to it."""
    inner = Context(context.category, context.path, phase=task.phase, task=task, gate=kind)
    for item in value.items:
        gate(plan, inner, item)
    if value.text.strip():
        record = Record(
            value.piece.index, {"text": plain(value.text), "path": context.path}, phase=task.phase
        )
        record.task, record.gate = task, inner.gate
        plan.records[Register.GATES].append(record)


def last_index(block: Block) -> int:
    """The index of the last line of a block."""
    if isinstance(block, Item):
        return max(block.pieces[-1].index, *(last_index(child) for child in block.children), block.index)
    if isinstance(block, Text):
        return block.pieces[-1].index if block.pieces else 0
    if isinstance(block, Code):
        return block.index + len(block.lines) + 1
    if isinstance(block, Table):
        return block.rows[-1].index if block.rows else block.head.index + 1
    return block.index


def item_fields(plan: Collection, item: Item) -> list[Field]:
    """The fields of a bullet that is one: a bold label with a colon, or a plain label that is known."""
    piece = item.pieces[0]
    text = plan.book.lines[piece.index].text
    found = fields(text, piece.start, piece.end)
    if found and not found[0].bold and not field_name(found[0].label):
        return []
    if found and not found[0].colon and not field_name(plan.book.read(found[0].label)):
        return []
    return found


def item_title(plan: Collection, item: Item) -> tuple[Title, str]:
    """The title of a bullet and the words behind it: ``**GCP**: full deployment`` is ``GCP``, ``full deployment``;
    ``**Task 1.1**: Create`` is task 1.1 ``Create``; ``**Day 1-2:** Create`` is ``Create`` in that window."""
    book = plan.book
    piece = item.pieces[0]
    text = book.lines[piece.index].text
    found = fields(text, piece.start, piece.end)
    if not found or not found[0].bold:
        return split_title(plain(item_text(book, item))), ""
    if not found[0].colon and find_status(book.read(text[found[0].start : found[0].end])) is not None:
        return split_title(plain(item_text(book, item))), ""
    label = plain(book.read(found[0].label))
    value = value_of(plan, Item(item.columns, item.content, item.marker, item.prefix, item.pieces), found[0])
    if len(found) > 1:
        # a bold label further on is part of the words, not a field of its own
        whole = text[found[0].start : piece.end]
        value.text = " ".join(
            [
                book.read(whole),
                *(book.read(book.lines[p.index].text[p.start : p.end]) for p in item.pieces[1:]),
            ]
        )
    rest = plain(value.text)
    title = split_title(f"{label}: {rest}" if rest else label)
    named = split_title(label)
    if rest and named.word and named.id and named.text == f"{named.word.capitalize()} {named.id}":
        return title, ""
    window = find_window(label)
    if rest and window and window.start == 0 and window.end == len(label):
        title = split_title(rest)
        title.window = title.window or window.window
        return title, ""
    if not rest:
        return named, ""
    aside = split_title(f"{label} ({book.read(found[0].aside)})") if found[0].aside else named
    behind = split_title(rest, numbers=False)
    if behind.word:
        behind = Title(rest)
    for name in ("window", "estimate", "owner", "priority"):
        if not getattr(aside, name) and getattr(behind, name):
            setattr(aside, name, getattr(behind, name))
    if aside.status is None and behind.status is not None:
        aside.status, aside.status_text, aside.suffix = behind.status, behind.status_text, behind.suffix
    return aside, behind.text


def task_of_item(plan: Collection, context: Context, item: Item, kind: TaskKind) -> TaskDraft:
    """The task that a bullet or checkbox is, with all that is nested below it."""
    title, rest = item_title(plan, item)
    task = new_task(plan, context, title, task_kind(title, kind), item.pieces[0])
    plan.of_items[item.index] = task
    if rest:
        task.values["description"] = rest
    if item.box is not None:
        _set_box(plan, task, item)
    fill_from_blocks(plan, context, task, item.children)
    return task


def _set_box(plan: Collection, task: TaskDraft, item: Item) -> None:
    mark = plan.book.lines[item.index].text[item.box or 0]
    task.places["box"] = plan.book.span(item.index, item.box or 0, (item.box or 0) + 1)
    task.box = BOXES.get(mark)
    if task.box is None:
        plan.book.notice(item.index, f"a checkbox [{plan.book.read(mark)}] that is not understood")
        task.box = Status.UNKNOWN
    if task.values.get("status") is None:
        task.values["status"], task.values["status_text"] = task.box, f"[{mark}]"
    elif Status.DONE in (task.box, task.values["status"]) and task.box is not task.values["status"]:
        ticked = "ticked" if task.box is Status.DONE else "not ticked"
        plan.book.notice(
            item.index, f"the box is {ticked}, but the title says {task.values['status_text']!r}"
        )


def add_subtask(plan: Collection, context: Context, task: TaskDraft, item: Item) -> None:
    """A bullet below a task as a part of it."""
    if is_empty_box(plan, item) or plan.full(item.index):
        return
    kind = TaskKind.CHECKBOX if item.box is not None else TaskKind.BULLET
    sub = task_of_item(plan, context, item, kind)
    sub.phase = task.phase
    task.subtasks.append(sub)


def is_empty_box(plan: Collection, item: Item) -> bool:
    """Whether a checkbox has no words; it is no task then, which leaves a notice."""
    if item.box is None or any(piece.end > piece.start for piece in item.pieces) or item.children:
        return False
    plan.book.notice(item.index, "a checkbox without words; it is not read")
    return True


def is_named_task(plan: Collection, item: Item) -> bool:
    """Whether a bullet calls itself a task with an id: ``Task 1.1: …``, ``**Slice 2**: …``."""
    if not TASK_WORD.search(
        plan.book.lines[item.index].text, item.pieces[0].start, item.pieces[0].start + 40
    ):
        return False
    title, _ = item_title(plan, item)
    return bool(title.word and title.id and title.word not in ("step",))


def fill_from_blocks(plan: Collection, context: Context, task: TaskDraft, blocks: list[Block]) -> None:
    """What is nested below a task's bullet: fields, checkboxes (subtasks), details, code of a field."""
    waiting: tuple[Field, Value, int] | None = None
    for block in blocks:
        if waiting is not None:
            field, value, last = waiting
            waiting = None
            if isinstance(block, Code):
                value.code = ["\n".join(map(plan.book.read, block.lines))]
                give_field(plan, context, task, field, value, last_index(block))
                continue
            give_field(plan, context, task, field, value, last)
        if isinstance(block, Item):
            if block.box is not None or is_named_task(plan, block):
                add_subtask(plan, context, task, block)
                continue
            found = item_fields(plan, block)
            if found:
                for field in found:
                    value = value_of(plan, block, field)
                    if needs_code(field, value):
                        waiting = (field, value, last_index(block))
                    else:
                        give_field(plan, context, task, field, value, last_index(block))
            else:
                add_details(plan, task, [block])
        elif isinstance(block, Text):
            give_text(plan, context, task, block)
    if waiting is not None:
        give_field(plan, context, task, *waiting)


def needs_code(field: Field, value: Value) -> bool:
    """Whether a field waits for the code block that may follow it."""
    return (
        not value.text
        and not value.items
        and not value.code
        and field_name(field.label) in ("run", "undo", "gate")
    )


def add_details(plan: Collection, task: TaskDraft, items: list[Item]) -> None:
    """Bullets that are neither fields nor subtasks are details of the description."""
    for item in items:
        piece = item.pieces[0]
        for field in fields(plan.book.lines[piece.index].text, piece.start, piece.end)[:1]:
            text = plan.book.lines[piece.index].text[field.start : field.end]
            note(task, field.label, plan.book.read(text), piece.index)
    task.details += details(plan.book, items)


def line_fields(plan: Collection, pieces: list[Piece], *, known_only: bool) -> list[tuple[Field, Value]]:
    """The fields of a paragraph's lines.  A line that begins no field goes on with the value before it.
    ``known_only`` leaves out plain labels that are not known (always) and bold ones without a colon."""
    book = plan.book
    found: list[tuple[Field, Value]] = []
    for piece in pieces:
        text = book.lines[piece.index].text
        here = fields(text, piece.start, piece.end)
        if (
            here
            and not _TOTAL.search(here[0].label)
            and (
                (not here[0].bold or not here[0].colon or known_only)
                and not field_name(book.read(here[0].label))
            )
        ):
            here = []
        if here:
            for field in here:
                value = Value(
                    Piece(piece.index, field.start, field.end), book.read(text[field.start : field.end])
                )
                found.append((field, value))
        elif found and not _OTHER_LABEL.match(text, piece.start, piece.end):
            value = found[-1][1]
            value.text = f"{value.text} {book.read(text[piece.start : piece.end])}".strip()
            value.last = piece.index
    return found


def give_text(plan: Collection, context: Context, task: TaskDraft, block: Text) -> None:
    """A paragraph below a task: fields in lines of their own, or its description if it has none yet."""
    found = line_fields(plan, block.pieces, known_only=False)
    if found:
        for field, value in found:
            give_field(plan, context, task, field, value, value.end)
    elif not block.quoted and not task.values.get("description") and not task.details:
        book = plan.book
        text = " ".join(
            book.read(book.lines[piece.index].text[piece.start : piece.end]) for piece in block.pieces
        )
        task.values["description"] = plain(text)
