"""What people have said about a run's tasks: approvals, rejections, and what became of a lost command.

The table is what counts.  A message to the workflow only wakes it up, so an answer is as good when nobody is
there to hear it, or when it comes before the task asks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from crossfade.runs.approvals import Said
from crossfade.runs.database import Database, Transaction
from crossfade.runs.people import Person

APPROVAL = "approval"
"""What an answer to the approval of a task is about."""

WITHDRAWAL = "withdrawal"
"""What the run's own word to a task is about that has not begun: the run has failed, so do not."""


@dataclass(frozen=True, slots=True)
class Given:
    """An answer and what it was about: `APPROVAL`, or the key of an attempt whose outcome is unknown."""

    task: str
    about: str
    said: Said


class Decisions:
    """The table of answers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def give(self, run: str, task: str, about: str, person: Person, answer: str, reason: str = "") -> bool:
        """Keep an answer; False when that person had said the same before, which then changes nothing."""

        def insert(transaction: Transaction) -> bool:
            rows = transaction.run(
                "INSERT INTO {decisions} (run, task, about, name, answer, person, reason, at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run, task, about, name, answer) DO NOTHING "
                "RETURNING seq",
                [
                    *(run, task, about, person.name, answer, json.dumps(person.as_json()), reason),
                    self._database.clock(transaction),
                ],
            )
            return bool(rows)

        return self._database.work(insert)

    def said(self, run: str, task: str, about: str) -> tuple[Said, ...]:
        """The answers about one thing, in the order in which they came."""
        rows = self._database.look(
            lambda t: t.run(
                "SELECT person, answer, reason, at FROM {decisions} WHERE run = ? AND task = ? AND about = ? "
                "ORDER BY seq",
                [run, task, about],
            )
        )
        return tuple(
            Said(person=Person.model_validate_json(person), answer=answer, reason=reason, at=at)
            for person, answer, reason, at in rows
        )

    def of_run(self, run: str) -> list[Given]:
        """Every answer in a run, in the order in which they came."""
        rows = self._database.look(
            lambda t: t.run(
                "SELECT task, about, person, answer, reason, at FROM {decisions} WHERE run = ? ORDER BY seq",
                [run],
            )
        )
        return [
            Given(
                task,
                about,
                Said(person=Person.model_validate_json(person), answer=answer, reason=reason, at=at),
            )
            for task, about, person, answer, reason, at in rows
        ]
