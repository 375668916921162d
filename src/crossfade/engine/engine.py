"""The engine: the desk, and the worker that this process may be."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn

import sqlalchemy
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer

from crossfade import __version__
from crossfade.engine.chunks import Load, listened, open_queues, register_chunks
from crossfade.engine.connections import engine_for
from crossfade.engine.desk import Desk, Stranded
from crossfade.engine.flows import Bench, Judge, Measures, register
from crossfade.engine.names import APPLICATION, VERSION, queues
from crossfade.engine.reader import Summary
from crossfade.errors import CrossfadeError, LeaseLost, Refused, StoreError
from crossfade.ledger import Ledger
from crossfade.masking import mask, passwords_in
from crossfade.runs.commands import Commands
from crossfade.runs.database import Database
from crossfade.runs.evidence import Evidence
from crossfade.runs.secrecy import by_line
from crossfade.runs.workers import BEAT, STALE, Worker, Workers

__all__ = ["Engine", "Notice", "Stranded", "Summary"]

_SWEEP = 5
"""Every so many beats this machine looks for results that a runner could not report."""

_POOL = 10
log = logging.getLogger("crossfade.engine")


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell people.  ``kind`` is approval.asked, approval.expiring, task.failed, task.rejected,
    task.unknown, run.done, run.failed or run.undone.  After a crash one may come twice."""

    run: str
    kind: str
    task: str | None
    text: str


class Engine(Desk):
    """Runs of plans in one state database.

    ``folder`` keeps commands' outputs and the engine's log on this machine.  ``move`` separates the evidence of
    several moves in one database, ``ledger`` is that move's ledger where this machine keeps it.  ``judge`` and
    ``measures`` decide gates; ``cwd`` is where commands run, ``spec`` what they get as CROSSFADE_SPEC; ``secrets`` are
    masked in everything that is kept.  ``chunks`` copies a chunk of the move's copy, and a worker takes ``at_once`` of
    them side by side; without it a worker takes none.  ``polling`` is how often, in seconds, a waiting process looks.

    One process works for one engine at a time (`work`); everything else may be done from any number of them.
    """

    def __init__(
        self,
        url: str,
        *,
        folder: Path,
        move: str = "",
        ledger: Ledger | None = None,
        judge: Judge | None = None,
        measures: Measures = dict,
        secrets: Sequence[str] = (),
        cwd: Path | None = None,
        spec: Path | None = None,
        notify: Callable[[Notice], None] | None = None,
        chunks: Load | None = None,
        at_once: int = 1,
        polling: float = 0.25,
        grace: float | None = None,
    ) -> None:
        self.folder = folder.absolute()
        _quiet(self.folder)
        database = Database(url)
        self._by = f"{socket.gethostname()}:{os.getpid()}"
        masked = by_line((*secrets, *passwords_in(url)))
        evidence = Evidence(
            database, move=move, ledger=ledger, secrets=masked, by=f"{self._by} {__version__}"
        )
        super().__init__(database, evidence, move=move, polling=polling)
        self._secrets = masked
        self._judge = judge
        self._measures = measures
        self._notify = notify
        self._chunks = chunks
        self._at_once = at_once
        self._cwd = (cwd or Path.cwd()).absolute()
        self._commands = Commands(
            database,
            folder=self.folder / "runs",
            cwd=self._cwd,
            secrets=masked,
            spec=spec,
            by=self._by,
            polling=min(polling, 0.25),
            **({} if grace is None else {"grace": grace}),
        )
        self._heart: _Heart | None = None

    @contextmanager
    def work(self, name: str | None = None) -> Iterator[Worker]:
        """Be a worker until the end of the ``with``: do what is ready, and take over what dead workers left.

        ``name`` is this worker's, by default the machine's; ``LeaseHeld`` while a living process has it.  What is
        under way at the end is left to others (or to the next one of this name): commands go on by themselves.
        """
        if self._heart is not None:
            raise Refused("this engine works already", where="worker")
        self.prepare()
        me = self.workers.enlist(name or socket.gethostname())
        connections = engine_for(self.database.url, size=_POOL)
        try:
            self._launch(me, connections)
            self._heart = _Heart(self, me)
            try:
                yield me
            finally:
                heart, self._heart = self._heart, None
                heart.stop()
        finally:
            if connections is not None:
                connections.dispose()
            with suppress(CrossfadeError):
                self.workers.leave(me)

    def demand_alive(self) -> None:
        """``LeaseLost`` when this process worked and does so no more."""
        if self._heart is not None and self._heart.lost is not None:
            raise self._heart.lost

    @staticmethod
    def end_process(code: int) -> NoReturn:
        """End this process now.  Threads that wait for people would keep an ordinary exit waiting for days; all
        that they know is in the state database."""
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)

    def _launch(self, me: Worker, connections: sqlalchemy.Engine | None) -> None:
        config: DBOSConfig = {
            "name": APPLICATION,
            "system_database_url": self.database.url,
            "executor_id": me.executor,
            "application_version": VERSION,
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "WARNING",
            "sys_db_pool_size": _POOL,
            "system_database_engine": connections,
            "notification_listener_polling_interval_sec": self._polling,
        }
        DBOS(config=config)
        try:
            register(self._bench())
            DBOS.listen_queues([*queues(self.move), *self._take_chunks()])
            DBOS.launch()
        except BaseException as error:
            DBOS.destroy(destroy_registry=True)
            if isinstance(error, Exception):
                raise StoreError(
                    f"runs cannot be gone on with: {mask(str(error), self._secrets)}",
                    where=self.database.where,
                    todo=f"see {self.folder / 'engine.log'}",
                ) from error
            raise

    def _take_chunks(self) -> Sequence[str]:
        """The queues of chunks from which this worker takes."""
        if self._chunks is None:
            return ()
        with self._client() as client:
            open_queues(client, self.move, at_once=self._at_once)
        register_chunks(self._chunks, self._secrets)
        return listened(self.move)

    def _bench(self) -> Bench:
        judge = self._judge
        if judge is None:
            from crossfade.runs import gates

            judge = gates.judge
        notify = self._notify
        return Bench(
            database=self.database,
            decisions=self.decisions,
            evidence=self.evidence,
            commands=self._commands,
            judge=judge,
            measures=self._measures,
            notify=lambda run, kind, task, text: notify(Notice(run, kind, task, text)) if notify else None,
            cwd=self._cwd,
            secrets=self._secrets,
            polling=self._polling,
        )

    def settle(self) -> int:
        """Report what runners of this machine found and could not report; how many results there were."""
        found = 0
        for attempt in self.attempts.unsettled_here():
            if not self.attempts.is_alive(attempt):
                found += self._commands.settle(attempt)
        return found


