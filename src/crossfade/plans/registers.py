"""Registers that are written as lists: one bullet, one entry.

``- **Data loss**: …`` under Risks, ``1. **M1: Schema ready** (Week 4)`` under Milestones, ``- [ ] p95 < 200 ms`` under
Success criteria, ``- Uptime: 99.9% → 99.95%`` under KPIs.  Fields may stand in bullets below the entry, or beside it
(``- **Risk**: …`` begins an entry, ``- **Impact**: …`` right after it belongs to it).
"""

from __future__ import annotations

import copy
import re

from crossfade.plans.collection import Collection, Context
from crossfade.plans.drafts import Record, Value
from crossfade.plans.headings import decision_parts, milestone_parts
from crossfade.plans.inline import Field, fields, plain
from crossfade.plans.labels import item_text, piece_text
from crossfade.plans.model import GateKind
from crossfade.plans.outline import Block, Code, Item, Piece, Text
from crossfade.plans.records import TITLES, Register, parse_quantity, record_field, set_record_field
from crossfade.plans.statuses import BOXES
from crossfade.plans.titles import Title, split_title
from crossfade.plans.windows import find_window

_ARROW = re.compile(r"[ \t]*(?:→|⇒|->|=>)[ \t]*")
_FROM_TO = re.compile(r"(?:from[ \t]+)(?P<current>.+?)[ \t]+to[ \t]+(?P<target>.+)$", re.I)
_NOW = re.compile(r"(?:current(?:ly)?|baseline|today|now)[ \t]*:?[ \t]*(?P<current>[^,;()]+)", re.I)
_THEN = re.compile(r"target[ \t]*:?[ \t]*(?P<target>[^,;()]+)", re.I)
_COMPARES = re.compile(
    r"[ \t]+(?=(?:<=|>=|==|<|>|≤|≥|under |below |less than |at most |over |above |at least |within )[ \t]*[~$€£]?\d)",
    re.I,
)
_MITIGATION = re.compile(r"[ \t]*(?:[-–—;.|(]|→|->|=>)?[ \t]*\bmitigat(?:ion|ed by|e by)[ \t]*:?[ \t]*", re.I)
_BOLD_NAME = re.compile(r"(?:\*\*|__)(.{1,200}?)(?:\*\*|__)[ \t]*(.*)$")
_LEVELS = r"(?:very[ -])?(?:high|medium|low|critical|severe|minor|major|moderate)"
_LEVEL_BRACKET = re.compile(
    rf"[ \t]*[(\[](?P<one>{_LEVELS})(?:[ \t]*/[ \t]*(?P<two>{_LEVELS}))?[ \t]*(?:risk|probability|impact)?[)\]]",
    re.I,
)
_GATE_LABELS = frozenset(
    ("gate", "quality gate", "criterion", "trigger", "rollback trigger", "exit criterion")
)
_RISK_ID = re.compile(
    r"(?P<id>R(?:isk)?[- ]?#?\d{1,3})[ \t]*(?:[:.)–—|]|-(?=[ \t]))[ \t]*(?P<rest>.+)$", re.I
)


def read_entry(plan: Collection, context: Context, register: Register, item: Item) -> None:
    """One bullet of a register's list."""
    book = plan.book
    line = book.lines[item.index].text
    first = item.pieces[0]
    found = fields(line, first.start, first.end)
    last = context.last_record
    if found and found[0].bold and last is not None and item.box is None:
        name = record_field(register, book.read(found[0].label))
        begins = TITLES[register] if register is not Register.DECISIONS else "outcome"
        if name and name not in (begins, TITLES[register]):
            for field in found:
                set_record_field(book, last, register, book.read(field.label), value_of(plan, item, field))
            return
    if register is Register.GATES and _has_criteria(plan, item):
        title = plain(item_text(book, item)).rstrip(":")
        for child in item.children:
            if isinstance(child, Item):
                gate(plan, context, child, f"{title}: ")
        return
    if (
        register is Register.METRICS
        and item.box is not None
        and not re.search(r"\d", plain(item_text(book, item)))
    ):
        # a condition without a number is no metric
        register = Register.GATES
        context = copy.copy(context)
        context.gate = GateKind.SUCCESS
    record = new_record(plan, context, register, item.index)
    if register is Register.GATES:
        _gate(plan, record, context, item, "")
    else:
        _BUILD[register](plan, context, record, item, found[0] if found else None)
    read_below(plan, record, register, item.children)


