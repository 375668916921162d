"""Commands: run at most once, ended when their time is over, masked in everything that is kept."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import sys
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.errors import Refused, UsageError
from crossfade.runs.attempts import STALE, Attempt, Attempts
from crossfade.runs.commands import Commands, Wanted, argv_of, folder_name, is_repeatable
from crossfade.runs.measurements import LARGEST, last_object
from crossfade.runs.results import Outcome, TaskStatus
from crossfade.runs.runner import Output
from tests.runs.scene import ANN, Scene, until

# --- what a command is ----------------------------------------------------------


def test_crossfade_is_the_one_that_runs_the_plan_and_the_rest_is_the_shells() -> None:
    assert argv_of("crossfade copy --spec 'a b.yaml'")[0] == [
        *(sys.executable, "-m", "crossfade", "copy", "--spec", "a b.yaml")
    ]
    assert argv_of("echo 1")[0] == ["/bin/sh", "-c", "echo 1"]
    # a shell's work, with this Crossfade first in its path
    argv, extra = argv_of("crossfade copy && crossfade verify")
    assert argv[0] == "/bin/sh"
    assert extra["PATH"].startswith(f"{Path(sys.executable).parent}{os.pathsep}")
    assert argv_of("crossfader copy")[0][0] == "/bin/sh"
    assert argv_of("crossfade 'unfinished")[0][0] == "/bin/sh"


@pytest.mark.parametrize(
    ("command", "repeatable"),
    [
        ("crossfade copy", True),
        ("crossfade verify --json", True),
        ("crossfade follow --detach", True),
        ("crossfade follow", False),
        ("crossfade copy sqlite:///a.db postgresql://h/d", False),
        ("crossfade cutover", False),
        ("crossfade rollback", False),
        ("crossfade complete", False),
        ("crossfade copy && rm -rf data", False),
        ("crossfade", False),
        ("./load-test.sh", False),
    ],
)
def test_what_may_be_repeated_although_its_outcome_is_unknown(command: str, repeatable: bool) -> None:
    assert is_repeatable(command) is repeatable


@settings(deadline=None)
@given(st.lists(st.text(min_size=1, max_size=80), min_size=2, max_size=2, unique=True))
def test_tasks_have_folders_of_their_own(names: list[str]) -> None:
    folders = [folder_name(name) for name in names]
    assert folders[0] != folders[1]
    assert all("/" not in one and one not in ("", ".", "..") and len(one) < 100 for one in folders)


# --- what it measured -----------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "found"),
    [
        ('{"n": 3}', {"n": 3}),
        ('some words\n{"n": 3}\n\n', {"n": 3}),
        ('{"first": 1}\n{"n": 3}', {"n": 3}),
        ('words\n{\n  "a": {\n"b": 1\n  },\n  "n": 3\n}\n', {"a": {"b": 1}, "n": 3}),
        ('words {"n": 3}', None),
        ('{"n": 3}\nwords', None),
        ("", None),
        ("}", None),
        ("[1]", None),
        ('{"n": NaN}', None),
        ("{" * 5000 + "}", None),
        ('{"n": "' + "x" * (LARGEST + 1) + '"}', None),
    ],
)
def test_the_json_object_at_the_end_of_an_output_is_its_measurement(output: str, found: object) -> None:
    assert last_object(output) == found


@settings(deadline=None)
@given(st.text(), st.dictionaries(st.text(max_size=5), st.integers()), st.booleans())
def test_an_object_is_found_behind_any_words(words: str, body: dict[str, int], indented: bool) -> None:
    text = f"{words}\n{json.dumps(body, indent=2 if indented else None)}"
    assert last_object(text) == body


# --- masking --------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["hunter2", "\n", "abc", "x" * 3000, "ü", "hunt", "er2 "]), max_size=80),
    st.integers(1, 7),
)
def test_no_secret_passes_however_the_output_is_cut(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str], size: int
) -> None:
    path = tmp_path_factory.mktemp("output") / "out"
    output = Output(path, ["hunter2"], 1 << 20)
    data = "".join(pieces).encode()
    step = size * 1000
    for at in range(0, len(data), step):
        output.feed(data[at : at + step])
    output.close()
    written = path.read_bytes()
    assert b"hunter2" not in written
    assert output.end.encode() == written
    if "hunter2" not in data.decode():
        assert written == data


def test_secrets_are_in_no_row_no_file_and_not_in_the_ledger(scene: Scene) -> None:
    secret = "s3cret-Pässword"
    scene.settings = {"secrets": [secret, "two\nlines-of-it"]}
    text = f"""# Secrets

**Task 1: Tell**
- **Run**: `echo {secret}; echo 'lines-of-it'; echo "postgresql://u:{secret}@h/d" >&2; echo '{{"pw": "{secret}"}}'; EFFECT`
- **Gate**: `result.pw != ""`

