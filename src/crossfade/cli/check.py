"""``crossfade check``: everything that can be known before anything is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from crossfade.cli.console import DEFAULT_SPEC, Console, JsonOption, SpecOption, emit, failing, politely

if TYPE_CHECKING:
    from crossfade.stores.base import Finding

JSON = {
    "ok": "true when no finding is an error",
    "findings": "list of {level: ok|warning|error, check, what, where, todo}",
}

_SIGN = {"ok": "ok     ", "warning": "WARNING", "error": "ERROR  "}


def run(spec: SpecOption = DEFAULT_SPEC, as_json: JsonOption = False) -> None:
    """Look at both sides before anything is changed: types and values, the mapping both ways, triggers, other writers, disk, clock, versions.

    Exit 1 when something would stop the move.
    """
    with failing(as_json):
        politely()
        from crossfade.move import Move

        with Move.open(spec, reporter=Console(quiet=as_json)) as move:
            findings = move.check()
        ok = not any(finding.level == "error" for finding in findings)
        emit({"ok": ok, "findings": findings}, as_json, lambda: _text(findings))
        if not ok:
            raise typer.Exit(1)


def _text(findings: list[Finding]) -> str:
    lines = []
    for finding in sorted(findings, key=lambda f: ("ok", "warning", "error").index(f.level)):
        lines.append(f"{_SIGN[finding.level]} {finding.where + ': ' if finding.where else ''}{finding.what}")
        if finding.todo and finding.level != "ok":
            lines.append(f"          {finding.todo}")
    errors = sum(finding.level == "error" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    lines.append(f"{errors} errors, {warnings} warnings" + ("" if errors else "; next: crossfade backup"))
    return "\n".join(lines)
