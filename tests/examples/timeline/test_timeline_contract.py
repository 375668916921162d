"""One suite against both servers: what one answers, the other answers, byte for byte."""

from __future__ import annotations

import json
import re
import sqlite3
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import psycopg
import pytest

from examples.timeline.legacy.database import stored_time
from tests.examples.timeline.conftest import Running

SESSION = "5b0c1f4e-6f0d-4d0a-9a39-0b6f1c1c9f10"
_TIMES = re.compile(rb'"(started_at|completed_at|placed_at)":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"')


class Both:
    """Sends every request to both apps and compares the answers."""

    def __init__(self, legacy: Running, backend: Running) -> None:
        self.legacy, self.backend = legacy, backend
        self._clients = [httpx.Client(base_url=server.url, timeout=20) for server in (legacy, backend)]

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def raw(self, method: str, path: str, **request: Any) -> list[httpx.Response]:
        """Both answers; only their status and content type are compared."""
        answers = [client.request(method, path, **request) for client in self._clients]
        assert answers[0].status_code == answers[1].status_code, [a.text for a in answers]
        assert answers[0].headers["content-type"] == answers[1].headers["content-type"]
        return answers

    def same(self, method: str, path: str, status: int, **request: Any) -> Any:
        """The answer, which must be the same bytes, instants masked."""
        one, other = self.raw(method, path, **request)
        assert one.status_code == status, one.text
        assert _TIMES.sub(rb'"\1":T', one.content) == _TIMES.sub(rb'"\1":T', other.content)
        return one.json()

    def alike(self, method: str, path: str, status: int, **request: Any) -> list[Any]:
        """Both answers, which must have the same fields of the same types in the same order."""
        answers = self.raw(method, path, **request)
        assert answers[0].status_code == status, answers[0].text
        bodies = [answer.json() for answer in answers]
        assert _shape(bodies[0]) == _shape(bodies[1])
        return bodies

    def plant(self, session_id: str, *, cards: list[int], started_at: str, player: str = "Ada") -> None:
        """The same session with the same deck in both databases."""
        values = (
            session_id, player, len(cards) - 1, '["war","politics"]', "mixed", json.dumps(cards), cards[0],
        )  # fmt: skip
        columns = "id, player_name, card_count, categories, difficulty, deck, start_event_id, started_at"
        file = sqlite3.connect(self.legacy.database)
        with file:
            file.execute(
                f"INSERT INTO game_sessions ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*values, stored_time(datetime.fromisoformat(started_at))),
            )
        file.close()
        with psycopg.connect(self.backend.database) as connection:
            connection.execute(
                f"INSERT INTO game_sessions ({columns}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                (*values, started_at),
            )


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return [(name, _shape(inner)) for name, inner in value.items()]
    if isinstance(value, list):
        return [_shape(value[0])] if value else []
    return type(value).__name__


@pytest.fixture(scope="module")
def both(legacy: Running, backend: Running) -> Iterator[Both]:
    pair = Both(legacy, backend)
    yield pair
    pair.close()


@pytest.mark.parametrize(
    "path",
    [
        "/api/health",
        "/api/events",
        "/api/events?limit=300",
        "/api/events?limit=3&cursor=17",
        "/api/events?category=nature",
        "/api/events?category=war&difficulty=hard&limit=5",
        "/api/events?difficulty=mixed&limit=1",
        "/api/events?cursor=999999",
        "/api/categories",
    ],
)
def test_reads_answer_the_same_bytes(both: Both, path: str) -> None:
    both.same("GET", path, 200)


def test_pages_of_events_cover_all_of_them_once(both: Both) -> None:
    seen: list[int] = []
    cursor = "0"
    for _ in range(20):
        page = both.same("GET", f"/api/events?limit=100&cursor={cursor}", 200)
        seen += [event["id"] for event in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) >= 160


def test_a_draw_is_random_and_keeps_to_its_filters(both: Both) -> None:
    for page in both.alike("GET", "/api/events?count=5&category=war&difficulty=hard", 200):
        assert len({event["id"] for event in page["items"]}) == 5
        assert {(event["category"], event["difficulty"]) for event in page["items"]} == {("war", "hard")}
    draws = {both.raw("GET", "/api/events?count=20")[side].content for side in (0, 1) for _ in range(3)}
    assert len(draws) == 6


