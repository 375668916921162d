"""Where phases and tasks go."""

from __future__ import annotations

from crossfade.plans.collection import Collection, Context
from crossfade.plans.drafts import PhaseDraft, TaskDraft
from crossfade.plans.durations import find_amount
from crossfade.plans.headings import Category, Heading

_DECORATIVE = "🔄🔁🔃🚧⚠🏁🎯"
"""Emoji that in front of a heading are decoration rather than a status."""


def open_phase(plan: Collection, context: Context, heading: Heading, index: int) -> PhaseDraft:
    """A phase under the context's one, with what its heading says; it becomes the context's phase."""
    around = context.phase if context.phase is not None and not context.phase.section else None
    phase = PhaseDraft(
        heading.name, heading.title, index, path=context.path or (heading.title,), parent=around
    )
    phase.window = heading.window
    if heading.parts.estimate is not None and heading.parts.estimate.raw:
        amount = find_amount(heading.parts.estimate.raw)
        if amount and amount.units <= {"h", "m"}:
            phase.values["estimate"] = heading.parts.estimate
            phase.lines["estimate"] = index + 1
    if heading.parts.owner:
        phase.values["owner"] = heading.parts.owner
    if heading.parts.status is not None and (
        heading.parts.suffix or heading.parts.status_text[0] not in _DECORATIVE
    ):
        phase.values["status"] = heading.parts.status.status
        phase.values["status_text"] = heading.parts.status_text
        if heading.parts.status.progress is not None:
            phase.values["progress"] = heading.parts.status.progress
    plan.phases.append(phase)
    context.phase = phase
    return phase


def place_task(plan: Collection, context: Context, task: TaskDraft) -> None:
    """Put a task where it belongs: below the task around, else into the phase; a heading that carries tasks and
    has no phase above is a phase itself, and tasks under no heading are the document's."""
    if context.task is not None:
        task.phase = context.task.phase
        context.task.subtasks.append(task)
        return
    phase = phase_here(plan, context)
    task.phase = phase
    phase.tasks.append(task)


def phase_here(plan: Collection, context: Context) -> PhaseDraft:
    """The phase of the context; made of its heading when there is none."""
    if context.phase is not None:
        return context.phase
    owner: Context | None = context
    while owner is not None and owner.category is Category.TASK:
        owner = owner.parent
    if owner is None or not owner.heading:
        context.phase = plan.document
    else:
        if owner.phase is None:
            owner.phase = PhaseDraft("", owner.heading, owner.index, path=owner.path, section=True)
            plan.phases.append(owner.phase)
        context.phase = owner.phase
    return context.phase
