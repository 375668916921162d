"""A report as headings, sentences and tables: what both writers put on paper, so that they say the same."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from crossfade.plans.report import (
    GroupLine,
    LoadLine,
    MetricLine,
    Outcome,
    Report,
    SlipLine,
    State,
    SwitchLine,
)
from crossfade.plans.report_tables import (
    Cell,
    Code,
    Column,
    Mark,
    Section,
    Share,
    Table,
    count,
    day,
    duration,
    moment,
    number,
    rate,
    short,
    table_of,
)
from crossfade.plans.traffic import Bucket
from crossfade.plans.truth import percent


def sections(report: Report) -> list[Section]:
    """The report's sections in order; those about something that the plan does not have are left out."""
    return [section for make in _ORDER for section in make(report)]


def headline(report: Report) -> list[tuple[str, str, str]]:
    """What to know first: a figure, what it counts, and its tone."""
    progress = report.progress
    waiting = sum(one.state is State.WAITING for one in report.in_progress)
    failed = sum(one.state is State.FAILED for one in report.in_progress)
    found = [
        (f"{percent(progress.done)} %", f"done, {progress.done_tasks} of {progress.tasks} tasks", "good")
    ]
    if progress.claimed:
        found.append((f"{percent(progress.claimed)} %", "claimed, with no evidence", "warning"))
    if report.slipped:
        found.append((str(len(report.slipped)), "slipped", "bad"))
    if failed:
        found.append((str(failed), "failed", "bad"))
    if waiting:
        found.append((str(waiting), "waiting", "warning"))
    if report.end is not None:
        late = report.due is not None and report.end.date() > report.due
        due = f", due {day(report.due)}" if report.due else ""
        found.append((day(report.end), f"expected end{due}", "bad" if late else "neutral"))
    return found


_TONES = {
    State.DONE: "good",
    State.CLAIMED: "warning",
    State.WAITING: "warning",
    State.FAILED: "bad",
    State.BLOCKED: "bad",
}
_OUTCOMES = {Outcome.MET: "good", Outcome.NOT_MET: "bad", Outcome.UNKNOWN: "neutral"}

# --- the sections -----------------------------------------------------------


def _progress(report: Report) -> Iterator[Section]:
    def rows(lines: Sequence[GroupLine], what: str) -> Table:
        return table_of(
            lines,
            (what, lambda one: one.title),
            ("Progress", lambda one: Share(one.progress.done, one.progress.claimed)),
            (count("Tasks"), lambda one: str(one.progress.tasks)),
            (count("Done"), lambda one: str(one.progress.done_tasks)),
            (
                count("Claimed"),
                lambda one: str(one.progress.claimed_tasks) if one.progress.claimed_tasks else "",
            ),
            (count("Hours"), lambda one: number(one.progress.hours) if one.progress.hours else ""),
            (count("Slipped"), lambda one: Mark(str(one.slipped), "bad") if one.slipped else ""),
            (short("Ends"), lambda one: day(one.end)),
            indents=tuple(line.depth for line in lines),
        )

    yield Section(
        "progress",
        "Progress",
        rows(report.phases, "Phase"),
        text="Done means: there is evidence. Claimed means: the document says so, and there is none. "
        "Shares are by hours of work.",
        empty="The plan has no tasks.",
    )
    if report.workstreams:
        yield Section("workstreams", "By workstream", rows(report.workstreams, "Workstream"), level=3)


def _done(report: Report) -> Iterator[Section]:
    since = f"since {moment(report.since)}" if report.since else "so far"
    yield Section(
        "done",
        f"Done {since}",
        table_of(
            report.done,
            ("Task", lambda one: one.name),
            ("Phase", lambda one: one.phase),
            ("Owner", lambda one: one.owner),
            (short("When"), lambda one: moment(one.proof.at) if one.proof else ""),
            (
                count("Took"),
                lambda one: (
                    duration(one.proof.seconds) if one.proof and one.proof.seconds is not None else ""
                ),
            ),
            (short("By"), lambda one: one.proof.by if one.proof else ""),
            ("Approved by", lambda one: ", ".join(one.proof.approved_by) if one.proof else ""),
            ("Evidence", lambda one: f"no. {one.proof.entry}, {one.proof.hash[:12]}" if one.proof else ""),
        ),
        empty=f"Nothing was done {since}.",
    )
    if report.undone:
        yield Section(
            "undone",
            "No longer done",
            table_of(
                report.undone,
                ("Task", lambda one: one.name),
                (short("When"), lambda one: moment(one.proof.at) if one.proof else ""),
                ("Why", lambda one: one.note),
            ),
            level=3,
        )