def gate(plan: Collection, context: Context, item: Item, before: str = "") -> Record:
    """One bullet as a gate of the context's kind; ``before`` is put before its text."""
    record = new_record(plan, context, Register.GATES, item.index)
    _gate(plan, record, context, item, before)
    read_below(plan, record, Register.GATES, item.children)
    return record


def new_record(plan: Collection, context: Context, register: Register, index: int) -> Record:
    """An empty entry of a register, in its place in the document."""
    record = Record(
        index, {}, phase=context.phase, refers=context.refers, task=context.task, gate=context.gate
    )
    if register is Register.GATES:
        record.values["path"] = context.path
    plan.records[register].append(record)
    context.last_record, context.last_register = record, register
    return record


def value_of(plan: Collection, item: Item, field: Field) -> Value:
    """The value of a field in a bullet: the rest of its line and paragraph, what is nested below, code blocks."""
    book = plan.book
    first = item.pieces[0]
    text = book.read(book.lines[first.index].text[field.start : field.end])
    if len(item.pieces) > 1 and field.end >= len(book.lines[first.index].text[: first.end].rstrip("\\ \t")):
        text = " ".join([text, *(piece_text(book, piece) for piece in item.pieces[1:])]).strip()
    for child in item.children:
        if isinstance(child, Text):
            text = " ".join([text, *(piece_text(book, piece) for piece in child.pieces)]).strip()
    return Value(
        piece=Piece(first.index, field.start, field.end),
        text=text,
        items=[child for child in item.children if isinstance(child, Item)],
        code=["\n".join(map(book.read, child.lines)) for child in item.children if isinstance(child, Code)],
    )


def read_below(plan: Collection, record: Record, register: Register, blocks: list[Block]) -> None:
    """Fields of an entry in the bullets or lines below it; bullets that are none become a milestone's criteria
    or are left out."""
    book = plan.book
    criteria: list[str] = []
    for block in blocks:
        if isinstance(block, Item):
            first = block.pieces[0]
            found = fields(book.lines[first.index].text, first.start, first.end)
            taken = False
            for field in found:
                taken |= set_record_field(
                    book, record, register, book.read(field.label), value_of(plan, block, field)
                )
            if not taken:
                criteria.append(plain(item_text(book, block)))
        elif isinstance(block, Text):
            for piece in block.pieces:
                for field in fields(book.lines[piece.index].text, piece.start, piece.end):
                    value = Value(
                        Piece(piece.index, field.start, field.end),
                        book.read(book.lines[piece.index].text[field.start : field.end]),
                    )
                    set_record_field(book, record, register, book.read(field.label), value)
    if register is Register.MILESTONES and criteria:
        record.values["criteria"] = (*record.values.get("criteria", ()), *criteria)


def _has_criteria(plan: Collection, item: Item) -> bool:
    """Whether the bullets below a gate's bullet are the conditions themselves, and it is only their title."""
    nested = [child for child in item.children if isinstance(child, Item)]
    if not nested:
        return False
    for child in nested:
        first = child.pieces[0]
        found = fields(plan.book.lines[first.index].text, first.start, first.end)
        if found and record_field(Register.GATES, found[0].label):
            return False
    return True


def set_box(plan: Collection, record: Record, item: Item) -> None:
    """The status that a checkbox says."""
    if item.box is None:
        return
    line = plan.book.lines[item.index].text
    record.places["box"] = plan.book.span(item.index, item.box, item.box + 1)
    status = BOXES.get(line[item.box])
    if status is not None:
        record.values.setdefault("status", status)
        record.values.setdefault("status_text", f"[{line[item.box]}]")


def _titled(plan: Collection, record: Record, item: Item) -> Title:
    title = split_title(plain(item_text(plan.book, item)), numbers=False)
    set_box(plan, record, item)
    if title.status is not None and item.box is None:
        record.values["status"], record.values["status_text"] = title.status.status, title.status_text
    if title.owner:
        record.values["owner"] = title.owner
    return title


