"""What Caddy is told: one JSON configuration that never changes while traffic is held, released or shifted.

Everything that a switch changes stands in four small files, whose text Caddy reads again at every try:

============  ======================================================================================
``leader``    where requests go that may write; the refused address ``HELD`` while they are held
``reader``    where reads go that are let through a hold; the last leading side, in its other spelling
``follower``  where shifted reads go, in its other spelling
``shift``     the share of shifted reads, as the smallest bucket that is *not* shifted
============  ======================================================================================

A reload of Caddy's configuration closes idle keep-alive connections, and a client that is just sending
on one sees a failure.  Files have no such cost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossfade.errors import SpecError
from crossfade.routers.caddy_address import Listen

HELD = "unix//dev/null/crossfade-held"
"""The upstream of a hold: a dial that fails at once, without DNS and without a port that anybody could
ever listen on (nothing can exist below ``/dev/null``)."""

MISSING = "tcp/:0"
"""What Caddy makes of a missing or empty file; dialling it fails at once too."""

LEADER, READER, FOLLOWER, SHIFT = "leader", "reader", "follower", "shift"

BUCKET_COOKIE = "crossfade_bucket"
WROTE_COOKIE = "crossfade_wrote"
BUCKET_SECONDS = 400 * 24 * 3600
"""As long as browsers keep a cookie."""

EVERYBODY = "g"
"""A threshold above every hexadecimal bucket, and the only one that takes clients without a cookie."""

GRACE_SECONDS = 10.0
"""How long requests may go on when Caddy ends or is given another configuration."""

ACCESS_LOGGER = "crossfade"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")

Json = dict[str, Any]


def threshold(percent: float) -> str:
    """The smallest bucket that is not shifted, so that ``bucket < threshold`` holds for that share of
    uniformly drawn buckets and every greater percentage includes the smaller one.  '' shifts nobody."""
    if not 0 <= percent <= 100:
        raise SpecError(f"{percent} is not a percentage", where="shift", todo="give a number from 0 to 100")
    if percent == 100:
        return EVERYBODY
    return f"{min(round(2**32 * percent / 100), 2**32 - 1):08x}" if percent else ""


def percent(threshold: str) -> float:
    """The percentage that a threshold stands for (to a millionth); 0 for a text that is none."""
    if threshold == EVERYBODY:
        return 100.0
    try:
        return round(100 * int(threshold, 16) / 2**32, 6) if threshold else 0.0
    except ValueError:
        return 0.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the configuration depends on; times in seconds, sizes in bytes.

    ``hold`` is how long a request waits at most, ``wrote`` how long a client that wrote is read from the
    leader, ``buffer`` how much of a request body is taken in before it is sent on.  ``shared`` says that
    Caddy may run as another user, who must let us read its log.
    """

    directory: Path
    listen: Listen
    read_only_paths: tuple[str, ...]
    hold: float
    wrote: float
    buffer: int
    trusted_proxies: tuple[str, ...] = ()
    shared: bool = False
    retry_interval: float = 0.02
    log_bytes: int = 16 * 2**20
    log_files: int = 4

    def file(self, name: str) -> Path:
        return self.directory / name

    def placeholder(self, name: str) -> str:
        return f"{{file.{self.file(name)}}}"


def whole(settings: Settings, admin: str) -> Json:
    """The configuration of a Caddy that is ours alone."""
    http: Json = {"servers": {"crossfade": server(settings)}, "grace_period": _nanoseconds(GRACE_SECONDS)}
    apps: Json = {"http": http}
    if settings.listen.https:
        # The root of a certificate authority that Caddy may create for an internal name stays in our
        # directory: Crossfade does not change what the machine trusts.
        apps["pki"] = {"certificate_authorities": {"local": {"install_trust": False}}}
    return {
        "admin": {"listen": admin, "config": {"persist": False}},
        "storage": {"module": "file_system", "root": str(settings.file("certificates"))},
        "logging": {
            "logs": {
                "default": {
                    "exclude": [f"http.log.access.{ACCESS_LOGGER}"],
                    "writer": _rolled(settings, "caddy.log"),
                    "encoder": _encoder(),
                },
                ACCESS_LOGGER: access_log(settings, ACCESS_LOGGER),
            }
        },
        "apps": apps,
    }


def server(settings: Settings, logger: str = ACCESS_LOGGER) -> Json:
    """One HTTP server: the routes, what an expired hold answers, and the access log."""
    place = settings.listen
    routes = _routes(settings)
    if place.host is not None:
        routes = [
            {
                "match": [{"host": [place.host]}],
                "handle": [{"handler": "subroute", "routes": routes}],
                "terminal": True,
            }
        ]
    why: Json = {"handle": [{"handler": "log_append", "key": "error", "value": "{http.error.message}"}]}
    config: Json = {
        "listen": [place.address],
        "routes": routes,
        "errors": {"routes": [why, _expired()]},
        "logs": {"default_logger_name": logger},
        "automatic_https": {"disable_redirects": not place.redirect} if place.https else {"disable": True},
    }
    if settings.trusted_proxies:
        config["trusted_proxies"] = {"source": "static", "ranges": list(settings.trusted_proxies)}
    return config


def access_log(settings: Settings, logger: str) -> Json:
    """The log that ``access_log.py`` reads: one line per answer, without headers, addresses and query
    strings, in files of bounded size."""
    return {
        "include": [f"http.log.access.{logger}"],
        "writer": _rolled(settings, "access.log"),
        "encoder": _encoder(),
    }


