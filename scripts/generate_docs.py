"""Writes what can be known from the code: ``docs/cli.md``, ``docs/spec.md``, ``docs/errors.md`` and the
JSON Schema of ``crossfade.yaml``.

    python scripts/generate_docs.py            write them
    python scripts/generate_docs.py --check    exit 1 and name those that are stale

A verb documents what it prints with ``--json`` in its own module, as ``JSON``: each field of the printed
object and what it says.
"""

from __future__ import annotations

import argparse
import enum
import importlib
import inspect
import json
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from crossfade import errors
from crossfade.errors import CrossfadeError

ROOT = Path(__file__).parents[1]
SCHEMA = Path("schema/crossfade.schema.json")

_GENERATED = "<!-- Generated from the code by `make docs`; change it there. -->"
_EXIT_CODES = {
    0: "done",
    1: "the move's answer is no (differences found, refused); nothing was left half-done",
    2: "wrong use: the command line or `crossfade.yaml`",
    3: "the environment: a database, the router, the disk",
}


def documents() -> dict[Path, str]:
    """Every generated file, relative to the repository, and its text."""
    # Imported by name, so that this module can be imported where only a part of the package is.
    app = importlib.import_module("crossfade.cli").app
    spec = importlib.import_module("crossfade.spec").Spec
    return {
        Path("docs/cli.md"): cli_page(app),
        Path("docs/spec.md"): spec_page(spec),
        Path("docs/errors.md"): errors_page(),
        SCHEMA: schema_file(spec),
    }


# --- the command line -----------------------------------------------------------


def cli_page(app: typer.Typer) -> str:
    """Each verb with its arguments, options, defaults and ``--json`` shape."""
    group: Any = typer.main.get_command(app)
    verbs = list(_verbs(group, "crossfade"))
    codes = [[f"`{code}`", meaning] for code, meaning in _EXIT_CODES.items()]
    parts = [
        _GENERATED,
        "# The command line",
        _text(group.help),
        _table(
            ["verb", "what it does"],
            [[f"[`{name}`](#{_anchor(name)})", _first(verb.help)] for name, verb in verbs],
        ),
        "## Exit codes",
        _table(["code", "meaning"], codes),
        'With `--json` an error is printed as `{"error", "what", "where", "todo"}`; '
        "[errors.md](errors.md) lists them.",
        _options(group, "Before the verb:"),
    ]
    for name, verb in verbs:
        parts += _verb(name, verb)
    return _page(parts)


