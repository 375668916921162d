"""What can be done with the move, and with tasks that wait for people."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from crossfade.ui import verbs
from crossfade.ui.elements import Listing, Prose, Tag, button, icon
from crossfade.ui.snapshot import Act, Outcome, Snapshot, TaskView
from crossfade.ui.verbs import SHARES, Verb
from crossfade.ui.words import ago, span

Ask = Callable[[Verb], None]
"""Shows the dialog that asks before a verb is run."""


class Controls:
    """Shift, cutover, rollback, and what was done last."""

    def __init__(self, ask: Ask, ask_share: Callable[[], None], say: Callable[[str], None]) -> None:
        self._ask = ask
        self._ask_share = ask_share
        self._say = say
        self._snapshot = Snapshot(0.0)
        self._shares: dict[int, Tag] = {}
        with Tag("section", "", "card controls", aria_label="What can be done") as self._section:
            with Tag("div", "", "group") as self._group:
                with Tag("div"):
                    self._cutover = self._button("Cut over …", "cutover", "act main")
                    self._rollback = self._button("Roll back …", "rollback", "act")
                with Tag("div", role="group", aria_label="Share of the reads on the side that follows"):
                    Tag("span", "Reads on the other side", "label", aria_hidden="true")
                    for share in SHARES:
                        self._shares[share] = self._button(f"{share} %", "shift", "share", share)
                    self._other = self._button("Other …", "shift", "share", None)
            self._why = Prose("p", "", "soft small")
            self._last = _Last()
        for tag in (self._cutover, self._rollback, *self._shares.values(), self._other):
            tag.set("aria-describedby", self._why.html_id)

    def _button(self, text: str, verb: str, style: str, share: int | None = None) -> Tag:
        def press() -> None:
            why = verbs.why_not(self._snapshot, verb)
            move = self._snapshot.move.value if self._snapshot.move is not None else None
            if why or move is None:
                self._say(why)
            elif verb == "shift" and share is None:
                self._ask_share()
            elif verb == "shift":
                self._ask(verbs.shift(float(share or 0), move))
            else:
                self._ask(verbs.cutover() if verb == "cutover" else verbs.rollback())

        return button(text, style).does(press)

    def show(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._section.show(snapshot.move is not None or bool(snapshot.acts))
        whys = {name: verbs.why_not(snapshot, name) for name in ("cutover", "rollback", "shift")}
        for name, tags in (
            ("cutover", [self._cutover]),
            ("rollback", [self._rollback]),
            ("shift", [*self._shares.values(), self._other]),
        ):
            for tag in tags:
                tag.set("aria-disabled", "true" if whys[name] else None)
        move = snapshot.move.value if snapshot.move is not None else None
        percent = move.router.percent if move is not None and move.router is not None else None
        for share, tag in self._shares.items():
            tag.set("aria-pressed", "true" if percent == share else "false")
        leads_new = move is not None and move.leader == "new"
        self._cutover.look("button act" if leads_new or whys["cutover"] else "button act main")
        self._rollback.look("button act danger" if leads_new and not whys["rollback"] else "button act")
        self._why.say(_whys(whys))
        self._why.show(snapshot.move is not None and any(whys.values()))
        self._group.show(snapshot.move is not None)
        self._last.show(snapshot)


def _whys(whys: dict[str, str]) -> str:
    """Why buttons are out of use; one reason for all is said once."""
    given = list(dict.fromkeys(why for why in whys.values() if why))
    if len(given) == 1 and all(whys.values()):
        return f"Not now: {given[0]}"
    words = {"cutover": "Cut over", "rollback": "Roll back", "shift": "Shift"}
    return "  ".join(f"{words[name]}: {why}" for name, why in whys.items() if why)


class _Last:
    """The verb that is at work, or was the last."""

    def __init__(self) -> None:
        with Tag("p", "", "last") as self._line:
            self._icon = icon("idle")
            self._title = Tag("strong")
            self._text = Tag("span", "", "soft")

    def show(self, snapshot: Snapshot) -> None:
        act = snapshot.acts[0] if snapshot.acts else None
        self._line.show(act is not None)
        if act is None:
            return
        looks = {Outcome.RUNNING: "busy", Outcome.DONE: "ok", Outcome.REFUSED: "bad"}
        self._icon.look(f"icon i-{looks[act.outcome]}")
        self._title.say(act.title)
        self._text.say(told(act, snapshot.at))


def told(act: Act, now: float) -> str:
    """How a verb goes, or went, in one line."""
    if act.outcome is Outcome.RUNNING or act.finished is None:
        return f"at work for {span(now - act.started)}, started by {act.by}"
    said = (
        act.problem.what
        if act.problem is not None
        else "; ".join(f"{a}: {b}" for a, b in act.lines) or "done"
    )
    return f"{said} ({ago(act.finished, now)}, by {act.by})"


class Asking:
    """Tasks that wait for people."""

    def __init__(self, ask: Ask, snapshot: Callable[[], Snapshot], say: Callable[[str], None]) -> None:
        self._list = Listing(
            "div",
            lambda _: _Waiting(ask, snapshot, say),
            "stack",
            role="region",
            aria_label="Waiting for people",
        )

    def show(self, snapshot: Snapshot) -> None:
        plan = snapshot.plan.value if snapshot.plan is not None else None
        tasks = plan.asking if plan is not None else ()
        self._list.fill([(task.id, (task, bool(snapshot.running))) for task in tasks])
        self._list.show(bool(tasks))


class _Waiting:
    """One task that waits for people: for approvals, or to be told how a command ended."""

    def __init__(self, ask: Ask, snapshot: Callable[[], Snapshot], say: Callable[[str], None]) -> None:
        self._task: TaskView | None = None
        with Tag("div", "", "card asking"):
            with Tag("div"):
                self._title = Tag("h2")
                self._needs = Prose("p")
                self._more = Prose("p", "", "soft small")
            self._answers = Answers(ask, snapshot, say)

    def show(self, value: tuple[TaskView, bool]) -> None:
        task, busy = value
        approval = task.approval
        self._answers.show(task, busy=busy)
        if task.doubt:
            self._title.say(f"{task.id} {task.title}: how did it end?")
            self._needs.say(f"`{task.doubt}` was begun, and nobody knows how it ended.")
            self._more.say(
                "Look at what it did, then say so: nothing is guessed, and nothing is done twice by itself."
            )
            return
        if approval is None:
            return
        self._title.say(f"{task.id} {task.title} waits for approval")
        of = f" of {approval.group}" if approval.group else ""
        people = "person" if approval.needed == 1 else "people"
        given = ", ".join(said.who for said in approval.given) or "nobody yet"
        self._needs.say(f"{approval.needed} {people}{of} must approve; given by {given}.")
        runs = "Then it runs " + ", ".join(f"`{one}`" for one in task.commands) + "." if task.commands else ""
        self._more.say(" ".join(filter(None, (task.description, runs))))


class Answers:
    """The buttons by which people answer a task."""

    def __init__(self, ask: Ask, snapshot: Callable[[], Snapshot], say: Callable[[str], None]) -> None:
        self._task: TaskView | None = None

        def press(verb: Callable[[TaskView, str], Verb]) -> None:
            running, plan = snapshot().running, snapshot().plan
            run = plan.value.run if plan is not None and plan.value is not None else None
            if running is not None:
                say(f"{running.title} is at work, started by {running.by}.")
            elif self._task is not None and run is not None:
                ask(verb(self._task, run.id))

        with Tag("div", "", "buttons") as self._box:
            self._approvals = {
                "Approve": button("Approve …", "main").does(lambda: press(verbs.approve)),
                "Reject": button("Reject …").does(lambda: press(verbs.reject)),
            }
            self._endings = {
                ending: button(f"{words} …").does(partial(press, partial(_assumed, ending)))
                for ending, (words, _) in verbs.ENDINGS.items()
            }

    def show(self, task: TaskView, *, busy: bool) -> None:
        """What this task wants to be told; nothing when it wants nothing."""
        self._task = task
        asks = task.approval is not None and task.approval.open
        self._box.show(asks or bool(task.doubt))
        for word, tag in self._approvals.items():
            tag.show(asks)
            tag.set("aria-label", f"{word} {task.id} {task.title}")
        for tag in self._endings.values():
            tag.show(bool(task.doubt))
        for tag in (*self._approvals.values(), *self._endings.values()):
            tag.set("aria-disabled", "true" if busy else None)


def _assumed(ending: str, task: TaskView, run: str) -> Verb:
    return verbs.assume(task, run, ending)
