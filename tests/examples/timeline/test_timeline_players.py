"""Players, their ledger, and the audit that compares it with a database."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from examples.timeline.audit import Audit, audit
from examples.timeline.ledger import Ledger, Promise, read_ledger
from examples.timeline.players import Players
from examples.timeline.tally import Latencies, write_report
from tests.examples.timeline.conftest import ROOT, Running
from tests.examples.timeline.test_timeline_once import RawServer, answering, close_after_receipt


def play(base_url: str, ledger: Path, duration: float, **options: Any) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        return await Players(base_url, ledger=ledger, seed=7, **options).run(duration)

    return asyncio.run(run())


def verdict(found: Audit) -> tuple[int, int]:
    return found.lost_writes, found.duplicated_writes


@pytest.fixture(params=["legacy", "backend"])
def played(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Running, Path, dict[str, Any]]:
    """An app that players have used, and their ledger."""
    server: Running = request.getfixturevalue(request.param)
    ledger = tmp_path / "ledger.jsonl"
    return server, ledger, play(server.url, ledger, 1.5, rate=150, clients=20)


def execute(server: Running, statement: str, *values: Any) -> None:
    """A change behind the app's back, on either database; ``?`` marks values."""
    if server.database.startswith("postgresql"):
        with psycopg.connect(server.database) as connection:
            connection.execute(statement.replace("?", "%s"), values)
        return
    with closing(sqlite3.connect(server.database)) as file, file:
        file.execute(statement, values)


def test_players_play_without_a_failure_and_nothing_is_lost(
    played: tuple[Running, Path, dict[str, Any]],
) -> None:
    server, ledger, report = played
    assert report["failed"] == report["skipped"] == report["stale_reads"] == 0, report["first_failures"]
    assert 215 <= report["requests"] <= 226
    assert abs(report["writes"] - report["requests"] / 3) <= 1
    assert report["acknowledged_writes"] == report["writes"]
    found = audit(ledger, server.database)
    assert found.acknowledged_writes == report["writes"]
    assert (verdict(found), found.unknown_present, found.problems) == ((0, 0), 0, [])
    kinds = {promise.kind for promise in read_ledger(ledger)}
    assert {"session", "move"} <= kinds


def _last(ledger: Path, kind: str) -> Promise:
    return [promise for promise in read_ledger(ledger) if promise.kind == kind][-1]


def test_the_audit_finds_what_is_lost_and_what_is_doubled(
    played: tuple[Running, Path, dict[str, Any]],
) -> None:
    server, ledger, _ = played
    move = _last(ledger, "move")
    key = (move.key["session_id"], move.key["idempotency_key"])
    columns = (
        "session_id, event_id, position, correct_position, correct, points, score_after, streak_after,"
        " response_ms, placed_at"
    )
    execute(
        server,
        f"INSERT INTO moves (idempotency_key, {columns}) SELECT 'nobody-asked', {columns} FROM moves"
        " WHERE session_id = ? AND idempotency_key = ?",
        *key,
    )
    assert verdict(audit(ledger, server.database)) == (0, 1)

    execute(server, "DELETE FROM moves WHERE idempotency_key = 'nobody-asked'")
    execute(server, "UPDATE moves SET points = points + 1 WHERE session_id = ? AND idempotency_key = ?", *key)
    found = audit(ledger, server.database)
    assert verdict(found) == (1, 0)
    assert "points" in found.problems[0]["why"]

    execute(server, "DELETE FROM moves WHERE session_id = ? AND idempotency_key = ?", *key)
    found = audit(ledger, server.database)
    assert (verdict(found), found.problems[0]["why"]) == ((1, 0), "no row")


def test_the_audit_finds_a_lost_session_and_a_game_that_nobody_asked_for(
    played: tuple[Running, Path, dict[str, Any]],
) -> None:
    server, ledger, _ = played
    promises = list(read_ledger(ledger))
    session = _last(ledger, "session")
    with_it = sum(promise.session_id == session.key["id"] for promise in promises)
    execute(server, "DELETE FROM moves WHERE session_id = ?", session.key["id"])
    execute(server, "UPDATE game_sessions SET id = ? WHERE id = ?", "00000000-0000-4000-8000-000000000001", session.key["id"])  # fmt: skip
    found = audit(ledger, server.database)
    assert verdict(found) == (with_it, 1)
    execute(server, "DELETE FROM game_sessions WHERE id = ?", "00000000-0000-4000-8000-000000000001")


