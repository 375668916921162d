"""What every verb shares: the spec option, errors as text or JSON, and progress on a terminal."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossfade.errors import CrossfadeError
from crossfade.masking import mask

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SpecOption = Annotated[
    Path,
    typer.Option(
        "--spec", "-f", envvar="CROSSFADE_SPEC", help="The move's description.", show_default="crossfade.yaml"
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object, and nothing else, to stdout.")
]

DEFAULT_SPEC = Path("crossfade.yaml")


def emit(result: Mapping[str, Any], as_json: bool, human: Callable[[], str]) -> None:
    """Print a verb's result: one JSON object, or text for people."""
    if as_json:
        typer.echo(json.dumps(_plain(result), ensure_ascii=False))
    else:
        typer.echo(human())


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


@contextmanager
def failing(as_json: bool) -> Iterator[None]:
    """Errors of the tree become one message and their exit code."""
    try:
        yield
    except CrossfadeError as error:
        if as_json:
            typer.echo(mask(json.dumps(error.as_json(), ensure_ascii=False)))
        else:
            typer.echo(mask(f"crossfade: {error}"), err=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        typer.echo("crossfade: interrupted; `crossfade status` shows where the move stands", err=True)
        raise typer.Exit(3) from None


def politely() -> None:
    """Leave the processor to the application on the same machine, which comes first."""
    with contextlib.suppress(OSError):
        os.nice(10)


class Console:
    """A reporter for people: sentences to stderr, progress bars when stderr is a terminal."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._lock = Lock()

    def say(self, text: str) -> None:
        if self._quiet:
            return
        if self._progress is not None:
            self._progress.console.print(text, highlight=False, markup=False)
        else:
            typer.echo(text, err=True)

    def begin(self, stage: str, totals: dict[str, int]) -> None:
        if self._quiet or not sys.stderr.isatty():
            return
        from rich.console import Console as Terminal
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        class Rate(TextColumn):
            def __init__(self) -> None:
                super().__init__("{task.speed}")

            def render(self, task: Any) -> Any:
                from rich.text import Text

                return Text(f"{task.speed:,.0f} rows/s" if task.speed else "")

        self._progress = Progress(
            TextColumn(f"{stage} {{task.description}}"),
            BarColumn(),
            MofNCompleteColumn(),
            Rate(),
            TimeRemainingColumn(),
            console=Terminal(stderr=True),
        )
        self._tasks = {
            table: self._progress.add_task(table, total=total or None) for table, total in totals.items()
        }
        self._progress.start()

    def advance(self, table: str, rows: int) -> None:
        with self._lock:
            if self._progress is not None and table in self._tasks:
                self._progress.advance(self._tasks[table], rows)

    def lag(self, seconds: float) -> None:
        with self._lock:
            if self._progress is not None:
                for task in self._tasks.values():
                    self._progress.update(task, description=f"{seconds:.1f} s behind")

    def end(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def ago(then: float | None, now: float) -> str:
    """A moment as people say it; ``then`` and ``now`` are Unix seconds."""
    if then is None:
        return "never"
    seconds = max(0.0, now - then)
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit} ago"
    return f"{seconds:.0f} s ago"
