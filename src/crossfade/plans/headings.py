"""What a heading (or a bold line that serves as one) announces.

The first of these that fits decides:

1. **a task**: ``Task 28.1: …``, ``Slice 1.2: …``, ``Step 3: …``, ``Task: …``;
2. **a phase**: ``Phase``, ``Stage``, ``Sprint``, ``Iteration``, ``Wave``, ``MVP``, ``Week(s)``, ``Day(s)``, ``Month(s)``,
   ``Weekend``, ``Quarter``/``Q3 2025`` or a date with its number and then nothing, a separator or a bracket; also
   ``… Phase`` at the end.  ``Phase 1 Summary`` and the like are no phase, they speak of one (``refers``);
3. **one milestone or decision**: ``Milestone 2: …``, ``M2: …``, ``Decision: …``, ``ADR-003: …``;
4. **a register** by its words: quality gates, success or acceptance criteria, rollback triggers, risks,
   decisions, KPIs and metrics, milestones, stakeholders, workstreams, deliverables;
5. **how to roll back** (plans, procedures): nothing in it is work of the plan;
6. **work**: tasks, checklist, to-do, activities, action items, steps;
7. **prose** by its head word, the first or the last one: overview, objectives, notes, background, lessons
   learned, contacts, resources, assumptions, architecture, prerequisites, next steps, …: plain bullets under
   it are prose (checkboxes are work all the same);
8. anything else is **neutral**: it inherits what the heading above it announced.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from crossfade.plans.model import GateKind
from crossfade.plans.titles import Title, split_title, undecorated, window_of_bracket
from crossfade.plans.values import Window
from crossfade.plans.windows import find_window


class Category(enum.Enum):
    """What stands under a heading."""

    PHASE = "phase"
    TASK = "task"
    GATES = "gates"
    RISKS = "risks"
    DECISIONS = "decisions"
    DECISION = "decision"
    METRICS = "metrics"
    MILESTONES = "milestones"
    MILESTONE = "milestone"
    STAKEHOLDERS = "stakeholders"
    WORKSTREAMS = "workstreams"
    WORKSTREAM = "workstream"
    DELIVERABLES = "deliverables"
    TASKS = "tasks"
    ROLLBACK = "rollback"
    PROSE = "prose"
    NEUTRAL = "neutral"


@dataclass(slots=True)
class Heading:
    """``title`` is the heading without decoration and status; ``name`` the id of a phase (``Phase 4``), the name
    of a workstream; ``refers`` the name of the phase that a gate or a summary speaks of."""

    category: Category
    title: str
    parts: Title
    name: str = ""
    refers: str = ""
    gate: GateKind = GateKind.QUALITY
    window: Window | None = None


_NUMBER = r"(?:\d{1,3}(?:\.\d{1,2})?[a-z]?(?:[ \t]*(?:-|–|—|to|&|and)[ \t]*\d{1,3})?|[IVX]{1,5}(?![a-z])|zero|one|two|three|four|five|six|seven|eight|nine|ten|[A-H](?![\w]))"
_PHASE = re.compile(
    rf"(?P<word>phase|stage|sprint|iteration|wave|mvp|weekend|week|wk|day|month|quarter|round|epic|part)s?[ \t]+#?(?P<number>{_NUMBER})(?P<rest>.*)$",
    re.I,
)
_WEEKEND = re.compile(r"weekend(?P<rest>(?:[ \t]*[:(–—-].*)?)$", re.I)
_SEPARATOR = re.compile(r"[ \t]*(?:$|[:.,(\[|/–—]|-(?=[ \t]))")
_PHASE_END = re.compile(r"(?:^|.*[ \t])phase(?:[ \t]*[(:].*)?$", re.I)
_MILESTONE = re.compile(
    r"(?:milestone[ \t]+#?(?P<id>[\w.]{1,6})|(?P<short>M\d{1,3}(?:\.\d+)?))[ \t]*(?:[:–—|]|-(?=[ \t])|$)[ \t]*(?P<rest>.*)$",
    re.I,
)
_DECISION = re.compile(
    r"(?:(?P<adr>(?:ADR|DR|D)[- ]?\d{1,4})|decision(?:[ \t]+(?:record[ \t]+)?#?(?P<id>[\w.]{1,8}))?)[ \t]*(?:[:–—|]|-(?=[ \t]))[ \t]*(?P<rest>.+)$",
    re.I,
)
_ORDINAL = re.compile(r"^(?:\d{1,3}(?:\.\d{1,3})*[.)]?|[A-Z][.)])[ \t]+")
_REFERS = re.compile(
    rf"(?P<word>phase|stage|sprint|iteration|wave|mvp|week|day|month|milestone)s?[ \t]+(?P<number>{_NUMBER})(?!\w)",
    re.I,
)

_ROLLBACK_TRIGGERS = re.compile(
    r"\b(?:roll-? ?back|abort|back-?out)\b.*\b(?:triggers?|criteri(?:a|on)|conditions?|thresholds?)\b|\bwhen to (?:roll|abort)",
    re.I,
)
_SUCCESS = re.compile(
    r"\b(?:success|acceptance|validation|completion|verification)[ \t]+(?:criteri(?:a|on)|factors?|checks?|conditions?)\b",
    re.I,
)
_QUALITY = re.compile(
    r"\bgates?\b|\bgo[ \t]*/?[ \t]*no[ \t-]*go\b|\b(?:exit|entry|sign-?off|release|quality)[ \t]+criteria\b|\bdefinition of done\b",
    re.I,
)
_REGISTERS: tuple[tuple[Category, re.Pattern[str]], ...] = (
    (Category.RISKS, re.compile(r"\brisks?\b(?!-)", re.I)),
    (Category.DECISIONS, re.compile(r"\bdecisions?\b(?![ \t]+(?:authority|points?))|\badrs?\b", re.I)),
    (
        Category.METRICS,
        re.compile(
            r"\bkpis?\b|\bkey performance indicators?\b|\bmetrics?\b|\bperformance targets?\b|\bslos?\b|\bservice level\b|\bmeasures of success\b|\bsuccess measures\b",
            re.I,
        ),
    ),
    (
        Category.MILESTONES,
        re.compile(r"\bmilestones\b|^(?:key |major )?milestone(?: overview| plan| schedule| table)?$", re.I),
    ),
    (
        Category.STAKEHOLDERS,
        re.compile(
            r"^(?:key |project |main )?(?:stakeholders?|team(?: members)?|roles?(?: (?:and|&) responsibilities)?|responsibilities|raci(?: matrix)?|people|project team)(?: register| map| matrix| list| analysis| overview| table)?$",
            re.I,
        ),
    ),
    (
        Category.WORKSTREAMS,
        re.compile(
            r"^(?:parallel |key |main )?(?:workstreams|work streams|tracks|workstream(?: overview| summary| owners?)?)$",
            re.I,
        ),
    ),
)
_WORKSTREAM = re.compile(
    r"(?P<before>.+?)[ \t]+(?:work-? ?stream|track)(?:[ \t]*\(.*\))?$|(?:work-? ?stream|track|stream)[ \t]+(?P<id>[\w.]{1,4})[ \t]*(?:[:–—]|-(?=[ \t]))[ \t]*(?P<after>.+)$|(?:work-? ?stream|track|stream)[ \t]*[:–—][ \t]*(?P<only>.+)$",
    re.I,
)
_ROLLBACK = re.compile(
    r"\b(?:roll-? ?back|back-?out|contingency|disaster recovery|emergency|recovery)\b.*\b(?:plans?|procedures?|steps?|strateg(?:y|ies)|process|instructions?|playbook|runbook|options?|actions?)\b|^(?:roll-? ?back|contingency|back-?out)$",
    re.I,
)
_DELIVERABLES = re.compile(r"(?:^|[ \t])(?:deliverables?|outputs?|artifacts?)(?:[ \t]*\(.*\))?$", re.I)
_TASKS = re.compile(
    r"(?:^|[ \t])(?:tasks?|task list|task breakdown|check-? ?lists?|to-? ?do'?s?|to-? ?do list|action items|actions|activities|work items|work packages?|steps|work breakdown(?: structure)?|backlog|implementation plan|work plan|action plan)(?:[ \t]*\(.*\))?$",
    re.I,
)
_PROSE_WORDS = (
    "overview|summary|background|context|introduction|notes?|objectives?|goals?|purpose|scope|assumptions?|constraints?"
    "|approach|strategy|rationale|motivation|architecture|stack|technolog(?:y|ies)|diagrams?|lessons?|lessons learned"
    "|retrospective|results?|findings|outcomes?|achievements|contacts?|communications?|references?|resources?|links"
    "|further reading|appendix|appendices|glossary|definitions?|terminology|faq|questions|issues|problems|budget|costs?"
    "|prerequisites?|pre-requisites|requirements?|dependencies|benefits|advantages|pros|cons|alternatives|options"
    "|considerations|recommendations|principles|guidelines|conventions|best practices|conclusion|next steps|contents"
    "|changelog|history|information|legend|status|progress|details|highlights|focus areas|escalation|meetings?|reviews"
    "|reports?|reporting|allocation|troubleshooting|current state|discussion|comments|remarks|feedback|learned"
)
_PROSE_END = re.compile(rf"(?:^|[\s/&-])(?:{_PROSE_WORDS})(?:[ \t]*\(.*\))?$", re.I)
_PROSE_START = re.compile(
    r"^(?:executive|overview|summary|notes?\b|background|context|introduction|why\b|what\b|how\b|about|lessons|appendix|references|glossary|purpose"
    r"|motivation|contacts?\b|communication|assumptions|constraints|current|existing|target (?:state|architecture)|conclusion|next steps|immediate next"
    r"|completed|status|progress|history|changelog|table of contents|(?:new |key |critical )?files\b|time allocation|after |post-mortem|out of scope|in scope)",
    re.I,
)


PHASE_WORD = re.compile(
    r"phase|stage|sprint|iteration|wave|mvp|week|wk|day|month|quarter|round|epic|part|milestone|M\d|\d{4}|Q[1-4]",
    re.I,
)
"""Whether a text may name a phase or a milestone at all: a cheap look before the dear one."""


def classify(text: str) -> Heading:
    """What a heading of these (plain, repaired) words announces."""
    parts = split_title(text, numbers=False)
    title = _title(text, parts)
    if parts.word:
        return Heading(Category.TASK, parts.text, parts, window=parts.window)
    bare = _ORDINAL.sub("", undecorated(title), count=1) or title
    title = bare
    phase = _phase(bare)
    if phase:
        return Heading(Category.PHASE, title, parts, name=phase, window=_own_window(bare, parts))
    refers = phase_name(bare)
    milestone = _MILESTONE.match(bare)
    if milestone and (milestone["rest"] or milestone["short"]):
        return Heading(Category.MILESTONE, bare, parts, window=parts.window)
    if _DECISION.match(bare):
        return Heading(Category.DECISION, bare, parts)
    window = parts.window or window_of_bracket(bare)
    gate = gate_kind(bare)
    if gate:
        return Heading(Category.GATES, title, parts, refers=refers, gate=gate, window=window)
    for category, pattern in _REGISTERS:
        if pattern.search(bare if category is not Category.STAKEHOLDERS else bare.strip()):
            return Heading(category, title, parts, refers=refers, window=window)
    if _ROLLBACK.search(bare):
        return Heading(Category.ROLLBACK, title, parts, refers=refers)
    stream = _WORKSTREAM.match(bare)
    if stream:
        name = stream["before"] or stream["after"] or stream["only"]
        return Heading(Category.WORKSTREAM, title, parts, name=name.strip(), window=window)
    if _DELIVERABLES.search(bare) and not _PROSE_START.search(bare):
        return Heading(Category.DELIVERABLES, title, parts, refers=refers)
    if _TASKS.search(bare) and not _PROSE_START.search(bare):
        return Heading(Category.TASKS, title, parts, refers=refers, window=window)
    if _PHASE_END.match(bare):
        return Heading(
            Category.PHASE, title, parts, name=bare.split("(")[0].split(":")[0].strip(), window=window
        )
    if _PROSE_START.search(bare) or _PROSE_END.search(bare):
        return Heading(Category.PROSE, title, parts, refers=refers)
    if refers and _REFERS.match(bare):
        # "Phase 1 Foundation": no separator, and no word that makes it speak of the phase
        return Heading(Category.PHASE, title, parts, name=refers, window=_own_window(bare, parts))
    if window is not None:
        return Heading(Category.PHASE, title, parts, name="", window=window)
    return Heading(Category.NEUTRAL, title, parts)


def _title(text: str, parts: Title) -> str:
    """The whole heading without decoration, status and closing colon; brackets stay."""
    title = undecorated(text)
    if parts.status_text and parts.suffix:
        end = title.rfind(parts.status_text)
        title = title[:end].rstrip(" \t(-–—:|[") if end > 0 else title
    return title.strip().rstrip(":").rstrip()


def _own_window(text: str, parts: Title) -> Window | None:
    """``Week 11: … (Days 51-55)`` is week 11; ``Phase 1: … (Weeks 1-6)`` has the window of its bracket."""
    found = find_window(text)
    if found and found.start == 0:
        return found.window
    return parts.window or (found.window if found else None)


def _phase(text: str) -> str:
    found = _PHASE.match(text)
    if found and _SEPARATOR.match(found["rest"]):
        return f"{_word(found['word'])} {_range(found['number'])}"
    weekend = _WEEKEND.match(text)
    if weekend:
        return "Weekend"
    window = find_window(text)
    if window and window.start == 0 and window.window.within is None and _SEPARATOR.match(text[window.end :]):
        return window.window.raw
    return ""


def phase_name(text: str) -> str:
    """The first phase that a text names, as an id (``Phase 4``, ``Week 7-8``); empty when it names none."""
    found = _REFERS.search(text)
    return f"{_word(found['word'])} {_range(found['number'])}" if found else ""


def _word(word: str) -> str:
    return {"wk": "Week", "mvp": "MVP"}.get(word.lower(), word.capitalize())


def _range(number: str) -> str:
    parts = re.split(r"[ \t]*(?:-|–|—|\bto\b|&|\band\b)[ \t]*", number)
    return "-".join(part for part in parts if part)


def gate_kind(text: str) -> GateKind | None:
    """Which kind of gates a heading or label announces."""
    if _ROLLBACK_TRIGGERS.search(text):
        return GateKind.ROLLBACK
    if _SUCCESS.search(text):
        return GateKind.SUCCESS
    return GateKind.QUALITY if _QUALITY.search(text) else None


def milestone_parts(text: str) -> tuple[str, str]:
    """Id and name of a milestone's title: ``M1: Kick-off`` and ``Milestone 1: Kick-off`` are ``M1``, ``Kick-off``."""
    found = _MILESTONE.match(text)
    if found is None:
        return "", text
    return (found["short"] or f"M{found['id']}").upper(), found["rest"] or text


def decision_parts(text: str) -> tuple[str, str]:
    """Id and name of a decision's title: ``ADR-003: Use Vault`` is ``ADR-003``, ``Use Vault``."""
    found = _DECISION.match(text)
    if found is None:
        return "", text
    if found["adr"]:
        return found["adr"].upper().replace(" ", "-"), found["rest"]
    return (f"Decision {found['id']}" if found["id"] else ""), found["rest"]
