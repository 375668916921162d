"""Whether every trigger of ours is as ``install`` left it."""

from __future__ import annotations

from collections.abc import Sequence

from crossfade.stores.base import View
from crossfade.stores.postgres import schema, state
from crossfade.stores.postgres.capture import CAPTURE, MARK, capture_body, mark_body
from crossfade.stores.postgres.connection import Database
from crossfade.stores.postgres.names import OURS, table_in
from crossfade.stores.postgres.triggers import FENCE, bypass_condition, closed_body, open_body

_TYPES = {FENCE: 62, CAPTURE: 29, MARK: 32}
"""``pg_trigger.tgtype``: when and for which events each of them fires."""

_TRIGGERS = f"""
SELECT g.tgrelid, coalesce(pg_partition_root(g.tgrelid)::oid, g.tgrelid), g.tgname, g.tgenabled = 'A', g.tgtype,
       f.proname, f.prosrc, pg_get_triggerdef(g.oid)
FROM pg_trigger g JOIN pg_proc f ON f.oid = g.tgfoid JOIN pg_namespace n ON n.oid = f.pronamespace
WHERE n.nspname = '{OURS}' AND g.tgattr = ''
"""


def armed(db: Database, views: Sequence[View]) -> list[str]:
    """See ``Store.armed``.  Looks at the catalogue only, and locks nothing."""
    with db.session() as connection:
        if not state.installed(connection):
            return ["Crossfade is not installed in this database"]
        row = connection.execute(f"SELECT move, side FROM {OURS}.state").fetchone()
        if row is None:
            return ["Crossfade is not installed in this database"]
        password = state.secret(connection)
        others = bypass_condition(connection, password)
        bodies = {"fence": {open_body(), closed_body(row[0], row[1])}}
        for view in views:
            bodies[f"capture_{view.id}"] = {capture_body(view, others)}
            bodies[f"mark_{view.id}"] = {mark_body(view, others)}
        relations = schema.relations(connection, db.schema)
        found = {(oid, name): rest for oid, _, name, *rest in connection.execute(_TRIGGERS.encode())}
        roots = dict(
            connection.execute(
                "SELECT o, coalesce(pg_partition_root(o)::oid, o) FROM unnest(%s::oid[]) o",
                [[oid for oid, *_ in relations]],
            ).fetchall()
        )
    by_name = {view.table.name: view for view in views}
    mapped = {
        oid: by_name[name]
        for oid, at, name, part in relations
        if at == db.schema and name in by_name and not part
    }
    wrong = [f"the table {view.table.name} is not there" for view in views if view not in mapped.values()]
    for oid, at, name, _ in relations:
        owner = mapped.get(roots[oid])
        wanted = {FENCE: "fence"}
        if owner is not None and owner.key:
            wanted |= {CAPTURE: f"capture_{owner.id}", MARK: f"mark_{owner.id}"}
        for trigger, function in wanted.items():
            why = _why(found.get((oid, trigger)), function, _TYPES[trigger], bodies[function], password)
            if why:
                wrong.append(f"the trigger {trigger} of table {table_in(at, name)} {why}")
    return wrong


def _why(found: Sequence[object] | None, function: str, kind: int, bodies: set[str], password: str) -> str:
    """What is wrong with a trigger; empty when nothing is."""
    if found is None:
        return "is missing"
    enabled, has_kind, has_function, body, definition = found
    if not enabled:
        return "is disabled"
    if has_function != function or has_kind != kind or password not in str(definition):
        return "is altered"
    return "" if body in bodies else f"has another function body ({function})"
