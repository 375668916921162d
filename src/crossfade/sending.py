"""Sending notifications to one address: a thread, a short queue, and what the service complained of."""

from __future__ import annotations

import contextlib
import logging
import queue
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import unquote

from pydantic import SecretStr

from crossfade.errors import CrossfadeError, SpecError
from crossfade.masking import mask, passwords_in
from crossfade.notices import LEVELS, Message, short

_WAITING = 100
"""Messages that may wait for one address."""


class Channel:
    """One address: its queue, and the thread that empties it, which begins with the first message."""

    def __init__(
        self,
        number: int,
        url: SecretStr,
        *,
        say: Callable[[str], None],
        record: Callable[..., object] | None,
        pauses: tuple[float, ...],
    ) -> None:
        self._url = url
        self._say = say
        self._record = record
        self._pauses = pauses
        scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]{0,20}(?=://)", url.get_secret_value())
        self.to = f"notify/{number}" + (f" ({scheme[0].lower()})" if scheme else "")
        self._queue: queue.Queue[Message | None] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._given_up = threading.Event()
        self._apprise: Any = None
        self._failing = False
        self._sending: Message | None = None

    def put(self, message: Message) -> None:
        """Queue a message; what finds no room is given up."""
        if self._closing.is_set():
            self._failed(message, "the notifier was closed already")
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self.to, daemon=True)
                self._thread.start()
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            self._failed(message, f"{_WAITING} messages wait already")

    def finish(self) -> None:
        """Let the thread end when it has delivered what waits."""
        self._closing.set()
        if self._thread is not None:
            with contextlib.suppress(queue.Full):  # it looks at the event too
                self._queue.put_nowait(None)

    def join(self, patience: float) -> None:
        """Wait that many seconds for the thread to end; what it has not sent by then is given up."""
        if self._thread is None:
            return
        self._thread.join(patience)
        if not self._thread.is_alive():
            return
        self._given_up.set()
        if (sending := self._sending) is not None:
            self._failed(sending, "it was still being sent when the time was over")
        while True:
            try:
                message = self._queue.get_nowait()
            except queue.Empty:
                break
            if message is not None:
                self._failed(message, "there was no time left to send it")

    def open(self) -> Any:
        """Apprise with this address.  ``SpecError`` when it is none."""
        if self._apprise is None:
            import apprise

            asset = apprise.AppriseAsset(
                app_id="Crossfade", app_desc="Crossfade", async_mode=False, secure_logging=True
            )
            made = apprise.Apprise(asset=asset)
            with complaints(self.hidden()) as heard:
                taken = made.add(self._url.get_secret_value())
            if not taken or len(made) == 0:
                raise SpecError(
                    _joined("this is not an address that Apprise knows", heard),
                    where=self.to,
                    todo="see https://github.com/caronc/apprise/wiki for how the service's address is written",
                )
            self._apprise = made
        return self._apprise

    def _work(self) -> None:
        while not self._given_up.is_set():
            try:
                message = self._queue.get(timeout=None if not self._closing.is_set() else 0)
            except queue.Empty:
                return
            if message is None:
                return
            self._sending = message
            try:
                why = self._deliver(message)
            except CrossfadeError as error:
                why = error.what
            except Exception as error:  # the fault of somebody's plugin must not end the thread
                why = mask(f"{type(error).__name__}: {error}", self.hidden())
            self._sending = None
            if why is None:
                self._delivered(message)
            else:
                self._failed(message, why)

    def _deliver(self, message: Message) -> str | None:
        """Send it, again after each pause; why it was not taken in the end, or None."""
        import apprise

        sender = self.open()
        why: str | None = None
        for pause in (0.0, *self._pauses):
            if pause:
                self._closing.wait(pause)
            if self._given_up.is_set():
                break
            with complaints(self.hidden()) as heard:
                taken = sender.notify(
                    body=message.body,
                    title=message.title,
                    notify_type=LEVELS[message.event],
                    body_format=apprise.NotifyFormat.TEXT,
                )
                heard.extend(_logged(taken, self.hidden()))
            if taken:
                return None
            why = _joined("the service did not take it", heard)
        return why or "there was no time left to send it"

    def _delivered(self, message: Message) -> None:
        if self._failing:
            self._failing = False
            self._say(f"{self.to} takes notifications again")
        self._put_down("notify.sent", message)

    def _failed(self, message: Message, why: str) -> None:
        if not self._failing:
            self._failing = True
            self._say(f"{self.to} was not told “{message.title}” ({why}); the run goes on")
        self._put_down("notify.failed", message, why=why)

    def _put_down(self, event: str, message: Message, **more: str) -> None:
        if self._record is None:
            return
        try:
            # not ``key``: that is what the ledger itself calls the keys of entries
            self._record(event, about=message.event.value, notice=message.key, to=self.to, **more)
        except CrossfadeError as error:
            self._say(f"{self.to}: this is not in the evidence: {error.what}")

    def hidden(self) -> tuple[str, ...]:
        """Every part of the address that may be a secret."""
        url = self._url.get_secret_value()
        parts = [
            part for part in re.split(r"[/?&=:@#,\s]+", url.partition("://")[2] or url) if len(part) >= 4
        ]
        return tuple(dict.fromkeys([url, *passwords_in(url), *parts, *map(unquote, parts)]))


class _Heard(logging.Handler):
    """What Apprise complains of in one thread; its log is the only place where it says why."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []
        self._secrets = secrets
        self._mine = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._mine:
            self.texts.append(mask(record.getMessage(), self._secrets))


def _logged(result: Any, secrets: tuple[str, ...]) -> Iterator[str]:
    """What Apprise 2 noted while it sent, in threads of its own; earlier versions answer yes or no."""
    for entry in result.logs() if hasattr(result, "logs") else ():
        if entry.level in ("WARNING", "ERROR", "CRITICAL"):
            yield mask(entry.message, secrets)


@contextlib.contextmanager
def complaints(secrets: tuple[str, ...]) -> Iterator[list[str]]:
    """The warnings that Apprise logs in this thread meanwhile, without the secrets."""
    heard = _Heard(secrets)
    logger = logging.getLogger("apprise")
    logger.addHandler(heard)
    try:
        yield heard.texts
    finally:
        logger.removeHandler(heard)


def _joined(what: str, heard: Sequence[str]) -> str:
    reasons = "; ".join(dict.fromkeys(text.strip().rstrip(".") for text in heard if text.strip()))
    return f"{what}: {short(reasons, 300, ' ')}" if reasons else what
