"""What can be done with runs from any process: start, answer, cancel, mend.

It speaks to the state database only, so it works while a run goes on elsewhere, and when nobody works at all.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from dbos import DBOS, WorkflowStatus
from dbos import error as faults

from crossfade.engine import chunks
from crossfade.engine.names import APPLICATION, PEOPLE, PLAN_FLOW, VERSION, queues, task_id
from crossfade.engine.reader import Reader, order_in
from crossfade.errors import Refused, UsageError
from crossfade.runs.approvals import Answer, Request, objection
from crossfade.runs.attempts import Attempt
from crossfade.runs.chunks import ChunkOrder, ChunkState
from crossfade.runs.database import Database
from crossfade.runs.decisions import APPROVAL
from crossfade.runs.evidence import Evidence
from crossfade.runs.order import RunInput, RunTask
from crossfade.runs.people import Person
from crossfade.runs.results import TaskStatus
from crossfade.runs.state import TaskState
from crossfade.runs.task import ASSUME
from crossfade.runs.workers import Worker

_UNFINISHED = ("PENDING", "ENQUEUED", "DELAYED")
_UNDECIDED = (TaskStatus.WAITING, TaskStatus.READY, TaskStatus.APPROVAL)
_ENDING = 30.0
"""Seconds that the commands of a cancelled run have to end."""

_MENDING = 10.0
"""Seconds for which one process may take to give dead workers' work away."""


@dataclass(frozen=True, slots=True)
class Stranded:
    """A workflow that nobody goes on with, and why.  ``mendable`` ones are given to a living worker by `mend`."""

    run: str
    workflow: str
    why: str
    mendable: bool


