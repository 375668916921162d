"""The rules of approvals: who may, how many, until when.

Pure: `weigh` is given what was asked, what people have said, and the time.  What people say is kept in the
state database (`crossfade.runs.decisions`); nothing that stands in the plan's file ever authorises.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence

from crossfade.errors import PlanError, Refused
from crossfade.runs.carried import Carried
from crossfade.runs.people import Person

WITHIN = 7 * 86_400.0
"""Seconds that an approval is waited for when the plan does not say."""

WARN_AT = 0.8
"""The share of that time after which people are warned."""


class Answer(enum.StrEnum):
    """What a person may say to a request."""

    APPROVE = "approve"
    REJECT = "reject"


class Said(Carried):
    """One answer of one person, as the state database keeps it.  ``at`` is seconds since 1970."""

    person: Person
    answer: str
    reason: str = ""
    at: float


class Request(Carried):
    """What is asked.  ``members`` are the people who may approve; ``None`` means anybody.
    Times are seconds since 1970."""

    count: int
    group: str | None = None
    members: tuple[str, ...] | None = None
    starter: str
    allow_self: bool = False
    asked_at: float
    expires_at: float

    @property
    def warn_at(self) -> float:
        """When people are warned that it is about to expire."""
        return self.asked_at + WARN_AT * (self.expires_at - self.asked_at)

    def __str__(self) -> str:
        people = "1 person" if self.count == 1 else f"{self.count} people"
        return f"{people} of {self.group}" if self.group else people


class State(enum.StrEnum):
    """How a request stands."""

    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"


class Ignored(Carried):
    """An answer that does not count, and why."""

    said: Said
    why: str


class Standing(Carried):
    """A request weighed: the approvals that count, who rejected it, and what was ignored."""

    state: State
    approvals: tuple[Said, ...] = ()
    rejected: Said | None = None
    ignored: tuple[Ignored, ...] = ()


def weigh(request: Request, said: Iterable[Said], now: float) -> Standing:
    """How the request stands at ``now``.

    Answers count in the order in which they came, until there are enough approvals or one rejection.  An answer
    that was given in time counts, also when it is weighed later.
    """
    approvals: dict[str, Said] = {}
    ignored: list[Ignored] = []
    for one in said:
        if one.at >= request.expires_at:
            ignored.append(Ignored(said=one, why="it came too late"))
            continue
        why = objection(request, one.person.name, one.answer)
        if why is not None:
            ignored.append(Ignored(said=one, why=why))
        elif one.answer == Answer.REJECT:
            return Standing(
                state=State.REJECTED,
                approvals=tuple(approvals.values()),
                rejected=one,
                ignored=tuple(ignored),
            )
        else:
            approvals.setdefault(one.person.name, one)
            if len(approvals) >= request.count:
                return Standing(
                    state=State.APPROVED, approvals=tuple(approvals.values()), ignored=tuple(ignored)
                )
    state = State.EXPIRED if now >= request.expires_at else State.WAITING
    return Standing(state=state, approvals=tuple(approvals.values()), ignored=tuple(ignored))


def objection(request: Request, name: str, answer: str) -> str | None:
    """Why an answer of that person does not count; None when it does."""
    starts = name == request.starter
    if answer == Answer.REJECT:
        # whoever started a run may always stop it
        if starts or request.members is None or name in request.members:
            return None
        return f"{name} is not in the group {request.group}"
    if answer != Answer.APPROVE:
        return f"{answer!r} is neither approve nor reject"
    if starts and not request.allow_self:
        return f"{name} started the run, and may not approve it"
    if request.members is not None and name not in request.members:
        return f"{name} is not in the group {request.group}"
    return None


def members_of(
    group: str | None,
    count: int,
    groups: Mapping[str, Sequence[str]],
    starter: str,
    *,
    allow_self: bool,
    where: str,
) -> tuple[str, ...] | None:
    """The people of a group; ``None`` for no group.

    ``PlanError`` for a group that nobody defined, ``Refused`` when it has too few members who may approve.
    """
    if group is None:
        return None
    if group not in groups:
        known = ", ".join(sorted(groups)) or "none"
        raise PlanError(
            f"the group {group!r} of the approval is not defined; defined are: {known}",
            where=where,
            todo=f"define it in crossfade.yaml (`approval: {{groups: {{{group}: [ann, ben]}}}}`), or correct the plan",
        )
    members = tuple(dict.fromkeys(groups[group]))
    able = [name for name in members if allow_self or name != starter]
    if len(able) < count:
        raise Refused(
            f"{count} of {group} must approve, but besides {starter}, who starts the run, it has {len(able)}"
            if not allow_self
            else f"{count} of {group} must approve, but it has {len(able)}",
            where=where,
            todo="add people to the group, ask for fewer, or let somebody else start the run",
        )
    return members
