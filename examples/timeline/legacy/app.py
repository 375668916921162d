"""The Flask application: routes, a connection per request, and errors."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask, Response, g, request, send_from_directory
from werkzeug.exceptions import HTTPException, NotFound

from examples.timeline import rules
from examples.timeline.legacy import database, figures, games
from examples.timeline.legacy import requests as wanted
from examples.timeline.legacy.answers import (
    ApiError,
    api_time,
    error_reply,
    event_json,
    reply,
    session_json,
)

WEB = Path(__file__).parents[1] / "web"


def create_app(path: Path, *, statistics_ttl: float = 5.0) -> Flask:
    """The application on the database at ``path``, which is created when it is missing.

    Statistics are computed at most once in ``statistics_ttl`` seconds.
    """
    store = database.Database(path)
    store.prepare()
    app = Flask(__name__, static_folder=None)

    def db() -> sqlite3.Connection:
        if "db" not in g:
            g.db = store.connect()
        connection: sqlite3.Connection = g.db
        return connection

    @app.teardown_appcontext
    def close(_: BaseException | None) -> None:
        connection = g.pop("db", None)
        if connection is not None:
            connection.close()

    @app.after_request
    def name_the_app(response: Response) -> Response:
        response.headers["X-Served-By"] = "timeline-legacy"
        return response

    _add_errors(app)
    _add_reading(app, store, db, statistics_ttl)
    _add_playing(app, store, db)
    _add_pages(app)
    return app


def _add_errors(app: Flask) -> None:
    @app.errorhandler(ApiError)
    def refused(error: ApiError) -> Response:
        return error_reply(error)

    @app.errorhandler(HTTPException)
    def not_routed(error: HTTPException) -> Response:
        if error.code == 404:
            return error_reply(ApiError(404, "not_found", "There is nothing at this address."))
        if error.code == 405:
            return error_reply(ApiError(405, "method_not_allowed", "This address does not take that method."))
        return error_reply(ApiError(error.code or 500, "http_error", error.name))

    @app.errorhandler(sqlite3.OperationalError)
    def unavailable(error: sqlite3.OperationalError) -> Response:
        app.logger.error("database: %s", error)
        return error_reply(ApiError(503, "database_unavailable", "The database does not answer."))

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        app.logger.error("%s %s failed: %r", request.method, request.path, error)
        return error_reply(ApiError(500, "internal_error", "Something went wrong."))


def _add_reading(
    app: Flask, store: database.Database, db: Callable[[], sqlite3.Connection], statistics_ttl: float
) -> None:
    kept: dict[str, Any] = {"until": 0.0, "answer": None}

    @app.get("/api/health")
    def health() -> Response:
        try:
            with store.reading(db()) as connection:
                connection.execute("SELECT 1 FROM events LIMIT 1").fetchone()
        except sqlite3.Error:
            return reply({"status": "unavailable", "database": "unreachable"}, 503)
        return reply({"status": "ok", "database": "reachable"})

    @app.get("/api/events")
    def events() -> Response:
        count = wanted.query_integer(request.args, "count", None)
        limit = wanted.query_integer(request.args, "limit", rules.PAGE_DEFAULT) or rules.PAGE_DEFAULT
        category = wanted.query_choice(request.args, "category", rules.CATEGORIES)
        difficulty = wanted.query_choice(request.args, "difficulty", (*rules.DIFFICULTIES, rules.MIXED))
        after = wanted.event_cursor(request.args) if count is None else 0
        conditions: list[str] = ["id > ?"]
        values: list[int | str] = [after]
        for column, value in (("category", category), ("difficulty", difficulty)):
            if value is not None and value != rules.MIXED:
                conditions.append(f"{column} = ?")
                values.append(value)
        order, most = ("id", limit + 1) if count is None else ("random()", count)
        query = f"SELECT * FROM events WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT ?"
        with store.reading(db()) as connection:
            rows = connection.execute(query, (*values, most)).fetchall()
        more = count is None and len(rows) > limit
        if more:
            rows = rows[:limit]
        return reply(
            {
                "items": [event_json(row) for row in rows],
                "next_cursor": str(rows[-1]["id"]) if more else None,
            }
        )

    @app.get("/api/categories")
    def categories() -> Response:
        query = "SELECT category, count(*) FROM events GROUP BY category ORDER BY category"
        with store.reading(db()) as connection:
            rows = connection.execute(query).fetchall()
        return reply({"items": [{"name": name, "events": count} for name, count in rows]})

    @app.get("/api/statistics")
    def statistics() -> Response:
        if time.monotonic() >= kept["until"]:
            with store.reading(db()) as connection:
                kept["answer"] = figures.statistics(connection)
            kept["until"] = time.monotonic() + statistics_ttl
        return reply(kept["answer"])

    @app.get("/api/leaderboard")
    def leaderboard() -> Response:
        limit = wanted.query_integer(request.args, "limit", 10) or 10
        difficulty = wanted.query_choice(request.args, "difficulty", (*rules.DIFFICULTIES, rules.MIXED))
        with store.reading(db()) as connection:
            answer = figures.leaderboard(connection, limit, difficulty)
        return reply(answer)


def _add_playing(app: Flask, store: database.Database, db: Callable[[], sqlite3.Connection]) -> None:
    @app.get("/api/game-sessions")
    def sessions() -> Response:
        limit = wanted.query_integer(request.args, "limit", rules.PAGE_DEFAULT) or rules.PAGE_DEFAULT
        after = wanted.session_cursor(request.args)
        where = "" if after is None else " WHERE (started_at, id) < (?, ?)"
        bounds = () if after is None else (database.stored_time(after[0]), after[1])
        query = f"SELECT * FROM game_sessions{where} ORDER BY started_at DESC, id DESC LIMIT ?"
        with store.reading(db()) as connection:
            rows = connection.execute(query, (*bounds, limit + 1)).fetchall()
        cursor = None
        if len(rows) > limit:
            rows = rows[:limit]
            cursor = f"{api_time(database.read_time(rows[-1]['started_at']))}~{rows[-1]['id']}"
        return reply({"items": [session_json(row) for row in rows], "next_cursor": cursor})

    @app.post("/api/game-sessions")
    def create() -> Response:
        asked = wanted.new_session(wanted.json_object(request.get_data(cache=False)))
        with store.writing(db()) as connection:
            answer = games.create(connection, asked)
        return reply(answer, 201)

    @app.get("/api/game-sessions/<session_id>")
    def read(session_id: str) -> Response:
        with store.reading(db()) as connection:
            answer = games.read(connection, session_id)
        return reply(answer)

    @app.post("/api/game-sessions/<session_id>/moves")
    def move(session_id: str) -> Response:
        asked = wanted.new_move(wanted.json_object(request.get_data(cache=False)))
        with store.writing(db()) as connection:
            answer = games.move(connection, session_id, asked)
        return reply(answer, 201)

    @app.post("/api/game-sessions/<session_id>/complete")
    def complete(session_id: str) -> Response:
        with store.writing(db()) as connection:
            answer = games.complete(connection, session_id)
        return reply(answer)


def _add_pages(app: Flask) -> None:
    @app.get("/")
    def index() -> Response:
        return send_from_directory(WEB, "index.html")

    @app.get("/<path:name>")
    def page(name: str) -> Response:
        if name.startswith("api/"):
            raise NotFound
        return send_from_directory(WEB, name)
