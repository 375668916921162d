"""The process that reads pages of a SQLite file column-wise through ADBC.  Run as a script, on its own.

It is a process of its own because the ADBC driver brings its own copy of SQLite: two copies in one process
break each other's POSIX file locks (closing a file drops every lock the process holds on it), after which
another process may write in the middle of a transaction.

Requests and answers are frames: four bytes of length, then a JSON object; an answer with ``"bytes"`` is
followed by that many bytes of an Arrow IPC stream.  The end of standard input ends the process.
"""

from __future__ import annotations

import base64
import gc
import json
import os
import struct
import sys
import time
from typing import Any, BinaryIO

gc.disable()  # it only slows the imports down: nothing here makes cycles

import adbc_driver_manager as adbc  # noqa: E402
import adbc_driver_sqlite  # noqa: E402
import pyarrow as pa  # noqa: E402

ROWS_OPTION = "adbc.sqlite.query.batch_rows"
TOO_LARGE = "integer overflow"
"""What the driver says when a page's guard met a row that is too large (``scan.TableScan._guard``)."""


def main() -> None:
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    connection: Any = None
    patience = 0.0
    try:
        while (request := read_frame(requests)) is not None:
            if "uri" in request:
                # the driver's own interface: the DB-API layer above it takes as long to import as pyarrow
                database = adbc.AdbcDatabase(driver=adbc_driver_sqlite._driver_path(), uri=request["uri"])
                connection = adbc.AdbcConnection(database)
                patience = request["busy"]
                run(connection, "PRAGMA query_only=ON", (), 1)
                write_frame(answers, {"ready": True})
                continue
            try:
                header, table = page(connection, request, patience)
            except Exception as error:  # every error of the driver is an answer, not the end
                text = f"{type(error).__name__}: {error}"
                header, table = {"big": True} if TOO_LARGE in text else {"error": text}, None
            write_frame(answers, header, table)
    finally:
        if connection is not None:
            connection.close()
            database.close()


def page(connection: Any, request: dict[str, Any], patience: float) -> tuple[dict[str, Any], pa.Table]:
    """One page, read whole so that no lock outlives this call."""
    values = tuple(plain(value) for value in request["values"])
    began = time.monotonic()
    table = unlocked(connection, request["sql"], values, request["rows"], patience)
    took = time.monotonic() - began
    size = pa.MockOutputStream()
    stream(table, size)
    return {"bytes": size.size(), "seconds": took}, table


def stream(table: pa.Table, sink: Any) -> None:
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


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
    with adbc.AdbcStatement(connection) as statement:
        statement.set_options(**{ROWS_OPTION: max(1, rows)})
        statement.set_sql_query(sql)
        if values:
            statement.prepare()
            names = [str(number) for number in range(len(values))]
            statement.bind(pa.record_batch([[value] for value in values], names))
        handle, _ = statement.execute_query()
        return pa.RecordBatchReader.from_stream(handle).read_all()


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


def write_frame(sink: BinaryIO, header: dict[str, Any], table: pa.Table | None = None) -> None:
    body = json.dumps(header).encode()
    sink.write(struct.pack("<I", len(body)) + body)
    if table is not None:
        stream(table, sink)
    sink.flush()


if __name__ == "__main__":
    main()
    # everything is closed and answered; taking the interpreter down in order would take as long as it did to start
    os._exit(0)
