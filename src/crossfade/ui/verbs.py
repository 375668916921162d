"""The verbs that the page offers: what each will do, what cannot be taken back, and why it cannot be had now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crossfade.ui.snapshot import MoveView, Problem, Snapshot, TaskView

SHARES = (0, 10, 25, 50, 100)
"""Shares of the reads that have a button of their own."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb, ready to be run once it is confirmed.

    ``arguments`` and ``options`` are those of the command line, ``will`` and ``final`` one sentence each, ``button`` is the word
    of the button that confirms.  ``asks`` is ``reason`` (must be given), ``remark`` (may be given) or empty.
    """

    name: str
    arguments: tuple[str, ...]
    title: str
    will: str
    final: str
    button: str
    options: tuple[str, ...] = ()
    asks: str = ""
    grave: bool = True
    run: str = ""
    """The run that it is about; empty for a verb of the move."""


# --- what can be had now ----------------------------------------------------


def why_not(snapshot: Snapshot, name: str) -> str:
    """Why a verb of the move cannot be had at this moment, in one sentence; empty when it can."""
    if busy := at_work(snapshot):
        return busy
    if snapshot.move is None:
        return "There is no spec, so there is no move."
    move = snapshot.move.value
    if move is None:
        return "It is not known yet where the move stands."
    if name == "doctor":
        return "" if any(one.repairable for one in move.troubles) else "There is nothing to repair."
    away = ", ".join(side.name for side in move.sides if side.unreachable)
    if move.phase == "complete":
        return "The move is complete."
    if move.leader is None:
        return "No side leads." if move.phase == "leaderless" else "Nothing has been copied yet."
    if move.phase == "switching":
        return "A switch is half done: repair it first."
    if move.phase == "copying":
        return "The copy is not finished."
    if name == "shift":
        return "" if move.routed else "The move has no router, so there are no reads to shift."
    if away:
        lost = (
            "; `crossfade rollback --accept-loss` in a terminal gives it up"
            if _may_be_lost(move, name)
            else ""
        )
        return f"The {away} database does not answer{lost}."
    if name == "cutover":
        if move.leader == "new":
            return "The new side leads already."
        return "" if move.verified_at is not None else "The two sides were never compared: verify first."
    if name == "rollback":
        return "The old side leads already." if move.leader == "old" else ""
    return ""


def _may_be_lost(move: MoveView, name: str) -> bool:
    return (
        name == "rollback"
        and move.leader == "new"
        and any(side.name == "new" and side.unreachable for side in move.sides)
    )


def at_work(snapshot: Snapshot) -> str:
    """Who works at this moment so that nobody else may, in one sentence; empty when nobody does."""
    running = snapshot.running
    if running is not None:
        return f"{running.title} is at work, started by {running.by}."
    move = snapshot.move.value if snapshot.move is not None else None
    if move is not None and move.at_work is not None and move.at_work.verb != "follow":
        return (
            f"`crossfade {move.at_work.verb}` is at work (process {move.at_work.pid} on {move.at_work.host})."
        )
    return ""


# --- the verbs --------------------------------------------------------------


def shift(percent: float, move: MoveView) -> Verb:
    """Send a share of the reads to the side that follows."""
    follows = "old" if move.leader == "new" else "new"
    if percent == 0:
        will = f"Every request goes to the {move.leader or 'old'} side, reads too."
    else:
        will = (
            f"{percent:g} % of the reads on the paths that only read go to the {follows} side; a client keeps its "
            "side, and one that has just written reads from the leader."
        )
    return Verb(
        "shift",
        (f"{percent:g}%",),
        f"Shift {percent:g} % of the reads",
        will,
        "No data is touched, and 0 % takes it back at any time.",
        f"Shift to {percent:g} %",
        grave=False,
    )


def cutover() -> Verb:
    """The new side takes the lead."""
    return Verb(
        "cutover",
        (),
        "Cut over to the new side",
        "Requests are held for a moment, the old database stops taking writes, the last changes are brought over, "
        "and the new side takes the lead.",
        "A rollback gives the lead back with every write, but programs that write to the old database directly get "
        "an error from now on, and that cannot be taken back for them.",
        "Cut over now",
    )


def rollback() -> Verb:
    """The old side takes the lead back."""
    return Verb(
        "rollback",
        (),
        "Roll back to the old side",
        "Requests are held for a moment, and the old side takes the lead back with every write that the new side "
        "took.",
        "Requests that are still in flight when the drain budget is over are cut off, and that cannot be taken back.",
        "Roll back now",
        asks="remark",
    )


def repair(move: MoveView) -> Verb:
    """Bring a half-done switch to a legal state."""
    wrong = "; ".join(one.what for one in move.troubles if one.repairable)
    return Verb(
        "doctor",
        (),
        "Repair",
        f"A switch that was committed is finished, any other one is taken back, and the router is set to what the "
        f"databases say. What is wrong: {wrong}.",
        "An attempt to switch that is taken back cannot go on; it can be begun anew.",
        "Repair now",
        options=("--repair",),
    )


def approve(task: TaskView, run: str) -> Verb:
    """Let a task go on."""
    runs = "; then it runs " + ", ".join(f"`{one}`" for one in task.commands) if task.commands else ""
    missing = 0 if task.approval is None else task.approval.needed - len(task.approval.given)
    last = "It is the last approval that is missing" if missing <= 1 else f"{missing} approvals are missing"
    return Verb(
        "approve",
        (task.id,),
        f"Approve {task.id}: {task.title}",
        f"{last} for this task to go on{runs}.",
        "An approval cannot be taken back; what it lets run can only be undone as the plan says.",
        "Approve",
        asks="remark",
        run=run,
    )


def reject(task: TaskView, run: str) -> Verb:
    """Stop a task."""
    return Verb(
        "reject",
        (task.id,),
        f"Reject {task.id}: {task.title}",
        "The task is not run, and the run stops or undoes what was done, as the plan says.",
        "A rejection cannot be taken back; the run has to be started again.",
        "Reject",
        asks="reason",
        run=run,
    )


ENDINGS = {
    "done": ("It was done", "The task goes on after this command, as if it had ended well."),
    "again": ("Run it again", "The command is run once more."),
    "failed": ("It failed", "The task fails, and the run stops or undoes what was done, as the plan says."),
}
"""How a command may have ended of which nobody knows, and what follows."""


def assume(task: TaskView, run: str, ending: str) -> Verb:
    """Say how a command ended that died with its machine."""
    button, will = ENDINGS[ending]
    return Verb(
        "assume",
        (task.id, ending),
        f"{task.id} {task.title}: {button[:1].lower()}{button[1:]}",
        f"Nobody knows how `{task.doubt}` ended. {will}",
        "Look at what it did before you say so: what is said cannot be taken back.",
        button,
        asks="remark",
        run=run,
    )


# --- what they answer -------------------------------------------------------


def answer_of(name: str, result: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """A verb's JSON answer, in words: what, and how much."""
    match name:
        case "shift":
            return (("Reads shifted", f"{float(result.get('reads_percent', 0)):g} %"),)
        case "cutover" | "rollback":
            lines = [
                ("Leads now", f"the {result.get('to')} side, epoch {result.get('epoch')}"),
                ("Requests were held", f"{float(result.get('hold_ms', 0)):.0f} ms"),
                ("Changed rows in the last pass", f"{int(result.get('last_pass_keys', 0)):,}"),
            ]
            if result.get("in_flight"):
                lines.append(
                    ("Still in flight", f"{result['in_flight']} requests when the drain budget was over")
                )
            if result.get("cut_off"):
                lines.append(("Cut off", f"{result['cut_off']} database sessions"))
            if result.get("maybe_lost"):
                lines.append(("May be lost", str(result["maybe_lost"])))
            if result.get("unrecorded"):
                lines.append(("Not recorded", str(result["unrecorded"])))
            return tuple(lines)
        case "doctor":
            done = [("Repaired", str(line)) for line in result.get("repaired", ())]
            left = [("Still wrong", str(one.get("what", one))) for one in result.get("troubles", ())]
            return (*(done or [("Repaired", "nothing")]), *left)
    told = {"by": "Recorded for", "outcome": "Taken to be"}
    return tuple((label, _plain(result[name])) for name, label in told.items() if result.get(name))


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def failed(text: str, code: int) -> Problem:
    """A verb that ended without a JSON answer."""
    said = text.strip().splitlines()
    return Problem(
        said[-1] if said else f"it ended with exit status {code} and said nothing",
        todo="run it in a terminal to see all of what it says",
    )
