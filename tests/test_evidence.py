"""The evidence is checked and handed over; what is not whole is neither."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crossfade import evidence
from crossfade.cli import GROUPS, app
from crossfade.errors import EvidenceBroken, LedgerError, UsageError
from crossfade.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "state" / "ledger.jsonl"
    book = Ledger(path, move="m")
    book.append("verify.done", rows=3, differences=0)
    book.append("run.started", plan="a | b")
    output = path.parent / "runs" / "r1" / "28.1.out"
    output.parent.mkdir(parents=True)
    output.write_text("copied 3 rows\n")
    return path


def test_an_export_can_be_checked_without_crossfade(ledger: Path, tmp_path: Path) -> None:
    done = evidence.export(ledger, tmp_path / "e.zip")
    assert done.entries == 2
    with zipfile.ZipFile(tmp_path / "e.zip") as archive:
        archive.extractall(tmp_path / "out")
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=tmp_path / "out",
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr
    assert sorted(line.split("  ")[1] for line in (tmp_path / "out/SHA256SUMS").read_text().splitlines()) == [
        "evidence.md",
        "ledger.jsonl",
        "runs/r1/28.1.out",
    ]
    assert (tmp_path / "out/ledger.jsonl").read_bytes() == ledger.read_bytes()
    assert Ledger(tmp_path / "out/ledger.jsonl").verify().head == done.head
    assert "a \\| b" in (tmp_path / "out/evidence.md").read_text()


def test_an_entry_that_is_being_written_stays_behind(ledger: Path, tmp_path: Path) -> None:
    whole = ledger.read_bytes()
    ledger.write_bytes(whole + b'{"at":')
    with pytest.raises(EvidenceBroken, match="torn"):
        evidence.export(ledger, tmp_path / "e.zip")


@pytest.mark.parametrize("harm", ["altered", "removed", "swapped"])
def test_what_was_changed_is_named_and_not_exported(ledger: Path, tmp_path: Path, harm: str) -> None:
    Ledger(ledger, move="m").append("run.done")
    one, two, three = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(
        {
            "altered": one + two.replace(b"a | b", b"a | c") + three,
            "removed": one + three,
            "swapped": two + one + three,
        }[harm]
    )
    with pytest.raises(EvidenceBroken) as refused:
        evidence.export(ledger, tmp_path / "e.zip")
    assert refused.value.where == f"{ledger}:{1 if harm == 'swapped' else 2}"
    assert not (tmp_path / "e.zip").exists()


def test_entries_cut_off_the_end_show_by_a_hash_that_was_kept(ledger: Path) -> None:
    kept = evidence.demand_whole(ledger).head
    assert evidence.demand_whole(ledger, head=kept).head == kept
    ledger.write_bytes(ledger.read_bytes().splitlines(keepends=True)[0])
    assert evidence.demand_whole(ledger).whole
    with pytest.raises(EvidenceBroken, match=kept):
        evidence.demand_whole(ledger, head=kept)


def test_nothing_is_overwritten_and_no_ledger_is_said(ledger: Path, tmp_path: Path) -> None:
    (tmp_path / "e.zip").write_text("mine")
    with pytest.raises(UsageError, match="there already"):
        evidence.export(ledger, tmp_path / "e.zip")
    assert (tmp_path / "e.zip").read_text() == "mine"
    with pytest.raises(LedgerError, match="no ledger"):
        evidence.demand_whole(tmp_path / "none.jsonl")
    with pytest.raises(LedgerError, match="cannot be written"):
        evidence.export(ledger, tmp_path / "none" / "e.zip")


def test_the_verbs_print_their_documented_shape(ledger: Path, tmp_path: Path) -> None:
    for name, arguments in {"verify": [], "export": [str(tmp_path / "e.zip")]}.items():
        done = CliRunner().invoke(app, ["evidence", name, *arguments, "--ledger", str(ledger), "--json"])
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout).keys() == GROUPS["evidence"].VERBS[name].JSON.keys()
    ledger.write_bytes(ledger.read_bytes().replace(b'"rows":3', b'"rows":4'))
    done = CliRunner().invoke(app, ["evidence", "verify", "--ledger", str(ledger)])
    assert done.exit_code == 1
    assert "does not match its hash" in done.output
