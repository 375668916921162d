"""Bullets and checkboxes, and the fields among them."""

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
from crossfade.plans.labels import field_name, item_text, several
from crossfade.plans.model import TaskKind
from crossfade.plans.outline import Block, Code, Item
from crossfade.plans.records import Register, set_record_field
from crossfade.plans.registers import gate, read_below, read_entry, value_of
from crossfade.plans.statuses import BOXES
from crossfade.plans.taskblocks import (
    add_details,
    add_subtask,
    give_field,
    insertable_here,
    is_empty_box,
    is_named_task,
    item_fields,
    item_title,
    last_index,
    needs_code,
    task_of_item,
)

_TOTAL = re.compile(r"\btotal\b", re.I)
REGISTERS = {
    Category.RISKS: Register.RISKS,
    Category.DECISIONS: Register.DECISIONS,
    Category.METRICS: Register.METRICS,
    Category.MILESTONES: Register.MILESTONES,
    Category.GATES: Register.GATES,
    Category.STAKEHOLDERS: Register.STAKEHOLDERS,
    Category.WORKSTREAMS: Register.WORKSTREAMS,
}
"""The registers that headings and labels announce."""


class BulletReader:
    """Reads the bullets of a section into the collection; its heir reads what stands around them."""

    def __init__(self, plan: Collection, context: Context, *, head: bool) -> None:
        self.plan = plan
        self.book = plan.book
        self.base = context
        self.context = context
        self.head = head
        # under "Acceptance criteria" of a task stand its criteria, not more about the task
        self.task = None if context.category in REGISTERS else context.task
        self.own_task = self.task
        self.listed: TaskDraft | None = None
        self.begun = False
        """Whether there were lists or tables already: a block quote behind them is a remark."""
        self.waiting: tuple[TaskDraft, Field, Value, int] | None = None

    def read(self, blocks: list[Block]) -> None:
        """Read blocks in their order."""
        raise NotImplementedError

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
        if context.category in REGISTERS:
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

    def _item(self, item: Item, context: Context) -> None:
        if self.task is not None:
            self._item_of_task(item, context, self.task)
            return
        if context.category is Category.ROLLBACK:
            return
        if context.register is not None and context.last_record is not None:
            self._item_of_record(item, context)
            return
        register = REGISTERS.get(context.category)
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
        type(self)(self.plan, inner, head=False).read(item.children)

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
        if heading.category in REGISTERS and found[0].colon:
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
        register = REGISTERS[heading.category]
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
