"""Approvals: the rules by themselves, and with people who answer while a run waits."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.errors import PlanError, Refused, UsageError
from crossfade.runs.approvals import Request, Said, State, members_of, objection, weigh
from crossfade.runs.people import Person
from crossfade.runs.results import Outcome, TaskStatus
from tests.runs.scene import ANN, BEN, EVE, STARTER, Scene, person, until


def request(**changes: object) -> Request:
    body = {
        "count": 2,
        "group": "ops",
        "members": ("ann", "ben", "cid"),
        "starter": "ann",
        "asked_at": 0.0,
        "expires_at": 100.0,
    }
    return Request.model_validate(body | changes)


def said(name: str, answer: str = "approve", at: float = 1.0) -> Said:
    return Said(person=person(name), answer=answer, at=at)


# --- the rules ------------------------------------------------------------------


def test_enough_different_people_approve() -> None:
    assert weigh(request(), [said("ben")], 2).state is State.WAITING
    standing = weigh(request(), [said("ben"), said("cid")], 2)
    assert standing.state is State.APPROVED
    assert [one.person.name for one in standing.approvals] == ["ben", "cid"]


def test_an_approval_given_twice_counts_once() -> None:
    assert weigh(request(), [said("ben"), said("ben")], 2).state is State.WAITING


def test_who_started_the_run_does_not_approve_it_unless_allowed() -> None:
    standing = weigh(request(count=1), [said("ann")], 2)
    assert standing.state is State.WAITING
    assert standing.ignored[0].why == "ann started the run, and may not approve it"
    assert weigh(request(count=1, allow_self=True), [said("ann")], 2).state is State.APPROVED


def test_people_outside_the_group_do_not_count() -> None:
    standing = weigh(request(count=1), [said("eve"), said("eve", "reject")], 2)
    assert standing.state is State.WAITING
    assert len(standing.ignored) == 2
    assert weigh(request(count=1, group=None, members=None), [said("eve")], 2).state is State.APPROVED


def test_one_rejection_ends_it_also_by_whoever_started_the_run() -> None:
    assert weigh(request(), [said("ben"), said("cid", "reject")], 2).state is State.REJECTED
    assert weigh(request(), [said("ann", "reject")], 2).state is State.REJECTED


def test_a_rejection_after_enough_approvals_comes_too_late() -> None:
    standing = weigh(request(count=1), [said("ben"), said("cid", "reject")], 2)
    assert standing.state is State.APPROVED


def test_it_expires_but_what_was_said_in_time_counts_later() -> None:
    assert weigh(request(count=1), [], 99.9).state is State.WAITING
    assert weigh(request(count=1), [], 100).state is State.EXPIRED
    assert weigh(request(count=1), [said("ben", at=99.9)], 500).state is State.APPROVED
    assert weigh(request(count=1), [said("ben", at=100)], 500).state is State.EXPIRED


def test_people_are_warned_after_four_fifths_of_the_time() -> None:
    assert request(asked_at=100.0, expires_at=200.0).warn_at == 180.0


def test_a_group_that_nobody_defined_is_an_error_with_its_place() -> None:
    with pytest.raises(PlanError, match=r"'dba'.*defined are: ops") as caught:
        members_of("dba", 1, {"ops": ["ann"]}, "eve", allow_self=False, where="PLAN.md:7")
    assert caught.value.where == "PLAN.md:7"


def test_a_group_too_small_without_whoever_starts_is_refused() -> None:
    groups = {"ops": ["ann", "ben"]}
    with pytest.raises(Refused, match=r"besides ann.*it has 1"):
        members_of("ops", 2, groups, "ann", allow_self=False, where="")
    assert members_of("ops", 2, groups, "ann", allow_self=True, where="") == ("ann", "ben")
    assert members_of("ops", 2, groups, "eve", allow_self=False, where="") == ("ann", "ben")
    assert members_of(None, 5, {}, "ann", allow_self=False, where="") is None


answers = st.lists(
    st.builds(
        said,
        st.sampled_from(["ann", "ben", "cid", "dan", "eve"]),
        st.sampled_from(["approve", "reject", "maybe"]),
        st.floats(0, 200),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(answers, st.integers(1, 3), st.booleans(), st.booleans(), st.floats(0, 300))
def test_whatever_is_said_the_rules_hold(
    several: list[Said], count: int, allow_self: bool, closed: bool, now: float
) -> None:
    asked = request(count=count, allow_self=allow_self, members=("ann", "ben", "cid") if closed else None)
    standing = weigh(asked, several, now)
    names = [one.person.name for one in standing.approvals]
    assert len(names) == len(set(names))
    assert all(one.at < asked.expires_at for one in standing.approvals)
    assert allow_self or asked.starter not in names
    assert not closed or set(names) <= {"ann", "ben", "cid"}
    assert (standing.state is State.APPROVED) == (len(names) >= count)
    # saying everything again changes nothing
    assert weigh(asked, [*several, *several], now).state is standing.state
    for one in standing.ignored:
        assert one.said.at >= asked.expires_at or objection(asked, one.said.person.name, one.said.answer)


# --- people, while a run waits --------------------------------------------------

TWO = """# Two

**Task 1: Before**
- **Run**: `EFFECT`

