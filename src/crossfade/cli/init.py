"""``crossfade init``: write a first spec."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossfade.cli.console import DEFAULT_SPEC, JsonOption, SpecOption, emit, failing

JSON = {"spec": "the file that was written"}

TEMPLATE = """\
# Every setting is in docs/spec.md; editors complete it with schema/crossfade.schema.json of the project.
# ${{VARIABLES}} come from the environment.
move: {move}

old:
  store: {old}
  app: http://127.0.0.1:5000          # where the application answers today
  health: /

new:
  store: {new}
  app: http://127.0.0.1:8000
  health: /

router:
  kind: caddy
  listen: 127.0.0.1:8080              # clients connect here from now on

# Paths whose GET requests write nothing: not held in a switch, and shifted by `crossfade shift`.
read_only_paths: []

hold_budget: 2s
lag_limit: 5s
"""


def run(
    old: Annotated[str, typer.Option(help="Address of today's database.")] = "sqlite:///app.db",
    new: Annotated[
        str, typer.Option(help="Address of its new home.")
    ] = "postgresql://app:${APP_PASSWORD}@127.0.0.1:5432/app",
    move: Annotated[str, typer.Option(help="The move's name.")] = "my-move",
    spec: SpecOption = DEFAULT_SPEC,
    as_json: JsonOption = False,
) -> None:
    """Write a first crossfade.yaml, to be edited.

    A file that is there already is left alone.
    """
    with failing(as_json):
        _write(spec, TEMPLATE.format(move=move, old=old, new=new))
        emit({"spec": str(spec)}, as_json, lambda: f"wrote {spec}; edit it, then run `crossfade check`")


def _write(path: Path, text: str) -> None:
    from crossfade.errors import UsageError

    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(
            "is there already", where=str(path), todo="edit it, or choose another name"
        ) from None
