"""Looking at runs from any process, through what DBOS and Crossfade keep in the state database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from dbos import DBOSClient, DBOSPortableJSONSerializer, WorkflowStatus
from dbos import error as faults
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from crossfade.engine.names import APPLICATION, PLAN_FLOW, STATE, TASK_FLOW, task_id
from crossfade.errors import Refused, StoreError, StoreUnreachable, UsageError
from crossfade.masking import mask
from crossfade.runs.attempts import Attempts
from crossfade.runs.database import Database
from crossfade.runs.decisions import Decisions
from crossfade.runs.evidence import Evidence
from crossfade.runs.order import Earlier, Mode, RunInput
from crossfade.runs.results import Outcome, RunResult
from crossfade.runs.state import Flow, RunState, outcome_of, state_of
from crossfade.runs.workers import Worker, Workers

_STATES = {
    "ENQUEUED": "queued",
    "DELAYED": "queued",
    "PENDING": "running",
    "SUCCESS": "ended",
    "CANCELLED": "cancelled",
}
_AWAY = 600.0
"""Seconds for which the state database may be away while somebody waits for a run."""

_KEPT = 5_000
"""Ended tasks that are remembered, so that they are not read again at every look."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Summary:
    """A run in a list; ``outcome`` is None while it goes on."""

    run: str
    plan: str
    path: str
    move: str
    mode: str
    started_by: str
    started_at: str
    outcome: Outcome | None
    finished: float | None


