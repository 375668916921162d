"""The plan on the page: its phases and tasks, each with its state in a word, an icon and a colour."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from crossfade.ui.elements import Listing, Prose, Tag
from crossfade.ui.snapshot import PhaseView, Snapshot, TaskView, Word
from crossfade.ui.words import LOOKS, gate_line, note, percent

Open = Callable[[str], None]
"""Opens the details of the task of that id."""


class Outline:
    """The plan's panel."""

    def __init__(self, open_task: Open) -> None:
        with Tag("section", "", "card plan") as self._section:
            with Tag("div", "", "head"):
                self._title = Tag("h2", "Plan", tabindex="-1")
                self._run = Tag("span", "", "soft small")
            self._section.set("aria-labelledby", self._title.html_id)
            self._progress = _Progress()
            self._note = Prose("p", "", "notice", role="status")
            self._phases = Listing("div", lambda _: _Phase(open_task))
            self._more = Tag("p", "", "soft small")

    @property
    def anchor(self) -> str:
        """Where the skip link leads."""
        return self._title.html_id

    def show(self, snapshot: Snapshot) -> None:
        self._section.show(snapshot.plan is not None)
        if snapshot.plan is None:
            return
        said = note(snapshot.plan, "The plan", snapshot.at) or note(
            snapshot.runs, "The database of the runs", snapshot.at
        )
        self._note.say(said)
        self._note.show(bool(said))
        plan = snapshot.plan.value
        if plan is None:
            return
        self._title.say(plan.title or "Plan")
        run = plan.run
        self._run.say("not run yet" if run is None else f"run {run.id}: {run.state}, by {run.started_by}")
        self._progress.show(plan.done, plan.claimed, f"{plan.done_tasks} of {plan.tasks} tasks")
        self._phases.fill([(phase.id, phase) for phase in plan.phases])
        self._more.say(
            f"{plan.more} more tasks are in the document."
            if plan.more
            else ""
            if plan.tasks
            else "It has no tasks."
        )
        self._more.show(bool(plan.more) or not plan.tasks)


class _Progress:
    """How much is done, and how much is only claimed."""

    def __init__(self) -> None:
        self._text = Tag("p", "", "soft small num")
        with Tag("div", "", "bar", role="img") as self._bar:
            self._done = Tag("span")
            self._claimed = Tag("span", "", "claimed")

    def show(self, done: float, claimed: float, tasks: str) -> None:
        said = f"{percent(done)} done" + (f", {percent(claimed)} claimed without evidence" if claimed else "")
        self._text.say(f"{tasks}: {said}")
        self._bar.set("aria-label", said)
        self._done.set("style", f"width:{100 * done:.2f}%")
        self._claimed.set("style", f"width:{100 * claimed:.2f}%")


class _Phase:
    """One phase."""

    def __init__(self, open_task: Open) -> None:
        with Tag("div", "", "phase") as self._box:
            with Tag("div", "", "head"):
                self._title = Tag("h3")
                self._count = Tag("span", "", "soft small num")
            self._goal = Tag("p", "", "soft small")
            self._tasks = Listing("ul", lambda _: _Task(open_task))

    def show(self, phase: PhaseView) -> None:
        self._box.look(f"phase d{min(phase.depth, 3)}")
        self._title.say(phase.title)
        claimed = f", {phase.claimed} claimed" if phase.claimed else ""
        window = f"{phase.window} · " if phase.window else ""
        self._count.say(f"{window}{phase.done} of {phase.total} done{claimed}")
        self._goal.say(phase.goal)
        self._goal.show(bool(phase.goal))
        self._tasks.fill([(task.id, task) for task in phase.tasks])


class _Task:
    """One task: a button that opens its details."""

    def __init__(self, open_task: Open) -> None:
        # few elements: there may be hundreds of tasks, and a browser makes each of these
        self._id = ""
        with Tag("li"), Tag("button", "", "task", type="button", aria_haspopup="dialog") as self._button:
            self._word = Tag("span", "", "chip")
            with Tag("span", "", "what"):
                self._number = Tag("span", "", "id")
                self._title = Tag("span")
                self._more = Tag("span", "", "more")
                self._gate = Tag("span", "", "gate mono")
            self._why = Prose("span", "", "why")
        self._button.does(lambda: open_task(self._id))

    def show(self, task: TaskView) -> None:
        self._id = task.id
        kind, look = LOOKS[task.word]
        self._word.look(f"chip mark {kind} i-{look}")
        self._word.say(task.word.value)
        self._number.say(f"{task.id} " if _is_number(task.id) else "")
        self._title.say(task.title)
        self._more.say(" · ".join(_more(task)))
        self._gate.say("" if task.gate is None else f"gate {task.gate.expression}")
        wrong = task.word in (Word.FAILED, Word.REJECTED, Word.UNKNOWN)
        self._why.say(task.error.what if wrong and task.error is not None else gate_line(task))
        self._why.look("why wrong" if wrong else "why")


def _more(task: TaskView) -> Iterator[str]:
    """Who, when, how much, and what it rests on."""
    yield from filter(None, (task.owner, task.window, task.estimate))
    if task.progress is not None:
        yield percent(task.progress)
    approval, proof = task.approval, task.proof
    if approval is not None and task.word is not Word.APPROVAL:
        yield f"approved by {len(approval.given)} of {approval.needed}"
    if proof is not None:
        yield f"evidence #{proof.entry} {proof.hash[:8]}"


def _is_number(identifier: str) -> bool:
    """Whether an id was written by people, and is not the title once more."""
    return any(character.isdigit() for character in identifier) and len(identifier) <= 12
