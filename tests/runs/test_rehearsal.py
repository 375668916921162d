"""A rehearsal moves a copy for real, and leaves the real databases as they were."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from crossfade import spec as specs
from crossfade.move import Move
from crossfade.runs.rehearsal import rehearsal
from crossfade.stores.base import Side
from tests.e2e import scene as scenes


def digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@pytest.mark.timeout(150)
def test_a_whole_move_is_rehearsed_beside_the_real_one(tmp_path: Path, postgres_url: str) -> None:
    scene = scenes.build(tmp_path, postgres_url)
    try:
        real = specs.load(scene.spec)
        before = digest(scene.old_url.removeprefix("sqlite:///"))
        with rehearsal(scene.spec) as scratch:
            folder = scratch.folder
            rehearsed = specs.load(scratch.spec)
            for side in Side:
                assert rehearsed.side(side).store != real.side(side).store
            assert rehearsed.state != real.state
            with Move.open(scratch.spec) as move:
                assert sum(move.copy().rows.values()) == scene.seeded
                subprocess.run(
                    [sys.executable, "-m", "crossfade", "follow", "--detach", "--spec", str(scratch.spec)],
                    check=True,
                    capture_output=True,
                )
                lease = move.status().lease
                assert lease is not None
                move.verify()
                assert move.cutover().to is Side.NEW
        assert not folder.exists()
        assert not psutil.pid_exists(lease.pid)
        assert not [
            p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or [])
        ]
        assert digest(scene.old_url.removeprefix("sqlite:///")) == before
        with psycopg.connect(scene.new_url) as connection:
            assert connection.execute("SELECT count(*) FROM notes").fetchone() == (0,)
            assert connection.execute("SELECT to_regnamespace('crossfade')").fetchone() == (None,)
        assert os.path.lexists(tmp_path / ".crossfade") is False or scene.leader() is None
    finally:
        scene.close()


@pytest.mark.timeout(150)
def test_a_move_that_has_begun_is_rehearsed_from_its_start(tmp_path: Path, postgres_url: str) -> None:
    scene = scenes.build(tmp_path, postgres_url)
    try:
        with scene.move() as move:
            move.copy()
            epoch = move.standing().epoch
        with rehearsal(scene.spec) as scratch, Move.open(scratch.spec) as move:
            assert move.standing().leader is None
        with scene.move() as move:
            assert move.standing().leader is Side.OLD
            assert move.standing().epoch == epoch
    finally:
        scene.close()


PLAN = """# Notes

**Task 1: Copy**
- **Run**: `crossfade copy`
- **Gate**: `copy.rejected == 0`

**Task 2: Follow**
- **Run**: `crossfade follow --detach`
- **Gate**: `lag < 5.0`
- **Dependencies**: Task 1
- **Undo**: `touch {touched} && crossfade follow --stop`

**Task 3: Tell everybody**
- **Run**: `touch {touched}`
- **Dependencies**: Task 2

**Task 4: Cut over**
- **Approve**: 2 of ops
- **Run**: `crossfade verify && crossfade cutover`
- **Gate**: `new.requests > 100`
- **Dependencies**: Task 3

**Task 4.1: See where it is**
- **Run**: `case "$CROSSFADE_STATE" in *crossfade-rehearsal-*) ;; *) exit 9 ;; esac`
- **Rehearse**: yes
- **Dependencies**: Task 4

**Task 5: Stay**
- **Run**: `crossfade complete; touch {touched}`
- **Dependencies**: Task 4
"""


@pytest.mark.timeout(150)
def test_a_plan_is_rehearsed_by_the_verb_and_the_schedule_reckons_with_it(
    tmp_path: Path, postgres_url: str
) -> None:
    scene = scenes.build(tmp_path, postgres_url, settings="approval: {groups: {ops: [ann, ben]}}")
    touched = tmp_path / "touched"
    plan = tmp_path / "PLAN.md"
    plan.write_text(PLAN.format(touched=touched))

    def crossfade(*words: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "crossfade", *words, "--json"],
            cwd=scenes.ROOT,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"CROSSFADE_STATE": f"sqlite:///{tmp_path}/real.sqlite"},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    try:
        text = plan.read_bytes()
        before = digest(scene.old_url.removeprefix("sqlite:///"))
        told = crossfade("run", str(plan), "--rehearse", "--spec", str(scene.spec))
        assert (told["mode"], told["outcome"]) == ("rehearsal", "done")
        assert set(told["tasks"].values()) == {"done"}
        assert [one.partition(":")[0] for one in told["left_out"]] == ["2", "3", "4", "5"]
        assert not touched.exists()
        assert plan.read_bytes() == text
        assert scene.leader() is None
        assert digest(scene.old_url.removeprefix("sqlite:///")) == before
        rows = crossfade("plan", "schedule", str(plan), "--durations", told["durations"])["activities"]
        hours = {row["id"]: row["hours"] for row in rows}
        assert 0 < hours["1"] < 0.02
        assert hours["1"] != hours["5"]
    finally:
        scene.close()