class _Heart:
    """The thread that gives signs of life and takes over from the dead."""

    def __init__(self, engine: Engine, me: Worker) -> None:
        self._engine = engine
        self._me = me
        # of its own and impatient: a beat that is late is worth nothing
        self._workers = Workers(Database(engine.database.url, patience=BEAT))
        self._over = threading.Event()
        self._steady_since = self._last = time.monotonic()
        self.lost: LeaseLost | None = None
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop working."""
        self._over.set()
        self._thread.join(timeout=30.0)
        DBOS.destroy(destroy_registry=True)

    def _run(self) -> None:
        number = 0
        while True:
            try:
                self._beat(number)
            except LeaseLost as error:
                self.lost = error
                log.warning("%s", error)
                DBOS.destroy(destroy_registry=True)
                return
            except CrossfadeError as error:
                log.warning("%s", error)
            except Exception:
                # a fault of one beat must not end the others, without which this process counts as dead
                log.exception("a beat failed")
            number += 1
            if self._over.wait(BEAT):
                return

    def _beat(self, number: int) -> None:
        self._workers.beat(self._me)
        now = time.monotonic()
        if now - self._last > STALE:
            self._steady_since = now
        self._last = now
        self._engine.mend(living=self._living())
        self._engine.evidence.copy()
        if number % _SWEEP == 0:
            self._engine.settle()

    def _living(self) -> list[Worker]:
        """Who may be at work.  While the database did not answer nobody gave signs of life, so those of other
        machines are believed to live until this process has seen them silent for long enough itself."""
        if time.monotonic() - self._steady_since > STALE:
            return self._workers.living()
        here = {worker.executor for worker in self._workers.living()}
        return [
            worker
            for worker in self._workers.all()
            if worker.executor in here or worker.host != socket.gethostname()
        ]


class _Log(logging.FileHandler):
    """A log file whose folder is made when there is something to say: merely looking leaves nothing behind."""

    def _open(self) -> TextIOWrapper:
        Path(self.baseFilename).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return super()._open()


def _quiet(folder: Path) -> None:
    """Have DBOS's and our own messages in a file: standard output and error belong to the command line."""
    path = folder / "engine.log"
    for name in ("dbos", "crossfade.engine"):
        logger = logging.getLogger(name)
        logger.propagate = False
        if not any(getattr(handler, "baseFilename", None) == str(path) for handler in logger.handlers):
            handler = _Log(path, encoding="utf-8", delay=True)
            handler.setFormatter(
                logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s %(message)s")
            )
            for old in list(logger.handlers):
                logger.removeHandler(old)
                old.close()
            logger.addHandler(handler)
        logger.setLevel(logging.WARNING)
