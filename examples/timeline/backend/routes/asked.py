"""What every route needs: the database of the app, answers, and checked query strings."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel

from examples.timeline import rules
from examples.timeline.backend.database import Database
from examples.timeline.backend.errors import invalid
from examples.timeline.backend.schemas import Category, DifficultyOrMixed, is_canonical_uuid


async def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


Db = Annotated[Database, Depends(_database)]
Limit = Annotated[int, Query(ge=1, le=rules.PAGE_MOST, description="How many items a page has.")]
Cursor = Annotated[str | None, Query(description="The next_cursor of an earlier answer.")]
InCategory = Annotated[Category | None, Query()]
OfDifficulty = Annotated[DifficultyOrMixed | None, Query()]


def reply(answer: BaseModel, status: int = 200) -> Response:
    """The answer as JSON.  It was validated when it was made, so FastAPI need not do it again."""
    return Response(answer.model_dump_json(), status, media_type="application/json")


def event_cursor(cursor: str | None) -> int:
    """The id after which a page of events begins.  Raises ``ApiError`` (422)."""
    text = "0" if cursor is None else cursor
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise invalid("cursor")
    return int(text)


def session_cursor(cursor: str | None) -> tuple[datetime, UUID] | None:
    """Start and id of the session after which a page begins.  Raises ``ApiError`` (422)."""
    if cursor is None:
        return None
    start, _, session_id = cursor.partition("~")
    try:
        moment = datetime.strptime(start, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        moment = None
    if moment is None or not is_canonical_uuid(session_id):
        raise invalid("cursor")
    return moment, UUID(session_id)
