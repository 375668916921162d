"""The story of ``crossfade run``: read the plan, carry it out, write what is true back into it.

What is done is decided once, when a run begins; from then on the run lives in the state database and goes on
with whoever works.  This process works too, shows what happens, and keeps the document true.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossfade import spec as specs
from crossfade.errors import PlanError, Refused, UsageError
from crossfade.keeping import keep_true
from crossfade.ledger import Ledger
from crossfade.masking import passwords_in
from crossfade.plans.model import Plan
from crossfade.plans.reading import parse_plan
from crossfade.runs.approvals import WITHIN
from crossfade.runs.database import is_shared
from crossfade.runs.order import Mode, RunInput, digest_of, input_of
from crossfade.runs.people import Person
from crossfade.runs.results import Outcome, RunResult
from crossfade.runs.state import RunState
from crossfade.spec import Spec
from crossfade.stores.base import Side

if TYPE_CHECKING:
    from crossfade.engine import Engine, Notice
    from crossfade.runs.measures import MoveMeasures
    from crossfade.sharing import Loader

DURATIONS = "rehearsal.json"
"""In the state folder: how long each task took when it was last rehearsed."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where runs are kept and evidence is written, and the spec that commands get; without one, only commands,
    approvals and gates over their results work."""

    url: str
    folder: Path
    spec_path: Path | None = None
    spec: Spec | None = None

    @property
    def move(self) -> str:
        """What the evidence is filed under."""
        return self.spec.move if self.spec is not None else ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What never appears in anything that is kept."""
        if self.spec is None:
            return tuple(passwords_in(self.url))
        addresses = [self.spec.side(side).store.get_secret_value() for side in Side]
        addresses += [self.url, *(one.get_secret_value() for one in self.spec.notify)]
        return tuple(part for address in addresses for part in passwords_in(address))

    @property
    def ledger(self) -> Ledger:
        """The evidence."""
        return Ledger(self.folder / "ledger.jsonl", move=self.move, secrets=self.secrets)


def setting_of(spec: Path, *, given: bool, plan: Path | None = None, state: str | None = None) -> Setting:
    """The setting of a spec file; without one (``given`` says that it was named) a folder ``.crossfade`` beside
    the plan, or in this folder.  ``state`` overrides the database of the runs.  ``SpecError``."""
    if given or spec.exists():
        loaded = specs.load(spec)
        url = state or loaded.runs_database.get_secret_value()
        return Setting(url, loaded.state, spec.resolve(), loaded)
    if plan is not None and not plan.exists():
        raise PlanError(
            "the plan cannot be read: there is no such file",
            where=str(plan),
            todo="name the plan's Markdown file",
        )
    folder = (plan.parent if plan is not None else Path.cwd()).resolve() / ".crossfade"
    return Setting(state or f"sqlite:///{folder / 'runs.sqlite'}", folder)


@contextlib.contextmanager
def engine_of(setting: Setting, *, notify: Callable[[Notice], None] | None = None) -> Iterator[Engine]:
    """The engine over the state of that setting."""
    from crossfade.engine import Engine

    measures = _measures(setting)
    loader = _loader(setting)
    engine = Engine(
        setting.url,
        folder=setting.folder,
        move=setting.move,
        ledger=setting.ledger,
        measures=measures if measures is not None else dict,
        secrets=setting.secrets,
        spec=setting.spec_path,
        notify=notify,
        chunks=loader,
        at_once=setting.spec.workers if setting.spec is not None else 1,
    )
    try:
        yield engine
    finally:
        engine.close()
        for opened in (measures, loader):
            if opened is not None:
                opened.close()


def _measures(setting: Setting) -> MoveMeasures | None:
    if setting.spec_path is None:
        return None
    from crossfade.runs.measures import MoveMeasures

    return MoveMeasures(setting.spec_path)


def _loader(setting: Setting) -> Loader | None:
    """What copies chunks here; nobody shares a copy over a database that one machine alone can reach."""
    if setting.spec_path is None or not is_shared(setting.url):
        return None
    from crossfade.sharing import Loader

    return Loader(setting.spec_path)


def worker_name(name: str | None = None) -> str:
    """A name of its own for each process, so that several may work on one machine."""
    return name or f"{socket.gethostname()}-{os.getpid()}"


# --- beginning -----------------------------------------------------------------------


