"""The spec: valid ones are understood, wrong ones get the path, the value and what would be right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crossfade.errors import SpecError
from crossfade.spec import OnUnrepresentable, Spec, load, parse
from crossfade.types import StoredAs

WHOLE = """
move: timeline
old:
  store: sqlite:///legacy.db
  app: http://127.0.0.1:5000
new:
  store: postgresql://app:${TEST_PASSWORD}@127.0.0.1/app
  app: http://127.0.0.1:8000/
router: {kind: caddy, listen: "127.0.0.1:8080"}
tables:
  exclude: [tmp_*]
  rules:
    events:
      rename: history
      on_unrepresentable: reject
      columns:
        ts: {rename: happened_at, stored_as: [iso, epoch_ms]}
hold_budget: 1500ms
drain_budget: 0.5
verify_max_age: 2h
read_only_paths: ["/api/events*"]
"""

MINIMAL = """
move: timeline
old: {store: "sqlite:///legacy.db"}
new: {store: "sqlite:///new.db"}
"""


@pytest.fixture
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_PASSWORD", "geheim")


@pytest.mark.usefixtures("_password")
def test_a_whole_spec_is_understood(tmp_path: Path) -> None:
    spec = parse(WHOLE, base=tmp_path)
    assert spec.hold_budget == 1.5
    assert spec.drain_budget == 0.5
    assert spec.verify_max_age == 7200
    assert spec.new.app == "http://127.0.0.1:8000"
    assert spec.rule("events").columns["ts"].stored_as == (StoredAs.ISO, StoredAs.EPOCH_MS)
    assert spec.rule("events").on_unrepresentable is OnUnrepresentable.REJECT
    assert spec.rule("anything else").columns == {}
    assert spec.old.store.get_secret_value() == f"sqlite:///{tmp_path}/legacy.db"
    assert spec.state == tmp_path / ".crossfade"


@pytest.mark.usefixtures("_password")
def test_the_password_is_in_no_text_form_of_the_spec(tmp_path: Path) -> None:
    spec = parse(WHOLE, base=tmp_path)
    assert spec.new.store.get_secret_value() == "postgresql://app:geheim@127.0.0.1/app"
    for text in (repr(spec), str(spec), spec.model_dump_json()):
        assert "geheim" not in text


def test_an_unset_variable_is_named_with_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_PASSWORD", raising=False)
    with pytest.raises(SpecError, match="new/store: the environment variable TEST_PASSWORD is not set"):
        parse(WHOLE, base=tmp_path)


@pytest.mark.usefixtures("_password")
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("move: timeline", "move: Time Line"), "move: "),
        (("hold_budget: 1500ms", "hold_budget: soon"), "hold_budget: should be a duration"),
        (("hold_budget: 1500ms", "hold_budget: 400ms"), "drain_budget"),
        (("listen:", "lisen:"), "router/lisen: is not a setting of Crossfade"),
        (("sqlite:///legacy.db", "oracle://x"), "old/store: should begin with sqlite:/// or postgresql://"),
        (("  app: http://127.0.0.1:5000\n", ""), "old.app should be given"),
        (('"/api/events*"', '"api"'), "read_only_paths: 'api' should start with"),
        (("[iso, epoch_ms]", "[iso, epoch]"), "tables/rules/events/columns/ts/stored_as/1"),
        (("http://127.0.0.1:8000/", "ftp://x/y"), "new/app: should be a base URL"),
        (("move: timeline", "mov: timeline"), "move: Field required"),
        (("move: timeline", "- a"), "is not YAML"),
        (("drain_budget: 0.5", "drain_budget: 0.5\ndrain_budget: 0.6"), "is not YAML"),
    ],
)
def test_a_wrong_setting_is_named_by_its_path(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    assert change[0] in WHOLE
    with pytest.raises(SpecError) as caught:
        parse(WHOLE.replace(*change), base=tmp_path)
    assert says in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="crossfade init"):
        load(tmp_path / "crossfade.yaml")


def test_a_dollar_sign_can_be_written(tmp_path: Path) -> None:
    text = "move: a\nold: {store: 'sqlite:////a$${B}.db'}\nnew: {store: 'sqlite:////b.db'}"
    assert parse(text, base=tmp_path).old.store.get_secret_value() == "sqlite:////a${B}.db"


def test_the_json_schema_accepts_durations_both_ways() -> None:
    schema = json.dumps(Spec.model_json_schema())
    assert "hold_budget" in schema
    assert "(ms|s|m|min|h|d)?" in schema


def test_runs_of_plans_are_kept_in_the_state_folder_or_in_a_database(tmp_path: Path) -> None:
    sides = "move: m\nold: {store: 'sqlite:///a.db'}\nnew: {store: 'sqlite:///b.db'}\n"
    spec = parse(sides, base=tmp_path)
    assert spec.runs_database.get_secret_value() == f"sqlite:///{tmp_path}/.crossfade/runs.sqlite"
    shared = parse(sides + "state: postgresql://u:hush@db/x", base=tmp_path)
    assert shared.runs_database.get_secret_value() == "postgresql://u:hush@db/x"
    assert shared.state == tmp_path / ".crossfade"
    assert "hush" not in repr(shared)
    assert "hush" not in str(shared.model_dump())


def test_a_group_without_people_and_a_secret_that_is_wrong_are_said_without_the_secret(
    tmp_path: Path,
) -> None:
    sides = "move: m\nold: {store: 'sqlite:///a.db'}\nnew: {store: 'sqlite:///b.db'}\n"
    with pytest.raises(SpecError, match="'ops' should name at least one person"):
        parse(sides + "approval: {groups: {ops: []}}", base=tmp_path)
    with pytest.raises(SpecError) as wrong:
        parse(sides + "notify: 12345", base=tmp_path)
    assert "notify" in str(wrong.value)
    assert "12345" not in str(wrong.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("rooter: {}", "rooter: is not a setting of Crossfade; did you mean `router`?"),
        ("hold_buget: 2s", "did you mean `hold_budget`?"),
        ("groups: {ops: [ann]}", "groups: is not a setting of Crossfade; it belongs at `approval/groups`"),
        ("zzz: 1", "zzz: is not a setting of Crossfade (got 1)"),
    ],
)
def test_a_misspelt_setting_is_told_what_it_may_mean(line: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(MINIMAL + line + "\n", base=Path())
    assert said in caught.value.what


def test_a_misspelt_store_does_not_show_its_password() -> None:
    with pytest.raises(SpecError) as caught:
        parse(MINIMAL + 'stor: "postgresql://u:geheim@h/a"\n', base=Path())
    assert "did you mean `store`" in caught.value.what
    assert "geheim" not in str(caught.value)


def test_what_is_not_yaml_is_said_with_its_line() -> None:
    with pytest.raises(SpecError) as caught:
        parse("move: [x\nold: : y\n", base=Path(), where="crossfade.yaml")
    assert caught.value.where == "crossfade.yaml:2:4"
    assert caught.value.todo
