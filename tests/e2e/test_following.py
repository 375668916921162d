"""What following leaves in the evidence."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

import pytest

from crossfade import following
from crossfade.following import Follower
from tests.e2e.scene import Scene, until


def test_lag_stands_in_the_evidence_now_and_then(bare: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_EVIDENCE", 0.05)
    monkeypatch.setattr(following, "_QUIET", 1_000_000)
    with bare.move() as move:
        follower = Follower(move, interval=0.01)
        thread = threading.Thread(target=follower.run)
        thread.start()
        try:
            until("it follows", lambda: follower.result.passes > 20)
            with closing(sqlite3.connect(bare.folder / "old.db", timeout=10)) as db:
                db.execute("INSERT INTO notes VALUES ('b', 'two')")
                db.commit()
            until("the lag is put down", lambda: any(e.event == "follow.lag" for e in move.ledger.read()))
            passes = follower.result.passes
            until("more passes", lambda: follower.result.passes > passes + 20)
        finally:
            follower.stop()
            thread.join(30)
        # while nothing changes there is nothing to put down
        [entry] = [entry.data for entry in move.ledger.read() if entry.event == "follow.lag"]
    assert entry["keys"] == 1
    assert entry["passes"] > 20
    assert 0 < entry["lag"] < 30
