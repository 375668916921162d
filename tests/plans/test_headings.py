"""What headings announce."""

from __future__ import annotations

import pytest

from crossfade.plans.headings import Category, classify, gate_kind, milestone_parts, phase_name
from crossfade.plans.model import GateKind


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Phase 4: Data", "Phase 4"),
        ("📅 Phase 1: Foundation (Week 1) - ✅ COMPLETED", "Phase 1"),
        ("3. Phase 1: Inventory", "Phase 1"),
        ("Phase II – Move", "Phase II"),
        ("Phase One: Go", "Phase One"),
        ("Phase A - Prepare", "Phase A"),
        ("Phase 1 Foundation", "Phase 1"),
        ("Preparation Phase", "Preparation Phase"),
        ("Stage 2", "Stage 2"),
        ("MVP 0: Foundation", "MVP 0"),
        ("Sprint 3 (2 weeks)", "Sprint 3"),
        ("Week 7-8: Containers", "Week 7-8"),
        ("Weeks 7 – 8", "Week 7-8"),
        ("Day 2-3", "Day 2-3"),
        ("Weekend", "Weekend"),
        ("Weekend: the big ones", "Weekend"),
        ("Q3 2025: Prepare", "Q3 2025"),
        ("2025-03-03 – 2025-03-07: Rehearsal", "2025-03-03 – 2025-03-07"),
    ],
)
def test_phases(text: str, name: str) -> None:
    heading = classify(text)
    assert (heading.category, heading.name) == (Category.PHASE, name)


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("Phase 1 Summary", Category.PROSE),
        ("Phase 5 Overview", Category.PROSE),
        ("Week 1 Status", Category.PROSE),
        ("Phase 1 Gate (Week 6)", Category.GATES),
        ("Phase 1 Success Criteria", Category.GATES),
        ("Phase 2 Risks", Category.RISKS),
        ("Phase 2 deliverables", Category.DELIVERABLES),
        ("Phase 2 tasks", Category.TASKS),
    ],
)
def test_what_speaks_of_a_phase_is_none(text: str, category: Category) -> None:
    heading = classify(text)
    assert heading.category is category
    assert heading.refers == phase_name(text)
    assert heading.refers


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("Task 1.1: Install", Category.TASK),
        ("Slice 1.2: Upload", Category.TASK),
        ("Step 1: Create the database (5 minutes)", Category.TASK),
        ("🚦 Quality gates", Category.GATES),
        ("Rollback triggers", Category.GATES),
        ("When to roll back", Category.GATES),
        ("Go/No-Go", Category.GATES),
        ("Definition of Done", Category.GATES),
        ("Critical success factors", Category.GATES),
        ("🚨 Current Risks & Issues", Category.RISKS),
        ("High-Risk Items 🔴", Category.RISKS),
        ("Decision log", Category.DECISIONS),
        ("ADR-003: Use Vault", Category.DECISION),
        ("Decision: Blue and green", Category.DECISION),
        ("KPIs", Category.METRICS),
        ("Success metrics", Category.METRICS),
        ("Performance targets", Category.METRICS),
        ("Key milestones", Category.MILESTONES),
        ("Milestone 2: Cutover (Week 14)", Category.MILESTONE),
        ("M2: Cutover", Category.MILESTONE),
        ("Stakeholders", Category.STAKEHOLDERS),
        ("Roles & responsibilities", Category.STAKEHOLDERS),
        ("Workstreams", Category.WORKSTREAMS),
        ("📚 Documentation Workstream", Category.WORKSTREAM),
        ("Track A: Data", Category.WORKSTREAM),
        ("Deliverables", Category.DELIVERABLES),
        ("Rollback plan", Category.ROLLBACK),
        ("Rollback", Category.ROLLBACK),
        ("Contingency plan", Category.ROLLBACK),
        ("Readiness checklist", Category.TASKS),
        ("Action items", Category.TASKS),
        ("Overview", Category.PROSE),
        ("Objectives", Category.PROSE),
        ("Notes", Category.PROSE),
        ("Background and context", Category.PROSE),
        ("Lessons learned", Category.PROSE),
        ("Contacts", Category.PROSE),
        ("Stakeholder communication", Category.PROSE),
        ("Immediate next steps (Week 2)", Category.PROSE),
        ("✅ Completed deliverables (Week 1)", Category.PROSE),
        ("Resource requirements", Category.PROSE),
        ("Database", Category.NEUTRAL),
        ("Move the files", Category.NEUTRAL),
        ("API gateway", Category.NEUTRAL),
        ("Pre-migration", Category.NEUTRAL),
    ],
)
def test_categories(text: str, category: Category) -> None:
    assert classify(text).category is category


def test_a_heading_with_a_window_in_brackets_is_a_phase() -> None:
    heading = classify("Foundation (Weeks 1-2)")
    assert heading.category is Category.PHASE
    assert heading.window is not None
    assert heading.window.raw == "Weeks 1-2"


def test_the_window_of_a_week_is_its_own() -> None:
    week = classify("Week 11: Integration (Days 51-55)").window
    phase = classify("Phase 1: Planning (Weeks 1-6)").window
    assert week is not None
    assert phase is not None
    assert (week.raw, phase.raw) == ("Week 11", "Weeks 1-6")


def test_titles_lose_decoration_and_status_but_keep_brackets() -> None:
    assert (
        classify("📅 Phase 2: Copy (Week 2) - 🔄 IN PROGRESS (60% complete)").title
        == "Phase 2: Copy (Week 2)"
    )


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Rollback criteria", GateKind.ROLLBACK),
        ("Abort conditions", GateKind.ROLLBACK),
        ("Acceptance criteria", GateKind.SUCCESS),
        ("Exit criteria", GateKind.QUALITY),
        ("Gate", GateKind.QUALITY),
        ("Gateway", None),
        ("Rollback plan", None),
    ],
)
def test_gate_kind(text: str, kind: GateKind | None) -> None:
    assert gate_kind(text) is kind


def test_milestone_parts() -> None:
    assert milestone_parts("M1: Kick-off") == ("M1", "Kick-off")
    assert milestone_parts("Milestone 2 – Cutover") == ("M2", "Cutover")
    assert milestone_parts("Cutover") == ("", "Cutover")
