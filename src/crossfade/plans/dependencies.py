"""What a dependency field names: ``Task 27.1, 27.2 and Phase 4 completion``.

Parts are separated by commas, semicolons, line breaks, ``and``, ``&``, ``+``; what stands in brackets is a remark.
A part is a task by its id (``Task 27.1``, ``28.1-28.3`` for each of the three, a bare id behind another one), a phase
(``Phase 4``, ``Phase 4 completion``, ``All Phase 1 tasks``, ``Week 7``), a milestone (``M2``), or a task by its whole
title; anything else stays a text.  ``None``, ``-``, ``n/a`` are nothing.  A task that depends on the phase it stands
in (``All Phase 1 tasks`` of the last one) depends on the tasks of that phase before it.
"""

from __future__ import annotations

import re

from crossfade.plans.commands import NOTHING
from crossfade.plans.drafts import Depends, PhaseDraft, Record, TaskDraft
from crossfade.plans.headings import phase_name
from crossfade.plans.manuscript import Manuscript
from crossfade.plans.model import Dependency, DependencyKind, Milestone
from crossfade.plans.titles import undecorated

_BRACKET = re.compile(r"[ \t]*\([^()]*\)")
_PARTS = re.compile(r"[,;\n]")
_WORDS = re.compile(r"\band\b|&|\+", re.I)
_NONE = re.compile(r"(?:none|no dependenc\w+|nothing|n/?a|-+|–|—|tbd|tbc)(?:[ \t]*[(.,;:–—-].*)?$", re.I)
_ID = r"[A-Za-z]{0,5}[-.]?\d+(?:\.\d+)*[a-z]?"
_TASK = re.compile(
    rf"(?:(?:completion of|after|depends on|requires|all of)[ \t]+)?(?P<word>tasks?|slices?|steps?|tickets?|stor(?:y|ies)|work items?|action items?)[ \t]+#?(?P<first>{_ID})(?:[ \t]*(?:-|–|—|to|through|\.\.\.?)[ \t]*(?:tasks?[ \t]+)?#?(?P<last>{_ID}))?(?P<rest>[ \t]*(?:completion|completed?|done|finished)?)[ \t]*\.?$",
    re.I,
)
_BARE = re.compile(
    rf"#?(?P<first>{_ID})(?:[ \t]*(?:-|–|—|to|through|\.\.\.?)[ \t]*#?(?P<last>{_ID}))?[ \t]*(?:completion|completed?|done)?[ \t]*\.?$"
)
_PHASE_ONLY = re.compile(
    r"(?:(?:all(?: of)?(?: the)?|completion of|end of|after|entire|complete)[ \t]+)*(?:phase|stage|sprint|iteration|wave|mvp|week|day|month)s?[ \t]+[\w.–-]+(?:[ \t]*(?:completion|completed?|done|finished|tasks?|is|are|must be|deliverables|gate|sign-?off|passed|approved|[:–—-].*))*[ \t]*\.?$",
    re.I,
)
_MILESTONE = re.compile(
    r"(?:milestone[ \t]+)?(?P<id>M\d{1,3}(?:\.\d+)?|milestone[ \t]+\w{1,4})(?:[ \t]*(?:completion|reached|done|[:–—-].*))?$",
    re.I,
)
_LONGEST_RANGE = 200
_MOST_SPREAD = 50_000


class Targets:
    """What dependencies can point at, by every name it has."""

    def __init__(
        self, book: Manuscript, phases: list[PhaseDraft], tasks: list[TaskDraft], milestones: list[Milestone]
    ) -> None:
        self.book = book
        self.spread = _MOST_SPREAD
        self.spent = False
        self.tasks: dict[str, str] = {}
        self.slices: dict[str, str] = {}
        self.titles: dict[str, str] = {}
        waiting = list(reversed(tasks))
        while waiting:
            task = waiting.pop()
            waiting.extend(reversed(task.subtasks))
            self.tasks.setdefault(task.final_id.lower(), task.final_id)
            self.titles.setdefault(task.title.lower().strip(" ."), task.final_id)
            if task.kind.value == "slice" and task.id:
                self.slices.setdefault(task.id.lower(), task.final_id)
        self.phases: dict[str, PhaseDraft] = {}
        self.inside: dict[str, list[TaskDraft]] = {}
        for phase in phases:
            around: PhaseDraft | None = phase
            while around is not None:
                self.inside.setdefault(around.final_id, []).extend(phase.tasks)
                around = around.parent
            for name in (phase.final_id, phase.name, phase.title):
                if name:
                    self.phases.setdefault(name.lower(), phase)
        self.milestones = {one.id.lower(): one.id for one in milestones}

    def phase_draft(self, name: str) -> PhaseDraft | None:
        """The phase of that id, name or title."""
        return self.phases.get(name.lower())

    def phase_of(self, record: Record) -> str | None:
        """The id of the phase that an entry speaks of, or else stands in."""
        if record.refers:
            named = self.phase_draft(record.refers) or self.phase_draft(phase_name(record.refers))
            if named is not None:
                return named.final_id or None
        if record.task is not None and record.task.phase is not None:
            return record.task.phase.final_id or None
        return (record.phase.final_id or None) if record.phase is not None else None


def resolve(
    depends: list[Depends], targets: Targets, book: Manuscript, task: TaskDraft | None = None
) -> tuple[Dependency, ...]:
    """The dependencies that the fields of a task or phase say, each thing once."""
    found: list[Dependency] = []
    seen: set[tuple[str, str]] = set()
    for one in depends:
        resolved = _resolve(one.text, targets)
        if task is not None:
            resolved = [other for each in resolved for other in _not_itself(each, task, targets)]
        for kind, target, known, raw in resolved:
            key = (kind.value, (target or raw).lower())
            if key not in seen:
                seen.add(key)
                found.append(
                    Dependency(raw=raw, kind=kind, target=target, known=known, source=book.source(one.index))
                )
    return tuple(found)


