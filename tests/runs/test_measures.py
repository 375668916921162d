"""What a gate is told comes from the evidence, the databases and the router of a real move."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from crossfade.routers.base import SideStats
from crossfade.runs.gates import FIELDS, LIVE, judge
from crossfade.runs.measures import MoveMeasures, traffic_of
from crossfade.stores.base import Side
from tests.e2e import scene as scenes
from tests.e2e.scene import Clients, until


@pytest.mark.timeout(120)
def test_a_moves_measures_have_the_names_that_gates_know(tmp_path: Path, postgres_url: str) -> None:
    scene = scenes.build(tmp_path, postgres_url)
    try:
        with scene.move() as move:
            move.check()
            move.backup()
            move.copy()
            move.verify()
        measures = MoveMeasures(scene.spec)
        assert judge("verify.differences == 0 && check.errors == 0 && leader == 'old'", measures()).passed
        with scene.move() as move:
            move.cutover()
        clients = Clients(scene.port, threads=2)
        clients.begin()
        clients.more(20)
        clients.finish()
        until("the access log was written", lambda: measures()["new"]["requests"] >= 20)
        # from another thread than the first call
        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(measures).result()
        measures.close()
    finally:
        scene.close()
    assert judge("leader == 'new' && error_rate == 0.0 && p95 < 60000 && requests >= 20", found).passed
    assert found["old"].keys() <= found["new"].keys() == LIVE["new"].keys()
    assert found.keys() - FIELDS.keys() == LIVE.keys() - {"lag"}, "nobody follows"
    for verb in ("check", "backup", "copy", "verify", "switch"):
        assert found[verb].keys() == FIELDS[verb].keys(), verb
        for name, example in FIELDS[verb].items():
            assert type(found[verb][name]) is type(example), (verb, name)
    for name in LIVE.keys() - {"lag"}:
        assert type(found[name]) is type(LIVE[name]), name


def test_of_nothing_there_is_no_rate() -> None:
    assert traffic_of(SideStats(0, 0, ())) == {"requests": 0, "errors": 0}
    assert traffic_of(SideStats(4, 1, (0.1, 0.1, 0.1, 0.2)))["error_rate"] == 0.25
    assert traffic_of(SideStats(1, 0, (0.25,))) == {
        "requests": 1,
        "errors": 0,
        "error_rate": 0.0,
        "p50": 250.0,
        "p95": 250.0,
    }
    assert set(LIVE["old"]) == set(traffic_of(SideStats(1, 0, (0.25,))))
    assert {side.value for side in Side} <= LIVE.keys()
