"""The evidence of runs: once in the table, once in every ledger of the move, and what it proves."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from crossfade.errors import StoreError, StoreUnreachable, UsageError
from crossfade.ledger import Ledger
from crossfade.runs.database import Database
from crossfade.runs.evidence import Evidence, done_tasks
from crossfade.runs.order import Mode


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = (
        f"sqlite:///{tmp_path}/state.sqlite"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_url")
    )
    made = Database(url)
    assert not made.exists
    made.prepare()
    assert made.exists
    yield made
    made.close()


def test_an_entry_of_a_key_is_made_once(database: Database) -> None:
    evidence = Evidence(database, move="m", secrets=["hunter2"], by="here")
    assert evidence.record("r", "task.done", "r/1", {"said": ["hunter2"], "at": 3}) is True
    assert evidence.record("r", "task.done", "r/1", {"said": "else"}) is False
    [entry] = evidence.entries()
    assert (entry.event, entry.key, entry.run) == ("task.done", "r/1", "r")
    assert entry.data == {"said": ["***"], "at": 3, "run": "r", "by": "here"}
    assert Evidence(database, move="other").entries() == []


def test_every_ledger_of_a_move_gets_every_entry_once(database: Database, tmp_path: Path) -> None:
    ledgers = [Ledger(tmp_path / f"{name}.jsonl", move="m") for name in "ab"]
    here, there = (Evidence(database, move="m", ledger=ledger, by=str(n)) for n, ledger in enumerate(ledgers))
    for number in range(30):
        (here if number % 2 else there).record("r", "task.done", f"r/{number}", {"n": number})
        if number % 7 == 0:
            here.copy()
    Evidence(database, move="other", ledger=ledgers[0]).record("x", "task.done", "x/1", {})
    here.copy()
    assert there.copy() == 30
    assert here.copy() == there.copy() == 0
    # a process that starts anew finds them all there
    assert Evidence(database, move="m", ledger=Ledger(ledgers[0].path)).copy() == 0
    for ledger in ledgers:
        assert ledger.verify().whole
        entries = list(ledger.read())
        assert [entry.data["n"] for entry in entries] == list(range(30))
        assert {entry.data["by"] for entry in entries} == {"0", "1"}


def test_several_threads_record_and_copy_at_the_same_time(database: Database, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    evidence = Evidence(database, ledger=ledger)

    def work(start: int) -> None:
        for number in range(start, start + 20):
            evidence.record("r", "task.done", f"r/{number}", {"n": number})
            evidence.copy()

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 10, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(entry.data["n"] for entry in ledger.read()) == list(range(40))


def entry(event: str, task: str, **data: object) -> tuple[str, dict[str, object]]:
    return event, {"plan": "P", "mode": "live", "task": task, "run": "r", "digest": "d", **data}


def test_what_was_undone_later_is_not_done() -> None:
    entries = [
        entry("task.done", "1"),
        entry("task.done", "2", measured={"n": 1}),
        entry("task.undone", "1"),
        entry("task.failed", "3"),
    ]
    found = done_tasks(entries, "P")
    assert set(found) == {"2"}
    assert found["2"].result == {"n": 1}
    assert set(done_tasks([*entries, entry("task.done", "1")], "P")) == {"1", "2"}


def test_neither_a_rehearsal_nor_another_plan_proves_anything() -> None:
    entries = [entry("task.done", "1", mode="rehearsal"), entry("task.done", "2", plan="Q")]
    assert done_tasks(entries, "P") == {}
    assert set(done_tasks(entries, "P", Mode.REHEARSAL)) == {"1"}


# --- the database ---------------------------------------------------------------


def test_two_processes_may_make_the_tables_at_the_same_time(postgres_url: str, tmp_path: Path) -> None:
    for url in (postgres_url, f"sqlite:///{tmp_path}/new/state.sqlite"):
        databases = [Database(url) for _ in range(6)]
        troubles: list[BaseException] = []

        def prepare(database: Database, troubles: list[BaseException] = troubles) -> None:
            try:
                database.prepare()
            except BaseException as error:
                troubles.append(error)

        threads = [threading.Thread(target=prepare, args=(database,)) for database in databases]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not troubles
        for database in databases:
            database.close()


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    def work(transaction: object) -> None:
        transaction.run("INSERT INTO {meta} (name, value) VALUES ('x', 'y')")  # type: ignore[attr-defined]
        raise KeyError("half-way")

    with pytest.raises(KeyError):
        database.work(work)
    assert database.look(lambda t: t.run("SELECT value FROM {meta} WHERE name = 'x'")) == []
    with pytest.raises(StoreError):
        database.work(lambda t: t.run("SELECT nonsense FROM {meta}"))
    database.work(lambda t: t.run("INSERT INTO {meta} (name, value) VALUES ('x', 'y')"))
    assert database.look(lambda t: t.run("SELECT value FROM {meta} WHERE name = 'x'")) == [("y",)]


def test_a_database_that_does_not_answer_is_said_to_be_so(tmp_path: Path) -> None:
    database = Database("postgresql://u:hunter2@127.0.0.1:1/none", patience=0.2)
    with pytest.raises(StoreUnreachable) as caught:
        database.now()
    assert "hunter2" not in str(caught.value)
    database.close()


@pytest.mark.parametrize("url", ["mysql://h/d", "sqlite:///relative.db", "nonsense"])
def test_an_address_that_cannot_hold_runs_is_wrong_use(url: str) -> None:
    with pytest.raises(UsageError):
        Database(url)


def test_making_the_file_again_lets_no_lock_go(tmp_path: Path) -> None:
    """Closing any descriptor of an SQLite file lets go of the locks that this process holds through SQLite: the next
    one to close it then believes that it is alone, and takes the journal away under everybody's hands."""
    database = Database(f"sqlite:///{tmp_path}/state.sqlite")
    database.prepare()
    look = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
        "print(*[name for name, in c.execute('SELECT name FROM crossfade_meta ORDER BY name')])"
    )

    def seen_elsewhere() -> str:
        path = str(tmp_path / "state.sqlite")
        done = subprocess.run([sys.executable, "-c", look, path], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    statement = "INSERT INTO {meta} (name, value) VALUES (?, '')"
    for name in ("a", "b", "c"):
        Database(database.url).place()
        database.work(lambda t, name=name: t.run(statement, [name]))  # type: ignore[misc]
        seen_elsewhere()
    assert seen_elsewhere() == "a b c schema"
    database.close()
