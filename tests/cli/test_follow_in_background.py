"""A follower that outlives the command that started it, and is ended by another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e import scene as scenes
from tests.e2e.scene import Scene


def follow(scene: Scene, *options: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "crossfade", "follow", *options, "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"CROSSFADE_SPEC": str(scene.spec)},
    )
    return done.returncode, json.loads(done.stdout)


@pytest.mark.timeout(120)
def test_it_follows_until_it_is_told_to_end(tmp_path: Path, postgres_url: str) -> None:
    scene = scenes.build(tmp_path, postgres_url)
    pid = None
    try:
        with scene.move() as move:
            move.copy()
        code, answer = follow(scene, "--stop")
        assert (code, answer["what"]) == (1, "nobody follows")
        code, answer = follow(scene, "--detach")
        pid = answer["pid"]
        assert code == 0
        assert psutil.Process(pid).ppid() != os.getpid()
        assert scene.is_followed()
        assert follow(scene, "--detach") == (code, answer), "whoever follows already is as good"
        assert follow(scene, "--stop") == (0, answer)
        assert not psutil.pid_exists(pid)
        assert not scene.is_followed()
        assert "passes" in (tmp_path / ".crossfade" / "follow.log").read_text()
        code, answer = follow(scene, "--stop", "--detach")
        assert code == 2
    finally:
        if pid is not None and psutil.pid_exists(pid):
            psutil.Process(pid).kill()
        scene.close()


@pytest.mark.timeout(120)
def test_a_follower_that_cannot_begin_says_where_to_read_why(tmp_path: Path, postgres_url: str) -> None:
    scene = scenes.build(tmp_path, postgres_url)
    try:
        code, answer = follow(scene, "--detach")
        assert code == 3
        assert answer["what"] == "ended before it followed"
        assert "crossfade copy" in Path(answer["where"]).read_text()
    finally:
        scene.close()
