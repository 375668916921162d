"""The last step of reading: ids, the phases' own rows and totals, dependencies, and the model itself."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from crossfade.plans.collection import Collection, TotalDraft
from crossfade.plans.dependencies import Targets, resolve
from crossfade.plans.drafts import PhaseDraft, Record, TaskDraft
from crossfade.plans.headings import phase_name
from crossfade.plans.misspelt import tell
from crossfade.plans.model import (
    Decision,
    Gate,
    GateKind,
    Metric,
    Milestone,
    Phase,
    Plan,
    Risk,
    Stakeholder,
    Status,
    Task,
    Total,
    Workstream,
)
from crossfade.plans.naming import Names, name_phases, name_tasks
from crossfade.plans.records import Register


def finish(plan: Collection) -> Plan:
    """The plan of what was collected."""
    phases = _phases(plan)
    _drop_plain(phases)
    name_phases(phases)
    tasks = [task for phase in phases for task in phase.tasks]
    name_tasks(plan, tasks)
    names = Names()
    milestones = [_milestone(plan, record, names) for record in plan.records[Register.MILESTONES]]
    targets = Targets(plan.book, phases, tasks, milestones)
    totals = _totals(plan, phases, targets)
    gates = [_gate(plan, record, names, targets) for record in plan.records[Register.GATES]]
    finished = tuple(_phase(plan, phase, gates, targets) for phase in phases)
    document = plan.document
    book = plan.book
    return Plan(
        title=document.title,
        path=book.file,
        owner=document.values.get("owner", ""),
        window=document.window,
        estimate=document.values.get("estimate"),
        status=document.values.get("status", Status.NOT_STARTED),
        status_text=document.values.get("status_text", ""),
        progress=document.values.get("progress"),
        lines=document.lines,
        phases=finished,
        milestones=tuple(
            one.model_copy(update={"phase": targets.phase_of(record)})
            for one, record in zip(milestones, plan.records[Register.MILESTONES], strict=True)
        ),
        gates=tuple(gates),
        risks=tuple(_risk(plan, record, names, targets) for record in plan.records[Register.RISKS]),
        decisions=tuple(_decision(plan, record, names) for record in plan.records[Register.DECISIONS]),
        metrics=tuple(_metric(plan, record, targets) for record in plan.records[Register.METRICS]),
        stakeholders=tuple(
            Stakeholder(source=book.source(record.index), **_only(Stakeholder, record))
            for record in plan.records[Register.STAKEHOLDERS]
        ),
        workstreams=_workstreams(plan),
        totals=totals,
        notices=tuple(sorted(book.notices, key=lambda notice: notice.source.line)),
        mojibake=book.damaged,
    )


# --- phases -----------------------------------------------------------------------


def _phases(plan: Collection) -> list[PhaseDraft]:
    """All phases in the document's order, rows of phase tables merged, tasks moved that name their phase."""
    phases = list(plan.phases)
    by_name = {phase.name.lower(): phase for phase in reversed(phases) if phase.name}
    by_title = {phase.title.lower(): phase for phase in reversed(phases)}
    for row in plan.rows:
        draft = row.draft
        known = by_name.get(draft.name.lower()) or by_title.get(draft.title.lower())
        if known is None:
            by_name[draft.name.lower()] = draft
            draft.path = draft.path or (draft.title,)
            phases.append(draft)
        else:
            _merge(known, draft)
    if plan.document.tasks:
        phases.append(plan.document)
    for phase in list(phases):
        if any("_phase" in task.values for task in phase.tasks):
            staying: list[TaskDraft] = []
            for task in phase.tasks:
                name = task.values.pop("_phase", "")
                target = by_name.get(name.lower()) or by_title.get(name.lower()) if name else phase
                if target is None:
                    target = PhaseDraft(phase_name(name), name, task.index, path=(name,))
                    by_name[name.lower()] = target
                    phases.append(target)
                task.phase = target
                (staying if target is phase else target.tasks).append(task)
            phase.tasks = staying
    phases = [phase for phase in phases if phase.tasks or not (phase.section or phase.implicit)]
    return sorted(phases, key=lambda phase: (not phase.implicit, phase.index))


def _merge(phase: PhaseDraft, row: PhaseDraft) -> None:
    """What a table says about a phase, where its own section says nothing."""
    for name, value in row.values.items():
        if name not in phase.values:
            phase.values[name] = value
            if name in row.lines:
                phase.lines[name] = row.lines[name]
            if name in row.places:
                phase.places[name] = row.places[name]
    phase.window = phase.window or row.window
    phase.deliverables = phase.deliverables or row.deliverables
    phase.depends = phase.depends or row.depends


