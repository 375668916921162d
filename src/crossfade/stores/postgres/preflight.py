"""What a PostgreSQL database has to say before a move, and while one waits to switch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg

from crossfade.stores.base import Busy, Finding, Rejected, RejectSink, View
from crossfade.stores.postgres import schema as catalogue
from crossfade.stores.postgres import state
from crossfade.stores.postgres.connection import Database, one
from crossfade.stores.postgres.names import OURS, ident, table_in
from crossfade.types import Kind

_OLDEST = 130000
_SKEW = 2.0  # seconds between the two clocks that leases can bear


def identity(db: Database) -> str:
    """System identifier, database, timeline: a restored copy or a failed-over server differs."""
    with db.session() as connection:
        oid = one(connection, "SELECT oid::bigint FROM pg_database WHERE datname = current_database()")
        parts = [f"oid:{oid}"]
        for name, query in (
            ("system", "SELECT system_identifier::text FROM pg_control_system()"),
            ("timeline", "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"),
        ):
            try:
                parts.append(f"{name}:{one(connection, query)}")
            except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState):
                continue  # a managed service may deny it
    return " ".join(sorted(parts, reverse=True))


def preflight(db: Database, views: Sequence[View], leads: bool) -> list[Finding]:
    """See ``Store.preflight``."""
    with db.session() as connection:
        findings = [*_server(connection, db)]
        tables = set(catalogue.inspect(connection, db.schema).tables)
        for view in views:
            if view.table.name in tables:
                findings += _table(connection, db, view, leads)
            elif leads:
                findings.append(
                    Finding("error", "postgres.table", "the table is missing", f"tables/{view.table.name}",
                            "correct its name in the spec")
                )  # fmt: skip
        findings += _others(connection, db, {v.table.name for v in views})
    return findings


def _server(connection: psycopg.Connection[Any], db: Database) -> Iterator[Finding]:
    version = str(one(connection, "SHOW server_version"))
    if db.version < _OLDEST:
        yield Finding(
            "error", "postgres.version", f"PostgreSQL {version}", db.url, "use PostgreSQL 13 or newer"
        )
    else:
        yield Finding("ok", "postgres.version", f"PostgreSQL {version}", db.url)
    encoding = one(connection, "SHOW server_encoding")
    level = "ok" if encoding == "UTF8" else "error"
    todo = "" if level == "ok" else "create the database with ENCODING 'UTF8'"
    yield Finding(level, "postgres.encoding", f"encoding {encoding}", db.url, todo)
    before = time.time()
    theirs = float(one(connection, "SELECT extract(epoch FROM clock_timestamp())::float8"))
    skew = theirs - (before + time.time()) / 2
    level = "warning" if abs(skew) > _SKEW else "ok"
    todo = "run a time service on both machines" if level == "warning" else ""
    yield Finding(level, "postgres.clock", f"its clock is {skew:+.3f} s from ours", db.url, todo)
    rights = connection.execute(
        "SELECT pg_is_in_recovery(), has_database_privilege(current_database(), 'CREATE'), "
        "has_database_privilege(current_database(), 'TEMPORARY'), has_schema_privilege(%s, 'CREATE'), "
        "current_setting('default_transaction_read_only')",
        [db.schema],
    ).fetchone()
    standby, create, temporary, here, _ = rights or (False, True, True, True, "off")
    if standby:
        yield Finding(
            "error",
            "postgres.standby",
            "this server is a read-only standby",
            db.url,
            "give the primary's address",
        )
    role = ident(str(one(connection, "SELECT current_user::text")))
    database = ident(str(one(connection, "SELECT current_database()::text")))
    if not create and one(connection, f"SELECT to_regnamespace('{OURS}') IS NULL"):
        yield Finding("error", "postgres.create", f"the role may not create the schema {OURS}", db.url,
                      f"GRANT CREATE ON DATABASE {database} TO {role}")  # fmt: skip
    if not temporary:
        yield Finding("error", "postgres.temporary", "the role may not create temporary tables", db.url,
                      f"GRANT TEMPORARY ON DATABASE {database} TO {role}")  # fmt: skip
    if not here:
        yield Finding("warning", "postgres.schema", f"the role may not create tables in {db.schema}", db.url,
                      f"GRANT CREATE ON SCHEMA {ident(db.schema)} TO {role}, unless the tables are there")  # fmt: skip
    prepared = connection.execute(
        "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared"
    ).fetchall()
    if prepared:
        yield Finding("warning", "postgres.prepared", f"prepared transactions: {', '.join(r[0] for r in prepared)}",
                      db.url, "finish them: a fence waits for each, and nothing can cut them off")  # fmt: skip


_TABLE = """
SELECT c.oid, pg_has_role(c.relowner, 'USAGE'), c.relpersistence, c.relrowsecurity, c.relforcerowsecurity,
       c.relkind, c.relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user),
       (SELECT count(*) FROM pg_inherits h JOIN pg_class k ON k.oid = h.inhrelid
        WHERE h.inhparent = c.oid AND NOT k.relispartition),
       (SELECT string_agg(g.tgname, ', ' ORDER BY g.tgname) FROM pg_trigger g JOIN pg_proc f ON f.oid = g.tgfoid
        JOIN pg_namespace n ON n.oid = f.pronamespace
        WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND n.nspname <> 'crossfade' AND g.tgenabled <> 'D'),
       (SELECT string_agg(r.rulename, ', ') FROM pg_rewrite r WHERE r.ev_class = c.oid),
       (SELECT string_agg(p.oid::regclass::text, ', ') FROM pg_partition_tree(c.oid) t JOIN pg_class p ON p.oid = t.relid
        WHERE p.relkind = 'f')
