"""The blocks under one heading: bold title lines, labelled lists, fields, tables, and bullets."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence

from crossfade.plans.belonging import open_phase, place_task
from crossfade.plans.bullets import REGISTERS, BulletReader
from crossfade.plans.collection import Context
from crossfade.plans.drafts import TaskDraft, Value
from crossfade.plans.headings import Category, Heading, classify
from crossfade.plans.inline import Field, plain
from crossfade.plans.labels import field_name, piece_text
from crossfade.plans.model import TaskKind
from crossfade.plans.outline import Block, Code, Item, Piece, Rule, Table, Text
from crossfade.plans.records import record_field, set_record_field
from crossfade.plans.tables import read_table
from crossfade.plans.taskblocks import (
    end_of_prose,
    give_field,
    give_text,
    insertable_here,
    item_fields,
    last_index,
    line_fields,
    new_task,
)

_BOLD_LINE = re.compile(r"[^\w*`\[(]{0,6}(?P<mark>\*\*|__)(?P<inner>[^*_].*?)(?P=mark)(?P<tail>.*)$")
_TAIL = re.compile(r"[ \t]*:?[ \t]*(?:[*_]{0,2}[(\[].{1,60}[)\]][*_]{0,2})?[ \t]*:?$")
_PLAIN_TASK = re.compile(r"(?:task|slice)[ \t]+[A-Za-z]{0,4}\d[\w.-]{0,10}[ \t]*:[ \t]+\S", re.I)


class BlockReader(BulletReader):
    """Reads the blocks of one section (or of one bullet that is a phase) into the collection."""

    def read(self, blocks: list[Block]) -> None:
        """Read them all, in order."""
        number = 0
        while number < len(blocks):
            block = blocks[number]
            number += 1
            if self.waiting is not None and self._resolve_waiting(block):
                continue
            if isinstance(block, Text):
                label = self._text(block)
                if label is not None:
                    first, number = number, self._labelled(label, blocks, number)
                    self._nested(blocks[first:number], self._context_of(label[1]))
            elif isinstance(block, Item):
                self.begun = True
                self._item(block, self.context)
                self._nested([block], self.context)
            elif isinstance(block, Table):
                self.begun = True
                self._table(block, self.context)
            elif isinstance(block, Rule):
                self.task, self.listed = self.own_task, None
        self._resolve_waiting(None)

    def _text(self, block: Text) -> tuple[Field | None, str] | None:
        """A paragraph: title lines, fields, prose.  Returns the label at its end, which a list may follow."""
        self.listed = None
        if block.quoted:
            if not self.begun:
                self._fields(line_fields(self.plan, block.pieces, known_only=False))
            return None
        waiting: list[Piece] = []
        label: tuple[Field | None, str] | None = None
        for number, piece in enumerate(block.pieces):
            heading = self._title_line(piece, first=number == 0)
            if heading is None:
                waiting.append(piece)
                continue
            self._prose(waiting)
            waiting = []
            self._open(heading, block, number)
        if waiting:
            label = self._prose(waiting)
        return label

    def _title_line(self, piece: Piece, *, first: bool) -> Heading | None:
        """The heading that a line of bold words is: a task, or a phase.  Other bold lines are labels."""
        raw = self.book.lines[piece.index].text[piece.start : piece.end]
        bold = _BOLD_LINE.match(raw)
        if bold is None:
            if first and _PLAIN_TASK.match(raw):
                return classify(plain(self.book.read(raw)))
            return None
        heading = classify(plain(self.book.read(raw)))
        if heading.category is Category.TASK and heading.parts.id:
            return heading
        if heading.category is Category.TASK and heading.parts.word and _TAIL.match(bold["tail"]):
            return heading
        if self.base.task is not None or not heading.name or heading.category is not Category.PHASE:
            return None
        return heading if _TAIL.match(bold["tail"]) else None

    def _open(self, heading: Heading, block: Text, number: int) -> None:
        piece = block.pieces[number]
        if heading.category is Category.TASK:
            if self.plan.full(piece.index):
                return
            self.task = None
            title = heading.parts
            shape = TaskKind.SLICE if title.word == "slice" else TaskKind.TASK
            task = new_task(self.plan, self.context, title, shape, piece)
            place_task(self.plan, self.context, task)
            insertable_here(self.plan, task, end_of_prose(self.plan, block, number + 1, piece.index))
            self.task = task
            return
        self.task = self.own_task
        inner = copy.copy(self.base)
        inner.path = (*self.base.path, heading.title)
        inner.category, inner.heading, inner.index = Category.PHASE, heading.title, piece.index
        inner.last_record = None
        open_phase(self.plan, inner, heading, piece.index)
        inner.counts = True
        self.context = inner
        self.head = False

    def _prose(self, pieces: list[Piece]) -> tuple[Field | None, str] | None:
        """Lines between title lines: fields for what is open, or words.  Returns a label that has no value."""
        if not pieces:
            return None
        found = line_fields(self.plan, pieces, known_only=False)
        if found:
            field, value = found[-1]
            if not value.text:
                self._fields(found[:-1])
                return field, self.book.read(field.label)
            self._fields(found)
            return None
        last = piece_text(self.book, pieces[-1]).strip()
        if last.endswith(":") or (_BOLD_LINE.match(last) and plain(last) and len(pieces) == 1):
            words = plain(last)
            if len(words) <= 60 or words.endswith(":"):
                return None, words.rstrip(":")
        if self.task is not None:
            give_text(self.plan, self.context, self.task, Text(pieces))
        return None

    def _fields(self, found: list[tuple[Field, Value]]) -> None:
        for field, value in found:
            if value.text:
                self._field(self.context, field, value, value.end)

    def _labelled(self, label: tuple[Field | None, str], blocks: list[Block], number: int) -> int:
        """``**Deliverables**:`` and the list, code or table that follows; returns the number of the next block."""
        field, words = label
        items: list[Item] = []
        first = number
        while number < len(blocks):
            block = blocks[number]
            if not isinstance(block, Item):
                break
            items.append(block)
            number += 1
        if self.task is not None:
            return self._task_label(self.task, field, words, items, blocks, first, number)
        record, register = self.context.last_record, self.context.register
        if record is not None and register is not None and items and record_field(register, words):
            value = Value(Piece(items[0].index, 0, 0), "", items=items)
            set_record_field(self.book, record, register, words, value)
            return number
        heading = classify(words)
        context = copy.copy(self.context)
        context.last_record = None
        context.refers = heading.refers or context.refers
        name = field_name(words)
        if heading.category in REGISTERS:
            context.category, context.gate = heading.category, heading.gate
            context.mitigates = context.mitigates or "mitigation" in words.lower()
            context.register = None
        elif name == "deliverables" or heading.category is Category.DELIVERABLES:
            context.category = Category.DELIVERABLES
        elif name == "subtasks" or heading.category is Category.TASKS:
            context.category, context.counts, context.firm = Category.TASKS, True, True
        elif name and field is not None and items:
            value = Value(Piece(items[0].index, field.start, field.start), "", items=items)
            if self._field(context, field, value, last_index(items[-1])):
                return number
            context.counts = False
        elif heading.category in (Category.PROSE, Category.ROLLBACK):
            context.category, context.counts = heading.category, False
        for item in items:
            self._item(item, context)
        if not items and number < len(blocks):
            block = blocks[number]
            if isinstance(block, Table):
                self._table(block, context)
                return number + 1
        return number

    def _task_label(
        self,
        task: TaskDraft,
        field: Field | None,
        words: str,
        items: list[Item],
        blocks: list[Block],
        first: int,
        number: int,
    ) -> int:
        """A label inside a task's block.  Without a list it may have a code block; a list of fields goes on with
        the task, any other one is the value of the label."""
        if field is None:
            field = Field(words, 0, 0, bold=True, colon=True, label_start=0)
        if not items:
            block = blocks[number] if number < len(blocks) else None
            if isinstance(block, Code) and field_name(words) in ("run", "undo", "gate"):
                value = Value(
                    Piece(block.index, 0, 0), "", code=["\n".join(map(self.book.read, block.lines))]
                )
                give_field(self.plan, self.context, task, field, value, last_index(block))
                return number + 1
            return number
        if all(self._known(item) for item in items):
            return first
        value = Value(Piece(items[0].index, 0, 0), "", items=items)
        known = dict(task.places)
        give_field(self.plan, self.context, task, field, value, last_index(items[-1]))
        if field_name(words) in ("status", "progress", "evidence", "started", "finished"):
            # a list is no place for one value: nothing is written there
            task.places.clear()
            task.places.update(known)
        elif "insertion" in known:
            task.places["insertion"] = known["insertion"]
        return number

    def _known(self, item: Item) -> bool:
        return item.box is None and any(field_name(field.label) for field in item_fields(self.plan, item))

    def _context_of(self, words: str) -> Context:
        """Where the tables stand that are nested in a labelled list."""
        category = classify(words).category
        if category is not Category.ROLLBACK:
            return self.context
        context = copy.copy(self.context)
        context.category = category
        return context

    def _nested(self, blocks: Sequence[Block], context: Context) -> None:
        """Tables that are indented below bullets.  Their rows belong to the innermost task around, be it one of
        the bullets or the one whose block the bullets are."""
        waiting: list[tuple[Block, TaskDraft | None]] = [(block, None) for block in reversed(blocks)]
        while waiting:
            block, task = waiting.pop()
            if isinstance(block, Item):
                task = self.plan.of_items.get(block.index, task)
                waiting.extend((child, task) for child in reversed(block.children))
            elif isinstance(block, Table) and block.head.index not in self.plan.tables:
                inner = copy.copy(context)
                inner.task = task or self.task or self.listed or context.task
                for row in read_table(self.plan, inner, block):
                    if inner.task is not None:
                        inner.task.said = True
                    place_task(self.plan, inner, row)

    def _table(self, table: Table, context: Context) -> None:
        self.listed = None
        if context.task is None:
            self.task = None
        for task in read_table(self.plan, context, table):
            place_task(self.plan, context, task)
