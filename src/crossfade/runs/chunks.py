"""Chunks of one copy that several workers share: what is asked of a worker, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from crossfade.runs.carried import Carried

CHUNK_FORMAT = 1
"""The version of the order below."""


class ChunkOrder(Carried):
    """One chunk of a copy, under the lease of whoever copies.

    ``agreed`` says by a digest which databases and tables are meant: a worker that sees others does nothing.
    """

    format: int = CHUNK_FORMAT
    move: str
    epoch: int
    lease: str
    table: int
    number: int
    agreed: str


class ChunkStatus(StrEnum):
    """Where a chunk stands.  ``REFUSED`` covers everything that a worker could not do, whyever."""

    WAITS = "waits"
    RUNS = "runs"
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ChunkState:
    """One chunk: ``worker`` is who has or had it, ``why`` what kept it from copying."""

    table: int
    number: int
    status: ChunkStatus
    rows: int = 0
    worker: str = ""
    why: str = ""
