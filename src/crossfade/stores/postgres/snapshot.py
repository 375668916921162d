"""One consistent read: the log, the rows and the tables' fingerprints at the same instant."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pyarrow as pa
from adbc_driver_manager import Error as AdbcError

from crossfade.errors import Refused
from crossfade.stores.base import RejectSink, View
from crossfade.stores.postgres.capture import log_table
from crossfade.stores.postgres.connection import Database
from crossfade.stores.postgres.names import OURS, table_in, text
from crossfade.stores.postgres.reader import by_keys, clean, key_slices
from crossfade.stores.postgres.triggers import closed_body, open_body
from crossfade.stores.postgres.values import canonical, select, select_list

_LOCK_MS = 30_000


@contextmanager
def snapshot(db: Database) -> Iterator[PostgresSnapshot]:
    """A REPEATABLE READ transaction.  It locks every captured table against TRUNCATE and ALTER before
    its snapshot is taken, because those would empty or re-shape a table under an older snapshot."""
    with db.bulk() as connection:
        try:
            tables = _captured(connection)
            _run(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            if bound := db.milliseconds():
                _run(connection, f"SET LOCAL statement_timeout = {bound}")
            if tables:
                _run(connection, f"SET LOCAL lock_timeout = {_LOCK_MS}")
                _run(connection, f"LOCK TABLE {', '.join(tables)} IN ACCESS SHARE MODE")
            yield PostgresSnapshot(db, connection)
        finally:
            with suppress(AdbcError):
                _run(connection, "ROLLBACK")


def _run(connection: Any, query: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(query)


def _read(connection: Any, query: str) -> pa.Table:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetch_arrow_table()


def _captured(connection: Any) -> list[str]:
    if not _read(connection, f"SELECT to_regclass('{OURS}.deferred') IS NOT NULL AS there")["there"][
        0
    ].as_py():
        return []
    found = _read(
        connection,
        f"SELECT k.schema AS s, k.name AS n FROM {OURS}.captured k "
        "WHERE to_regclass(format('%I.%I', k.schema, k.name)) IS NOT NULL ORDER BY view",
    ).to_pylist()
    return [table_in(row["s"], row["n"]) for row in found]


class PostgresSnapshot:
    """See ``stores.base.Snapshot``."""

    def __init__(self, db: Database, connection: Any) -> None:
        self._db = db
        self._connection = connection
        self._position = str(self._read("SELECT pg_current_snapshot()::text AS p")["p"][0].as_py())

    @property
    def position(self) -> str:
        """``pg_current_snapshot()``: which transactions this snapshot has seen."""
        return self._position

    def _read(self, query: str) -> pa.Table:
        with self._db.errors():
            return _read(self._connection, query)

    def fingerprints(self, views: Sequence[View]) -> Mapping[int, str]:
        """Per view a digest of its storage, columns, triggers, our functions, and its TRUNCATEs.

        A trigger counts with the transaction that last touched it: one that was off for a while and is
        back as it was has left a gap in the log."""
        if not views:
            return {}
        marks = "''"
        if self._read(f"SELECT to_regclass('{OURS}.mark') IS NOT NULL AS there")["there"][0].as_py():
            marks = f"coalesce((SELECT string_agg(m.seq::text, ',' ORDER BY m.seq) FROM {OURS}.mark m WHERE m.view = v.id), '')"
        wanted = ", ".join(f"({view.id}, {text(view.table.name)})" for view in views)
        rows = self._read(_FINGERPRINTS % {"views": wanted, "schema": text(self._db.schema), "marks": marks})
        found = {row["id"]: row["print"] for row in rows.to_pylist()}
        return {
            v.id: hashlib.sha256(str(found.get(v.id, "missing")).encode()).hexdigest()[:32] for v in views
        }

    def changed(self, views: Sequence[View], since: str | None) -> Mapping[int, pa.Table]:
        """Keys logged by transactions that this snapshot sees and ``since`` does not."""
        keyed = [view for view in views if view.key]
        if not keyed:
            return {}
        self._still_there(since)
        new = "true"
        if since is not None:
            old = f"{text(since)}::pg_snapshot"
            new = f"xid >= pg_snapshot_xmin({old}) AND NOT pg_visible_in_snapshot(xid, {old})"
        asked = " UNION ALL ".join(
            f"SELECT {v.id} AS id WHERE EXISTS (SELECT FROM {log_table(v)} WHERE {new})" for v in keyed
        )
        busy = set(self._read(asked)["id"].to_pylist())
        return {view.id: self._keys(view, new) for view in keyed if view.id in busy}

    def _still_there(self, since: str | None) -> None:
        """``Refused`` when the log cannot tell what has changed since then."""
        if since is None:
            asked = (
                f"SELECT false AS other, EXISTS (SELECT FROM {OURS}.state WHERE trimmed IS NOT NULL) AS gone"
            )
        else:
            old, cut = f"{text(since)}::pg_snapshot", "trimmed::pg_snapshot"
            asked = (
                f"SELECT pg_snapshot_xmax({old}) > pg_snapshot_xmax({text(self._position)}::pg_snapshot) AS other, "
                f"EXISTS (SELECT FROM {OURS}.state WHERE pg_snapshot_xmax({old}) < pg_snapshot_xmax({cut}) "
                f"OR EXISTS (SELECT FROM pg_snapshot_xip({old}) x WHERE x < pg_snapshot_xmax({cut}) "
                f"AND pg_visible_in_snapshot(x, {cut}))) AS gone"
            )
        (row,) = self._read(asked).to_pylist()
        if row["other"]:
            raise Refused(
                f"the position {since} is of another server: this one has not come that far",
                where=self._db.url,
                todo="the database was restored or replaced; copy or compare both sides completely before going on",
            )
        if row["gone"]:
            raise Refused(
                "the log was already trimmed beyond the follower's position "
                f"({since or 'its beginning'}): the follower has lost what it had committed",
                where=self._db.url,
                todo="copy again, because what was trimmed cannot be brought over any more",
            )

    def _keys(self, view: View, new: str) -> pa.Table:
        columns = []
        for i, field in enumerate(view.key_fields, 1):
            columns.append(f"{select(field, name=f'k{i}')} AS c{i}")
        found = self._read(f"SELECT DISTINCT {', '.join(columns)} FROM {log_table(view)} WHERE {new}")
        return _table(found, view.key_fields, view.key_schema)

    def rows(self, view: View, keys: pa.Table, rejects: RejectSink) -> pa.Table:
        """The current rows with these keys."""
        parts: list[pa.RecordBatch] = []
        for some in key_slices(keys):
            found = self._read(f"SELECT {select_list(view.fields, 't.')} {by_keys(self._db, view, some)}")
            batches = (canonical(batch, view.fields, view.schema) for batch in found.to_batches())
            parts.extend(clean(batch, view, rejects) for batch in batches)
        return pa.Table.from_batches(parts, view.schema)


def _table(found: pa.Table, fields: Any, schema: pa.Schema) -> pa.Table:
    return pa.Table.from_batches([canonical(b, fields, schema) for b in found.to_batches()], schema)


_FINGERPRINTS = f"""
SELECT v.id, concat_ws('|', c.oid, storage.s, columns.s, triggers.s, %(marks)s) AS print
FROM (VALUES %(views)s) AS v(id, name)
JOIN pg_class c ON c.relname = v.name AND c.relnamespace = %(schema)s::regnamespace AND c.relkind IN ('r', 'p')
CROSS JOIN LATERAL (
  SELECT array_agg(DISTINCT r ORDER BY r) AS ids FROM (
    SELECT c.oid AS r UNION ALL SELECT t.relid::oid FROM pg_partition_tree(c.oid) t) q) AS tree
