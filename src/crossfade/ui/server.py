"""The server of the page: a port of this machine, the gate before it, and NiceGUI behind it."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI, Request
from nicegui import ui

from crossfade.errors import UsageError
from crossfade.ui.access import HOLDER, Gate, Token, is_loopback
from crossfade.ui.collecting import Collected
from crossfade.ui.page import Page, head_html

_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" fill="#0b5e8c"/>'
    '<path d="M2 5h5l2 6h5M2 11h5l.7-2M9 7l.7-2H14" fill="none" stroke="#fff" stroke-width="1.6"/></svg>'
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What to show, where to listen, and who may look."""

    spec: Path | None
    plan: Path | None
    host: str
    port: int
    tokens: Sequence[Token]
    browser: bool = False


def listen(host: str, port: int) -> socket.socket:
    """The open port.  ``UsageError`` when it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise UsageError(
            f"cannot listen: {error.strerror or error}",
            where=f"{host}:{port}",
            todo="choose another --port, or leave it out to have a free one",
        ) from error


def address(settings: Settings, port: int, token: Token) -> str:
    """What a person opens in a browser; it holds their token."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "") else settings.host  # noqa: S104
    host = "[::1]" if host == "::" else f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}/?token={quote(token.secret, safe='')}"


def serve(settings: Settings, collected: Collected, announce: Callable[[Sequence[str]], None]) -> None:
    """Show the page until SIGTERM or Ctrl-C.  ``announce`` is told its addresses once they can be opened, one for
    each token, in order."""
    with listen(settings.host, settings.port) as door:
        port = int(door.getsockname()[1])
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

        @ui.page("/", title="Crossfade", response_timeout=10)
        def dashboard(request: Request) -> None:
            ui.add_head_html(head_html())
            Page(collected, request.scope[HOLDER])

        ui.run_with(
            app,
            title="Crossfade",
            favicon=_ICON,
            language="en-US",
            dark=None,
            tailwind=False,
            binding_refresh_interval=None,
            show_welcome_message=False,
            reconnect_timeout=10.0,
        )
        gate = Gate(app, settings.tokens, host=settings.host, port=port)
        server = uvicorn.Server(
            uvicorn.Config(
                gate,
                log_level="warning",
                access_log=False,  # the first address has the token in it
                lifespan="on",
                timeout_graceful_shutdown=2,
                server_header=False,
                proxy_headers=False,
                ws_max_size=1 << 20,
            )
        )

        def end(_number: int, _frame: FrameType | None) -> None:
            server.should_exit = True

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        collected.start()
        try:
            if not is_loopback(settings.host):
                _log.warning(
                    "other machines can reach this page at %s, and what they send and see is not encrypted; "
                    "`ssh -L` to a page on 127.0.0.1 is the safer way",
                    settings.host,
                )
            urls = [address(settings, port, token) for token in settings.tokens]
            announce(urls)
            if settings.browser:
                webbrowser.open(urls[0])
            server.run(sockets=[door])
        except KeyboardInterrupt:
            pass
        finally:
            working = collected.actions.working
            if working is not None:
                print(f"crossfade {working[0]} goes on (process {working[1]})", file=sys.stderr)
            collected.stop()


_log = logging.getLogger(__name__)