_VALID = {"player_name": "Ada", "card_count": 5}
_MOVE = {"event_id": 1, "position": 0, "idempotency_key": "k" * 12}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/nothing", None, 404),
        ("GET", "/nothing.html", None, 404),
        ("GET", "/api/events/", None, 404),
        ("DELETE", "/api/events", None, 405),
        ("PUT", f"/api/game-sessions/{SESSION}", b"{}", 405),
        ("GET", "/api/events?limit=0", None, 422),
        ("GET", "/api/events?limit=301", None, 422),
        ("GET", "/api/events?limit=many", None, 422),
        ("GET", "/api/events?count=0", None, 422),
        ("GET", "/api/events?category=love", None, 422),
        ("GET", "/api/events?difficulty=extreme", None, 422),
        ("GET", "/api/events?cursor=x", None, 422),
        ("GET", "/api/game-sessions?cursor=x", None, 422),
        ("GET", f"/api/game-sessions?cursor=2024-05-01T12:34:56.789Z~{SESSION.upper()}", None, 422),
        ("GET", "/api/leaderboard?difficulty=extreme", None, 422),
        ("GET", f"/api/game-sessions/{uuid.UUID(int=1)}", None, 404),
        ("GET", f"/api/game-sessions/{SESSION.upper()}", None, 404),
        ("GET", "/api/game-sessions/not-a-uuid", None, 404),
        ("POST", "/api/game-sessions", b"", 400),
        ("POST", "/api/game-sessions", b"{", 400),
        ("POST", "/api/game-sessions", b"null", 422),
        ("POST", "/api/game-sessions", b"\xff\xfe\xfd", 400),
        ("POST", "/api/game-sessions", b"[1]", 422),
        ("POST", "/api/game-sessions", b'"text"', 422),
        ("POST", "/api/game-sessions", {}, 422),
        ("POST", "/api/game-sessions", _VALID | {"player_name": "   "}, 422),
        ("POST", "/api/game-sessions", _VALID | {"player_name": "x" * 41}, 422),
        ("POST", "/api/game-sessions", _VALID | {"player_name": 7}, 422),
        ("POST", "/api/game-sessions", _VALID | {"player_name": "a\0b"}, 422),
        ("POST", "/api/game-sessions", b'{"player_name": "\\ud800"}', 422),
        ("POST", "/api/game-sessions", _VALID | {"card_count": "5"}, 422),
        ("POST", "/api/game-sessions", _VALID | {"card_count": True}, 422),
        ("POST", "/api/game-sessions", _VALID | {"card_count": 5.0}, 422),
        ("POST", "/api/game-sessions", _VALID | {"card_count": None}, 422),
        ("POST", "/api/game-sessions", _VALID | {"card_count": 2}, 422),
        ("POST", "/api/game-sessions", _VALID | {"card_count": 21}, 422),
        ("POST", "/api/game-sessions", _VALID | {"categories": ["war", "love"]}, 422),
        ("POST", "/api/game-sessions", _VALID | {"categories": ["war", "war"]}, 422),
        ("POST", "/api/game-sessions", _VALID | {"categories": [["war"]]}, 422),
        ("POST", "/api/game-sessions", _VALID | {"categories": None}, 422),
        ("POST", "/api/game-sessions", _VALID | {"difficulty": "extreme"}, 422),
        ("POST", "/api/game-sessions", _VALID | {"difficulty": ["easy"]}, 422),
        ("POST", "/api/game-sessions", _VALID | {"id": "x"}, 422),
        ("POST", "/api/game-sessions", b'{"player_name": "Ada", "id": "\\ud800"}', 422),
        ("POST", "/api/game-sessions", _VALID | {"id": SESSION.upper()}, 422),
        ("POST", "/api/game-sessions", {"id": 1, "player_name": "", "card_count": 0, "difficulty": 3}, 422),
        (
            "POST",
            "/api/game-sessions",
            _VALID | {"card_count": 20, "categories": ["nature"], "difficulty": "hard"},
            409,
        ),
        ("POST", f"/api/game-sessions/{uuid.UUID(int=1)}/moves", _MOVE, 404),
        ("POST", f"/api/game-sessions/{uuid.UUID(int=1)}/moves", {}, 422),
        ("POST", f"/api/game-sessions/{uuid.UUID(int=1)}/moves", _MOVE | {"event_id": 0}, 422),
        ("POST", f"/api/game-sessions/{uuid.UUID(int=1)}/moves", _MOVE | {"event_id": 2**63}, 422),
        ("POST", f"/api/game-sessions/{uuid.UUID(int=1)}/moves", _MOVE | {"position": -1}, 422),
        ("POST", f"/api/game-sessions/{uuid.UUID(int=1)}/moves", _MOVE | {"position": False}, 422),
        ("POST", f"/api/game-sessions/{uuid.UUID(int=1)}/moves", _MOVE | {"response_ms": -1}, 422),
        ("POST", f"/api/game-sessions/{uuid.UUID(int=1)}/moves", _MOVE | {"idempotency_key": "short"}, 422),
        ("POST", f"/api/game-sessions/{uuid.UUID(int=1)}/complete", {}, 404),
    ],
)
def test_errors_answer_the_same_bytes(
    both: Both, method: str, path: str, body: dict[str, Any] | bytes | None, status: int
) -> None:
    request: dict[str, Any] = {}
    if body is not None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = {"content": content, "headers": {"content-type": "application/json"}}
    error = both.same(method, path, status, **request)["error"]
    assert list(error) == ["code", "message", "details"]