FROM pg_class c WHERE c.oid = %s::regclass
"""


def _table(connection: psycopg.Connection[Any], db: Database, view: View, leads: bool) -> Iterator[Finding]:
    where = f"tables/{view.table.name}"
    row = connection.execute(_TABLE.encode(), [table_in(db.schema, view.table.name)]).fetchone()
    if row is None:
        return
    _, owns, persistence, secured, forced, _, _, children, triggers, rules, foreign = row
    if not owns:
        yield Finding("error", "postgres.owner", "the role does not own the table, so it cannot add triggers",
                      where, "use the role that owns the tables, or make it a member of the owner")  # fmt: skip
    if persistence == "u":
        yield Finding("warning", "postgres.unlogged", "the table is unlogged: a crash of the server empties it",
                      where, f"ALTER TABLE {ident(view.table.name)} SET LOGGED")  # fmt: skip
    if secured and (forced or not owns):
        yield Finding("error", "postgres.row_security", "row-level security hides rows from the role", where,
                      "grant BYPASSRLS, or use the table's owner without FORCE ROW LEVEL SECURITY")  # fmt: skip
    if children:
        yield Finding("error", "postgres.inheritance", "other tables inherit from it", where,
                      "exclude it: inheritance (other than partitions) is not followed")  # fmt: skip
    if triggers and not leads:
        yield Finding("warning", "postgres.app_triggers", f"the application's triggers also fire for rows that "
                      f"Crossfade applies: {triggers}", where,
                      "make sure that they change no mapped column, or declare what they fill")  # fmt: skip
    if rules:
        yield Finding(
            "warning",
            "postgres.rules",
            f"rewrite rules: {rules}",
            where,
            "rules may redirect writes: drop them",
        )
    if foreign:
        yield Finding("error", "postgres.foreign_partition", f"foreign partitions: {foreign}", where,
                      "exclude the table: writes to a foreign table are not captured")  # fmt: skip
    if not view.key:
        yield Finding("error" if leads else "warning", "postgres.no_key", "no primary key: its changes cannot be followed",
                      where, "add a primary key, or exclude the table")  # fmt: skip
    if (
        not leads
        and not state.installed(connection)
        and one(connection, f"SELECT EXISTS (SELECT FROM {table_in(db.schema, view.table.name)})")
    ):
        yield Finding("error", "postgres.not_empty", "the table holds rows, and no copy was begun", where,
                      "empty it, or exclude it")  # fmt: skip


def _others(connection: psycopg.Connection[Any], db: Database, mapped: set[str]) -> Iterator[Finding]:
    rows = connection.execute(
        "SELECT format('%%I.%%I', n.nspname, c.relname), pg_has_role(c.relowner, 'USAGE'), n.nspname "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN (%s, 'information_schema') "
        "AND n.nspname !~ '^pg_' AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = c.oid "
        "AND e.classid = 'pg_class'::regclass AND e.deptype = 'e') ORDER BY 1",
        [OURS],
    ).fetchall()
    elsewhere = [name for name, _, at in rows if at != db.schema]
    if elsewhere:
        yield Finding("warning", "postgres.other_schemas", f"tables outside {db.schema} are neither moved nor fenced: "
                      f"{', '.join(elsewhere[:8])}", db.url, "name their schema in the address, if they belong to the move")  # fmt: skip
    names = {table_in(db.schema, n) for n in mapped}
    denied = [n for n, owns, at in rows if at == db.schema and not owns and n not in names]
    if denied:
        yield Finding("error", "postgres.owner", f"the role does not own {', '.join(denied[:8])}, so it cannot fence them",
                      db.url, "use the role that owns the tables")  # fmt: skip


_BUSY = """
SELECT format('process %%s: %%s on %%s', p.pid, p.what, p.relid::regclass), true FROM (
  SELECT pid, relid, datid, 'vacuum' AS what FROM pg_stat_progress_vacuum
  UNION ALL SELECT pid, relid, datid, 'analyze' FROM pg_stat_progress_analyze
  UNION ALL SELECT pid, relid, datid, 'index build' FROM pg_stat_progress_create_index
  UNION ALL SELECT pid, relid, datid, lower(command) FROM pg_stat_progress_cluster) p
