"""A worker as a process of its own: ``python -m tests.runs.play CONFIG`` works until its run has ended."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from crossfade.engine import Engine
from crossfade.ledger import Ledger
from crossfade.runs.order import RunInput


def play(config: dict[str, Any]) -> int:
    ledger = Ledger(Path(config["ledger"]), move=config.get("move", "")) if config.get("ledger") else None
    notices = Path(config["folder"]) / "notices.jsonl"

    def note(notice: Any) -> None:
        with notices.open("a") as file:
            file.write(json.dumps([notice.kind, notice.task, notice.text]) + "\n")

    engine = Engine(
        config["url"],
        folder=Path(config["folder"]),
        ledger=ledger,
        move=config.get("move", ""),
        cwd=Path(config["cwd"]),
        secrets=config.get("secrets", ()),
        measures=lambda: json.loads(Path(config["measures"]).read_text()) if config.get("measures") else {},
        notify=note,
        polling=config.get("polling", 0.05),
        grace=config.get("grace", 0.5),
    )
    with engine.work(config["name"]):
        print("working", flush=True)
        if config.get("start"):
            order = RunInput.model_validate(config["start"])
            if all(one.run != order.run for one in engine.runs()):
                engine.start(order)
        result = engine.wait(config["run"], timeout=config.get("timeout", 60.0))
    print(json.dumps(result.as_json()), flush=True)
    return 0


if __name__ == "__main__":
    Engine.end_process(play(json.loads(Path(sys.argv[1]).read_text())))
