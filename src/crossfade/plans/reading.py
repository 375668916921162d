"""Plans as people write them, read into one model.

`parse_plan` reads the bytes of a Markdown document, `read_plan` a file.  Nothing in a document makes them fail but
what is no text at all (`crossfade.errors.PlanError`); what is odd in it is read as well as can be and told in
`Plan.notices`, with file and line.

**What is a task**

- a task block: a heading, a bold line or a bullet ``Task 28.1: Title`` (``Slice 1.2: …``, ``Step 3: …``), or a heading
  ``1.2 Title`` right under a phase or with a task's fields; its fields follow it, as bullets or as lines;
- a row of a table of tasks (`crossfade.plans.tables`); of a table that is indented below a task's bullets it is a
  subtask;
- every checkbox, wherever it stands, but not under gates and criteria (it is a gate then), registers (an entry
  then) and how to roll back (steps for the day nobody wants);  checkboxes below one are its subtasks;
- a plain bullet right under the heading of a phase or week, under a heading or label that says tasks, or under a
  neutral heading inside a phase.  Not under prose headings (`crossfade.plans.headings` has the list), not when it is
  a field of the phase (``**Owner**: …``), under a neutral heading not when it is ``**Name**: words``, and not in a
  phase that has tasks in another shape as well: beside checkboxes bullets are remarks, unless they have a time, an
  estimate, a status or an owner of their own, or checkboxes below them.

**Where it belongs**: the innermost phase heading above it; a heading that carries tasks but has no phase above is
made a phase; tasks under no heading (or right under the title) belong to a phase that stands for the document.

**Block quotes** right below a heading are read for its fields, never for tasks.  Code is read for the field
``Run``, ``Undo`` or ``Gate`` in front of it.
"""

from __future__ import annotations

from pathlib import Path

from crossfade.errors import PlanError
from crossfade.plans.finishing import finish
from crossfade.plans.manuscript import Manuscript
from crossfade.plans.model import Plan
from crossfade.plans.scanner import read_outline
from crossfade.plans.walking import Walker


def read_plan(path: str | Path) -> Plan:
    """The plan in a file.  Raises `PlanError` when the file cannot be read or is no text."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise PlanError(
            f"the plan cannot be read: {error.strerror or error}",
            where=str(path),
            todo="check the path and the permissions",
        ) from error
    return parse_plan(data, str(path))


def parse_plan(data: bytes, file: str) -> Plan:
    """The plan in these bytes; ``file`` is what its items name as their source.

    Raises `PlanError` for bytes that are no text.
    """
    book = Manuscript(data, file)
    return finish(Walker(book, read_outline(book)).walk())
