"""The way through the document: headings open phases, tasks and registers; blocks fill them."""

from __future__ import annotations

import re
from pathlib import PurePath

from crossfade.plans.belonging import open_phase, place_task
from crossfade.plans.collection import Collection, Context
from crossfade.plans.drafts import PhaseDraft
from crossfade.plans.headings import Category, Heading, classify
from crossfade.plans.inline import fields, plain
from crossfade.plans.labels import field_name, piece_text
from crossfade.plans.manuscript import Manuscript
from crossfade.plans.model import TaskKind
from crossfade.plans.outline import Item, Outline, Piece, Section, Text
from crossfade.plans.paragraphs import BlockReader
from crossfade.plans.records import Register, record_field
from crossfade.plans.registers import name_decision, name_milestone, name_risk, new_record
from crossfade.plans.taskblocks import end_of_prose, insertable_here, new_task
from crossfade.plans.titles import split_title, undecorated

_REGISTERS = frozenset(
    (
        Category.GATES,
        Category.RISKS,
        Category.DECISIONS,
        Category.METRICS,
        Category.MILESTONES,
        Category.STAKEHOLDERS,
        Category.WORKSTREAMS,
        Category.ROLLBACK,
    )
)
_RISK_HEADING = re.compile(r"(?:risk[ \t]+#?\w{1,4}|R-?\d{1,3})[ \t]*(?:[:–—]|-(?=[ \t]))[ \t]*\S", re.I)
_MITIGATION = re.compile(r"\bmitigations?\b", re.I)
_NUMBERED = re.compile(r"\d{1,3}\.\d{1,3}(?:\.\d{1,3})?[a-z]?[.:)]?[ \t]+\S")


