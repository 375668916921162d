"""Registers written as lists and headings: one bullet, one entry."""

from __future__ import annotations

import pytest

from crossfade.plans.model import GateKind, Plan, Status
from crossfade.plans.reading import parse_plan
from crossfade.plans.records import parse_quantity


def read(text: str) -> Plan:
    return parse_plan(text.encode("utf-8"), "p.md")


@pytest.mark.parametrize(
    ("bullet", "identifier", "title", "window"),
    [
        ("**M1: Ready** (Week 4)", "M1", "Ready", "Week 4"),
        ("**M1** (Week 4): Ready", "M1", "Ready", "Week 4"),
        ("M1: Ready (Week 4)", "M1", "Ready", "Week 4"),
        ("**Milestone 1: Ready** (Week 4)", "M1", "Ready", "Week 4"),
        ("**Milestone 1**: Ready (Week 4)", "M1", "Ready", "Week 4"),
        ("**M1: Ready** (Week 4) - for good", "M1", "Ready", "Week 4"),
        ("**Ready** - Week 4", "M1", "Ready", "Week 4"),
        ("Ready — Week 4", "M1", "Ready", "Week 4"),
        ("**Week 4**: Ready", "M1", "Ready", "Week 4"),
        ("**Ready**: everything works", "M1", "Ready", None),
    ],
)
def test_milestones(bullet: str, identifier: str, title: str, window: str | None) -> None:
    (one,) = read(f"## Milestones\n1. {bullet}\n").milestones
    assert (one.id, one.title, one.window and one.window.raw) == (identifier, title, window)


def test_milestones_with_a_box_and_with_fields() -> None:
    plan = read(
        "## Milestones\n- [x] **M1: a**\n  - **Date**: 2025-03-01\n  - **Owner**: ops\n  - proven\n- M2: b ✅\n"
    )
    one, two = plan.milestones
    assert (one.status, one.owner, one.criteria, two.status) == (Status.DONE, "ops", ("proven",), Status.DONE)
    assert one.window is not None
    assert one.window.raw == "2025-03-01"


def test_a_milestone_heading_and_its_work() -> None:
    plan = read(
        "## Phase 1: A\n### Milestone 2: Half (Week 4)\n- both agree\n- **Owner**: ops\n- [ ] measure\n"
    )
    (one,) = plan.milestones
    assert (one.id, one.title, one.criteria, one.owner, one.phase) == (
        "M2",
        "Half",
        ("both agree",),
        "ops",
        "Phase 1",
    )
    assert [(task.title, task.phase) for task in plan.tasks] == [("measure", "Phase 1")]


def test_milestone_headings_in_their_register_have_criteria_only() -> None:
    plan = read("## Milestones\n### Week 4: Half\n- [ ] both agree\n")
    assert [(one.title, one.criteria) for one in plan.milestones] == [("Week 4: Half", ("both agree",))]
    assert plan.tasks == ()


@pytest.mark.parametrize(
    ("bullet", "said"),
    [
        ("**Loss**: rows vanish", {"title": "Loss", "description": "rows vanish"}),
        (
            "**Loss**: rows vanish; mitigation: backup",
            {"title": "Loss", "description": "rows vanish", "mitigation": "backup"},
        ),
        ("Loss → backup", {"title": "Loss", "mitigation": "backup"}),
        ("Loss -> backup", {"title": "Loss", "mitigation": "backup"}),
        ("Loss (High/Low)", {"title": "Loss", "probability": "High", "impact": "Low"}),
        (
            "**Loss** (High/Low): bad",
            {"title": "Loss", "probability": "High", "impact": "Low", "description": "bad"},
        ),
        ("Loss (High)", {"title": "Loss", "severity": "High"}),
        ("R3: Loss", {"id": "R3", "title": "Loss"}),
        ("Risk 3: Loss", {"id": "R3", "title": "Loss"}),
        (
            "**Loss**\n  - **Probability**: Low\n  - **Mitigation**: backup",
            {"probability": "Low", "mitigation": "backup"},
        ),
        (
            "**Risk**: Loss\n- **Impact**: High\n- **Mitigation**: backup",
            {"title": "Loss", "impact": "High", "mitigation": "backup"},
        ),
        ("**Loss**\n  - **Risk**: rows vanish", {"title": "Loss", "description": "rows vanish"}),
    ],
)
def test_risks(bullet: str, said: dict[str, str]) -> None:
    (risk,) = read(f"## Risks\n- {bullet}\n").risks
    assert {name: getattr(risk, name) for name in said} == said


def test_under_risk_mitigation_the_value_is_the_cure() -> None:
    (risk,) = read("### Risk mitigation\n- **Loss**: backup\n").risks
    assert (risk.title, risk.mitigation, risk.description) == ("Loss", "backup", "")


def test_risk_headings() -> None:
    plan = read(
        "## Risk management\n### High risks\n#### 1. Loss (Week 3)\n**Risk**: rows vanish\n**Impact**: all\n**Mitigation**:\n- a\n- b\n"
        "### Risk 2: Delay\n- **Impact**: Low\n"
    )
    assert [(risk.title, risk.description, risk.impact, risk.mitigation) for risk in plan.risks] == [
        ("Loss", "rows vanish", "all", "a\nb"),
        ("Delay", "", "Low", ""),
    ]


