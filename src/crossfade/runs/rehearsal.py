"""A rehearsal: the same move on scratch stores, so that a plan can be run for real without touching anything.

The old side is a copy of the database as it is now, the new side a copy of its database on an embedded
PostgreSQL (or in a file); the router is one of our own on a free port, to which nobody sends anything.  All of
it is gone at the end.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from ruamel.yaml import YAML

from crossfade import background
from crossfade import spec as specs
from crossfade.errors import CrossfadeError
from crossfade.move import Move
from crossfade.spec import Spec
from crossfade.stores import open_store
from crossfade.stores.base import Side


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The scratch spec, and the folder in which everything of the rehearsal is."""

    spec: Path
    folder: Path


@contextmanager
def rehearsal(spec_path: Path) -> Iterator[Rehearsal]:
    """Scratch stores as the real ones are now, and a spec that names them; removed on exit.

    ``SpecError``, ``BackupError``, ``StoreError`` (the embedded PostgreSQL is needed as soon as one side is
    PostgreSQL).
    """
    spec = specs.load(spec_path)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crossfade-rehearsal-")))
        folder.chmod(0o755)  # the embedded server may run as another account
        stores = {side.value: _scratch(stack, spec, side, folder) for side in Side}
        document = _document(spec_path)
        for side, address in stores.items():
            document[side]["store"] = address
        if spec.router is not None:
            document["router"] = {"kind": "caddy", "listen": f"127.0.0.1:{_free_port()}"}
        document["state"] = str(folder / "state")
        document.pop("notify", None)
        scratch = folder / "crossfade.yaml"
        YAML(typ="safe", pure=True).dump(document, scratch)
        stack.callback(_end, scratch)
        yield Rehearsal(scratch, folder)


def _document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    return found


def _scratch(stack: ExitStack, spec: Spec, side: Side, folder: Path) -> str:
    """The address of a copy of that side's database, without what Crossfade added to it."""
    address = spec.side(side).store.get_secret_value()
    with contextlib.closing(open_store(address)) as store:
        copy = store.backup(folder / f"{side}.copy")
        scratch = f"sqlite:///{copy}" if store.kind == "sqlite" else _restored(stack, folder, side, copy)
    with contextlib.closing(open_store(scratch)) as store:
        if store.state(spec.move) is not None:
            store.uninstall(spec.move)
    return scratch


def _restored(stack: ExitStack, folder: Path, side: Side, dump: Path) -> str:
    from crossfade.stores.postgres.backup import restore_into
    from crossfade.stores.postgres.connection import Database
    from crossfade.stores.postgres.embedded import EmbeddedPostgres

    server = stack.enter_context(EmbeddedPostgres(folder / f"{side}-server", durable=False))
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(side.value)))
    with contextlib.closing(Database(server.url())) as db:
        restore_into(db, side.value, dump)
    return server.url(side.value)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _end(spec: Path) -> None:
    """End what the plan started beside the scratch stores."""
    with contextlib.suppress(CrossfadeError):
        background.stop_follower(spec)
    with contextlib.suppress(CrossfadeError), Move.open(spec) as move:
        if move.router is not None:
            move.router.stop()