def read(path: Path) -> tuple[bytes, Plan]:
    """The plan in a file.  ``PlanError``."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PlanError(
            f"the plan cannot be read: {error.strerror or error}", where=str(path), todo="check the path"
        ) from None
    return content, parse_plan(content, str(path))


def digest(content: bytes) -> str:
    """The SHA-256 by which a run knows the document that it was started with."""
    return hashlib.sha256(content).hexdigest()


def demand_sound(plan: Plan) -> None:
    """``Refused`` when the check of the plan finds errors; they make a run impossible or dangerous."""
    from crossfade.plans.lint import Level, lint
    from crossfade.runs import gates

    found = [
        problem
        for problem in lint(plan, metrics=gates.NAMES, gate_problem=gates.problem)
        if problem.level is Level.ERROR
    ]
    if found:
        raise Refused(
            "the plan has errors:\n" + "\n".join(map(str, found[:20])),
            where=plan.path,
            todo="correct them (`crossfade plan lint` lists all), or run it with --anyway",
        )


def order_of(
    content: bytes,
    plan: Plan,
    setting: Setting,
    engine: Engine,
    starter: Person,
    *,
    mode: Mode = Mode.LIVE,
    again: bool = False,
    claimed_ok: bool = False,
) -> RunInput:
    """What a run of this plan carries; tasks with evidence are skipped unless ``again``."""
    approval = setting.spec.approval if setting.spec is not None else None
    return input_of(
        plan,
        content,
        started_by=starter,
        mode=mode,
        move=setting.move,
        groups=approval.groups if approval is not None else None,
        allow_self=approval.allow_self if approval is not None else False,
        expires=approval.expires if approval is not None else WITHIN,
        done=engine.done_tasks(plan.title, Mode.REHEARSAL if mode is Mode.REHEARSAL else Mode.LIVE),
        again=again,
        claimed_ok=claimed_ok,
    )


def differs(order: RunInput, plan: Plan) -> bool:
    """Whether the plan tells to do something else than a run that began earlier does."""
    now = {task.id: digest_of(task) for task in plan.walk()}
    return any(now.get(task.id) != task.digest for task in order.tasks)


def going(engine: Engine, plan: Plan, setting: Setting) -> str | None:
    """The run of that plan that goes on; None when there is none."""
    for one in engine.runs():
        if one.outcome is None and (one.plan, one.move, one.mode) == (plan.title, setting.move, Mode.LIVE):
            return one.run
    return None


def carry_out(
    engine: Engine,
    run: str,
    path: Path | None,
    ledger: Ledger,
    *,
    tell: Callable[[RunState, RunState | None], None],
    warn: Callable[[str], None],
) -> RunResult:
    """Work until that run has ended; ``tell`` hears of every change.  ``path`` is kept true, None is nothing to
    keep."""
    before: RunState | None = None
    with engine.work(worker_name()):
        for state in engine.watch(run):
            engine.demand_alive()
            tell(state, before)
            before = state
            if path is not None:
                keep_true(path, ledger, warn)
        result = engine.wait(run)
        engine.evidence.copy()
    if path is not None:
        keep_true(path, ledger, warn)
    return result


# --- rehearsing ------------------------------------------------------------------------

_TRAFFIC = frozenset({"old", "new", "requests", "errors", "error_rate", "p50", "p95"})
"""What is only there when somebody uses the application."""


def rehearsed(order: RunInput, plan: Plan) -> tuple[RunInput, list[str]]:
    """The run as it is rehearsed, and what is left out of it.

    Verbs of Crossfade run on the scratch stores, unless they name something else.  Any other command could touch
    something real: it runs only when the task says ``**Rehearse**: yes``.  Nobody is asked, and gates over traffic that nobody sends are left
    open.
    """
    from crossfade.runs.gates import names_in
    from crossfade.runs.harmless import is_harmless

    left: list[str] = []
    tasks = []
    for one in order.tasks:
        task = plan.task(one.id)
        allowed = task is not None and task.other.get("rehearse", "").strip().lower() in ("yes", "true")
        keep = allowed or all(map(is_harmless, one.run))
        if not keep:
            left.append(f"{one.id}: {'; '.join(one.run)} is not run (no `Rehearse: yes`)")
        undo = one.undo if allowed or all(map(is_harmless, one.undo)) else ()
        if keep and undo != one.undo:
            left.append(f"{one.id}: its undo {'; '.join(one.undo)} is not run (no `Rehearse: yes`)")
        gate = one.gate
        if gate and (not keep or _TRAFFIC & names_in(gate)):
            left.append(f"{one.id}: the gate {gate} is not asked")
            gate = ""
        update: dict[str, Any] = {"approve": None, "gate": gate, "undo": undo}
        tasks.append(one.model_copy(update=update if keep else update | {"run": (), "undo": ()}))
    return order.model_copy(update={"tasks": tuple(tasks), "done": {}}), left


def keep_durations(setting: Setting, plan: Plan, state: RunState, left_out: frozenset[str]) -> Path:
    """Write how long each rehearsed task took, in hours, where ``schedule`` finds it."""
    hours = {
        task.id: round((task.finished - task.started) / 3600, 6)
        for task in state.tasks
        if task.started is not None and task.finished is not None and task.id not in left_out
    }
    path = setting.folder / DURATIONS
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(json.dumps({"plan": plan.title, "run": state.run, "hours": hours}), encoding="utf-8")
    return path


def durations(path: Path, title: str) -> dict[str, float]:
    """Measured hours by task id; of another plan's rehearsal, nothing.  ``UsageError`` for another file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        hours = {str(task): float(taken) for task, taken in found["hours"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(
            'is not a file of durations: {"hours": {"28.1": 0.25}}',
            where=str(path),
            todo="write one with `crossfade run PLAN.md --rehearse`",
        ) from None
    return hours if found.get("plan", title) == title else {}


def succeeded(result: RunResult) -> bool:
    """Whether everything that was to be done is done."""
    return result.outcome is Outcome.DONE