def test_the_audit_finds_a_move_whose_effect_on_the_session_is_lost(legacy: Running, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    play(legacy.url, ledger, 0.5, rate=100, clients=2)
    finished = {p.session_id for p in read_ledger(ledger) if p.kind == "completion"}
    move = next(p for p in read_ledger(ledger) if p.kind == "move" and p.session_id not in finished)
    execute(legacy, "UPDATE game_sessions SET move_count = move_count - 1 WHERE id = ?", move.session_id)
    found = audit(ledger, legacy.database)
    assert verdict(found) == (1, 0)
    assert "move_count" in found.problems[0]["why"]


def test_the_audit_finds_a_row_that_is_there_twice(tmp_path: Path) -> None:
    """Where the unique index is gone, as after a careless copy."""
    database = tmp_path / "copy.db"
    with closing(sqlite3.connect(database)) as file, file:
        file.execute(
            "CREATE TABLE game_sessions (id TEXT, player_name TEXT, finished BOOLEAN, score INTEGER)"
        )
        file.execute("CREATE TABLE moves (session_id TEXT, idempotency_key TEXT, points INTEGER)")
        file.executemany("INSERT INTO game_sessions VALUES (?, 'Ada', 0, 0)", [("s",), ("s",)])
        file.executemany("INSERT INTO moves VALUES ('s', ?, 5)", [("k",), ("k",), ("k",)])
    lines = [
        {"kind": "session", "key": {"id": "s"}, "fields": {"player_name": "Ada"}, "outcome": "acknowledged"},
        {"kind": "move", "key": {"session_id": "s", "idempotency_key": "k"}, "fields": {"points": 5}, "outcome": "acknowledged"},
        {"kind": "completion", "key": {"id": "s"}, "fields": {}, "outcome": "unknown"},
    ]  # fmt: skip
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_text("".join(json.dumps(line | {"at": 0.0}) + "\n" for line in lines) + '{"kind": "mo')
    found = audit(ledger, database)
    assert (verdict(found), found.unknown_present) == ((0, 3), 0)


def test_a_write_without_an_answer_is_unknown_and_is_found_when_it_happened(
    legacy: Running, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.jsonl"
    play(legacy.url, path, 0.5, rate=60, clients=2)
    happened = list(read_ledger(path))
    doubted = tmp_path / "doubted.jsonl"
    ledger = Ledger(doubted)
    for promise in happened:
        ledger.doubt(promise.kind, promise.key)
    ledger.doubt("session", {"id": "00000000-0000-4000-8000-000000000002"})
    ledger.close()
    found = audit(doubted, legacy.database)
    assert (found.acknowledged_writes, found.lost_writes, found.duplicated_writes) == (0, 0, 0)
    assert found.unknown_present == len(happened)


def test_a_server_that_closes_after_receipt_gets_every_request_once(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"

    async def run() -> tuple[dict[str, Any], list[bytes]]:
        async with RawServer(close_after_receipt) as server:
            players = Players(server.url, ledger=ledger, rate=100, clients=4, seed=3)
            players._learn = _nothing  # type: ignore[method-assign]
            return await players.run(0.5), server.requests

    report, requests = asyncio.run(run())
    assert report["requests"] == report["failed"] == len(requests) >= 40
    assert report["failures"] == {"closed": report["failed"]}
    assert report["acknowledged_writes"] == 0
    assert report["unknown_writes"] == report["writes"] == len(list(read_ledger(ledger)))
    bodies = [json.loads(r.partition(b"\r\n\r\n")[2]) for r in requests if r.startswith(b"POST")]
    assert len({body["id"] for body in bodies}) == len(bodies)


async def _nothing() -> None:
    return None


def test_injected_failures_are_counted_apart_and_tried_again_with_the_same_key(
    backend: Running, fault_file: Path, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.jsonl"

    async def run() -> dict[str, Any]:
        players = Players(backend.url, ledger=ledger, rate=150, clients=10, seed=5)
        task = asyncio.create_task(players.run())
        async with asyncio.timeout(30):
            while players.tally.writes < 30:
                await asyncio.sleep(0.01)
            fault_file.write_text("writes")
            while players.tally.injected_failures < 20:
                await asyncio.sleep(0.01)
            fault_file.unlink()
            healed = players.tally.writes
            while players.tally.writes < healed + 40:
                await asyncio.sleep(0.01)
            players.stop()
            return await task

    try:
        report = asyncio.run(run())
    finally:
        fault_file.unlink(missing_ok=True)
    assert report["failed"] == 0, report["first_failures"]
    assert report["injected_failures"] >= 20
    assert report["acknowledged_writes"] + report["injected_failures"] == report["writes"]
    assert report["unknown_writes"] == 0
    assert verdict(audit(ledger, backend.database)) == (0, 0)


def test_a_write_that_failed_on_purpose_is_the_next_one_to_be_sent(tmp_path: Path) -> None:
    """One player; the server fails each of its writes three times before it takes the fourth as done."""
    injected = b"HTTP/1.1 500 X\r\nX-Injected-Failure: 1\r\nContent-Length: 0\r\n\r\n"
    nothing = b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n"

    async def run() -> tuple[dict[str, Any], list[bytes]]:
        answers = answering(injected, injected, injected, nothing, injected, injected, injected, nothing)
        async with RawServer(answers) as server:
            players = Players(
                server.url, ledger=tmp_path / "l", rate=100, clients=1, clients_most=1, write_share=1.0
            )
            players._learn = _nothing  # type: ignore[method-assign]
            task = asyncio.create_task(players.run())
            async with asyncio.timeout(20):
                while len(server.requests) < 8:
                    await asyncio.sleep(0.005)
            players.stop()
            return await task, server.requests[:8]

    report, requests = asyncio.run(run())
    assert report["injected_failures"] == 6
    assert len(set(requests[:4])) == len(set(requests[4:])) == 1
    assert requests[3] != requests[4]


def test_the_command_reports_while_it_plays_and_ends_on_sigterm(legacy: Running, tmp_path: Path) -> None:
    ledger, report = tmp_path / "ledger.jsonl", tmp_path / "report.json"
    command = [sys.executable, "-m", "examples.timeline.players", "--base-url", legacy.url]
    command += ["--rate", "100", "--ledger", str(ledger), "--report", str(report)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    try:
        deadline = time.monotonic() + 20
        while not (report.exists() and json.loads(report.read_text())["requests"] >= 50):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        assert json.loads(report.read_text())["finished"] is False
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    last = json.loads(report.read_text())
    assert process.returncode == 0
    assert (last["finished"], last["failed"], last["in_flight"]) == (True, 0, 0)
    assert output.startswith(f"{last['requests']} requests, {last['acknowledged_writes']} acknowledged")
    done = subprocess.run(
        [sys.executable, "-m", "examples.timeline.audit", "--ledger", str(ledger), "--database", legacy.database],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert json.loads(done.stdout)["acknowledged_writes"] == last["acknowledged_writes"]


def test_arrivals_keep_their_pace_while_answers_are_slow(tmp_path: Path) -> None:
    """Open-loop: a server that answers nothing still gets every request, from more and more clients."""

    async def silent(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.read(reader)
        await reader.read()

    async def run() -> dict[str, Any]:
        async with RawServer(silent) as server:
            players = Players(
                server.url,
                ledger=tmp_path / "l",
                rate=200,
                clients=2,
                clients_most=60,
                visitors=0,
                timeout=1.0,
            )
            players._learn = _nothing  # type: ignore[method-assign]
            return await players.run(0.5)

    report = asyncio.run(run())
    assert report["requests"] == report["failed"] == 60
    assert report["failures"] == {"timeout": 60}
    assert 35 <= report["skipped"] <= 45


def test_latencies_are_within_two_percent() -> None:
    latencies = Latencies()
    for number in range(1, 1001):
        latencies.add(number / 1000)
    figures = latencies.as_json()
    assert figures["max"] == 1000.0
    for name, exact in (("p50", 500), ("p95", 950), ("p99", 990)):
        assert exact <= figures[name] <= exact * 1.02


def test_a_report_is_replaced_whole(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    for number in range(3):
        write_report(report, {"number": number})
        assert json.loads(report.read_text()) == {"number": number}
    assert list(tmp_path.iterdir()) == [report]
