"""Tables: which register a table is, and its rows.

Columns are known by their titles, in any order and case, with the synonyms of fields.  What a table is:

- a column ``Risk`` (or ``Mitigation`` beside ``Impact``/``Probability``) makes a table of risks, ``Decision`` one of
  decisions, ``Metric``/``KPI`` (or ``Current`` beside ``Target``) one of metrics, ``Milestone`` one of milestones,
  ``Trigger``/``Criterion``/``Gate`` one of gates, ``Stakeholder`` one of people, ``Workstream`` without a task one
  of workstreams; under the heading of a register the first column may be called as it likes;
- ``Phase`` as the first column, without a task: rows about phases, merged into those that have a heading;
- a column ``Task``, ``Item``, ``Activity``, ``Action``, ``Step``, ``Work item``, ``Feature``, ``Slice``, … with at least one
  column of a task beside it: tasks.  Without such a title a table with a status and one more of owner, time,
  estimate, progress, deliverable or dependencies (or a time and an owner or deliverable) is one of tasks too,
  named by its deliverable or else by its first column that is none of these;
- anything else is a table to read, not to run.

A table that calls its rows tasks and is none by these rules leaves a notice.

A row whose name is ``Total`` states a sum.  Rows with too few or too many cells are read as far as they go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from crossfade.plans.collection import Collection, Context, PhaseRow, TotalDraft
from crossfade.plans.commands import NOTHING
from crossfade.plans.drafts import PhaseDraft, TaskDraft, Value
from crossfade.plans.durations import find_amount, parse_estimate
from crossfade.plans.fields import set_phase_field, set_task_field
from crossfade.plans.headings import Category, classify, gate_kind, phase_name
from crossfade.plans.inline import plain
from crossfade.plans.labels import NAMES, cell_text, field_name
from crossfade.plans.model import GateKind, TaskKind
from crossfade.plans.outline import Piece, Row, Table
from crossfade.plans.records import TITLES, Register, record_field, set_record_field
from crossfade.plans.registers import name_decision, name_milestone, name_risk, new_record
from crossfade.plans.taskblocks import new_task, task_kind
from crossfade.plans.titles import split_title, undecorated

_TASK_TITLES = frozenset(
    [
        "task",
        "tasks",
        "item",
        "items",
        "activity",
        "activities",
        "action",
        "actions",
        "action item",
        "step",
        "steps",
        "work item",
        "work package",
        "feature",
        "slice",
        "story",
        "user story",
        "subtask",
        "sub-task",
        "todo",
        "to do",
        "to-do",
        "task name",
        "task description",
        "work",
        "job",
        "migration step",
        "what",
        "deliverable/task",
        "task / deliverable",
        "task/activity",
        "component/task",
        "ticket",
        "title",
        "name",
    ]
)
_SURELY_TASKS = frozenset(
    ("task", "tasks", "task name", "subtask", "sub-task", "action item", "work item", "work package")
)
"""Titles of a column that say what its rows are, whatever stands beside."""
_IDS = frozenset(
    [
        "id",
        "#",
        "no",
        "no.",
        "nr",
        "task id",
        "task #",
        "ref",
        "number",
        "task no",
        "task no.",
        "key",
        "slice id",
        "code",
    ]
)
_OF_TASKS = frozenset(
    (
        "status",
        "progress",
        "owner",
        "window",
        "estimate",
        "deliverables",
        "dependencies",
        "priority",
        "run",
        "started",
        "finished",
        "undo",
        "gate",
        "approve",
    )
)
_STRONG = frozenset(("owner", "window", "estimate", "progress", "deliverables", "dependencies"))
_TOTAL = re.compile(r"(?:grand |sub-?)?total\b|^sum$", re.I)
_COUNT = re.compile(r"\d{1,5}(?:[ \t]+\w+)?$")
_OF_CATEGORY = {
    Category.RISKS: Register.RISKS,
    Category.DECISIONS: Register.DECISIONS,
    Category.METRICS: Register.METRICS,
    Category.MILESTONES: Register.MILESTONES,
    Category.GATES: Register.GATES,
    Category.STAKEHOLDERS: Register.STAKEHOLDERS,
    Category.WORKSTREAMS: Register.WORKSTREAMS,
}


@dataclass(slots=True)
class _Shape:
    """How a table is read: ``title`` and ``id`` are columns, ``labels`` all titles in plain words."""

    labels: list[str]
    title: int
    id: int = -1
    register: Register | None = None
    phases: bool = False


def read_table(plan: Collection, context: Context, table: Table) -> list[TaskDraft]:
    """Take the rows of a table into the plan; returns the tasks among them, which have no phase yet."""
    labels = [plain(cell_text(plan.book, cell)) for cell in table.head.cells]
    plan.tables.add(table.head.index)
    shape = _shape(plan, context, table, labels)
    if shape is None:
        _leave(plan, context, table, labels)
        return []
    tasks: list[TaskDraft] = []
    for row in table.rows:
        if shape.title >= len(row.cells):
            continue
        name = plain(cell_text(plan.book, row.cells[shape.title]))
        if not name and shape.id < 0 and not any(cell.end > cell.start for cell in row.cells):
            continue
        if _TOTAL.match(name) or (not name and _is_total(plan, row)):
            _total(plan, context, shape, row, name)
        elif shape.phases:
            _phase_row(plan, shape, row)
        elif shape.register is not None:
            _record_row(plan, context, shape, row, shape.register)
        elif name and not NOTHING.match(name):
            if plan.full(row.index):
                break
            tasks.append(_task_row(plan, context, shape, row))
        elif name == "":
            plan.book.notice(row.index, "a row without a name; it is not read")
    return tasks


def _leave(plan: Collection, context: Context, table: Table, labels: list[str]) -> None:
    """Tell of a table that calls its rows tasks and is not read as such."""
    lower = [undecorated(label).lower().strip(" :") for label in labels]
    title = next((at for at, label in enumerate(lower) if label in _SURELY_TASKS), -1)
    counts = title >= 0 and _counts(plan, table, title)
    if title < 0 or not table.rows or (counts and lower[title] != "task"):
        return
    why = (
        "stands under how to roll back"
        if context.category is Category.ROLLBACK
        else "holds numbers there and no names"
        if counts
        else "has no column of a task beside it (Owner, Status, Time, Run, …)"
    )
    plan.book.notice(
        table.head.index, f"the table with the column {labels[title]!r} {why}; its rows are not read as tasks"
    )


def _shape(plan: Collection, context: Context, table: Table, labels: list[str]) -> _Shape | None:
    lower = [undecorated(label).lower().strip(" :") for label in labels]
    names = [NAMES.get(label, "") for label in lower]
    title = next((at for at, label in enumerate(lower) if label in _TASK_TITLES), -1)
    identifier = next((at for at, label in enumerate(lower) if label in _IDS), -1)
    register = _register(context, lower, names, title)
    if register is not None:
        return _Shape(labels, _title_column(register, lower), identifier, register)
    if context.category is Category.ROLLBACK:
        return None
    columns = {name for at, name in enumerate(names) if name in _OF_TASKS and at != title}
    if (
        title >= 0
        and lower[title] in ("name", "title", "what", "work", "job")
        and not columns & {"status", "progress", "estimate"}
    ):
        title = -1
    if title < 0 and lower and lower[0] in ("phase", "stage", "sprint", "wave") and columns:
        return _Shape(labels, 0, phases=True)
    if title >= 0:
        if columns and not _counts(plan, table, title):
            return _Shape(labels, title, identifier)
        return None
    enough = ("status" in columns and columns & _STRONG) or (
        "window" in columns and columns & {"owner", "deliverables"}
    )
    if not enough or context.category in (Category.METRICS, Category.RISKS):
        return None
    title = next((at for at, name in enumerate(names) if name == "deliverables"), -1)
    if title < 0:
        title = next(
            (at for at, name in enumerate(names) if (not name or name == "description") and at != identifier),
            -1,
        )
    return _Shape(labels, title, identifier) if title >= 0 else None


def _register(context: Context, lower: list[str], names: list[str], title: int) -> Register | None:
    said = set(lower)
    first = lower[0] if lower else ""
    work = title >= 0 and bool({"status", "owner", "estimate", "progress"} & set(names))
    if "risk" in said or (
        said & {"mitigation", "mitigation strategy", "mitigation plan"}
        and said & {"impact", "probability", "likelihood"}
    ):
        return Register.RISKS
    if "decision" in said and not work:
        return Register.DECISIONS
    if said & {"metric", "kpi", "indicator", "slo", "metrics", "kpis"} or (
        "current" in said and "target" in said
    ):
        return Register.METRICS if "trigger" not in said else Register.GATES
    if "milestone" in said and (first in ("milestone", "#", "id", "no", "no.") or title < 0):
        return Register.MILESTONES
    if (
        said
        & {
            "trigger",
            "criterion",
            "criteria",
            "quality gate",
            "gate",
            "rollback trigger",
            "success criteria",
            "condition",
        }
        and not work
    ):
        return Register.GATES
    if first in ("stakeholder", "stakeholders") or (
        context.category is Category.STAKEHOLDERS and not {"status", "estimate", "progress"} & set(names)
    ):
        return Register.STAKEHOLDERS
    if title < 0 and first in ("workstream", "stream", "track", "work stream"):
        return Register.WORKSTREAMS
    register = _OF_CATEGORY.get(context.category)
    if register in (Register.GATES, Register.MILESTONES) and not work:
        return register
    if register is Register.DECISIONS and not work:
        return register
    if register is Register.METRICS and said & {"target", "goal", "threshold"} and not work:
        return register
    if register is Register.RISKS and said & {
        "impact",
        "probability",
        "likelihood",
        "mitigation",
        "severity",
    }:
        return register
    return None


def _title_column(register: Register, lower: list[str]) -> int:
    """The column that names the entry: the one called so, else the first that is nothing else."""
    wanted = TITLES[register]
    if register is Register.DECISIONS:
        # "Decision" names the entry unless another column does
        if any(record_field(register, label) == "title" for label in lower):
            return next(at for at, label in enumerate(lower) if record_field(register, label) == "title")
        return lower.index("decision") if "decision" in lower else 0
    if register is Register.METRICS and any(label in ("metric", "kpi", "indicator") for label in lower):
        return next(at for at, label in enumerate(lower) if label in ("metric", "kpi", "indicator"))
    if register is Register.GATES:
        for label in (
            "trigger",
            "gate",
            "quality gate",
            "criterion",
            "criteria",
            "success criteria",
            "condition",
            "rollback trigger",
        ):
            if label in lower:
                return lower.index(label)
    named = [at for at, label in enumerate(lower) if record_field(register, label) == wanted]
    if named:
        return named[0]
    return next((at for at, label in enumerate(lower) if not record_field(register, label)), 0)


def _counts(plan: Collection, table: Table, title: int) -> bool:
    """Whether a column ``Tasks`` holds numbers of tasks (``12 tasks``) and no names."""
    cells = [
        plain(cell_text(plan.book, row.cells[title])) for row in table.rows[:50] if title < len(row.cells)
    ]
    return bool(cells) and sum(bool(_COUNT.match(cell)) for cell in cells) * 2 > len(cells)


def _cell(plan: Collection, piece: Piece) -> Value:
    return Value(piece, cell_text(plan.book, piece))


def _task_row(plan: Collection, context: Context, shape: _Shape, row: Row) -> TaskDraft:
    book = plan.book
    piece = row.cells[shape.title]
    title = split_title(plain(cell_text(book, piece)).replace("\n", " "))
    task = new_task(plan, context, title, task_kind(title, TaskKind.ROW), piece)
    for at, cell in enumerate(row.cells[: len(shape.labels)]):
        label = shape.labels[at]
        if at == shape.id and at != shape.title:
            identifier = split_title(plain(cell_text(book, cell)), numbers=False)
            text = identifier.id or identifier.text
            if text and not NOTHING.match(text):
                task.id, task.weak = text, text.isdigit()
            continue
        if at == shape.title:
            if field_name(label) == "deliverables":
                task.values["deliverables"] = tuple(filter(None, plain(cell_text(book, cell)).split("\n")))
            continue
        name = field_name(label)
        lower = label.lower().strip()
        if lower in ("phase", "stage") or (not name and lower in ("sprint",)):
            task.values.setdefault(
                "_phase", phase_name(plain(cell_text(book, cell))) or plain(cell_text(book, cell))
            )
            continue
        if name == "description" and lower in ("action", "what") and not cell.end > cell.start:
            continue
        if cell.end > cell.start or name in ("status", "progress", "started", "finished", "evidence"):
            if name == "dependencies" and not plain(cell_text(book, cell)):
                continue
            set_task_field(book, task, label, _cell(plan, cell))
    task.places.pop("insertion", None)
    return task


def _record_row(plan: Collection, context: Context, shape: _Shape, row: Row, register: Register) -> None:
    book = plan.book
    record = new_record(plan, context, register, row.index)
    name = plain(cell_text(book, row.cells[shape.title])).replace("\n", " ")
    for at, cell in enumerate(row.cells[: len(shape.labels)]):
        if at == shape.title:
            continue
        label = shape.labels[at]
        if at == shape.id:
            label = "id"
        if cell.end > cell.start:
            taken = set_record_field(book, record, register, label, _cell(plan, cell))
            if not taken and register is Register.GATES and gate_kind(label) is None and at > shape.title:
                record.values.setdefault("threshold", plain(cell_text(book, cell)))
    if register is Register.RISKS:
        name_risk(record, name)
    elif register is Register.DECISIONS:
        name_decision(record, name)
    elif register is Register.MILESTONES:
        name_milestone(record, name, record.values.get("window"))
    elif register is Register.GATES:
        record.values["text"] = name
        title = shape.labels[shape.title].lower()
        if record.gate is None:
            record.gate = GateKind.ROLLBACK if "trigger" in title else gate_kind(title) or GateKind.SUCCESS
        elif "trigger" in title:
            record.gate = GateKind.ROLLBACK
        record.refers = record.refers or phase_name(name)
    else:
        record.values[TITLES[register]] = name
    if not name:
        plan.records[register].remove(record)
        book.notice(row.index, "a row without a name; it is not read")


def _phase_row(plan: Collection, shape: _Shape, row: Row) -> None:
    """A row of a table of phases: kept until all phases are known."""
    book = plan.book
    heading = classify(plain(cell_text(book, row.cells[0])))
    draft = PhaseDraft(heading.name or heading.title, heading.title, row.index, window=heading.window)
    for at, cell in enumerate(row.cells[: len(shape.labels)]):
        if at > 0 and cell.end > cell.start:
            set_phase_field(book, draft, shape.labels[at], _cell(plan, cell))
    plan.rows.append(PhaseRow(draft))


def _is_total(plan: Collection, row: Row) -> bool:
    return any(_TOTAL.match(plain(cell_text(plan.book, cell))) for cell in row.cells)


def _total(plan: Collection, context: Context, shape: _Shape, row: Row, name: str) -> None:
    """The sum that a last row states, if it states one in hours."""
    for at, cell in enumerate(row.cells[: len(shape.labels)]):
        text = plain(cell_text(plan.book, cell))
        if at == shape.title or not text or field_name(shape.labels[at]) != "estimate":
            continue
        estimate = parse_estimate(text, bare_hours=True)
        amount = find_amount(text)
        if estimate is not None and (amount is None or amount.units):
            plan.totals.append(
                TotalDraft(
                    raw=f"{name}: {text}" if name else text,
                    estimate=estimate,
                    index=row.index,
                    refers=phase_name(name),
                    phase=context.phase,
                    workstream=context.workstream,
                )
            )
            return
