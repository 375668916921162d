"""``crossfade ui``: the dashboard."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from crossfade.cli.console import DEFAULT_SPEC, JsonOption, SpecOption, emit, failing

JSON = {
    "url": "what to open in a browser; it holds the token, so treat it as a password",
    "people": "{name: their own address} for each --token NAME=SECRET",
    "pid": "the process that shows the page; SIGTERM ends it",
}


def run(
    plan: Annotated[
        Path | None, typer.Argument(help="The plan to show; only the move without one.", metavar="PLAN.md")
    ] = None,
    spec: SpecOption = DEFAULT_SPEC,
    host: Annotated[
        str, typer.Option(help="Where to listen. Other machines can reach any but a loopback address.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    token: Annotated[
        list[str] | None,
        typer.Option(
            help="What opens the page: a secret, or NAME=SECRET for each person who acts under a name of their "
            "own. Random when left out.",
            envvar="CROSSFADE_UI_TOKEN",
            show_default=False,
        ),
    ] = None,
    browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the move and its plan as a live page, with buttons for the verbs.

    Prints the page's address, and shows it until SIGTERM or Ctrl-C. What was begun from the page goes on when
    it ends.
    """
    with failing(as_json):
        from crossfade.errors import UsageError

        given = spec.exists()
        if not given and (plan is None or spec != DEFAULT_SPEC):
            raise UsageError(
                "there is no such file", where=str(spec), todo="name the spec with --spec, or give a plan"
            )
        if plan is not None and not plan.is_file():
            raise UsageError("there is no such plan", where=str(plan), todo="name the plan's Markdown file")
        if given:
            from crossfade import spec as specs

            specs.load(spec)  # a page that can show nothing is no help
        try:
            from crossfade.ui.server import Settings, serve
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in ("nicegui", "fastapi", "uvicorn"):
                raise
            raise UsageError(
                "the page needs NiceGUI, which is not installed",
                where="crossfade ui",
                todo="install it with: pip install 'crossfade[ui]'",
            ) from None
        from crossfade.ui.access import tokens_of
        from crossfade.ui.actions import person_of
        from crossfade.ui.collecting import Collected

        tokens = tokens_of(token or ())
        for one in tokens:
            person_of(one)  # a name that cannot be one is said before anybody comes
        settings = Settings(
            spec=spec.resolve() if given else None,
            plan=plan.resolve() if plan is not None else None,
            host=host,
            port=port,
            tokens=tokens,
            browser=browser,
        )

        def announce(urls: Sequence[str]) -> None:
            people = {one.name: url for one, url in zip(tokens, urls, strict=True) if one.name}

            def text() -> str:
                lines = [
                    f"{one.name}: {url}" if one.name else url for one, url in zip(tokens, urls, strict=True)
                ]
                few = "this address" if len(urls) == 1 else "one of these addresses"
                return "\n".join(lines) + f"\n  (whoever has {few} may act on the move; Ctrl-C ends the page)"

            emit({"url": urls[0], "people": people, "pid": os.getpid()}, as_json, text)

        serve(settings, Collected(settings.spec, settings.plan), announce)