CROSS JOIN LATERAL (
  SELECT string_agg(r || ':' || coalesce(pg_relation_filenode(r), 0), ',' ORDER BY r) AS s
  FROM unnest(tree.ids) r) AS storage
CROSS JOIN LATERAL (
  SELECT string_agg(concat_ws(':', a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull,
                              a.attgenerated), ',' ORDER BY a.attrelid, a.attnum) AS s
  FROM pg_attribute a WHERE a.attrelid = ANY(tree.ids) AND a.attnum > 0 AND NOT a.attisdropped) AS columns
CROSS JOIN LATERAL (
  SELECT string_agg(concat_ws(':', g.tgrelid, g.tgname, g.tgenabled, g.oid, g.xmin, md5(pg_get_triggerdef(g.oid)), f.proname,
           CASE WHEN f.proname = 'fence' AND (f.prosrc = {text(open_body())}
                     OR f.prosrc LIKE {text(closed_body("%%", "%%"))}) THEN 'fence' ELSE md5(f.prosrc) END),
         ',' ORDER BY g.tgrelid, g.tgname) AS s
  FROM pg_trigger g JOIN pg_proc f ON f.oid = g.tgfoid JOIN pg_namespace n ON n.oid = f.pronamespace
  WHERE g.tgrelid = ANY(tree.ids) AND n.nspname = '{OURS}') AS triggers
"""
