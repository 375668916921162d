"""Ways in which a write could be lost inside one store: each of them is closed here, by name."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from crossfade.errors import Different, Refused, StoreError
from tests.stores.sqlite.sqlite_scene import LEASE, MOVE, TOKEN, Scene, change

_SCRIPT = """
CREATE TABLE a (id INTEGER PRIMARY KEY, t TEXT);
CREATE TABLE b (id INTEGER PRIMARY KEY, t TEXT);
INSERT INTO b VALUES (1, 'b1');
"""
_TOUCH = "CREATE TRIGGER touch AFTER INSERT ON a BEGIN UPDATE b SET t = 'touched' WHERE id = 1; END;"


def test_a_pass_from_before_what_was_trimmed_is_refused(scene: Callable[..., Scene]) -> None:
    s = scene(_SCRIPT)
    view = s.view("a")
    s.lead(view)
    before = s.position()
    s.app.execute("INSERT INTO a VALUES (1, 'acknowledged')")
    after = s.position()
    assert s.store.trim(after) == 1
    assert s.changed(view, after) == set()
    for since in (before, None):
        with pytest.raises(Refused, match="already trimmed"):
            s.changed(view, since)


def test_a_side_that_leads_again_begins_with_a_whole_log(scene: Callable[..., Scene]) -> None:
    s = scene(_SCRIPT)
    view = s.view("a")
    s.lead(view)
    s.app.execute("INSERT INTO a VALUES (1, 'x')")
    assert s.store.trim(s.position()) == 1
    s.store.fence(MOVE, 0, 0, 2.0)
    s.store.follow(MOVE, 1, LEASE, None)
    s.store.begin_attempt(MOVE, 1, 1)
    s.store.lead(MOVE, 1, 1)
    s.app.execute("INSERT INTO a VALUES (2, 'y')")
    assert s.changed(view) == {(2,)}


def test_no_verb_waits_for_ever_behind_a_writer(scene: Callable[..., Scene]) -> None:
    s = scene(_SCRIPT)
    s.follow(s.view("a"))
    s.app.execute("BEGIN IMMEDIATE")
    verbs = [
        lambda: s.store.abort_attempt(MOVE, 0, 0),
        lambda: s.store.begin_attempt(MOVE, 0, 2),
        lambda: s.store.lead(MOVE, 0, 1),
        lambda: s.store.note(MOVE, {"x": 1}, token=TOKEN),
        lambda: s.store.trim("5"),
        lambda: s.store.applying(TOKEN, "1").__enter__(),
    ]
    for verb in verbs:
        began = time.monotonic()
        with pytest.raises(StoreError, match="locked"):
            verb()
        assert time.monotonic() - began < 10  # a busy timeout of 2 s
    s.app.execute("ROLLBACK")


def test_a_trigger_that_changes_a_row_beside_the_pass_rolls_it_back(scene: Callable[..., Scene]) -> None:
    s = scene(_SCRIPT + _TOUCH)
    a, b = s.view("a", 1), s.view("b", 2)
    s.follow(a, b)
    for others in ([], [change(b, [{"id": 2, "t": "other"}])]):
        with pytest.raises(Different, match=r"rows of b .*1"), s.store.applying(TOKEN, "1") as one:
            one.apply([change(a, [{"id": 3, "t": "x"}]), *others])
        assert s.rows(a) == []
        assert s.rows(b) == [{"id": 1, "t": "b1"}]


def test_a_trigger_that_changes_a_row_of_the_pass_is_left_to_the_proof(scene: Callable[..., Scene]) -> None:
    s = scene(_SCRIPT + _TOUCH)
    a, b = s.view("a", 1), s.view("b", 2)
    s.follow(a, b)
    with s.store.applying(TOKEN, "1") as one:
        one.apply([change(a, [{"id": 3, "t": "x"}]), change(b, [{"id": 1, "t": "touched"}])])
    assert s.rows(b) == [{"id": 1, "t": "touched"}]
    assert s.all("SELECT count(*) FROM crossfade_log") == [(0,)]


def test_a_trigger_may_write_to_a_table_that_is_not_mapped(scene: Callable[..., Scene]) -> None:
    s = scene(_SCRIPT + _TOUCH)
    a = s.view("a")
    s.follow(a)
    with s.store.applying(TOKEN, "1") as one:
        one.apply([change(a, [{"id": 3, "t": "x"}])])
    assert s.rows(a) == [{"id": 3, "t": "x"}]
    assert s.all("SELECT t FROM b") == [("touched",)]


def test_unique_values_that_are_swapped_beside_an_application_trigger_are_of_the_pass(
    scene: Callable[..., Scene],
) -> None:
    s = scene(
        "CREATE TABLE a (id INTEGER PRIMARY KEY, u TEXT UNIQUE, live INTEGER NOT NULL);"
        "CREATE UNIQUE INDEX one ON a (live) WHERE live = 1; CREATE TABLE n (x);"
        "INSERT INTO a VALUES (1, 'x', 0), (2, 'y', 0), (3, 'z', 0);"
        "CREATE TRIGGER t AFTER UPDATE ON a BEGIN INSERT INTO n VALUES (1); END;"
    )
    a = s.view("a")
    s.follow(a)
    with s.store.applying(TOKEN, "1") as one:
        one.apply([change(a, [{"id": 1, "u": "y", "live": 0}, {"id": 2, "u": "x", "live": 0}])])
    assert [row["u"] for row in s.rows(a)] == ["y", "x", "z"]
    assert s.all("SELECT count(*) FROM crossfade_log") == [(0,)]
