"""The process that reads pages of a SQLite file column-wise through ADBC.  Run as a script, on its own.

It is a process of its own because the ADBC driver brings its own copy of SQLite: two copies in one process
break each other's POSIX file locks (closing a file drops every lock the process holds on it), after which
another process may write in the middle of a transaction.

Requests and answers are frames: four bytes of length, then a JSON object; an answer with ``"bytes"`` is
followed by that many bytes of an Arrow IPC stream.  The end of standard input ends the process.
"""

from __future__ import annotations

import base64
import json
import struct
import sys
import time
from typing import Any, BinaryIO

import adbc_driver_sqlite.dbapi as adbc
import pyarrow as pa

ROWS_OPTION = "adbc.sqlite.query.batch_rows"


def main() -> None:
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    connection: Any = None
    patience = 0.0
    try:
        while (request := read_frame(requests)) is not None:
            if "uri" in request:
                connection = adbc.connect(request["uri"], autocommit=True)
                patience = request["busy"]
                run(connection, "PRAGMA query_only=ON", (), 1)
                write_frame(answers, {"ready": True})
                continue
            try:
                header, payload = page(connection, request, patience)
            except Exception as error:  # every error of the driver is an answer, not the end
                header, payload = {"error": f"{type(error).__name__}: {error}"}, None
            write_frame(answers, header, payload)
    finally:
        if connection is not None:
            connection.close()


def page(
    connection: Any, request: dict[str, Any], patience: float
) -> tuple[dict[str, Any], pa.Buffer | None]:
    """One page, read whole so that no lock outlives this call."""
    values = tuple(plain(value) for value in request["values"])
    began = time.monotonic()
    if request["guard"] and unlocked(connection, request["guard"], values, 1, patience).num_rows:
        return {"big": True}, None
    table = unlocked(connection, request["sql"], values, request["rows"], patience)
    took = time.monotonic() - began
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    payload = sink.getvalue()
    return {"bytes": payload.size, "seconds": took}, payload


def unlocked(connection: Any, sql: str, values: tuple[Any, ...], rows: int, patience: float) -> pa.Table:
    """The rows, trying every half millisecond while a writer has the file (no busy timeout is set)."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return run(connection, sql, values, rows)
        except Exception as error:  # of the driver, or of the Arrow stream that it feeds
            if "locked" not in str(error) or time.monotonic() >= deadline:
                raise
        time.sleep(0.0005)


def run(connection: Any, sql: str, values: tuple[Any, ...], rows: int) -> pa.Table:
    with connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{ROWS_OPTION: max(1, rows)})
        cursor.execute(sql, values) if values else cursor.execute(sql)
        return cursor.fetch_arrow_table()


def plain(value: dict[str, Any]) -> Any:
    """A bound value: JSON has neither blobs nor exact doubles."""
    if "blob" in value:
        return base64.b64decode(value["blob"])
    if "real" in value:
        return float.fromhex(value["real"])
    return value["is"]


def read_frame(source: BinaryIO) -> dict[str, Any] | None:
    head = source.read(4)
    if len(head) < 4:
        return None
    found: dict[str, Any] = json.loads(source.read(struct.unpack("<I", head)[0]))
    return found


def write_frame(sink: BinaryIO, header: dict[str, Any], payload: pa.Buffer | None = None) -> None:
    body = json.dumps(header).encode()
    sink.write(struct.pack("<I", len(body)) + body)
    if payload is not None:
        sink.write(payload)
    sink.flush()


if __name__ == "__main__":
    main()
