"""``crossfade.yaml``: what a team writes to describe its move.

The models here are the source of three things: validation, ``docs/spec.md`` and the published JSON
Schema.  A wrong spec gets a ``SpecError`` that names the path, the value and what would be right.
"""

from __future__ import annotations

import difflib
import enum
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SecretStr,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from crossfade.errors import SpecError
from crossfade.masking import mask
from crossfade.stores.base import Side
from crossfade.types import StoredAs

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(value: object) -> object:
    """``"500ms"``, ``"2s"``, ``"5m"``, ``"24h"``, ``"7d"`` or a number of seconds."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)?\s*", value)
        if match is None:
            raise ValueError('should be a duration such as "500ms", "2s", "5m" or "24h"')
        return float(match[1]) * _UNITS[match[2] or "s"]
    return value


Seconds = Annotated[
    float,
    BeforeValidator(_seconds),
    Field(ge=0, allow_inf_nan=False),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(ms|s|m|min|h|d)?\s*$"},
            ]
        }
    ),
]
"""A duration: a number of seconds, or text with a unit."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=False)


class SideSpec(_Model):
    """One side of the move: a store and, when traffic moves too, an app."""

    store: SecretStr = Field(
        description="Address of the database: `sqlite:///path/to/file.db` (relative to the spec's folder, "
        "or absolute with four slashes) or `postgresql://user:${PASSWORD}@host:5432/name`. "
        "Never printed, logged or stored with its password.",
        examples=["sqlite:///app.db", "postgresql://app:${APP_PASSWORD}@db.internal/app"],
    )
    app: str | None = Field(
        default=None,
        description="Base URL of the application on this side, without a path. Needed as soon as there is a "
        "`router`.",
        examples=["http://127.0.0.1:5000"],
    )
    health: str = Field(
        default="/",
        description="Path on this side's app that answers 2xx or 3xx when the app can serve; asked before a "
        "switch makes this side lead.",
        examples=["/api/health"],
    )

    @field_validator("app")
    @classmethod
    def _app_is_a_base_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError("should be a base URL such as http://127.0.0.1:5000")
        return value.rstrip("/")

    @field_validator("health")
    @classmethod
    def _health_is_a_path(cls, value: str) -> str:
        if not value.startswith("/"):
            raise ValueError('should be a path that starts with "/"')
        return value

    @field_validator("store")
    @classmethod
    def _store_is_known(cls, value: SecretStr) -> SecretStr:
        scheme = value.get_secret_value().partition(":")[0]
        if scheme not in ("sqlite", "postgresql", "postgres"):
            raise ValueError("should begin with sqlite:/// or postgresql://")
        return value


class RouterSpec(_Model):
    """What stands before both apps."""

    kind: Literal["caddy"] = Field(default="caddy", description="The router's kind.")
    listen: str = Field(
        description="Where clients connect: `host:port` or `:port`.",
        examples=["127.0.0.1:8080", ":443"],
    )
    admin: str | None = Field(
        default=None,
        description="Admin address of a Caddy that already runs. Without it Crossfade starts and supervises "
        "its own.",
        examples=["http://127.0.0.1:2019"],
    )


class OnUnrepresentable(enum.StrEnum):
    """What happens to a row with a value that the other side cannot hold exactly."""

    STOP = "stop"
    REJECT = "reject"


_STORED_AS = {"type": "string", "enum": [form.value for form in StoredAs]}


