"""Who may change the cards: API keys with roles, from the environment."""

from __future__ import annotations

import enum
import hmac
from collections.abc import Callable, Mapping

from fastapi import Request

from examples.timeline.backend.errors import ApiError

KEYS_VARIABLE = "TIMELINE_ADMIN_KEYS"
"""``key:role`` pairs separated by commas: ``s3cret:admin,other:viewer``."""


class Role(enum.IntEnum):
    """Each role may do what the ones below it may."""

    VIEWER = 1
    EDITOR = 2
    ADMIN = 3


def read_keys(text: str) -> dict[str, Role]:
    """The keys of the environment variable.  Raises ``ValueError`` on an unknown role or an empty key."""
    keys: dict[str, Role] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        key, _, role = pair.rpartition(":")
        if not key or role.upper() not in Role.__members__:
            raise ValueError(f"{KEYS_VARIABLE}: a part is not key:viewer, key:editor or key:admin")
        keys[key] = Role[role.upper()]
    return keys


def needs(least: Role) -> Callable[[Request], None]:
    """A dependency that lets keys of that role or a higher one through; otherwise 401 or 403."""

    def check(request: Request) -> None:
        role = _role_of(request.headers.get("x-api-key", ""), request.app.state.keys)
        if role is None:
            raise ApiError(401, "unauthorized", "The header X-API-Key is missing or its key is unknown.")
        if role < least:
            raise ApiError(403, "forbidden", f"This needs the role {least.name.lower()}.")

    return check


def _role_of(given: str, keys: Mapping[str, Role]) -> Role | None:
    """Compares with every key in constant time."""
    found: Role | None = None
    for key, role in keys.items():
        if hmac.compare_digest(key.encode(), given.encode()):
            found = role
    return found
