"""The entries of a plan's registers: risks, decisions, metrics, milestones, gates, people, workstreams.

Whatever shape an entry is written in (a row of a table, a bullet, a heading with fields below it), its fields
have these names, with these synonyms.
"""

from __future__ import annotations

import enum
import re

from crossfade.plans.commands import NOTHING
from crossfade.plans.drafts import Record, Value
from crossfade.plans.fields import set_status
from crossfade.plans.labels import several, words
from crossfade.plans.manuscript import Manuscript
from crossfade.plans.model import Window
from crossfade.plans.titles import undecorated
from crossfade.plans.values import Quantity, Unit
from crossfade.plans.windows import parse_date, parse_window


class Register(enum.Enum):
    """The kinds of entries; the value is the name of the list in the plan."""

    GATES = "gates"
    RISKS = "risks"
    DECISIONS = "decisions"
    METRICS = "metrics"
    MILESTONES = "milestones"
    STAKEHOLDERS = "stakeholders"
    WORKSTREAMS = "workstreams"


_OWNERS = "owner|owners|responsible|assignee|accountable|lead|who|dri"
_LABELS: dict[Register, dict[str, str]] = {
    Register.GATES: {
        "text": "gate|criterion|criteria|condition|trigger|requirement|check|factor|quality gate|success criteria|success criterion|exit criteria|rollback trigger|acceptance criteria|description",
        "threshold": "threshold|target|limit|value|metric threshold|measurement|measure|evidence|verification|validation",
        "action": "action|response|reaction|rollback action|then|consequence",
        "owner": _OWNERS + "|approver|decision maker|sign-off|sign off",
        "status": "status|state|met|passed|done|result",
        "phase": "phase|stage|milestone",
        "id": "id|#|no|no.|ref",
    },
    Register.RISKS: {
        "title": "risk|risk item|risk name|name|issue|threat|risk description",
        "description": "description|details|cause|scenario",
        "probability": "probability|likelihood|chance|prob|prob.|p|likelyhood",
        "impact": "impact|consequence|consequences|effect|i",
        "severity": "severity|level|risk level|rating|score|risk score|risk rating|priority|exposure",
        "mitigation": "mitigation|mitigations|mitigation strategy|mitigation plan|mitigation strategies|response|prevention|countermeasure|countermeasures|mitigation status|strategy|action|actions",
        "contingency": "contingency|contingency plan|fallback|plan b|rollback|if it happens|recovery",
        "owner": _OWNERS,
        "status_text": "status|state",
        "phase": "phase|stage",
        "id": "id|#|no|no.|ref|risk id",
    },
    Register.DECISIONS: {
        "title": "title|name|topic|question|subject",
        "outcome": "decision|outcome|resolution|choice|chosen|decided|decision made|answer|choice made|selected",
        "rationale": "rationale|reason|reasons|reasoning|why|justification|because",
        "alternatives": "alternatives|alternatives considered|options|options considered|alternative|rejected|considered",
        "consequences": "consequences|impact|implications|trade-offs|tradeoffs|consequence|effects",
        "context": "context|problem|background|issue|problem statement",
        "owner": _OWNERS + "|decider|deciders|decision maker|decision makers|made by|decided by|approver",
        "date": "date|decided on|decision date|date decided|made on",
        "due": "due|needed by|deadline|due date|decide by|by|needed",
        "status_text": "status|state",
        "id": "id|#|no|no.|ref|adr|document|record",
    },
    Register.METRICS: {
        "name": "metric|kpi|name|indicator|measure|metric name|slo|sli|goal|key metric|success metric|target metric",
        "current": "current|baseline|current baseline|as is|as-is|today|now|before|actual|current value|current state|current status|from|start|present",
        "target": "target|goal|objective|desired|after|to be|to-be|threshold|target value|target state|to|expected|requirement|success target",
        "unit": "unit|units",
        "measured_by": "measured by|measurement|measurement method|source|how|method|tool|how measured|how to measure|data source|measure by|monitoring|measured|measured with|query",
        "owner": _OWNERS,
        "status_text": "status|state|trend|progress",
    },
    Register.MILESTONES: {
        "title": "milestone|name|title|event|key milestone|description of milestone",
        "window": "date|due|when|week|timeline|target|target date|due date|planned|deadline|target week|day|month|schedule|date/week|timing",
        "status": "status|state|done",
        "owner": _OWNERS,
        "criteria": "criteria|success criteria|exit criteria|acceptance criteria|deliverable|deliverables|key deliverables|definition of done",
        "description": "description|details|outcome|notes|what|goal",
        "phase": "phase|stage",
        "id": "id|#|no|no.|ref",
    },
    Register.STAKEHOLDERS: {
        "name": "stakeholder|name|person|who|group|team|stakeholders|member|team member",
        "role": "role|title|position|function|raci",
        "responsibility": "responsibility|responsibilities|interest|interests|involvement|concern|concerns|expectations|influence|duties|needs|communication",
        "contact": "contact|email|e-mail|slack|channel|phone|contact info",
    },
    Register.WORKSTREAMS: {
        "name": "workstream|work stream|stream|track|name",
        "owner": _OWNERS,
        "description": "description|scope|focus|goal|objective|responsibility|deliverables",
    },
}
NAMES: dict[Register, dict[str, str]] = {
    register: {label: name for name, labels in by_name.items() for label in labels.split("|")}
    for register, by_name in _LABELS.items()
}
TITLES: dict[Register, str] = {
    Register.GATES: "text",
    Register.RISKS: "title",
    Register.DECISIONS: "title",
    Register.METRICS: "name",
    Register.MILESTONES: "title",
    Register.STAKEHOLDERS: "name",
    Register.WORKSTREAMS: "name",
}
"""The field that names an entry."""

