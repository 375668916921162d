"""Running verbs for the page: each as a process of its own, exactly as on the command line.

So the page never waits for one, and the end of the page, however it comes about, is not the end of a verb: it
runs in a session of its own and writes to files, not to the page.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from crossfade.errors import CrossfadeError, Refused
from crossfade.ledger import Ledger
from crossfade.masking import mask
from crossfade.runs.people import Person, whoami
from crossfade.ui.access import Token
from crossfade.ui.looking import problem_of
from crossfade.ui.snapshot import Act, Outcome, Problem
from crossfade.ui.verbs import Verb, answer_of, failed

_KEPT = 8
"""Acts that the page remembers."""

_LONGEST = 500
"""Characters of a reason."""

_LARGEST = 1 << 20
"""Bytes of an answer that are read."""


class Actions:
    """Runs one verb at a time, on the move of ``spec`` and the plan at ``plan``; ``done`` is called, from another
    thread, after each."""

    def __init__(
        self,
        spec: Path | None,
        plan: Path | None,
        *,
        ledger: Callable[[], Ledger] | None = None,
        done: Callable[[], None] = lambda: None,
    ) -> None:
        self._spec = spec
        self._plan = plan
        self._ledger = ledger
        self._done = done
        self._lock = threading.Lock()
        self._acts: deque[Act] = deque(maxlen=_KEPT)
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def acts(self) -> tuple[Act, ...]:
        """What was run, the newest first."""
        with self._lock:
            return tuple(self._acts)

    @property
    def working(self) -> tuple[str, int] | None:
        """The verb that is at work and its process id."""
        with self._lock:
            act = self._acts[0] if self._acts else None
            if act is None or act.outcome is not Outcome.RUNNING or self._process is None:
                return None
            return act.verb, self._process.pid

    def begin(self, verb: Verb, holder: Token, reason: str = "") -> int:
        """Run a verb for somebody; the number of the act.  ``Refused`` while another one is at work, or without
        the reason that it needs."""
        if verb.asks == "reason" and not reason.strip():
            raise Refused("a rejection needs a reason", where=verb.title, todo="say why")
        person = person_of(holder)
        with self._lock:
            if self._acts and self._acts[0].outcome is Outcome.RUNNING:
                raise Refused(
                    f"{self._acts[0].title} is at work", where=verb.title, todo="wait until it has ended"
                )
            act = Act(next(self._numbers), verb.name, verb.title, str(person), time.time())
            self._acts.appendleft(act)
        threading.Thread(
            target=self._run,
            args=(act, verb, person, reason.strip()[:_LONGEST]),
            name=f"verb {verb.name}",
            daemon=True,
        ).start()
        return act.number

    def _run(self, act: Act, verb: Verb, person: Person, reason: str) -> None:
        try:
            self._record(verb, person, reason)
            ended = self._wait(verb, person, reason)
        except Exception as error:  # a verb that cannot be started is an answer too
            ended = (Outcome.REFUSED, (), problem_of(error))
        outcome, lines, problem = ended
        with self._lock:
            self._process = None
            self._acts[0] = replace(act, finished=time.time(), outcome=outcome, lines=lines, problem=problem)
        self._done()

    def _record(self, verb: Verb, person: Person, reason: str) -> None:
        """Who asked for it stands in the evidence before it begins.  A verb that may not go without evidence
        says so itself, and a rollback goes without."""
        if self._ledger is None:
            return
        try:
            self._ledger().append(
                "ui.asked",
                verb=verb.name,
                arguments=[*verb.options, *verb.arguments],
                by=str(person),
                account=person.account,
                host=person.host,
                reason=reason,
            )
        except CrossfadeError:
            if verb.name not in ("rollback", "doctor"):
                raise

    def _wait(
        self, verb: Verb, person: Person, reason: str
    ) -> tuple[Outcome, tuple[tuple[str, str], ...], Problem | None]:
        arguments = command_of(verb, reason, spec=self._spec, plan=self._plan)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "crossfade", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, "CROSSFADE_USER": person.name},
                start_new_session=True,
            )
            with self._lock:
                self._process = process
            code = process.wait()
            said, complained = _text(out), _text(err)
        return ended(verb.name, code, said, complained)


def ended(
    name: str, code: int, said: str, complained: str
) -> tuple[Outcome, tuple[tuple[str, str], ...], Problem | None]:
    """What a verb's exit status and output amount to."""
    result = _object(said)
    if result is None:
        return (
            (Outcome.DONE, (), None) if code == 0 else (Outcome.REFUSED, (), failed(mask(complained), code))
        )
    if "error" in result and "what" in result:
        problem = Problem(*(mask(str(result.get(part, ""))) for part in ("what", "where", "todo")))
        return Outcome.REFUSED, (), problem
    lines = tuple((label, mask(text)) for label, text in answer_of(name, result))
    return (Outcome.DONE if code == 0 else Outcome.REFUSED), lines, None


def person_of(holder: Token) -> Person:
    """The account of this process, and the name that the token was given to."""
    return whoami({"CROSSFADE_USER": holder.name} if holder.name else None)


def command_of(verb: Verb, reason: str, *, spec: Path | None, plan: Path | None) -> list[str]:
    """What is run for a verb: its own arguments, the spec or the plan, the reason, and JSON for an answer."""
    options = ["--json"]
    if spec is not None:
        options += ["--spec", str(spec)]
    if verb.run:
        options.append(f"--run={verb.run}")
        if plan is not None:
            options += ["--plan", str(plan)]
    if verb.asks and reason:
        options.append(f"--reason={reason}")
    # behind "--" nothing is taken for an option, whatever a plan calls its tasks
    return [verb.name, *options, *verb.options, *(["--", *verb.arguments] if verb.arguments else [])]


def _object(text: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(_LARGEST).decode("utf-8", "replace")
