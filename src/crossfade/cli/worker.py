"""``crossfade worker``: do the tasks of runs and chunks of copies, wherever they were started."""

from __future__ import annotations

import signal
import threading
from typing import Annotated

import typer

from crossfade.cli.approve import PlanOption
from crossfade.cli.console import DEFAULT_SPEC, JsonOption, SpecOption, emit, failing
from crossfade.cli.run import StateOption

JSON = {"worker": "its name", "state": "the database of the runs, without a password"}


def run(
    name: Annotated[
        str | None, typer.Option("--name", help="Its name, of its own; machine and process if left out.")
    ] = None,
    plan: PlanOption = None,
    state: StateOption = None,
    spec: SpecOption = DEFAULT_SPEC,
    as_json: JsonOption = False,
) -> None:
    """Work until SIGTERM or Ctrl-C: do what is ready of any run, take chunks of the move's copy, and take over what a
    dead worker left.

    Several machines need one database (`state: postgresql://…` in the spec). Commands that this worker began go
    on when it ends.
    """
    with failing(as_json):
        from crossfade import running

        setting = running.setting_of(spec, given=spec != DEFAULT_SPEC, plan=plan, state=state)
        over = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: over.set())
        with running.engine_of(setting) as engine:
            with engine.work(running.worker_name(name)) as me:
                shown = {"worker": me.name, "state": engine.database.where}
                emit(shown, as_json, lambda: f"{me.name} works for {engine.database.where}")
                while not over.wait(0.5):
                    engine.demand_alive()
            engine.end_process(0)
