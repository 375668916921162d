"""Notifications reach people, and their failures reach nobody's run."""

from __future__ import annotations

import datetime
import http.server
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from crossfade.errors import Refused, SpecError, UsageError
from crossfade.ledger import Ledger
from crossfade.notify import Event, Message, Notifier, keys_sent
from crossfade.sending import Channel, complaints
from tests.e2e.scene import free_port, until

# one of Apprise's plugins imports it
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


class Receiver:
    """A webhook that keeps what it is sent; while ``broken`` it answers 503, while ``stuck`` nothing."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.broken = False
        self.answered = 0
        self.free = threading.Event()
        self.free.set()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.free.wait(20)
                receiver.answered += 1
                if receiver.broken:
                    self.send_error(503)
                    return
                receiver.received.append(json.loads(body) | {"path": self.path})
                self.send_response(200)
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    @property
    def url(self) -> SecretStr:
        return SecretStr(f"json://hook:s3cr3t-password@127.0.0.1:{self.port}/T0KEN-IN-THE-PATH")

    def end(self) -> None:
        self.free.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.end()


@contextmanager
def notifying(*urls: SecretStr, **options: Any) -> Iterator[Notifier]:
    notifier = Notifier(urls, pauses=options.pop("pauses", ()), **options)
    try:
        yield notifier
    finally:
        notifier.close(0.2)


def test_every_event_arrives_and_says_what_to_do(receiver: Receiver) -> None:
    expires = datetime.datetime(2026, 3, 2, 18, 0, tzinfo=datetime.UTC)
    said: list[str] = []
    with notifying(receiver.url, name="timeline", say=said.append) as notifier:
        assert notifier.gate_waiting("4.1", "Cut over", needs="2 of ops", run="r1", started_by="ann")
        assert notifier.gate_waiting("4.2", "Watch", needs="p95 < 200", run="r1", approval=False)
        assert notifier.approval_expiring("4.1", "Cut over", needs="2 of ops", expires=expires, given=1)
        assert notifier.task_failed("3.2", "Copy", why="disk full", run="r1", undoing=True)
        assert notifier.switched("new", epoch=2, hold_ms=36.4)
        assert notifier.rolled_back("old", epoch=3, why="error_rate 0.21 > 0.05", hold_ms=41.0)
        assert notifier.run_completed("r1", plan="Timeline", done=12, tasks=12, seconds=7_260)
        refused = Refused("the follower is 9 s behind", where="timeline", todo="see `crossfade status`")
        assert notifier.alarm(refused, key="follow")
        until("all have arrived", lambda: len(receiver.received) == 8 or bool(said))
    assert said == []
    titles = [message["title"] for message in receiver.received]
    assert titles == [
        "timeline: approval needed: 4.1 Cut over",
        "timeline: gate closed: 4.2 Watch",
        "timeline: approval expires soon: 4.1 Cut over",
        "timeline: task failed: 3.2 Copy",
        "timeline: the new side leads now",
        "timeline: rolled back: the old side leads again",
        "timeline: run completed: Timeline",
        "timeline: alarm: timeline: the follower is 9 s behind",
    ]
    bodies = [message["message"] for message in receiver.received]
    assert all("What to do: " in body for body in bodies)
    assert "4.1 Cut over waits for 2 of ops." in bodies[0]
    assert "crossfade approve 4.1 --reason" in bodies[0]
    assert "started by ann" in bodies[0]
    assert "1 given so far. It fails at 2026-03-02 18:00+0000" in bodies[2]
    assert "being undone" in bodies[3]
    assert "held for 36 ms" in bodies[4]
    assert "error_rate 0.21 > 0.05" in bodies[5]
    assert "in 2.0 hours" in bodies[6]
    assert "see `crossfade status`" in bodies[7]
    kinds = [message["type"] for message in receiver.received]
    assert kinds == ["info", "info", "warning", "failure", "success", "warning", "success", "failure"]


def test_what_a_run_says_arrives_with_what_to_do(receiver: Receiver) -> None:
    with notifying(receiver.url) as notifier:
        assert notifier.of_run(
            "approval.asked", run="r1", task="4.1", text="task 4.1 waits for 2 people of ops"
        )
        assert not notifier.of_run(
            "approval.asked", run="r1", task="4.1", text="task 4.1 waits for 2 people of ops"
        )
        assert notifier.of_run("task.unknown", run="r1", task="4.1", text="`x` was begun")
        assert notifier.of_run("task.unknown", run="r1", task="4.1", text="`y` was begun")
        assert notifier.of_run("approval.asked", run="r1", task="a; rm -rf /", text="waits")
        assert notifier.of_run("run.undone", run="r1", text="Orders: failed and undone")
        assert not notifier.of_run("task.started", run="r1", task="4.1", text="nobody wants to know")
        until("all have arrived", lambda: len(receiver.received) == 5)
    first, *_, last = receiver.received
    assert first["title"] == "approval needed: task 4.1"
    assert (
        "waits for 2 people of ops\nrun r1\nWhat to do: `crossfade approve 4.1 --reason …`"
        in first["message"]
    )
    assert "crossfade approve 'a; rm -rf /' --reason" in receiver.received[3]["message"]
    assert (last["title"], last["type"]) == ("failed and undone: run r1", "warning")


def test_the_same_is_said_once(receiver: Receiver, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    with notifying(receiver.url, record=ledger.append) as notifier:
        assert notifier.task_failed("1", "Copy", why="first", run="r1")
        assert not notifier.task_failed("1", "Copy", why="said again", run="r1")
        assert notifier.task_failed("1", "Copy", why="of another run", run="r2")
        assert notifier.alarm("behind", key="lag")
        assert not notifier.alarm("still behind", key="lag")
        notifier.calm("lag")
        assert notifier.alarm("behind again", key="lag")
        until("all have arrived", lambda: len(list(ledger.read())) == 4)
    # a run that goes on after a crash knows what was said
    with notifying(receiver.url, sent=keys_sent(ledger.read())) as notifier:
        assert not notifier.task_failed("1", "Copy", why="after the crash", run="r1")
        assert notifier.alarm("behind in another process", key="lag")
        until("the alarm has arrived", lambda: len(receiver.received) == 5)


def test_what_was_sent_and_what_was_not_is_recorded(receiver: Receiver, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    said: list[str] = []
    receiver.broken = True
    with notifying(receiver.url, record=ledger.append, say=said.append) as notifier:
        notifier.switched("new", epoch=2)
        until("the first has failed", lambda: len(list(ledger.read())) == 1)
        notifier.switched("old", epoch=3)
        until("the second has failed", lambda: len(list(ledger.read())) == 2)
        assert len(said) == 1, "one failing address is said once"
        receiver.broken = False
        notifier.switched("new", epoch=4)
        until("the third has arrived", lambda: len(list(ledger.read())) == 3)
    assert [entry.event for entry in ledger.read()] == ["notify.failed", "notify.failed", "notify.sent"]
    failed, _, sent = (entry.data for entry in ledger.read())
    assert failed["to"] == "notify/0 (json)"
    assert failed["about"] == "switched"
    assert "503" in failed["why"]
    assert sent["notice"] == "switched 4"
    assert keys_sent(ledger.read()) == {"switched 4"}, "what was not delivered is sent by the next run"
    assert "takes notifications again" in said[1]


def test_a_refused_message_is_tried_again(receiver: Receiver) -> None:
    said: list[str] = []
    receiver.broken = True
    with notifying(receiver.url, say=said.append, pauses=(0.01, 60.0)) as notifier:
        notifier.switched("new", epoch=2)
        until("it was tried twice", lambda: receiver.answered == 2)
        receiver.broken = False
        notifier.close(10.0)  # cuts the pause short
    assert len(receiver.received) == 1
    assert said == []


def test_nobody_waits_for_an_address_that_does_not_answer(receiver: Receiver, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    other = Receiver()
    receiver.free.clear()
    said: list[str] = []
    try:
        notifier = Notifier([receiver.url, other.url], record=ledger.append, say=said.append, pauses=())
        begun = time.monotonic()
        for number in range(5):
            notifier.switched("new", epoch=number)
        assert time.monotonic() - begun < 1.0
        until("the other address has all", lambda: len(other.received) == 5)
        notifier.close(0.1)
        assert time.monotonic() - begun < 10.0
        lost = [entry.data for entry in ledger.read() if entry.event == "notify.failed"]
        assert {entry["notice"] for entry in lost} == {f"switched {number}" for number in range(5)}
        assert {entry["to"] for entry in lost} == {"notify/0 (json)"}
        assert len(said) == 1
    finally:
        other.end()


def test_more_than_can_wait_is_given_up_and_recorded(receiver: Receiver) -> None:
    recorded: list[tuple[str, dict[str, Any]]] = []

    def record(event: str, **data: Any) -> None:
        recorded.append((event, data))

    receiver.free.clear()
    with notifying(receiver.url, record=record) as notifier:
        for number in range(105):
            notifier.switched("new", epoch=number)
        full = [data for event, data in recorded if "wait already" in data.get("why", "")]
        assert 4 <= len(full) <= 5


def test_an_address_never_shows(tmp_path: Path) -> None:
    """Neither in what is said, nor in the evidence, nor in an error; also where a service's log has it."""
    ledger = Ledger(tmp_path / "ledger.jsonl")
    said: list[str] = []
    port = free_port()  # nobody listens
    url = SecretStr(f"json://hook:s3cr3t-p%40ss@127.0.0.1:{port}/T0KEN-IN-THE-PATH?key=QUERY-T0KEN")
    with notifying(url, record=ledger.append, say=said.append) as notifier:
        notifier.switched("new", epoch=2)
        until("it has failed", lambda: bool(said))
        until("and is recorded", lambda: len(list(ledger.read())) == 1)
        shown = repr(notifier) + "".join(said) + (tmp_path / "ledger.jsonl").read_text()
    for secret in ("s3cr3t-p", "T0KEN-IN-THE-PATH", "QUERY-T0KEN"):
        assert secret not in shown
    with pytest.raises(SpecError) as wrong:
        Notifier([SecretStr("nosuchservice://T0KEN-AS-A-HOST/more")]).check()
    assert "T0KEN-AS-A-HOST" not in str(wrong.value)
    assert wrong.value.where == "notify/0 (nosuchservice)"
    with pytest.raises(SpecError) as wrong:
        Notifier([SecretStr("not an address at all")]).check()
    assert "not an address at" not in str(wrong.value)
    assert wrong.value.where == "notify/0"