class ColumnRule(_Model):
    """How one column is mapped."""

    rename: str | None = Field(default=None, description="Its name on the new side.", examples=["created_at"])
    type: str | None = Field(
        default=None,
        description="Its type on the new side, where Crossfade creates the table: boolean, smallint, integer, "
        "bigint, float, decimal, decimal(p,s), text, bytes, date, time, timestamp, instant, uuid, json, jsonb.",
        examples=["timestamp", "decimal(12,2)"],
    )
    stored_as: Annotated[
        tuple[StoredAs, ...], WithJsonSchema({"anyOf": [_STORED_AS, {"type": "array", "items": _STORED_AS}]})
    ] = Field(
        default=(),
        description="Every form in which the SQLite side holds this column; the first is the one written on "
        "the way back. `iso` is text, `epoch_s`, `epoch_ms` and `epoch_us` are integers, `julian` is a real "
        "number; booleans are `0/1`, `t/f` or `true/false`. A value in any other form stops the move.",
        examples=[["iso", "epoch_ms"]],
    )
    exclude: bool = Field(default=False, description="Do not move this column.")

    @field_validator("stored_as", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


class TableRule(_Model):
    """How one table is mapped."""

    rename: str | None = Field(default=None, description="Its name on the new side.", examples=["games"])
    columns: dict[str, ColumnRule] = Field(
        default_factory=dict, description="Rules by the column's name on the old side."
    )
    allow_no_key: bool = Field(
        default=False,
        description="Switch although this table has no key. It is copied once and not followed: changes made "
        "to it afterwards are not moved, in either direction.",
    )
    on_unrepresentable: OnUnrepresentable | None = Field(
        default=None, description="This table's own choice instead of the move's."
    )


class Tables(_Model):
    """Which tables move, and how. Everything by default."""

    include: tuple[str, ...] = Field(
        default=("*",),
        description="Names or shell patterns of tables on the old side.",
        examples=[["game_*"]],
    )
    exclude: tuple[str, ...] = Field(
        default=(), description="Names or shell patterns that stay behind.", examples=[["cache_*"]]
    )
    rules: dict[str, TableRule] = Field(
        default_factory=dict, description="Rules by the table's name on the old side."
    )


class GuardSpec(_Model):
    """When `follow` rolls back by itself after a cutover."""

    error_rate: float | None = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Share of 5xx answers above which a window is a breach. `null` switches it off.",
        examples=[0.05],
    )
    p95: Seconds | None = Field(
        default=None,
        description="A window is a breach when more than 5 % of its requests take longer than this.",
        examples=["500ms"],
    )
    window: Seconds = Field(default=5.0, gt=0, description="Length of one window; windows do not overlap.")
    min_samples: int = Field(default=50, ge=1, description="A window with fewer requests decides nothing.")
    consecutive: int = Field(default=3, ge=1, description="Breaches in a row that roll back.")

    @model_validator(mode="after")
    def _something_to_look_at(self) -> Self:
        if self.error_rate is None and self.p95 is None:
            raise ValueError("should have error_rate or p95; leave the whole guard out to have none")
        return self


