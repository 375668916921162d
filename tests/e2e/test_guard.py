"""The guard of one long-lived `follow` looks after every cutover, not only the first."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest

from crossfade.errors import CrossfadeError
from crossfade.following import Follower
from crossfade.stores.base import Side
from tests.e2e import scene as scenes
from tests.e2e.scene import Clients, until

pytestmark = pytest.mark.timeout(120)


def test_a_second_bad_cutover_is_rolled_back_too(tmp_path: Path, postgres_url: str) -> None:
    scene = scenes.build(tmp_path, postgres_url)
    guard = "guard: {error_rate: 0.05, window: 200ms, min_samples: 3, consecutive: 1}"
    scene.spec.write_text(scene.spec.read_text().replace("guard: null", guard))
    clients = Clients(scene.port)
    try:
        with scene.move() as move:
            move.copy()
            move.verify()
        with scene.move() as theirs, scene.move() as move:
            follower = Follower(theirs, interval=0.02)
            thread = threading.Thread(target=follower.run)
            thread.start()
            clients.begin()
            try:
                until("it follows", lambda: follower.result.passes > 0)
                for epoch in (1, 3):

                    def cut_over() -> bool:
                        with contextlib.suppress(CrossfadeError):
                            move.cutover()
                        return move.standing().leader is Side.NEW

                    until("the new side leads", cut_over)
                    scenes.end(scene.processes["new"])  # every request fails now
                    until("the guard has rolled back", lambda: move.standing().leader is Side.OLD)
                    until(
                        "it says so",
                        lambda at=epoch: getattr(follower.result.rollback, "epoch", 0) == at + 1,  # type: ignore[misc]
                    )
                    assert "errors" in follower.result.rollback_reason
                    scene.app("new")
                rolled = [e for e in move.ledger.read() if e.event == "switch.done" and e.data["to"] == "old"]
                assert len(rolled) == 2
            finally:
                clients.finish()
                follower.stop()
                thread.join(30)
    finally:
        scene.close()