def test_a_new_session_is_dealt_alike_and_repeated_by_its_id(both: Both) -> None:
    wanted = {
        "id": str(uuid.uuid4()),
        "player_name": "  Zoë 李 ",
        "card_count": 4,
        "categories": ["science", "war"],
        "difficulty": "medium",
    }
    first = both.alike("POST", "/api/game-sessions", 201, json=wanted)
    for body in first:
        assert body["player_name"] == "Zoë 李"
        assert (len(body["timeline"]), len(body["cards"])) == (1, 4)
        assert "year" not in body["cards"][0]
        assert {card["difficulty"] for card in body["cards"]} == {"medium"}
    assert both.alike("POST", "/api/game-sessions", 201, json=wanted) == first
    assert both.alike("GET", f"/api/game-sessions/{wanted['id']}", 200) == first
    error = both.same("POST", "/api/game-sessions", 409, json=wanted | {"card_count": 5})
    assert error["error"]["code"] == "id_in_use"


def test_a_whole_game_is_judged_the_same(both: Both) -> None:
    """Events 20, 30, 40 … are in the order of time, as the file is."""
    both.plant(SESSION, cards=[40, 20, 30, 60, 50], started_at="2024-05-01T12:34:56.789Z")
    address = f"/api/game-sessions/{SESSION}"
    assert both.same("GET", address, 200)["started_at"] == "2024-05-01T12:34:56.789Z"

    def move(event: int, position: int, status: int = 201, key: str = "", ms: int | None = None) -> Any:
        body = {
            "event_id": event,
            "position": position,
            "idempotency_key": key or f"key-of-{event}",
            "response_ms": ms,
        }
        return both.same("POST", f"{address}/moves", status, json=body)

    first = move(20, 0, ms=900)
    assert (first["correct"], first["correct_position"], first["streak"]) == (True, 0, 1)
    assert first["event"]["year"] < 0
    assert move(30, 2)["correct_position"] == 1  # wrong: the streak ends
    assert move(20, 0) == first  # the first answer again
    assert move(20, 1, 422)["error"]["code"] == "idempotency_key_reused"
    assert move(20, 0, 409, key="another-key")["error"]["code"] == "event_already_placed"
    assert move(40, 0, 409)["error"]["code"] == "event_already_placed"
    assert move(99, 0, 409)["error"]["code"] == "event_not_dealt"
    assert move(60, 9, 422)["error"]["details"][0]["field"] == "position"
    assert move(60, 3, ms=70_000)["correct"] is True
    state = both.same("GET", address, 200)
    assert [event["id"] for event in state["timeline"]] == [20, 30, 40, 60]
    assert [card["id"] for card in state["cards"]] == [50]
    assert (state["move_count"], state["correct_count"], state["accuracy"]) == (3, 2, 2 / 3)
    assert move(50, 3)["streak"] == 2
    done = both.same("POST", f"{address}/complete", 200)
    assert (done["finished"], done["accuracy"]) == (True, 0.75)
    assert move(60, 3, ms=70_000)["event_id"] == 60
    assert move(50, 3, 409, key="after-the-end")["error"]["code"] == "session_finished"