_Resolved = tuple[DependencyKind, str | None, bool, str]


def _not_itself(resolved: _Resolved, task: TaskDraft, targets: Targets) -> list[_Resolved]:
    """A dependency on the phase around a task, as one on the tasks before it."""
    kind, target, known, raw = resolved
    if kind is not DependencyKind.PHASE or not known or target is None:
        return [resolved]
    around = task.phase
    while around is not None and around.final_id != target:
        around = around.parent
    if around is None:
        return [resolved]
    targets.spread -= len(targets.inside.get(target, []))
    if targets.spread < 0:
        if not targets.spent:
            targets.spent = True
            targets.book.notice(
                task.index,
                f"too many tasks depend on all before them ({raw!r}): from here on this is not read",
            )
        return [(DependencyKind.TEXT, None, False, raw)]
    before = [one for one in targets.inside.get(target, []) if one.index < task.index and one is not task]
    return [(DependencyKind.TASK, one.final_id, True, raw) for one in before]


def _resolve(text: str, targets: Targets) -> list[_Resolved]:
    text = undecorated(text.strip())
    if NOTHING.match(text) or _NONE.match(text):
        return []
    whole = _by_title(text, targets)
    if whole is not None:
        return [whole]
    found: list[_Resolved] = []
    word = ""
    rest: list[str] = []
    parts = []
    for part, shown in _split(text, _PARTS):
        # "Backup and restore" may be a title
        whole = _by_title(part, targets)
        parts += [(part, shown)] if whole is not None else _split(shown, _WORDS)
    for part, shown in parts:
        resolved, word = _part(part, shown, word, targets)
        if resolved:
            found += resolved
        else:
            rest.append(shown)
            found.append((DependencyKind.TEXT, None, False, shown))
    if rest and len(rest) == len(found):
        # nothing of it is known: one text, not its splinters
        return [(DependencyKind.TEXT, None, False, text)]
    return found


def _split(text: str, at: re.Pattern[str]) -> list[tuple[str, str]]:
    """The parts without their brackets, and as they are shown."""
    parts, last, depth = [], 0, 0
    cuts = [(found.start(), found.end()) for found in at.finditer(text)]
    depths = []
    for character in text:
        depth += (character == "(") - (character == ")")
        depths.append(depth)
    for start, end in cuts:
        if depths[start] > 0:
            continue
        parts.append(text[last:start])
        last = end
    parts.append(text[last:])
    return [(_BRACKET.sub("", part).strip(), part.strip()) for part in parts if part.strip()]


def _by_title(text: str, targets: Targets) -> _Resolved | None:
    name = _BRACKET.sub("", text).strip().strip(" .").lower()
    for words in (text.strip(" .").lower(), name):
        if words in targets.titles:
            return DependencyKind.TASK, targets.titles[words], True, text
        if words in targets.tasks and not words.isdigit():
            return DependencyKind.TASK, targets.tasks[words], True, text
    phase = targets.phase_draft(name)
    if phase is not None:
        return DependencyKind.PHASE, phase.final_id, True, text
    return None


def _part(part: str, shown: str, word: str, targets: Targets) -> tuple[list[_Resolved], str]:
    known = _by_title(part, targets)
    task = _TASK.match(part)
    if task:
        word = task["word"].lower()
        return [_task(one, shown, word, targets) for one in _expand(task["first"], task["last"])], word
    if known is not None:
        return [(known[0], known[1], known[2], shown)], word
    milestone = _MILESTONE.match(part)
    if milestone:
        stated = milestone["id"]
        name = stated if stated[0] in "Mm" and stated[1].isdigit() else f"M{stated.split()[-1]}"
        found = targets.milestones.get(name.lower())
        if found or name != stated:
            return [(DependencyKind.MILESTONE, found or name, found is not None, shown)], ""
    if _PHASE_ONLY.match(part):
        name = phase_name(part)
        phase = targets.phase_draft(name)
        return [(DependencyKind.PHASE, phase.final_id if phase else name, phase is not None, shown)], "phase"
    bare = _BARE.match(part)
    if bare and (word or bare["first"].lower() in targets.tasks or "." in bare["first"]):
        if word == "phase":
            phase = targets.phase_draft(f"Phase {bare['first']}")
            if phase is not None:
                return [(DependencyKind.PHASE, phase.final_id, True, shown)], word
        return [
            _task(one, shown, word, targets) for one in _expand(bare["first"], bare["last"])
        ], word or "task"
    return [], word


def _task(identifier: str, shown: str, word: str, targets: Targets) -> _Resolved:
    lower = identifier.lower()
    found = targets.slices.get(lower) if word.startswith("slice") else None
    found = found or targets.tasks.get(lower)
    return DependencyKind.TASK, found or identifier, found is not None, shown


def _expand(first: str, last: str | None) -> list[str]:
    """``28.1`` to ``28.3`` are three ids; a range that does not count is its two ends."""
    if not last:
        return [first]
    left, right = re.match(r"(.*?)(\d+)$", first), re.match(r"(.*?)(\d+)$", last)
    if left is None or right is None:
        return [first, last]
    before = right[1] or left[1]
    low, high = int(left[2]), int(right[2])
    if before != left[1] or not low < high <= low + _LONGEST_RANGE:
        return [first, last]
    width = len(left[2]) if left[2].startswith("0") else 0
    return [f"{left[1]}{number:0{width}d}" for number in range(low, high + 1)]
