"""Errors as clients see them: one body for all of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from examples.timeline import rules
from examples.timeline.backend.schemas import ErrorBody, ErrorInside, FieldProblem

BACKEND_PROBLEMS = rules.PROBLEMS | {
    "title": "must be text of 1 to 120 characters",
    "year": "must be an integer from -5000 to 2100 and not 0",
    "description": "must be text of at most 500 characters",
    "source": "must be text of 1 to 40 characters",
    "days": "must be an integer from 1 to 3660",
}
"""The game's own field messages, and those of the routes that only this app has."""


_log = logging.getLogger(__name__)


class ApiError(Exception):
    """An answer with a 4xx or 5xx status."""

    def __init__(self, status: int, code: str, message: str, details: Sequence[FieldProblem] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = list(details)


def session_missing() -> ApiError:
    return ApiError(404, "session_not_found", "There is no such game session.")


def invalid(*fields: str) -> ApiError:
    """422 for these fields."""
    details = [FieldProblem(field=field, message=BACKEND_PROBLEMS[field]) for field in fields]
    return ApiError(422, "validation_error", "The request has fields that are not valid.", details)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says about these error statuses."""
    return {status: {"model": ErrorBody, "description": _MEANINGS[status]} for status in statuses}


def error_response(error: ApiError) -> Response:
    body = ErrorBody(error=ErrorInside(code=error.code, message=error.message, details=error.details))
    return Response(body.model_dump_json(), error.status, media_type="application/json")


class AnswerEverything:
    """ASGI middleware: an exception that nobody handled is logged and answered 500.

    FastAPI's own handler for ``Exception`` raises it again after the answer, and the server then closes a
    connection on which the client may already have sent its next request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:  # whatever it is: nobody sees a trace, and the log has it
            _log.exception("%s %s failed", scope["method"], scope["path"])
            if started:
                raise
            answer = error_response(ApiError(500, "internal_error", "Something went wrong."))
            await answer(scope, receive, send)


def add_handlers(app: FastAPI) -> None:
    """Answer every failure with the error body."""
    app.add_middleware(AnswerEverything)

    @app.exception_handler(ApiError)
    async def refused(_: Request, error: ApiError) -> Response:
        return error_response(error)

    @app.exception_handler(RequestValidationError)
    async def not_valid(_: Request, error: RequestValidationError) -> Response:
        return error_response(_of_validation(error))

    @app.exception_handler(HTTPException)
    async def not_routed(_: Request, error: HTTPException) -> Response:
        code, message = _ROUTING.get(error.status_code, ("http_error", str(error.detail)))
        return error_response(ApiError(error.status_code, code, message))

    @app.exception_handler(OperationalError)
    @app.exception_handler(InterfaceError)
    @app.exception_handler(PoolTimeout)
    async def unavailable(request: Request, error: Exception) -> Response:
        _log.error("%s %s: the database does not answer: %s", request.method, request.url.path, error)
        return error_response(ApiError(503, "database_unavailable", "The database does not answer."))


_MEANINGS = {
    400: "The body is not JSON.",
    401: "The API key is missing or unknown.",
    403: "The API key's role does not allow this.",
    404: "There is no such thing.",
    409: "The state of the game does not allow this.",
    422: "Fields are not valid.",
    503: "The database does not answer.",
}

_ROUTING = {
    400: ("invalid_json", "The request body is not valid JSON."),
    404: ("not_found", "There is nothing at this address."),
    405: ("method_not_allowed", "This address does not take that method."),
}


def _of_validation(error: RequestValidationError) -> ApiError:
    fields: list[str] = []
    for problem in error.errors():
        place = problem["loc"]
        if problem["type"] == "json_invalid" or (place == ("body",) and problem["type"] == "missing"):
            return ApiError(400, *_ROUTING[400])
        field = str(place[1]) if len(place) > 1 else "body"
        if field not in fields:
            fields.append(field)
    return invalid(*fields)
