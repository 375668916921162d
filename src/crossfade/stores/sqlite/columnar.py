"""Reading pages column-wise in another process (``columnar_process``), and what the columns then mean."""

from __future__ import annotations

import base64
import json
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from crossfade.stores import reading_process
from crossfade.stores.base import Field
from crossfade.stores.sqlite.connection import Database
from crossfade.stores.sqlite.decode_arrow import as_valid, decode_array
from crossfade.stores.sqlite.encode import field_affinity
from crossfade.types import Kind

_CLASSES = {"integer": 1, "real": 2, "text": 3, "blob": 4}
_INTEGER_TEXT = r"^-?[0-9]+$"
_REAL_TEXT = r"(?i)^[+-]?([0-9.]+(e[+-]?[0-9]+)?|inf|nan)$"
_EXACT = 2**53


class ReaderGone(Exception):
    """The reading process ended or answered with an error; the page is read another way."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page as ADBC gives it, and the seconds that reading took; None when rows too large for a
    page read in one piece were seen."""

    table: pa.Table | None
    seconds: float


class ColumnarReader:
    """One reading process.  ``ask`` and ``answer`` alternate, so that it reads while we decode."""

    def __init__(self, database: Database) -> None:
        try:
            self._process = reading_process.start()
        except OSError as error:
            raise ReaderGone(str(error)) from error
        self._send({"uri": database.uri, "busy": database.busy_timeout})
        self.waiting = False
        self._ready = False

    def settle(self) -> None:
        """Wait until it is ready.  Raises ``ReaderGone``."""
        if not self._ready:
            self._header()
            self._ready = True

    def ask(self, sql: str, values: Sequence[Any], rows: int) -> None:
        self._send({"sql": sql, "values": [_wire(v) for v in values], "rows": rows})
        self.waiting = True

    def answer(self) -> Page:
        """The page last asked for.  Raises ``ReaderGone``."""
        self.waiting = False
        header = self._header()
        if "error" in header:
            raise ReaderGone(header["error"])
        if "big" in header:
            return Page(None, 0.0)
        payload = self._read(header["bytes"])
        return Page(pa.ipc.open_stream(pa.py_buffer(payload)).read_all(), header["seconds"])

    def discard(self) -> None:
        """Drop an answer that nobody wants any more."""
        if self.waiting:
            try:
                self.answer()
            except ReaderGone:
                return

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """End the process."""
        reading_process.end(self._process)

    def _send(self, request: dict[str, Any]) -> None:
        body = json.dumps(request).encode()
        pipe = self._process.stdin
        if pipe is None:
            raise ReaderGone("no pipe")
        try:
            pipe.write(struct.pack("<I", len(body)) + body)
            pipe.flush()
        except (OSError, ValueError) as error:
            raise ReaderGone(str(error)) from error

    def _read(self, size: int) -> bytes:
        pipe = self._process.stdout
        found = pipe.read(size) if pipe is not None else b""
        if len(found) < size:
            raise ReaderGone("the reading process ended")
        return found

    def _header(self) -> dict[str, Any]:
        size = struct.unpack("<I", self._read(4))[0]
        found: dict[str, Any] = json.loads(self._read(size))
        return found


def _wire(value: Any) -> dict[str, Any]:
    if isinstance(value, bytes):
        return {"blob": base64.b64encode(value).decode()}
    if isinstance(value, float):
        return {"real": value.hex()}
    return {"is": value}


