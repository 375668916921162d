"""The command line as its users see it: exit codes, messages, and the documented ``--json`` shapes."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from crossfade.cli import VERBS, app
from crossfade.cli import follow as follow_verb
from crossfade.following import Follower

runner = CliRunner()


@pytest.fixture(autouse=True)
def _as_polite_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process cannot take its politeness back, so the tests' process keeps its own."""
    monkeypatch.setattr("os.nice", lambda _step: 0)


@pytest.fixture
def spec(tmp_path: Path, postgres_url: str) -> Path:
    database = tmp_path / "app.db"
    with sqlite3.connect(database) as db:
        db.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
        db.executemany("INSERT INTO notes(text) VALUES (?)", [(f"note {n}",) for n in range(50)])
    db.close()
    path = tmp_path / "crossfade.yaml"
    path.write_text(
        f"move: cli\nold: {{store: 'sqlite:///{database}'}}\nnew: {{store: '{postgres_url}'}}\nguard: null\n"
    )
    return path


def run(spec: Path, *arguments: str) -> Result:
    return runner.invoke(app, [*arguments, "--spec", str(spec)])


def answer(spec: Path, *arguments: str) -> dict[str, Any]:
    """The JSON answer of a verb that says yes; its keys are those that are documented."""
    result = run(spec, *arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    assert found.keys() == VERBS[arguments[0]].JSON.keys()  # type: ignore[attr-defined]  # modules and packages, each with ``JSON``
    return found


def test_a_move_there_and_back_by_the_command_line(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert answer(spec, "status")["phase"] == "planned"
    assert answer(spec, "check")["ok"]
    assert answer(spec, "backup")["rows"] == {"notes": 50}
    assert answer(spec, "copy")["total"] == 50
    assert answer(spec, "verify")["rows"] == 50

    def one_pass(self: Follower) -> Any:
        with self.move.following() as (_, passes, _standing):
            self.result.keys = passes.run().keys
            self.result.passes = 1
        return self.result

    monkeypatch.setattr(follow_verb.signal, "signal", lambda *_: None)
    monkeypatch.setattr(Follower, "run", one_pass)
    assert answer(spec, "follow")["passes"] == 1
    assert answer(spec, "status")["phase"] == "verified"
    assert answer(spec, "cutover")["to"] == "new"
    assert answer(spec, "status")["leader"] == "new"
    assert answer(spec, "rollback", "--reason", "a test")["to"] == "old"
    assert answer(spec, "cutover")["epoch"] == 3
    assert answer(spec, "complete") == {"completed": True}
    assert answer(spec, "status")["phase"] == "complete"
    assert answer(spec, "doctor")["healthy"]


def test_every_text_answer_is_readable(spec: Path) -> None:
    for verb, says in (
        ("status", "planned"),
        ("check", "0 errors"),
        ("backup", "restored and compared"),
        ("copy", "copied 50 rows"),
        ("verify", "equal: 50 rows, 100 cells, 0 differences"),
        ("cutover", "the new side leads (epoch 1)"),
        ("rollback", "the old side leads (epoch 2)"),
        ("status", "leader    old, epoch 2"),
    ):
        result = run(spec, verb)
        assert result.exit_code == 0, result.output
        assert says in result.output


def test_init_writes_a_spec_that_is_valid_and_leaves_one_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_PASSWORD", "geheim")
    path = tmp_path / "crossfade.yaml"
    assert answer(path, "init") == {"spec": str(path)}
    from crossfade.spec import load

    assert load(path).move == "my-move"
    again = run(path, "init")
    assert again.exit_code == 2
    assert "is there already" in again.stderr


def test_a_verb_out_of_turn_is_refused_with_exit_1(spec: Path) -> None:
    for verb in ("cutover", "rollback", "verify", "complete", "follow"):
        result = run(spec, verb)
        assert result.exit_code == 1, verb
        assert "run `crossfade copy` first" in result.stderr
    run(spec, "copy")
    unverified = run(spec, "cutover", "--json")
    assert unverified.exit_code == 1
    assert json.loads(unverified.stdout)["todo"] == "run `crossfade verify`"


def test_wrong_use_is_exit_2_and_a_missing_database_exit_3(spec: Path, tmp_path: Path) -> None:
    assert run(tmp_path / "nothing.yaml", "check").exit_code == 2
    assert run(spec, "shift", "140%").exit_code == 2
    assert runner.invoke(app, ["copy", "sqlite:///a.db"]).exit_code == 2
    assert runner.invoke(app, ["copy", "oracle://x", "sqlite:///a.db"]).exit_code == 2
    assert run(spec, "no-such-verb").exit_code == 2
    (tmp_path / "app.db").rename(tmp_path / "away.db")
    gone = run(spec, "check")
    assert gone.exit_code == 3
    assert not (tmp_path / "app.db").exists(), "looking must not create a database"


def test_the_password_is_never_printed(tmp_path: Path) -> None:
    spec = tmp_path / "crossfade.yaml"
    spec.write_text(
        f"move: a\nold: {{store: 'sqlite:///{tmp_path}/a.db'}}\n"
        "new: {store: 'postgresql://me:geheim@127.0.0.1:1/x'}\n"
    )
    sqlite3.connect(tmp_path / "a.db").close()
    for verb in ("check", "status", "copy", "doctor"):
        for extra in ([], ["--json"]):
            result = run(spec, verb, *extra)
            assert "geheim" not in result.output + result.stderr
    for file in (tmp_path / ".crossfade").rglob("*"):
        assert file.is_dir() or b"geheim" not in file.read_bytes()


def test_a_plain_copy_and_its_verification_need_no_spec(tmp_path: Path, postgres_url: str) -> None:
    source = tmp_path / "plain.db"
    with sqlite3.connect(source) as db:
        db.execute("CREATE TABLE a (id INTEGER PRIMARY KEY, x REAL, UNIQUE (x))")
        db.execute("CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a(id))")
        db.executemany("INSERT INTO a VALUES (?, ?)", [(n, n / 3) for n in range(1000)])
        db.executemany("INSERT INTO b VALUES (?, ?)", [(n, n) for n in range(1000)])
    db.close()
    url = f"sqlite:///{source}"
    before = source.read_bytes()
    copied = runner.invoke(app, ["copy", url, postgres_url, "--json"])
    assert copied.exit_code == 0, copied.output
    assert json.loads(copied.stdout)["total"] == 2000
    verified = runner.invoke(app, ["verify", url, postgres_url])
    assert verified.exit_code == 0, verified.output
    assert source.read_bytes() == before, "the source is only read"

    import psycopg

    with psycopg.connect(postgres_url) as new:
        assert new.execute(
            "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated"
        ).fetchone() == (1,)
        assert new.execute("SELECT to_regnamespace('crossfade')").fetchone() == (None,), (
            "nothing of ours stays"
        )
        new.execute("UPDATE a SET x = -x WHERE id = 7")
        new.execute("DELETE FROM b WHERE id = 9")
    differing = runner.invoke(app, ["verify", url, postgres_url])
    assert differing.exit_code == 1
    assert "2 rows differ" in differing.stderr
    assert re.search(r"a key 7 column x: 2\.33\d* ≠ -2\.33", differing.stderr)
    assert "b key 9" in differing.stderr
    again = runner.invoke(app, ["copy", url, postgres_url])
    assert again.exit_code == 1
    assert "holds 1000 rows already" in again.stderr


def test_help_needs_no_heavy_library() -> None:
    code = "import sys, crossfade.cli; print([m for m in ('pyarrow', 'psycopg', 'httpx', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
