"""Whether the triggers are as they were installed, notes under a token, and verifications withdrawn."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from crossfade.errors import LeaseLost
from crossfade.stores.base import Token
from tests.stores.sqlite.sqlite_scene import MOVE, TOKEN, Scene

_SCRIPT = """
CREATE TABLE a (id INTEGER PRIMARY KEY, t TEXT UNIQUE);
CREATE TABLE b (id INTEGER PRIMARY KEY, t TEXT);
CREATE TABLE unmapped (id INTEGER PRIMARY KEY);
"""
_REBUILT = "CREATE TABLE b2 (id INTEGER PRIMARY KEY, t TEXT); DROP TABLE b; ALTER TABLE b2 RENAME TO b"


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("DROP TRIGGER crossfade_2_upd", "crossfade_2_upd of table b is missing"),
        (_REBUILT, "of table b is missing"),
        ("CREATE TABLE fresh (id INTEGER PRIMARY KEY)", "of table fresh is missing"),
        (
            "DROP TRIGGER crossfade_2_upd; CREATE TRIGGER crossfade_2_upd AFTER UPDATE ON b BEGIN SELECT 1; END",
            "crossfade_2_upd of table b is altered",
        ),
    ],
)
def test_what_is_missing_or_altered_is_said_and_mended(
    scene: Callable[..., Scene], damage: str, says: str
) -> None:
    s = scene(_SCRIPT)
    views = [s.view("a", 1), s.view("b", 2)]
    assert s.store.armed(views) == ["Crossfade is not installed in this database"]
    s.lead(*views)
    began = time.monotonic()
    assert s.store.armed(views) == []
    assert time.monotonic() - began < 0.05
    s.app.executescript(damage)
    said = s.store.armed(views)
    assert said
    assert any(says in line for line in said)
    s.lead(*views)
    assert s.store.armed(views) == []


def test_a_note_under_a_token_is_refused_after_the_lease_or_the_role_has_passed(
    scene: Callable[..., Scene],
) -> None:
    s = scene(_SCRIPT)
    s.follow(s.view("a"))
    s.store.note(MOVE, {"x": 1}, token=TOKEN)
    for other in (Token(MOVE, 0, "another"), Token(MOVE, 1, TOKEN.lease)):
        with pytest.raises(LeaseLost):
            s.store.note(MOVE, {"x": 2}, token=other)
    s.store.begin_attempt(MOVE, 0, 1)
    s.store.lead(MOVE, 0, 1)
    with pytest.raises(LeaseLost):
        s.store.note(MOVE, {"x": 2}, token=TOKEN)
    found = s.store.state(MOVE)
    assert found is not None
    assert found.notes == {"x": 1}


def test_a_verification_is_forgotten(scene: Callable[..., Scene]) -> None:
    s = scene(_SCRIPT)
    s.follow(s.view("a"))
    with s.store.applying(TOKEN, "7", verified_at=5.0):
        pass
    before = s.store.state(MOVE)
    assert before is not None
    assert before.verified_at == 5.0
    s.store.forget_verification(MOVE)
    after = s.store.state(MOVE)
    assert after is not None
    assert after.verified_at is None
    assert after.position == "7"
