"""A vacuum of the leading tables is waited for before the hold, not in it."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import psycopg
import pytest

from crossfade.stores.base import Side
from crossfade.switch import Switched
from tests.e2e import scene as scenes
from tests.e2e.scene import Clients, until


@pytest.mark.timeout(120)
def test_a_vacuum_is_waited_for_before_the_hold(tmp_path: Path, postgres_url: str) -> None:
    scene = scenes.build(tmp_path, postgres_url)
    steps: list[tuple[int, str]] = []
    done: list[Switched] = []
    try:
        with scene.move() as move:
            move.copy()
            move.verify()
            move.cutover()
        clients = Clients(scene.port, threads=2)
        clients.begin()
        slow = psycopg.connect(scene.new_url, autocommit=True)
        # a page, then a pause of 100 ms: it takes as long as it is let
        slow.execute("SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1")

        def vacuum() -> None:
            with contextlib.suppress(psycopg.errors.QueryCanceled):
                for _ in range(100):
                    slow.execute("VACUUM (DISABLE_PAGE_SKIPPING) notes")

        thread = threading.Thread(target=vacuum, daemon=True)
        thread.start()

        def busy() -> bool:
            with scene.move() as move:
                views = [pair.view(Side.NEW) for pair in move.mapping().pairs]
                return any("vacuum" in found.what for found in move.stores[Side.NEW].busy(views))

        until("the vacuum is at work", busy)

        def roll_back() -> None:
            with scene.move() as move:
                done.append(move.rollback(observe=lambda number, when: steps.append((number, when))))

        going = threading.Thread(target=roll_back, daemon=True)
        going.start()
        until("the switch looks at what is in its way", lambda: (0, "before") in steps)
        clients.more(60)  # nobody is held while it waits
        assert (1, "before") not in steps
        slow.cancel()
        thread.join(30)
        going.join(60)
        clients.more(10)
        clients.finish()
        slow.close()
        assert done[0].to is Side.OLD
        assert done[0].hold_ms < 2000
        scene.audit(clients, "old")
    finally:
        scene.close()
