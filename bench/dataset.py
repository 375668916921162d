"""The database that is copied: a large table of eight mixed columns, a smaller one that refers to it,
primary keys, secondary indexes and a foreign key; as SQLite, and as CSV with PostgreSQL tables."""

from __future__ import annotations

import contextlib
import csv
import random
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

SQLITE_TABLES = """
CREATE TABLE games (
    id INTEGER PRIMARY KEY,
    player_id INTEGER NOT NULL,
    score REAL NOT NULL,
    title TEXT NOT NULL,
    note TEXT,
    played_at DATETIME NOT NULL,
    finished BOOLEAN NOT NULL,
    stake DECIMAL(12, 2)
);
CREATE TABLE moves (
    id INTEGER PRIMARY KEY,
    game_id INTEGER NOT NULL REFERENCES games (id),
    card TEXT NOT NULL,
    placed_at DATETIME NOT NULL
);
"""
SQLITE_INDEXES = """
CREATE INDEX games_player ON games (player_id);
CREATE INDEX games_played_at ON games (played_at);
CREATE INDEX moves_game ON moves (game_id);
"""
POSTGRES_TABLES = """
CREATE TABLE games (
    id bigint, player_id bigint, score double precision, title text,
    note text, played_at timestamp, finished boolean, stake numeric(12, 2)
);
CREATE TABLE moves (id bigint, game_id bigint, card text, placed_at timestamp);
"""

_WORDS = [
    "amber",
    "basalt",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "garnet",
    "harbour",
    "indigo",
    "jade",
    "kelp",
    "lumen",
]
_SYMBOLS = ["", "", "", " é", " 東京", ' "quoted"', " a,b"]
_EPOCH = datetime(2019, 1, 1)  # noqa: DTZ001 - a legacy application's naive timestamps
_BATCH = 50_000

Row = tuple[int | float | str | None, ...]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Where the prepared files are, and the rows of each table."""

    sqlite: Path
    csv: dict[str, Path]
    rows: dict[str, int]


def make(directory: Path, games: int, moves: int) -> Dataset:
    """Write ``bench.db`` and a CSV per table; the same numbers of rows give the same bytes."""
    made = Dataset(
        directory / "bench.db",
        {"games": directory / "games.csv", "moves": directory / "moves.csv"},
        {"games": games, "moves": moves},
    )
    rows = {"games": _games(games), "moves": _moves(moves, games)}
    with contextlib.closing(sqlite3.connect(made.sqlite)) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.executescript(SQLITE_TABLES)
        for table, source in rows.items():
            with made.csv[table].open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                while batch := list(islice(source, _BATCH)):
                    marks = ",".join("?" * len(batch[0]))
                    database.executemany(f"INSERT INTO {table} VALUES ({marks})", batch)
                    writer.writerows(batch)
        database.executescript(SQLITE_INDEXES)
        database.commit()
    return made


def _games(count: int) -> Iterator[Row]:
    random_ = random.Random(1)
    for number in range(1, count + 1):
        cents = random_.randrange(1_000_000)
        yield (
            number,
            random_.randrange(1, 50_000),
            random_.random() * 1000,
            f"{random_.choice(_WORDS)} {random_.choice(_WORDS)} {number}{random_.choice(_SYMBOLS)}",
            None if random_.random() < 0.3 else " ".join(random_.choices(_WORDS, k=6)),
            _moment(random_),
            int(random_.random() < 0.8),
            None if random_.random() < 0.1 else f"{cents // 100}.{cents % 100:02}",
        )


def _moves(count: int, games: int) -> Iterator[Row]:
    random_ = random.Random(2)
    for number in range(1, count + 1):
        yield (number, random_.randrange(1, games + 1), random_.choice(_WORDS), _moment(random_))


def _moment(random_: random.Random) -> str:
    return (_EPOCH + timedelta(seconds=random_.randrange(200_000_000))).isoformat(" ")