class Walker:
    """Reads the sections of an outline into a collection."""

    def __init__(self, book: Manuscript, outline: Outline) -> None:
        self.book = book
        self.outline = outline
        self.texts = [plain(piece_text(book, one.piece)) if one.piece else "" for one in outline.sections]
        self.headings: list[Heading | None] = [
            classify(text) if section.piece else None
            for text, section in zip(self.texts, outline.sections, strict=True)
        ]
        self.title_section = self._find_title()
        title = self._title()
        self.plan = Collection(book, PhaseDraft(self._title_phase(), title, 0, implicit=True))
        self.contexts: list[Context] = []
        self.phase_level = 0
        self.phase_context: Context | None = None

    def walk(self) -> Collection:
        """Read everything."""
        self._note_phases()
        for number, section in enumerate(self.outline.sections):
            context = self._enter(number, section)
            self.contexts.append(context)
            BlockReader(self.plan, context, head=self._is_head(number, context)).read(section.blocks)
        self._front_matter()
        return self.plan

    # --- the title --------------------------------------------------------------

    def _find_title(self) -> int:
        """The section whose heading is the document's title: the first heading of the first level, unless it is
        a phase and there are more of that level; or the very first heading, if it is the only one so high."""
        tops = [number for number, section in enumerate(self.outline.sections) if section.level == 1]
        if not tops:
            first = next((number for number, one in enumerate(self.outline.sections) if one.piece), -1)
            if first < 0:
                return -1
            level = self.outline.sections[first].level
            others = [one for one in self.outline.sections[first + 1 :] if one.piece and one.level <= level]
            heading = self.headings[first]
            neutral = heading is not None and heading.category in (
                Category.NEUTRAL,
                Category.TASKS,
                Category.PROSE,
            )
            return first if not others and neutral else -1
        heading = self.headings[tops[0]]
        if heading is None or (heading.category in (Category.PHASE, Category.TASK) and len(tops) > 1):
            return -1
        return tops[0]

    def _title(self) -> str:
        front = self.outline.front.get("title", "").strip()
        if self.title_section >= 0:
            text = undecorated(self.texts[self.title_section])
            heading = self.headings[self.title_section]
            parts = heading.parts if heading else None
            if (
                parts
                and parts.status_text
                and parts.suffix
                and text.rstrip(")] \t").endswith(parts.status_text)
            ):
                text = text[: text.rfind(parts.status_text)].rstrip(" \t-–—:([|")
            if text.strip():
                return text.strip()
        return self.book.read(front) or PurePath(self.book.file).stem or self.book.file

    def _title_phase(self) -> str:
        """The phase that the title names, for a document about one phase (``# Phase 5: Integration``)."""
        heading = self.headings[self.title_section] if self.title_section >= 0 else None
        return heading.name if heading and heading.category is Category.PHASE else ""

    def _is_head(self, number: int, context: Context) -> bool:
        """Whether fields here speak of the document: under its title, and in sections before the first phase
        that announce nothing else (``Document information``)."""
        if context.phase is not None or context.task is not None or self.plan.phases:
            return False
        first = number == self.title_section or self.outline.sections[number].piece is None
        return first or context.category in (Category.NEUTRAL, Category.PROSE)

    def _front_matter(self) -> None:
        document = self.plan.document
        front = self.outline.front
        if "owner" in front:
            document.values.setdefault("owner", self.book.read(front["owner"]))

    # --- headings -----------------------------------------------------------------

    def _note_phases(self) -> None:
        for number, heading in enumerate(self.headings):
            if heading is None or heading.category is not Category.PHASE or not heading.name:
                continue
            elsewhere = self._under(number, Category.PROSE) or self._in_register(number)
            if number != self.title_section and not elsewhere:
                self.plan.phase_names.add(heading.name.lower())

    def _under(self, number: int, category: Category) -> bool:
        parent = self.outline.sections[number].parent
        while parent is not None:
            heading = self.headings[parent]
            if heading is not None and parent != self.title_section and heading.category is category:
                return True
            parent = self.outline.sections[parent].parent
        return False

    def _in_register(self, number: int) -> bool:
        return any(self._under(number, category) for category in _REGISTERS)

    def _enter(self, number: int, section: Section) -> Context:
        heading = self.headings[number]
        if heading is None or number == self.title_section or section.piece is None:
            return Context(Category.NEUTRAL, index=section.piece.index if section.piece else 0)
        above = self._above(heading, section)
        category = self._category(number, heading, above, section)
        context = Context(
            category,
            path=(*above.path, heading.title),
            heading=heading.title,
            index=section.piece.index,
            phase=above.phase,
            task=above.task,
            gate=above.gate,
            refers=heading.refers or above.refers,
            workstream=above.workstream,
            mitigates=above.mitigates or bool(_MITIGATION.search(heading.title)),
            register=above.register,
            parent=above,
        )
        self._open(number, heading, category, context, section)
        return context

    def _above(self, heading: Heading, section: Section) -> Context:
        """What a heading stands under: what its level says; but a task's heading ends no phase, however high it
        is (``### Task 1.1`` after ``#### Day 1``)."""
        above = self.contexts[section.parent] if section.parent is not None else Context(Category.NEUTRAL)
        if self.phase_context is not None and section.level <= self.phase_level:
            if heading.category is Category.TASK and heading.parts.id:
                return self.phase_context
            self.phase_context = None
        return above

    def _category(self, number: int, heading: Heading, above: Context, section: Section) -> Category:
        category = heading.category
        if above.category is Category.ROLLBACK and category is not Category.GATES:
            return Category.ROLLBACK
        if category is Category.PHASE:
            if above.category in _REGISTERS:
                heading.refers = heading.name
                return above.category
            if above.category is Category.PROSE and heading.name.lower() in self.plan.phase_names:
                return Category.PROSE
            if above.task is not None and not heading.name:
                return Category.NEUTRAL
            return category
        if category in (Category.NEUTRAL, Category.PROSE) and above.category in _REGISTERS:
            return above.category
        if category in (Category.NEUTRAL, Category.PROSE, Category.TASKS) and self._is_numbered_task(
            number, category, above, section
        ):
            return Category.TASK
        if category is Category.NEUTRAL:
            return Category.PROSE if above.category is Category.PROSE else Category.NEUTRAL
        if category is Category.TASK and above.category in (Category.RISKS, Category.GATES):
            return above.category
        return category

    def _is_numbered_task(self, number: int, category: Category, above: Context, section: Section) -> bool:
        """``#### 1.2 Install`` is a task right under a phase, or when it has fields of a task."""
        if not _NUMBERED.match(undecorated(self.texts[number])):
            return False
        if above.category is Category.PHASE and category is Category.NEUTRAL:
            return True
        known = {"status", "owner", "estimate", "dependencies", "run", "deliverables"}
        for block in section.blocks[:6]:
            pieces = block.pieces if not hasattr(block, "rows") and hasattr(block, "pieces") else []
            for piece in pieces:
                text = self.book.lines[piece.index].text
                if any(field_name(field.label) in known for field in fields(text, piece.start, piece.end)):
                    return True
        return False

    def _open(
        self, number: int, heading: Heading, category: Category, context: Context, section: Section
    ) -> None:
        piece = section.piece
        if piece is None:
            return
        if category is Category.PHASE:
            open_phase(self.plan, context, heading, piece.index)
            context.counts = True
            self.phase_context, self.phase_level = context, section.level
        elif category is Category.TASK:
            title = heading.parts if heading.parts.word else split_title(self.texts[number])
            kind = TaskKind.SLICE if title.word == "slice" else TaskKind.TASK
            task = new_task(self.plan, context, title, kind, piece)
            place_task(self.plan, context, task)
            context.path = context.path[:-1]
            insertable_here(self.plan, task, self._end_of_heading(section, piece))
            context.task = task
        elif category is Category.GATES:
            context.gate = heading.gate if heading.category is Category.GATES else context.gate
        elif category is Category.MILESTONES and heading.category is not Category.MILESTONES:
            record = new_record(self.plan, context, Register.MILESTONES, piece.index)
            name_milestone(record, heading.title, heading.window)
            context.register = Register.MILESTONES
        elif category is Category.MILESTONE:
            record = new_record(self.plan, context, Register.MILESTONES, piece.index)
            name_milestone(record, heading.title, heading.window)
            if heading.parts.status is not None:
                record.values["status"] = heading.parts.status.status
                record.values["status_text"] = heading.parts.status_text
            context.register = Register.MILESTONES
        elif category is Category.DECISION or (
            category is Category.DECISIONS and heading.category is not Category.DECISIONS
        ):
            record = new_record(self.plan, context, Register.DECISIONS, piece.index)
            name_decision(record, heading.title)
            context.register = Register.DECISIONS
        elif category is Category.RISKS:
            inherited = heading.category is not Category.RISKS
            named = bool(_RISK_HEADING.match(undecorated(self.texts[number])))
            if named or (inherited and self._describes_risk(section)):
                record = new_record(self.plan, context, Register.RISKS, piece.index)
                name_risk(record, re.sub(r"^\d{1,2}[.)][ \t]+", "", heading.title))
                context.register = Register.RISKS
        elif category is Category.WORKSTREAM:
            context.workstream = heading.name
            context.counts = context.firm = context.phase is not None
            known = self.plan.records[Register.WORKSTREAMS]
            if not any(record.values.get("name") == heading.name for record in known):
                new_record(self.plan, context, Register.WORKSTREAMS, piece.index).values["name"] = (
                    heading.name
                )
                context.last_record = None
        elif category is Category.TASKS:
            context.counts = context.firm = True
        elif category is Category.NEUTRAL:
            context.counts = context.phase is not None and not context.phase.section

    def _end_of_heading(self, section: Section, piece: Piece) -> int:
        """The index of the last line of prose right under a heading, or of the heading itself."""
        first = section.blocks[0] if section.blocks else None
        if not isinstance(first, Text) or first.quoted or first.pieces[0].index != piece.index + 1:
            return piece.index
        return end_of_prose(self.plan, first, 0, piece.index)

    def _describes_risk(self, section: Section) -> bool:
        """Whether a heading under Risks is one risk itself: it has fields like impact or mitigation below."""
        for block in section.blocks[:8]:
            if not isinstance(block, Text | Item):
                continue
            for piece in block.pieces:
                text = self.book.lines[piece.index].text
                for field in fields(text, piece.start, piece.end):
                    if record_field(Register.RISKS, field.label) in (
                        "impact",
                        "mitigation",
                        "probability",
                        "severity",
                        "title",
                    ):
                        return True
        return False
