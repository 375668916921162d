"""The evidence ledger: what it refuses, what it repairs, and that it cannot be altered unseen."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade import ledger as ledger_module
from crossfade.errors import BudgetOver, LedgerError
from crossfade.ledger import GENESIS, Ledger
from crossfade.stores.base import Chunk, Side


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "state" / "ledger.jsonl", move="timeline")


def lines(ledger: Ledger) -> list[bytes]:
    return ledger.path.read_bytes().splitlines(keepends=True)


# --- appending ----------------------------------------------------------------


def test_an_entry_says_what_who_when_and_what_came_before(ledger: Ledger) -> None:
    first = ledger.append("check.started")
    second = ledger.append("copy.finished", rows=3, tables=["events"])

    assert (first.seq, second.seq) == (1, 2)
    assert (first.prev, second.prev) == (GENESIS, first.hash)
    assert second.data == {"rows": 3, "tables": ["events"]}
    assert second.move == "timeline"
    assert second.who["pid"] == os.getpid()
    assert re.fullmatch(r"\S+@\S+", second.who["user"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", second.at)
    assert list(ledger.read()) == [first, second]


def test_the_hash_can_be_recomputed_by_anyone_from_the_documented_form(ledger: Ledger) -> None:
    ledger.append("verify.finished", cells=12, table="événements")
    entry = json.loads(lines(ledger)[0])
    claimed = entry.pop("hash")
    text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert claimed == hashlib.sha256(text.encode()).hexdigest()


def test_only_its_owner_can_read_it(ledger: Ledger) -> None:
    ledger.append("check.started")
    assert stat.S_IMODE(ledger.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(ledger.path.parent.stat().st_mode) == 0o700


def test_an_entry_longer_than_the_tail_that_is_read_is_followed(ledger: Ledger) -> None:
    ledger.append("check.started")
    long = ledger.append("copy.finished", text="x" * 200_000)
    assert ledger.append("verify.finished").prev == long.hash
    assert ledger.verify().whole


@pytest.mark.parametrize("event", ["", "Switch", "switch commit", "switch.", ".commit", "switch\n"])
def test_an_event_is_a_dotted_name(ledger: Ledger, event: str) -> None:
    with pytest.raises(LedgerError, match="event name"):
        ledger.append(event)
    assert not ledger.path.exists()


def test_data_may_use_any_field_name(ledger: Ledger) -> None:
    assert ledger.append("a.b", event=1, self=2, seq=3).data == {"event": 1, "self": 2, "seq": 3}


def test_a_directory_that_cannot_be_written_is_an_error_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="cannot be written") as caught:
        Ledger(tmp_path / "file" / "ledger.jsonl").append("check.started")
    assert caught.value.todo


# --- many writers ---------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from crossfade.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]), move="m")
for n in range(int(sys.argv[2])):
    ledger.append("pass.applied", n=n, text="x" * (n * 37 % 5000))
"""