class Reader:
    """Runs, as they are kept in one state database."""

    def __init__(self, database: Database, evidence: Evidence, *, polling: float) -> None:
        self.database = database
        self.evidence = evidence
        self.decisions = Decisions(database)
        self.attempts = Attempts(database)
        self.workers = Workers(database)
        self._polling = polling
        self._opened: DBOSClient | None = None
        self._ended: dict[str, tuple[int | None, Flow]] = {}

    @contextmanager
    def _client(self) -> Iterator[DBOSClient]:
        """The connection to what DBOS keeps."""
        with self._mapped():
            if self._opened is None:
                self._opened = DBOSClient(
                    system_database_url=self.database.url,
                    serializer=DBOSPortableJSONSerializer(),
                    application_name=APPLICATION,
                    retry_connection_errors=False,
                )
            yield self._opened

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        """Errors of DBOS and of its database become ours."""
        try:
            yield
        except (OperationalError, InterfaceError) as error:
            raise StoreUnreachable(
                f"does not answer: {mask(str(error.orig)).strip()}",
                where=self.database.where,
                todo="see that it runs and can be reached; what runs goes on, and is found again",
            ) from error
        except (SQLAlchemyError, faults.DBOSException) as error:
            raise StoreError(
                f"runs cannot be read or told: {mask(str(error)).strip()}", where=self.database.where
            ) from error

    def close(self) -> None:
        """Close the connections."""
        if self._opened is not None:
            self._opened.destroy()
            self._opened = None
        self.database.close()

    # --- one run ----------------------------------------------------------------

    def order(self, run: str) -> RunInput:
        """What a run was started with.  ``UsageError`` for one that there is not."""
        return order_in(self._status(run))

    def state(self, run: str) -> RunState:
        """Where a run stands, task by task."""
        status = self._status(run)
        tasks = {undoing: self._tasks(task_id(run, "", undoing=undoing)) for undoing in (False, True)}
        return state_of(order_in(status), _flow(status), tasks[False], tasks[True])

    def watch(self, run: str) -> Iterator[RunState]:
        """Where the run stands, again whenever that has changed, until it has ended."""
        last: RunState | None = None
        while True:
            state = self._patiently(lambda: self.state(run))
            if state != last:
                last = state
                yield state
            if state.outcome is not None:
                return
            self.demand_alive()
            time.sleep(self._polling)

    def result(self, run: str) -> RunResult | None:
        """What came of a run; None while it goes on."""
        flow = _flow(self._status(run, load_input=False))
        outcome = outcome_of(flow)
        if outcome is None:
            return None
        if flow.output is not None:
            return RunResult.model_validate(flow.output)
        tasks = {task.id: task.status for task in self.state(run).tasks}
        return RunResult(run=run, outcome=outcome, reason=flow.error, tasks=tasks, finished=flow.finished)

    def wait(self, run: str, *, timeout: float | None = None) -> RunResult:
        """Wait for the end of a run.  ``Refused`` when it has not come after ``timeout`` seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            result = self._patiently(lambda: self.result(run))
            if result is not None:
                return result
            self.demand_alive()
            if until is not None and time.monotonic() >= until:
                raise Refused(
                    f"the run has not ended after {timeout:g} s", where=run, todo="it goes on by itself"
                )
            time.sleep(self._polling)

    def _patiently(self, look: Callable[[], T]) -> T:
        """Look; a database that is away for a while is waited for, because the run waits for it too."""
        until = time.monotonic() + _AWAY
        while True:
            try:
                return look()
            except StoreUnreachable:
                if time.monotonic() >= until:
                    raise
                self.demand_alive()
                time.sleep(self._polling)

    def demand_alive(self) -> None:
        """``LeaseLost`` when this process worked and does so no more."""

    # --- all runs ---------------------------------------------------------------

    def runs(self) -> list[Summary]:
        """Every run, the newest first."""
        if not self.database.exists:
            return []
        with self._client() as client:
            statuses = client.list_workflows(name=PLAN_FLOW, sort_desc=True)
        return [_summary(status) for status in statuses]

    def done_tasks(self, plan: str, mode: Mode = Mode.LIVE) -> dict[str, Earlier]:
        """What earlier runs of that plan have proven; what `crossfade.runs.order.input_of` takes as ``done``."""
        return self.evidence.done_tasks(plan, mode) if self.database.exists else {}

    def living_workers(self) -> list[Worker]:
        """Who is at work."""
        return self.workers.living() if self.database.exists else []

    # --- reading ----------------------------------------------------------------

    def _status(self, run: str, *, load_input: bool = True) -> WorkflowStatus:
        found: list[WorkflowStatus] = []
        if self.database.exists:
            with self._client() as client:
                found = client.list_workflows(workflow_ids=[run], name=PLAN_FLOW, load_input=load_input)
        if not found:
            raise UsageError(f"there is no run {run}", where="run")
        return found[0]

    def _tasks(self, prefix: str) -> dict[str, Flow]:
        """The workflows whose ids begin like that, by what follows."""
        found: dict[str, Flow] = {}
        with self._client() as client:
            children = client.list_workflows(
                workflow_id_prefix=prefix, name=TASK_FLOW, load_input=False, load_output=False
            )
            over = [
                child.workflow_id
                for child in children
                if child.status not in ("PENDING", "ENQUEUED", "DELAYED")
                and self._ended.get(child.workflow_id, (None,))[0] != child.updated_at
            ]
            # many small questions rather than one with more parameters than SQLite takes
            for at in range(0, len(over), 500):
                for child in client.list_workflows(workflow_ids=over[at : at + 500], load_input=False):
                    shown = None
                    if child.status == "CANCELLED":
                        shown = client.get_event(child.workflow_id, STATE, timeout_seconds=0)
                    self._remember(child, _flow(child, shown))
            for child in children:
                kept = self._ended.get(child.workflow_id)
                if kept is not None and kept[0] == child.updated_at:
                    flow = kept[1]
                else:
                    flow = _flow(child, client.get_event(child.workflow_id, STATE, timeout_seconds=0))
                found[child.workflow_id.removeprefix(prefix)] = flow
        return found

    def _remember(self, child: WorkflowStatus, flow: Flow) -> None:
        if len(self._ended) >= _KEPT:
            self._ended.clear()
        self._ended[child.workflow_id] = (child.updated_at, flow)


def order_in(status: WorkflowStatus) -> RunInput:
    """The input of a run's workflow."""
    body: Any = status.input["args"][0] if status.input else {}
    return RunInput.model_validate(body)


def _summary(status: WorkflowStatus) -> Summary:
    order, flow = order_in(status), _flow(status)
    return Summary(
        run=order.run,
        plan=order.plan,
        path=order.path,
        move=order.move,
        mode=order.mode.value,
        started_by=order.started_by.name,
        started_at=order.started_at,
        outcome=outcome_of(flow),
        finished=flow.finished,
    )


def _flow(status: WorkflowStatus, shown: Any = None) -> Flow:
    state = _STATES.get(status.status, "broken")
    return Flow(
        state=state,
        output=status.output if state == "ended" and isinstance(status.output, dict) else None,
        shown=shown if isinstance(shown, dict) else None,
        error=str(status.error) if status.error is not None else "",
        worker=status.executor_id or "",
        finished=status.completed_at / 1000 if status.completed_at else None,
    )
