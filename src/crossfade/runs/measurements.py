"""What a command measured: the JSON object with which its output ends."""

from __future__ import annotations

import json
from typing import Any

LARGEST = 64 * 1024
"""Characters of a JSON object that is kept as a measurement; a larger one is left in the output file."""

_TRIES = 100
"""Lines at which the object is looked for."""


def last_object(output: str) -> dict[str, Any] | None:
    """The JSON object at the end of an output, be it one line or several; None when there is none.

    Numbers that JSON does not know (NaN, Infinity) make it none: nothing follows from them.
    """
    text = output.rstrip()
    if not text.endswith("}"):
        return None
    begin = len(text)
    for _ in range(_TRIES):
        while begin > 0:
            begin = text.rfind("\n", 0, begin - 1) + 1
            if text.startswith("{", begin):
                break
        if len(text) - begin > LARGEST or not text.startswith("{", begin):
            return None
        found = _parse(text[begin:])
        if found is not None or begin == 0:
            return found
    return None


def _parse(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")