class Readers:
    """Reading processes that are kept for the next scan; each serves one scan at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._idle: list[ColumnarReader] = []
        self._lock = threading.Lock()
        self._closed = False

    def warm(self, count: int) -> None:
        """Start processes until so many are idle, and wait for none of them: starting takes a while."""
        with self._lock:
            missing = 0 if self._closed else count - len(self._idle)
            for _ in range(missing):
                try:
                    self._idle.append(ColumnarReader(self._database))
                except ReaderGone:
                    return

    @property
    def waiting(self) -> bool:
        """Whether one is idle, started already."""
        return bool(self._idle)

    def take(self) -> ColumnarReader:
        """An idle reader, or a new one.  Raises ``ReaderGone``."""
        reader = None
        with self._lock:
            while self._idle and reader is None:
                reader = self._idle.pop()
                if not reader.alive:
                    reader.close()
                    reader = None
        reader = reader or ColumnarReader(self._database)
        try:
            reader.settle()
        except ReaderGone:
            reader.close()
            raise
        return reader

    def give(self, reader: ColumnarReader) -> None:
        """Give a reader back; one that is waiting for an answer is emptied first."""
        reader.discard()
        with self._lock:
            keep = not self._closed and reader.alive
            if keep:
                self._idle.append(reader)
        if not keep:
            reader.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.close()
        reading_process.end_spare()


# --- what a column means ----------------------------------------------------


def needs_classes(field: Field) -> bool:
    """Whether the affinity proves nothing of the field's values, so that each must say its class."""
    binary = field.type.kind is Kind.BYTES or "BINARY" in field.column.declared.upper()
    return binary or field_affinity(field) == "BLOB"


def class_column(column_sql: str) -> str:
    """An expression that numbers the storage class of each value."""
    cases = " ".join(f"WHEN '{name}' THEN {number}" for name, number in _CLASSES.items())
    return f"CASE typeof({column_sql}) {cases} END"


def decode_column(field: Field, column: pa.Array, classes: pa.Array | None) -> pa.Array | None:
    """The canonical array of a column as ADBC gave it, or None when its exactness is in doubt.

    ADBC gives a column one type for the whole page.  The declared affinity says what that proves; a
    column without affinity is judged by ``classes``.
    """
    if column.null_count == len(column):
        return pa.nulls(len(column), field.type.arrow)
    if as_valid(column) is None:
        return None
    kind = column.type
    if classes is not None:
        seen = pc.min_max(classes).as_py()
        pure = seen["min"] == seen["max"] == _number_of(kind)
        return decode_array(field, column) if pure else None
    stored = field_affinity(field)
    if pa.types.is_floating(kind):
        if stored == "REAL":
            return decode_array(field, column)
        # integers and reals together: the same numbers, as long as every integer is exactly a double
        span = pc.min_max(column).as_py()
        return decode_array(field, column) if -_EXACT < span["min"] <= span["max"] < _EXACT else None
    if stored in ("INTEGER", "NUMERIC"):
        if pa.types.is_integer(kind):
            return decode_array(field, column)
        if pa.types.is_string(kind):
            return _mixed_text(field, column)
    if stored == "TEXT" and pa.types.is_string(kind):
        return decode_array(field, column)
    return None


def findable(field: Field, column: pa.ChunkedArray) -> bool:
    """Whether the keys are certainly stored in forms by which they are looked up (``keys.key_forms``):
    UUIDs in mixed case are not."""
    if field.type.kind is not Kind.UUID or not pa.types.is_string(column.type):
        return True
    return any(pc.all(pc.equal(column, case(column))).as_py() for case in (pc.ascii_lower, pc.ascii_upper))


def _number_of(kind: pa.DataType) -> int:
    if pa.types.is_integer(kind):
        return _CLASSES["integer"]
    if pa.types.is_floating(kind):
        return _CLASSES["real"]
    return _CLASSES["text" if pa.types.is_string(kind) else "blob"]


def _mixed_text(field: Field, column: pa.Array) -> pa.Array | None:
    """Text in a column of numeric affinity.  Text that looks like a number was converted when it was
    stored, so digits here were an integer, and anything else that looks like a number was a real that
    has lost digits in print."""
    if field.type.kind in (Kind.DATE, Kind.TIMESTAMP, Kind.INSTANT):
        # what reads as an ISO date in every value looks like a number in none
        dates = decode_array(field, column)
        if dates is not None:
            return dates
    integers = pc.match_substring_regex(column, _INTEGER_TEXT)
    has_integers = pc.any(integers).as_py()
    looks = pc.match_substring_regex(column, _REAL_TEXT)
    if pc.any(pc.and_(looks, pc.invert(integers))).as_py():
        return None
    if not has_integers:
        return decode_array(field, column)
    nothing = pa.scalar(None, pa.string())
    numbers = decode_array(field, pc.if_else(integers, column, nothing).cast(pa.int64()))
    texts = decode_array(field, pc.if_else(integers, nothing, column))
    return None if numbers is None or texts is None else pc.coalesce(numbers, texts)
