"""What is measured: the tables that are brought over, the traffic of both sides, the switches and the evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from crossfade.ui import charts
from crossfade.ui.charts import Line
from crossfade.ui.elements import Drawing, Listing, Prose, Tag, number
from crossfade.ui.snapshot import Bucket, EntryView, Snapshot, SwitchView, TableView, Traffic
from crossfade.ui.words import ago, clock, milliseconds, note, percent, rate, seconds, span


class Streams:
    """How far each table is, and how far the follower is behind."""

    def __init__(self) -> None:
        with Tag("section", "", "card", aria_label="Tables and lag") as self._section:
            Tag("h2", "Tables")
            self._note = Prose("p", "", "notice", role="status")
            with Tag("div", "", "lagging") as self._lagging:
                with Tag("div"):
                    Tag("div", "behind the leader", "soft small")
                    self._lag = Tag("div", "", "big")
                self._spark = Drawing()
            self._empty = Prose("p", "Nothing has been copied yet: `crossfade copy` begins.", "empty")
            with Tag("table") as self._table:
                with Tag("thead"), Tag("tr"):
                    Tag("th", "Table", scope="col")
                    Tag("th", "Copied", "wide", scope="col")
                    Tag("th", "Rows", "num", scope="col")
                    Tag("th", "Compared", "num", scope="col")
                self._rows = Listing("tbody", lambda _: _Table())

    def show(self, snapshot: Snapshot) -> None:
        self._section.show(snapshot.move is not None)
        if snapshot.move is None:
            return
        said = note(snapshot.copying, "The follower", snapshot.at)
        self._note.say(said)
        self._note.show(bool(said))
        tables = snapshot.copying.value.tables if snapshot.copying and snapshot.copying.value else ()
        evidence = snapshot.evidence.value if snapshot.evidence is not None else None
        verified = evidence.verified if evidence is not None else {}
        self._empty.show(not tables and not said)
        self._table.show(bool(tables))
        self._rows.fill([(one.name, (one, verified.get(one.name))) for one in tables])
        self._show_lag(snapshot)

    def _show_lag(self, snapshot: Snapshot) -> None:
        move = snapshot.move.value if snapshot.move is not None else None
        lags = [lag for _, lag in snapshot.lags]
        known = [lag for lag in lags if lag is not None]
        self._lagging.show(move is not None and bool(known) and move.phase != "complete")
        if move is None or not known:
            return
        self._lag.say(seconds(move.lag) if move.lag is not None else "nobody follows")
        label = f"Lag over the last {span(snapshot.at - snapshot.lags[0][0])}: at most {seconds(max(known))}"
        self._spark.draw(charts.sparkline(lags, label=label, limit=move.lag_limit, least=1.0))


class _Table:
    """One table."""

    def __init__(self) -> None:
        with Tag("tr"):
            self._name = Tag("th", scope="row")
            with (
                Tag("td", "", "wide"),
                Tag(
                    "div", "", "bar", role="progressbar", aria_valuemin="0", aria_valuemax="100"
                ) as self._bar,
            ):
                self._done = Tag("span")
            self._rows = Tag("td", "", "num")
            self._verified = Tag("td", "", "num")

    def show(self, value: tuple[TableView, int | None]) -> None:
        table, verified = value
        self._name.say(table.name)
        self._bar.set("aria-label", f"{table.name} copied")
        self._bar.set("aria-valuemax", "100")
        self._bar.set("aria-valuenow", f"{100 * table.share:.0f}")
        self._done.set("style", f"width:{100 * table.share:.2f}%")
        rejected = f" ({number(table.rejected)} rejected)" if table.rejected else ""
        share = f" ({percent(table.share)})" if table.share < 1 else ""
        self._rows.say(number(table.rows) + share + rejected)
        self._verified.say("not yet" if verified is None else number(verified))


class TrafficPanel:
    """Requests, errors and durations of both sides, and the reads that are shifted."""

    def __init__(self) -> None:
        with Tag("section", "", "card", aria_label="Traffic") as self._section:
            with Tag("div", "", "head"):
                Tag("h2", "Traffic")
                with Tag("div", "", "legend"):
                    Tag("span", "old side")
                    Tag("span", "new side", "new")
            self._note = Prose("p", "", "notice", role="status")
            self._empty = Tag("p", "No requests in the last five minutes.", "empty")
            with Tag("table") as self._table:
                with Tag("thead"), Tag("tr"):
                    Tag("th", "Last 10 s", scope="col")
                    for head in ("Requests", "Errors", "p50", "p95"):
                        Tag("th", head, "num", scope="col")
                with Tag("tbody"):
                    self._old, self._new = _Now("old"), _Now("new")
            with Tag("div") as self._charts:
                Tag("h3", "Requests per second")
                self._requests = Drawing()
                Tag("h3", "Errors")
                self._errors = Drawing()
                Tag("h3", "p95")
                self._p95 = Drawing()

    def show(self, snapshot: Snapshot) -> None:
        move = snapshot.move.value if snapshot.move is not None else None
        self._section.show(snapshot.traffic is not None and (move is None or move.routed))
        if snapshot.traffic is None:
            return
        said = note(snapshot.traffic, "The access log", snapshot.at)
        self._note.say(said)
        self._note.show(bool(said))
        traffic = snapshot.traffic.value
        seen = traffic is not None and any(one.requests for one in (*traffic.old, *traffic.new))
        self._empty.show(not seen and not said)
        self._table.show(seen)
        self._charts.show(seen)
        if traffic is None or not seen:
            return
        self._old.show(traffic.old_now, traffic.window)
        self._new.show(traffic.new_now, traffic.window)
        self._draw(traffic)

    def _draw(self, traffic: Traffic) -> None:
        sides = (("old", traffic.old), ("new", traffic.new))
        ages = (f"{span(traffic.step * len(traffic.old))} ago", "now")
        self._requests.draw(
            charts.lines(
                [Line(name, [one.requests / traffic.step for one in spans]) for name, spans in sides],
                label=_summary(
                    "Requests per second", sides, lambda one: f"{one.requests / traffic.step:.0f}"
                ),
                unit=lambda value: f"{value:g}/s",
                ages=ages,
                least=10.0,
            )
        )
        self._errors.draw(
            charts.lines(
                [Line(name, [_rate(one) for one in spans]) for name, spans in sides],
                label=_summary("Share of errors", sides, lambda one: rate(_rate(one) or 0.0)),
                unit=rate,
                ages=ages,
                least=0.02,
            )
        )
        self._p95.draw(
            charts.lines(
                [Line(name, [one.p95 for one in spans]) for name, spans in sides],
                label=_summary("95th percentile", sides, lambda one: milliseconds(one.p95)),
                unit=milliseconds,
                ages=ages,
                least=10.0,
            )
        )


class _Now:
    """The present figures of one side."""

    def __init__(self, side: str) -> None:
        with Tag("tr"):
            Tag("th", f"{side} side", scope="row")
            self._cells = [Tag("td", "", "num") for _ in range(4)]

    def show(self, now: Bucket | None, window: float) -> None:
        if now is None:
            return
        share = _rate(now)
        texts = (
            f"{now.requests / window:.1f}/s"
            if now.requests < 10 * window
            else f"{number(now.requests / window)}/s",
            "–" if share is None else f"{now.errors} ({rate(share)})",
            milliseconds(now.p50),
            milliseconds(now.p95),
        )
        for cell, text in zip(self._cells, texts, strict=True):
            cell.say(text)


def _rate(one: Bucket) -> float | None:
    return one.errors / one.requests if one.requests else None


def _summary(what: str, sides: Sequence[tuple[str, Sequence[Bucket]]], say: Callable[[Bucket], str]) -> str:
    """What a chart shows, for those who cannot see it."""
    told = [f"{name} side {say(spans[-1]) if spans else 'unknown'}" for name, spans in sides]
    return f"{what}, of the newest span: {', '.join(told)}"


class SwitchesPanel:
    """Each change of the lead with its hold, and what the guard said last."""

    def __init__(self) -> None:
        with Tag("section", "", "card", aria_label="Switches and guard") as self._section:
            Tag("h2", "Switches and guard")
            self._guard = Tag("p", "", "small")
            self._verdict = Tag("p", "", "notice")
            self._empty = Tag("p", "The lead has not changed hands yet.", "empty")
            with Tag("table") as self._table:
                with Tag("thead"), Tag("tr"):
                    Tag("th", "Lead went to", scope="col")
                    Tag("th", "When", scope="col")
                    Tag("th", "Requests held", "num", scope="col")
                self._rows = Listing("tbody", lambda _: _Switch())

    def show(self, snapshot: Snapshot) -> None:
        self._section.show(snapshot.move is not None)
        evidence = snapshot.evidence.value if snapshot.evidence is not None else None
        move = snapshot.move.value if snapshot.move is not None else None
        if snapshot.move is None or evidence is None:
            return
        watched = move.guard if move is not None else ""
        self._guard.say(f"The guard {watched}." if watched else "There is no guard.")
        said = evidence.guard
        self._verdict.show(said is not None)
        if said is not None:
            word = "The guard rolled back" if said.decision == "rollback" else "The guard saw a breach"
            self._verdict.say(f"{word} {ago(said.at, snapshot.at)}: {said.why}")
        self._empty.show(not evidence.switches)
        self._table.show(bool(evidence.switches))
        self._rows.fill(
            [(str(one.epoch), (one, clock(one.at, snapshot.at))) for one in reversed(evidence.switches[-6:])]
        )


class _Switch:
    """One change of the lead."""

    def __init__(self) -> None:
        with Tag("tr"):
            with Tag("th", scope="row"):
                self._to = Tag("span")
                self._reason = Tag("div", "", "soft small")
            self._when = Tag("td", "", "when")
            self._hold = Tag("td", "", "num")

    def show(self, value: tuple[SwitchView, str]) -> None:
        switch, when = value
        self._to.say(f"the {switch.to} side, epoch {switch.epoch}")
        self._reason.say(switch.reason)
        self._reason.show(bool(switch.reason))
        self._when.say(when)
        self._hold.say(milliseconds(switch.hold_ms))


class EvidencePanel:
    """The last entries of the ledger, and whether its chain is whole."""

    def __init__(self) -> None:
        with Tag("section", "", "card", aria_label="Evidence") as self._section:
            with Tag("div", "", "head"):
                Tag("h2", "Evidence")
                self._whole = Tag("span", "", "chip")
            self._note = Prose("p", "", "notice", role="status")
            self._empty = Tag("p", "Nothing has been done yet.", "empty")
            self._entries = Listing("ul", lambda _: _Entry(), "entries")

    def show(self, snapshot: Snapshot) -> None:
        self._section.show(snapshot.evidence is not None)
        if snapshot.evidence is None:
            return
        evidence = snapshot.evidence.value
        said = note(snapshot.evidence, "The ledger", snapshot.at)
        if evidence is not None and evidence.broken:
            said = f"The chain is broken at {evidence.broken}. Keep the file as it is; what stands before is sound."
        self._note.say(said)
        self._note.show(bool(said))
        if evidence is None:
            return
        self._whole.look(f"chip mark {'good i-ok' if evidence.whole else 'bad i-bad'}")
        entries = f"{number(evidence.entries)} {'entry' if evidence.entries == 1 else 'entries'}"
        self._whole.say(f"{entries}, chain {'whole' if evidence.whole else 'broken'}")
        self._whole.set("title", f"newest hash {evidence.head}")
        self._empty.show(not evidence.last)
        self._entries.fill([(one.hash, (one, clock(one.at, snapshot.at))) for one in evidence.last])


class _Entry:
    """One entry."""

    def __init__(self) -> None:
        with Tag("li"):
            self._at = Tag("span", "", "soft num")
            with Tag("span"):
                self._event = Tag("span", "", "event")
                self._by = Tag("span", "", "soft")
            self._text = Tag("span", "", "text")

    def show(self, value: tuple[EntryView, str]) -> None:
        entry, when = value
        self._at.say(when)
        self._event.say(entry.event)
        self._by.say(f"  #{entry.seq} {entry.hash[:8]} · {entry.who}")
        self._text.say(entry.text)
