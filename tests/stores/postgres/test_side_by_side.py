"""Tasks run as early as their locks allow, and never beside one that they would wait for."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.stores.base import Finding
from crossfade.stores.postgres.side_by_side import Lock, Task, run

TABLES = ["a", "b", "c"]


class Watch:
    """Notes which tasks run at the same time."""

    def __init__(self) -> None:
        self.tasks: dict[int, Task] = {}
        self.running: set[int] = set()
        self.ended: list[int] = []
        self.clashes: list[tuple[int, int]] = []
        self.lock = threading.Lock()

    def task(self, number: int, locks: dict[str, Lock], after: Sequence[int]) -> Task:
        def work() -> list[Finding]:
            with self.lock:
                self.clashes += [
                    (number, other)
                    for other in self.running
                    if self.tasks[number].conflicts(self.tasks[other])
                ]
                self.clashes += [(number, other) for other in after if other not in self.ended]
                self.running.add(number)
            with self.lock:
                self.running.remove(number)
                self.ended.append(number)
            return [Finding("ok", "test", str(number), "", "")]

        self.tasks[number] = Task(work, locks, [self.tasks[other] for other in after])
        return self.tasks[number]


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_all_run_once_in_an_order_that_their_locks_allow(data: st.DataObject) -> None:
    watch = Watch()
    tasks = []
    for number in range(data.draw(st.integers(1, 9))):
        locks = data.draw(st.dictionaries(st.sampled_from(TABLES), st.sampled_from(Lock), min_size=1))
        after = data.draw(st.sets(st.integers(0, number - 1), max_size=2)) if number else set()
        tasks.append(watch.task(number, locks, sorted(after)))
    found = run(tasks, data.draw(st.integers(1, 3)))
    assert [finding.what for finding in found] == [str(number) for number in range(len(tasks))]
    assert watch.clashes == []


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        (Lock.BUILD, Lock.BUILD, True),
        (Lock.READ, Lock.OWN, True),
        (Lock.READ, Lock.BUILD, True),
        (Lock.OWN, Lock.BUILD, False),
        (Lock.OWN, Lock.OWN, False),
        (Lock.READ, Lock.ALTER, False),
    ],
)
def test_locks_conflict_as_they_do_in_the_server(one: Lock, other: Lock, together: bool) -> None:
    for first, second in ((one, other), (other, one)):
        conflict = Task(list, {"a": first}).conflicts(Task(list, {"a": second}))
        assert conflict is not together
        assert not Task(list, {"a": first}).conflicts(Task(list, {"b": second}))


def test_two_that_do_not_conflict_run_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=30)

    def meet() -> list[Finding]:
        meeting.wait()
        return []

    assert run([Task(meet, {"a": Lock.ALTER}), Task(meet, {"b": Lock.ALTER})], 2) == []


def test_what_a_lock_keeps_waiting_is_not_overtaken_by_what_would_keep_it_waiting() -> None:
    """A build runs; a change of that table waits for it; another build of it must not slip in before."""
    order: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def first() -> list[Finding]:
        begun.set()
        assert go_on.wait(30)
        order.append("build")
        return []

    def elsewhere() -> list[Finding]:
        assert begun.wait(30)
        go_on.set()
        return []

    def note(name: str) -> list[Finding]:
        order.append(name)
        return []

    run(
        [
            Task(first, {"a": Lock.BUILD}),
            Task(lambda: note("change"), {"a": Lock.ALTER}),
            Task(lambda: note("later build"), {"a": Lock.BUILD}),
            Task(elsewhere, {"b": Lock.OWN}),
        ],
        2,
    )
    assert order == ["build", "change", "later build"]


def test_the_first_error_is_raised_and_nothing_more_is_started() -> None:
    ran: list[str] = []

    def fail() -> list[Finding]:
        raise RuntimeError("no")

    def later() -> list[Finding]:
        ran.append("later")
        return []

    with pytest.raises(RuntimeError, match="no"):
        run([Task(fail, {"a": Lock.ALTER}), Task(later, {"a": Lock.ALTER})], 2)
    assert ran == []


def test_a_task_that_waits_for_one_that_is_not_there_is_said() -> None:
    with pytest.raises(ValueError, match="wait for each other"):
        run([Task(list, {}, [Task(list, {})])], 2)
