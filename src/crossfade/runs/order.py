"""What a run carries: the plan's executable tasks as they were when it was started.

`input_of` makes it of a plan; from then on the file is not read again.  It is the input of the durable
workflow, so whatever happens to the document, the run goes on as it began.
"""

from __future__ import annotations

import enum
import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import Field

from crossfade.errors import PlanError, Refused
from crossfade.plans.durations import parse_seconds
from crossfade.plans.model import OnFailure, Plan, Task
from crossfade.runs.approvals import WITHIN, members_of
from crossfade.runs.carried import Carried
from crossfade.runs.needs import Open, needs_of
from crossfade.runs.people import Person

FORMAT = 1
"""Grows when a workflow does other steps than before for the same input; what began with an older number is
gone on with as that version did it."""

LIVE_PATIENCE = 30.0
"""Seconds that a gate over live metrics is judged again before it counts as closed."""

RETRY_PAUSE = 1.0
"""Seconds before the first repetition of a command that failed; doubled each time, up to `LONGEST_PAUSE`."""

LONGEST_PAUSE = 60.0

_WITHIN = re.compile(r"^(?P<group>.*?)[\s,]*\bwithin\s+(?P<time>.+)$", re.I)
_NO_FILE = re.compile(r"[\n\0*?<>|]")
_LONGEST_PATH = 260


class Mode(enum.StrEnum):
    """How a plan is run: against the real stores, against scratch ones, or not at all."""

    LIVE = "live"
    REHEARSAL = "rehearsal"
    DRY_RUN = "dry-run"


class Ask(Carried):
    """An approval to wait for: how many people, of which (``members``, ``None`` for anybody), and for how many
    seconds."""

    count: int
    group: str | None = None
    members: tuple[str, ...] | None = None
    within: float = WITHIN


class RunTask(Carried):
    """One executable task.

    ``after`` are the ids of the tasks that have to be done before.  ``patience`` is how many seconds the gate is
    judged again while it is closed.  ``retry`` is the number of repetitions after a failure, ``None`` where the
    plan says nothing: then a command whose outcome is unknown is not repeated by itself.  ``files`` are the
    deliverables whose digests become evidence.  ``digest`` covers what is run, judged and approved.
    """

    id: str
    title: str
    line: int = 0
    run: tuple[str, ...] = ()
    gate: str = ""
    patience: float = 0.0
    approve: Ask | None = None
    undo: tuple[str, ...] = ()
    timeout: float | None = None
    retry: int | None = None
    on_failure: OnFailure = OnFailure.STOP
    after: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    digest: str = ""


class Earlier(Carried):
    """Evidence that a task was done by an earlier run: which one, when, and what was measured."""

    run: str
    at: str
    digest: str
    result: Any = None


class RunInput(Carried):
    """All of a run.  ``digest`` is that of the file's bytes, ``path`` is for writing statuses back only.

    ``done`` are tasks that are skipped because there is evidence that they were done.  ``claimed`` are items
    that the document says are done, with no evidence, and that the run relies on; ``unmet`` are those that it
    does not even claim, and that whoever started the run chose to overlook.
    """

    format: int = FORMAT
    run: str
    plan: str
    path: str
    digest: str
    move: str = ""
    mode: Mode = Mode.LIVE
    started_by: Person
    started_at: str
    allow_self: bool = False
    tasks: tuple[RunTask, ...] = ()
    done: dict[str, Earlier] = Field(default_factory=dict)
    claimed: tuple[str, ...] = ()
    unmet: tuple[str, ...] = ()
    retry_pause: float = RETRY_PAUSE

    def task(self, identifier: str) -> RunTask | None:
        """The task of that id."""
        return next((task for task in self.tasks if task.id == identifier), None)


