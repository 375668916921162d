"""A database of awkward tables, and a process that writes to it at full speed.

``python -m tests.e2e.workload sqlite:///FILE --seed N --seconds S`` writes until the time is over, it is
told to end, or the fence refuses it; it prints one JSON object with what it did.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

SCHEMA = """
CREATE TABLE people (                        -- self-reference, secondary unique keys, text
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    email TEXT NOT NULL UNIQUE,
    rank INTEGER UNIQUE,
    boss INTEGER REFERENCES people(id) ON DELETE SET NULL,
    "select" TEXT,
    joined DATETIME DEFAULT CURRENT_TIMESTAMP,
    active BOOLEAN NOT NULL DEFAULT 1,
    score REAL
);
CREATE INDEX people_boss ON people(boss);
CREATE TABLE memberships (                   -- composite key, cascading deletes
    person INTEGER NOT NULL REFERENCES people(id) ON DELETE CASCADE,
    club TEXT NOT NULL REFERENCES clubs(code) ON DELETE CASCADE ON UPDATE CASCADE,
    since DATE,
    PRIMARY KEY (person, club)
);
CREATE TABLE clubs (                         -- text key, half of a cycle of foreign keys
    code TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    flagship INTEGER REFERENCES ships(id) DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE ships (                         -- the other half
    id INTEGER PRIMARY KEY,
    owner TEXT REFERENCES clubs(code) ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED,
    length REAL,
    twice REAL GENERATED ALWAYS AS (length * 2) STORED
);
CREATE TABLE settings (                      -- WITHOUT ROWID
    scope TEXT NOT NULL,
    name TEXT NOT NULL,
    value BLOB,
    PRIMARY KEY (scope, name)
) WITHOUT ROWID;
CREATE TABLE seats (                         -- unique values swapped between rows
    id INTEGER PRIMARY KEY,
    place INTEGER NOT NULL UNIQUE,
    holder TEXT
);
CREATE TABLE audit (                         -- no key
    at TEXT,
    what TEXT
);
"""


def create(path: Path, *, journal: str = "delete", people: int = 2_000, seed: int = 1) -> None:
    """Make the database with some rows in it."""
    rng = random.Random(seed)
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA journal_mode={journal}")
        db.executescript(SCHEMA)
        db.executemany(
            "INSERT INTO clubs(code, name) VALUES (?, ?)", [(f"c{n}", f"Club {n}") for n in range(40)]
        )
        db.executemany(
            "INSERT INTO ships(id, owner, length) VALUES (?, ?, ?)",
            [(n, f"c{n % 40}", n / 7) for n in range(100)],
        )
        db.executemany(
            'INSERT INTO people(email, rank, boss, "select", active, score) VALUES (?, ?, ?, ?, ?, ?)',
            [
                (f"p{n}@x", n, rng.randrange(1, n + 1) if n else None, "ü" * (n % 5), n % 2, n / 3)
                for n in range(people)
            ],
        )
        db.executemany(
            "INSERT OR IGNORE INTO memberships VALUES (?, ?, ?)",
            [(rng.randrange(1, people + 1), f"c{rng.randrange(40)}", "2020-02-29") for _ in range(people)],
        )
        db.executemany(
            "INSERT INTO settings VALUES (?, ?, ?)",
            [(f"s{n % 7}", f"n{n}", bytes([n % 256, 0, 255])) for n in range(500)],
        )
        db.executemany("INSERT INTO seats VALUES (?, ?, ?)", [(n, n, f"h{n}") for n in range(200)])
        db.executemany("INSERT INTO audit VALUES (?, ?)", [("2020-01-01", "made")] * 3)
    db.close()


Step = Callable[[sqlite3.Connection, random.Random], None]


def join(db: sqlite3.Connection, rng: random.Random) -> None:
    n = rng.randrange(10**12)
    db.execute("INSERT INTO people(email, rank, score) VALUES (?, ?, ?)", (f"q{n}@x", n, rng.random()))


def replace_by_email(db: sqlite3.Connection, rng: random.Random) -> None:
    """``OR REPLACE`` removes another row through the secondary unique key."""
    found = db.execute(
        "SELECT email FROM people ORDER BY id LIMIT 1 OFFSET ?", (rng.randrange(500),)
    ).fetchone()
    if found:
        db.execute(
            "INSERT OR REPLACE INTO people(email, rank) VALUES (?, ?)", (found[0], rng.randrange(10**12))
        )


def replace_by_update(db: sqlite3.Connection, rng: random.Random) -> None:
    one, other = rng.randrange(200), rng.randrange(200)
    db.execute(
        "UPDATE OR REPLACE seats SET place = (SELECT place FROM seats WHERE id = ?) WHERE id = ?",
        (one, other),
    )
    db.execute("INSERT OR IGNORE INTO seats VALUES (?, ?, 'again')", (one, 1000 + rng.randrange(10**9)))


def edit(db: sqlite3.Connection, rng: random.Random) -> None:
    db.execute(
        'UPDATE people SET score = ?, "select" = ?, boss = ? WHERE id = ?',
        (rng.random(), "é" * rng.randrange(4), rng.randrange(1, 300), rng.randrange(1, 2500)),
    )


def change_key(db: sqlite3.Connection, rng: random.Random) -> None:
    db.execute(
        "UPDATE OR IGNORE settings SET name = ? WHERE scope = ? AND name = ?",
        (f"m{rng.randrange(10**9)}", f"s{rng.randrange(7)}", f"n{rng.randrange(500)}"),
    )
    db.execute("UPDATE OR IGNORE clubs SET code = code || 'x' WHERE code = ?", (f"c{rng.randrange(40)}",))


def leave(db: sqlite3.Connection, rng: random.Random) -> None:
    """Cascades to memberships and sets bosses to NULL."""
    db.execute("DELETE FROM people WHERE id = ?", (rng.randrange(1, 2500),))


def swap(db: sqlite3.Connection, rng: random.Random) -> None:
    one, other = rng.sample(range(200), 2)
    places = dict(db.execute("SELECT id, place FROM seats WHERE id IN (?, ?)", (one, other)).fetchall())
    if len(places) == 2:
        db.execute("UPDATE seats SET place = -1 WHERE id = ?", (one,))
        db.execute("UPDATE seats SET place = ? WHERE id = ?", (places[one], other))
        db.execute("UPDATE seats SET place = ? WHERE id = ?", (places[other], one))


def sail(db: sqlite3.Connection, rng: random.Random) -> None:
    ship = rng.randrange(10**9)
    owner = db.execute(
        "SELECT code FROM clubs ORDER BY code LIMIT 1 OFFSET ?", (rng.randrange(40),)
    ).fetchone()
    if owner:
        db.execute(
            "INSERT OR IGNORE INTO ships(id, owner, length) VALUES (?, ?, ?)", (ship, owner[0], rng.random())
        )
        db.execute("UPDATE clubs SET flagship = ? WHERE code = ?", (ship, owner[0]))
        db.execute(
            "INSERT OR REPLACE INTO memberships VALUES ((SELECT min(id) FROM people), ?, '2021-01-01')", owner
        )


def upsert(db: sqlite3.Connection, rng: random.Random) -> None:
    db.execute(
        "INSERT INTO settings VALUES (?, ?, ?) ON CONFLICT(scope, name) DO UPDATE SET value = excluded.value",
        (f"s{rng.randrange(7)}", f"n{rng.randrange(600)}", rng.randbytes(rng.randrange(20))),
    )


STEPS: list[Step] = [
    join,
    replace_by_email,
    replace_by_update,
    edit,
    edit,
    change_key,
    leave,
    swap,
    sail,
    upsert,
]


def write(path: Path, *, seed: int, seconds: float, steps: list[Step] | None = None) -> dict[str, Any]:
    """Write until told to end; every transaction is some steps, one in ten is rolled back."""
    rng = random.Random(seed)
    db = sqlite3.connect(path, timeout=5.0, isolation_level=None)
    db.execute("PRAGMA foreign_keys=ON")
    ended = False

    def end(_number: int, _frame: FrameType | None) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, end)
    done: dict[str, Any] = {"transactions": 0, "refused": 0, "locked": 0, "fenced": False, "worst_ms": 0.0}
    until = time.monotonic() + seconds
    while not ended and time.monotonic() < until:
        began = time.monotonic()
        try:
            db.execute("BEGIN IMMEDIATE")
            for _ in range(rng.randrange(1, 5)):
                rng.choice(steps or STEPS)(db, rng)
            db.execute("ROLLBACK" if rng.random() < 0.1 else "COMMIT")
            done["transactions"] += 1
        except sqlite3.Error as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            if "crossfade" in str(error):
                done["fenced"] = True
                break
            kind = "locked" if "locked" in str(error) else "refused"
            done[kind] += 1
            done.setdefault("errors", []).append(str(error)[:200])
            del done["errors"][5:]
        time.sleep(0.0002)  # writers that never pause starve each other, with or without Crossfade
        done["worst_ms"] = max(done["worst_ms"], (time.monotonic() - began) * 1000)
    db.close()
    return done


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("database")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=30.0)
    arguments = parser.parse_args()
    file = Path(arguments.database.removeprefix("sqlite:///"))
    print(json.dumps(write(file, seed=arguments.seed, seconds=arguments.seconds)))