**Task 2: Fail**
- **Run**: `echo {secret} >&2; exit 1`
- **Dependencies**: Task 1
"""
    order = scene.make(text)
    scene.worker()
    result = scene.wait()
    assert result.tasks == {"1": TaskStatus.DONE, "2": TaskStatus.FAILED}
    assert secret not in result.reason
    kept = [*scene.folder.glob("state-w1/**/*"), scene.ledger.path, *scene.folder.glob("output-*")]
    for path in kept:
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
            assert b"lines-of-it" not in path.read_bytes(), path
    with sqlite3.connect(scene.folder / "state.sqlite") as rows:
        for table in ("crossfade_attempts", "crossfade_evidence", "operation_outputs", "workflow_output"):
            for row in rows.execute(f"SELECT * FROM {table}"):
                assert secret not in str(row), table
                assert json.dumps(secret)[1:-1] not in str(row), table
    rows.close()
    attempt = scene.desk.attempts.of_run(order.run)[0]
    assert attempt.result is not None
    assert "***" in attempt.result["stdout"]
    assert stat.S_IMODE(Path(attempt.result["files"][0]["path"]).stat().st_mode) == 0o600


# --- running --------------------------------------------------------------------


def test_a_command_is_told_its_run_its_task_and_a_key_of_its_own(scene: Scene) -> None:
    order = scene.make(
        "# P\n\n**Task 1: A**\n- **Run**: `echo $CROSSFADE_RUN $CROSSFADE_TASK $CROSSFADE_ATTEMPT_KEY > told`\n"
    )
    scene.worker()
    assert scene.wait().outcome is Outcome.DONE
    assert scene.lines("told") == [f"{order.run} 1 {order.run}/1/1/0"]


def test_the_evidence_of_a_task_has_what_ran_and_what_came_of_it(scene: Scene) -> None:
    text = """# P

**Task 1: Report**
- **Run**: `echo written > report.md; echo some words; echo '{"rows": 7}'`
- **Run again**: nothing
- **Deliverable**: `report.md`, `missing.md`
"""
    scene.run(text)
    [ran] = scene.evidence("command.finished")
    assert ran.data["exit"] == 0
    assert ran.data["command"].startswith("echo written")
    assert ran.data["stdout"] == 'some words\n{"rows": 7}\n'
    assert ran.data["measured"] == {"rows": 7}
    assert {Path(one["path"]).suffix for one in ran.data["files"]} == {".out", ".err"}
    [done] = scene.evidence("task.done")
    assert done.data["measured"] == {"rows": 7}
    assert [one["path"] for one in done.data["files"]] == ["report.md"]
    assert done.data["files"][0]["bytes"] == 8
    assert done.data["seconds"] >= 0
    [started] = scene.evidence("run.started")
    assert started.data["started_by"]["name"] == "starter"
    assert len(started.data["sha256"]) == 64


def test_a_failure_is_repeated_as_often_as_the_plan_says_from_the_command_that_failed(scene: Scene) -> None:
    text = """# P

**Task 1: Third time lucky**
- **Run**:
  - `EFFECT`
  - `echo x >> tries; [ $(wc -l < tries) -ge 3 ]`
- **Retry**: 2

**Task 2: Never**
- **Run**: `echo x >> never; echo that is why >&2; exit 7`
- **Retry**: 1
- **Dependencies**: Task 1
"""
    result = scene.run(text)
    assert result.tasks == {"1": TaskStatus.DONE, "2": TaskStatus.FAILED}
    assert scene.effects() == ["1"]
    assert len(scene.lines("tries")) == 3
    assert len(scene.lines("never")) == 2
    assert result.reason.endswith("ended with 7: that is why")
    assert scene.task("1").attempt == 3
    assert scene.task("2").exit == 7


def test_when_its_time_is_over_a_command_ends_with_its_children(scene: Scene) -> None:
    text = """# P

**Task 1: Slow**
- **Run**: `trap '' TERM; (trap '' TERM; echo $$ > inner; sleep 300) & sh -c 'echo $$ > child; exec sleep 300'; sleep 300`
- **Timeout**: 1 s
"""
    scene.settings = {"grace": 0.3}
    result = scene.run(text)
    assert result.outcome is Outcome.FAILED
    assert "took longer than 1 s" in result.reason
    [ran] = scene.evidence("command.finished")
    assert ran.data["timed_out"] is True
    assert ran.data["exit"] == 137
    child = int(scene.lines("child")[0])
    until(lambda: not psutil.pid_exists(child), "the child has ended")


def test_what_a_command_leaves_running_does_not_keep_the_task(scene: Scene) -> None:
    text = "# P\n\n**Task 1: Daemon**\n- **Run**: `sleep 300 & echo $! > daemon; EFFECT`\n"
    assert scene.run(text).outcome is Outcome.DONE
    daemon = int(scene.lines("daemon")[0])
    assert psutil.pid_exists(daemon)
    os.kill(daemon, signal.SIGKILL)


def test_a_command_that_cannot_be_found_fails_with_what_the_shell_says(scene: Scene) -> None:
    result = scene.run("# P\n\n**Task 1: A**\n- **Run**: `no-such-program --at all`\n")
    assert "ended with 127" in result.reason
    assert "not found" in result.reason


# --- whoever dies ---------------------------------------------------------------

LONG = """# Long