def _gate(plan: Collection, record: Record, context: Context, item: Item, before: str) -> None:
    set_box(plan, record, item)
    text = plain(item_text(plan.book, item))
    label, colon, value = text.partition(":")
    if colon and value.strip() and label.lower().strip() in _GATE_LABELS:
        text = value.strip()
    parts = _ARROW.split(text, maxsplit=1)
    if context.gate is GateKind.ROLLBACK and len(parts) == 2 and parts[1]:
        text, record.values["action"] = parts[0], parts[1]
    record.values["text"] = before + text.rstrip(":")


def _risk(plan: Collection, context: Context, record: Record, item: Item, field: Field | None) -> None:
    title = _titled(plan, record, item)
    for name in ("status",):
        record.values.pop(name, None)
    text = plain(item_text(plan.book, item))
    if field is not None and field.bold:
        label = plain(plan.book.read(field.label))
        value = plain(value_text(plan, item, field))
        if record_field(Register.RISKS, label) == "title":
            text = value
        else:
            mitigation = _MITIGATION.search(value)
            if mitigation:
                record.values["mitigation"] = value[mitigation.end() :].strip(" )")
                value = value[: mitigation.start()]
            target = "mitigation" if context.mitigates and not mitigation else "description"
            if value:
                record.values[target] = value
            text = f"{label} ({plan.book.read(field.aside)})" if field.aside else label
    else:
        text = title.text if title.status is None else text
        mitigation = _MITIGATION.search(text)
        parts = _ARROW.split(text, maxsplit=1)
        if mitigation and mitigation.start() > 0:
            record.values["mitigation"] = text[mitigation.end() :].strip(" )")
            text = text[: mitigation.start()]
        elif len(parts) == 2:
            text, record.values["mitigation"] = parts
    if title.priority:
        record.values["severity"] = title.priority
    levels = _LEVEL_BRACKET.search(text)
    if levels:
        if levels["two"]:
            record.values["probability"], record.values["impact"] = levels["one"], levels["two"]
        else:
            record.values["severity"] = levels["one"]
        text = (text[: levels.start()] + text[levels.end() :]).strip()
    name_risk(record, text)


def name_risk(record: Record, text: str) -> None:
    """Title and id of a risk: ``R3: Data loss``."""
    found = _RISK_ID.match(text)
    if found:
        record.values["id"], text = re.sub(r"^risk[ -]?#?", "R", found["id"], flags=re.I), found["rest"]
    record.values["title"] = (split_title(text, numbers=False).text or text).strip(" .:;–—-")


def value_text(plan: Collection, item: Item, field: Field) -> str:
    """The words of a bullet's field without what is nested below."""
    return value_of(plan, Item(item.columns, item.content, item.marker, item.prefix, item.pieces), field).text


def _decision(plan: Collection, _context: Context, record: Record, item: Item, field: Field | None) -> None:
    title = _titled(plan, record, item)
    record.values.pop("status", None)
    text = title.text
    if field is not None and field.bold:
        label = plain(plan.book.read(field.label))
        value = plain(value_text(plan, item, field))
        if label.lower() == "decision":
            text = value
        else:
            text = label
            if value:
                record.values["outcome"] = value
    name_decision(record, text)
    found = find_window(plain(item_text(plan.book, item)))
    if found and found.window.start and found.window.start.date:
        record.values["date"] = found.window.start.date


def name_decision(record: Record, text: str) -> None:
    """Title and id of a decision: ``ADR-003: Use Vault``."""
    identifier, name = decision_parts(text)
    if identifier:
        record.values["id"] = identifier
    record.values["title"] = name.strip(" .:;–—-")


def _metric(plan: Collection, _context: Context, record: Record, item: Item, field: Field | None) -> None:
    set_box(plan, record, item)
    record.values.pop("status", None)
    record.values.pop("status_text", None)
    record.places.clear()
    text = plain(item_text(plan.book, item))
    if field is not None and field.colon:
        name, value = plain(plan.book.read(field.label)), plain(value_text(plan, item, field))
    elif ": " in text:
        name, value = text.split(": ", 1)
    else:
        compares = _COMPARES.search(text)
        name, value = (text[: compares.start()], text[compares.end() :]) if compares else (text, "")
    record.values["name"] = name.strip()
    set_metric(record, value)


