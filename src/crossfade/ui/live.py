"""The run of a plan, asked for where runs are kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from crossfade import running
from crossfade.ledger import Ledger
from crossfade.runs.database import Database
from crossfade.runs.order import Mode
from crossfade.ui.runs import RunSeen, seen_of

if TYPE_CHECKING:
    from crossfade.engine import Engine, Summary


class RunSource:
    """Looks at the newest run of the plan with the title that ``title`` gives; changes nothing, and makes no
    database where there is none."""

    def __init__(self, spec: Path | None, plan: Path, title: Callable[[], str]) -> None:
        self._spec = spec
        self._plan = plan
        self._title = title
        self._setting: running.Setting | None = None
        self._engine: Engine | None = None

    @property
    def setting(self) -> running.Setting:
        """Where runs and evidence are kept.  ``SpecError``."""
        if self._setting is None:
            self._setting = running.setting_of(
                self._spec or Path("crossfade.yaml"),
                given=self._spec is not None,
                plan=self._plan,
                state=os.environ.get("CROSSFADE_STATE") or None,
            )
        return self._setting

    def ledger(self) -> Ledger:
        """The evidence."""
        return self.setting.ledger

    def look(self) -> RunSeen | None:
        """The run that goes on, else the newest; None when the plan was never run."""
        engine = self._open()
        if engine is None:
            return None
        found = newest(engine.runs(), self._title(), self.setting.move)
        if found is None:
            return None
        return seen_of(engine.state(found.run), engine.attempts.of_run(found.run))

    def close(self) -> None:
        """Close the connections."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _open(self) -> Engine | None:
        if self._engine is None:
            database = Database(self.setting.url, patience=_PATIENCE)
            try:
                if not database.exists:
                    return None
            finally:
                database.close()
            from crossfade.engine import Engine

            setting = self.setting
            self._engine = Engine(
                setting.url,
                folder=setting.folder,
                move=setting.move,
                ledger=setting.ledger,
                secrets=setting.secrets,
                spec=setting.spec_path,
            )
        return self._engine


_PATIENCE = 2.0
"""Seconds that the state database has to answer whether there is anything in it."""


def newest(runs: Iterable[Summary], title: str, move: str) -> Summary | None:
    """Of the runs of a plan against the real stores: the one that goes on, else the one begun last."""
    ours = [one for one in runs if (one.plan, one.move, one.mode) == (title, move, Mode.LIVE)]
    return max(ours, key=lambda one: (one.outcome is None, one.started_at), default=None)
