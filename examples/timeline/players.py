"""Players under load: games over HTTP at a steady rate, with a ledger of every acknowledged write.

``python -m examples.timeline.players --base-url URL --rate 500 --duration 60 --ledger FILE --report FILE``

Arrivals are open-loop: request number n is due at n / rate, however slow the answers are.  A request is
sent once (``once.py``).  A player whose write was failed on purpose (500 with ``X-Injected-Failure``)
tries it again with the same key as a new, counted request; after any other failure the game is given up.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import uuid
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from examples.timeline import rules
from examples.timeline.ledger import Ledger
from examples.timeline.once import Answer, Browser, RequestFailed
from examples.timeline.tally import Latencies, Tally, write_report

TIMEOUT_S = 10.0
VISITOR_SHARE = 0.5
"""Of the reads, those by visitors who only look: whoever plays writes so often that a router which keeps
read-your-writes reads everything for them from the leading side."""

_TICK_S = 0.002


@dataclass(slots=True)
class _Game:
    """A game as its player knows it."""

    id: str
    cards: list[int]
    years: list[int]
    moves: int = 0


@dataclass(frozen=True, slots=True)
class _Write:
    """A write to send, and under which key it must be found."""

    kind: str
    target: str
    body: dict[str, Any]
    key: dict[str, str]
    status: int


@dataclass(slots=True)
class _Load:
    """What all players of a load share."""

    base_url: str
    timeout: float
    ledger: Ledger
    tally: Tally
    random: Random
    years: dict[int, int] = field(default_factory=dict)


class _Player:
    """One client with its own connection and cookies, in one game at a time."""

    def __init__(self, load: _Load, name: str) -> None:
        self._load = load
        self._name = name
        self._browser = Browser(load.base_url, timeout=load.timeout)
        self._game: _Game | None = None
        self._again: _Write | None = None

    async def act(self, due: float, *, write: bool) -> None:
        """Send one request and count it.  Never raises for a failed request."""
        before = self._browser.connections
        if write:
            await self._write(due)
        else:
            await self._read(due)
        self._load.tally.connections += self._browser.connections - before

    def close(self) -> None:
        self._browser.close()

    async def _read(self, due: float) -> None:
        tally = self._load.tally
        game = self._game
        least = game.moves if game is not None else 0
        target, own = self._pick_read()
        answer = await self._send("GET", target, None, due, tally.read_latency)
        tally.reads += 1
        if answer is None or self._was_injected(answer):
            return
        if answer.status != 200:
            tally.stale_reads += own and answer.status == 404
            self._unexpected(answer, "GET", target)
        elif own and _moves_shown(answer) < least:
            tally.stale_reads += 1

    def _pick_read(self) -> tuple[str, bool]:
        """A read-only route, and whether it shows this player's own writes."""
        random = self._load.random
        pick = random.random()
        if pick < 0.35 and self._game is not None:
            return f"/api/game-sessions/{self._game.id}", True
        if pick < 0.6:
            category = random.choice(rules.CATEGORIES)
            return f"/api/events?count=8&category={category}", False
        others = (
            "/api/leaderboard?limit=10",
            "/api/categories",
            "/api/statistics",
            "/api/game-sessions?limit=10",
            "/api/events?limit=20",
        )
        return random.choice(others), False

    async def _write(self, due: float) -> None:
        load = self._load
        write = self._again or self._next_write()
        self._again = None
        answer = await self._send("POST", write.target, write.body, due, load.tally.write_latency)
        load.tally.writes += 1
        if answer is not None and self._was_injected(answer):
            self._again = write
        elif answer is None:
            load.ledger.doubt(write.kind, write.key)
            self._game = None
        elif answer.status != write.status:
            self._unexpected(answer, "POST", write.target)
            load.ledger.doubt(write.kind, write.key)
            self._game = None
        else:
            try:
                body = answer.json()
                load.ledger.acknowledge(write.kind, write.key, body)
                self._follow(write, body)
            except (ValueError, KeyError, TypeError):
                self._unexpected(answer, "POST", write.target)
                load.ledger.doubt(write.kind, write.key)
                self._game = None

    def _next_write(self) -> _Write:
        random, game = self._load.random, self._game
        if game is None:
            session_id = str(uuid.uuid4())  # never from the seed: a second run must not meet the first
            settings = {
                "id": session_id,
                "player_name": self._name,
                "card_count": random.randint(5, 10),
                "categories": random.sample(["culture", "politics", "science", "war"], random.randint(0, 2)),
                "difficulty": "mixed",
            }
            return _Write("session", "/api/game-sessions", settings, {"id": session_id}, 201)
        address = f"/api/game-sessions/{game.id}"
        if not game.cards:
            return _Write("completion", f"{address}/complete", {}, {"id": game.id}, 200)
        key = str(uuid.uuid4())
        body = {
            "event_id": game.cards[0],
            "position": self._place(game),
            "response_ms": random.randint(800, 20_000),
            "idempotency_key": key,
        }
        return _Write("move", f"{address}/moves", body, {"session_id": game.id, "idempotency_key": key}, 201)

    def _place(self, game: _Game) -> int:
        """Mostly the right place, otherwise any."""
        random = self._load.random
        year = self._load.years.get(game.cards[0])
        if year is None or random.random() > 0.7:
            return random.randint(0, len(game.years))
        return rules.right_position(game.years, year)

    def _follow(self, write: _Write, answer: dict[str, Any]) -> None:
        """What the game looks like after an acknowledged write."""
        if write.kind == "session":
            cards = [card["id"] for card in answer["cards"]]
            self._game = _Game(answer["id"], cards, [event["year"] for event in answer["timeline"]])
        elif write.kind == "completion":
            self._game = None
        elif self._game is not None:
            self._game.cards.remove(answer["event_id"])
            self._game.years.insert(answer["correct_position"], answer["event"]["year"])
            self._game.moves += 1

    async def _send(
        self, method: str, target: str, body: Any, due: float, latency: Latencies
    ) -> Answer | None:
        """The answer, or None when none came (counted)."""
        try:
            answer = await self._browser.request(method, target, body)
        except RequestFailed as failure:
            self._load.tally.fail(failure.kind, method, target)
            return None
        latency.add(asyncio.get_running_loop().time() - due)
        self._load.tally.served_by[answer.headers.get("x-served-by", "?")] += 1
        return answer

    def _was_injected(self, answer: Answer) -> bool:
        injected = answer.status == 500 and answer.headers.get("x-injected-failure") == "1"
        self._load.tally.injected_failures += injected
        return injected

    def _unexpected(self, answer: Answer, method: str, target: str) -> None:
        text = answer.body.decode("utf-8", errors="replace")
        self._load.tally.fail(f"status {answer.status}", method, target, text)


