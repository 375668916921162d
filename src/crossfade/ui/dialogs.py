"""The dialog that asks before anything is done, and then shows how it goes.

It is a modal dialog of the browser: the focus stays inside, Esc closes it, and the focus returns to where it was.
The focus begins on *Cancel*, or in the field that has to be filled, so Enter alone never confirms.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from nicegui.events import GenericEventArguments

from crossfade.errors import CrossfadeError
from crossfade.ui import verbs
from crossfade.ui.elements import Prose, Rows, Tag, button, icon, value_of
from crossfade.ui.snapshot import Act, MoveView, Outcome, Snapshot
from crossfade.ui.verbs import Verb
from crossfade.ui.words import span

_ACCIDENT = 0.35
"""Seconds after opening in which a click on the confirming button is the second half of a double click."""

_TYPED = "(event) => emit(event.target.value)"


class Confirm:
    """Asks, runs, and shows the answer.  ``begin`` runs a verb with a reason and gives the number of the act."""

    def __init__(self, begin: Callable[[Verb, str], int], snapshot: Callable[[], Snapshot]) -> None:
        self._begin = begin
        self._snapshot = snapshot
        self._verb: Verb | None = None
        self._share: MoveView | None = None
        self._reason = ""
        self._act: int | None = None
        self._opened = 0.0
        with Tag("dialog", "", "confirm") as self._dialog:
            self._title = Tag("h2", "", "", tabindex="-1")
            with Tag("div") as self._question:
                self._will = Prose("p")
                with Tag("p", "", "final"):
                    icon("warn")
                    self._final = Prose("span")
                self._field = Tag("div")
                self._wrong = Prose("p", "", "notice", role="alert")
            with Tag("div") as self._answer:
                with Tag("p", "", "work", role="status"):
                    self._icon = icon("busy")
                    self._state = Tag("strong")
                self._rows = Rows()
            self._buttons = Tag("div", "", "buttons")
        self._dialog.set("aria-labelledby", self._title.html_id)
        self._dialog.set("aria-describedby", self._will.html_id)
        self._dialog.on("close", lambda _: self._closed(), args=[])

    # -- asking ------------------------------------------------------------------

    def ask(self, verb: Verb) -> None:
        """Ask whether to run that."""
        self._share = None
        self._open(verb)
        if verb.asks:
            needed = verb.asks == "reason"
            self._add_field(
                "Why (is kept in the evidence)" if needed else "Remark (optional, kept in the evidence)",
                needed,
            )
        self._show()

    def ask_share(self, move: MoveView) -> None:
        """Ask how much of the reads is to be shifted."""
        self._share = move
        self._open(verbs.shift(0, move))
        self._title.say("Shift another share of the reads")
        with self._field:
            label = Tag("label", "Per cent of the reads, 0 to 100")
            field = Tag(
                "input", type="number", min="0", max="100", step="any", inputmode="decimal", autofocus=True
            )
            field.on("input", self._typed_share, js_handler=_TYPED)
            label.set("for", field.html_id)
        self._will.say("Say how much of the reads on the paths that only read goes to the side that follows.")
        self._verb = None
        self._show()

    def _open(self, verb: Verb) -> None:
        self._verb, self._act, self._reason = verb, None, ""
        self._title.say(verb.title)
        self._will.say(verb.will)
        self._final.say(verb.final)
        self._wrong.show(False)
        self._question.show(True)
        self._answer.show(False)
        self._field.clear()
        self._rows.fill([])
        self._buttons.clear()
        style = "main" if not verb.grave or verb.name in ("cutover", "approve", "doctor") else "danger"
        with self._buttons:
            button("Cancel", autofocus=not verb.asks).does(self.close)
            self._go = button(verb.button, style).does(self._confirm)

    def _add_field(self, text: str, needed: bool) -> None:
        with self._field:
            label = Tag("label", text)
            field = Tag("textarea", rows="2", maxlength="500", required=needed, autofocus=True)
            field.on("input", self._typed, js_handler=_TYPED)
            label.set("for", field.html_id)

    def _typed(self, event: GenericEventArguments) -> None:
        self._reason = value_of(event)

    def _typed_share(self, event: GenericEventArguments) -> None:
        try:
            share = float(value_of(event).replace(",", "."))
        except ValueError:
            share = -1.0
        if self._share is None or not 0 <= share <= 100:
            self._verb = None
            return
        self._verb = verbs.shift(share, self._share)
        self._will.say(self._verb.will)
        self._go.say(self._verb.button)

    def _show(self) -> None:
        self._opened = time.monotonic()
        self._dialog.run_method("showModal")

    def close(self) -> None:
        """Put it away; what was begun goes on."""
        self._dialog.run_method("close")

    def _closed(self) -> None:
        self._verb, self._act = None, None

    # -- doing -------------------------------------------------------------------

    def _confirm(self) -> None:
        if time.monotonic() - self._opened < _ACCIDENT:
            return
        verb = self._verb
        if verb is None:
            self._complain("Say a share from 0 to 100.")
        elif verb.asks == "reason" and not self._reason.strip():
            self._complain("Say why: a rejection is kept with its reason.")
        elif not verb.run and (why := verbs.why_not(self._snapshot(), verb.name)):
            self._complain(why)
        else:
            try:
                self._act = self._begin(verb, self._reason)
            except CrossfadeError as error:
                self._complain(f"{error.what}. What to do: {error.todo}." if error.todo else error.what)
                return
            self._question.show(False)
            self._answer.show(True)
            self._state.say("At work …")
            self._icon.look("icon i-busy")
            self._buttons.clear()
            with self._buttons:
                close = button("Close").does(self.close)
            close.run_method("focus")
            self.show(self._snapshot())

    def _complain(self, text: str) -> None:
        self._wrong.say(text)
        self._wrong.show(True)

    def show(self, snapshot: Snapshot) -> None:
        """How the act goes that was confirmed here."""
        act = next((one for one in snapshot.acts if one.number == self._act), None)
        if self._act is None or act is None:
            return
        if act.outcome is Outcome.RUNNING:
            self._state.say(f"At work for {span(snapshot.at - act.started)} …")
            self._icon.look("icon i-busy")
            return
        done = act.outcome is Outcome.DONE
        self._icon.look(f"icon i-{'ok' if done else 'bad'}")
        self._state.say(
            "Done" if done else "Not all is well yet" if act.lines else "It was refused or failed"
        )
        self._rows.fill(_rows(act))


def _rows(act: Act) -> list[tuple[str, str]]:
    if act.problem is None:
        return list(act.lines)
    parts = (
        ("What happened", act.problem.what),
        ("Where", act.problem.where),
        ("What to do", act.problem.todo),
    )
    return [(label, text) for label, text in parts if text] + list(act.lines)
