"""Who led last, as far as it can be told while one of the two databases does not answer, or knows nothing.

A side whose row says that it leads may have lost the lead without knowing: ``--accept-loss`` takes it without
asking.  The ledger and the router's own files are then the only other witnesses.  They never make a side lead:
they only keep the router from changing sides, and have a side fenced that the other one has succeeded.
"""

from __future__ import annotations

from dataclasses import dataclass

from crossfade.concession import heir
from crossfade.errors import LedgerError
from crossfade.ledger import Entry, Ledger
from crossfade.routers.base import RouterState
from crossfade.standing import Standing
from crossfade.stores.base import Side


@dataclass(frozen=True, slots=True)
class Rival:
    """The side whose row is not known took the lead at ``epoch``, later than the side that answers; not
    ``certain`` when only the beginning of that switch is written down."""

    side: Side
    epoch: int
    certain: bool


def rival(standing: Standing, ledger: Ledger | None) -> Rival | None:
    """Whether the ledger knows of a later lead of the side whose row is not known than the other one claims.

    None also when both rows are known, because then they decide, and when the ledger is lost or damaged.
    """
    leads = standing.leader_state
    if ledger is None or standing.leader is None or leads is None or standing.follower_state is not None:
        return None
    try:
        known, begun = _leads(ledger, standing.move)
    except LedgerError:
        return None
    epoch = max(known, default=-1)
    other = standing.leader.other
    if epoch > leads.epoch and known[epoch] is other:
        return Rival(other, epoch, True)
    if begun is not None and begun[0] is other and begun[1] > max(epoch, leads.epoch):
        return Rival(other, begun[1], False)
    return None


def _leads(ledger: Ledger, move: str) -> tuple[dict[int, Side], tuple[Side, int] | None]:
    """Who led at which epoch, and a switch that took no notice of the other side and of which no end is known.

    Of the last copy only: a move that was begun anew counts its epochs from 0 again.
    """
    known: dict[int, Side] = {}
    begun: tuple[Side, int] | None = None
    for entry in ledger.read():
        if entry.move != move:
            continue
        data = entry.data
        if entry.event == "copy.done":
            known, begun = {}, None
        elif entry.event == "switch.begun":
            # one that asked both sides found nothing half done; one that says it was aborted may not have been
            begun = (Side(data["to"]), int(data["epoch"]) + 1) if data.get("accept_loss") else None
        elif entry.event == "switch.done":
            known[int(data["epoch"])] = Side(data["to"])
            begun = None
        elif entry.event == "doctor.repaired" and _was_read(entry):
            known[int(data["epoch"])] = Side(data["leader"])
            begun = begun if data.get("away") else None
    return known, begun


def _was_read(entry: Entry) -> bool:
    """Whether the row of the side that it names was read, and not only guessed at."""
    leader = entry.data.get("leader")
    return bool(leader) and leader not in entry.data.get("away", ())


def may_route(standing: Standing, leader: Side, routed: RouterState, found: Rival | None) -> bool:
    """Whether the router may be made to send requests to that side.

    Always when both rows are known, and where it sends them already.  Otherwise never to a side that has
    a rival or is fenced, and never away from the other side: that it was sent there may be all that is left of
    a lead that was taken without asking.  A row that follows is no claim, so nothing is doubted then.
    """
    if standing.completed or all(state is not None for state in standing.states.values()):
        return True
    if not routed.held and routed.leader is leader:
        return True
    state = standing.states[leader]
    if state is None:
        return heir(standing) is None
    if found is not None or state.fenced:
        return False
    return routed.held or routed.leader is None
