"""Inside a switch no call waits for another process longer than the requests that are held."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from crossfade.errors import AttemptOver, BudgetOver, StoreError
from crossfade.stores.base import UNSENT, Role
from crossfade.stores.sqlite import SQLiteStore
from tests.stores.sqlite.sqlite_scene import MOVE, TOKEN, Scene, change

SOON = 5.0
"""Seconds: much longer than the time given in these tests, much shorter than the store's own patience."""

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT); INSERT INTO t (v) VALUES ('one')"


def apply(made: Scene, view: Any) -> None:
    with made.store.applying(TOKEN, "7") as applying:
        applying.apply([change(view, [{"id": 1, "v": "two"}])])


ACTS = {
    "apply": apply,
    "sequences": lambda made, view: made.store.raise_sequences([view], {view.id: 9}),
    "rehearsal": lambda made, view: made.store.rehearse_lead(MOVE, view),
    "lead": lambda made, _: made.store.lead(MOVE, 0, 1),
}


def late(made: Scene, act: Callable[[], None]) -> None:
    began = time.monotonic()
    with pytest.raises(BudgetOver, match="locked"), made.store.within(0.2):
        act()
    assert time.monotonic() - began < SOON


def followed(made: Scene) -> Any:
    view = made.view("t")
    made.follow(view)
    made.store.begin_attempt(MOVE, 0, 1)
    made.store.close()
    made.store = SQLiteStore(made.path, busy_timeout=30.0)
    return view


def untouched(made: Scene) -> bool:
    state = made.store.state(MOVE)
    return (state.role, state.position) == (Role.FOLLOWER, None) and made.all("SELECT v FROM t") == [("one",)]


@pytest.mark.parametrize("wal", [False, True], ids=["delete", "wal"])
@pytest.mark.parametrize("name", ACTS)
def test_a_writer_keeps_a_call_no_longer_than_its_time(scene, name: str, wal: bool) -> None:
    made = scene(TABLE, wal=wal)
    view = followed(made)
    made.app.execute("BEGIN IMMEDIATE")
    late(made, lambda: ACTS[name](made, view))
    made.app.execute("ROLLBACK")
    assert untouched(made)
    ACTS[name](made, view)


@pytest.mark.parametrize("name", sorted(set(ACTS) - {"rehearsal"}))
def test_a_reader_keeps_a_commit_no_longer_than_its_time_and_nothing_is_committed(scene, name: str) -> None:
    made = scene(TABLE)
    view = followed(made)
    made.app.execute("BEGIN")
    made.app.execute("SELECT count(*) FROM t").fetchone()
    late(made, lambda: ACTS[name](made, view))
    made.app.execute("COMMIT")
    assert untouched(made)
    ACTS[name](made, view)


def test_a_bound_is_of_its_block_and_of_its_thread(scene) -> None:
    made = scene(TABLE)
    made.lead(made.view("t"))
    made.app.execute("BEGIN IMMEDIATE")
    failed: list[BaseException] = []

    def note() -> None:
        try:
            made.store.note(MOVE, {"a": 1})
        except StoreError as error:
            failed.append(error)

    with made.store.within(0.0):
        other = threading.Thread(target=note)
        other.start()
        with pytest.raises(BudgetOver):
            made.store.note(MOVE, {"a": 2})
    made.app.execute("ROLLBACK")
    other.join(10)
    assert failed == []
    made.store.note(MOVE, {"b": 3})
    assert dict(made.store.state(MOVE).notes) == {"a": 1, "b": 3}


def test_a_fence_says_that_no_commit_was_sent_until_it_is_announced(scene) -> None:
    made = scene(TABLE)
    made.lead(made.view("t"))
    store = made.store
    store.begin_attempt(MOVE, 0, 1)
    assert not store.state(MOVE).commit_unsent
    with pytest.raises(AttemptOver):
        store.announce_commit(MOVE, 0, 1)  # there is no fence
    store.fence(MOVE, 0, 1, 5)
    assert store.state(MOVE).commit_unsent
    with pytest.raises(AttemptOver):
        store.announce_commit(MOVE, 0, 2)
    store.announce_commit(MOVE, 0, 1)
    assert not store.state(MOVE).commit_unsent
    store.abort_attempt(MOVE, 0, 1)
    assert not store.state(MOVE).commit_unsent
    store.unfence(MOVE, 0, 2)
    store.fence(MOVE, 0, 2, 5)
    store.abort_attempt(MOVE, 0, 2)
    with pytest.raises(AttemptOver):
        store.announce_commit(MOVE, 0, 2)
    assert store.state(MOVE).commit_unsent
    assert store.state(MOVE).notes[UNSENT] == 2
