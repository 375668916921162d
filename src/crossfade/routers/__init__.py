"""Routers: what stands before both apps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossfade.routers.base import Router

if TYPE_CHECKING:
    from crossfade.spec import Spec


def open_router(spec: Spec) -> Router | None:
    """The router that the spec asks for; nothing is started yet.  ``SpecError``."""
    if spec.router is None:
        return None
    from crossfade.routers.caddy import CaddyRouter  # its parts are not needed by a move of data alone

    return CaddyRouter(
        spec.state / "router",
        spec.router.listen,
        spec.old.app or "",
        spec.new.app or "",
        read_only_paths=spec.read_only_paths,
        hold_budget=spec.hold_budget,
        lag_limit=spec.lag_limit,
        admin=spec.router.admin,
        owned=spec.router.admin is None,
    )
