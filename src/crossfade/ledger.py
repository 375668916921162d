"""Evidence: what each step of a move measured and decided, in an append-only, hash-chained file.

``ledger.jsonl`` holds one entry a line, each line the canonical JSON (sorted keys, no white space,
UTF-8) of::

    {"seq": 7, "at": "2026-03-01T12:00:00.123Z", "who": {"user": "ann@host", "pid": 12, "version": "0.1.0"},
     "move": "timeline", "event": "switch.commit", "data": {...}, "prev": "<hash of seq 6>", "hash": "..."}

``hash`` is the SHA-256 of the canonical JSON of everything else, ``prev`` the hash of the entry
before (64 zeros for the first), so that an entry that is altered, removed or put between two others
is found.  Entries cut off the *end* leave a valid chain: whoever must exclude that keeps
``Verification.head`` somewhere else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import fcntl
import getpass
import hashlib
import json
import math
import numbers
import os
import re
import socket
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from crossfade import __version__
from crossfade.errors import CrossfadeError, LedgerError
from crossfade.masking import MASK, mask, names_a_secret

GENESIS = "0" * 64
"""``prev`` of the first entry."""

_EVENT = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")
_FIELDS = frozenset({"seq", "at", "who", "move", "event", "data", "prev", "hash"})
_TAIL = 1 << 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger; ``at`` is RFC 3339 in UTC with milliseconds."""

    seq: int
    at: str
    who: dict[str, Any]
    move: str
    event: str
    data: dict[str, Any]
    prev: str
    hash: str


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether the chain is whole: the entries before the first broken line, that line's number
    (from 1; None when nothing is broken) and why, and the hash of the last good entry."""

    entries: int
    first_broken: int | None
    reason: str
    head: str

    @property
    def whole(self) -> bool:
        return self.first_broken is None


class Ledger:
    """The ledger of one move.

    ``path`` is the file; it and its directory are made at the first append, readable by their owner
    only.  ``secrets`` are values that must never enter (those that the spec took from ``${VAR}``).
    Appending waits at most ``patience`` seconds for another process that is appending.
    """

    def __init__(
        self, path: Path, *, move: str = "", secrets: Sequence[str] = (), patience: float = 5.0
    ) -> None:
        self.path = path
        self.torn = path.with_suffix(".torn")
        self._move = move
        self._secrets = tuple(secrets)
        self._patience = patience
        self._keys: set[str] = set()
        self._keys_of: tuple[int, int] | None = None
        self._keys_to = 0

    def append(self, event: str, /, **data: Any) -> Entry:
        """Add one entry; when this returns, it is on the disk.

        Safe between processes and threads.  A fragment that a killed writer left at the end is moved
        to ``ledger.torn`` first, and an entry ``ledger.torn`` says so.  Raises ``LedgerError`` when a
        value has no JSON form, the last entry is damaged, or the file cannot be written; then
        nothing was added.
        """
        evidence = self._evidence(event, data)
        with self._appending() as (file, last):
            return self._write(file, last, event, evidence)

    def append_once(self, event: str, key: str, /, **data: Any) -> Entry | None:
        """As ``append``, with ``key`` in the entry's data, unless an entry of that key is there: then None.

        However many processes try, one entry of a key is added.  Each ``Ledger`` reads the file once, and from
        then on only what was added to it.
        """
        evidence = self._evidence(event, {**data, "key": key})
        with self._appending() as (file, last):
            # as it is stored, so that a key is found again in which something is masked
            if evidence["key"] in self._keys_in(file):
                return None
            return self._write(file, last, event, evidence)

    def lacking(self, keys: Sequence[str]) -> list[str]:
        """Those of the keys of which there is no entry yet, in their order.  ``LedgerError`` as for ``append``."""
        if not keys:
            return []
        with self._appending() as (file, _):
            known = self._keys_in(file)
            return [key for key in keys if self._evidence("ledger.lacking", {"key": key})["key"] not in known]

    def read(self) -> Iterator[Entry]:
        """The entries from the first on; a fragment at the end is not an entry and is left out.

        Raises ``LedgerError`` at the first line that is no entry; ``verify`` checks the chain.
        """
        for number, line in self._lines():
            if line.endswith(b"\n"):
                found = _entry(line)
                if found is None:
                    raise self._damaged(f"line {number} is not an entry")
                yield Entry(**found)

    def verify(self) -> Verification:
        """Check every line: form, numbering, chain and hash.  A missing file is an empty ledger."""
        entries, head = 0, GENESIS
        for number, line in self._lines():
            reason = self._broken(number, line, head)
            if reason:
                return Verification(entries, number, reason, head)
            entries, head = number, json.loads(line)["hash"]
        return Verification(entries, None, "", head)

    # -- writing --

    def _evidence(self, event: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON form of an entry's data."""
        if not _EVENT.fullmatch(event):
            raise LedgerError(
                f"{event!r} is not an event name",
                where=str(self.path),
                todo="use dotted lower-case words, such as switch.commit",
            )
        return _fields_of(data, "data", self._secrets)

    @contextlib.contextmanager
    def _appending(self) -> Iterator[tuple[int, Entry | None]]:
        """The file, locked and without a fragment at its end, and its last entry."""
        try:
            with self._locked_for_writing() as file:
                yield file, self._repair(file)
        except OSError as error:
            raise LedgerError(
                f"cannot be written ({error.strerror or error})",
                where=str(self.path),
                todo="check the state directory's disk space and permissions",
            ) from error

    @contextlib.contextmanager
    def _locked_for_writing(self) -> Iterator[int]:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_new = not self.path.exists()
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._lock(file, fcntl.LOCK_EX)
            if is_new:
                _sync_directory(self.path.parent)
            yield file
        finally:
            os.close(file)

    def _lock(self, file: int, kind: int) -> None:
        # Not a blocking lock: a writer stopped by a signal must not stop the process that repairs
        # what it left behind.
        until = time.monotonic() + self._patience
        while not _try_lock(file, kind):
            if time.monotonic() >= until:
                raise LedgerError(
                    f"another process has been writing for more than {self._patience:g} s",
                    where=str(self.path),
                    todo=f"find it with: fuser -v {self.path}",
                )
            time.sleep(0.002)

    def _repair(self, file: int) -> Entry | None:
        """The last entry, after moving a fragment behind it out of the way."""
        end, line = _last_line(file)
        last = None
        if line:
            found = _entry(line) or {}
            reason = self._broken(found.get("seq", 0), line, found.get("prev", ""))
            if reason:
                raise self._damaged(f"the last entry is damaged: {reason}")
            last = Entry(**found)
        size = os.fstat(file).st_size
        if end < size:
            fragment = os.pread(file, size - end, end)
            self._keep(fragment)
            os.ftruncate(file, end)
            last = self._write(
                file,
                last,
                "ledger.torn",
                {
                    "bytes": len(fragment),
                    "sha256": hashlib.sha256(fragment).hexdigest(),
                    "file": self.torn.name,
                },
            )
        return last

    def _keys_in(self, file: int) -> set[str]:
        """The keys of all entries; the caller has the lock, and there is no fragment."""
        status = os.fstat(file)
        if self._keys_of != (status.st_dev, status.st_ino) or status.st_size < self._keys_to:
            self._keys, self._keys_of, self._keys_to = set(), (status.st_dev, status.st_ino), 0
        with os.fdopen(os.dup(file), "rb") as reader:
            reader.seek(self._keys_to)
            for line in reader:
                found = _entry(line) if b'"key":"' in line else None
                key = found["data"].get("key") if found else None
                if isinstance(key, str):
                    self._keys.add(key)
        self._keys_to = status.st_size
        return self._keys

    def _keep(self, fragment: bytes) -> None:
        with self.torn.open("ab") as torn:
            os.fchmod(torn.fileno(), 0o600)
            torn.write(fragment + b"\n")
            torn.flush()
            os.fsync(torn.fileno())
        _sync_directory(self.torn.parent)

    def _write(self, file: int, last: Entry | None, event: str, data: dict[str, Any]) -> Entry:
        body: dict[str, Any] = {
            "seq": last.seq + 1 if last else 1,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "who": {"user": f"{_user()}@{socket.gethostname()}", "pid": os.getpid(), "version": __version__},
            "move": self._move,
            "event": event,
            "data": data,
            "prev": last.hash if last else GENESIS,
        }
        entry = Entry(**body, hash=_digest(body))
        line = _canonical(body | {"hash": entry.hash}) + b"\n"
        before = os.fstat(file).st_size
        try:
            written = 0
            while written < len(line):
                written += os.write(file, line[written:])
            os.fsync(file)
        except OSError:
            # A full disk must not leave half a line for the next writer to explain.
            with contextlib.suppress(OSError):
                os.ftruncate(file, before)
            raise
        return entry

    # -- reading --

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Numbered lines, those that are there now; only a torn last one lacks its newline."""
        try:
            with self.path.open("rb") as file:
                # Whole lines never change again, so they are read without the lock; a fragment is
                # cut off by the next append, so it is read under it.
                self._lock(file.fileno(), fcntl.LOCK_SH)
                left, _ = _last_line(file.fileno())
                fragment = os.pread(file.fileno(), os.fstat(file.fileno()).st_size - left, left)
                fcntl.flock(file, fcntl.LOCK_UN)
                number = 0
                while left > 0:
                    line = file.readline()
                    left -= len(line)
                    number += 1
                    yield number, line
                if fragment:
                    yield number + 1, fragment
        except FileNotFoundError:
            return
        except OSError as error:
            raise LedgerError(
                f"cannot be read ({error.strerror or error})",
                where=str(self.path),
                todo="check the permissions of the state directory",
            ) from error

    def _damaged(self, what: str) -> LedgerError:
        return LedgerError(
            what,
            where=str(self.path),
            todo="keep this file as it is for whoever audits the move, and move it aside; a new one is begun",
        )

    def _broken(self, number: int, line: bytes, prev: str) -> str:
        """Why the line cannot be entry ``number`` after the entry whose hash is ``prev``, or ``""``."""
        if not line.endswith(b"\n"):
            return f"torn: {len(line)} bytes without an end; the next append moves them to {self.torn.name}"
        found = _entry(line)
        if found is None:
            return "not an entry"
        claimed = found.pop("hash")
        if found["seq"] != number:
            return f"its number is {found['seq']}, not {number}: entries were removed, added or moved"
        if found["prev"] != prev:
            return "it does not follow the entry before it"
        # The bytes too: a repeated JSON key would parse to the same object.
        if claimed != _digest(found) or line != _canonical(found | {"hash": claimed}) + b"\n":
            return "its content does not match its hash"
        return ""


def _try_lock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _last_line(file: int) -> tuple[int, bytes]:
    """Where the last whole line ends, and that line with its newline (empty when there is none)."""
    at = os.fstat(file).st_size
    tail = b""
    while True:
        end = tail.rfind(b"\n") + 1
        start = tail.rfind(b"\n", 0, end - 1) + 1 if end else 0
        if start or at == 0:
            return at + end, tail[start:end]
        step = min(_TAIL, at)
        at -= step
        tail = os.pread(file, step, at) + tail


def _entry(line: bytes) -> dict[str, Any] | None:
    """The entry on a line, or None when it is none."""
    try:
        found = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.keys() != _FIELDS or not isinstance(found["data"], dict):
        return None
    return found


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _canonical(value: Any) -> bytes:
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode("utf-8", "surrogatepass")


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(body)).hexdigest()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user without a name
        return f"uid{os.getuid()}"


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


# --- evidence as JSON ---------------------------------------------------------


def _value_of(value: Any, where: str, secrets: Sequence[str]) -> Any:
    """The JSON form of a piece of evidence, masked; ``LedgerError`` when it has none.

    Paths, decimals and UUIDs become text, times ISO 8601 (in UTC where they have a zone), durations
    seconds, bytes hexadecimal, sets sorted lists, dataclasses objects, Crossfade's errors their
    ``as_json``.  Text that is not Unicode keeps its odd bytes as escapes.
    """
    match value:
        case enum.Enum():
            return _value_of(value.value, where, secrets)
        case None | bool():
            return value
        case str():
            return mask(value.encode("utf-8", "backslashreplace").decode(), secrets)
        case numbers.Integral():
            return int(value)
        case float():
            if math.isfinite(value):
                return float(value)
            raise _no_form(where, f"{value} has no JSON form", "say what it stands for, or leave it out")
        case os.PathLike() | uuid.UUID():
            return _value_of(str(value), where, secrets)
        case Decimal():
            return str(value)
        case datetime():
            return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
        case date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes() | bytearray() | memoryview():
            return mask(
                bytes(value).hex(), [secret.encode("utf-8", "surrogatepass").hex() for secret in secrets]
            )
        case CrossfadeError():
            return _fields_of(value.as_json(), where, secrets)
        case Mapping():
            return _object_of(value, where, secrets)
        case Set():
            return sorted((_value_of(item, where, secrets) for item in value), key=_canonical)
        case list() | tuple():
            return [_value_of(item, f"{where}/{at}", secrets) for at, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _fields_of(fields, where, secrets)
    raise _no_form(where, f"a {type(value).__name__} has no JSON form", "give its text, number or fields")


def _object_of(value: Mapping[Any, Any], where: str, secrets: Sequence[str]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    seen: set[str] = set()
    for key, item in value.items():
        if not isinstance(key, str | int):
            raise _no_form(where, f"a key of type {type(key).__name__} has no JSON form", "use text")
        if str(key) in seen:
            raise _no_form(where, f"two keys are both written {str(key)!r}", "use distinct texts")
        seen.add(str(key))
        name = _value_of(str(key), where, secrets)
        while name in result:  # two keys that differ in what is masked only
            name += MASK
        result[name] = _field_of(name, item, where, secrets)
    return result


def _fields_of(fields: Mapping[str, Any], where: str, secrets: Sequence[str]) -> dict[str, Any]:
    """As ``_object_of``, for names that stand in the code and so are no secrets."""
    return {name: _field_of(name, item, where, secrets) for name, item in fields.items()}


def _field_of(name: str, item: Any, where: str, secrets: Sequence[str]) -> Any:
    return MASK if item is not None and names_a_secret(name) else _value_of(item, f"{where}/{name}", secrets)


def _no_form(where: str, what: str, todo: str) -> LedgerError:
    return LedgerError(what, where=f"evidence {where}", todo=todo)
