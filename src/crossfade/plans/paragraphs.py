"""The blocks under one heading: bold title lines, labelled lists, fields, bullets, checkboxes, tables."""

from __future__ import annotations

import copy
import re

from crossfade.plans.belonging import open_phase, place_task
from crossfade.plans.collection import Collection, Context, PhaseRow, TotalDraft
from crossfade.plans.drafts import PhaseDraft, TaskDraft, Value
from crossfade.plans.durations import find_amount, parse_estimate
from crossfade.plans.fields import set_phase_field
from crossfade.plans.headings import PHASE_WORD, Category, Heading, classify, gate_kind, phase_name
from crossfade.plans.inline import Field, fields, plain
from crossfade.plans.labels import field_name, item_text, piece_text, several
from crossfade.plans.model import TaskKind
from crossfade.plans.outline import Block, Code, Item, Piece, Rule, Table, Text
from crossfade.plans.records import Register, record_field, set_record_field
from crossfade.plans.registers import gate, read_below, read_entry, value_of
from crossfade.plans.statuses import BOXES
from crossfade.plans.tables import read_table
from crossfade.plans.taskblocks import (
    add_details,
    add_subtask,
    end_of_prose,
    give_field,
    give_text,
    insertable_here,
    is_empty_box,
    is_named_task,
    item_fields,
    item_title,
    last_index,
    line_fields,
    needs_code,
    new_task,
    task_of_item,
)

_BOLD_LINE = re.compile(r"[^\w*`\[(]{0,6}(?P<mark>\*\*|__)(?P<inner>[^*_].*?)(?P=mark)(?P<tail>.*)$")
_TAIL = re.compile(r"[ \t]*:?[ \t]*(?:[*_]{0,2}[(\[].{1,60}[)\]][*_]{0,2})?[ \t]*:?$")
_PLAIN_TASK = re.compile(r"(?:task|slice)[ \t]+[A-Za-z]{0,4}\d[\w.-]{0,10}[ \t]*:[ \t]+\S", re.I)
_TOTAL = re.compile(r"\btotal\b", re.I)
_REGISTERS = {
    Category.RISKS: Register.RISKS,
    Category.DECISIONS: Register.DECISIONS,
    Category.METRICS: Register.METRICS,
    Category.MILESTONES: Register.MILESTONES,
    Category.GATES: Register.GATES,
    Category.STAKEHOLDERS: Register.STAKEHOLDERS,
    Category.WORKSTREAMS: Register.WORKSTREAMS,
}