def _moves_shown(answer: Answer) -> int:
    """How many moves a session's answer tells of; -1 when it is not such an answer."""
    try:
        return int(answer.json()["move_count"])
    except (ValueError, KeyError, TypeError):
        return -1


class Players:
    """A load of ``rate`` requests a second, ``write_share`` of them writes.

    ``clients`` players take turns, and half of the reads come from ``visitors`` who only look; while answers are slow
    more players are added for the time being, up to ``clients_most``.  Arrivals beyond that are counted as ``skipped``.
    """

    def __init__(
        self,
        base_url: str,
        *,
        ledger: Path,
        rate: float = 200.0,
        write_share: float = 1 / 3,
        clients: int = 100,
        clients_most: int = 4000,
        visitors: int = 100,
        timeout: float = TIMEOUT_S,
        seed: int | None = None,
    ) -> None:
        self.tally = Tally()
        self._ledger = Ledger(ledger)
        self._load = _Load(base_url, timeout, self._ledger, self.tally, Random(seed))
        self._rate = rate
        self._write_share = write_share
        self._clients, self._clients_most = clients, clients_most
        self._visiting = visitors
        self._tag = uuid.uuid4().hex[:8]
        self._named = 0
        self._idle: deque[_Player] = deque()
        self._visitors: deque[_Player] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """No more arrivals; ``run`` returns once the requests in flight are answered."""
        self._stop.set()

    def report(self, *, finished: bool = False) -> dict[str, Any]:
        """The counters now; the shape is that of ``Tally.as_json``."""
        return self.tally.as_json(
            acknowledged=self._ledger.acknowledged, unknown=self._ledger.unknown, finished=finished
        )

    async def run(self, duration: float | None = None, report: Path | None = None) -> dict[str, Any]:
        """Play for ``duration`` seconds or until ``stop``; returns the last report, which is also in the
        file ``report``, rewritten each second.  Raises ``ConnectionError`` when nobody answers at first."""
        await self._learn()
        for _ in range(self._clients):
            self._idle.append(self._new_player())
        for number in range(self._visiting):
            self._visitors.append(_Player(self._load, f"Visitor {self._tag}-{number}"))
        loop = asyncio.get_running_loop()
        start = loop.time()
        next_report = start
        arrived = 0
        writes_owed = 0.0
        while not self._stop.is_set() and (duration is None or loop.time() - start < duration):
            now = loop.time()
            while start + arrived / self._rate <= now:
                writes_owed += self._write_share
                write = writes_owed >= 1.0
                writes_owed -= write
                self._arrive(start + arrived / self._rate, write=write)
                arrived += 1
            if report is not None and now >= next_report:
                write_report(report, self.report())
                next_report += 1.0
            await asyncio.sleep(_TICK_S)
        if self._tasks:
            await asyncio.wait(self._tasks)
        for player in (*self._idle, *self._visitors):
            player.close()
        self._ledger.close()
        last = self.report(finished=True)
        if report is not None:
            write_report(report, last)
        return last

    async def _learn(self) -> None:
        """The years of the events, so that players can be good at it.  One request, not counted."""
        browser = Browser(self._load.base_url, timeout=self._load.timeout)
        try:
            answer = await browser.request("GET", f"/api/events?limit={rules.PAGE_MOST}")
        except RequestFailed as failure:
            raise ConnectionError(f"the game at {self._load.base_url} does not answer: {failure}") from None
        finally:
            browser.close()
        if answer.status == 200:
            self._load.years = {event["id"]: event["year"] for event in answer.json()["items"]}

    def _arrive(self, due: float, *, write: bool) -> None:
        home = self._idle
        if not write and self._visitors and self._load.random.random() < VISITOR_SHARE:
            home = self._visitors
        if home:
            player = home.popleft()
        elif self.tally.clients < self._clients_most:
            player = self._new_player()
        else:
            self.tally.skipped += 1
            return
        self.tally.in_flight += 1
        task = asyncio.get_running_loop().create_task(self._take_turn(player, due, home, write=write))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take_turn(self, player: _Player, due: float, home: deque[_Player], *, write: bool) -> None:
        try:
            await player.act(due, write=write)
        finally:
            self.tally.in_flight -= 1
            if home is self._idle and self.tally.clients > self._clients and not self._stop.is_set():
                self.tally.clients -= 1
                player.close()
            else:
                home.append(player)

    def _new_player(self) -> _Player:
        self._named += 1
        self.tally.clients += 1
        return _Player(self._load, f"Player {self._tag}-{self._named}")


async def _run(chosen: argparse.Namespace) -> dict[str, Any]:
    players = Players(
        chosen.base_url,
        ledger=chosen.ledger,
        rate=chosen.rate,
        write_share=chosen.write_share,
        clients=chosen.clients,
        timeout=chosen.timeout,
        seed=chosen.seed,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, players.stop)
    return await players.run(chosen.duration, chosen.report)


def main(arguments: list[str] | None = None) -> int:
    """Play; the exit status is 1 when a request failed."""
    parser = argparse.ArgumentParser(prog="timeline-players", description="Load with a ledger.")
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--write-share", type=float, default=1 / 3)
    parser.add_argument("--duration", type=float, help="seconds; without it until SIGTERM")
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--timeout", type=float, default=TIMEOUT_S, help="seconds")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--report", type=Path)
    chosen = parser.parse_args(arguments)
    try:
        report = asyncio.run(_run(chosen))
    except ConnectionError as error:
        parser.exit(2, f"{error}\n")
    print(
        f"{report['requests']} requests, {report['acknowledged_writes']} acknowledged writes,"
        f" {report['failed']} failed, {report['injected_failures']} failed on purpose"
    )
    return 1 if report["failed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
