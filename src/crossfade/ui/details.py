"""All about one task, in a drawer at the side."""

from __future__ import annotations

from collections.abc import Callable

from crossfade.ui.controls import Answers, Ask
from crossfade.ui.elements import Prose, Rows, Tag, button
from crossfade.ui.snapshot import ApprovalView, GateView, Snapshot, TaskView
from crossfade.ui.words import LOOKS, ago, clock


class Details:
    """The drawer; it follows its task for as long as it is open."""

    def __init__(self, ask: Ask, snapshot: Callable[[], Snapshot], say: Callable[[str], None]) -> None:
        self._snapshot = snapshot
        self._task: TaskView | None = None
        self._id: str | None = None
        with Tag("dialog", "", "drawer") as self._dialog:
            with Tag("div", "", "head"):
                self._title = Tag("h2")
                button("Close", autofocus=True).does(self.close)
            self._word = Tag("span", "", "chip")
            self._note = Prose("p", "", "soft")
            self._answers = Answers(ask, snapshot, say)
            self._error = Rows()
            self._about = Rows()
            self._gate_head = Tag("h3", "Gate")
            self._gate = Rows()
            self._approval_head = Tag("h3", "Approval")
            self._approval = Rows()
            self._proof_head = Tag("h3", "Evidence")
            self._proof = Rows()
            self._measured_head = Tag("h3", "Measured")
            self._measured = Rows()
            self._output_head = Tag("h3", "End of the output")
            self._output = Tag("pre", tabindex="0", role="region", aria_label="End of the output")
        self._dialog.set("aria-labelledby", self._title.html_id)
        self._dialog.on("close", lambda _: self._closed(), args=[])

    def open(self, identifier: str) -> None:
        """Show the task of that id."""
        self._id, self._task = identifier, None
        self.show(self._snapshot())
        self._dialog.run_method("showModal")

    def close(self) -> None:
        """Put it away."""
        self._dialog.run_method("close")

    def _closed(self) -> None:
        self._id = None

    def show(self, snapshot: Snapshot) -> None:
        plan = snapshot.plan.value if snapshot.plan is not None else None
        if self._id is None or plan is None:
            return
        task = plan.task(self._id)
        if task is None:
            return
        self._answers.show(task, busy=snapshot.running is not None)
        if task == self._task:
            return
        self._task = task
        kind, look = LOOKS[task.word]
        self._title.say(f"{task.id} {task.title}" if task.id not in task.title else task.title)
        self._word.look(f"chip mark {kind} i-{look}")
        self._word.say(task.word.value)
        self._note.say(task.note)
        self._note.show(bool(task.note) and task.error is None)
        self._error.fill(_error(task))
        self._about.fill(_about(task, plan.path, snapshot.at))
        for head, rows, content in (
            (self._gate_head, self._gate, _gate(task.gate)),
            (self._approval_head, self._approval, _approval(task.approval, snapshot.at)),
            (self._proof_head, self._proof, _proof(task, snapshot.at)),
            (self._measured_head, self._measured, list(task.measured)),
        ):
            head.show(bool(content))
            rows.fill(content)
        self._output.say(task.output)
        self._output.show(bool(task.output))
        self._output_head.show(bool(task.output))


def _error(task: TaskView) -> list[tuple[str, str]]:
    if task.error is None:
        return []
    parts = (("What happened", task.error.what), ("Where", task.error.where), ("What to do", task.error.todo))
    return [(label, text) for label, text in parts if text]


def _about(task: TaskView, path: str, now: float) -> list[tuple[str, str]]:
    times = "" if task.started_at is None else f"began {clock(task.started_at, now)}"
    if task.finished_at is not None:
        times += f", ended {clock(task.finished_at, now)}"
    rows = (
        ("Description", task.description),
        ("Owner", task.owner),
        ("When", task.window),
        ("Estimate", task.estimate),
        ("Waits for", "\n".join(task.depends)),
        ("Deliverables", "\n".join(task.deliverables)),
        ("Runs", "\n".join(task.commands)),
        ("Undone by", "\n".join(task.undo)),
        ("Parts", "\n".join(f"{title} ({word})" for title, word in task.subtasks)),
        ("Time", times),
        ("Attempt", str(task.attempt) if task.attempt > 1 else ""),
        ("Stands in", f"{path}, line {task.line}" if task.line else ""),
    )
    return [(label, text) for label, text in rows if text]


def _gate(gate: GateView | None) -> list[tuple[str, str]]:
    if gate is None:
        return []
    verdict = {None: "not judged yet", True: "open", False: "closed"}[gate.passed]
    rows = [("Condition", gate.expression), ("Verdict", verdict)]
    if gate.text:
        rows.append(("Because", gate.text))
    return rows + [(name, value) for name, value in gate.seen]


def _approval(approval: ApprovalView | None, now: float) -> list[tuple[str, str]]:
    if approval is None:
        return []
    of = f" of {approval.group}" if approval.group else ""
    rows = [("Needs", f"{approval.needed}{of}")]
    for said in approval.given:
        reason = f": {said.reason}" if said.reason else ""
        rows.append(("Approved by", f"{said.who}, {clock(said.at, now)}{reason}"))
    if approval.rejected is not None:
        said = approval.rejected
        rows.append(("Rejected by", f"{said.who}, {clock(said.at, now)}: {said.reason}"))
    if approval.open and approval.expires_at is not None:
        rows.append(("Is waited for until", clock(approval.expires_at, now)))
    return rows


def _proof(task: TaskView, now: float) -> list[tuple[str, str]]:
    proof = task.proof
    if proof is None:
        return []
    by = f", by {proof.by}" if proof.by else ""
    return [
        ("Entry", f"#{proof.entry}, {clock(proof.at, now)} ({ago(proof.at, now)}){by}"),
        ("Hash", proof.hash),
    ]
