"""What comes of commands, tasks and runs."""

from __future__ import annotations

import enum
from typing import Any

from pydantic import Field

from crossfade.runs.approvals import Said
from crossfade.runs.carried import Carried


class TaskStatus(enum.StrEnum):
    """Where a task of a run stands."""

    WAITING = "waiting"
    """Tasks that it depends on are not done."""
    READY = "ready"
    """Nothing is in its way; no worker has taken it yet."""
    APPROVAL = "approval"
    """It waits for people."""
    RUNNING = "running"
    GATE = "gate"
    """Its commands are done, and its gate is judged."""
    UNKNOWN = "unknown"
    """A command was begun and nobody knows how it ended: a person has to say."""
    DONE = "done"
    FAILED = "failed"
    REJECTED = "rejected"
    SKIPPED = "skipped"
    """Done by an earlier run, or not begun any more because the run had failed."""
    CANCELLED = "cancelled"
    UNDOING = "undoing"
    UNDONE = "undone"

    @property
    def is_final(self) -> bool:
        """Whether nothing changes any more, unless it is undone."""
        return self not in _MOVING


_MOVING = frozenset(
    {
        TaskStatus.WAITING,
        TaskStatus.READY,
        TaskStatus.APPROVAL,
        TaskStatus.RUNNING,
        TaskStatus.GATE,
        TaskStatus.UNKNOWN,
        TaskStatus.UNDOING,
    }
)


class Output(Carried):
    """A file with what a command wrote, masked."""

    path: str
    bytes: int
    sha256: str


class Ran(Carried):
    """One attempt at a command.

    ``outcome`` is ``done`` (exit 0), ``failed``, ``stopped`` (the run was cancelled), ``withdrawn`` (it was, before the
    command was begun) or ``unknown`` (nobody knows).
    ``exit`` is 128 + the signal for a command that a signal ended.  ``stdout`` and ``stderr`` are the ends of the
    outputs, ``measured`` the JSON object at the end of the first.  Times are seconds since 1970.
    """

    key: str = ""
    command: str = ""
    outcome: str
    exit: int | None = None
    signal: int | None = None
    timed_out: bool = False
    started: float | None = None
    finished: float | None = None
    seconds: float | None = None
    stdout: str = ""
    stderr: str = ""
    measured: dict[str, Any] | None = None
    files: tuple[Output, ...] = ()


class Judged(Carried):
    """A gate's verdict: whether it is open, why in one sentence, and the values that it rests on."""

    passed: bool
    text: str
    seen: dict[str, Any] = Field(default_factory=dict)


class Delivered(Carried):
    """A file that a task was to deliver, by the name it has in the plan."""

    path: str
    bytes: int
    sha256: str


class TaskResult(Carried):
    """What came of a task, or of its undo.

    ``begun`` says whether a command was started, so that there may be something to undo.  ``measured`` is the last
    command's JSON.  Times are seconds since 1970.
    """

    task: str
    status: TaskStatus
    reason: str = ""
    attempt: int = 0
    begun: bool = False
    started: float | None = None
    finished: float | None = None
    ran: tuple[Ran, ...] = ()
    approvals: tuple[Said, ...] = ()
    verdict: Judged | None = None
    measured: dict[str, Any] | None = None
    files: tuple[Delivered, ...] = ()

    @property
    def seconds(self) -> float | None:
        """How long it took, waiting for people included."""
        if self.started is None or self.finished is None:
            return None
        return round(self.finished - self.started, 3)


class Outcome(enum.StrEnum):
    """What came of a run."""

    DONE = "done"
    FAILED = "failed"
    UNDONE = "undone"
    """It failed, and what it had done was undone."""
    CANCELLED = "cancelled"


class RunResult(Carried):
    """What came of a run: ``tasks`` are the final statuses, ``failed`` the task that ended it."""

    run: str
    outcome: Outcome
    reason: str = ""
    failed: str | None = None
    tasks: dict[str, TaskStatus] = Field(default_factory=dict)
    started: float | None = None
    finished: float | None = None

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        if self.started is None or self.finished is None:
            return None
        return round(self.finished - self.started, 3)