class BlockReader:
    """Reads the blocks of one section (or of one bullet that is a phase) into the collection."""

    def __init__(self, plan: Collection, context: Context, *, head: bool) -> None:
        self.plan = plan
        self.book = plan.book
        self.base = context
        self.context = context
        self.head = head
        # under "Acceptance criteria" of a task stand its criteria, not more about the task
        self.task = None if context.category in _REGISTERS else context.task
        self.own_task = self.task
        self.listed: TaskDraft | None = None
        self.begun = False
        """Whether there were lists or tables already: a block quote behind them is a remark."""
        self.waiting: tuple[TaskDraft, Field, Value, int] | None = None

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
                    number = self._labelled(label, blocks, number)
            elif isinstance(block, Item):
                self.begun = True
                self._item(block, self.context)
            elif isinstance(block, Table):
                self.begun = True
                self._table(block, self.context)
            elif isinstance(block, Rule):
                self.task, self.listed = self.own_task, None
        self._resolve_waiting(None)

    def _resolve_waiting(self, block: Block | None) -> bool:
        """Give a field the code block that follows it; True when the block was taken."""
        if self.waiting is None:
            return False
        task, field, value, last = self.waiting
        self.waiting = None
        taken = isinstance(block, Code)
        if isinstance(block, Code):
            value.code = ["\n".join(map(self.book.read, block.lines))]
            last = last_index(block)
        give_field(self.plan, self.context, task, field, value, last)
        return taken

    # --- paragraphs -----------------------------------------------------------------

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

    def _field(self, context: Context, field: Field, value: Value, last: int) -> bool:
        """A field for the task, register entry, phase or document that is open; False when nothing took it."""
        label = self.book.read(field.label)
        if self._total(context, label, value):
            return True
        if self.task is not None:
            give_field(self.plan, context, self.task, field, value, last)
            return True
        if context.register is not None and context.last_record is not None:
            return set_record_field(self.book, context.last_record, context.register, label, value)
        if context.category in _REGISTERS:
            return False
        kind = gate_kind(label)
        if kind is not None:
            inner = copy.copy(context)
            inner.gate, inner.last_record = kind, None
            for item in value.items:
                gate(self.plan, inner, item)
            return bool(value.items)
        target = context.phase if context.phase is not None else self.plan.document if self.head else None
        if target is None or context.category is Category.ROLLBACK:
            return False
        if context.category not in (Category.PHASE, Category.NEUTRAL) and not self.head:
            return False
        return set_phase_field(self.book, target, label, value)

    def _total(self, context: Context, label: str, value: Value) -> bool:
        """``**Day 51 Total**: 7 hours``: a stated sum of hours."""
        if not _TOTAL.search(label):
            return False
        text = plain(value.text)
        amount = find_amount(text)
        estimate = parse_estimate(text)
        if amount is None or estimate is None or not amount.units <= {"h", "m"}:
            return False
        self.plan.totals.append(
            TotalDraft(
                raw=f"{plain(label)}: {text}",
                estimate=estimate,
                index=value.piece.index,
                refers=phase_name(label) or context.refers,
                phase=context.phase,
                workstream=context.workstream,
            )
        )
        return True

    # --- a label and the list below it --------------------------------------------------

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
        if heading.category in _REGISTERS:
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

    # --- bullets ------------------------------------------------------------------------

    def _item(self, item: Item, context: Context) -> None:
        if self.task is not None:
            self._item_of_task(item, context, self.task)
            return
        if context.category is Category.ROLLBACK:
            return
        if context.register is not None and context.last_record is not None:
            self._item_of_record(item, context)
            return
        register = _REGISTERS.get(context.category)
        if register is not None:
            read_entry(self.plan, context, register, item)
            return
        if item.box is not None or is_named_task(self.plan, item):
            self._work(item, context)
            return
        if self._field_item(item, context):
            return
        heading = classify(plain(item_text(self.book, item))) if self._may_be(item) else None
        if heading and heading.category is Category.PHASE and heading.name and _has_items(item):
            self._phase_item(item, context, heading)
        elif heading and heading.category is Category.MILESTONE:
            read_entry(self.plan, copy.copy(context), Register.MILESTONES, item)
        elif context.category is Category.DELIVERABLES:
            if context.phase is not None:
                value = Value(item.pieces[0], "", items=[item])
                context.phase.deliverables += several(self.book, value)
        elif _has_boxes(item) or (context.counts and self._is_work(item, context)):
            if self.plan.full(item.index):
                return
            task = task_of_item(self.plan, context, item, TaskKind.BULLET)
            # a bullet with checkboxes below it or with a time of its own is no remark
            task.said = bool(task.subtasks or {"window", "estimate", "status", "owner"} & task.values.keys())
            task.plain = not context.firm
            place_task(self.plan, context, task)

    def _may_be(self, item: Item) -> bool:
        """Whether a bullet may name a phase or a milestone."""
        piece = item.pieces[0]
        return bool(PHASE_WORD.search(self.book.lines[item.index].text, piece.start, piece.start + 60))

    def _item_of_task(self, item: Item, context: Context, task: TaskDraft) -> None:
        if item.box is not None:
            add_subtask(self.plan, context, task, item)
            return
        if is_named_task(self.plan, item):
            title, _ = item_title(self.plan, item)
            if self.base.task is not None or (task.id and title.id.startswith(task.id + ".")):
                add_subtask(self.plan, context, task, item)
            else:
                self.task = None
                self._work(item, context)
            return
        found = item_fields(self.plan, item)
        if not found:
            if context.category is not Category.PROSE:
                add_details(self.plan, task, [item])
            return
        for field in found:
            value = value_of(self.plan, item, field)
            if self._total(context, self.book.read(field.label), value):
                continue
            if needs_code(field, value):
                self.waiting = (task, field, value, last_index(item))
            else:
                give_field(self.plan, context, task, field, value, last_index(item))

    def _item_of_record(self, item: Item, context: Context) -> None:
        record, register = context.last_record, context.register
        if record is None or register is None:
            return
        if (
            item.box is not None
            and register is Register.MILESTONES
            and context.category is Category.MILESTONE
        ):
            self._work(item, context)
            return
        read_below(self.plan, record, register, [item])

    def _work(self, item: Item, context: Context) -> None:
        """A checkbox, or a bullet that calls itself a task."""
        if item.box is not None and (self._is_phase_box(item) or is_empty_box(self.plan, item)):
            return
        if self.plan.full(item.index):
            return
        named = is_named_task(self.plan, item)
        kind = TaskKind.CHECKBOX if item.box is not None else TaskKind.BULLET
        task = task_of_item(self.plan, context, item, kind)
        place_task(self.plan, context, task)
        if named and item.box is None:
            _insertable_below(self.plan, task, item)
        self.listed = task if named else None

    def _is_phase_box(self, item: Item) -> bool:
        """``- [x] **Phase 1: Foundation**`` in a document where that phase has a heading: its status."""
        if not self.plan.phase_names or not self._may_be(item):
            return False
        heading = classify(plain(item_text(self.book, item)))
        if heading.category is not Category.PHASE or heading.name.lower() not in self.plan.phase_names:
            return False
        if not heading.name.lower().startswith(("phase", "stage", "sprint", "wave", "mvp", "iteration")):
            return False
        row = PhaseDraft(heading.name, heading.title, item.index)
        status = BOXES.get(self.book.lines[item.index].text[item.box or 0])
        if status is not None:
            row.values["status"], row.values["status_text"] = (
                status,
                "[x]" if status.value == "done" else "[ ]",
            )
        self.plan.rows.append(PhaseRow(row))
        return True

    def _phase_item(self, item: Item, context: Context, heading: Heading) -> None:
        inner = copy.copy(context)
        inner.path = (*context.path, heading.title)
        inner.category, inner.heading, inner.index = Category.PHASE, heading.title, item.index
        inner.counts, inner.last_record = True, None
        open_phase(self.plan, inner, heading, item.index)
        BlockReader(self.plan, inner, head=False).read(item.children)

    def _field_item(self, item: Item, context: Context) -> bool:
        """A bullet that is a field of the task before it, of the phase, or of the document."""
        piece = item.pieces[0]
        found = fields(self.book.lines[piece.index].text, piece.start, piece.end)
        if not found:
            return False
        label = self.book.read(found[0].label)
        if self.listed is not None and (field_name(label) or (found[0].bold and gate_kind(label))):
            for field in found:
                value = value_of(self.plan, item, field)
                if needs_code(field, value):
                    self.waiting = (self.listed, field, value, last_index(item))
                else:
                    give_field(self.plan, context, self.listed, field, value, last_index(item))
            return True
        heading = classify(label)
        if heading.category in _REGISTERS and found[0].colon:
            self._register_item(item, context, heading, found[0])
            return True
        if not found[0].bold and not field_name(label) and not _TOTAL.search(label):
            return False
        taken = False
        for field in found:
            taken |= self._field(context, field, value_of(self.plan, item, field), last_index(item))
        return taken or heading.category is Category.PROSE

    def _register_item(self, item: Item, context: Context, heading: Heading, field: Field) -> None:
        """``- **Risks**:`` with bullets below it, or with one entry behind it."""
        inner = copy.copy(context)
        inner.category, inner.gate, inner.last_record, inner.register = (
            heading.category,
            heading.gate,
            None,
            None,
        )
        inner.refers = heading.refers or context.refers
        inner.mitigates = "mitigation" in heading.title.lower()
        register = _REGISTERS[heading.category]
        value = value_of(self.plan, item, field)
        if value.items:
            for child in value.items:
                read_entry(self.plan, inner, register, child)
        elif value.text:
            shortened = Item(
                item.columns, item.content, item.marker, item.prefix, [value.piece, *item.pieces[1:]]
            )
            read_entry(self.plan, inner, register, shortened)

    def _is_work(self, item: Item, context: Context) -> bool:
        """Whether a plain bullet is a task here: a sentence, or under a phase itself also ``**Name**: words``."""
        piece = item.pieces[0]
        text = plain(item_text(self.book, item))
        if not text or not re.search(r"\w", text):
            return False
        found = fields(self.book.lines[piece.index].text, piece.start, piece.end)
        labelled = bool(found) and found[0].bold and found[0].colon
        if labelled and context.category is Category.NEUTRAL and found[0].end > found[0].start:
            return False
        if labelled and classify(self.book.read(found[0].label)).category is Category.PROSE:
            return False
        return not (found and not found[0].bold and classify(found[0].label).category is Category.PROSE)

    # --- tables -----------------------------------------------------------------------

    def _table(self, table: Table, context: Context) -> None:
        self.listed = None
        if context.task is None:
            self.task = None
        for task in read_table(self.plan, context, table):
            place_task(self.plan, context, task)


def _has_items(item: Item) -> bool:
    return any(isinstance(child, Item) for child in item.children)


def _has_boxes(item: Item) -> bool:
    waiting = list(item.children)
    while waiting:
        child = waiting.pop()
        if isinstance(child, Item):
            if child.box is not None:
                return True
            waiting.extend(child.children)
    return False


def _insertable_below(plan: Collection, task: TaskDraft, item: Item) -> None:
    """A named bullet with no field yet takes fields as bullets nested in it."""
    if "insertion" not in task.places:
        indent = item.prefix[: len(item.prefix) - len(item.prefix.lstrip(" \t"))]
        insertable_here(plan, task, item.pieces[-1].index, f"{indent}  ")