def _drop_plain(phases: list[PhaseDraft]) -> None:
    """Plain bullets count only where their phase, and the phases in it, have no tasks in another shape."""
    other: set[int] = set()
    for phase in phases:
        if any(not task.plain for task in phase.tasks):
            above: PhaseDraft | None = phase
            while above is not None and id(above) not in other:
                other.add(id(above))
                above = above.parent
    for phase in phases:
        if id(phase) in other:
            phase.tasks = [task for task in phase.tasks if not task.plain or task.said]


def _phase(plan: Collection, phase: PhaseDraft, gates: list[Gate], targets: Targets) -> Phase:
    values = dict(phase.values)
    window = phase.window
    around = _window_around(phase)
    if window is not None and around is not None and window.within is None and around != window:
        window = window.model_copy(update={"within": around})
    return Phase(
        id=phase.final_id,
        title=phase.title,
        source=plan.book.source(phase.index),
        path=phase.path,
        parent=phase.parent.final_id if phase.parent and phase.parent.final_id else None,
        implicit=phase.implicit,
        window=window,
        deliverables=tuple(phase.deliverables),
        dependencies=resolve(phase.depends, targets, plan.book),
        tasks=tuple(_task(plan, task, targets) for task in phase.tasks),
        gates=tuple(gate.id for gate in gates if gate.phase == phase.final_id and gate.task is None),
        lines=phase.lines,
        places=phase.finished_places(),
        **values,
    )


def _window_around(phase: PhaseDraft) -> Any:
    above = phase.parent
    while above is not None:
        if above.window is not None and (above.window.start or above.window.end):
            return above.window
        above = above.parent
    return None


# --- tasks -------------------------------------------------------------------------


def _task(plan: Collection, task: TaskDraft, targets: Targets) -> Task:
    tell(plan.book, task, plan.told)
    values = dict(task.values)
    if "_phase" in values:
        # the rows of a table below a task are parts of it, whatever phase they name
        values["other"] = {"phase": values.pop("_phase"), **values.get("other", {})}
    if task.details:
        described = values.get("description", "")
        values["description"] = "\n".join([described, *task.details] if described else task.details)
    subtasks = tuple(_task(plan, one, targets) for one in task.subtasks)
    window = values.get("window")
    around = (
        task.phase.window
        if task.phase and task.phase.window
        else _window_around(task.phase)
        if task.phase
        else None
    )
    if window is not None and around is not None and window.within is None and _smaller(window, around):
        values["window"] = window.model_copy(update={"within": around})
    if "progress" not in values:
        progress = _progress(values, subtasks)
        if progress is not None:
            values["progress"] = progress
    if task.box is not None and "status" in task.lines:
        status = values.get("status")
        if (task.box is Status.DONE) != (status is Status.DONE) and Status.DONE in (task.box, status):
            ticked = "ticked" if task.box is Status.DONE else "not ticked"
            plan.book.notice(
                task.index, f"the box is {ticked}, but the status says {values.get('status_text')!r}"
            )
    return Task(
        id=task.final_id,
        id_stated=bool(task.id),
        title=task.title,
        kind=task.kind,
        source=plan.book.source(task.index),
        phase=task.phase.final_id if task.phase else "",
        path=task.path,
        dependencies=resolve(task.depends, targets, plan.book, task),
        subtasks=subtasks,
        lines=task.lines,
        places=task.finished_places(),
        **values,
    )


def _smaller(window: Any, around: Any) -> bool:
    """Whether a window can lie within another one: a day or weekend in a week, a week in a month."""
    order = ["date", "day", "weekend", "week", "sprint", "month", "quarter"]
    inner, outer = window.start or window.end, around.start or around.end
    if inner is None or outer is None or inner.date is not None or outer.date is not None:
        return False
    return order.index(inner.unit.value) < order.index(outer.unit.value)


def _progress(values: dict[str, Any], subtasks: tuple[Task, ...]) -> float | None:
    """What nested checkboxes say, else what the status says."""
    leaves = [
        one for sub in subtasks for one in sub.walk() if not one.subtasks and one.places.box is not None
    ]
    counted = [leaf for leaf in leaves if leaf.status is not Status.SKIPPED]
    if counted:
        return round(100 * sum(leaf.status is Status.DONE for leaf in counted) / len(counted), 2)
    status = values.get("status") if values.get("status_text") else None
    if status is Status.DONE:
        return 100.0
    return 0.0 if status is Status.NOT_STARTED else None


