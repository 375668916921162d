"""Random plans: the shapes in which plans are written, put together at random, with realistic disorder."""

from __future__ import annotations

from hypothesis import strategies as st

WORDS = st.sampled_from(
    [
        "Copy the data",
        "Switch over",
        "Backup and restore",
        "Größe prüfen",
        "Decide: this or that",
        "`config/app.yml` anpassen",
        "A | B",
        "Prüfe — alles",
        "Set up CI (new)",
        "Move * and _x_",
        "done",
        "Phase of the moon",
        "100 % of it",
        "T",
    ]
)
STATUSES = st.sampled_from(
    [
        "⏳ Not Started",
        "✅ Complete",
        "🔄 In Progress",
        "in progress (60%)",
        "blocked - waiting",
        "todo",
        "DONE",
        "⚪ Pending",
        "",
        "dreaming",
        "40% complete",
        "🟡 On Track",
        "-",
        "**Done**",
    ]
)
NUMBERS = st.integers(1, 9).map(str)


@st.composite
def task_block(draw: st.DrawFn) -> list[str]:
    number = f"{draw(NUMBERS)}.{draw(NUMBERS)}"
    word = draw(st.sampled_from(["Task", "Task", "Slice", "Step"]))
    title = f"{word} {number}: {draw(WORDS)}{draw(st.sampled_from(['', '', ' (2 h)', ' - ✅ COMPLETED', ' - ⏳ PENDING', ' (Week 3)']))}"
    shape = draw(st.sampled_from(["**{}**", "### {}", "#### {}", "- **{}**", "**{}** *(1 hour)*"]))
    bullet = draw(st.sampled_from(["- ", "* ", "", "  - "]))
    if shape.startswith("- "):
        bullet = "  - "
    style = draw(st.sampled_from(["**{}**: {}", "**{}:** {}", "__{}__: {}"]))
    lines = [shape.format(title)]
    for _ in range(draw(st.integers(0, 4))):
        name, value = draw(
            st.sampled_from(
                [
                    ("Status", None),
                    ("Progress", "40%"),
                    ("Progress", "2/5 tables"),
                    ("Owner", "ops"),
                    ("Time", "1-2 hours"),
                    ("Dependencies", "Task 1.1, Phase 1"),
                    ("Evidence", "[log](a.json)"),
                    ("Started", "2025-03-01"),
                    ("Description", "some words — and more"),
                    ("Run", "`crossfade copy`"),
                    ("Notes", ""),
                ]
            )
        )
        lines.append(bullet + style.format(name, draw(STATUSES) if value is None else value))
        if name in ("Notes", "Description") and bullet and draw(st.booleans()):
            lines.append(" " * (len(bullet) + 2) + "- more of it")
    if draw(st.booleans()):
        lines.append("")
    return lines


@st.composite
def checkboxes(draw: st.DrawFn) -> list[str]:
    lines = []
    for _ in range(draw(st.integers(1, 4))):
        indent = "  " * draw(st.integers(0, 2))
        marker = draw(st.sampled_from(["-", "*", "1."]))
        box = draw(st.sampled_from(["[ ]", "[x]", "[X]", "[/]", "[-]", "[ ]"]))
        tail = draw(st.sampled_from(["", "", " ✅", " - in progress", " (2h)", " @ops"]))
        lines.append(f"{indent}{marker} {box} {draw(WORDS)}{tail}")
        if draw(st.integers(0, 4)) == 0:
            lines.append(f"{indent}  - **Status**: {draw(STATUSES)}")
    return lines


@st.composite
def table(draw: st.DrawFn) -> list[str]:
    columns = draw(
        st.lists(
            st.sampled_from(["Status", "Progress", "Owner", "Timeline", "Evidence", "Started", "Depends on"]),
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    head = ["Task", *columns]
    cells = {
        "Task": WORDS.map(lambda words: words.replace("|", "\\|")),
        "Status": STATUSES,
        "Progress": st.sampled_from(["0%", "40%", "100", "", "3/5"]),
        "Owner": st.sampled_from(["ops", "TBD", ""]),
        "Timeline": st.sampled_from(["Week 7", "Weeks 7–14", ""]),
        "Evidence": st.sampled_from(["", "-", "[a](b)"]),
        "Started": st.sampled_from(["", "2025-03-01"]),
        "Depends on": st.sampled_from(["-", "Task 1.1"]),
    }
    rows = [[draw(cells[name]) for name in head] for _ in range(draw(st.integers(1, 4)))]
    pad = draw(st.booleans())
    widths = [max(len(row[at]) for row in [head, *rows]) if pad else 0 for at in range(len(head))]

    def line(row: list[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"

    lines = [line(head), "|" + "|".join("-" * (width + 2 or 3) for width in widths) + "|", *map(line, rows)]
    return ["", *lines, ""]


@st.composite
def other(draw: st.DrawFn) -> list[str]:
    return draw(
        st.sampled_from(
            [
                ["## Phase 1: First (Weeks 1–2)"],
                ["## Phase 2: Second"],
                ["### Week 3"],
                ["#### Day 2-3"],
                ["## Notes"],
                ["## Risks", "- **Loss**: backup"],
                ["## Success criteria", "- [ ] p95 < 200 ms"],
                ["**Week 5: Load**"],
                ["- plain bullet", "- another one"],
                ["Some words.", "More of them."],
                ["> **Status**: quoted"],
                ["```", "- [ ] fenced", "```"],
                ["<!-- - [ ] hidden -->"],
                ["---"],
                [""],
                ["**Day 1 Total**: 7 hours"],
                ["\ttabbed"],
            ]
        )
    )


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """A whole plan in bytes: maybe with Windows line ends, a byte order mark, mojibake, no last line end."""
    lines = ["# A plan"]
    for _ in range(draw(st.integers(0, 7))):
        lines += draw(st.one_of(task_block(), checkboxes(), table(), other()))
    text = draw(st.sampled_from(["\n", "\n", "\r\n"])).join(lines)
    if draw(st.booleans()):
        text += "\n"
    damage = draw(st.sampled_from(["none", "none", "whole", "lost", "half"]))
    if damage == "whole":
        text = text.encode("utf-8").decode("sloppy-windows-1252")
    elif damage == "lost":
        text = text.encode("utf-8").decode("cp1252", "ignore")
    elif damage == "half":
        middle = len(text) // 2
        text = text[:middle] + text[middle:].encode("utf-8").decode("sloppy-windows-1252")
    return (b"\xef\xbb\xbf" if draw(st.integers(0, 5)) == 0 else b"") + text.encode("utf-8")