def test_a_perfect_game_earns_the_bonus_and_leads(both: Both) -> None:
    session_id = str(uuid.UUID(int=7))
    both.plant(session_id, cards=[10, 11, 12, 13], started_at="2024-05-02T00:00:00.000Z", player="Best")
    for position, event in enumerate([11, 12, 13], start=1):
        body = {"event_id": event, "position": position, "idempotency_key": f"perfect-{event}"}
        last = both.same("POST", f"/api/game-sessions/{session_id}/moves", 201, json=body)
    done = both.same("POST", f"/api/game-sessions/{session_id}/complete", 200)
    assert done["score"] == last["score"] + 250
    ends = [both.raw("POST", f"/api/game-sessions/{session_id}/complete") for _ in range(2)]
    assert [one.content for one in ends[0]] == [again.content for again in ends[1]]
    assert ends[0][1].json()["score"] == done["score"]
    leaders = both.same("GET", "/api/leaderboard?difficulty=mixed", 200)["items"]
    assert leaders[0]["session_id"] == session_id
    assert both.same("GET", "/api/leaderboard?limit=1", 200)["items"] == leaders[:1]
    figures = both.same("GET", "/api/statistics", 200)
    assert figures["best_score"] == done["score"]
    assert figures["finished_sessions"] >= 1


def test_cursors_of_one_app_work_in_the_other(both: Both) -> None:
    """Three of the five sessions start in the same millisecond, so the id must decide."""
    ids = [str(uuid.UUID(int=number)) for number in range(100, 105)]
    starts = ["2031-01-01T00:00:00.001Z"] * 3 + ["2031-01-01T00:00:00.000Z", "2030-12-31T23:59:59.999Z"]
    for session_id, started_at in zip(ids, starts, strict=True):
        both.plant(session_id, cards=[1, 2, 3, 4], started_at=started_at)
    seen: list[str] = []
    cursor = ""
    for _ in range(5):
        page = both.same("GET", f"/api/game-sessions?limit=1{cursor}", 200)
        seen += [item["id"] for item in page["items"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == [ids[2], ids[1], ids[0], ids[3], ids[4]]


@pytest.mark.parametrize("path", ["/", "/api.js", "/app.js", "/style.css"])
def test_both_serve_the_page(both: Both, path: str) -> None:
    one, other = both.raw("GET", path)
    assert one.status_code == 200
    assert one.content == other.content


def test_an_answer_names_its_app(both: Both) -> None:
    names = [answer.headers["x-served-by"] for answer in both.raw("GET", "/api/health")]
    assert names == ["timeline-legacy", "timeline-backend"]


def test_openapi_describes_every_route_with_examples(backend: Running) -> None:
    document = httpx.get(f"{backend.url}/openapi.json").json()
    assert {
        "/api/health",
        "/api/events",
        "/api/categories",
        "/api/game-sessions",
        "/api/game-sessions/{session_id}",
        "/api/game-sessions/{session_id}/moves",
        "/api/game-sessions/{session_id}/complete",
        "/api/statistics",
        "/api/leaderboard",
        "/api/analytics",
        "/api/admin/events",
        "/api/admin/events/{event_id}",
    } <= set(document["paths"])
    for name in ("NewSession", "SessionDetail", "NewMove", "Move", "Event", "ErrorBody"):
        assert document["components"]["schemas"][name]["examples"]
