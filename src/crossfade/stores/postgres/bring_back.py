"""Making what was set aside for the load: keys and unique indexes, foreign keys, then everything else.

Each definition is made in one transaction together with its tick in ``crossfade.deferred``, so a kill at any
moment leaves it either made or still to be made.  Two connections work side by side, each at something that
needs no lock of the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import psycopg

from crossfade.errors import StoreError
from crossfade.stores.base import Finding
from crossfade.stores.postgres import side_by_side, state
from crossfade.stores.postgres.connection import Database, one
from crossfade.stores.postgres.names import OURS, ident, table_in
from crossfade.stores.postgres.side_by_side import Lock, Task

_BUILDERS = 2

_MEMORY = """
SELECT set_config('maintenance_work_mem', CASE WHEN pg_table_size(to_regclass(%s)) < 1 << 30
  THEN '8MB' ELSE greatest(131072, setting::int)::text END, true)
FROM pg_settings WHERE name = 'maintenance_work_mem'
"""
"""Up to a gigabyte a sort is fastest in the processor's cache (two builds side by side take half the time
that 128 MB each would); beyond, it should not need to merge twice."""


class Definition(NamedTuple):
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
    def plain_index(self) -> bool:
        """Nothing else can depend on it."""
        return self.make.startswith("CREATE INDEX ")


def bring_back(db: Database, views: set[int] | None, analyze: Sequence[str] = ()) -> list[Finding]:
    """Make everything that was set aside for these views (None: for all) and gather statistics of these
    tables; what fails is reported and stays noted."""
    chosen = [
        row
        for row in _noted(db, "NOT (made AND (checked OR after IS NULL))")
        if views is None or row.view in views
    ]
    sizes = _sizes(db, {row.table for row in chosen} | set(analyze))
    return side_by_side.run(_tasks(db, chosen, sizes, analyze), _BUILDERS)


def _tasks(
    db: Database, chosen: Sequence[Definition], sizes: Mapping[str, int], analyze: Sequence[str]
) -> list[Task]:
    """The longest first: keys and unique indexes, foreign keys (which lean on those), then plain indexes and
    the rows' check against each foreign key, and statistics last (they cover expressions that are indexed)."""
    largest = sorted(chosen, key=lambda row: -sizes[row.table])
    unique: dict[str, list[Definition]] = {}
    for row in largest:
        if row.kind != "fk" and not row.plain_index:
            unique.setdefault(row.table, []).append(row)
    keys = {table: Task(partial(_build, db, rows), {table: Lock.ALTER}) for table, rows in unique.items()}
    foreign: list[Task] = []
    rest: list[tuple[int, Task]] = []
    for row in largest:
        before = [keys[table] for table in (row.table,) if table in keys]
        if row.plain_index:
            task = Task(partial(_build, db, [row]), {row.table: Lock.BUILD}, before)
            rest.append((sizes[row.table], task))
        elif row.kind == "fk":
            parent = str(row.detail["parent"][1])
            before += [keys[parent]] if parent in keys and parent != row.table else []
            both = {row.table: Lock.ALTER, parent: Lock.ALTER}
            foreign.append(Task(partial(_add_foreign_key, db, row), both, before))
            check = Task(
                partial(_validate, db, row), {parent: Lock.READ} | {row.table: Lock.OWN}, foreign[-1:]
            )
            # it reads both tables, and sorts neither
            rest.append(((sizes[row.table] + sizes.get(parent, 0)) // 3, check))
    builds = [*keys.values(), *foreign, *(task for _, task in sorted(rest, key=lambda one: -one[0]))]
    statistics = [
        Task(
            partial(_analyze, db, table),
            {table: Lock.OWN},
            [
                task
                for task in builds
                if task.locks.get(table) in (Lock.ALTER, Lock.BUILD) and task not in foreign
            ],
        )
        for table in sorted(analyze, key=lambda table: -sizes[table])
    ]
    return [*builds, *statistics]


def _sizes(db: Database, tables: Iterable[str]) -> dict[str, int]:
    """Bytes of each table: the longest work begins first, so that both connections end together."""
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
    for row in _noted(db, "kind = 'key' AND NOT made"):
        for finding in _build(db, [row]):
            raise StoreError(finding.what, where=f"{db.url} {finding.where}", todo=finding.todo)


def _noted(db: Database, condition: str) -> list[Definition]:
    with db.session() as connection:
        if not state.installed(connection):
            return []
        rows = connection.execute(
            f"SELECT seq, view, kind, name, definition, after, detail::json, made FROM {OURS}.deferred "
            f"WHERE {condition} ORDER BY seq".encode()
        ).fetchall()
    return [Definition(*row) for row in rows]


def _build(db: Database, rows: Sequence[Definition]) -> list[Finding]:
    """Keys and indexes of one table, keys first."""
    findings = []
    with db.session() as connection:
        for row in sorted(rows, key=lambda r: (r.kind != "key", r.seq)):
            if row.made:
                continue
            try:
                with connection.transaction():
                    _prepare(connection, table_in(db.schema, row.table))
                    connection.execute(row.make.encode())
                    connection.execute(f"UPDATE {OURS}.deferred SET made = true WHERE seq = %s", [row.seq])
            except (psycopg.OperationalError, psycopg.InterfaceError):
                raise
            except psycopg.Error as error:
                check = "postgres.unique" if error.sqlstate == "23505" else f"postgres.{row.kind}"
                findings.append(_not_made(error, check, f"tables/{row.table}/indexes/{row.name}"))
    return findings


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
                return [_not_made(error, "postgres.fk", f"tables/{row.table}/foreign_keys/{row.name}")]
            return []
    return []


def _validate(db: Database, row: Definition) -> list[Finding]:
    with db.session() as connection:
        if row.check is None or not one(
            connection, f"SELECT made AND NOT checked FROM {OURS}.deferred WHERE seq = %s", [row.seq]
        ):
            return []
        try:
            with connection.transaction():
                connection.execute("SET LOCAL maintenance_work_mem = '64MB'")  # a hash table of the keys
                connection.execute("SET LOCAL synchronous_commit = off")
                connection.execute(row.check.encode())
                connection.execute(f"UPDATE {OURS}.deferred SET checked = true WHERE seq = %s", [row.seq])
        except psycopg.errors.ForeignKeyViolation:
            return [_orphans(connection, row, db.schema)]
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
        f"tables/{row.table}/foreign_keys/{row.name}",
        "remove them or add their parents on the leading side, then run the command again",
    )