def _under_way(report: Report) -> Iterator[Section]:
    yield Section(
        "under-way",
        "In progress",
        table_of(
            report.in_progress,
            ("Task", lambda one: one.name),
            (short("Status"), lambda one: Mark(str(one.state), _TONES.get(one.state, "neutral"))),
            ("Phase", lambda one: one.phase),
            ("Owner", lambda one: one.owner),
            (short("Since"), lambda one: moment(one.proof.at) if one.proof else ""),
            (short("Due"), lambda one: day(one.due)),
            ("Note", lambda one: one.note),
        ),
        empty="Nothing is in progress.",
    )
    yield Section(
        "next",
        "Next seven days",
        table_of(
            report.next,
            ("Task", lambda one: one.name),
            ("Phase", lambda one: one.phase),
            ("Owner", lambda one: one.owner),
            (short("Starts"), lambda one: day(one.start)),
            (short("Due"), lambda one: day(one.due)),
            (count("Hours"), lambda one: number(one.hours)),
            (short("Flag"), lambda one: Mark("critical", "warning") if one.critical else ""),
            ("State", lambda one: one.note),
        ),
        empty="Nothing is planned to begin within seven days.",
    )


def _slipped(report: Report) -> Iterator[Section]:
    def since(one: SlipLine) -> str:
        return duration(one.late.total_seconds())

    yield Section(
        "slipped",
        "Slipped",
        table_of(
            report.slipped,
            ("Task", lambda one: one.name),
            (short("Status"), lambda one: Mark(str(one.state), _TONES.get(one.state, "neutral"))),
            ("Phase", lambda one: one.phase),
            ("Owner", lambda one: one.owner),
            (short("Due"), lambda one: day(one.due)),
            (count("Late by"), since),
            (short("Against"), lambda one: one.basis),
            (short("Expected"), lambda one: day(one.expected)),
            (short("Flag"), lambda one: Mark("critical", "warning") if one.critical else ""),
        ),
        empty="Nothing slipped.",
    )
    if report.claimed:
        yield Section(
            "claimed",
            "Claimed without evidence",
            table_of(
                report.claimed,
                ("Task", lambda one: one.name),
                ("Phase", lambda one: one.phase),
                ("Owner", lambda one: one.owner),
                (count("Hours"), lambda one: number(one.hours)),
            ),
            text="The document says that these are done. Nothing in the evidence shows it.",
        )


def _decisions(report: Report) -> Iterator[Section]:
    if report.decisions:
        yield Section(
            "decisions",
            "Decisions due",
            table_of(
                report.decisions,
                ("Decision", lambda one: one.title),
                ("Owner", lambda one: one.owner),
                (short("Due"), lambda one: day(one.due) or one.text),
                (short("Flag"), lambda one: Mark("overdue", "bad") if one.overdue else ""),
            ),
        )
    if report.milestones:
        yield Section(
            "milestones",
            "Milestones",
            table_of(
                report.milestones,
                ("Milestone", lambda one: one.title),
                (short("When"), lambda one: day(one.at) or one.text),
                (short("Stated"), lambda one: one.status.value.replace("_", " ")),
                (short("Flag"), lambda one: Mark("late", "bad") if one.late else ""),
            ),
        )


def _risks(report: Report) -> Iterator[Section]:
    if report.risks:
        yield Section(
            "risks",
            "Risks",
            table_of(
                report.risks,
                ("Risk", lambda one: one.title),
                ("Probability", lambda one: one.probability),
                ("Impact", lambda one: one.impact),
                (count("Score"), lambda one: _score(one.score, closed=one.closed)),
                ("Mitigation", lambda one: one.mitigation),
                ("Owner", lambda one: one.owner),
                ("Status", lambda one: one.status),
            ),
            text="The score is probability times impact, each from 1 to 5.",
        )


def _score(score: float | None, *, closed: bool) -> Cell:
    if score is None:
        return ""
    tone = "neutral" if closed or score < 9 else "bad" if score >= 15 else "warning"
    return Mark(number(score), tone)


def _metrics(report: Report) -> Iterator[Section]:
    def origin(one: MetricLine) -> str:
        return f"measured: {one.measure}" if one.measured else "stated" if one.current else ""

    if report.metrics:
        yield Section(
            "metrics",
            "Metrics against targets",
            table_of(
                report.metrics,
                ("Metric", lambda one: one.name),
                (count("Current"), lambda one: one.current),
                (count("Target"), lambda one: one.target),
                (short("Result"), lambda one: Mark(str(one.outcome), _OUTCOMES[one.outcome])),
                ("Source", origin),
                ("Owner", lambda one: one.owner),
                ("Note", lambda one: one.why),
            ),
        )


def _gates(report: Report) -> Iterator[Section]:
    if report.gates:
        yield Section(
            "gates",
            "Gates",
            table_of(
                report.gates,
                ("Gate", lambda one: Code(one.text) if one.kind == "task" else one.text),
                ("Kind", lambda one: one.kind),
                ("Of", lambda one: one.belongs),
                (short("Result"), lambda one: _passed(one.passed, claimed=one.claimed)),
                (short("When"), lambda one: moment(one.proof.at) if one.proof else ""),
                ("Note", lambda one: one.note),
            ),
        )


