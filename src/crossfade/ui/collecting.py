"""Everything that is looked at, together: the sources, each at its own pace, and the snapshot made of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from crossfade.ledger import Entry
from crossfade.plans.reading import read_plan
from crossfade.ui.actions import Actions
from crossfade.ui.evidence import EvidenceSource
from crossfade.ui.live import RunSource
from crossfade.ui.looking import Looking
from crossfade.ui.moves import MoveSource
from crossfade.ui.plans import PlanSource
from crossfade.ui.runs import RunSeen
from crossfade.ui.snapshot import Evidence, PlanView, Snapshot

_PACE = 1.0
"""Seconds between two looks while somebody watches."""

_ASLEEP = 15.0
"""The same while nobody does."""

_WATCHED = 20.0
"""Seconds after the last question in which somebody still counts as watching."""


class Collected:
    """Looks at the move of ``spec`` and at the plan at ``plan``; one of them may be None."""

    def __init__(self, spec: Path | None, plan: Path | None) -> None:
        self._watched = time.monotonic()
        self._document = plan
        self._moves = MoveSource(spec) if spec is not None else None
        self._runs = RunSource(spec, plan, self._title) if plan is not None else None
        self._status = Looking("the move", self._moves.status, self._pace) if self._moves else None
        self._copying = Looking("the copy", self._moves.copying, self._pace) if self._moves else None
        self._traffic = Looking("the traffic", self._moves.traffic, self._pace) if self._moves else None
        self._run: Looking[RunSeen | None] | None = None
        self._ledger: Looking[Evidence] | None = None
        self._plan: Looking[PlanView] | None = None
        source = self._moves or self._runs
        self._evidence = EvidenceSource(source.ledger) if source is not None else None
        if self._evidence is not None:
            self._ledger = Looking("the evidence", self._evidence.look, self._pace)
        if self._runs is not None and plan is not None:
            self._run = Looking("the run", self._runs.look, self._pace)
            self._plan = Looking("the plan", PlanSource(plan, self._entries, self._seen).look, self._pace)
        self.actions = Actions(
            spec, plan, ledger=source.ledger if source is not None else None, done=self.soon
        )

    def start(self) -> None:
        """Begin to look."""
        for one in self._all():
            one.start()

    def stop(self) -> None:
        """End, and close what is open."""
        for one in self._all():
            one.stop()
        for source in (self._moves, self._runs):
            if source is not None:
                source.close()

    def soon(self) -> None:
        """Look at everything again at once."""
        for one in self._all():
            one.soon()

    def snapshot(self) -> Snapshot:
        """What is known at this moment.  Asking says that somebody watches."""
        asleep = time.monotonic() - self._watched > _WATCHED
        self._watched = time.monotonic()
        if asleep:
            self.soon()
        return Snapshot(
            at=time.time(),
            move=self._status.part if self._status else None,
            copying=self._copying.part if self._copying else None,
            lags=self._moves.lags if self._moves else (),
            traffic=self._traffic.part if self._traffic else None,
            evidence=self._ledger.part if self._ledger else None,
            plan=self._plan.part if self._plan else None,
            runs=self._run.part if self._run else None,
            acts=self.actions.acts,
        )

    def _all(self) -> tuple[Looking[Any], ...]:
        found = (self._status, self._copying, self._traffic, self._ledger, self._run, self._plan)
        return tuple(one for one in found if one is not None)

    def _pace(self) -> float:
        return _PACE if time.monotonic() - self._watched < _WATCHED else _ASLEEP

    def _entries(self) -> tuple[Entry, ...]:
        return self._evidence.entries if self._evidence is not None else ()

    def _seen(self) -> RunSeen | None:
        return self._run.part.value if self._run is not None else None

    def _title(self) -> str:
        view = self._plan.part.value if self._plan is not None else None
        if view is not None or self._document is None:
            return view.title if view is not None else ""
        return read_plan(self._document).title  # nobody has looked at it yet
