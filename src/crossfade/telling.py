"""Telling people what a run needs and what came of it, at the addresses that the spec names."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from crossfade.notify import Notifier, keys_sent

if TYPE_CHECKING:
    from crossfade.engine import Notice
    from crossfade.running import Setting


@contextlib.contextmanager
def notifier_of(setting: Setting, say: Callable[[str], None]) -> Iterator[Callable[[Notice], None]]:
    """What the engine calls with each notice; waits at the end, for a while, until everything is sent.

    ``SpecError`` for an address that cannot be one, ``UsageError`` when the extra is missing.
    """
    urls = setting.spec.notify if setting.spec is not None else ()
    ledger = setting.ledger
    notifier = Notifier(
        urls,
        name=setting.move,
        say=say,
        record=ledger.append,
        sent=keys_sent(ledger.read()) if urls else (),
        secrets=setting.secrets,
    )
    notifier.check()

    def tell(notice: Notice) -> None:
        if urls:
            notifier.of_run(notice.kind, run=notice.run, task=notice.task, text=notice.text)

    try:
        yield tell
    finally:
        notifier.close()
