"""`crossfade ui` as a command: what it needs, and what it says when it has not got it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crossfade.cli import app

runner = CliRunner()


def test_the_command_line_starts_without_the_page() -> None:
    code = "import sys, crossfade.cli; print([m for m in ('nicegui', 'fastapi', 'uvicorn', 'dbos') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_wrong_use_is_said_before_anything_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = tmp_path / "PLAN.md"
    plan.write_text("# A plan\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, told in (
            ([], "there is no such file"),
            ([str(tmp_path / "none.md")], "there is no such plan"),
            ([str(plan), "--spec", "none.yaml"], "there is no such file"),
            ([str(plan), "--token", "short"], "at least 12"),
            ([str(plan), "--token", f" ann ={'s' * 12}"], "no person's name"),
            ([str(plan), "--port", str(port)], "cannot listen"),
        ):
            found = runner.invoke(app, ["ui", *arguments, "--json"])
            assert found.exit_code == 2, (arguments, found.output)
            assert told in json.loads(found.stdout)["what"], arguments


def test_the_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = tmp_path / "PLAN.md"
    plan.write_text("# A plan\n")
    monkeypatch.chdir(tmp_path)
    for name in [one for one in sys.modules if one.startswith("crossfade.ui")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "nicegui", None)
    found = runner.invoke(app, ["ui", str(plan)])
    assert found.exit_code == 2
    assert "pip install 'crossfade[ui]'" in found.stderr
