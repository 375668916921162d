"""Crossfade as a guest in a Caddy that somebody else runs.

Three things are added to its configuration, each under a name of ours, in one conditional change: a
server on a local address that holds and shifts (the same as in a Caddy of our own), its access log, and
one route, first in the server that already listens, that leads there.  Nothing else is touched.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from crossfade.errors import RouterError
from crossfade.routers.caddy_address import Listen
from crossfade.routers.caddy_admin import Admin
from crossfade.routers.caddy_config import Json, Settings, access_log, server

ATTEMPTS = 5


def install(admin: Admin, settings: Settings, name: str, inner: str) -> None:
    """Add what is ours, or bring it up to date; nothing is reloaded when it stands there already.
    ``inner`` is the local address of our server.  ``RouterError``."""
    _change(admin, lambda config: _with_ours(config, settings, name, inner, admin))


def remove(admin: Admin, name: str) -> None:
    """Take away what is ours."""
    _change(admin, lambda config: _without_ours(config, name))


def installed(admin: Admin, name: str) -> bool:
    """Whether Caddy answers and our route is there (somebody may have loaded a configuration without it)."""
    try:
        admin.request("GET", f"/id/{name}")
    except RouterError:
        return False
    return True


def _change(admin: Admin, edit: Callable[[Json], Json]) -> None:
    for attempt in range(ATTEMPTS):
        before, tag = admin.request("GET", "/config/")
        try:
            # Conditional on the tag: a change that somebody makes meanwhile is never undone by ours.
            # Caddy reloads nothing when nothing is different.
            admin.request("POST", "/config/", edit(before or {}), match=tag)
        except RouterError as error:
            if "(412)" not in error.what or attempt == ATTEMPTS - 1:
                raise
        else:
            return


def _without_ours(config: Json, name: str) -> Json:
    http = config.get("apps", {}).get("http", {})
    http.get("servers", {}).pop(name, None)
    for place in http.get("servers", {}).values():
        if any(route.get("@id") == name for route in place.get("routes") or ()):
            place["routes"] = [route for route in place["routes"] if route.get("@id") != name]
    logs = config.get("logging", {}).get("logs", {})
    if logs.pop(name, None) is not None:
        default = logs.get("default", {})
        default["exclude"] = [item for item in default.get("exclude", ()) if item != _logger(name)]
        # What we had to create is taken away again when nothing else is in it.
        for inside, key in (
            (default, "exclude"),
            (logs, "default"),
            (config["logging"], "logs"),
            (config, "logging"),
        ):
            if key in inside and not inside[key]:
                del inside[key]
    return config


def _with_ours(config: Json, settings: Settings, name: str, inner: str, admin: Admin) -> Json:
    config = _without_ours(config, name)
    servers = config.get("apps", {}).get("http", {}).get("servers", {})
    host = _host(servers, settings.listen, admin)
    route: Json = {
        "@id": name,
        "handle": [
            {
                "handler": "reverse_proxy",
                "upstreams": [{"dial": inner}],
                # A connection of its own for each request: none that our server closes under a write.
                "transport": {"protocol": "http", "keep_alive": {"enabled": False}},
            }
        ],
        "terminal": True,
    }
    if settings.listen.host is not None:
        route["match"] = [{"host": [settings.listen.host]}]
    host["routes"] = [route, *(host.get("routes") or ())]
    ours = server(settings, name)
    ours |= {"listen": [inner], "automatic_https": {"disable": True}}
    # The client's address comes from the server before us, over an address that nobody else uses.
    if inner.startswith("unix/"):
        ours["trusted_proxies_unix"] = True
    ranges = [] if inner.startswith("unix/") else ["127.0.0.1/32"]
    ranges += settings.trusted_proxies
    if ranges:
        ours["trusted_proxies"] = {"source": "static", "ranges": ranges}
    servers[name] = ours
    logs = config.setdefault("logging", {}).setdefault("logs", {})
    logs[name] = access_log(settings, name)
    default = logs.setdefault("default", {})
    default["exclude"] = [*default.get("exclude", ()), _logger(name)]
    return config


def _logger(name: str) -> str:
    return f"http.log.access.{name}"


def _host(servers: Json, place: Listen, admin: Admin) -> Json:
    found = [
        config
        for config in servers.values()
        if any(_same(item, place.address) for item in config.get("listen", ()))
    ]
    if len(found) == 1:
        result: Json = found[0]
        return result
    known = "; ".join(f"{key}: {', '.join(config.get('listen', ()))}" for key, config in servers.items())
    raise RouterError(
        f"{len(found)} of Caddy's servers listen on {place.address} ({known or 'it has none'})",
        where=f"admin endpoint {admin.address}",
        todo="set router/listen to an address that exactly one of them listens on",
    )


def _same(theirs: str, ours: str) -> bool:
    """Whether two listen addresses are one: the same port, and the same host or any host."""
    network, _, rest = theirs.rpartition("/")
    host, _, port = rest.rpartition(":")
    our_host, _, our_port = ours.rpartition(":")
    return network in ("", "tcp") and port == our_port and (host == our_host or _any(host) or _any(our_host))


def _any(host: str) -> bool:
    try:
        return not host or ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return False
