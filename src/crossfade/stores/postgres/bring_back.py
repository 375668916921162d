"""Making what was set aside for the load: keys and unique indexes, foreign keys, then everything else.

Each definition is made in one transaction together with its tick in ``crossfade.deferred``, so a kill at any
moment leaves it either made or still to be made.  A few connections work side by side, each at something that
needs no lock of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg

from crossfade.errors import StoreError
from crossfade.stores.base import Finding
from crossfade.stores.postgres import side_by_side, state
from crossfade.stores.postgres.connection import Database, one
from crossfade.stores.postgres.names import OURS, ident, table_in
from crossfade.stores.postgres.side_by_side import Lock, Task

_BUILDERS = 3

_MEMORY = """
SELECT set_config('maintenance_work_mem', CASE WHEN pg_table_size(to_regclass(%s)) < 1 << 30
  THEN '8MB' ELSE greatest(131072, setting::int)::text END, true)
FROM pg_settings WHERE name = 'maintenance_work_mem'
"""
"""Up to a gigabyte a sort is fastest in the processor's cache (two builds side by side take half the time
that 128 MB each would); beyond, it should not need to merge twice."""


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """A row of ``crossfade.deferred``."""

    seq: int
    view: int
    kind: str
    name: str
    make: str
    check: str | None
    detail: dict[str, Any]
    made: bool

    @property
    def table(self) -> str:
        return str(self.detail["table"])

    @property
    def place(self) -> str:
        """Where it stands, for a finding."""
        return f"tables/{self.table}/{'foreign_keys' if self.kind == 'fk' else 'indexes'}/{self.name}"

    @property
    def plain_index(self) -> bool:
        """Nothing else can depend on it."""
        return self.make.startswith("CREATE INDEX ")

    @property
    def lock(self) -> Lock:
        """An index is built beside others of its table, a constraint is not."""
        return Lock.BUILD if self.make.startswith("CREATE ") else Lock.ALTER


def bring_back(db: Database, views: set[int] | None, analyze: Sequence[str] = ()) -> list[Finding]:
    """Make everything that was set aside for these views (None: for all) and gather statistics of these
    tables; what fails is reported and stays noted."""
    chosen = [row for row in _noted(db) if views is None or row.view in views]
    sizes = _sizes(db, {row.table for row in chosen} | set(analyze))
    return side_by_side.run(_tasks(db, chosen, sizes, analyze), _BUILDERS)


def _tasks(
    db: Database, chosen: Sequence[Definition], sizes: Mapping[str, int], analyze: Sequence[str]
) -> list[Task]:
    """A vacuum first, after which indexes answer by themselves (so that the rows' check against a foreign key
    merges two of them); then the longest first: keys and indexes, which are built beside each other; what needs
    its table alone for a moment (constraints, foreign keys); the rows' checks; and statistics, which cover
    expressions that are indexed."""
    largest = sorted(chosen, key=lambda row: (-sizes[row.table], row.kind != "key"))
    builds = {
        row: Task(partial(_build, db, row), {row.table: row.lock}) for row in largest if row.kind != "fk"
    }
    adoptions = {
        row: Task(partial(_complete, db, row), {row.table: Lock.ALTER}, [task])
        for row, task in builds.items()
        if row.check is not None
    }
    made: dict[str, list[tuple[Definition, Task]]] = {}
    for row, task in (*builds.items(), *adoptions.items()):
        made.setdefault(row.table, []).append((row, task))
    by_size = sorted(analyze, key=lambda table: -sizes[table])
    vacuums = [Task(partial(_vacuum, db, table), {table: Lock.OWN}) for table in by_size]
    statistics = [
        Task(partial(_analyze, db, table), {table: Lock.OWN}, [task for _, task in made.get(table, ())])
        for table in by_size
    ]
    foreign: list[Task] = []
    checks: list[Task] = []
    for row in largest:
        if row.kind != "fk":
            continue
        parent = str(row.detail["parent"][1])
        leaned_on = [
            task
            for table in {row.table, parent}
            for other, task in made.get(table, ())
            if not other.plain_index
        ]
        both = {row.table: Lock.ALTER, parent: Lock.ALTER}
        foreign.append(Task(partial(_add_foreign_key, db, row), both, leaned_on))
        reads = {parent: Lock.READ} | {row.table: Lock.OWN}
        checks.append(Task(partial(_complete, db, row), reads, foreign[-1:]))
    building = [task for row, task in builds.items() if row.lock is Lock.BUILD]
    altering = [task for row, task in builds.items() if row.lock is not Lock.BUILD]
    return [*vacuums, *building, *altering, *adoptions.values(), *foreign, *checks, *statistics]


def _sizes(db: Database, tables: Iterable[str]) -> dict[str, int]:
    """Bytes of each table: the longest work begins first, so that all connections end together."""
    with db.session() as connection:
        return {
            table: one(
                connection, "SELECT coalesce(pg_table_size(to_regclass(%s)), 0)", [table_in(db.schema, table)]
            )
            for table in tables
        }


def build_keys(db: Database) -> None:
    """Make the primary keys that were left out of created tables: the first pass looks rows up by them.
    ``StoreError`` when rows contradict one."""
    for row in _noted(db):
        if row.kind != "key":
            continue
        for finding in _build(db, row) or _complete(db, row):
            raise StoreError(finding.what, where=f"{db.url} {finding.where}", todo=finding.todo)


def _noted(db: Database) -> list[Definition]:
    """What is not yet made, or made and not yet checked or adopted."""
    with db.session() as connection:
        if not state.installed(connection):
            return []
        rows = connection.execute(
            f"SELECT seq, view, kind, name, definition, after, detail::json, made FROM {OURS}.deferred "
            "WHERE NOT (made AND (checked OR after IS NULL)) ORDER BY seq".encode()
        ).fetchall()
    return [Definition(*row) for row in rows]


def _build(db: Database, row: Definition) -> list[Finding]:
    """A key or an index."""
    if row.made:
        return []
    with db.session() as connection:
        try:
            with connection.transaction():
                _prepare(connection, table_in(db.schema, row.table))
                connection.execute(row.make.encode())
                connection.execute(f"UPDATE {OURS}.deferred SET made = true WHERE seq = %s", [row.seq])
        except (psycopg.OperationalError, psycopg.InterfaceError):
            raise
        except psycopg.Error as error:
            check = "postgres.unique" if error.sqlstate == "23505" else f"postgres.{row.kind}"
            return [_not_made(error, check, row.place)]
    return []


def _prepare(connection: psycopg.Connection[Any], table: str) -> None:
    """For this transaction: memory for the size of ``table``, and no flush at its end (what it made and its
    tick would be lost together; ``load.settle`` and ``uninstall`` flush)."""
    connection.execute(_MEMORY.encode(), [table])
    connection.execute("SET LOCAL synchronous_commit = off")


def _not_made(error: psycopg.Error, check: str, where: str) -> Finding:
    text = error.diag.message_primary or str(error)
    if error.diag.message_detail:
        text = f"{text}: {error.diag.message_detail}"
    todo = "correct the rows on the leading side, then run the command again"
    return Finding("error", check, text, where, todo)


def _add_foreign_key(db: Database, row: Definition) -> list[Finding]:
    if row.made:
        return []
    with db.session() as connection:
        for form in (f"{row.make} NOT VALID", row.make):
            try:
                with connection.transaction():
                    connection.execute(form.encode())
                    connection.execute(
                        f"UPDATE {OURS}.deferred SET made = true, checked = %s WHERE seq = %s",
                        [form == row.make, row.seq],
                    )
            except (psycopg.errors.FeatureNotSupported, psycopg.errors.WrongObjectType):
                continue  # before 18, a partitioned table takes no key that is NOT VALID
            except (psycopg.OperationalError, psycopg.InterfaceError):
                raise
            except psycopg.errors.ForeignKeyViolation:
                return [_orphans(connection, row, db.schema)]
            except psycopg.Error as error:
                return [_not_made(error, "postgres.fk", row.place)]
            return []
    return []


def _complete(db: Database, row: Definition) -> list[Finding]:
    """The second half of what is made in two: a foreign key's rows are checked, an index becomes the constraint
    that it is for."""
    with db.session() as connection:
        if row.check is None or not one(
            connection, f"SELECT made AND NOT checked FROM {OURS}.deferred WHERE seq = %s", [row.seq]
        ):
            return []
        try:
            with connection.transaction():
                connection.execute("SET LOCAL maintenance_work_mem = '64MB'")  # a hash table of the keys
                connection.execute("SET LOCAL random_page_cost = 1.1")  # what was just written is in memory
                connection.execute("SET LOCAL synchronous_commit = off")
                connection.execute(row.check.encode())
                connection.execute(f"UPDATE {OURS}.deferred SET checked = true WHERE seq = %s", [row.seq])
        except psycopg.errors.ForeignKeyViolation:
            return [_orphans(connection, row, db.schema)]
        except (psycopg.OperationalError, psycopg.InterfaceError):
            raise
        except psycopg.Error as error:
            return [_not_made(error, f"postgres.{row.kind}", row.place)]
    return []


def _vacuum(db: Database, table: str) -> list[Finding]:
    """Note which pages everybody sees: those whose commits are on disk.  Nothing of a table that was just loaded
    is there to be cleaned."""
    with db.session() as connection:
        connection.execute(f"VACUUM (INDEX_CLEANUP off, TRUNCATE off) {table_in(db.schema, table)}".encode())
    return []


def _analyze(db: Database, table: str) -> list[Finding]:
    with db.session() as connection:
        connection.execute(f"ANALYZE {table_in(db.schema, table)}".encode())
    return []


def _orphans(connection: psycopg.Connection[Any], row: Definition, schema: str) -> Finding:
    detail = row.detail
    child, parent = table_in(schema, row.table), table_in(*detail["parent"])
    own = [ident(c) for c in detail["columns"]]
    join = " AND ".join(f"c.{a} = p.{ident(b)}" for a, b in zip(own, detail["parent_columns"], strict=True))
    there = " AND ".join(f"c.{a} IS NOT NULL" for a in own)
    rows = connection.execute(
        f"SELECT ROW({', '.join('c.' + a for a in own)})::text, count(*), sum(count(*)) OVER () "
        f"FROM {child} c WHERE {there} AND NOT EXISTS (SELECT FROM {parent} p WHERE {join}) "
        f"GROUP BY {', '.join('c.' + a for a in own)} ORDER BY 2 DESC LIMIT 5".encode()
    ).fetchall()
    total = int(rows[0][2]) if rows else 0
    examples = ", ".join(found[0] for found in rows)
    return Finding(
        "error",
        "postgres.orphans",
        f"{total} row(s) have no parent in {detail['parent'][1]}, for example {examples}",
        row.place,
        "remove them or add their parents on the leading side, then run the command again",
    )
