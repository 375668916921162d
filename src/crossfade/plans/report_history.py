"""What the evidence tells of the past, for a report: switches, lag, and how gates were judged."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping

from crossfade.ledger import Entry
from crossfade.plans.report import LagPoint, SwitchLine
from crossfade.plans.truth import Proof, number_of, proof_of


def switches(entries: Iterable[Entry], zone: datetime.tzinfo | None) -> tuple[SwitchLine, ...]:
    """Every switch that was committed or aborted, in order."""
    found: list[SwitchLine] = []
    verb = why = ""
    for entry in entries:
        data = entry.data
        if entry.event == "switch.begun":
            verb, why = str(data.get("verb", "")), str(data.get("reason") or "")
        elif entry.event in ("switch.done", "switch.aborted"):
            found.append(
                SwitchLine(
                    at=proof_of(entry).at.astimezone(zone),
                    to=str(data.get("to", "")),
                    verb=verb,
                    why=why,
                    epoch=data["epoch"] if isinstance(data.get("epoch"), int) else None,
                    hold_ms=number_of(data.get("hold_ms")),
                    cut_off=int(number_of(data.get("cut_off")) or 0),
                    maybe_lost=str(data.get("maybe_lost") or ""),
                    aborted=str(data.get("why", "")) if entry.event == "switch.aborted" else "",
                    entry=entry.seq,
                )
            )
            verb = why = ""
    return tuple(found)


def lag_points(
    entries: Iterable[Entry], zone: datetime.tzinfo | None, *, now: datetime.datetime, current: object = None
) -> tuple[LagPoint, ...]:
    """Every lag that was put down, be it by itself or as what a gate saw, and the current one."""
    found: list[LagPoint] = []
    for entry in entries:
        seconds = number_of(entry.data.get("lag"))
        for name in ("seen", "measures"):
            inner = entry.data.get(name)
            if seconds is None and isinstance(inner, Mapping):
                seconds = number_of(inner.get("lag"))
        if seconds is not None:
            at = proof_of(entry).at.astimezone(zone)
            found.append(LagPoint(at=at, seconds=seconds))
    latest = number_of(current)
    if latest is not None:
        found.append(LagPoint(at=now, seconds=latest))
    return tuple(found)


def judgements(entries: Iterable[Entry], zone: datetime.tzinfo | None) -> dict[str, tuple[bool, str, Proof]]:
    """Of each task's gate, whether it was open when it was judged last, why, and where that stands."""
    found: dict[str, tuple[bool, str, Proof]] = {}
    for entry in entries:
        if entry.event == "gate.judged" and "task" in entry.data:
            proof = proof_of(entry)
            proof = proof.model_copy(update={"at": proof.at.astimezone(zone)})
            text = str(entry.data.get("text", ""))
            found[str(entry.data["task"])] = (bool(entry.data.get("passed")), text, proof)
    return found
