"""The generated documentation: that it is generated, complete, and says what the code says."""

from __future__ import annotations

import enum
import importlib.util
import inspect
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import pytest
import typer
from pydantic import BaseModel, Field

from crossfade import errors

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "generate_docs.py"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_docs", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- what is in the repository ----------------------------------------------------


def test_the_generated_files_are_those_that_the_code_gives() -> None:
    checked = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr


def test_every_verb_is_documented_with_what_it_prints_as_json() -> None:
    from crossfade.cli import app

    group: Any = typer.main.get_command(app)
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    sections = {part.split("\n", 1)[0]: part for part in page.split("\n## ")}
    names = [
        f"{name} {inner}" if inner else name
        for name, command in group.commands.items()
        for inner in getattr(command, "commands", [""])
    ]
    for name in names:
        section = sections[f"crossfade {name}"]
        assert "`--json`" in section, name
        assert "With `--json` it prints one object:" in section, f"{name}: its module has no JSON"


@pytest.mark.parametrize(
    "verb",
    [
        "init", "check", "backup", "copy", "follow", "verify", "shift", "cutover", "rollback", "complete",
        "status", "doctor",
    ],
)  # fmt: skip
def test_the_verbs_of_a_move_are_there(verb: str) -> None:
    assert f"\n## crossfade {verb}\n" in (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")


def test_every_error_is_documented() -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    names = [
        name for name, value in vars(errors).items() if inspect.isclass(value) and not name.startswith("_")
    ]
    names = [name for name in names if getattr(errors, name).__module__ == errors.__name__]
    assert len(names) > 10
    for name in names:
        assert f"- `{name}` (exit {getattr(errors, name).exit_code}): " in page


def test_the_published_schema_accepts_what_the_models_describe() -> None:
    schema = json.loads((ROOT / "schema" / "crossfade.schema.json").read_text(encoding="utf-8"))
    assert {"move", "old", "new"} <= set(schema["required"])
    assert schema["additionalProperties"] is False
    for name, described in schema["properties"].items():
        assert described.get("description"), f"{name} has no description"


# --- the generator ----------------------------------------------------------------


def test_check_names_the_files_that_are_stale_and_writes_nothing(
    generator: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {Path("docs/a.md"): "a\n", Path("docs/b.md"): "b\n"}
    monkeypatch.setattr(generator, "documents", lambda: made)
    assert generator.main(["--root", str(tmp_path)]) == 0
    assert generator.main(["--root", str(tmp_path), "--check"]) == 0

    (tmp_path / "docs/b.md").write_text("changed by hand\n")
    capsys.readouterr()
    assert generator.main(["--root", str(tmp_path), "--check"]) == 1
    said = capsys.readouterr().err
    assert "b.md is stale; what to do: make docs" in said
    assert "a.md" not in said
    assert (tmp_path / "docs/b.md").read_text() == "changed by hand\n"


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


JSON = {"rows": "how many | were copied"}


def test_a_verb_page_has_arguments_options_defaults_and_shape(generator: ModuleType) -> None:
    app = typer.Typer(help="Moves things.")

    @app.callback()
    def every(quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing.")] = False) -> None:
        pass

    @app.command()
    def paint(
        source: Annotated[str, typer.Argument(help="What to paint.")],
        to: Annotated[Path, typer.Argument(help="Where to.")] = Path("out"),
        colour: Annotated[Colour, typer.Option(help="Which | one.")] = Colour.BLUE,
        coats: Annotated[int, typer.Option(min=1, max=9, help="How many.")] = 2,
        tag: Annotated[list[str] | None, typer.Option(help="Labels.")] = None,
        limit: Annotated[float, typer.Option(help="Litres.")] = ...,  # type: ignore[assignment]
        secret: Annotated[bool, typer.Option(hidden=True)] = False,
    ) -> None:
        """Paint ``source``.

        Twice.
        """

    @app.command(hidden=True)
    def internal() -> None:
        pass

    page = generator.cli_page(app)
    assert "| [`crossfade paint`](#crossfade-paint) | Paint `source`. |" in page
    assert "crossfade paint [OPTIONS] SOURCE [TO]" in page
    assert "| `SOURCE` | text | required | What to paint. |" in page
    assert "| `TO` | path | `out` | Where to. |" in page
    assert "| `--colour` | `red` or `blue` | `blue` | Which \\| one. |" in page
    assert "| `--coats` | integer ≥ 1, ≤ 9 | `2` | How many. |" in page
    assert "| `--tag` | text, repeatable |  | Labels. |" in page
    assert "| `--limit` | number | required | Litres. |" in page
    assert "| `--quiet`, `-q` | flag |  | Say nothing. |" in page
    assert "| `rows` | how many \\| were copied |" in page
    assert "Twice." in page
    for code in range(4):
        assert f"| `{code}` | " in page
    for hidden in ("--secret", "internal", "--install-completion"):
        assert hidden not in page


class Inner(BaseModel):
    """A part."""

    colour: Colour = Field(default=Colour.RED, description="Its colour.")
    sizes: dict[str, int] = Field(default_factory=dict, description="By name.")


class Outer(BaseModel):
    """The whole."""

    name: str = Field(description="What it is called.", examples=["ann", ""])
    share: float = Field(default=0.5, ge=0, lt=1, description="Of all.")
    inner: Inner | None = Field(default_factory=Inner, description="Inside.")


def test_a_spec_page_has_types_defaults_bounds_and_examples(generator: ModuleType) -> None:
    page = generator.spec_page(Outer)
    assert '| `name` | text | required | What it is called. Example: `ann` or `""` |' in page
    assert "| `share` | number ≥ 0, < 1 | `0.5` | Of all. |" in page
    assert "| `inner` | [Inner](#inner) or `null` | its own defaults | Inside. |" in page
    assert "## Inner\n\nA part." in page
    assert "| `colour` | `red` or `blue` | `red` | Its colour. |" in page
    assert "| `sizes` | name → integer | `{}` | By name. |" in page