def _verbs(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from _verbs(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


def _verb(name: str, verb: Any) -> list[str]:
    arguments = [parameter for parameter in verb.params if parameter.param_type_name == "argument"]
    words = [a.name.upper() if a.required else f"[{a.name.upper()}]" for a in arguments]
    parts = [f"## {name}", f"```\n{' '.join([name, '[OPTIONS]', *words])}\n```", _text(verb.help)]
    if arguments:
        hints = _hints(verb)
        rows = [[f"`{a.name.upper()}`", _type_of(a, hints), _default_of(a), _text(a.help)] for a in arguments]
        parts.append(_table(["argument", "type", "default", "meaning"], rows))
    parts.append(_options(verb, ""))
    shape: Mapping[str, str] | None = getattr(inspect.getmodule(inspect.unwrap(verb.callback)), "JSON", None)
    if shape is not None:
        rows = [[f"`{key}`", _text(meaning)] for key, meaning in shape.items()]
        parts += ["With `--json` it prints one object:", _table(["field", "meaning"], rows)]
    return parts


def _options(command: Any, introduction: str) -> str:
    hints = _hints(command)
    rows = []
    for option in command.params:
        # Completion belongs to the shell, not to any verb.
        if option.param_type_name != "option" or option.hidden or option.name not in hints:
            continue
        names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
        meaning = _text(option.help) + (f" Also from `{option.envvar}`." if option.envvar else "")
        rows.append([names, _type_of(option, hints), _default_of(option), meaning])
    if not rows:
        return ""
    return "\n\n".join(filter(None, [introduction, _table(["option", "type", "default", "meaning"], rows)]))


def _hints(command: Any) -> dict[str, Any]:
    return typing.get_type_hints(inspect.unwrap(command.callback)) if command.callback else {}


def _type_of(parameter: Any, hints: Mapping[str, Any]) -> str:
    text = _python_type(hints.get(parameter.name, str))
    least, most = getattr(parameter, "min", None), getattr(parameter, "max", None)
    bounds = [f"≥ {least}"] * (least is not None) + [f"≤ {most}"] * (most is not None)
    return " ".join([text, ", ".join(bounds)]).strip()


def _python_type(hint: Any) -> str:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_python_type(part) for part in inner if part is not types.NoneType)
    if origin in (list, tuple):
        return f"{_python_type(inner[0])}, repeatable"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return " or ".join(f"`{member.value}`" for member in hint)
    known = {bool: "flag", str: "text", int: "integer", float: "number", Path: "path"}
    return known.get(hint, getattr(hint, "__name__", str(hint)))


def _default_of(parameter: Any) -> str:
    if parameter.required:
        return "required"
    value = parameter.default
    if value in (None, False, "", ()) or callable(value):
        return ""
    return f"`{value.value if isinstance(value, enum.Enum) else value}`"


# --- crossfade.yaml ---------------------------------------------------------------


def spec_page(spec: type[BaseModel]) -> str:
    """Each model that ``crossfade.yaml`` is made of, with types, defaults, meanings and examples."""
    schema = spec.model_json_schema()
    models = {model.__name__: model for model in _models(spec, {})}
    parts = [
        _GENERATED,
        "# crossfade.yaml",
        "`${NAME}` is replaced from the environment, `$$` is a dollar sign. Durations are seconds or text "
        f"such as `500ms`, `2s`, `5m`, `24h`. Editors complete the file with [its JSON Schema](../{SCHEMA}):",
        f"```yaml\n# yaml-language-server: $schema={SCHEMA}\n```",
    ]
    for name, model in models.items():
        definition = schema if model is spec else schema["$defs"][name]
        parts.append("## The whole file" if model is spec else f"## {name}")
        parts.append(_text(inspect.getdoc(model)))
        parts.append(_table(["key", "type", "default", "meaning"], list(_fields(model, definition, schema))))
    return _page(parts)


def _models(model: type[BaseModel], seen: dict[type[BaseModel], None]) -> dict[type[BaseModel], None]:
    """The model and those it refers to, each once, in reading order."""
    if model not in seen:
        seen[model] = None
        for field in model.model_fields.values():
            for part in _parts(field.annotation):
                if isinstance(part, type) and issubclass(part, BaseModel):
                    _models(part, seen)
    return seen


def _parts(hint: Any) -> Iterator[Any]:
    yield hint
    for inner in typing.get_args(hint):
        yield from _parts(inner)


def _fields(
    model: type[BaseModel], definition: Mapping[str, Any], schema: Mapping[str, Any]
) -> Iterator[list[str]]:
    for name, field in model.model_fields.items():
        key = field.alias or name
        described = definition["properties"][key]
        meaning = _text(field.description)
        if field.examples:
            meaning += f" Example: {' or '.join(_code(example) for example in field.examples)}"
        yield [f"`{key}`", _schema_type(described, schema), _field_default(field, described), meaning]


def _field_default(field: Any, described: Mapping[str, Any]) -> str:
    if field.is_required():
        return "required"
    if "default" in described:
        value = described["default"]
        return f"`{value:g}s`" if isinstance(value, float) and _is_duration(described) else _code(value)
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "its own defaults"
    return "" if value is PydanticUndefined else _code(value)


def _schema_type(described: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """One field's type in words, from its JSON Schema."""
    if "$ref" in described:
        name = described["$ref"].rpartition("/")[2]
        target = schema["$defs"][name]
        return _schema_type(target, schema) if "enum" in target else f"[{name}](#{_anchor(name)})"
    if "anyOf" in described:
        if _is_duration(described):
            return "duration"
        return " or ".join(_schema_type(choice, schema) for choice in described["anyOf"])
    if "enum" in described:
        return " or ".join(_code(value) for value in described["enum"])
    if "const" in described:
        return _code(described["const"])
    kind = described.get("type", "any")
    if kind == "array":
        return f"list of {_schema_type(described.get('items', {}), schema)}"
    if kind == "object":
        inner = described.get("additionalProperties")
        return f"name → {_schema_type(inner, schema)}" if isinstance(inner, dict) else "mapping"
    words = {"string": "text", "boolean": "`true` or `false`", "null": "`null`"}
    pattern = f"matching `{described['pattern']}`" if "pattern" in described else ""
    return " ".join(filter(None, [words.get(kind, kind), _bounds(described), pattern]))


def _is_duration(described: Mapping[str, Any]) -> bool:
    """Whether it is a number of seconds, or text with a unit."""
    return any("(ms|s|m" in choice.get("pattern", "") for choice in described.get("anyOf", []))


def _bounds(described: Mapping[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return ", ".join(f"{sign} {described[name]:g}" for name, sign in signs.items() if name in described)


def schema_file(spec: type[BaseModel]) -> str:
    """The published JSON Schema."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | spec.model_json_schema()
    return json.dumps(schema | {"title": "crossfade.yaml"}, indent=2, ensure_ascii=False) + "\n"


# --- errors -----------------------------------------------------------------------


def errors_page() -> str:
    """The tree of errors with exit codes and meanings."""
    return _page(
        [
            _GENERATED,
            "# Errors",
            "Every error says what happened, where, and what to do. With `--json` each is an object with "
            "`error` (the name below), `what`, `where` and `todo`. Who handles a name handles those below it.",
            "\n".join(_branch(CrossfadeError, 0)),
            "## Exit codes",
            _table(["code", "meaning"], [[f"`{code}`", text] for code, text in _EXIT_CODES.items()]),
        ]
    )


def _branch(error: type[CrossfadeError], depth: int) -> Iterator[str]:
    yield f"{'  ' * depth}- `{error.__name__}` (exit {error.exit_code}): {_first(inspect.getdoc(error))}"
    for below in error.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from _branch(below, depth + 1)


# --- Markdown ---------------------------------------------------------------------


def _page(parts: list[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _text(text: str | None) -> str:
    """A docstring as Markdown: reStructuredText's double backquotes become single ones."""
    return inspect.cleandoc(text or "").replace("``", "`")


def _first(text: str | None) -> str:
    return " ".join(_text(text).split("\n\n")[0].split())


def _code(value: Any) -> str:
    return f"`{value if isinstance(value, str) and value else json.dumps(value, default=str)}`"


def _anchor(heading: str) -> str:
    return heading.lower().replace(" ", "-")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Generates the documentation that the code knows.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository")
    chosen = parser.parse_args(arguments)
    stale = [
        (chosen.root / path, text)
        for path, text in documents().items()
        if not (chosen.root / path).is_file() or (chosen.root / path).read_text(encoding="utf-8") != text
    ]
    for path, text in stale:
        if chosen.check:
            print(f"{path} is stale; what to do: make docs", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    return 1 if stale and chosen.check else 0


if __name__ == "__main__":
    sys.exit(main())
