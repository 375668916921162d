"""What only the new backend has: the fault switch, admin, analytics, migrations; and how both behave when
their database refuses writes."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from examples.timeline.backend.database import dialect_url
from examples.timeline.backend.migrate import migrate, seed
from examples.timeline.backend.models import Base
from examples.timeline.backend.security import Role, read_keys
from tests.examples.timeline.conftest import KEYS, Running, running

GAME = {"player_name": "Ada", "card_count": 3}
NEW = {"title": "Proof", "year": 1999, "category": "science", "difficulty": "hard"}


@pytest.fixture(scope="module")
def client(backend: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=backend.url, timeout=20) as connected:
        yield connected


def count(server: Running, table: str) -> int:
    with psycopg.connect(server.database) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(row[0]) if row else 0


# --- the fault switch ---------------------------------------------------------


@pytest.fixture
def broken(fault_file: Path) -> Iterator[Path]:
    fault_file.write_text("writes")
    yield fault_file
    fault_file.unlink(missing_ok=True)


def test_a_fault_fails_writes_before_they_leave_a_row(
    client: httpx.Client, backend: Running, broken: Path
) -> None:
    before = count(backend, "game_sessions"), count(backend, "events")
    admin = {"X-API-Key": KEYS["admin"]}
    for answer in (
        client.post("/api/game-sessions", json=GAME),
        client.post("/api/admin/events", json=NEW, headers=admin),
        client.delete("/api/admin/events/1", headers=admin),
    ):
        assert (answer.status_code, answer.headers["x-injected-failure"]) == (500, "1")
        assert answer.json()["error"]["code"] == "injected_failure"
    assert (count(backend, "game_sessions"), count(backend, "events")) == before
    assert client.get("/api/events").status_code == 200
    broken.unlink()
    assert client.post("/api/game-sessions", json=GAME).status_code == 201


def test_a_fault_fails_reads_too_when_told(client: httpx.Client, broken: Path) -> None:
    broken.write_text("writes and reads")
    assert client.get("/api/events").headers["x-injected-failure"] == "1"
    assert client.get("/").status_code == 200


# --- admin ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "least"),
    [
        ("GET", "/api/admin/events", Role.VIEWER),
        ("GET", "/api/admin/events/1", Role.VIEWER),
        ("POST", "/api/admin/events", Role.EDITOR),
        ("PATCH", "/api/admin/events/1", Role.EDITOR),
        ("DELETE", "/api/admin/events/999999", Role.ADMIN),
    ],
)
def test_each_role_may_do_what_it_may(client: httpx.Client, method: str, path: str, least: Role) -> None:
    body: dict[str, Any] = {"json": {}} if method in ("POST", "PATCH") else {}
    for headers in ({}, {"X-API-Key": "wrong"}, {"X-API-Key": ""}):
        answer = client.request(method, path, headers=headers, **body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
    for name, key in KEYS.items():
        answer = client.request(method, path, headers={"X-API-Key": key}, **body)
        if Role[name.upper()] < least:
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
        else:
            assert answer.status_code in (200, 404, 422), answer.text


def test_an_event_is_created_changed_and_deleted(client: httpx.Client) -> None:
    headers = {"X-API-Key": KEYS["admin"]}
    made = client.post("/api/admin/events", json=NEW, headers=headers)
    assert made.status_code == 201
    event = made.json()
    assert (event["title"], event["source"], event["description"]) == ("Proof", "admin", "")
    address = f"/api/admin/events/{event['id']}"
    changed = client.patch(address, json={"year": -5}, headers=headers).json()
    assert changed == event | {"year": -5}
    assert client.get(address, headers=headers).json() == changed
    assert client.delete(address, headers=headers).status_code == 204
    for method in ("GET", "DELETE"):
        gone = client.request(method, address, headers=headers)
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "event_not_found")


@pytest.mark.parametrize(
    ("change", "field"),
    [({"year": 0}, "year"), ({"title": " "}, "title"), ({"category": "love"}, "category"), ({"year": None}, "year")],
)  # fmt: skip
def test_a_wrong_change_is_refused(client: httpx.Client, change: dict[str, Any], field: str) -> None:
    answer = client.patch("/api/admin/events/1", json=change, headers={"X-API-Key": KEYS["editor"]})
    assert answer.status_code == 422
    assert [problem["field"] for problem in answer.json()["error"]["details"]] == [field]


def test_an_event_that_a_game_uses_stays(client: httpx.Client) -> None:
    game = client.post("/api/game-sessions", json=GAME).json()
    used = game["timeline"][0]["id"]
    answer = client.delete(f"/api/admin/events/{used}", headers={"X-API-Key": KEYS["admin"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "event_in_use")


def test_admin_pages_cover_all_events(client: httpx.Client, backend: Running) -> None:
    seen: list[int] = []
    cursor = "0"
    for _ in range(10):
        path = f"/api/admin/events?limit=100&cursor={cursor}"
        page = client.get(path, headers={"X-API-Key": KEYS["viewer"]}).json()
        seen += [event["id"] for event in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == count(backend, "events")


def test_keys_are_read_from_their_text() -> None:
    assert read_keys(" a:viewer, b:c:admin ,") == {"a": Role.VIEWER, "b:c": Role.ADMIN}
    for text in ("a", "a:boss", ":admin"):
        with pytest.raises(ValueError, match="TIMELINE_ADMIN_KEYS"):
            read_keys(text)


# --- analytics --------------------------------------------------------------------


def test_analytics_agree_with_numbers_worked_out_by_hand(postgres_url: str, tmp_path: Path) -> None:
    """Two games two days ago, one today, one long ago; five recent moves, of which three are right."""
    migrate(postgres_url)
    with psycopg.connect(postgres_url) as db:
        db.execute("SET timezone = 'UTC'")
        db.execute(
            "INSERT INTO events (id, title, year, category, difficulty) VALUES"
            " (1, 'a', 1, 'war', 'easy'), (2, 'b', 2, 'war', 'hard'), (3, 'c', 3, 'sport', 'easy')"
        )
        for number, (days, finished) in enumerate([(2, True), (2, False), (0, False), (90, True)], start=1):
            db.execute(
                "INSERT INTO game_sessions (id, player_name, card_count, deck, start_event_id, finished,"
                " started_at) VALUES (%s, 'Ada', 3, '[1]', 1, %s, now() - make_interval(days => %s))",
                [uuid.UUID(int=number), finished, days],
            )
        for number, (game, event, place, right, ms) in enumerate(
            [(1, 1, 0, 0, 1000), (1, 2, 3, 1, 2000), (1, 3, 2, 2, None), (2, 1, 0, 1, 3000), (3, 1, 1, 1, 6000),
             (4, 2, 0, 9, 99_999)]
        ):  # fmt: skip
            db.execute(
                "INSERT INTO moves (session_id, event_id, position, correct_position, correct, score_after,"
                " streak_after, response_ms, idempotency_key, placed_at)"
                " SELECT id, %s, %s, %s, %s, 0, 0, %s, %s, started_at FROM game_sessions WHERE id = %s",
                [event, place, right, place == right, ms, f"key-{number}", uuid.UUID(int=game)],
            )
    with running("examples.timeline.backend", postgres_url, tmp_path) as server:
        found = httpx.get(f"{server.url}/api/analytics?days=30").json()
        everything = httpx.get(f"{server.url}/api/analytics?days=365").json()
        assert httpx.get(f"{server.url}/api/analytics?days=0").status_code == 422
    assert [(day["started"], day["finished"]) for day in found["games_per_day"]] == [(2, 1), (1, 0)]
    assert found["accuracy"] == [
        {"category": "sport", "difficulty": "easy", "moves": 1, "correct": 1, "accuracy": 1.0, "mean_placement_error": 0.0},
        {"category": "war", "difficulty": "easy", "moves": 3, "correct": 2, "accuracy": 2 / 3, "mean_placement_error": 1 / 3},
        {"category": "war", "difficulty": "hard", "moves": 1, "correct": 0, "accuracy": 0.0, "mean_placement_error": 2.0},
    ]  # fmt: skip
    assert (found["moves"], found["mean_placement_error"], found["mean_response_ms"]) == (5, 3 / 5, 3000.0)
    assert (everything["moves"], len(everything["games_per_day"])) == (6, 3)
    assert everything["mean_placement_error"] == 12 / 6


# --- migrations ---------------------------------------------------------------------


def test_migrations_make_what_the_mappings_say(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # no ini file here
    migrate(postgres_url, revision="0001")
    migrate(postgres_url)
    migrate(postgres_url)
    engine = create_engine(dialect_url(postgres_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()
    assert seed(postgres_url) >= 160
    assert seed(postgres_url) == 0


# --- a database that refuses writes ---------------------------------------------------

TABLES = ("events", "game_sessions", "moves")


def fence_sqlite(path: str) -> None:
    with closing(sqlite3.connect(path)) as file, file:
        for table in TABLES:
            for action in ("INSERT", "UPDATE", "DELETE"):
                file.execute(
                    f"CREATE TRIGGER refuse_{table}_{action} BEFORE {action} ON {table}"
                    " BEGIN SELECT RAISE(ABORT, 'this side does not take writes'); END"
                )


def fence_postgres(url: str) -> None:
    with psycopg.connect(url) as db:
        db.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN RAISE EXCEPTION 'this side does not take writes'; END$$"
        )
        for table in TABLES:
            db.execute(
                f"CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON {table}"
                " FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
            )


def check_fenced(server: Running, session_id: str) -> None:
    """Every read answers, and every write is an error of the server."""
    with httpx.Client(base_url=server.url, timeout=20) as client:
        for path in (
            "/api/health",
            "/api/events",
            "/api/events?count=3",
            "/api/categories",
            "/api/game-sessions",
            f"/api/game-sessions/{session_id}",
            "/api/statistics",
            "/api/leaderboard",
        ):
            assert client.get(path).status_code == 200, path
        for path, body in (
            ("/api/game-sessions", GAME),
            (f"/api/game-sessions/{session_id}/complete", {}),
        ):
            answer = client.post(path, json=body)
            assert answer.status_code in (500, 503), path
            assert answer.json()["error"]["code"] in ("internal_error", "database_unavailable")
        # regression: the backend closed the kept connection after an unexpected error
        assert client.get("/api/health").status_code == 200


def test_the_legacy_app_reads_and_starts_where_writes_are_refused(tmp_path: Path) -> None:
    database = str(tmp_path / "game.db")
    with running("examples.timeline.legacy", database, tmp_path) as server:
        game = httpx.post(f"{server.url}/api/game-sessions", json=GAME).json()
        fence_sqlite(database)
        check_fenced(server, game["id"])
    with running("examples.timeline.legacy", database, tmp_path) as server:
        check_fenced(server, game["id"])


def test_the_backend_reads_and_starts_where_writes_are_refused(postgres_url: str, tmp_path: Path) -> None:
    migrate(postgres_url)
    seed(postgres_url)
    with running("examples.timeline.backend", postgres_url, tmp_path) as server:
        game = httpx.post(f"{server.url}/api/game-sessions", json=GAME).json()
        fence_postgres(postgres_url)
        check_fenced(server, game["id"])
    with running("examples.timeline.backend", postgres_url, tmp_path) as server:
        check_fenced(server, game["id"])


def test_reading_leaves_the_sqlite_file_alone(tmp_path: Path) -> None:
    database = tmp_path / "game.db"
    with running("examples.timeline.legacy", str(database), tmp_path) as server:
        game = httpx.post(f"{server.url}/api/game-sessions", json=GAME).json()
        before = database.read_bytes()
        for path in ("health", "events?count=3", "categories", "game-sessions", f"game-sessions/{game['id']}",
                     "statistics", "leaderboard"):  # fmt: skip
            assert httpx.get(f"{server.url}/api/{path}").status_code == 200
        assert database.read_bytes() == before


def test_sessions_that_the_server_ended_cost_no_request(postgres_url: str, tmp_path: Path) -> None:
    """After a switch the database may have ended the pool's connections."""
    migrate(postgres_url)
    seed(postgres_url)
    with running("examples.timeline.backend", postgres_url, tmp_path) as server:
        assert httpx.post(f"{server.url}/api/game-sessions", json=GAME).status_code == 201
        with psycopg.connect(postgres_url, autocommit=True) as db:
            db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert httpx.post(f"{server.url}/api/game-sessions", json=GAME).status_code == 201
