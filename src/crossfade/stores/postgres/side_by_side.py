"""Tasks side by side on a few connections, in an order in which none waits for a lock of another.

The server would queue them too, but with a connection and a thread that wait: a build that another task's
lock keeps waiting is a processor that does nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from crossfade.stores.base import Finding


class Lock(enum.Enum):
    """What a task does with a table, by the lock that it takes there."""

    READ = "ROW SHARE"
    BUILD = "SHARE"
    OWN = "SHARE UPDATE EXCLUSIVE"
    ALTER = "ACCESS EXCLUSIVE"


_TOGETHER = frozenset(
    {(Lock.READ, Lock.READ), (Lock.READ, Lock.BUILD), (Lock.READ, Lock.OWN), (Lock.BUILD, Lock.BUILD)}
)


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One statement or a few: what it locks, by table, and the tasks that must have ended before."""

    run: Callable[[], list[Finding]]
    locks: Mapping[str, Lock]
    after: Sequence[Task] = ()

    def conflicts(self, other: Task) -> bool:
        """Whether one of the two would wait for the other."""
        return any(
            (lock, theirs) not in _TOGETHER and (theirs, lock) not in _TOGETHER
            for table, lock in self.locks.items()
            if (theirs := other.locks.get(table)) is not None
        )


def run(tasks: Sequence[Task], lanes: int) -> list[Finding]:
    """Run all, ``lanes`` at a time, each as early in the given order as its locks allow; what they found, in
    that order.  The first error ends it once what runs has ended, and is raised."""
    waiting = list(tasks)
    running: dict[Future[list[Finding]], Task] = {}
    found: dict[Task, list[Finding]] = {}
    with ThreadPoolExecutor(lanes, thread_name_prefix="crossfade-index") as pool:
        while waiting or running:
            for task in _startable(waiting, list(running.values()), found, lanes):
                waiting.remove(task)
                running[pool.submit(task.run)] = task
            if not running:
                raise ValueError("tasks wait for each other, or for one that is not among them")
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                found[running.pop(future)] = future.result()
    return [finding for task in tasks for finding in found[task]]


def _startable(
    waiting: Sequence[Task], running: Sequence[Task], ended: Mapping[Task, object], lanes: int
) -> list[Task]:
    """What may start now.  A task that is only kept waiting by a lock is not overtaken by one that would
    keep it waiting longer."""
    busy, kept, chosen = list(running), list[Task](), list[Task]()
    for task in waiting:
        if len(busy) >= lanes:
            break
        if any(one not in ended for one in task.after):
            continue
        if any(task.conflicts(other) for other in (*busy, *kept)):
            kept.append(task)
            continue
        busy.append(task)
        chosen.append(task)
    return chosen