def input_of(
    plan: Plan,
    content: bytes,
    *,
    started_by: Person,
    mode: Mode = Mode.LIVE,
    move: str = "",
    groups: Mapping[str, Sequence[str]] | None = None,
    allow_self: bool = False,
    expires: float = WITHIN,
    on_failure: OnFailure = OnFailure.STOP,
    done: Mapping[str, Earlier] | None = None,
    again: bool = False,
    claimed_ok: bool = False,
    problem: Callable[[str], str | None] | None = None,
    is_live: Callable[[str], bool] | None = None,
    retry_pause: float = RETRY_PAUSE,
) -> RunInput:
    """The run of a plan whose file holds ``content``.

    ``done`` is what earlier runs have proven (`crossfade.runs.evidence.done_tasks`); a task whose digest is still
    the same is skipped, unless ``again``.  ``problem`` and ``is_live`` judge a gate's expression; by default those
    of `crossfade.runs.gates`.

    ``PlanError`` for a circle, an unknown dependency or group, or a wrong gate.  ``Refused`` for a group too small
    to approve, for a plan with nothing to run, and for a task that waits for something that people do and that
    the document does not call done, unless ``claimed_ok``.
    """
    needs = needs_of(plan)
    if not needs:
        raise Refused(
            "nothing in it can be run",
            where=plan.path,
            todo="give tasks a **Run**, **Gate** or **Approve** field",
        )
    overlooked = _distinct(one for need in needs.values() for one in need.open)
    if overlooked and not claimed_ok:
        raise _not_done(overlooked)
    if problem is None or is_live is None:
        from crossfade.runs import gates

        problem, is_live = problem or gates.problem, is_live or gates.is_live
    asking = mode is not Mode.REHEARSAL
    written: dict[str, Task] = {}
    for task in plan.walk():
        written.setdefault(task.id, task)
    tasks = []
    for identifier, need in needs.items():
        task = written[identifier]
        wrong = problem(task.gate) if task.gate else None
        if wrong is not None:
            line = task.lines.get("gate", task.source.line)
            raise PlanError(f"task {identifier}: {wrong}", where=f"{task.source.file}:{line}")
        ask = _ask(task, groups or {}, started_by.name, allow_self=allow_self, expires=expires, check=asking)
        tasks.append(
            RunTask(
                id=identifier,
                title=task.title,
                line=task.source.line,
                run=task.run,
                gate=task.gate,
                patience=_patience(task, is_live) if task.gate else 0.0,
                approve=ask,
                undo=task.undo,
                timeout=task.timeout,
                retry=task.retry,
                on_failure=task.on_failure or on_failure,
                after=tuple(need.after),
                files=_files(task),
                digest=digest_of(task),
            )
        )
    proven = {} if again else {one.id: done[one.id] for one in tasks if done and one.id in done}
    now = time.time()
    return RunInput(
        run=f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{secrets.token_hex(3)}",
        plan=plan.title,
        path=plan.path,
        digest=hashlib.sha256(content).hexdigest(),
        move=move,
        mode=mode,
        started_by=started_by,
        started_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        allow_self=allow_self,
        tasks=tuple(tasks),
        done={
            one.id: proven[one.id]
            for one in tasks
            if one.id in proven and proven[one.id].digest == one.digest
        },
        claimed=tuple(sorted({name for need in needs.values() for name in need.claimed})),
        unmet=tuple(one.text for one in overlooked),
        retry_pause=retry_pause,
    )


def digest_of(task: Task) -> str:
    """SHA-256 over what is done for a task: its commands, its gate and its approval.  Evidence holds for as long
    as this stays the same; a new title or a longer time-out changes nothing about what was done."""
    approve = [task.approve.count, task.approve.group] if task.approve else None
    body = {"id": task.id, "run": task.run, "gate": task.gate, "approve": approve}
    return hashlib.sha256(
        json.dumps(body, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")
    ).hexdigest()


def _ask(
    task: Task,
    groups: Mapping[str, Sequence[str]],
    starter: str,
    *,
    allow_self: bool,
    expires: float,
    check: bool,
) -> Ask | None:
    if task.approve is None:
        return None
    group, within = task.approve.group, getattr(task.approve, "within", None)
    found = _WITHIN.match(group) if group else None
    if found:
        group, within = found["group"].strip() or None, within or parse_seconds(found["time"])
    where = f"{task.source.file}:{task.lines.get('approve', task.source.line)}"
    members = (
        members_of(group, task.approve.count, groups, starter, allow_self=allow_self, where=where)
        if check
        else None
    )
    return Ask(count=task.approve.count, group=group, members=members, within=within or expires)


def _patience(task: Task, is_live: Callable[[str], bool]) -> float:
    within = parse_seconds(task.other["within"]) if "within" in task.other else None
    if within is not None:
        return within
    return LIVE_PATIENCE if is_live(task.gate) else 0.0


def _files(task: Task) -> tuple[str, ...]:
    """What may be the name of a file among the deliverables and files of a task."""
    names = (name.strip().strip("`").strip() for name in (*task.deliverables, *task.files))
    return tuple(
        dict.fromkeys(
            name for name in names if name and len(name) <= _LONGEST_PATH and not _NO_FILE.search(name)
        )
    )


def _distinct(found: Iterable[Open]) -> list[Open]:
    """Each open item once, whoever waits for it."""
    seen: dict[tuple[str, str], Open] = {}
    for one in found:
        seen.setdefault((one.text, str(one.source)), one)
    return list(seen.values())


def _not_done(overlooked: list[Open]) -> Refused:
    told = "; ".join(
        f"{one.text} (line {one.source.line}; task {one.task} waits for it)" for one in overlooked[:5]
    )
    more = f"; and {len(overlooked) - 5} more" if len(overlooked) > 5 else ""
    return Refused(
        f"{told}{more}",
        where=str(overlooked[0].source),
        todo="do it and tick it in the document, or start the run in spite of it",
    )
