"""Where a move stands, in one value for people and machines."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

from crossfade import recovery
from crossfade.errors import RouterError
from crossfade.lease import is_alive
from crossfade.ledger import Ledger
from crossfade.recovery import Trouble
from crossfade.routers.base import Router, RouterState
from crossfade.standing import Standing
from crossfade.stores.base import Lease


@dataclass(frozen=True, slots=True)
class Status:
    """Where the move stands: ``leader`` None before the first copy, or when no side leads; ``lag`` seconds behind, None when
    nobody follows; ``router`` None without one."""

    move: str
    phase: str
    leader: str | None
    epoch: int
    verified_at: float | None
    lag: float | None
    lease: Lease | None
    router: RouterState | None
    troubles: tuple[Trouble, ...]


def status_of(standing: Standing, router: Router | None, ledger: Ledger | None = None) -> Status:
    """What the databases and the router say; changes nothing.  ``ledger``: see ``recovery.examine``."""
    state = standing.follower_state
    routed: RouterState | None = None
    if router is not None:
        with contextlib.suppress(RouterError):
            routed = router.state()
    lease = state.lease if state is not None else None
    alive = lease is not None and is_alive(lease, time.time())
    return Status(
        move=standing.move,
        phase=standing.phase,
        leader=standing.leader.value if standing.leader else None,
        epoch=standing.epoch,
        verified_at=state.verified_at if state is not None else None,
        lag=_lag(standing) if alive else None,
        lease=lease if alive else None,
        router=routed,
        troubles=tuple(recovery.examine(standing, router, ledger)),
    )


def _lag(standing: Standing) -> float | None:
    """Seconds since the follower was last known to equal the leader."""
    state = standing.follower_state
    followed = state.notes.get("followed_at") if state is not None else None
    return max(0.0, time.time() - float(followed)) if followed is not None else None