WHERE p.relid = ANY(%(ids)s::oid[]) AND p.datid = (SELECT oid FROM pg_database WHERE datname = current_database())
UNION ALL
SELECT format('process %%s: autovacuum: %%s', a.pid, a.query), true FROM pg_stat_activity a
JOIN pg_locks l ON l.pid = a.pid AND l.locktype = 'relation' AND l.relation = ANY(%(ids)s::oid[])
WHERE a.backend_type = 'autovacuum worker' AND a.datname = current_database()
UNION ALL
SELECT format('process %%s: %%s for %%s s with a write lock on %%s', a.pid, a.state,
              round(extract(epoch FROM clock_timestamp() - a.xact_start)::numeric, 1),
              string_agg(DISTINCT l.relation::regclass::text, ', ')), false
FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid AND l.locktype = 'relation' AND l.granted
WHERE l.relation = ANY(%(ids)s::oid[]) AND a.datname = current_database() AND a.pid <> pg_backend_pid()
  AND a.backend_type = 'client backend' AND l.mode NOT IN ('AccessShareLock', 'RowShareLock')
  AND clock_timestamp() - a.xact_start > INTERVAL '1 second'
GROUP BY a.pid, a.state, a.xact_start
UNION ALL
SELECT format('prepared transaction %%s since %%s', x.gid, x.prepared::timestamp(0)), false FROM pg_prepared_xacts x
WHERE x.database = current_database() AND EXISTS (
  SELECT FROM pg_locks t JOIN pg_locks l ON l.pid IS NULL AND l.virtualtransaction = t.virtualtransaction
  WHERE t.pid IS NULL AND t.locktype = 'transactionid' AND t.transactionid = x.transaction
    AND l.relation = ANY(%(ids)s::oid[]))
"""


def busy(db: Database, views: Sequence[View]) -> list[Busy]:
    """See ``Store.busy``."""
    wanted = {view.table.name for view in views}
    with db.session() as connection:
        rows = catalogue.relations(connection, db.schema)
        ids = [oid for oid, at, name, part in rows if part or (at == db.schema and name in wanted)]
        return [Busy(what, own) for what, own in connection.execute(_BUSY.encode(), {"ids": ids})]


def census(db: Database, view: View, rejects: RejectSink) -> list[Finding]:
    """See ``Store.census``: types are enforced here, so only instants beyond canonical form are left."""
    findings = []
    table = table_in(db.schema, view.table.name)
    key = ", ".join(f"{ident(f.column.name)}::text" for f in view.key_fields)
    with db.session() as connection:
        for field in view.fields:
            if field.type.kind not in (Kind.TIMESTAMP, Kind.INSTANT):
                continue
            name = ident(field.column.name)
            row = connection.execute(
                f"SELECT count(*) OVER (), {name}::text{', ' + key if key else ''} FROM {table} "
                f"WHERE {name} >= '294247-01-01' AND {name} < 'infinity' LIMIT 1".encode()
            ).fetchone()
            if row is None:
                continue
            where = f"tables/{view.table.name}/columns/{field.column.name}"
            findings.append(
                Finding(
                    "error",
                    "postgres.late",
                    f"{row[0]} value(s) after the year 294246",
                    where,
                    "correct them",
                )
            )
            reason = "microseconds since 1970 do not fit 64 bits"
            rejects(
                Rejected(
                    view.table.name, tuple(row[2:]), field.column.name, row[1], reason, "correct the value"
                )
            )
        rows = one(connection, f"SELECT count(*) FROM {table}")
    findings.append(
        Finding("ok", "postgres.census", f"{rows} rows, every type enforced", f"tables/{view.table.name}")
    )
    return findings
