"""The names under which everything is kept in the state database.  They never change: what a run began under
them, a later version finds."""

from __future__ import annotations

from typing import Final, NamedTuple

APPLICATION: Final = "crossfade"
VERSION: Final = "plan-engine-1"
"""Fixed, because DBOS takes a workflow up again under the version that it began with, and would otherwise make one
out of the source.  What a new Crossfade does otherwise for a run that an old one began hangs on the input's
``format`` instead."""

PLAN_FLOW: Final = "crossfade.plan"
TASK_FLOW: Final = "crossfade.task"
CHUNK_FLOW: Final = "crossfade.chunk"

STATE: Final = "state"
"""The event in which a task's workflow shows where it stands."""

PEOPLE: Final = "people"
"""The topic of the messages that wake a task: somebody has said something."""


def task_id(run: str, task: str, *, undoing: bool = False) -> str:
    """The id of a task's workflow."""
    return f"{run}!undo/{task}" if undoing else f"{run}/{task}"


class Queues(NamedTuple):
    """Where runs and where tasks wait for a worker."""

    plans: str
    tasks: str


def queues(move: str) -> Queues:
    """The queues of a move.  Each has its own: a worker has the spec, the secrets and the folder of one."""
    behind = f".{move}" if move else ""
    return Queues(f"crossfade-plans{behind}", f"crossfade-tasks{behind}")


def chunk_queue(move: str, host: str | None) -> str:
    """Where chunks of a move's copy wait; ``host`` names the only machine that can reach its files, if one does."""
    return f"crossfade-chunks.{move}" + (f"@{host}" if host else "")


def chunk_id(lease: str, table: int, number: int) -> str:
    """The id of a chunk's workflow: a copy that begins anew has another lease, and chunks of its own."""
    return f"copy!{lease}/{table}.{number}"
