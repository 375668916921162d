"""Words that stand where something is still to be said: ``TBD``, ``?``, ``unassigned``; and people's names."""

from __future__ import annotations

import re

_PLACEHOLDER = re.compile(
    r"""[\s\[\](){}<>*_`.]*(?:
        t\.?b\.?[dacns]\.?|to\ be\ (?:determined|decided|defined|announced|assigned|confirmed|named|found)|
        to-?do|\?+|unassigned|not\ (?:yet\ )?(?:assigned|decided|defined|known)|unknown|nobody|no\ one|none\ yet|
        name|owner|your\ name|(?:some|any)(?:one|body)|x{2,}|open|pending|tba/tbd
    )[\s\[\](){}<>*_`.]*""",
    re.I | re.X,
)
_NONE = re.compile(r"[\s*_`]*(?:-+|–|—|n/?a\.?|none|nil|not applicable|/)[\s*_`.]*", re.I)
_BETWEEN = re.compile(r"\s*(?:[,;&+/]|\band\b)\s*", re.I)
_ROLE = re.compile(r"\([^()]*\)")


def is_placeholder(text: str) -> bool:
    """Whether a text says that it is still to be written: ``TBD``, ``TBA?``, ``[to be assigned]``, ``???``."""
    return _PLACEHOLDER.fullmatch(text.rstrip("?!") or text) is not None


def says_none(text: str) -> bool:
    """Whether a text says that there is deliberately nothing: ``-``, ``n/a``, ``none``."""
    return _NONE.fullmatch(text) is not None


def people(text: str) -> tuple[str, ...]:
    """The owners that a text names, each once: ``Ada, @bob & the DBAs`` are three.  Placeholders are nobody."""
    if is_placeholder(text) or says_none(text):
        return ()
    found: dict[str, str] = {}
    for part in _BETWEEN.split(_ROLE.sub("", text)):
        name = part.strip().strip("@*_`").strip()
        if name and not is_placeholder(name) and not says_none(name):
            found.setdefault(name.casefold(), name)
    return tuple(found.values())