def _passed(passed: bool | None, *, claimed: bool) -> Cell:
    if passed is not None:
        return Mark("passed", "good") if passed else Mark("closed", "bad")
    return Mark("claimed", "warning") if claimed else "not judged"


def _loads(report: Report) -> Iterator[Section]:
    def peak(one: LoadLine) -> Cell:
        text = f"{number(one.peak)} h of {number(one.capacity)}, week of {day(one.peak_week)}"
        return Mark(text, "bad") if one.overloaded else text

    if report.loads:
        yield Section(
            "load",
            "Load by owner",
            table_of(
                report.loads,
                ("Owner", lambda one: one.owner or "nobody"),
                (count("Open tasks"), lambda one: str(one.tasks)),
                (count("Hours left"), lambda one: number(one.hours)),
                ("Busiest week", peak),
                (count("Weeks overloaded"), lambda one: str(one.overloaded) if one.overloaded else ""),
            ),
        )


def _switches(report: Report) -> Iterator[Section]:
    def result(one: SwitchLine) -> Cell:
        return Mark("aborted", "bad") if one.aborted else Mark(f"{one.to} leads", "good")

    def note(one: SwitchLine) -> str:
        cut = f"{one.cut_off} requests were cut off" if one.cut_off else ""
        return "; ".join(text for text in (one.why, one.aborted, cut, one.maybe_lost) if text)

    if report.switches:
        yield Section(
            "switches",
            "Switches",
            table_of(
                report.switches,
                (short("When"), lambda one: moment(one.at)),
                ("What", lambda one: one.verb or f"to {one.to}"),
                (short("Outcome"), result),
                (count("Epoch"), lambda one: str(one.epoch) if one.epoch is not None else ""),
                (count("Held"), lambda one: duration(one.hold_ms / 1000) if one.hold_ms is not None else ""),
                ("Note", note),
                ("Evidence", lambda one: f"no. {one.entry}"),
            ),
        )


def _traffic(report: Report) -> Iterator[Section]:
    if not report.traffic and not report.lag:
        return
    lines = [_summed("old", report.traffic), _summed("new", report.traffic)] if report.traffic else []
    text = ""
    if report.traffic:
        last = report.traffic[-1]
        until = last.at + datetime.timedelta(seconds=last.seconds)
        text = f"From {moment(report.traffic[0].at)} to {moment(until)}. "
    if report.lag:
        worst = max(report.lag, key=lambda one: one.seconds)
        latest = report.lag[-1]
        text += f"The follower was {duration(latest.seconds)} behind at {moment(latest.at)}"
        most = f", and {duration(worst.seconds)} at most ({moment(worst.at)})" if len(report.lag) > 1 else ""
        text += f"{most}."
    yield Section(
        "traffic", "Traffic and lag", table_of(lines, *_TRAFFIC) if lines else None, text=text.strip()
    )


@dataclass(frozen=True, slots=True)
class _Summed:
    side: str
    requests: int
    per_second: float
    errors: int
    p95: float | None


def _summed(side: str, buckets: Sequence[Bucket]) -> _Summed:
    parts = [getattr(bucket, side) for bucket in buckets]
    requests = sum(part.requests for part in parts)
    return _Summed(
        side=side,
        requests=requests,
        per_second=max((part.per_second for part in parts), default=0.0),
        errors=sum(part.errors for part in parts),
        p95=max((part.p95 for part in parts if part.p95 is not None), default=None),
    )


_TRAFFIC: tuple[tuple[str | Column, Callable[[_Summed], Cell]], ...] = (
    ("Side", lambda one: one.side),
    (count("Requests"), lambda one: number(one.requests)),
    (count("Peak per second"), lambda one: number(one.per_second)),
    (count("Errors"), lambda one: Mark(number(one.errors), "warning" if one.errors else "good")),
    (count("Error rate"), lambda one: rate(one.errors / one.requests) if one.requests else ""),
    (count("Worst p95"), lambda one: f"{number(one.p95)} ms" if one.p95 is not None else ""),
)


def closing(report: Report) -> list[str]:
    """The last sentences: what the check found, and what the report rests on."""
    found = list(report.notes)
    told = [_some(number, level) for level, number in report.problems.items() if number]
    if report.notices:
        told.append(f"{_some(report.notices, 'notice')} about text that was hard to read")
    if told:
        found.append(f"The check of the plan found {' and '.join(told)}; “crossfade plan lint” lists them.")
    if report.evidence.entries:
        found.append(
            f"This report rests on evidence up to entry {report.evidence.entries}, "
            f"whose hash is {report.evidence.head}."
        )
    else:
        found.append("There is no evidence yet.")
    return found


def _some(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}s"


_ORDER = (
    *(_progress, _slipped, _under_way, _done, _decisions, _risks, _metrics, _gates),
    *(_loads, _switches, _traffic),
)
