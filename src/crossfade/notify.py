"""Notifications: telling people that something waits for them, broke, or is over.

Sending is done by `Apprise <https://github.com/caronc/apprise>`_, an optional extra, to the addresses under
``notify`` in the spec.  A notification never holds a run up and never fails it: each address has a thread and
a short queue of its own, and what cannot be delivered is said once and recorded.  An address is a secret from
end to end (a webhook's path is its password), so people read of ``notify/0 (slack)`` instead.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib.util
import shlex
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from pydantic import SecretStr

from crossfade.errors import CrossfadeError, UsageError
from crossfade.ledger import Entry
from crossfade.masking import mask
from crossfade.notices import LONGEST_BODY, LONGEST_TITLE, Event, Message, short
from crossfade.report import Quiet
from crossfade.sending import Channel

__all__ = ["Event", "Message", "Notifier", "keys_sent"]

_REMEMBERED = 4_096
"""Keys kept against repetition; a plan of a thousand tasks has fewer."""


class Notifier:
    """Sends to every address; with no addresses it does nothing and needs no extra.

    ``name`` begins each title (the move's name).  ``say`` is told once when an address begins to fail.
    ``record`` is called as ``record("notify.sent", about="task_failed", notice=KEY, to=…)`` or
    ``record("notify.failed", …, why=…)``, from any thread: `Ledger.append` fits.  ``sent`` are keys that were delivered before (`keys_sent`),
    so that a run that goes on after a crash does not repeat itself.  ``secrets`` never appear in a message.
    A message that is not taken is tried again after each of ``pauses`` (seconds).

    ``UsageError`` when there are addresses and the extra is not installed.
    """

    def __init__(
        self,
        urls: Sequence[SecretStr],
        *,
        name: str = "",
        say: Callable[[str], None] | None = None,
        record: Callable[..., object] | None = None,
        sent: Iterable[str] = (),
        secrets: Sequence[str] = (),
        pauses: Sequence[float] = (2.0, 10.0),
    ) -> None:
        if urls and importlib.util.find_spec("apprise") is None:
            raise UsageError(
                "notifications need Apprise, which is not installed",
                where="notify",
                todo="install it with: pip install 'crossfade[notify]'",
            )
        self._name = name
        self._secrets = tuple(secrets)
        self._lock = threading.Lock()
        self._sent: OrderedDict[str, None] = OrderedDict.fromkeys(sent)
        self._channels = [
            Channel(number, url, say=say or Quiet().say, record=record, pauses=tuple(pauses))
            for number, url in enumerate(urls)
        ]

    def check(self) -> None:
        """``SpecError`` for the first address that Apprise cannot read; nothing is sent."""
        for channel in self._channels:
            channel.open()

    def send(self, message: Message) -> bool:
        """Hand a message to every address, and come back at once; False when its key was sent before."""
        with self._lock:
            if message.key in self._sent:
                return False
            self._sent[message.key] = None
            while len(self._sent) > _REMEMBERED:
                self._sent.popitem(last=False)
        title = f"{self._name}: {message.title}" if self._name else message.title
        ready = Message(
            message.event,
            message.key,
            short(mask(title, self._secrets), LONGEST_TITLE, " "),
            short(mask(message.body, self._secrets), LONGEST_BODY, "\n"),
        )
        for channel in self._channels:
            channel.put(ready)
        return True

    def close(self, patience: float = 10.0) -> None:
        """Deliver what waits, for at most ``patience`` seconds altogether; what is left is said and recorded."""
        until = time.monotonic() + patience
        for channel in self._channels:
            channel.finish()
        for channel in self._channels:
            channel.join(max(0.0, until - time.monotonic()))

    # -- what people are told ------------------------------------------------

    def of_run(self, kind: str, *, run: str, text: str, task: str | None = None) -> bool:
        """What a run itself says (`crossfade.runs.hands.Hands.notice`), with what to do about it; False for a kind
        of which nobody is told."""
        known = _OF_RUNS.get(kind)
        if known is None:
            return False
        event, what, todo = known
        named = f"task {task}" if task else f"run {run}"
        return self.send(
            Message(
                event,
                f"{event} {run} {task or ''} {kind} {hashlib.sha256(text.encode()).hexdigest()[:12]}",
                f"{what}: {named}",
                _lines(text, f"run {run}", todo.format(task=shlex.quote(task or ""))),
            )
        )

    def gate_waiting(
        self, task: str, title: str, *, needs: str, run: str = "", approval: bool = True, started_by: str = ""
    ) -> bool:
        """A task waits: for people (``needs`` is ``2 of ops``) or, with ``approval`` false, for a condition."""
        named = _named(task, title)
        if approval:
            asked = f"The run was started by {started_by}." if started_by else ""
            return self.send(
                Message(
                    Event.GATE_WAITING,
                    f"{Event.GATE_WAITING} {run} {task} {needs}",
                    f"approval needed: {named}",
                    _lines(f"{named} waits for {needs}.", asked, _DECIDE.format(task=shlex.quote(task))),
                )
            )
        return self.send(
            Message(
                Event.GATE_WAITING,
                f"{Event.GATE_WAITING} {run} {task} {needs}",
                f"gate closed: {named}",
                _lines(
                    f"{named} waits until this holds: {needs}",
                    "What to do: `crossfade status` shows the figures; the run goes on by itself when they are right.",
                ),
            )
        )

    def approval_expiring(
        self, task: str, title: str, *, needs: str, expires: datetime.datetime, given: int = 0, run: str = ""
    ) -> bool:
        """An approval is still missing shortly before it expires."""
        named = _named(task, title)
        return self.send(
            Message(
                Event.APPROVAL_EXPIRING,
                f"{Event.APPROVAL_EXPIRING} {run} {task} {expires.isoformat()}",
                f"approval expires soon: {named}",
                _lines(
                    f"{named} waits for {needs}; {given} given so far. It fails at {_moment(expires)}.",
                    _DECIDE.format(task=shlex.quote(task)),
                ),
            )
        )

    def task_failed(
        self, task: str, title: str, *, why: str, run: str = "", attempt: int = 1, undoing: bool = False
    ) -> bool:
        """A task failed for good, its retries included."""
        named = _named(task, title)
        follows = (
            "What was done is being undone, in reverse order."
            if undoing
            else "The run stopped here; nothing was undone."
        )
        return self.send(
            Message(
                Event.TASK_FAILED,
                f"{Event.TASK_FAILED} {run} {task} {attempt}",
                f"task failed: {named}",
                _lines(
                    f"{named} failed: {why}",
                    follows,
                    "What to do: read the end of `crossfade evidence export`, mend the cause, and start the run again: "
                    "it goes on where it was.",
                ),
            )
        )

    def switched(self, to: str, *, epoch: int, hold_ms: float | None = None) -> bool:
        """The lead changed hands as planned."""
        held = f" Requests were held for {hold_ms:.0f} ms." if hold_ms is not None else ""
        return self.send(
            Message(
                Event.SWITCHED,
                f"{Event.SWITCHED} {epoch}",
                f"the {to} side leads now",
                _lines(
                    f"The {to} side took the lead (epoch {epoch}).{held}",
                    "What to do: watch `crossfade status`; `crossfade rollback` gives the lead back with no lost write.",
                ),
            )
        )

    def rolled_back(self, to: str, *, epoch: int, why: str = "", hold_ms: float | None = None) -> bool:
        """The lead was given back, by a guard or by hand."""
        held = f" Requests were held for {hold_ms:.0f} ms." if hold_ms is not None else ""
        return self.send(
            Message(
                Event.ROLLED_BACK,
                f"{Event.ROLLED_BACK} {epoch}",
                f"rolled back: the {to} side leads again",
                _lines(
                    f"The {to} side took the lead back (epoch {epoch}).{held}",
                    f"Why: {why}" if why else "",
                    "What to do: no write was lost, and nothing is urgent. Find the cause before the next cutover.",
                ),
            )
        )

    def run_completed(self, run: str, *, plan: str, done: int, tasks: int, seconds: float) -> bool:
        """A run came to its end."""
        return self.send(
            Message(
                Event.RUN_COMPLETED,
                f"{Event.RUN_COMPLETED} {run}",
                f"run completed: {plan}",
                _lines(
                    f"{done} of {tasks} tasks are done, in {_duration(seconds)}.",
                    "What to do: `crossfade plan report` tells what was done and what is claimed without evidence.",
                ),
            )
        )

    def alarm(self, what: str | CrossfadeError, *, key: str, todo: str = "") -> bool:
        """Something is wrong and stays wrong until somebody acts; said once until `calm` is called."""
        text = f"{what.where}: {what.what}" if isinstance(what, CrossfadeError) and what.where else str(what)
        if isinstance(what, CrossfadeError):
            text, todo = text.partition("\n")[0], todo or what.todo
        return self.send(
            Message(
                Event.ALARM,
                f"{Event.ALARM} {key}",
                f"alarm: {text}",
                _lines(
                    text,
                    f"What to do: {todo}"
                    if todo
                    else "What to do: run `crossfade doctor`; it names the cause.",
                ),
            )
        )

    def calm(self, key: str) -> None:
        """The trouble of that key is over: the next alarm with it is sent again."""
        with self._lock:
            self._sent.pop(f"{Event.ALARM} {key}", None)


def keys_sent(entries: Iterable[Entry]) -> set[str]:
    """The keys of the messages that somebody received, from the evidence: `Notifier` takes them as ``sent``.
    Alarms are not among them: the same trouble may come again in another process."""
    sent = (
        entry.data.get("notice")
        for entry in entries
        if entry.event == "notify.sent" and entry.data.get("about") != Event.ALARM
    )
    return {key for key in sent if isinstance(key, str)}


_DECIDE = "What to do: `crossfade approve {task} --reason …` lets it go on, `crossfade reject {task} --reason …` stops it."


_LOOK = (
    "What to do: read what it printed (`crossfade evidence export`), mend the cause, and start the run again."
)

_OF_RUNS: dict[str, tuple[Event, str, str]] = {
    "approval.asked": (Event.GATE_WAITING, "approval needed", _DECIDE),
    "approval.expiring": (Event.APPROVAL_EXPIRING, "approval expires soon", _DECIDE),
    "task.unknown": (
        Event.GATE_WAITING,
        "outcome unknown",
        "What to do: look what became of the command, and say so with `crossfade assume`.",
    ),
    "task.failed": (Event.TASK_FAILED, "failed", _LOOK),
    "task.rejected": (Event.TASK_FAILED, "rejected", "What to do: settle it, and start the run again."),
    "run.done": (
        Event.RUN_COMPLETED,
        "completed",
        "What to do: `crossfade plan report` tells what was done.",
    ),
    "run.failed": (Event.TASK_FAILED, "failed", _LOOK),
    "run.undone": (Event.ROLLED_BACK, "failed and undone", _LOOK),
    "run.cancelled": (Event.TASK_FAILED, "cancelled", "What to do: start the run again when it shall go on."),
}
"""Of each kind of notice of a run: the event, what it is called, and what to do."""


# --- words ------------------------------------------------------------------


def _named(task: str, title: str) -> str:
    return f"{task} {title}".strip()


def _lines(*texts: str) -> str:
    return "\n".join(text for text in texts if text)


def _moment(when: datetime.datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M}{when:%z}" if when.tzinfo else f"{when:%Y-%m-%d %H:%M}"


def _duration(seconds: float) -> str:
    for size, unit in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
