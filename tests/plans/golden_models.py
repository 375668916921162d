"""The models of the golden plans; ``python -m tests.plans.golden_models`` writes them anew."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from crossfade.plans.model import Plan
from crossfade.plans.reading import parse_plan

GOLDEN = Path(__file__).parent / "golden"


@cache
def plan_of(name: str) -> Plan:
    """The plan of that name; its file is named without the folder."""
    return parse_plan((GOLDEN / f"{name}.md").read_bytes(), f"{name}.md")


def as_json(plan: Plan) -> str:
    """The model as it is committed: without defaults, a line for each task or entry."""
    whole = plan.model_dump(mode="json", exclude_defaults=True)
    parts = []
    for name, value in whole.items():
        if name == "phases":
            phases = []
            for phase in value:
                tasks = phase.pop("tasks", [])
                phases.append(f'{_line(phase)[:-1]}, "tasks": {_lines(tasks, "   ")}}}')
            parts.append(f'"{name}": [\n  ' + ",\n  ".join(phases) + "\n ]")
        elif isinstance(value, list):
            parts.append(f'"{name}": {_lines(value, "  ")}')
        else:
            parts.append(f'"{name}": {_line(value)}')
    return "{\n " + ",\n ".join(parts) + "\n}\n"


def _lines(values: list[object], indent: str) -> str:
    if not values:
        return "[]"
    return f"[\n{indent}" + f",\n{indent}".join(_line(one) for one in values) + f"\n{indent[:-1]}]"


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    for document in sorted(GOLDEN.glob("*.md")):
        document.with_suffix(".json").write_text(as_json(plan_of(document.stem)), encoding="utf-8")