class ApprovalSpec(_Model):
    """Who may let a plan's task go on."""

    groups: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="People by group, each by the name of their account on the machine where they approve. A "
        "task's `Approve: 2 of ops` needs two different people of the group `ops`.",
        examples=[{"ops": ["ann", "ben"]}],
    )
    allow_self: bool = Field(
        default=False, description="Whether the person who started a run may approve in it."
    )
    expires: Seconds = Field(
        default=7 * 86400.0,
        gt=0,
        description="How long a task waits for its approvals before it fails; a warning comes after four fifths "
        "of it. A task may say `within 3 days` itself.",
        examples=["7d"],
    )

    @field_validator("groups")
    @classmethod
    def _groups_have_people(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for name, people in value.items():
            if not people:
                raise ValueError(f"the group {name!r} should name at least one person")
        return value


class Spec(_Model):
    """One move."""

    move: str = Field(
        pattern=r"^[a-z][a-z0-9_-]{0,39}$",
        description="The move's name: it appears in both databases, in errors and in the evidence.",
        examples=["timeline"],
    )
    old: SideSpec = Field(description="Where the application lives today.")
    new: SideSpec = Field(description="Where it will live.")
    router: RouterSpec | None = Field(
        default=None, description="What stands before both apps. Leave it out to move data only."
    )
    tables: Tables = Field(default_factory=Tables, description="Which tables move, and how.")
    hold_budget: Seconds = Field(
        default=2.0,
        gt=0,
        le=60,
        description="Longest time a request may be held in a switch. Keep it under your clients' time-out.",
        examples=["2s"],
    )
    drain_budget: Seconds = Field(
        default=1.0,
        description="How long a switch waits for requests in flight. A cutover is aborted when it is over "
        "(unless `--cut-off`), a rollback fences anyway. It is part of the hold and should be smaller than "
        "`hold_budget`.",
        examples=["1s"],
    )
    lag_limit: Seconds = Field(
        default=5.0,
        gt=0,
        description="A follower further behind than this takes no shifted reads and refuses a switch.",
        examples=["5s"],
    )
    verify_max_age: Seconds = Field(
        default=86400.0,
        gt=0,
        description="A switch demands a full verification younger than this.",
        examples=["24h"],
    )
    read_only_paths: tuple[str, ...] = Field(
        default=(),
        description="Paths whose GET and HEAD requests write nothing. Only these are let through in a hold, "
        "and only these are shifted.",
        examples=[["/api/events*", "/api/leaderboard"]],
    )
    on_unrepresentable: OnUnrepresentable = Field(
        default=OnUnrepresentable.STOP,
        description="`stop` at a value that the other side cannot hold exactly, or `reject`: write its row to "
        "`rejects.jsonl` in the state folder, count it, and go on.",
    )
    guard: GuardSpec | None = Field(
        default_factory=GuardSpec, description="When to roll back by itself. `null` switches it off."
    )
    chunk_rows: int = Field(
        default=100_000,
        ge=100,
        description="Rows of one chunk of the copy; a killed copy repeats at most one "
        "unfinished chunk per worker.",
    )
    workers: int = Field(
        default=2, ge=1, le=64, description="Chunks that are copied or verified side by side."
    )
    state: Path = Field(
        default=Path(".crossfade"),
        description="Folder for evidence, router files, backups and runs of plans, relative to the spec. The truth "
        "about who leads is in the databases, not here. A `postgresql://` address keeps the runs of plans in that "
        "database instead, for a team and for several workers; the folder is then `.crossfade`.",
        examples=[".crossfade", "postgresql://crossfade:${STATE_PASSWORD}@db.internal/crossfade"],
    )
    approval: ApprovalSpec = Field(
        default_factory=ApprovalSpec, description="Who approves tasks of a plan that wait for people."
    )
    notify: tuple[SecretStr, ...] = Field(
        default=(),
        description="Where to say that a gate waits, a task failed, the lead changed hands or a run ended: "
        "addresses as Apprise takes them (e-mail, Slack, webhook, …). Needs the extra `crossfade[notify]`.",
        examples=[["mailtos://user:${MAIL_PASSWORD}@example.org"]],
    )
    _database: SecretStr | None = PrivateAttr(default=None)

    @model_validator(mode="wrap")
    @classmethod
    def _state_may_be_a_database(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        state = data.get("state") if isinstance(data, dict) else None
        if not (isinstance(state, str) and state.startswith(("postgresql://", "postgres://"))):
            return handler(data)
        spec = handler({name: value for name, value in data.items() if name != "state"})
        spec._database = SecretStr(state)
        return spec

    @field_validator("read_only_paths")
    @classmethod
    def _paths(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for path in value:
            if not path.startswith("/"):
                raise ValueError(f'{path!r} should start with "/"')
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.drain_budget >= self.hold_budget:
            raise ValueError(
                f"drain_budget ({self.drain_budget:g}s) should be smaller than hold_budget ({self.hold_budget:g}s)"
            )
        if self.router is not None:
            for side in Side:
                if self.side(side).app is None:
                    raise ValueError(f"{side}.app should be given, because there is a router")
        if self.old.store.get_secret_value() == self.new.store.get_secret_value():
            raise ValueError("old.store and new.store should be two databases")
        return self

    def side(self, side: Side) -> SideSpec:
        """The spec of that side."""
        return self.old if side is Side.OLD else self.new

    @property
    def runs_database(self) -> SecretStr:
        """The address of the database in which runs of plans are kept."""
        return self._database or SecretStr(f"sqlite:///{(self.state / 'runs.sqlite').resolve()}")

    def rule(self, table: str) -> TableRule:
        """The rule of an old-side table; an empty one where there is none."""
        return self.tables.rules.get(table, _NO_RULE)


_NO_RULE = TableRule()
_VARIABLE = re.compile(r"\$(\$|\{([A-Za-z_][A-Za-z0-9_]*)\})")


def load(path: Path) -> Spec:
    """Read and validate a spec; relative paths in it become relative to its own folder.

    Raises ``SpecError`` with every problem found, each with its path.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError(
            "there is no such file", where=str(path), todo="run `crossfade init` to write one"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"cannot be read: {error}", where=str(path)) from None
    return parse(text, base=path.resolve().parent, where=str(path))


def parse(text: str, *, base: Path, where: str = "crossfade.yaml") -> Spec:
    """Validate the text of a spec; see ``load``."""
    from ruamel.yaml import YAML  # a plain copy has no file to read
    from ruamel.yaml.error import YAMLError

    try:
        document = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark is not None else where
        raise SpecError(f"is not YAML: {problem or error}", where=place, todo="correct that line") from None
    if not isinstance(document, dict):
        raise SpecError("should be a mapping with `move`, `old` and `new`", where=where)
    problems: list[str] = []
    document = _substitute(document, "", problems)
    if problems:
        raise SpecError(
            "\n".join(problems), where=where, todo="set the variable, or write $$ for a literal dollar sign"
        )
    try:
        spec = Spec.model_validate(document)
    except ValidationError as error:
        raise SpecError("\n".join(_explain(error)), where=where, todo="see docs/spec.md") from None
    return _anchored(spec, base)


def _substitute(value: Any, path: str, problems: list[str]) -> Any:
    if isinstance(value, dict):
        return {k: _substitute(v, f"{path}/{k}" if path else str(k), problems) for k, v in value.items()}
    if isinstance(value, list):
        return [_substitute(v, f"{path}/{i}", problems) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value

    def one(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        found = os.environ.get(match[2])
        if found is None:
            problems.append(f"{path}: the environment variable {match[2]} is not set")
            return ""
        return found

    return _VARIABLE.sub(one, value)


def _explain(error: ValidationError) -> list[str]:
    lines = []
    for item in error.errors(include_url=False):
        path = "/".join(str(part) for part in item["loc"]) or "(whole spec)"
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = f"is not a setting of Crossfade{_meant(str(item['loc'][-1]))}"
        shown = item.get("input")
        secret = (
            path.endswith("store")
            or path.startswith("notify")
            or isinstance(shown, (dict, list))
            or item["type"] == "missing"
        )
        # a misspelt `store` holds an address, too
        lines.append(f"{path}: {message}" if secret else f"{path}: {message} (got {mask(repr(shown))})")
    return lines


def _meant(name: str) -> str:
    """What somebody who wrote that may have meant."""
    schema = Spec.model_json_schema()
    places = dict(_settings(schema, schema, ""))
    if name in places:
        return f"; it belongs at `{places[name]}`"
    found = difflib.get_close_matches(name, places, 1, 0.7)
    return f"; did you mean `{found[0]}`?" if found else ""


def _settings(whole: dict[str, Any], part: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """The name and the path of every setting; of two of one name the outer one comes last."""
    part = whole["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
    for option in part.get("anyOf", ()):
        yield from _settings(whole, option, path)
    for name, inner in part.get("properties", {}).items():
        own = f"{path}/{name}" if path else name
        yield from _settings(whole, inner, own)
        yield name, own


def _anchored(spec: Spec, base: Path) -> Spec:
    """The spec with relative file names resolved against its own folder."""
    sides = {}
    for side in Side:
        url = spec.side(side).store.get_secret_value()
        if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
            file = base / url.removeprefix("sqlite:///")
            sides[side.value] = spec.side(side).model_copy(update={"store": SecretStr(f"sqlite:///{file}")})
    return spec.model_copy(update={**sides, "state": base / spec.state})
