"""A vacuum of the leading tables is waited for before the hold, not in it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest

from crossfade.stores.base import Busy, Side, View
from crossfade.switch import Switched
from tests.e2e import scene as scenes
from tests.e2e.scene import Clients, until


@pytest.mark.timeout(120)
def test_a_vacuum_is_waited_for_before_the_hold(tmp_path: Path, postgres_url: str) -> None:
    scene = scenes.build(tmp_path, postgres_url)
    steps: list[tuple[int, str]] = []
    done: list[Switched] = []
    vacuumed: list[bool] = []
    looked: list[int] = []
    try:
        with scene.move() as move:
            move.copy()
            move.verify()
            move.cutover()
        clients = Clients(scene.port, threads=2)
        clients.begin()
        slow = psycopg.connect(scene.new_url, autocommit=True)
        for _ in range(20):
            slow.execute("UPDATE notes SET text = text")
        # a page, then a pause of 100 ms: it takes as long as it is let
        slow.execute("SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1")

        def vacuum() -> None:
            with contextlib.suppress(psycopg.errors.QueryCanceled):
                slow.execute("VACUUM notes")

        thread = threading.Thread(target=vacuum, daemon=True)
        thread.start()

        def busy() -> bool:
            with scene.move() as move:
                views = [pair.view(Side.NEW) for pair in move.mapping().pairs]
                return any("vacuum" in found.what for found in move.stores[Side.NEW].busy(views))

        until("the vacuum is at work", busy)

        def look(number: int, when: str) -> None:
            steps.append((number, when))
            if (number, when) == (1, "before"):
                vacuumed.append(thread.is_alive())

        def roll_back() -> None:
            with scene.move() as move:
                store = move.stores[Side.NEW]
                ask = store.busy

                def count(views: Sequence[View]) -> list[Busy]:
                    looked.append(len(looked))
                    return ask(views)

                store.busy = count  # type: ignore[method-assign]
                done.append(move.rollback(observe=look))

        going = threading.Thread(target=roll_back, daemon=True)
        going.start()
        until("the switch looks again and again", lambda: len(looked) > 5 or (1, "before") in steps)
        clients.more(20)  # nobody is held while it waits
        assert thread.is_alive(), "the vacuum was too short to prove anything"
        slow.cancel()
        thread.join(30)
        going.join(60)
        clients.more(10)
        clients.finish()
        slow.close()
        assert done[0].to is Side.OLD
        assert vacuumed == [False], "held while the vacuum was at work"
        scene.audit(clients, "old")
    finally:
        scene.close()