def test_what_a_service_complains_of_is_masked() -> None:
    """Apprise hides what it knows to be secret; a plugin's own words may quote any part of the address."""
    url = SecretStr("slack://bot:pw%20word@T0KENHOST/P4TH-T0KEN/?key=QUERY-T0KEN")
    channel = Channel(0, url, say=print, record=None, pauses=())
    with complaints(channel.hidden()) as heard:
        for secret in (
            url.get_secret_value(),
            "T0KENHOST",
            "/P4TH-T0KEN",
            "QUERY-T0KEN",
            "pw word",
            "pw%20word",
        ):
            logging.getLogger("apprise").warning("cannot reach %s", secret)
    assert len(heard) == 6
    assert not [text for text in heard if "T0KEN" in text or "pw" in text]


def test_secrets_of_the_move_never_go_out(receiver: Receiver) -> None:
    with notifying(receiver.url, secrets=["hunter2hunter2"]) as notifier:
        notifier.task_failed(
            "1", "Copy", why="cannot connect with hunter2hunter2 to postgresql://app:pw@db/x"
        )
        until("it has arrived", lambda: len(receiver.received) == 1)
    sent = json.dumps(receiver.received)
    assert "hunter2hunter2" not in sent
    assert "app:pw@" not in sent


def test_a_wrong_address_does_not_end_a_run() -> None:
    said: list[str] = []
    with notifying(SecretStr("nosuchservice://x/y"), say=said.append) as notifier:
        notifier.switched("new", epoch=2)
        until("it is said", lambda: bool(said))
    assert "not an address that Apprise knows" in said[0]
    assert "the run goes on" in said[0]