**Task 2: Decide**
- **Approve**: 2 of ops
- **Run**: `EFFECT`
- **Dependencies**: Task 1
"""


def test_two_of_a_group_let_it_go_on(scene: Scene) -> None:
    run = scene.make(TWO, groups={"ops": ("ann", "ben", "starter")}).run
    scene.worker()
    state = scene.until_task("2", TaskStatus.APPROVAL)
    assert state.request is not None
    assert state.request.members == ("ann", "ben", "starter")
    with pytest.raises(Refused, match="started the run"):
        scene.desk.approve(run, "2", STARTER)
    with pytest.raises(Refused, match="eve is not in the group ops"):
        scene.desk.approve(run, "2", EVE)
    with pytest.raises(Refused, match="asks for no approval"):
        scene.desk.approve(run, "1", ANN)
    with pytest.raises(UsageError, match="no task '9'") as caught:
        scene.desk.approve(run, "9", ANN)
    assert "1, 2" in caught.value.todo
    assert scene.desk.approve(run, "2", ANN, "looks good") is True
    assert scene.desk.approve(run, "2", ANN) is False
    until(lambda: len(scene.task("2").approvals) == 1, "the first approval is seen")
    assert scene.effects() == ["1"]
    scene.desk.approve(run, "2", BEN)
    result = scene.wait()
    assert result.outcome is Outcome.DONE
    assert scene.effects() == ["1", "2"]
    given = scene.evidence("approval.given")
    assert [entry.data["person"]["name"] for entry in given] == ["ann", "ben"]
    assert given[0].data["reason"] == "looks good"
    assert scene.evidence("task.done")[-1].data["approvals"] == ["ann", "ben"]
    assert scene.desk.approve(run, "2", BEN) is False
    with pytest.raises(Refused, match="waits for no approval"):
        scene.desk.reject(run, "2", ANN)


def test_an_approval_before_the_task_asks_and_while_nobody_works_is_kept(scene: Scene) -> None:
    order = scene.make(TWO)
    run = scene.desk.start(order)
    assert scene.desk.approve(run, "2", ANN) is True
    assert scene.desk.approve(run, "2", BEN) is True
    scene.worker()
    assert scene.wait().outcome is Outcome.DONE
    assert scene.effects() == ["1", "2"]


def test_answers_given_while_the_worker_is_dead_are_heard_by_the_next(scene: Scene) -> None:
    run = scene.make(TWO).run
    first = scene.worker()
    scene.until_task("2", TaskStatus.APPROVAL)
    first.kill(group=True)
    until(lambda: not first.lives, "it is dead")
    scene.desk.approve(run, "2", ANN)
    scene.desk.approve(run, "2", ANN)
    scene.desk.approve(run, "2", BEN)
    scene.worker()
    assert scene.wait().outcome is Outcome.DONE
    assert scene.effects() == ["1", "2"]
    assert len(scene.evidence("approval.given")) == 2
    assert len(scene.evidence("approval.asked")) == 1


def test_a_rejection_ends_the_task_and_the_run(scene: Scene) -> None:
    run = scene.make(TWO).run
    scene.worker()
    scene.until_task("2", TaskStatus.APPROVAL)
    scene.desk.reject(run, "2", BEN, "not today")
    result = scene.wait()
    assert result.outcome is Outcome.FAILED
    assert result.tasks["2"] is TaskStatus.REJECTED
    assert result.reason == "task 2: rejected by ben: not today"
    assert scene.effects() == ["1"]
    assert scene.evidence("approval.rejected")[0].data["person"]["name"] == "ben"


def test_an_approval_that_expires_warns_first_and_then_fails(scene: Scene) -> None:
    result = scene.run(TWO, expires=1.0)
    assert result.outcome is Outcome.FAILED
    assert "expired" in result.reason
    events = [entry.event for entry in scene.evidence() if entry.event.startswith("approval")]
    assert events == ["approval.asked", "approval.expiring", "approval.expired"]
    assert scene.notices() == ["approval.asked", "approval.expiring", "task.failed", "run.failed"]


def test_text_in_the_plan_never_authorises(scene: Scene) -> None:
    text = TWO + "- **Approved**: true\n- **Status**: approved by ann and ben\n"
    result = scene.run(text, expires=0.3)
    assert result.tasks["2"] is TaskStatus.FAILED


def test_a_failure_elsewhere_withdraws_a_task_that_waits_for_people(scene: Scene) -> None:
    text = """# Withdrawn

**Task 1: Waits**
- **Approve**: 1 of ops
- **Run**: `EFFECT`

**Task 2: Fails**
- **Run**: `while [ ! -e go ]; do sleep 0.02; done; exit 3`
"""
    run = scene.make(text).run
    scene.worker()
    scene.until_task("1", TaskStatus.APPROVAL)
    (scene.folder / "go").touch()
    result = scene.wait()
    assert result.failed == "2"
    assert result.tasks["1"] is TaskStatus.SKIPPED
    assert scene.effects() == []
    with pytest.raises(Refused):
        scene.desk.approve(run, "1", ANN)


def test_a_person_has_one_name_and_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    from crossfade.runs.people import whoami

    monkeypatch.setenv("LOGNAME", "somebody-else")
    monkeypatch.setenv("USER", "somebody-else")
    me = whoami({})
    assert me.name == me.account != "somebody-else"
    other = whoami({"CROSSFADE_USER": "ann"})
    assert (other.name, other.account, other.uid) == ("ann", me.account, me.uid)
    assert str(other) == f"ann (as {me.account}@{me.host})"
    assert isinstance(other, Person)
    for wrong in (" ann", "ann\n", "a\x07", "x" * 300):
        with pytest.raises(UsageError):
            whoami({"CROSSFADE_USER": wrong})
