"""The fields that make a task executable: commands, approvals, retries, what to do on failure."""

from __future__ import annotations

import re
import shlex

from crossfade.plans.inline import codes, outside_code
from crossfade.plans.values import Approval, OnFailure

NOTHING = re.compile(r"(?:none|no|nothing|n/?a|not applicable|not needed|not required|-|–|—|tbd)?\.?$", re.I)
"""What people write into a field that has no value."""

_PROMPT = re.compile(r"^(?:\$|>|%)[ \t]+")
_OPEN_END = re.compile(r"(?:\\|\|\|?|&&|\{|\(|\b(?:do|then|else|in))[ \t]*$")
_COMPOUND = re.compile(
    r"^[ \t]*(?:for|while|until|if|case|function|do|then|else|elif|fi|done|esac|\}|\))\b|<<-?[ \t]*['\"\w]|^[ \t]*[})]"
)
_APPROVAL = re.compile(
    r"(?:(?P<count>\d{1,3})|(?P<word>one|two|three|both|yes|required))?(?:[ \t]*(?:x|×)[ \t]*|[ \t]+)?(?:approv(?:al|er)s?|people|persons?|sign-?offs?)?[ \t]*(?:of|from|by|in)?[ \t]*(?:the[ \t]+)?(?:group[ \t]+)?(?P<group>@?[A-Za-z][\w .@/&-]*)?$",
    re.I,
)
_COUNTS = {"one": 1, "two": 2, "three": 3, "both": 2, "yes": 1, "required": 1}


def parse_commands(text: str, nested: list[str], blocks: list[str]) -> tuple[str, ...]:
    """The commands of a field in order: its code spans, or its plain text when it has none; then those of the
    bullets and of the code blocks below it.  ``None``, ``-`` and the like are no command."""
    found: list[str] = []
    for one in [text, *nested]:
        spans = codes(one)
        if spans:
            found += [span for span in spans if span]
        elif one.strip() and not NOTHING.match(one.strip()):
            found.append(one.strip())
    for block in blocks:
        found += block_commands(block)
    return tuple(found)


def block_commands(block: str) -> list[str]:
    """The commands of a code block: one for each line, continued lines joined, comments and prompts dropped.
    A block with shell constructs that span lines (loops, conditions, here-documents) is one command."""
    kept = [line for line in block.split("\n") if line.strip() and not line.lstrip().startswith("#")]
    if not kept:
        return []
    if any(_COMPOUND.search(line) for line in kept):
        return [block.strip("\n")]
    commands, waiting = [], ""
    for line in kept:
        line = _PROMPT.sub("", line.strip()) if not waiting else line.strip()
        waiting = f"{waiting} {line}".strip() if waiting else line
        if waiting.endswith("\\"):
            waiting = waiting[:-1].rstrip()
            continue
        if _OPEN_END.search(waiting):
            continue
        try:
            shlex.split(waiting)
        except ValueError:
            # a quote that goes on in the next line: only the whole block is a command
            return [block.strip("\n")]
        commands.append(waiting)
        waiting = ""
    if waiting:
        commands.append(waiting)
    return commands


def parse_gate(text: str) -> str:
    """The expression of a gate: its code span, several joined by ``&&``, or the text as it stands."""
    spans = codes(text)
    if not spans:
        text = text.strip()
        return "" if NOTHING.match(text) else text
    if len(spans) == 1:
        return spans[0]
    joint = " || " if re.search(r"\bor\b|\|\|", outside_code(text), re.I) else " && "
    return joint.join(f"({span})" for span in spans)


def parse_approval(text: str) -> Approval | None:
    """``2 of ops``, ``ops``, ``2``, ``two approvals from the DBAs``; ``None`` for a text that asks for nobody or that
    is not understood (the caller tells these apart by `NOTHING`)."""
    text = text.strip().strip("`*")
    if NOTHING.match(text):
        return None
    found = _APPROVAL.match(text)
    if found is None:
        return None
    count = int(found["count"]) if found["count"] else _COUNTS.get((found["word"] or "one").lower(), 1)
    group = (found["group"] or "").strip().lstrip("@") or None
    return Approval(raw=text, count=count, group=group) if count > 0 else None


def parse_retry(text: str) -> int | None:
    """``3``, ``3 times``, ``up to 2``; nothing and ``none`` are 0; ``None`` when it is not understood."""
    text = text.strip().strip("`*")
    if NOTHING.match(text):
        return 0
    words = {"once": 1, "twice": 2}
    if text.lower() in words:
        return words[text.lower()]
    found = re.search(r"(?<![\d.])\d{1,3}(?![\d.])", text)
    return int(found[0]) if found else None


def parse_on_failure(text: str) -> OnFailure | None:
    """``stop`` or ``undo`` (also ``abort``, ``halt``; ``roll back``, ``revert``)."""
    text = text.strip().strip("`*").lower()
    if re.match(r"(?:stop|abort|halt|pause|fail)", text):
        return OnFailure.STOP
    return OnFailure.UNDO if re.match(r"(?:undo|roll-? ?back|revert)", text) else None