class Desk(Reader):
    """What people and other processes do with runs."""

    def __init__(self, database: Database, evidence: Evidence, *, move: str, polling: float) -> None:
        super().__init__(database, evidence, polling=polling)
        self.move = move
        self._prepared = False

    def prepare(self) -> None:
        """Make what is missing of the tables and queues."""
        if self._prepared:
            return
        self.database.place()
        with self._mapped():
            DBOS.migrate(self.database.url)
        # ours last: where they are, everything is
        self.database.prepare()
        with self._client() as client:
            for queue in queues(self.move):
                client.register_queue(queue, polling_interval_sec=self._polling, application_name=APPLICATION)
        self._prepared = True

    # --- starting ---------------------------------------------------------------

    def start(self, order: RunInput) -> str:
        """Begin a run; whichever worker is there takes it.  ``Refused`` while a run of the same plan goes on."""
        if order.move != self.move:
            raise UsageError(
                f"the run is of the move {order.move!r}, and this is {self.move!r}", where=order.run
            )
        self.prepare()
        for other in self.runs():
            if (other.move, other.plan, other.mode) != _identity(order):
                continue
            if other.outcome is None:
                raise _still_going(other.run, order.plan)
            if at_work := self._at_work(other.run):
                raise Refused(
                    f"a command of run {other.run}, which is over, is still at work: {at_work[0].command}",
                    where=f"{other.run}/{at_work[0].task}",
                    todo=f"wait for it, or end process {at_work[0].pid} on {at_work[0].host}; a second one would "
                    "do the same at the same time",
                )
        with self._client() as client:
            try:
                client.enqueue(
                    {
                        "workflow_name": PLAN_FLOW,
                        "queue_name": queues(self.move).plans,
                        "workflow_id": order.run,
                        "workflow_id_reuse_policy": "reject",
                        "app_version": VERSION,
                        # of two that start it at the same moment, one is refused
                        "deduplication_id": hashlib.sha256("\0".join(_identity(order)).encode()).hexdigest(),
                    },
                    order.as_json(),
                )
            except faults.DBOSQueueDeduplicatedError:
                raise _still_going("another", order.plan) from None
            except faults.DBOSWorkflowIDInUseError:
                raise UsageError(f"there is a run {order.run} already", where="run") from None
        return order.run

    # --- people -----------------------------------------------------------------

    def approve(self, run: str, task: str, person: Person, reason: str = "") -> bool:
        """Approve a task, also before it asks; False when that person had approved it already.

        ``Refused`` when this approval cannot count: by whoever started the run, by somebody outside the group, of a
        task that is over or asks for no approval.
        """
        return self._answer(run, task, person, Answer.APPROVE, reason)

    def reject(self, run: str, task: str, person: Person, reason: str = "") -> bool:
        """Reject a task, which ends it; as `approve` otherwise.  Whoever started a run may reject too."""
        return self._answer(run, task, person, Answer.REJECT, reason)

    def _answer(self, run: str, task: str, person: Person, answer: Answer, reason: str) -> bool:
        order = self.order(run)
        wanted = _task_of(order, task)
        if wanted.approve is None:
            raise Refused("it asks for no approval", where=f"{run}/{task}")
        ask = wanted.approve
        why = objection(
            Request(
                count=ask.count,
                group=ask.group,
                members=ask.members,
                starter=order.started_by.name,
                allow_self=order.allow_self,
                asked_at=0,
                expires_at=0,
            ),
            person.name,
            answer,
        )
        if why is not None:
            raise Refused(why, where=f"{run}/{task}", todo="let somebody else decide")
        state = self.state(run)
        now = state.task(task)
        if state.outcome is not None or now is None or now.status not in _UNDECIDED:
            if now is not None and _has_said(now, person, answer):
                return False
            raise Refused(
                f"it is {now.status if now else 'over'}, and waits for no approval", where=f"{run}/{task}"
            )
        fresh = self.decisions.give(run, task, APPROVAL, person, answer, reason)
        self._wake(task_id(run, task), f"{APPROVAL}/{answer}/{person.name}")
        return fresh

    def assume(self, run: str, task: str, answer: str, person: Person, reason: str = "") -> bool:
        """Say what became of a command whose outcome nobody knows: ``done``, ``again`` or ``failed``."""
        if answer not in ASSUME:
            raise UsageError(f"{answer!r} is none of {', '.join(ASSUME)}", where="assume")
        _task_of(self.order(run), task)
        state = self.state(run).task(task)
        if state is None or state.status is not TaskStatus.UNKNOWN:
            raise Refused(
                f"it is {state.status if state else 'not there'}: the outcome of its command is not in question",
                where=f"{run}/{task}",
            )
        fresh = self.decisions.give(run, task, state.about, person, answer, reason)
        undoing = f"/{task}/undo/" in state.about
        self._wake(task_id(run, task, undoing=undoing), f"{state.about}/{answer}/{person.name}")
        return fresh

    def _wake(self, workflow: str, key: str) -> None:
        with self._client() as client:
            try:
                client.send(workflow, key, topic=PEOPLE, idempotency_key=key)
            except faults.DBOSNonExistentWorkflowError:
                return  # it has not begun; when it does, it looks

    # --- ending and mending -----------------------------------------------------

    def cancel(self, run: str, person: Person, reason: str = "") -> None:
        """End a run as it is: what runs is stopped, nothing is undone.  ``Refused`` when it is over."""
        order = self.order(run)
        if self.result(run) is not None:
            raise Refused("it is over", where=run)
        # the workflows first, lest one of them makes something of a command that is stopped
        with self._client() as client:
            client.cancel_workflow(run, cancel_children=True)
        self.attempts.stop(run=run)
        data = {
            "plan": order.plan,
            "mode": order.mode.value,
            "person": person.as_json(),
            "reason": reason,
        }
        self.evidence.record(run, "run.cancelled", f"{run}/cancelled/{time.time():.3f}", data)
        self.evidence.copy()

    def await_commands(self, run: str, *, seconds: float = _ENDING) -> list[str]:
        """Wait until the commands of a run that is over have ended; those that have not, in words.

        What became of each is evidence.
        """
        order = self.order(run)
        until = time.monotonic() + seconds
        while True:
            at_work = self._at_work(run)
            if not at_work or time.monotonic() >= until:
                break
            time.sleep(self._polling)
        for attempt in self.attempts.of_run(run):
            if attempt.stop and attempt.result is not None:
                result = attempt.result
                data = {
                    "plan": order.plan,
                    "mode": order.mode.value,
                    "task": attempt.task,
                    "command": attempt.command,
                    "outcome": result.get("outcome"),
                    "exit": result.get("exit"),
                }
                self.evidence.record(run, "command.stopped", f"{attempt.key}/stopped", data)
        self.evidence.copy()
        return [f"{one.task}: {one.command} (process {one.pid} on {one.host})" for one in at_work]

    def _at_work(self, run: str) -> list[Attempt]:
        """The attempts of a run whose commands may still be at work."""
        return [
            one
            for one in self.attempts.of_run(run)
            if one.state in ("claimed", "unknown") and self.attempts.is_alive(one)
        ]

    def resume(self, run: str) -> None:
        """Go on with a run that was cancelled, or that a dead worker left behind.

        A command that was stopped half-way counts as one whose outcome is unknown.  ``Refused`` for a run that
        has ended: a new one of the same plan skips what is done.
        """
        status = self._status(run)
        if status.status == "CANCELLED":
            order = order_in(status)
            data = {"plan": order.plan, "mode": order.mode.value}
            self.evidence.record(run, "run.resumed", f"{run}/resumed/{time.time():.3f}", data)
            with self._client() as client:
                cancelled = client.list_workflows(
                    workflow_id_prefix=[task_id(run, "", undoing=undoing) for undoing in (False, True)],
                    status="CANCELLED",
                    load_input=False,
                    load_output=False,
                )
                for one in cancelled:
                    client.resume_workflow(one.workflow_id, queue_name=queues(order.move).tasks)
                # last: it must not see a task that is still cancelled
                client.resume_workflow(run, queue_name=queues(order.move).plans)
            self.evidence.copy()
        elif status.status in _UNFINISHED:
            self.mend()
        else:
            raise Refused(
                "it has ended, and is not gone on with",
                where=run,
                todo="run the plan again: what is done, and unchanged, is skipped",
            )

    def stranded(self) -> list[Stranded]:
        """Workflows that nobody goes on with."""
        if not self.database.exists:
            return []
        found = [
            Stranded(_run_of(one.workflow_id), one.workflow_id, f"its worker {one.executor_id} is gone", True)
            for one in self._abandoned(self.workers.living())
        ]
        with self._client() as client:
            waiting = client.list_workflows(
                status=["ENQUEUED", "PENDING"], load_input=False, load_output=False
            )
            given_up = client.list_workflows(
                status="MAX_RECOVERY_ATTEMPTS_EXCEEDED", load_input=False, load_output=False
            )
        for one in waiting:
            if one.app_version not in (VERSION, None):
                why = f"it belongs to {one.app_version}, and this Crossfade runs {VERSION}"
                found.append(Stranded(_run_of(one.workflow_id), one.workflow_id, why, False))
        for one in given_up:
            why = "it was taken up too often"
            found.append(Stranded(_run_of(one.workflow_id), one.workflow_id, why, False))
        return found

    def mend(self, *, living: Sequence[Worker] | None = None) -> list[str]:
        """Give what dead workers left behind to living ones; the ids of those workflows.

        One process does so at a time: of two that both saw a dead worker, the second would take the workflow from
        the one who has it now.
        """
        if not self.database.exists:
            return []
        if not self._abandoned(living if living is not None else self.workers.living()):
            return []
        token = f"{time.time():.6f}-{id(self)}"
        if not self.workers.may_mend(token, _MENDING):
            return []
        try:
            again = self._abandoned(
                self.workers.living() if living is None else [*living, *self.workers.living()]
            )
            with self._client() as client:
                for one in again:
                    client.resume_workflow(one.workflow_id, queue_name=one.queue_name)
        finally:
            self.workers.mended(token)
        return [one.workflow_id for one in again]

    # --- chunks of a copy -------------------------------------------------------

    def offer_chunks(self, orders: Sequence[ChunkOrder], *, here: bool) -> None:
        """Offer chunks of a copy to this move's workers; ``here``: to those on this machine alone."""
        with self._client() as client:
            chunks.offer(client, orders, here=here)

    def chunk_states(self, lease: str) -> list[ChunkState]:
        """Where every chunk stands that was offered under that lease."""
        with self._client() as client:
            return chunks.states(client, lease)

    def withdraw_chunks(self, lease: str, offered: Sequence[tuple[int, int]]) -> None:
        """Take back those (table, number) that nobody has begun; what is begun is finished."""
        with self._client() as client:
            chunks.withdraw(client, lease, offered)

    def _abandoned(self, living: Sequence[Worker]) -> list[WorkflowStatus]:
        alive = {worker.executor for worker in living}
        with self._client() as client:
            pending = client.list_workflows(
                status="PENDING", app_version=VERSION, load_input=False, load_output=False
            )
        return [one for one in pending if one.executor_id not in alive]


def _still_going(run: str, plan: str) -> Refused:
    return Refused(
        f"run {run} of {plan!r} still goes on",
        where="run",
        todo="wait for it, or cancel it; a second one would do everything twice",
    )


def _identity(order: RunInput) -> tuple[str, str, str]:
    """What may not be run twice at the same time."""
    return order.move, order.plan, order.mode.value


def _has_said(state: TaskState, person: Person, answer: Answer) -> bool:
    return any(one.person.name == person.name and one.answer == answer for one in state.approvals)


def _run_of(workflow: str) -> str:
    return workflow.partition("/")[0].removesuffix("!undo")


def _task_of(order: RunInput, task: str) -> RunTask:
    found = order.task(task)
    if found is None:
        raise UsageError(
            f"the run has no task {task!r}",
            where=order.run,
            todo=f"it has {', '.join(t.id for t in order.tasks)}",
        )
    return found