**Task 1: Long**
- **Run**: `EFFECT; while [ ! -e go ]; do sleep 0.02; done; echo end >> ends`
{more}
"""


def running(scene: Scene) -> psutil.Process:
    """The runner of the one command that is under way, once the command has begun."""
    until(lambda: scene.effects(), "the command runs")
    [attempt] = scene.desk.attempts.of_run(scene.run_id)
    assert attempt.pid is not None
    return psutil.Process(attempt.pid)


def kill_all(runner: psutil.Process) -> None:
    """The runner and its command, none of which may say anything any more."""
    commands = runner.children()
    runner.suspend()
    for command in commands:
        os.killpg(command.pid, signal.SIGKILL)
    runner.kill()
    psutil.wait_procs([runner, *commands], timeout=10)


def test_a_command_goes_on_while_its_worker_and_group_are_killed(scene: Scene) -> None:
    scene.make(LONG.format(more=""))
    first = scene.worker()
    running(scene)
    first.kill(group=True)
    until(lambda: not first.lives, "the worker is dead")
    (scene.folder / "go").touch()
    until(lambda: scene.lines("ends"), "the command ends all the same")
    scene.worker()
    result = scene.wait()
    assert result.outcome is Outcome.DONE
    assert scene.effects() == ["1"]
    assert scene.lines("ends") == ["end"]


def test_an_unknown_outcome_waits_for_a_person_who_says_done(scene: Scene) -> None:
    run = scene.make(LONG.format(more="")).run
    scene.worker()
    kill_all(running(scene))
    state = scene.until_task("1", TaskStatus.UNKNOWN)
    assert "while" in state.command
    assert scene.desk.state(run).waiting_for_people == (state,)
    assert "task.unknown" in scene.notices()
    with pytest.raises(UsageError):
        scene.desk.assume(run, "1", "maybe", ANN)
    assert scene.desk.assume(run, "1", "done", ANN, "I looked") is True
    result = scene.wait()
    assert result.outcome is Outcome.DONE
    assert scene.effects() == ["1"]
    [assumed] = scene.evidence("outcome.assumed")
    assert (assumed.data["person"]["name"], assumed.data["answer"]) == ("ann", "done")
    assert assumed.data["reason"] == "I looked"
    with pytest.raises(Refused):
        scene.desk.assume(run, "1", "done", ANN)


def test_an_unknown_outcome_waits_for_a_person_who_says_again(scene: Scene) -> None:
    run = scene.make(LONG.format(more="")).run
    first = scene.worker()
    runner = running(scene)
    first.kill(group=True)
    kill_all(runner)
    scene.worker()
    scene.until_task("1", TaskStatus.UNKNOWN)
    (scene.folder / "go").touch()
    scene.desk.assume(run, "1", "again", ANN)
    assert scene.wait().outcome is Outcome.DONE
    assert scene.effects() == ["1", "1"]
    assert scene.lines("ends") == ["end"]


def test_an_unknown_outcome_may_be_said_to_be_a_failure(scene: Scene) -> None:
    run = scene.make(LONG.format(more="")).run
    scene.worker()
    kill_all(running(scene))
    scene.until_task("1", TaskStatus.UNKNOWN)
    scene.desk.assume(run, "1", "failed", ANN)
    assert scene.wait().tasks == {"1": TaskStatus.FAILED}
    assert scene.effects() == ["1"]


def test_an_undo_whose_outcome_is_unknown_waits_for_a_person_too(scene: Scene) -> None:
    text = """# P

**Task 1: Done**
- **Run**: `true`
- **Undo**: `EFFECT; while [ ! -e go ]; do sleep 0.02; done; echo end >> ends`

