"""Chunks of a copy on their way through the queue.

A chunk's workflow is one step.  It is as durable as a task's: when its worker dies, `Desk.mend` gives it to another
one.  That it is then done twice is harmless, because a chunk is recorded together with its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dbos import DBOS, DBOSClient, WorkflowStatus

from crossfade.engine.names import APPLICATION, CHUNK_FLOW, VERSION, chunk_id, chunk_queue
from crossfade.errors import CrossfadeError
from crossfade.masking import mask
from crossfade.runs import machine
from crossfade.runs.chunks import CHUNK_FORMAT, ChunkOrder, ChunkState, ChunkStatus

Load = Callable[[ChunkOrder], int]
"""Copies one chunk; its rows, 0 when it was recorded already."""

_POLLING = 0.1
"""Seconds between two looks into the queue: a chunk takes little longer than that."""

_SOME = 500
"""Chunks that are asked for or cancelled at once."""


def register_chunks(load: Load, secrets: Sequence[str]) -> None:
    """Make the workflow known to DBOS, which has to happen before it is launched."""

    @DBOS.workflow(name=CHUNK_FLOW, max_recovery_attempts=None)
    def chunk_flow(body: dict[str, Any]) -> dict[str, Any]:
        order = ChunkOrder.model_validate(body)

        def copy() -> dict[str, Any]:
            if order.format > CHUNK_FORMAT:
                return {"why": f"it is of format {order.format}, and this Crossfade knows {CHUNK_FORMAT}"}
            try:
                return {"rows": load(order)}
            except CrossfadeError as error:
                # the one who copies does it then, and meets the same error where it can be told
                return {"why": mask(str(error), secrets)}

        return DBOS.run_step({"name": "crossfade.chunk"}, copy)


def listened(move: str) -> tuple[str, str]:
    """The queues from which a worker on this machine takes chunks."""
    return chunk_queue(move, None), chunk_queue(move, machine.host())


def open_queues(client: DBOSClient, move: str, *, at_once: int) -> None:
    """Make both known; each worker takes ``at_once`` chunks side by side."""
    for name in listened(move):
        client.register_queue(
            name, worker_concurrency=at_once, polling_interval_sec=_POLLING, application_name=APPLICATION
        )


def offer(client: DBOSClient, orders: Sequence[ChunkOrder], *, here: bool) -> None:
    """Put them into the queue; ``here``: only workers on this machine can take them."""
    host = machine.host() if here else None
    for order in orders:
        client.enqueue(
            {
                "workflow_name": CHUNK_FLOW,
                "queue_name": chunk_queue(order.move, host),
                "workflow_id": chunk_id(order.lease, order.table, order.number),
                "app_version": VERSION,
            },
            order.as_json(),
        )


def states(client: DBOSClient, lease: str) -> list[ChunkState]:
    """Where each chunk of the copy under that lease stands."""
    found = client.list_workflows(
        workflow_id_prefix=chunk_id(lease, 0, 0).partition("/")[0], load_input=False
    )
    return [_state(one) for one in found if one.name == CHUNK_FLOW]


def withdraw(client: DBOSClient, lease: str, chunks: Sequence[tuple[int, int]]) -> None:
    """Take back what nobody has begun."""
    ids = [chunk_id(lease, table, number) for table, number in chunks]
    for at in range(0, len(ids), _SOME):
        client.cancel_workflows(ids[at : at + _SOME])


def _state(one: WorkflowStatus) -> ChunkState:
    table, _, number = one.workflow_id.partition("/")[2].partition(".")
    where = int(table), int(number)
    worker = one.executor_id or ""
    if one.status in ("ENQUEUED", "DELAYED"):
        return ChunkState(*where, ChunkStatus.WAITS)
    if one.status == "PENDING":
        return ChunkState(*where, ChunkStatus.RUNS, worker=worker)
    output = one.output if one.status == "SUCCESS" and isinstance(one.output, dict) else {}
    if "rows" in output:
        return ChunkState(*where, ChunkStatus.DONE, rows=int(output["rows"]), worker=worker)
    why = str(output.get("why") or one.error or one.status.lower())
    return ChunkState(*where, ChunkStatus.REFUSED, worker=worker, why=why)