# --- registers ------------------------------------------------------------------------


def _only(model: type[BaseModel], record: Record) -> dict[str, Any]:
    known = model.model_fields
    return {
        name: value for name, value in record.values.items() if name in known and name not in ("id", "phase")
    }


def _milestone(plan: Collection, record: Record, names: Names) -> Milestone:
    stated = record.values.get("id", "")
    return Milestone(
        id=names.name("M", stated),
        source=plan.book.source(record.index),
        places=record.finished_places(),
        **_only(Milestone, record),
    )


def _gate(plan: Collection, record: Record, names: Names, targets: Targets) -> Gate:
    kind = record.gate or GateKind.QUALITY
    prefix = {GateKind.QUALITY: "G", GateKind.SUCCESS: "S", GateKind.ROLLBACK: "T"}[kind]
    stated = record.values.get("id", "")
    return Gate(
        id=names.name(prefix, stated),
        kind=kind,
        source=plan.book.source(record.index),
        phase=targets.phase_of(record),
        task=record.task.final_id if record.task else None,
        places=record.finished_places(),
        **_only(Gate, record),
    )


def _risk(plan: Collection, record: Record, names: Names, targets: Targets) -> Risk:
    stated = record.values.get("id", "")
    values = _only(Risk, record)
    values.setdefault("title", values.get("description", ""))
    return Risk(
        id=names.name("R", stated),
        source=plan.book.source(record.index),
        phase=targets.phase_of(record),
        **values,
    )


def _decision(plan: Collection, record: Record, names: Names) -> Decision:
    stated = record.values.get("id", "")
    return Decision(
        id=names.name("D", stated),
        source=plan.book.source(record.index),
        **_only(Decision, record),
    )


def _metric(plan: Collection, record: Record, targets: Targets) -> Metric:
    values = _only(Metric, record)
    if not values.get("unit"):
        for name in ("target", "current"):
            quantity = values.get(name)
            if quantity is not None and quantity.unit:
                values["unit"] = quantity.unit
                break
    return Metric(source=plan.book.source(record.index), phase=targets.phase_of(record), **values)


def _workstreams(plan: Collection) -> tuple[Workstream, ...]:
    """Each name once: a row or bullet about a workstream beside its heading adds to it."""
    found: dict[str, Workstream] = {}
    for record in plan.records[Register.WORKSTREAMS]:
        one = Workstream(source=plan.book.source(record.index), **_only(Workstream, record))
        known = found.get(one.name.lower())
        if known is None:
            found[one.name.lower()] = one
        else:
            update = {"owner": known.owner or one.owner, "description": known.description or one.description}
            found[one.name.lower()] = known.model_copy(update=update)
    return tuple(found.values())


def _totals(plan: Collection, phases: list[PhaseDraft], targets: Targets) -> tuple[Total, ...]:
    """The stated sums, each of the phase it names or stands in; a phase without an estimate takes its total."""
    drafts = list(plan.totals)
    for phase in [plan.document, *phases]:
        line = phase.lines.get("estimate")
        if line is not None and "estimate" in phase.values and all(one.index != line - 1 for one in drafts):
            estimate = phase.values["estimate"]
            drafts.append(TotalDraft(estimate.raw, estimate, line - 1, phase=phase))
    found = []
    for draft in sorted(drafts, key=lambda one: one.index):
        subject = targets.phase_draft(draft.refers) if draft.refers else draft.phase
        if draft.refers and draft.refers == plan.document.name:
            subject = None
        if subject is plan.document:
            subject = None
        if subject is not None and not draft.workstream and "estimate" not in subject.values:
            subject.values["estimate"] = draft.estimate
            subject.lines["estimate"] = draft.index + 1
        elif subject is None and "estimate" not in plan.document.values and not draft.refers.strip():
            plan.document.values["estimate"] = draft.estimate
            plan.document.lines["estimate"] = draft.index + 1
        found.append(
            Total(
                raw=draft.raw,
                estimate=draft.estimate,
                source=plan.book.source(draft.index),
                phase=subject.final_id if subject is not None else None,
                workstream=draft.workstream,
            )
        )
    return tuple(found)