_UNITS = {"week": Unit.WEEK, "target week": Unit.WEEK, "day": Unit.DAY, "month": Unit.MONTH}
_COMPARISON = r"(?P<comparison><=|>=|==|=|<|>|≤|≥|under|below|less than|at most|max(?:imum)?|up to|over|above|more than|at least|min(?:imum)?|within)"
_QUANTITY = re.compile(
    rf"(?:{_COMPARISON}[ \t]*)?(?P<approx>~|≈|about |approx\.? )?[ \t]*(?P<currency>[$€£])?(?P<number>[-+]?\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?|[-+]?\d+(?:\.\d+)?)[ \t]*(?P<factor>[kKM](?![A-Za-z]))?[ \t]*(?P<unit>%|per[ \t]+\w+|(?!(?:of|and|to|in|for|at|or|by|on|from|is|are|with|within|per)\b)[A-Za-zµ°][\w/µ°²³]*(?:/[A-Za-z]+)?)?",
    re.I,
)
_SIGNS = {
    "≤": "<=",
    "≥": ">=",
    "=": "==",
    "under": "<",
    "below": "<",
    "less than": "<",
    "at most": "<=",
    "max": "<=",
    "maximum": "<=",
    "up to": "<=",
    "within": "<=",
    "over": ">",
    "above": ">",
    "more than": ">",
    "at least": ">=",
    "min": ">=",
    "minimum": ">=",
}


def record_field(register: Register, label: str) -> str:
    """The name that a label has in entries of that register; empty when it has none."""
    return NAMES[register].get(undecorated(label).lower().strip(" \t*_`").rstrip(":").rstrip(), "")


def parse_quantity(text: str) -> Quantity | None:
    """A number with its comparison and unit; a text without a number keeps only its words (``raw``).
    ``None`` for an empty text, ``TBD`` and the like.

    A quantity of the form ``5/8`` is the number 5 with the unit ``/8``.
    """
    text = text.strip()
    if NOTHING.match(text):
        return None
    found = _QUANTITY.search(text)
    if found is None:
        return Quantity(raw=text)
    number = float(found["number"].replace(",", ""))
    if found["factor"]:
        number *= 1_000_000 if found["factor"] == "M" else 1_000
    sign = (found["comparison"] or "").lower()
    after = text[found.end() :]
    unit = found["unit"] or found["currency"] or ""
    if not found["unit"] and not found["factor"]:
        fraction = re.match(r"[ \t]*/[ \t]*\d+", after)
        if fraction:
            unit = fraction[0].replace(" ", "")
        elif after.startswith("+"):
            sign = sign or ">="
    return Quantity(raw=text, comparison=_SIGNS.get(sign, sign), number=number, unit=unit)


def set_record_field(book: Manuscript, record: Record, register: Register, label: str, value: Value) -> bool:
    """Give an entry the field of that label; False when its register has no such field, or has it already."""
    name = record_field(register, label)
    if name == TITLES[register] and name in record.values and register is Register.RISKS:
        # a risk that has a name already says in "Risk" what it is
        name = "description"
    if not name or (name in record.values and name != "status"):
        return False
    text = words(book, value)
    if name == "phase":
        record.refers = record.refers or text
    elif name == "status":
        set_status(book, record, value)
    elif name == "id":
        if text and not NOTHING.match(text):
            record.values["id"] = text
    elif register is Register.METRICS and name in ("current", "target"):
        record.values[name] = parse_quantity(text)
    elif name == "date":
        date = parse_date(text)
        if date is not None:
            record.values[name] = date
    elif name in ("due", "window"):
        window = parse_window(text, _UNITS.get(label.lower().strip()))
        if window is not None or (text and not NOTHING.match(text)):
            record.values[name] = window or Window(raw=text)
    elif name == "criteria":
        record.values[name] = several(book, value)
    elif text and text not in ("-", "–", "—"):
        record.values[name] = text
    return True
