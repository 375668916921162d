"""The state row, the lease and the notes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from crossfade.errors import LeaseHeld, LeaseLost, Refused
from crossfade.stores.base import Role, Side, View
from crossfade.stores.postgres import PostgresStore
from tests.stores.postgres.scene import MOVE, TOKEN, app, follower, lease, view_of


@pytest.fixture
def view(store: PostgresStore, postgres_url: str) -> View:
    with app(postgres_url) as c:
        c.execute("CREATE TABLE a (id int PRIMARY KEY)")
    return view_of(store, "a")


def test_nothing_is_known_before_the_installation(store: PostgresStore) -> None:
    assert store.state(MOVE) is None
    assert store.chunks(MOVE) == []
    store.drop_lease(MOVE, "x")
    with pytest.raises(Refused, match="not set up"):
        store.note(MOVE, {"a": 1})


def test_the_state_of_a_new_follower(store: PostgresStore, view: View) -> None:
    store.install(MOVE, Side.NEW, Role.FOLLOWER, [view], peer="them")
    found = store.state(MOVE)
    assert found is not None
    assert (found.side, found.role, found.epoch, found.attempt) == (Side.NEW, Role.FOLLOWER, 0, 0)
    assert (found.fenced, found.lease, found.position, found.verified_at) == (True, None, None, None)
    assert (found.peer, found.notes) == ("them", {})


def test_a_lease_is_taken_renewed_and_dropped(store: PostgresStore, view: View) -> None:
    follower(store, [view])
    with pytest.raises(LeaseHeld, match="'test' on here, process 1"):
        store.take_lease(MOVE, lease("b"), over=None)
    with pytest.raises(LeaseHeld):
        store.take_lease(MOVE, lease("b"), over="other")
    store.take_lease(MOVE, lease("b"), over="tok")
    with pytest.raises(LeaseLost):
        store.renew_lease(MOVE, "tok", 5.0)
    store.renew_lease(MOVE, "b", 5.0)
    found = store.state(MOVE)
    assert found is not None
    assert found.lease is not None
    assert (found.lease.token, found.lease.until) == ("b", 5.0)
    store.drop_lease(MOVE, "tok")
    store.drop_lease(MOVE, "b")
    found = store.state(MOVE)
    assert found is not None
    assert found.lease is None


def test_one_of_many_takes_the_lease(store: PostgresStore, view: View) -> None:
    store.install(MOVE, Side.NEW, Role.FOLLOWER, [view], peer=None)

    def take(number: int) -> bool:
        try:
            store.take_lease(MOVE, lease(f"t{number}"), over=None)
        except LeaseHeld:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(take, range(6))) == 1


def test_a_heartbeat_does_not_wait_for_a_pass(store: PostgresStore, view: View) -> None:
    follower(store, [view])
    with store.applying(TOKEN, "p"):
        store.renew_lease(MOVE, "tok", 9.0)
        store.note(MOVE, {"a": 1})
        found = store.state(MOVE)
        assert found is not None
        assert found.position is None


def test_notes_are_merged(store: PostgresStore, view: View) -> None:
    follower(store, [view])
    store.note(MOVE, {"a": {"x": [1, None, "é"]}, "b": 1.5})
    store.note(MOVE, {"b": None, "c": True})
    found = store.state(MOVE)
    assert found is not None
    assert found.notes == {"a": {"x": [1, None, "é"]}, "c": True}


def test_the_password_is_masked_everywhere(postgres_url: str) -> None:
    secret = PostgresStore("postgresql://me:sesame@127.0.0.1:1/db")
    assert secret.url == "postgresql://me:****@127.0.0.1:1/db"
    with pytest.raises(Exception) as caught:
        secret.state(MOVE)
    assert "sesame" not in str(caught.value)
    assert "sesame" not in repr(secret)
