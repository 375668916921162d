"""Which commands a rehearsal may run: those that reach nothing but the scratch stores.

In doubt it may not.  A command line goes through a shell, so everything that a shell could make of it counts.
"""

from __future__ import annotations

import re
import shlex

_VERBS = frozenset(
    [
        "backup",
        "check",
        "complete",
        "copy",
        "cutover",
        "doctor",
        "evidence",
        "follow",
        "rollback",
        "shift",
        "status",
        "verify",
    ]
)
"""Verbs that act on the move of ``CROSSFADE_SPEC``, which in a rehearsal is the scratch one."""

_BETWEEN = frozenset({"&&", "||", ";"})
_EXPANDED = re.compile(r"[$`\n\r\\*?\[~{}#]")
_FLAGS = frozenset({"--accept-loss", "--cut-off", "--detach", "--json", "--repair", "--stop"})
_VALUED = frozenset({"--interval", "--reason"})
_OPERATOR = re.compile(r"[();<>|&]+")
_SHARE = re.compile(r"^\d+(\.\d+)?%?$")


def is_harmless(command: str) -> bool:
    """Whether it is nothing but verbs of Crossfade on the move at hand: no other program, no file or database that
    it names itself, no redirection, nothing that the shell would fill in."""
    if _EXPANDED.search(command):
        return False
    words = shlex.shlex(command, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    words.commenters = ""
    try:
        tokens = list(words)
    except ValueError:
        return False
    calls: list[list[str]] = [[]]
    for token in tokens:
        if token in _BETWEEN:
            calls.append([])
        else:
            calls[-1].append(token)
    return all(_is_verb(call) and not any(map(_OPERATOR.fullmatch, call)) for call in calls)


def _is_verb(call: list[str]) -> bool:
    if len(call) < 2 or call[0] != "crossfade" or call[1] not in _VERBS:
        return False
    arguments = call[2:]
    if call[1] == "evidence":
        return arguments in (["verify"], ["verify", "--json"])
    rest = iter(arguments)
    for argument in rest:
        if argument in _VALUED:
            if next(rest, None) is None:
                return False
        elif argument not in _FLAGS and not (call[1] == "shift" and _SHARE.match(argument)):
            return False
    return True
