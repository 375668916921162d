"""Who may see the page: the holder of a token, from this machine unless told otherwise, and no other site.

`Gate` stands before everything that the page's server answers, its WebSocket included:

- **Host** must be an address or a name of this machine, so that a foreign name that was pointed here (DNS
  rebinding) gets nothing;
- **Origin**, where a browser sends one, must be this very page, and a WebSocket or a request that changes
  something must have one;
- a **token** opens the door once: it is taken out of the address and a cookie stands in for it, which scripts cannot
  read and other sites cannot send.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from crossfade.errors import UsageError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HOLDER = "crossfade.holder"
"""Where the `Token` of whoever asks stands in a request's scope."""

SHORTEST = 12
"""Characters of a token."""

_NAME = re.compile(r"[\w][\w .@-]{0,63}")
_FORWARDED = frozenset({b"x-forwarded-prefix", b"x-forwarded-host", b"x-forwarded-proto", b"forwarded"})
"""Headers by which a client could make the page believe that it stands elsewhere."""

_COMMON = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
]
_POLICY = (
    # Vue compiles templates in the browser, which needs eval; nothing may come from, or go to, anywhere else
    b"default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; "
    b"form-action 'none'; frame-ancestors 'none'"
)
_PLAIN_POLICY = (
    b"default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; base-uri 'none'; "
    b"form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class Token:
    """A secret that opens the page, and the name of the person whom it was given to (empty: whoever runs the
    page)."""

    secret: str
    name: str = ""

    @property
    def cookie(self) -> str:
        """What stands in for it: it is known only to whoever knows the token, and does not give it away."""
        return hmac.new(self.secret.encode(), b"crossfade ui", hashlib.sha256).hexdigest()


def tokens_of(given: Sequence[str]) -> tuple[Token, ...]:
    """Tokens as they are given: ``secret`` or ``name=secret``; a random one when there is none.  ``UsageError``."""
    if not given:
        return (Token(secrets.token_urlsafe(24)),)
    found: list[Token] = []
    for text in given:
        name, _, secret = text.partition("=")
        if not secret.strip("="):
            name, secret = "", text  # no name, or only the padding of a base64 text
        elif _NAME.fullmatch(name) is None:
            raise UsageError(
                "a token's name is no person's name", where="--token", todo="write it as ann=SECRET"
            )
        if len(secret) < SHORTEST or not secret.isascii() or not secret.isprintable() or " " in secret:
            raise UsageError(
                f"a token needs at least {SHORTEST} characters, without spaces",
                where=f"--token {name}=…" if name else "--token",
                todo="leave it out to have a random one, or make one with: openssl rand -base64 24",
            )
        if any(hmac.compare_digest(secret, other.secret) for other in found):
            raise UsageError(
                "two people have the same token", where="--token", todo="give each one of their own"
            )
        found.append(Token(secret, name))
    return tuple(found)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Gate:
    """Lets through what may be let through; see the module's head.  ``host`` is where the server listens."""

    def __init__(self, app: App, tokens: Sequence[Token], *, host: str, port: int) -> None:
        self._app = app
        self._tokens = tuple(tokens)
        self._loopback = is_loopback(host)
        self._names = {"localhost"} if self._loopback else {"localhost", *_names_of(host)}
        # cookies do not tell one port from another, and there may be two dashboards on one machine
        self._cookie = f"crossfade_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if not self._is_ours(host):
            await _refuse(scope, send, 400, "This name does not belong to this page.")
            return
        if not _same_origin(scope, headers, host):
            await _refuse(scope, send, 403, "Another site asked for this, so it is refused.")
            return
        asked = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token")
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == "/" and asked:
            holder = self._holder_of(asked[0], by_cookie=False)
            if holder is None:
                await _refuse(scope, send, 401, _CLOSED)
            else:
                await self._welcome(send, holder)
            return
        holder = self._holder_of(self._cookie_in(headers), by_cookie=True)
        if holder is None:
            await _refuse(scope, send, 401, _CLOSED)
            return
        inner = {
            **scope,
            HOLDER: holder,
            "headers": [(name, value) for name, value in scope["headers"] if name.lower() not in _FORWARDED],
        }
        await self._app(inner, receive, _guarded(send))

    def _is_ours(self, host: str) -> bool:
        name = _without_port(host)
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        # an address is never a name that somebody else may point here
        return address.is_loopback or not self._loopback

    def _cookie_in(self, headers: MutableMapping[bytes, bytes]) -> str:
        try:
            found = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1")).get(self._cookie)
        except CookieError:
            return ""
        return found.value if found is not None else ""

    def _holder_of(self, said: str, *, by_cookie: bool) -> Token | None:
        holder = None
        for token in self._tokens:  # all of them, so that the time tells nothing
            wanted = token.cookie if by_cookie else token.secret
            if hmac.compare_digest(wanted.encode(), said.encode("utf-8", "surrogatepass")):
                holder = token
        return holder

    async def _welcome(self, send: Send, holder: Token) -> None:
        # A page of our own goes on to the dashboard: after a redirect from another site (a link in a chat) the
        # browser would keep a strict cookie back, and the address with the token would stay in the history.
        cookie = f"{self._cookie}={holder.cookie}; Path=/; HttpOnly; SameSite=Strict"
        body = _page(
            "Crossfade",
            "Opening the dashboard …",
            '<meta http-equiv="refresh" content="1;url=/"><script>location.replace("/")</script>',
        )
        await _answer(send, 200, body, [(b"set-cookie", cookie.encode("latin-1"))])


_CLOSED = (
    "This page opens with the address that `crossfade ui` printed when it was started, token included. "
    "Ask whoever started it, or start it again."
)


def _names_of(host: str) -> Iterable[str]:
    yield host.lower()
    name = socket.gethostname().lower()
    yield name
    yield name.partition(".")[0]
    yield socket.getfqdn().lower()


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].removesuffix(".")


def _same_origin(scope: Scope, headers: MutableMapping[bytes, bytes], host: str) -> bool:
    origin = headers.get(b"origin")
    if origin is None:
        # a browser always sends it with these
        return scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
    return origin.decode("latin-1").lower() in (f"http://{host}", f"https://{host}")


def _guarded(send: Send) -> Send:
    """Adds what the browser shall keep to."""

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", []))
            message = {
                **message,
                "headers": [
                    *given,
                    *_COMMON,
                    (b"content-security-policy", _POLICY),
                    (b"referrer-policy", b"same-origin"),
                ],
            }
        await send(message)

    return guarded


async def _refuse(scope: Scope, send: Send, status: int, text: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    await _answer(send, status, _page("Crossfade: no entry", text))


async def _answer(send: Send, status: int, body: bytes, more: Sequence[tuple[bytes, bytes]] = ()) -> None:
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"referrer-policy", b"no-referrer"),
        (b"content-security-policy", _PLAIN_POLICY),
        *_COMMON,
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _page(title: str, text: str, head: str = "") -> bytes:
    """A small page of fixed text."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        f'content="light dark">{head}<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:34rem;'
        f"margin:18vh auto;padding:0 1.5rem}}</style></head><body><main><h1>Crossfade</h1><p>{text}</p></main>"
        "</body></html>"
    ).encode()