**Task 2: Fails**
- **Run**: `false`
- **Dependencies**: Task 1
- **On failure**: undo
"""
    run = scene.make(text).run
    scene.worker()
    until(lambda: scene.effects(), "the undo runs")
    [attempt] = [one for one in scene.desk.attempts.of_run(run) if one.state == "claimed"]
    assert attempt.task == "1/undo"
    kill_all(psutil.Process(attempt.pid))
    scene.until_task("1", TaskStatus.UNKNOWN)
    scene.desk.assume(run, "1", "done", ANN)
    result = scene.wait()
    assert result.outcome is Outcome.UNDONE
    assert result.tasks["1"] is TaskStatus.UNDONE
    assert scene.effects() == ["1"]


def test_a_command_that_may_be_repeated_is_when_its_outcome_is_unknown(scene: Scene) -> None:
    scene.make(LONG.format(more="- **Retry**: 1"))
    scene.worker()
    kill_all(running(scene))
    (scene.folder / "go").touch()
    assert scene.wait().outcome is Outcome.DONE
    assert scene.effects() == ["1", "1"]
    assert scene.lines("ends") == ["end"]
    assert not scene.evidence("command.unknown")


def test_a_command_whose_runner_alone_was_killed_is_waited_for(scene: Scene) -> None:
    scene.make(LONG.format(more="- **Retry**: 1"))
    scene.worker()
    runner = running(scene)
    runner.kill()
    psutil.wait_procs([runner], timeout=10)
    [attempt] = scene.desk.attempts.of_run(scene.run_id)
    # its command runs still, so it is neither unknown nor begun again
    assert scene.desk.attempts.is_alive(attempt)
    assert scene.effects() == ["1"]
    (scene.folder / "go").touch()
    assert scene.wait().outcome is Outcome.DONE
    assert scene.effects() == ["1", "1"]


def test_a_result_that_the_runner_could_not_report_is_found(scene: Scene) -> None:
    """The database went away under the runner: its result stands in a file, and is taken from there."""
    order = scene.make(LONG.format(more=""))
    first = scene.worker()
    runner = running(scene)
    first.kill(group=True)
    until(lambda: not first.lives, "the worker is dead")
    # nobody can write while this transaction is open, so the runner cannot report
    with sqlite3.connect(scene.folder / "state.sqlite", isolation_level=None) as lock:
        lock.execute("BEGIN IMMEDIATE")
        (scene.folder / "go").touch()
        [attempt] = scene.desk.attempts.of_run(order.run)
        result = Path(attempt.folder or "") / "1-0.json"
        until(result.exists, "the runner has kept its result")
        kill_all(runner)
        lock.execute("ROLLBACK")
    lock.close()
    scene.worker()
    assert scene.wait().outcome is Outcome.DONE
    assert scene.effects() == ["1"]
    assert scene.lines("ends") == ["end"]


def test_two_runners_never_start_the_same_command(scene: Scene) -> None:
    scene.desk.prepare()
    first, second = (
        Commands(scene.desk.database, folder=scene.folder / name, cwd=scene.folder, polling=0.02)
        for name in ("a", "b")
    )
    wanted = Wanted("run", "1", 1, 0, "echo x >> effects.txt; sleep 0.2")
    key = first.attempts.ask("run", "1", 1, 0, command="x", sha256="", by="")
    runners = [one._launch(wanted, key) for one in (first, second, first)]
    codes = sorted(runner.wait(timeout=20) for runner in runners)
    for runner in runners:
        assert runner.stdout is not None
        runner.stdout.close()
    assert codes == [0, 3, 3]
    assert len(scene.lines("effects.txt")) == 1
    found = Attempts(scene.desk.database).get(key)
    assert found is not None
    assert found.state == "finished"


def test_a_runner_on_another_machine_lives_by_its_signs_of_life(scene: Scene) -> None:
    scene.desk.prepare()
    attempts = scene.desk.attempts
    key = attempts.ask("run", "1", 1, 0, command="x", sha256="", by="")
    lock = scene.folder / "lock"
    lock.touch()
    assert attempts.claim(key, "token", started=0.0, folder=str(scene.folder), lock=str(lock))
    assert not attempts.claim(key, "other", started=0.0, folder="", lock="")

    def change(what: str) -> Attempt:
        scene.desk.database.work(lambda t: t.run(f"UPDATE {{attempts}} SET {what}"))
        found = attempts.get(key)
        assert found is not None
        return found

    # here nobody holds its lock
    assert not attempts.is_alive(change("stop = 0"))
    assert attempts.is_alive(change("host = 'elsewhere'"))
    assert attempts.is_alive(change(f"heartbeat = heartbeat - {STALE - 5}"))
    stale = change("heartbeat = heartbeat - 10")
    assert not attempts.is_alive(stale)
    # it gives a sign of life just before it is doubted
    assert attempts.beat(key, "token") is False
    attempts.doubt(stale)
    assert change("stop = 0").state == "claimed"
    attempts.doubt(change(f"heartbeat = heartbeat - {STALE + 5}"))
    assert change("stop = 0").state == "unknown"
    # it was cut off, and has the last word all the same
    assert attempts.finish(key, "token", {"outcome": "done", "finished": 1.0})
    assert change("stop = 0").state == "finished"
    assert not attempts.finish(key, "other", {"outcome": "failed"})
    assert attempts.beat(key, "other") is True
