"""The page: its parts in their order, and how each is told of a new snapshot."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources

from nicegui import ui

from crossfade.ui import verbs
from crossfade.ui.access import Token
from crossfade.ui.actions import person_of
from crossfade.ui.collecting import Collected
from crossfade.ui.controls import Asking, Controls, told
from crossfade.ui.details import Details
from crossfade.ui.dialogs import Confirm
from crossfade.ui.elements import Tag
from crossfade.ui.head import Head, Sides, Troubles
from crossfade.ui.outline import Outline
from crossfade.ui.panels import EvidencePanel, Streams, SwitchesPanel, TrafficPanel
from crossfade.ui.snapshot import Outcome, Snapshot
from crossfade.ui.verbs import Verb
from crossfade.ui.words import leads

REFRESH = 1.0
"""Seconds between two looks at the snapshot."""

_SCRIPT = """
(() => {
  const root = document.documentElement, key = "crossfade-theme";
  const set = (name) => { if (name) root.dataset.theme = name; else delete root.dataset.theme; };
  try { set(localStorage.getItem(key)); } catch { /* the page works without a memory */ }
  window.crossfadeTheme = () => {
    const next = { undefined: "light", light: "dark", dark: "" }[root.dataset.theme];
    set(next);
    try { if (next) localStorage.setItem(key, next); else localStorage.removeItem(key); } catch { /* as above */ }
  };
})();
"""


def head_html() -> str:
    """The style and the one script of the page."""
    style = resources.files("crossfade.ui").joinpath("page.css").read_text(encoding="utf-8")
    return f"<style>{style}</style><script>{_SCRIPT}</script>"


class Page:
    """One visitor's page, built at once and told of changes from then on."""

    def __init__(self, collected: Collected, holder: Token) -> None:
        self._collected = collected
        self._holder = holder
        self._snapshot = collected.snapshot()
        self._announced: tuple[str, str, tuple[str, ...]] | None = None
        self._titled = ""
        person = person_of(holder)
        skip = Tag("a", "Skip to the plan", "skip")
        with Tag("div", "", "page"):
            self._live = Tag("div", "", "sr", role="status", aria_live="polite")
            head = Head(str(person))
            sides = Sides()
            troubles = Troubles(self._repair)
            asking = Asking(self._ask, self._now, self._say)
            controls = Controls(self._ask, self._ask_share, self._say)
            with Tag("div", "", "columns") as self._columns:
                with Tag("div", "", "column") as self._left:
                    outline = Outline(self._open)
                with Tag("div", "", "column rest"):
                    panels = (Streams(), TrafficPanel(), SwitchesPanel(), EvidencePanel())
        self._details = Details(self._ask, self._now, self._say)
        self._confirm = Confirm(self._begin, self._now)
        skip.set("href", f"#{outline.anchor}")
        self._parts: tuple[Callable[[Snapshot], None], ...] = (
            head.show,
            sides.show,
            troubles.show,
            asking.show,
            controls.show,
            outline.show,
            *(panel.show for panel in panels),
            self._details.show,
            self._confirm.show,
        )
        self._tell()
        ui.timer(REFRESH, self.refresh)

    def refresh(self) -> None:
        """Show what is known now."""
        self._snapshot = self._collected.snapshot()
        self._tell()

    def _tell(self) -> None:
        snapshot = self._snapshot
        plan, move = snapshot.plan is not None, snapshot.move is not None
        self._left.show(plan)
        self._columns.look("columns" if plan and move else "columns one" if move else "columns one only")
        for show in self._parts:
            show(snapshot)
        self._announce(snapshot)

    def _announce(self, snapshot: Snapshot) -> None:
        """What changes is said to those who do not see it, and stands in the window's title."""
        move = snapshot.move.value if snapshot.move is not None else None
        plan = snapshot.plan.value if snapshot.plan is not None else None
        asking = tuple(task.title for task in plan.asking) if plan is not None else ()
        act = snapshot.acts[0] if snapshot.acts else None
        ended = f"{act.title}: {told(act, snapshot.at)}" if act and act.outcome is not Outcome.RUNNING else ""
        key = (
            f"{leads(move)}. {move.phase if move else ''}",
            str(act.number) if ended and act else "",
            asking,
        )
        if self._announced is not None and key != self._announced:
            said = [key[0]] if key[0] != self._announced[0] else []
            said += [ended] if ended and key[1] != self._announced[1] else []
            said += [f"{title} waits for approval" for title in asking if title not in self._announced[2]]
            self._say(". ".join(said))
        self._announced = key
        name = move.name if move is not None else plan.title if plan is not None else ""
        waiting = f"({len(asking)}) " if asking else ""
        title = f"{waiting}{name} · {leads(move) if move is not None else 'plan'} · Crossfade"
        if title != self._titled:
            self._titled = title
            ui.page_title(title)

    # -- what is pressed ---------------------------------------------------------

    def _now(self) -> Snapshot:
        return self._snapshot

    def _say(self, text: str) -> None:
        if text:
            self._live.say(text)

    def _open(self, task: str) -> None:
        self._details.open(task)

    def _ask(self, verb: Verb) -> None:
        self._confirm.ask(verb)

    def _ask_share(self) -> None:
        move = self._snapshot.move.value if self._snapshot.move is not None else None
        if move is not None:
            self._confirm.ask_share(move)

    def _repair(self) -> None:
        move = self._snapshot.move.value if self._snapshot.move is not None else None
        why = verbs.why_not(self._snapshot, "doctor")
        if why or move is None:
            self._say(why)
        else:
            self._ask(verbs.repair(move))

    def _begin(self, verb: Verb, reason: str) -> int:
        number = self._collected.actions.begin(verb, self._holder, reason)
        self.refresh()
        return number
