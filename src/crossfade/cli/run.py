"""``crossfade run``: carry a plan out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossfade.cli.console import DEFAULT_SPEC, JsonOption, SpecOption, emit, failing
from crossfade.errors import UsageError

if TYPE_CHECKING:
    from crossfade.engine import Engine
    from crossfade.plans.model import Plan
    from crossfade.running import Setting
    from crossfade.runs.order import RunInput
    from crossfade.runs.results import RunResult
    from crossfade.runs.state import RunState

JSON = {
    "run": "its id, or null with --dry-run and --list",
    "plan": "the plan's title, or null with --list",
    "mode": "live, rehearsal or dry-run, or null with --list",
    "outcome": "done, failed, undone or cancelled; null while it goes on",
    "reason": "why it did not end well, or an empty text",
    "failed": "the task that ended it, or null",
    "seconds": "how long it took, or null",
    "tasks": "{task id: waiting, ready, approval, running, gate, unknown, done, failed, rejected, skipped, cancelled, "
    "undoing or undone}",
    "steps": "with --dry-run: list of {task, kind, text} in order; otherwise null",
    "left_out": "with --rehearse: what was not rehearsed, and why; otherwise null",
    "durations": "with --rehearse: the file that `crossfade plan schedule` reckons with; otherwise null",
    "runs": "with --list: list of {run, plan, path, mode, started_by, started_at, outcome, finished, "
    "stands_still: why nobody goes on with it, or null}; otherwise null",
}

StateOption = Annotated[
    str | None,
    typer.Option(
        "--state",
        envvar="CROSSFADE_STATE",
        help="Database of the runs, instead of the spec's: sqlite:///… or postgresql://…",
        show_default=False,
    ),
]


def run(
    context: typer.Context,
    plan: Annotated[
        Path | None, typer.Argument(help="The plan, a Markdown file.", metavar="PLAN.md", show_default=False)
    ] = None,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Say what each task would do, and do nothing.")
    ] = False,
    rehearse: Annotated[
        bool,
        typer.Option("--rehearse", help="Run it against scratch copies of both databases, and time it."),
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Do also what there is evidence of having been done.")
    ] = False,
    claimed: Annotated[
        bool,
        typer.Option("--claimed-ok", help="Go on although tasks that people do are not marked done."),
    ] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Run it although the check of the plan finds errors.")
    ] = False,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="End the run of this plan that goes on; nothing is undone.")
    ] = False,
    listed: Annotated[bool, typer.Option("--list", help="List every run.")] = False,
    state: StateOption = None,
    spec: SpecOption = DEFAULT_SPEC,
    as_json: JsonOption = False,
) -> None:
    """Carry a plan out: run what can be run, wait where people decide, prove each step, keep the document true.

    Survives kill -9: the same command goes on with the run where it was. A task with evidence of having been
    done is skipped. Exit 1 when the run did not end well.
    """
    with failing(as_json):
        from crossfade import running
        from crossfade.runs.order import Mode
        from crossfade.runs.people import whoami

        chosen = [
            name
            for name, on in (
                ("--dry-run", dry),
                ("--rehearse", rehearse),
                ("--cancel", cancel),
                ("--list", listed),
            )
            if on
        ]
        if len(chosen) > 1:
            raise UsageError(
                f"{' and '.join(chosen)} exclude each other", where="crossfade run", todo="choose one"
            )
        given = context.get_parameter_source("spec") is not None and spec != DEFAULT_SPEC
        if plan is None and not listed:
            raise UsageError("there is no plan", where="crossfade run", todo="name its Markdown file")
        setting = running.setting_of(spec, given=given, plan=plan, state=state)
        if listed:
            with running.engine_of(setting) as engine:
                _list(engine, as_json)
            return
        if plan is None:
            return
        content, read = running.read(plan)
        if not anyway and not cancel:
            running.demand_sound(read)
        if dry:
            with running.engine_of(setting) as engine:
                order = running.order_of(
                    content,
                    read,
                    setting,
                    engine,
                    whoami(),
                    mode=Mode.DRY_RUN,
                    again=again,
                    claimed_ok=claimed,
                )
            _dry(order, as_json)
        elif rehearse:
            _rehearse(setting, content, read, claimed, as_json)
        elif cancel:
            _cancel(setting, plan, read, as_json)
        else:
            _live(setting, plan, content, read, again, claimed, as_json)


def _live(
    setting: Setting, path: Path, content: bytes, plan: Plan, again: bool, claimed: bool, as_json: bool
) -> None:
    from crossfade import running, telling
    from crossfade.runs.people import whoami

    say = _saying()
    with telling.notifier_of(setting, say) as notify, running.engine_of(setting, notify=notify) as engine:
        run = running.going(engine, plan, setting)
        if run is not None:
            say(f"run {run} of this plan goes on")
            engine.resume(run)
            if running.differs(engine.order(run), plan):
                say("what the document tells to do was edited since it began: the run goes on as it began")
        else:
            order = running.order_of(
                content, plan, setting, engine, whoami(), again=again, claimed_ok=claimed
            )
            run = engine.start(order)
            say(f"run {run}: {len(order.tasks)} tasks, {len(order.done)} of them done before")
            for name in (*order.claimed, *order.unmet):
                say(f"relied on without evidence: {name}")
        result = running.carry_out(engine, run, path, setting.ledger, tell=_teller(say), warn=say)
        emit(_result(result, plan, "live"), as_json, lambda: _text(result, plan))
        code = 0 if running.succeeded(result) else 1
    engine.end_process(code)


def _rehearse(setting: Setting, content: bytes, plan: Plan, claimed: bool, as_json: bool) -> None:
    from crossfade import running
    from crossfade.runs.order import Mode
    from crossfade.runs.people import whoami
    from crossfade.runs.rehearsal import rehearsal

    if setting.spec_path is None:
        raise UsageError(
            "there is nothing to rehearse on",
            where="--rehearse",
            todo="name the spec of the move with --spec",
        )
    say = _saying()
    say("copying both databases to scratch stores")
    with rehearsal(setting.spec_path) as scratch:
        stage = running.setting_of(scratch.spec, given=True)
        with running.engine_of(stage) as engine:
            order = running.order_of(
                content, plan, stage, engine, whoami(), mode=Mode.REHEARSAL, claimed_ok=claimed
            )
            order, left = running.rehearsed(order, plan)
            for what in left:
                say(f"not rehearsed: {what}")
            run = engine.start(order)
            result = running.carry_out(engine, run, None, stage.ledger, tell=_teller(say), warn=say)
            empty = frozenset(task.id for task in order.tasks if not task.run)
            kept = running.keep_durations(setting, plan, engine.state(run), empty)
        found = _result(result, plan, "rehearsal") | {"left_out": left, "durations": str(kept)}
        emit(found, as_json, lambda: f"{_text(result, plan)}\ndurations are in {kept}")
        code = 0 if running.succeeded(result) else 1
    engine.end_process(code)


def _dry(order: RunInput, as_json: bool) -> None:
    from crossfade.runs.recorder import dry_run

    planned, result = dry_run(order)
    steps = [{"task": one.task, "kind": one.kind, "text": one.text} for one in planned]
    titles = {task.id: task.title for task in order.tasks}

    def text() -> str:
        lines, task = [], None
        for one in planned:
            if one.task != task and one.task is not None:
                lines.append(f"{one.task}  {titles.get(one.task, '')}")
            task = one.task
            lines.append(f"    {one.text}" if one.task is not None else one.text)
        return "\n".join(lines)

    nothing: dict[str, Any] = dict.fromkeys(JSON)
    nothing |= {"plan": order.plan, "mode": "dry-run", "reason": "", "steps": steps}
    emit(nothing | {"tasks": {name: str(one) for name, one in result.tasks.items()}}, as_json, text)


def _cancel(setting: Setting, path: Path, plan: Plan, as_json: bool) -> None:
    from crossfade import running
    from crossfade.keeping import keep_true
    from crossfade.runs.people import whoami

    say = _saying()
    with running.engine_of(setting) as engine:
        run = running.going(engine, plan, setting)
        if run is None:
            raise UsageError(
                "no run of this plan goes on", where=plan.path, todo="see `crossfade run --list`"
            )
        engine.cancel(run, whoami())
        result = engine.wait(run, timeout=30)
        for command in engine.await_commands(run):
            say(f"still at work, and told to end: {command}")
        keep_true(path, setting.ledger, say)
        emit(_result(result, plan, "live"), as_json, lambda: _text(result, plan))


def _list(engine: Engine, as_json: bool) -> None:
    stopped = {one.run: one.why for one in engine.stranded()}
    found = [
        {
            "run": one.run,
            "plan": one.plan,
            "path": one.path,
            "mode": one.mode,
            "started_by": one.started_by,
            "started_at": one.started_at,
            "outcome": one.outcome,
            "finished": one.finished,
            "stands_still": stopped.get(one.run),
        }
        for one in engine.runs()
    ]
    nothing: dict[str, Any] = dict.fromkeys(JSON)
    lines = [
        f"{one['run']}  {one['outcome'] or 'goes on':<9}  {one['plan']}  "
        f"({'' if one['mode'] == 'live' else str(one['mode']) + ', '}begun by {one['started_by']})"
        + (f"\n    stands still: {one['stands_still']}" if one["stands_still"] else "")
        for one in found
    ]
    emit(nothing | {"runs": found}, as_json, lambda: "\n".join(lines) or "there are no runs yet")


def _result(result: RunResult, plan: Plan, mode: str) -> dict[str, Any]:
    nothing: dict[str, Any] = dict.fromkeys(JSON)
    return nothing | {
        "run": result.run,
        "plan": plan.title,
        "mode": mode,
        "outcome": str(result.outcome),
        "reason": result.reason,
        "failed": result.failed,
        "seconds": result.seconds,
        "tasks": {name: str(status) for name, status in result.tasks.items()},
    }


def _text(result: RunResult, plan: Plan) -> str:
    done = sum(status == "done" for status in result.tasks.values())
    took = "" if result.seconds is None else f" in {result.seconds:.1f} s"
    why = f"\n{result.reason}" if result.reason else ""
    return f"{plan.title}: {result.outcome}{took}; {done} of {len(result.tasks)} tasks done in this run{why}"


def _saying() -> Any:
    def say(text: str) -> None:
        typer.echo(f"{time.strftime('%H:%M:%S')}  {text}", err=True)

    return say


def _teller(say: Any) -> Any:
    """Says what changed of a run, one line each."""

    def tell(now: RunState, before: RunState | None) -> None:
        known = {task.id: task for task in before.tasks} if before is not None else {}
        for task in now.tasks:
            last = known.get(task.id)
            if last is not None and (last.status, last.reason) == (task.status, task.reason):
                continue
            if task.status == "ready" or (last is None and task.status == "waiting"):
                continue
            words = f"{task.id} {task.title}: {task.status}"
            asked = task.request is not None or (last is not None and last.request is not None)
            if task.status == "done" and task.started and task.finished and not asked:
                words += f" in {task.finished - task.started:.1f} s"
            if task.reason:
                words += f": {task.reason}"
            say(words)
            if task.request is not None and (last is None or last.request is None):
                who = f" of {task.request.group}" if task.request.group else ""
                say(
                    f"    waits for {task.request.count}{who}: crossfade approve {task.id} (or reject, with --reason)"
                )
            if task.status == "unknown":
                say(f"    nobody knows how `{task.command}` ended: look, then")
                say(f"    crossfade assume {task.id} done, again or failed")

    return tell
