"""What clients send: bodies and query strings, checked by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from examples.timeline import rules
from examples.timeline.legacy.answers import ApiError


@dataclass(frozen=True, slots=True)
class NewSession:
    """The body of ``POST /api/game-sessions``."""

    id: str | None
    player_name: str
    card_count: int
    categories: list[str]
    difficulty: str


@dataclass(frozen=True, slots=True)
class NewMove:
    """The body of ``POST /api/game-sessions/{id}/moves``."""

    event_id: int
    position: int
    response_ms: int | None
    idempotency_key: str


class Problems:
    """Collects the fields that are wrong, one line each."""

    def __init__(self) -> None:
        self._details: list[dict[str, Any]] = []

    def check(self, field: str, fine: bool) -> None:
        if not fine:
            self._details.append({"field": field, "message": rules.PROBLEMS[field]})

    def stop(self) -> None:
        """Raises ``ApiError`` (422) when a field was wrong."""
        if self._details:
            raise invalid(self._details)


def invalid(details: list[dict[str, Any]]) -> ApiError:
    return ApiError(422, "validation_error", "The request has fields that are not valid.", details)


def json_object(data: bytes) -> Mapping[str, Any]:
    """The body as a JSON object.  Raises ``ApiError`` (400 not JSON, 422 not an object)."""
    try:
        body = json.loads(data)
    except ValueError:
        raise ApiError(400, "invalid_json", "The request body is not valid JSON.") from None
    problems = Problems()
    problems.check("body", isinstance(body, dict))
    problems.stop()
    fields: Mapping[str, Any] = body
    return fields


def new_session(body: Mapping[str, Any]) -> NewSession:
    """Raises ``ApiError`` (422)."""
    session_id = body.get("id")
    name = body.get("player_name")
    name = name.strip() if isinstance(name, str) else ""
    card_count = body.get("card_count", rules.CARDS_DEFAULT)
    categories = body.get("categories", [])
    difficulty = body.get("difficulty", rules.MIXED)
    problems = Problems()
    problems.check("id", session_id is None or _is_uuid(session_id))
    problems.check("player_name", 1 <= len(name) <= rules.NAME_LONGEST and rules.is_storable(name))
    problems.check("card_count", _is_integer(card_count, rules.CARDS_LEAST, rules.CARDS_MOST))
    problems.check("categories", _are_categories(categories))
    problems.check("difficulty", difficulty in (*rules.DIFFICULTIES, rules.MIXED))
    problems.stop()
    return NewSession(session_id, name, card_count, categories, difficulty)


def new_move(body: Mapping[str, Any]) -> NewMove:
    """Raises ``ApiError`` (422)."""
    event_id, position = body.get("event_id"), body.get("position")
    response_ms, key = body.get("response_ms"), body.get("idempotency_key")
    problems = Problems()
    problems.check("event_id", _is_integer(event_id, 1, 2**63 - 1))
    problems.check("position", _is_integer(position, 0, rules.CARDS_MOST))
    problems.check("response_ms", response_ms is None or _is_integer(response_ms, 0, rules.RESPONSE_MS_MOST))
    problems.check("idempotency_key", _is_key(key))
    problems.stop()
    return NewMove(int(event_id or 0), int(position or 0), response_ms, str(key))


def query_integer(query: Mapping[str, str], field: str, default: int | None) -> int | None:
    """A page size of the query string, or ``default``.  Raises ``ApiError`` (422)."""
    text = query.get(field)
    if text is None:
        return default
    problems = Problems()
    problems.check(field, text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= rules.PAGE_MOST)
    problems.stop()
    return int(text)


def query_choice(query: Mapping[str, str], field: str, choices: tuple[str, ...]) -> str | None:
    """One of ``choices`` of the query string, or None.  Raises ``ApiError`` (422)."""
    text = query.get(field)
    problems = Problems()
    problems.check(field, text is None or text in choices)
    problems.stop()
    return text


def event_cursor(query: Mapping[str, str]) -> int:
    """The id after which a page of events begins.  Raises ``ApiError`` (422)."""
    text = query.get("cursor", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise invalid([{"field": "cursor", "message": rules.PROBLEMS["cursor"]}])
    return int(text)


def session_cursor(query: Mapping[str, str]) -> tuple[datetime, str] | None:
    """Start and id of the session after which a page begins.  Raises ``ApiError`` (422)."""
    text = query.get("cursor")
    if text is None:
        return None
    start, _, session_id = text.partition("~")
    try:
        moment = datetime.strptime(start, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        moment = None
    if moment is None or not _is_uuid(session_id):
        raise invalid([{"field": "cursor", "message": rules.PROBLEMS["cursor"]}])
    return moment, session_id


def _is_integer(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_uuid(value: Any) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value
    except ValueError:
        return False


def _are_categories(value: Any) -> bool:
    if not isinstance(value, list) or not all(item in rules.CATEGORIES for item in value):
        return False
    return len(set(value)) == len(value)


def _is_key(value: Any) -> bool:
    fits = isinstance(value, str) and rules.KEY_SHORTEST <= len(value) <= rules.KEY_LONGEST
    return fits and rules.is_storable(value)