def test_decisions() -> None:
    plan = read(
        "## Decisions\n- **Database**: PostgreSQL\n- ADR-4: Keep the ORM\n- **Decision**: Two regions\n- Chosen on 2025-03-01\n"
        "### ADR-003: Use Vault\n**Status**: Accepted\n**Date**: 2025-02-01\n**Context**: c\n**Decision**: d\n**Alternatives**:\n- e\n- f\n"
        "### Which cloud?\n- **Due**: Week 3\n"
    )
    assert [(one.id, one.title, one.outcome) for one in plan.decisions] == [
        ("D1", "Database", "PostgreSQL"),
        ("ADR-4", "Keep the ORM", ""),
        ("D2", "Two regions", ""),
        ("D3", "Chosen on 2025-03-01", ""),
        ("ADR-003", "Use Vault", "d"),
        ("D4", "Which cloud?", ""),
    ]
    vault, cloud = plan.decisions[-2:]
    assert (vault.status_text, str(vault.date), vault.context, vault.alternatives) == (
        "Accepted",
        "2025-02-01",
        "c",
        "e\nf",
    )
    assert cloud.due is not None
    assert cloud.due.raw == "Week 3"


@pytest.mark.parametrize(
    ("bullet", "name", "current", "target"),
    [
        ("Uptime: 99.9% → 99.95%", "Uptime", "99.9%", "99.95%"),
        ("**Uptime**: 99.95%", "Uptime", None, "99.95%"),
        ("p95 < 200 ms", "p95", None, "< 200 ms"),
        ("Cost: from $90 to $20", "Cost", "$90", "$20"),
        ("Time: currently 4 ms, target: < 150 ms", "Time", "4 ms", "< 150 ms"),
        ("**Time**\n  - **Current**: 4 ms\n  - **Target**: 9 ms", "Time", "4 ms", "9 ms"),
    ],
)
def test_metrics(bullet: str, name: str, current: str | None, target: str) -> None:
    (metric,) = read(f"## KPIs\n- {bullet}\n").metrics
    assert metric.name == name
    assert (metric.current and metric.current.raw, metric.target and metric.target.raw) == (current, target)


@pytest.mark.parametrize(
    ("text", "comparison", "number", "unit"),
    [
        ("< 200 ms", "<", 200, "ms"),
        ("≤ 1.2 %", "<=", 1.2, "%"),
        ("under 900 ms", "<", 900, "ms"),
        ("at least 3", ">=", 3, ""),
        ("5+", ">=", 5, ""),
        ("1,500 requests/s", "", 1500, "requests/s"),
        ("$2,400", "", 2400, "$"),
        ("10k", "", 10_000, ""),
        ("3 per week", "", 3, "per week"),
        ("5/8", "", 5, "/8"),
        ("100% of rows", "", 100, "%"),
        ("good", "", None, ""),
    ],
)
def test_quantities(text: str, comparison: str, number: float | None, unit: str) -> None:
    found = parse_quantity(text)
    assert found is not None
    assert (found.comparison, found.number, found.unit, found.raw) == (comparison, number, unit, text)


@pytest.mark.parametrize("text", ["", "-", "TBD", "n/a"])
def test_no_quantity(text: str) -> None:
    assert parse_quantity(text) is None


def test_a_box_under_metrics_without_a_number_is_a_criterion() -> None:
    plan = read("## Success metrics\n- [ ] Nobody was called\n- [ ] p95 < 200 ms\n")
    assert [gate.text for gate in plan.gates] == ["Nobody was called"]
    assert plan.gates[0].kind is GateKind.SUCCESS
    assert [metric.name for metric in plan.metrics] == ["p95"]


def test_rollback_triggers_and_their_actions() -> None:
    plan = read("## Rollback triggers\n- Errors > 5 % → roll back\n- Stock negative\n  - **Action**: call\n")
    assert [(gate.kind, gate.text, gate.action) for gate in plan.gates] == [
        (GateKind.ROLLBACK, "Errors > 5 %", "roll back"),
        (GateKind.ROLLBACK, "Stock negative", "call"),
    ]


def test_people_and_workstreams() -> None:
    plan = read(
        "## Stakeholders\n- **Owner of the shop** (Sponsor): no night shift\n- Support\n## Workstreams\n- **Data**: copy\n"
        "## Phase 1: A\n### Data Workstream\n- one\n### Track B: Code\n- [ ] two\n"
    )
    assert [(one.name, one.role, one.responsibility) for one in plan.stakeholders] == [
        ("Owner of the shop", "Sponsor", "no night shift"),
        ("Support", "", ""),
    ]
    assert [(one.name, one.description) for one in plan.workstreams] == [("Data", "copy"), ("Code", "")]
    assert {task.title: task.workstream for task in plan.tasks}["two"] == "Code"


def test_registers_under_a_label() -> None:
    plan = read(
        "## Phase 1: A\n**Risks:**\n- Loss → backup\n\n**Success criteria**:\n- fast\n\nKPIs:\n- p95 < 200 ms\n\n"
        "More words.\n\n- **Rollback triggers**: errors > 5 %\n- **Milestones**:\n  - M1: Ready (Week 2)\n\n**Deliverables**:\n- Report\n"
    )
    assert [risk.title for risk in plan.risks] == ["Loss"]
    assert [(gate.text, gate.kind, gate.phase) for gate in plan.gates] == [
        ("fast", GateKind.SUCCESS, "Phase 1"),
        ("errors > 5 %", GateKind.ROLLBACK, "Phase 1"),
    ]
    assert [metric.name for metric in plan.metrics] == ["p95"]
    assert [one.title for one in plan.milestones] == ["Ready"]
    assert plan.phases[0].deliverables == ("Report",)
