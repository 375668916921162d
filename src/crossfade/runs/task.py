"""How one task goes: approval, commands, gate; and how it is undone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from crossfade.runs.approvals import Request, Said, Standing, State, weigh
from crossfade.runs.commands import is_repeatable
from crossfade.runs.decisions import APPROVAL
from crossfade.runs.hands import TaskHands, TaskOrder
from crossfade.runs.order import LONGEST_PAUSE, Mode
from crossfade.runs.results import Judged, Ran, TaskResult, TaskStatus

ASSUME = ("done", "again", "failed")
"""What a person may say about a command whose outcome nobody knows."""

_LOST = 3
"""Times that a command that may be repeated is, when its runner is gone without a trace."""

_DAY = 86_400.0


def run_task(hands: TaskHands, order: TaskOrder) -> TaskResult:
    """Do the task, or undo it when the order says so."""
    return _Task(hands, order).undo() if order.undoing else _Task(hands, order).do()


class _Task:
    def __init__(self, hands: TaskHands, order: TaskOrder) -> None:
        self._hands = hands
        self._order = order
        self._task = order.task
        self._number = 1
        self._ran: list[Ran] = []
        self._approvals: tuple[Said, ...] = ()
        self._verdict: Judged | None = None
        self._started: float | None = None

    def do(self) -> TaskResult:
        """Wait for approval, run the commands, judge the gate."""
        heard = self._hands.heard(APPROVAL)
        self._started = heard.now
        if heard.withdrawn:
            return self._end(TaskStatus.SKIPPED, "not begun, because the run had failed")
        if self._task.approve is not None:
            ended = self._approved()
            if ended is not None:
                return ended
        self._record("task.started", "started", {})
        self._show(TaskStatus.RUNNING)
        trouble = self._commands(self._task.run)
        if not trouble and self._task.gate:
            trouble = self._gate()
        if trouble:
            return self._end(TaskStatus.FAILED, trouble)
        return self._end(TaskStatus.DONE)

    def undo(self) -> TaskResult:
        """Run the undo's commands."""
        self._started = self._hands.clock()
        self._record("undo.started", "undo/started", {})
        self._show(TaskStatus.UNDOING)
        trouble = self._commands(self._task.undo)
        return self._end(TaskStatus.FAILED if trouble else TaskStatus.UNDONE, trouble)

    # --- approval ---------------------------------------------------------------

    def _approved(self) -> TaskResult | None:
        """Wait for people; how the task ends, or None when it may go on."""
        ask = self._task.approve
        if ask is None or self._order.mode != Mode.LIVE:
            data = {"count": ask.count, "group": ask.group} if ask else {}
            self._record("approval.passed_over", "approval/passed_over", data | {"why": self._order.mode})
            return None
        now = self._hands.clock()
        request = Request(
            count=ask.count,
            group=ask.group,
            members=ask.members,
            starter=self._order.starter,
            allow_self=self._order.allow_self,
            asked_at=now,
            expires_at=now + ask.within,
        )
        self._record("approval.asked", "approval/asked", {"request": request.as_json()})
        self._show(TaskStatus.APPROVAL, request=request.as_json(), approvals=[])
        self._notice("approval.asked", f"waits for the approval of {request}")
        warned = False
        told: set[tuple[str, str]] = set()
        while True:
            heard = self._hands.heard(APPROVAL)
            if heard.withdrawn:
                self._record("approval.withdrawn", "approval/withdrawn", {})
                return self._end(TaskStatus.SKIPPED, "not begun, because the run had failed")
            standing = weigh(request, heard.said, heard.now)
            self._tell(standing, told)
            self._approvals = standing.approvals
            ended = self._decided(standing)
            if ended is not None or standing.state is State.APPROVED:
                return ended
            if not warned and heard.now >= request.warn_at:
                warned = True
                self._record("approval.expiring", "approval/expiring", {"expires_at": request.expires_at})
                self._notice(
                    "approval.expiring", f"still waits for the approval of {request}, and not for long"
                )
            self._show(
                TaskStatus.APPROVAL,
                request=request.as_json(),
                approvals=[one.as_json() for one in standing.approvals],
            )
            self._hands.listen(request.expires_at if warned else request.warn_at)

    def _decided(self, standing: Standing) -> TaskResult | None:
        if standing.state is State.REJECTED and standing.rejected is not None:
            by = standing.rejected
            why = f": {by.reason}" if by.reason else ""
            return self._end(TaskStatus.REJECTED, f"rejected by {by.person.name}{why}")
        if standing.state is State.EXPIRED:
            self._record("approval.expired", "approval/expired", {"approvals": len(standing.approvals)})
            return self._end(TaskStatus.FAILED, "its approval expired before enough people had approved")
        return None

    def _tell(self, standing: Standing, told: set[tuple[str, str]]) -> None:
        """Enter what is new among the answers."""
        answers: list[tuple[str, Said, str]] = [("approval.given", one, "") for one in standing.approvals]
        if standing.rejected is not None:
            answers.append(("approval.rejected", standing.rejected, ""))
        answers += [("approval.ignored", one.said, one.why) for one in standing.ignored]
        for event, said, why in answers:
            name = (said.person.name, said.answer)
            if name in told:
                continue
            told.add(name)
            data: dict[str, Any] = {"person": said.person.as_json(), "reason": said.reason, "at": said.at}
            if why:
                data |= {"answer": said.answer, "why": why}
            self._record(event, f"approval/{said.answer}/{said.person.name}", data)

    # --- commands ---------------------------------------------------------------

    def _commands(self, commands: tuple[str, ...]) -> str:
        """Run them in order; what went wrong, in words, or nothing.

        A repetition begins with the command that failed: those before it are done, and are not done twice.
        """
        failures = lost = 0
        for index, command in enumerate(commands):
            while True:
                ran = self._hands.command(self._number, index, command)
                self._ran.append(ran)
                self._enter(ran, index)
                if ran.outcome == "done":
                    break
                if ran.outcome == "failed":
                    failures += 1
                    if failures > (self._task.retry or 0):
                        return _trouble(ran, self._task.timeout)
                    self._hands.pause(min(self._order.retry_pause * 2 ** (failures - 1), LONGEST_PAUSE))
                elif (self._task.retry or is_repeatable(command)) and lost < _LOST:
                    lost += 1
                elif ran.outcome != "withdrawn":
                    answer = self._ask(ran, index)
                    if answer == "done":
                        break
                    if answer == "failed":
                        return f"{_name(ran)}: its outcome was unknown, and was said to be a failure"
                if ran.outcome in ("unknown", "stopped"):
                    self._hands.give_up(self._number, index)
                self._number += 1
                self._show(TaskStatus.UNDOING if self._order.undoing else TaskStatus.RUNNING)
        return ""

    def _ask(self, ran: Ran, index: int) -> str:
        """Wait for a person to say what became of a command; nothing is guessed, and there is no time-out."""
        text = f"{_name(ran)} was begun, and nobody knows how it ended: look, and say done, again or failed"
        key = self._tried(index)
        self._record("command.unknown", f"{key}/unknown", {"command": ran.command})
        self._show(TaskStatus.UNKNOWN, command=ran.command, about=ran.key)
        self._notice("task.unknown", text)
        while True:
            heard = self._hands.heard(ran.key)
            for said in heard.said:
                if said.answer in ASSUME:
                    data = {"person": said.person.as_json(), "reason": said.reason, "answer": said.answer}
                    self._record("outcome.assumed", f"{key}/assumed", {"command": ran.command, **data})
                    return said.answer
            self._hands.listen(heard.now + _DAY)

    def _enter(self, ran: Ran, index: int) -> None:
        data = ran.model_dump(mode="json", exclude={"key"})
        data |= {"attempt": self._number, "index": index}
        self._record("command.finished", f"{self._tried(index)}/finished", data)

    def _tried(self, index: int) -> str:
        """A command of this attempt, among the keys of the evidence."""
        return f"{'undo/' if self._order.undoing else ''}{self._number}/{index}"

    # --- gate -------------------------------------------------------------------

    def _gate(self) -> str:
        self._show(TaskStatus.GATE)
        values: dict[str, Any] = {"tasks": self._order.known}
        measured = self._measured()
        if measured is not None:
            values["result"] = measured
        until = self._hands.clock() + self._task.patience
        self._verdict = self._hands.judge(self._task.gate, values, until)
        self._record("gate.judged", "gate", {"gate": self._task.gate, **self._verdict.as_json()})
        return "" if self._verdict.passed else f"its gate is closed: {self._verdict.text}"

    def _measured(self) -> dict[str, Any] | None:
        return self._ran[-1].measured if self._ran else None

    # --- the end ----------------------------------------------------------------

    def _end(self, status: TaskStatus, reason: str = "") -> TaskResult:
        files = (
            self._hands.delivered(self._task.files) if status is TaskStatus.DONE and self._task.files else ()
        )
        result = TaskResult(
            task=self._task.id,
            status=status,
            reason=reason,
            attempt=self._number if self._ran else 0,
            begun=bool(self._ran),
            started=self._started,
            finished=self._hands.clock(),
            ran=tuple(self._ran),
            approvals=self._approvals,
            verdict=self._verdict,
            measured=self._measured(),
            files=files,
        )
        event = f"undo.{status}" if self._order.undoing else f"task.{status}"
        if self._order.undoing and status is TaskStatus.UNDONE:
            event = "task.undone"
        last = self._ran[-1] if self._ran else None
        self._record(
            event,
            f"{'undo/' if self._order.undoing else ''}ended",
            {
                "reason": reason,
                "attempt": result.attempt,
                "exit": last.exit if last else None,
                "seconds": result.seconds,
                "finished_at": result.finished,
                "approvals": [one.person.name for one in self._approvals],
                "measured": result.measured,
                "files": [one.as_json() for one in files],
            },
        )
        self._show(status, reason=reason)
        if status in (TaskStatus.FAILED, TaskStatus.REJECTED):
            self._notice(f"task.{status}", reason)
        return result

    def _show(self, status: TaskStatus, **detail: Any) -> None:
        self._hands.show(status, {"attempt": self._number, "started": self._started, **detail})

    def _record(self, event: str, key: str, data: Mapping[str, Any]) -> None:
        common = {
            "plan": self._order.plan,
            "mode": self._order.mode,
            "task": self._task.id,
            "title": self._task.title,
            "digest": self._task.digest,
        }
        self._hands.record(event, f"{self._task.id}/{key}", common | dict(data))

    def _notice(self, kind: str, text: str) -> None:
        self._hands.notice(kind, self._task.id, f"task {self._task.id} ({self._task.title}) {text}")


def _worded(text: str) -> list[str]:
    """The lines that say something, without the frames that some programs draw around them."""
    lines = [re.sub(r"^[\s\u2500-\u257f|]+|[\s\u2500-\u257f|]+$", "", line) for line in text.splitlines()]
    return [line for line in lines if any(map(str.isalnum, line))]


def _name(ran: Ran) -> str:
    return f"`{ran.command}`"


def _trouble(ran: Ran, timeout: float | None) -> str:
    if ran.timed_out:
        return f"{_name(ran)} took longer than {timeout:g} s and was ended"
    if ran.signal is not None:
        return f"{_name(ran)} was ended by signal {ran.signal}"
    lines = _worded(ran.stderr) or _worded(ran.stdout)
    # what happened; what to do comes after it
    ours = [line for line in lines if line.startswith("crossfade: ")]
    said = f": {(ours or lines)[-1].removeprefix('crossfade: ')}" if lines else ""
    return f"{_name(ran)} ended with {ran.exit}{said}"
