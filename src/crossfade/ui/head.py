"""The head of the page: what moves, who leads, how the two sides stand to each other, and what is wrong."""

from __future__ import annotations

from collections.abc import Callable

from crossfade.ui.elements import Listing, Prose, Rows, Tag, button, icon
from crossfade.ui.snapshot import MoveView, SideView, Snapshot, TroubleView
from crossfade.ui.words import PHASES, ago, leads, note, seconds, sentence, span


class Head:
    """Name, phase, who is looking, and the switch between light and dark."""

    def __init__(self, who: str) -> None:
        with Tag("div", "", "top"):
            with Tag("div", "", "name"):
                self._name = Tag("h1", "Crossfade")
                self._phase = Tag("span", "", "chip")
                self._saying = Tag("span", "", "soft small")
            with Tag("div", "", "me"):
                Tag("span", f"You act as {who}")
                theme = button("Theme: ", "plain theme", title="Light, dark, or as the system says")
                theme.on("click", js_handler="() => crossfadeTheme()")

    def show(self, snapshot: Snapshot) -> None:
        move = snapshot.move.value if snapshot.move is not None else None
        plan = snapshot.plan.value if snapshot.plan is not None else None
        self._name.say(move.name if move is not None else plan.title if plan is not None else "Crossfade")
        self._phase.show(move is not None)
        if move is not None:
            self._phase.say(move.phase)
            bad = move.phase in ("leaderless", "switching")
            self._phase.look(f"chip {'bad' if bad else 'good' if move.phase == 'complete' else 'busy'}")
            self._saying.say(PHASES.get(move.phase, ""))
        else:
            self._saying.say("" if snapshot.move is not None else "There is no move here, only its plan.")


class Sides:
    """Both sides and what goes between them."""

    def __init__(self) -> None:
        with Tag("section", "", "", aria_label="Who leads") as self._section:
            self._sentence = Tag("p", "", "sr")
            with Tag("div", "", "sides"):
                self._old = _Side("old")
                with Tag("div", "", "between"):
                    self._arrow = Tag("span", "", "arrow", aria_hidden="true")
                    self._flow = Tag("span")
                    self._reads = Tag("span")
                self._new = _Side("new")
            self._facts = Rows("facts")
            self._note = Prose("p", "", "notice", role="status")

    def show(self, snapshot: Snapshot) -> None:
        self._section.show(snapshot.move is not None)
        if snapshot.move is None:
            return
        said = note(snapshot.move, "The move", snapshot.at)
        self._note.say(said)
        self._note.show(bool(said))
        move = snapshot.move.value
        self._sentence.say(f"{leads(move)}.")
        if move is None:
            return
        for panel, side in zip((self._old, self._new), move.sides, strict=True):
            panel.show(side, move)
        self._between(move)
        self._facts.fill(_facts(move, snapshot.at))

    def _between(self, move: MoveView) -> None:
        backwards = move.leader == "new"
        self._arrow.say({True: "←", False: "→"}[backwards])
        if move.router is not None and move.router.held:
            self._flow.say("requests are held")
        elif move.phase == "copying":
            at_work = move.at_work is not None and move.at_work.verb == "copy"
            self._flow.say("rows are copied" if at_work else "the copy is interrupted")
        elif move.lag is not None:
            self._flow.say(f"{seconds(move.lag)} behind")
        else:
            self._flow.say("nobody follows" if move.leader is not None and move.phase != "complete" else "")
        if move.router is None:
            self._reads.say("the router does not answer" if move.routed else "")
        else:
            self._reads.say(f"{move.router.percent:g} % of reads shifted")


class _Side:
    """One side."""

    def __init__(self, name: str) -> None:
        self._name = name
        with Tag("div", "", f"side {name}") as self._box:
            with Tag("div", "", "who"):
                Tag("strong", f"{name.capitalize()} side")
                with Tag("span", "", "role"):
                    self._icon = icon("idle")
                    self._role = Tag("span")
            self._does = Tag("span", "", "does")
            self._kind = Tag("span", "", "soft small")

    def show(self, side: SideView, move: MoveView) -> None:
        self._kind.say(" · ".join(filter(None, (side.kind, side.app.removeprefix("http://")))))
        style = f"side {self._name}"
        if side.leads:
            role, look, does = "leads", "lead", "takes every write"
            style += " leads"
        elif move.leader is not None and move.phase == "complete":
            role, look, does = "fenced", "gate", "keeps what it had; nothing follows any more"
        elif move.phase == "copying":
            role, look, does = "is filled", "part", "gets every row, and serves nobody yet"
        elif move.leader is not None:
            role, look = "follows", "follow"
            does = "is kept equal" if move.lag is not None else "nobody keeps it equal at this moment"
        elif move.phase == "planned":
            role, look = ("serves", "lead") if side.name == "old" else ("empty", "idle")
            does = "takes every write, as ever" if side.name == "old" else "waits for the copy"
            style += " leads" if side.name == "old" else ""
        else:
            role, look, does = "does not lead", "idle", ""
        if side.unreachable:
            does = "its database does not answer"
            style += " away"
        self._box.look(style)
        self._icon.look(f"icon i-{look}")
        self._role.say(role)
        self._does.say(does)


def _facts(move: MoveView, now: float) -> list[tuple[str, str]]:
    verified = ago(move.verified_at, now)
    if move.verified_at is not None and now - move.verified_at > move.verify_max_age:
        verified += " (too old for a switch)"
    work = move.at_work
    facts = [
        ("Epoch", str(move.epoch)),
        ("Every cell compared", verified),
        (
            "At work",
            "nobody"
            if work is None
            else f"{work.verb}, for {span(now - work.since)} (process {work.pid} on {work.host})",
        ),
    ]
    if move.router is not None:
        state = "does not run" if not move.router.alive else "HOLDS requests" if move.router.held else ""
        shifted = f", {move.router.percent:g} % of the reads to the other side" if move.router.percent else ""
        facts.append(("Router", f"{state or f'sends writes to {move.router.leader}'}{shifted}"))
    return facts


class Troubles:
    """What is wrong, each with what to do."""

    def __init__(self, repair: Callable[[], None]) -> None:
        self._list = Listing(
            "div", lambda _: _Trouble(repair), "stack", role="region", aria_label="What is wrong"
        )

    def show(self, snapshot: Snapshot) -> None:
        move = snapshot.move.value if snapshot.move is not None else None
        troubles = move.troubles if move is not None else ()
        self._list.fill([(str(index), one) for index, one in enumerate(troubles)])
        self._list.show(bool(troubles))


class _Trouble:
    def __init__(self, repair: Callable[[], None]) -> None:
        with Tag("div", "", "card trouble"):
            with Tag("div"):
                with Tag("p"):
                    icon("warn")
                    self._what = Prose("strong")
                self._todo = Prose("p", "", "soft")
            with Tag("div", "", "buttons"):
                self._button = button("Repair …").does(repair)

    def show(self, trouble: TroubleView) -> None:
        self._what.say(sentence(trouble.what))
        todo = trouble.todo or "`crossfade doctor --repair` mends it"
        self._todo.say(f"What to do: {sentence(todo)}")
        self._button.show(trouble.repairable)