def _rolled(settings: Settings, name: str) -> Json:
    return {
        "output": "file",
        "filename": str(settings.file(name)),
        "mode": "0644" if settings.shared else "0600",
        "roll_size_mb": max(1, settings.log_bytes // 2**20),
        "roll_keep": settings.log_files,
        "roll_gzip": False,
    }


def _encoder() -> Json:
    dropped = (
        "request>headers",
        "request>remote_ip",
        "request>remote_port",
        "request>client_ip",
        "request>tls",
        "request>proto",
        "resp_headers",
        "user_id",
        "uuid",
        "bytes_read",
        "logger",
        "level",
    )
    fields: Json = {name: {"filter": "delete"} for name in dropped}
    fields["request>uri"] = {"filter": "regexp", "regexp": r"\?.*", "value": ""}
    return {"format": "filter", "wrap": {"format": "json"}, "fields": fields}


def _routes(settings: Settings) -> list[Json]:
    routes: list[Json] = [
        {
            "handle": [
                {
                    "handler": "log_append",
                    "key": "upstream",
                    "value": "{http.reverse_proxy.upstream.address}",
                },
                {
                    "handler": "log_append",
                    "key": "app_ms",
                    "value": "{http.reverse_proxy.upstream.latency_ms}",
                },
            ]
        }
    ]
    lead = _proxy(settings, LEADER, lead=True)
    if settings.read_only_paths:
        routes += _reads(settings)
        # Set before the request is sent on: whatever comes back, it may have been written.
        wrote = f"{WROTE_COOKIE}=1; Max-Age={math.ceil(settings.wrote)}; Path=/; HttpOnly; SameSite=Lax"
        routes.append(
            {"match": [{"not": [{"method": list(SAFE_METHODS)}]}], "handle": [_set_cookie(wrote)]},
        )
    routes.append({"handle": [lead]})
    return routes


def _reads(settings: Settings) -> list[Json]:
    bucket = (
        f"{BUCKET_COOKIE}={{http.request.uuid}}; Max-Age={BUCKET_SECONDS}; Path=/; HttpOnly; SameSite=Lax"
    )
    # Paths have slashes, which an expression cannot hold in a placeholder: variables carry the values.
    bucket_var, shift_var = "{http.vars.crossfade_bucket}", "{http.vars.crossfade_shift}"
    shifted = (
        f'{bucket_var} < {shift_var} && ({bucket_var} != "" || {shift_var} == "{EVERYBODY}")'
        f' && {{http.vars.crossfade_wrote}} == ""'
    )
    return [
        {
            "match": [{"vars": {f"{{http.request.cookie.{BUCKET_COOKIE}}}": [""]}}],
            "handle": [_set_cookie(bucket)],
        },
        {
            "match": [
                {
                    "method": ["GET", "HEAD"],
                    "path": list(settings.read_only_paths),
                    # An upgraded connection is a conversation, not a read.
                    "not": [{"header": {"Upgrade": ["*"]}}],
                }
            ],
            "handle": [
                {
                    "handler": "vars",
                    "crossfade_shift": settings.placeholder(SHIFT),
                    "crossfade_bucket": f"{{http.request.cookie.{BUCKET_COOKIE}}}",
                    "crossfade_wrote": f"{{http.request.cookie.{WROTE_COOKIE}}}",
                },
                {
                    "handler": "subroute",
                    "routes": [
                        {
                            "match": [{"expression": shifted}],
                            "handle": [_proxy(settings, FOLLOWER, lead=False)],
                            "terminal": True,
                        },
                        {"handle": [_proxy(settings, READER, lead=False)]},
                    ],
                },
            ],
            "terminal": True,
        },
    ]


def _set_cookie(value: str) -> Json:
    return {"handler": "headers", "response": {"add": {"Set-Cookie": [value]}}}


def _proxy(settings: Settings, name: str, *, lead: bool) -> Json:
    config: Json = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": settings.placeholder(name)}],
        "load_balancing": {
            "try_duration": _nanoseconds(settings.hold),
            "try_interval": _nanoseconds(settings.retry_interval),
            # Matches nothing: a failed dial is tried again (nothing was sent), anything else never.
            "retry_match": [{"not": [{"path": ["*"]}]}],
        },
    }
    if lead:
        # Go sends a request again when a kept-alive connection turns out to be dead; a connection of
        # its own for each request leaves nothing to be sent twice.
        config["transport"] = {"protocol": "http", "keep_alive": {"enabled": False}}
        # Only a body that was read to its end lets Caddy notice that the client has gone.
        config["request_buffers"] = settings.buffer
    return config


def _expired() -> Json:
    """A hold that went on for too long: nothing was sent to an app, so the client may try again."""
    return {
        "match": [
            {
                "vars": {"{http.reverse_proxy.upstream.address}": [HELD, MISSING]},
                "expression": "{http.error.status_code} == 502",
            }
        ],
        "handle": [
            {"handler": "log_append", "key": "held", "value": "expired"},
            {
                "handler": "static_response",
                "status_code": 503,
                "headers": {"Retry-After": ["1"], "Content-Type": ["text/plain; charset=utf-8"]},
                "body": "Held for too long while the application moved. Nothing was executed: try again.\n",
            },
        ],
    }


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1_000_000_000)


def checked_paths(paths: Sequence[str]) -> tuple[str, ...]:
    """Caddy path matchers (``/items/*``).  ``SpecError`` for one that does not begin with a slash."""
    for index, path in enumerate(paths):
        if not path.startswith("/") or "{" in path:
            raise SpecError(
                f"{path!r} is not a path",
                where=f"router/read_only_paths/{index}",
                todo="begin it with a slash; * stands for any characters (/items/*)",
            )
    return tuple(paths)
