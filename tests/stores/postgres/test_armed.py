"""Whether the triggers are as they were installed, notes under a token, and verifications withdrawn."""

from __future__ import annotations

import time

import pytest

from crossfade.errors import LeaseLost
from crossfade.stores.base import Token
from crossfade.stores.postgres import PostgresStore
from tests.stores.postgres.scene import MOVE, TOKEN, app, follower, leader, views_of

_SCHEMA = """
CREATE TABLE a (id bigint PRIMARY KEY, t text);
CREATE TABLE b (id bigint PRIMARY KEY, t text);
CREATE TABLE loose (t text);
CREATE TABLE unmapped (id int PRIMARY KEY);
CREATE TABLE parts (id int PRIMARY KEY, t text) PARTITION BY RANGE (id);
CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (10);
"""


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("DROP TRIGGER crossfade_capture ON b", "crossfade_capture"),
        ("ALTER TABLE b DISABLE TRIGGER crossfade_capture", "is disabled"),
        ("ALTER TABLE parts_low DISABLE TRIGGER crossfade_capture", '"parts_low" is disabled'),
        ("DROP TRIGGER crossfade_fence ON unmapped", "crossfade_fence"),
        ("DROP TRIGGER crossfade_mark ON a", "crossfade_mark"),
        ("DROP TABLE b; CREATE TABLE b (id bigint PRIMARY KEY, t text)", "is missing"),
        ("ALTER TABLE b RENAME TO c", "b is not there"),
        (
            "CREATE OR REPLACE FUNCTION crossfade.capture_1() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN RETURN NULL; END'",
            "function body",
        ),
        (
            "DROP TRIGGER crossfade_capture ON b; CREATE TRIGGER crossfade_capture AFTER INSERT ON b "
            "FOR EACH ROW EXECUTE FUNCTION crossfade.capture_2(); "
            "ALTER TABLE b ENABLE ALWAYS TRIGGER crossfade_capture",
            "is altered",
        ),
    ],
)
def test_what_is_missing_or_altered_is_said_and_mended(
    store: PostgresStore, postgres_url: str, damage: str, says: str
) -> None:
    with app(postgres_url) as con:
        con.execute(_SCHEMA)
        views = views_of(store, "a", "b", "loose", "parts")
        leader(store, views)
        assert store.armed(views) == []
        con.execute(damage)
        said = store.armed(views)
        assert said
        assert any(says in line for line in said)
        if "RENAME" not in damage:
            leader(store, views)
            assert store.armed(views) == []


def test_a_follower_is_armed_too_and_looking_is_quick(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as con:
        con.execute(_SCHEMA)
    views = views_of(store, "a", "b", "loose", "parts")
    assert store.armed(views) == ["Crossfade is not installed in this database"]
    follower(store, views)
    times = []
    for _ in range(5):
        began = time.monotonic()
        assert store.armed(views) == []
        times.append(time.monotonic() - began)
    assert min(times) < 0.05


def test_a_note_under_a_token_is_refused_after_the_lease_or_the_role_has_passed(
    store: PostgresStore, postgres_url: str
) -> None:
    with app(postgres_url) as con:
        con.execute(_SCHEMA)
    follower(store, views_of(store, "a"))
    store.note(MOVE, {"x": 1}, token=TOKEN)
    for other in (Token(MOVE, 0, "another"), Token(MOVE, 1, "tok")):
        with pytest.raises(LeaseLost):
            store.note(MOVE, {"x": 2}, token=other)
    store.begin_attempt(MOVE, 0, 1)
    store.lead(MOVE, 0, 1)
    with pytest.raises(LeaseLost):
        store.note(MOVE, {"x": 2}, token=TOKEN)
    found = store.state(MOVE)
    assert found is not None
    assert found.notes == {"x": 1}


def test_a_verification_is_forgotten(store: PostgresStore, postgres_url: str) -> None:
    with app(postgres_url) as con:
        con.execute(_SCHEMA)
    follower(store, views_of(store, "a"))
    with store.applying(TOKEN, "1:1:", verified_at=5.0):
        pass
    before = store.state(MOVE)
    assert before is not None
    assert before.verified_at == 5.0
    store.forget_verification(MOVE)
    after = store.state(MOVE)
    assert after is not None
    assert after.verified_at is None
    assert after.position == "1:1:"
