"""Handing the evidence over: one archive that can be checked without Crossfade.

``ledger.jsonl`` is the ledger as it is, ``runs/`` what commands printed, ``evidence.md`` the same entries for
reading, and ``SHA256SUMS`` the digest of each, as ``sha256sum --check`` reads them.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from crossfade import spec as specs
from crossfade.errors import EvidenceBroken, LedgerError, UsageError
from crossfade.ledger import Entry, Ledger, Verification

_OUTPUTS = "runs"
"""Beside the ledger: one folder for each run, with what its commands printed."""


@dataclass(frozen=True, slots=True)
class Exported:
    """How many entries, the hash of the last, and the names in the archive."""

    entries: int
    head: str
    files: tuple[str, ...]


def ledger_of(spec: Path, *, given: bool = True) -> Path:
    """The ledger of a move; without a spec (``given`` says that it was named) the one of runs in this folder.
    ``SpecError``."""
    if not given and not spec.exists():
        kept = Path(".crossfade") / "ledger.jsonl"
        if kept.exists():
            return kept
    return specs.load(spec).state / "ledger.jsonl"


def demand_whole(path: Path, *, head: str | None = None) -> Verification:
    """``EvidenceBroken`` when an entry was altered, removed, added or moved, or when none has the hash
    ``head``; ``LedgerError`` when there is no ledger."""
    if not path.exists():
        raise LedgerError("there is no ledger yet", where=str(path), todo="run a verb of the move first")
    ledger = Ledger(path)
    found = ledger.verify()
    todo = "keep the file as it is; what stands before the broken entry is sound"
    if not found.whole:
        raise EvidenceBroken(found.reason, where=f"{path}:{found.first_broken}", todo=todo)
    if head is not None and not any(entry.hash == head for entry in ledger.read()):
        raise EvidenceBroken(
            f"no entry has the hash {head}",
            where=str(path),
            todo="entries were cut off the end, or this is another ledger",
        )
    return found


def export(path: Path, output: Path) -> Exported:
    """Write the archive.  ``EvidenceBroken`` for a ledger that is not whole, ``UsageError`` when the archive is
    there already."""
    found = demand_whole(path)
    # somebody may be appending: only what was checked goes along
    entries = list(itertools.islice(Ledger(path).read(), found.entries))
    with path.open("rb") as lines:
        content = b"".join(itertools.islice(lines, found.entries))
    files: dict[str, bytes] = {"ledger.jsonl": content, "evidence.md": "".join(_page(entries)).encode()}
    for file in sorted((path.parent / _OUTPUTS).rglob("*")):
        if file.is_file():
            files[file.relative_to(path.parent).as_posix()] = file.read_bytes()
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items())
    files["SHA256SUMS"] = sums.encode()
    try:
        with output.open("xb") as target, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    except FileExistsError:
        raise UsageError(
            "is there already", where=str(output), todo="name another file; nothing is overwritten"
        ) from None
    except OSError as error:
        raise LedgerError(
            f"cannot be written ({error.strerror or error})",
            where=str(output),
            todo="check the folder and the disk",
        ) from error
    return Exported(found.entries, found.head, tuple(files))


def _page(entries: Iterable[Entry]) -> Iterator[str]:
    yield "# Evidence\n\n| no. | when | who | what | measured |\n|---|---|---|---|---|\n"
    for entry in entries:
        data = json.dumps(entry.data, ensure_ascii=False, sort_keys=True)
        cells = (str(entry.seq), entry.at, str(entry.who.get("user", "")), entry.event, data)
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |\n"