def set_metric(record: Record, value: str) -> None:
    """Current and target of a metric out of one text: ``150 ms → < 200 ms``, ``from 5 to 8``, ``target: 99.9%``."""
    parts = _ARROW.split(value, maxsplit=1)
    from_to, now, then = _FROM_TO.search(value), _NOW.search(value), _THEN.search(value)
    if len(parts) == 2:
        record.values["current"], record.values["target"] = map(parse_quantity, parts)
    elif from_to:
        record.values["current"] = parse_quantity(from_to["current"])
        record.values["target"] = parse_quantity(from_to["target"])
    elif now or then:
        if now:
            record.values["current"] = parse_quantity(now["current"])
        target = then["target"] if then else value[: now.start()].strip(" (,;–—-") if now else ""
        if target:
            record.values["target"] = parse_quantity(target)
    elif value:
        record.values["target"] = parse_quantity(value)


def _milestone(plan: Collection, _context: Context, record: Record, item: Item, field: Field | None) -> None:
    title = _titled(plan, record, item)
    text = title.text
    window = title.window
    if field is not None and field.bold and field.colon:
        label = plain(plan.book.read(field.label))
        value = plain(value_text(plan, item, field))
        aside = find_window(plan.book.read(field.aside)) if field.aside else None
        window = window or (aside.window if aside else None)
        in_label = find_window(label)
        if in_label and in_label.start == 0 and in_label.end == len(label):
            window, text = window or in_label.window, split_title(value, numbers=False).text
        elif milestone_parts(label)[0] and milestone_parts(label)[1] == label:
            # "**Milestone 1**: Kick-off" has its name behind the label
            text = f"{label}: {value}"
        else:
            text = label
            if value:
                record.values["description"] = value
    else:
        bold = _BOLD_NAME.match(item_text(plan.book, item))
        behind = plain(bold[2]) if bold else ""
        if bold and behind:
            # "**M2: All agree** (Week 6) - measured on a weekend"
            found = find_window(behind)
            text, window = plain(bold[1]), window or (found.window if found else None)
            behind = re.sub(r"^\([^()]*\)", "", behind) if found else behind
            behind = behind.strip(" \t-–—:,")
            if behind and not (found and found.window.raw == behind):
                record.values["description"] = behind
    name_milestone(record, text, window)


def name_milestone(record: Record, text: str, window: object = None) -> None:
    """Title, id and time of a milestone: ``M1: Schema ready (Week 4)``, ``Schema ready — Week 4``."""
    title = split_title(text, numbers=False)
    identifier, name = milestone_parts(title.text)
    window = window or title.window
    if window is None:
        found = find_window(name)
        if found and found.end == len(name) and found.start > 0:
            window, name = found.window, name[: found.start].strip(" ,–—-(:")
    if identifier:
        record.values["id"] = identifier
    if window is not None:
        record.values["window"] = window
    record.values["title"] = name.strip(" :") or identifier


def _person(plan: Collection, _context: Context, record: Record, item: Item, field: Field | None) -> None:
    text = plain(item_text(plan.book, item))
    name, value = text, ""
    if field is not None:
        name, value = plain(plan.book.read(field.label)), plain(value_text(plan, item, field))
        if field.aside:
            record.values["role"] = plan.book.read(field.aside)
    bracket = re.search(r"[ \t]*\(([^()]{1,60})\)[ \t]*$", name)
    if bracket:
        record.values["role"], name = bracket[1], name[: bracket.start()]
    record.values["name"] = name.strip()
    if value:
        record.values["responsibility"] = value


def _workstream(plan: Collection, _context: Context, record: Record, item: Item, field: Field | None) -> None:
    title = split_title(plain(item_text(plan.book, item)), numbers=False)
    if title.owner:
        record.values["owner"] = title.owner
    record.values["name"] = title.text
    if field is not None:
        record.values["name"] = plain(plan.book.read(field.label))
        value = split_title(plain(value_text(plan, item, field)), numbers=False)
        if value.text:
            record.values["description"] = value.text


_BUILD = {
    Register.RISKS: _risk,
    Register.DECISIONS: _decision,
    Register.METRICS: _metric,
    Register.MILESTONES: _milestone,
    Register.STAKEHOLDERS: _person,
    Register.WORKSTREAMS: _workstream,
}
