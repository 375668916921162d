"""The watchdog itself: it starts in time, ends whom it means, and may die without leaving anything half done."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from crossfade.stores.base import Side
from crossfade.watchdog import Watch, Watchdog
from tests.e2e.scene import Scene, until
from tests.proxy import proxied

pytestmark = pytest.mark.timeout(90)


def test_a_database_with_many_addresses_that_do_not_answer_does_not_keep_it_from_starting(
    bare: Scene, postgres_url: str
) -> None:
    with proxied(postgres_url) as (proxy, url):
        proxy.freeze()
        where = f"127.0.0.1:{proxy.port}"
        bare.spec.write_text(
            bare.spec.read_text().replace(postgres_url, url.replace(where, ",".join([where] * 12)))
        )
        watchdog = Watchdog(bare.spec)
        watchdog.guard("token", 0, 1)
        watchdog.dismiss()


@pytest.fixture
def stopped() -> Iterator[psutil.Process]:
    """A process that was stopped."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    process = psutil.Process(child.pid)
    child.send_signal(signal.SIGSTOP)
    until("it is stopped", lambda: process.status() == psutil.STATUS_STOPPED)
    try:
        yield process
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize(("off", "ends"), [(0.02, True), (-0.02, True), (-60.0, False)])
def test_it_ends_the_coordinator_also_when_the_clock_was_adjusted_and_nobody_else(
    bare: Scene, stopped: psutil.Process, off: float, ends: bool
) -> None:
    with bare.move() as move:
        watch = Watch(move, "token", stopped.pid, stopped.create_time() + off)
        assert watch._end_coordinator(time.monotonic())
    if ends:
        until("it is ended", lambda: stopped.status() == psutil.STATUS_ZOMBIE)
    else:
        assert stopped.status() == psutil.STATUS_STOPPED


def test_what_a_watchdog_that_dies_in_its_repair_leaves_is_repaired_by_the_coordinator(
    bare: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there when the coordinator hands the switch over to it, and then ends before it has done anything."""
    real = Watchdog._wait

    def killed(watchdog: Watchdog) -> bool:
        if watchdog._process is not None:
            watchdog._process.kill()
        return real(watchdog)

    monkeypatch.setattr(Watchdog, "_wait", killed)

    def interrupt(step: int, when: str) -> None:
        if (step, when) == (7, "after"):
            raise KeyboardInterrupt

    with bare.move() as move:
        with pytest.raises(KeyboardInterrupt):
            move.cutover(observe=interrupt)
        found = move.standing()
    assert (found.leader, found.committed) == (Side.NEW, False)
    assert not bare.can_write("old")
