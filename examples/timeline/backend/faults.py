"""A switch that makes this app fail on purpose, for demonstrations of what a rollback is good for."""

from __future__ import annotations

from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_BODY = b'{"error":{"code":"injected_failure","message":"This failure was asked for.","details":[]}}'
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(_BODY)).encode()),
    (b"x-injected-failure", b"1"),
]


class InjectedFaults:
    """ASGI middleware: while ``file`` exists, API writes are answered 500 with ``X-Injected-Failure: 1``
    before anything else sees them, and API reads too when the file contains the word ``reads``.

    Looked at for every request.  No write has happened when it fails, so a client may try again.
    """

    def __init__(self, app: ASGIApp, file: Path) -> None:
        self._app = app
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._fails(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 500, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": _BODY})

    def _fails(self, method: str, path: str) -> bool:
        if not path.startswith("/api/"):
            return False
        try:
            content = self._file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
        return method not in _SAFE or "reads" in content.split()