def test_texts_are_short_and_whole_lines(receiver: Receiver) -> None:
    with notifying(receiver.url) as notifier:
        notifier.send(Message(Event.ALARM, "k", "a\nb" + "x" * 400, "one\x00\x1b[31m\ntwo" + "y" * 5_000))
        until("it has arrived", lambda: len(receiver.received) == 1)
    message = receiver.received[0]
    assert message["title"].startswith("a bx")
    assert len(message["title"]) == 120
    assert len(message["message"]) == 1_500
    assert "\x1b" not in message["message"]
    assert "\ntwo" in message["message"]


def test_without_addresses_nothing_is_needed_and_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with notifying() as notifier:
        assert notifier.switched("new", epoch=2)
    with pytest.raises(UsageError) as missing:
        Notifier([SecretStr("json://127.0.0.1")])
    assert "crossfade[notify]" in missing.value.todo


def test_mail_arrives() -> None:
    """By a real SMTP conversation."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        mails: list[str] = []
        thread = threading.Thread(target=_receive_mail, args=(server, mails))
        thread.start()
        port = server.getsockname()[1]
        url = f"mailto://127.0.0.1:{port}?from=crossfade@example.org&to=ann@example.org&mode=insecure"
        with notifying(SecretStr(url), name="timeline") as notifier:
            notifier.gate_waiting("4.1", "Cut over", needs="2 of ops")
            until("the mail is here", lambda: bool(mails))
        thread.join(10)
    assert "Subject: timeline: approval needed: 4.1 Cut over" in mails[0]
    assert "crossfade approve 4.1" in mails[0]


def _receive_mail(server: socket.socket, mails: list[str]) -> None:
    server.settimeout(20)
    connection, _ = server.accept()
    with connection, connection.makefile("rb") as lines:

        def answer(text: str) -> None:
            connection.sendall(text.encode() + b"\r\n")

        answer("220 here")
        for line in lines:
            verb = line.strip().upper().split(b" ")[0]
            if verb == b"DATA":
                answer("354 go on")
                mail = []
                for part in lines:
                    if part == b".\r\n":
                        break
                    mail.append(part.decode())
                answer("250 taken")
                mails.append("".join(mail))
            elif verb == b"QUIT":
                answer("221 bye")
                return
            else:
                answer("250 fine")