def test_processes_and_threads_write_one_chain(ledger: Ledger) -> None:
    command = [sys.executable, "-c", WRITER, str(ledger.path), "60"]
    processes = [subprocess.Popen(command) for _ in range(3)]
    threads = [
        threading.Thread(target=lambda: [ledger.append("pass.read", n=n) for n in range(30)])
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [process.wait(60) for process in processes] == [0, 0, 0]

    assert ledger.verify().whole
    entries = list(ledger.read())
    assert [entry.seq for entry in entries] == list(range(1, 3 * 60 + 3 * 30 + 1))
    by_process = [e.data["n"] for e in entries if e.who["pid"] == processes[0].pid]
    assert by_process == list(range(60))


STOPPED = """
import fcntl, os, sys
file = os.open(sys.argv[1], os.O_RDWR)
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_stopped_writer_does_not_stop_the_others_for_ever(ledger: Ledger) -> None:
    ledger.append("check.started")
    command = [sys.executable, "-c", STOPPED, str(ledger.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(LedgerError, match="another process"):
            Ledger(ledger.path, patience=0.05).append("switch.hold")
        holder.communicate(timeout=30)
    assert ledger.append("switch.hold").seq == 2


def test_a_writer_killed_at_any_moment_leaves_a_chain_that_goes_on(ledger: Ledger) -> None:
    for _ in range(5):
        before = len(lines(ledger)) if ledger.path.exists() else 0
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(ledger.path), "100000"])
        while not ledger.path.exists() or len(lines(ledger)) < before + 20:
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        ledger.append("doctor.repaired")
        assert ledger.verify().whole


# --- damage ---------------------------------------------------------------------


@pytest.mark.parametrize("keep", [1, 40, -1], ids=["one byte", "half", "all but the newline"])
def test_a_torn_last_line_is_moved_aside_and_noted(ledger: Ledger, keep: int) -> None:
    whole = ledger.append("copy.started")
    ledger.append("copy.finished", rows=7)
    first, second = lines(ledger)
    fragment = second[:keep]
    ledger.path.write_bytes(first + fragment)

    torn = ledger.verify()
    assert (torn.entries, torn.first_broken, torn.head) == (1, 2, whole.hash)
    assert "torn" in torn.reason
    assert list(ledger.read()) == [whole]

    after = ledger.append("copy.resumed")
    assert [entry.event for entry in ledger.read()] == ["copy.started", "ledger.torn", "copy.resumed"]
    note = list(ledger.read())[1]
    assert note.data == {
        "bytes": len(fragment),
        "sha256": hashlib.sha256(fragment).hexdigest(),
        "file": "ledger.torn",
    }
    assert ledger.torn.read_bytes() == fragment + b"\n"
    assert ledger.verify().whole
    assert ledger.verify().head == after.hash


def test_a_first_line_that_is_torn_is_repaired_too(ledger: Ledger) -> None:
    ledger.path.parent.mkdir()
    ledger.path.write_bytes(b'{"seq": 1')
    ledger.append("check.started")
    assert [entry.event for entry in ledger.read()] == ["ledger.torn", "check.started"]
    assert ledger.verify().whole


def altered(line: bytes, **changes: Any) -> bytes:
    """The line with fields replaced and its hash made right again."""
    entry = json.loads(line) | changes
    entry.pop("hash")
    text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    entry["hash"] = hashlib.sha256(text.encode()).hexdigest()
    return json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


@pytest.mark.parametrize(
    ("damage", "broken", "reason"),
    [
        (lambda a, b, c: [a, b.replace(b'"rows":2', b'"rows":3'), c], 2, "does not match its hash"),
        (lambda a, b, c: [a, altered(b, data={"rows": 3}), c], 3, "does not follow"),
        (lambda a, b, c: [a, c], 2, "its number is 3"),
        (lambda a, b, c: [a, altered(c, seq=2)], 2, "does not follow"),
        (lambda a, b, c: [a, b, b, c], 3, "its number is 2"),
        (lambda a, b, c: [b, c], 1, "its number is 2"),
        (lambda a, b, c: [a, b"\n", b, c], 2, "not an entry"),
        (lambda a, b, c: [a, b"[]\n", c], 2, "not an entry"),
        (lambda a, b, c: [a, b.replace(b'"rows":2', b'"rows":NaN'), c], 2, "not an entry"),
        (lambda a, b, c: [a, b.replace(b"{", b'{"at":"",', 1), c], 2, "does not match its hash"),
        (lambda a, b, c: [a, b.replace(b'"rows":2', b'"rows": 2'), c], 2, "does not match its hash"),
        (lambda a, b, c: [a, b, c[:-1]], 3, "torn"),
    ],
    ids=[
        "value", "rehashed", "removed", "renumbered", "repeated", "beheaded",
        "blank", "array", "NaN", "repeated key", "white space", "no newline",
    ],
)  # fmt: skip
def test_verify_names_the_first_line_that_is_not_as_it_was_written(
    ledger: Ledger, damage: Any, broken: int, reason: str
) -> None:
    for rows in (1, 2, 3):
        ledger.append("copy.chunk", rows=rows)
    assert ledger.verify().whole
    ledger.path.write_bytes(b"".join(damage(*lines(ledger))))

    found = ledger.verify()
    assert (found.first_broken, found.entries) == (broken, broken - 1)
    assert reason in found.reason
    assert not found.whole


def test_nothing_is_added_behind_a_damaged_entry(ledger: Ledger) -> None:
    ledger.append("copy.chunk", rows=2)
    ledger.path.write_bytes(lines(ledger)[0].replace(b'"rows":2', b'"rows":3'))
    before = ledger.path.read_bytes()
    with pytest.raises(LedgerError, match="last entry is damaged"):
        ledger.append("copy.chunk", rows=4)
    assert ledger.path.read_bytes() == before


def test_reading_stops_at_a_line_that_is_no_entry(ledger: Ledger) -> None:
    ledger.append("check.started")
    ledger.path.write_bytes(lines(ledger)[0] + b"{}\n")
    with pytest.raises(LedgerError, match="line 2"):
        list(ledger.read())


def test_a_missing_ledger_is_an_empty_one(ledger: Ledger) -> None:
    assert list(ledger.read()) == []
    assert (ledger.verify().entries, ledger.verify().whole, ledger.verify().head) == (0, True, GENESIS)


# --- values ---------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    took: timedelta
    at: Path


def test_values_of_the_field_have_a_json_form(ledger: Ledger) -> None:
    entry = ledger.append(
        "switch.finished",
        side=Side.NEW,
        chunk=Chunk(view=1, number=2, rows=3),
        measured=Measured(timedelta(milliseconds=250), Path("/srv/a")),
        names={"b", "a"},
        key=(1, b"\x00\xff"),
        price=Decimal("1.10"),
        at=datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2))),
        by_view={1: 2},
        rows=np.int64(2**62),
        error=BudgetOver("the drain took too long", where="switch", todo="try again"),
        odd="\udcff",
        nothing=None,
    )
    assert entry.data == {
        "side": "new",
        "chunk": {"view": 1, "number": 2, "rows": 3, "rejected": 0},
        "measured": {"took": 0.25, "at": "/srv/a"},
        "names": ["a", "b"],
        "key": [1, "00ff"],
        "price": "1.10",
        "at": "2026-03-01T10:00:00+00:00",
        "by_view": {"1": 2},
        "rows": 2**62,
        "error": {
            "error": "BudgetOver", "what": "the drain took too long", "where": "switch", "todo": "try again",
        },
        "odd": "\\udcff",
        "nothing": None,
    }  # fmt: skip
    assert list(ledger.read()) == [entry]
    assert ledger.verify().whole
    assert datetime.fromisoformat(entry.at) <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (object(), "evidence data/x"),
        ({"deep": [1, float("nan")]}, "evidence data/x/deep/1"),
        (float("inf"), "evidence data/x"),
        ({(1, 2): 3}, "evidence data/x"),
        ({1: "a", "1": "b"}, "evidence data/x"),
        (Measured, "evidence data/x"),
    ],
)
def test_a_value_without_a_json_form_is_refused_with_its_place(
    ledger: Ledger, value: Any, where: str
) -> None:
    with pytest.raises(LedgerError) as caught:
        ledger.append("copy.chunk", x=value)
    assert caught.value.where == where
    assert not ledger.path.exists()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.text(min_size=1), values, max_size=4), min_size=1, max_size=4))
def test_whatever_goes_in_verifies_and_reads_back(
    tmp_path_factory: pytest.TempPathFactory, all_data: list[dict[str, Any]]
) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "ledger.jsonl")
    written = [ledger.append("copy.chunk", data=data) for data in all_data]
    assert ledger.verify().whole
    assert list(ledger.read()) == written


# --- secrets --------------------------------------------------------------------


secret_texts = st.text(st.characters(exclude_characters="*", exclude_categories=["Cs"]), min_size=2)


@given(secret_texts, values, st.text())
def test_no_secret_enters_the_ledger(
    tmp_path_factory: pytest.TempPathFactory, secret: str, value: Any, around: str
) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "ledger.jsonl", secrets=["", secret])
    entry = ledger.append(
        "check.finding",
        what=around + secret + around,
        deep=[{"url": f"postgresql://u:{secret}@h/d"}, {secret: value}],
        path=Path("/srv") / secret.replace("\0", ""),
        raw=(around + secret).encode(),
    )
    assert secret not in entry.data["what"]
    assert secret not in entry.data["path"].removeprefix("/srv/")
    assert secret not in next(iter(entry.data["deep"][0].values())).removeprefix(
        "postgresql://u:"
    ).removesuffix("@h/d")
    assert not any(secret in key for key in entry.data["deep"][1])
    assert secret.encode().hex() not in entry.data["raw"]
    assert ledger.verify().whole


def test_names_in_the_code_stay_when_a_weak_secret_is_among_them(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl", secrets=["rows"])
    entry = ledger.append(
        "copy.chunk", rows=1, chunk=Chunk(view=1, number=2, rows=3), tables={"rows": 1, "***": 2}
    )
    assert entry.data["rows"] == 1
    assert entry.data["chunk"]["rows"] == 3
    assert entry.data["tables"] == {"***": 1, "******": 2}


def test_fields_that_are_named_after_a_secret_are_masked_whatever_they_hold(ledger: Ledger) -> None:
    entry = ledger.append(
        "check.finding",
        password="a",
        db_password=["b"],
        store={"api_key": 3, "passwd": None, "password_age": 4},
    )
    assert entry.data == {
        "password": "***",
        "db_password": "***",
        "store": {"api_key": "***", "passwd": None, "password_age": 4},
    }


# --- once -------------------------------------------------------------------------


def test_an_entry_of_a_key_is_added_once_by_whoever_comes_first(ledger: Ledger) -> None:
    first = ledger.append_once("task.done", "run/1", exit=0)
    assert first is not None
    assert first.data == {"exit": 0, "key": "run/1"}
    assert ledger.append_once("task.done", "run/1", exit=1) is None
    assert Ledger(ledger.path).append_once("task.done", "run/1", exit=1) is None
    assert Ledger(ledger.path).lacking(["run/2", "run/1", "run/0"]) == ["run/2", "run/0"]
    assert ledger.append_once("task.done", "run/2") is not None
    assert [entry.data["key"] for entry in ledger.read()] == ["run/1", "run/2"]
    assert ledger.verify().whole


def test_a_key_that_another_process_added_meanwhile_is_found(ledger: Ledger) -> None:
    ledger.append_once("task.done", "run/1")
    other = Ledger(ledger.path)
    other.append("copy.chunk", rows=1)
    other.append_once("task.done", "run/2")
    assert ledger.append_once("task.done", "run/2") is None
    assert len(lines(ledger)) == 3


def test_only_what_was_added_is_read_again(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        ledger.append_once("task.done", f"run/{number}")
    parsed: list[bytes] = []
    real = ledger_module._entry
    monkeypatch.setattr(ledger_module, "_entry", lambda line: parsed.append(line) or real(line))
    ledger.append_once("task.done", "run/50")
    # the last entry, to go on from it, and as the one that was added since
    assert len(parsed) <= 3


def test_keys_are_read_again_when_the_file_is_another_one(ledger: Ledger) -> None:
    ledger.append_once("task.done", "run/1")
    ledger.path.rename(ledger.path.with_suffix(".old"))
    assert ledger.append_once("task.done", "run/1") is not None
    assert ledger.append_once("task.done", "run/1") is None


def test_a_key_in_which_something_is_masked_is_found_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl", secrets=["hunter2"])
    assert ledger.append_once("task.done", "run/hunter2") is not None
    assert ledger.append_once("task.done", "run/hunter2") is None
    assert ledger.lacking(["run/hunter2", "run/1"]) == ["run/1"]


def test_threads_that_add_the_same_keys_add_each_once(ledger: Ledger) -> None:
    ledgers = [ledger, ledger, Ledger(ledger.path), Ledger(ledger.path)]

    def add(one: Ledger) -> None:
        for number in range(20):
            one.append_once("task.done", f"run/{number}")

    threads = [threading.Thread(target=add, args=(one,)) for one in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(entry.data["key"] for entry in ledger.read()) == sorted(f"run/{n}" for n in range(20))
    assert ledger.verify().whole
