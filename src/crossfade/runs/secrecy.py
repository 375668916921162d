"""Masking what a run keeps: output line by line, and whole JSON values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crossfade.masking import mask

_SHORTEST = 6
"""Characters of a line of a secret that is a secret by itself; a shorter one would mask ordinary words."""


def by_line(secrets: Iterable[str]) -> tuple[str, ...]:
    """The secrets, and each line of those that have several: output is masked line by line."""
    found: list[str] = []
    for secret in secrets:
        found.append(secret)
        if "\n" in secret.strip():
            found += [line.strip() for line in secret.splitlines() if len(line.strip()) >= _SHORTEST]
    return tuple(dict.fromkeys(one for one in found if one))


def masked(value: Any, secrets: Sequence[str]) -> Any:
    """A JSON value with every text in it masked."""
    match value:
        case str():
            return mask(value, secrets)
        case Mapping():
            return {str(name): masked(item, secrets) for name, item in value.items()}
        case list() | tuple():
            return [masked(item, secrets) for item in value]
    return value
