"""Addresses as Caddy wants them: where the router listens, and the two spellings of an app."""

from __future__ import annotations

import errno
import ipaddress
import socket
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from crossfade.errors import RouterError, SpecError

LINGERING_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class App:
    """An app's address in two spellings that dial the same place.  Caddy counts requests in flight, and
    the access log names the upstream, by spelling: so reads do not hide in the count of writes."""

    lead: str
    read: str


def app(url: str, where: str) -> App:
    """The two spellings of ``http://host:port``.  ``SpecError`` for anything that is not such an address."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        host, port = None, 0
    if parts.scheme != "http" or not host or parts.path not in ("", "/") or parts.query or parts.username:
        raise SpecError(
            f"{url!r} is not the address of an app",
            where=where,
            todo="write it as http://host:port, without a path (the router speaks plain HTTP to the apps)",
        )
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        # Names are compared without case, but counted with it.
        return App(f"{host.lower()}:{port}", f"{host.upper()}:{port}")
    if isinstance(ip, ipaddress.IPv4Address):
        return App(f"{ip}:{port}", f"[::ffff:{ip}]:{port}")
    return App(f"[{ip.compressed}]:{port}", f"[{ip.exploded}]:{port}")


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the router answers: Caddy's listen address, the host name to match (None: any), and
    whether it is HTTPS with a certificate that Caddy obtains and renews."""

    address: str
    host: str | None
    https: bool
    redirect: bool = False


def listen(text: str) -> Listen:
    """``:8080``, ``127.0.0.1:8080`` and ``localhost:8080`` are plain HTTP; a host name is HTTPS, on port
    443 (with port 80 redirecting to it) or on the port it names.  ``SpecError`` otherwise."""
    parts = urlsplit(f"//{text}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    wrong = SpecError(
        f"{text!r} is not an address to listen on",
        where="router/listen",
        todo="write :8080, 127.0.0.1:8080, or a host name such as shop.example.com",
    )
    if parts.netloc != text or parts.username is not None or "{" in text:
        raise wrong
    if not host or host == "localhost":
        if not port:
            raise wrong
        # ``localhost`` could be one of two addresses; clients that try both must find us.
        return Listen(f"{host or ''}:{port}", None, https=False)
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return Listen(f":{port or 443}", host, https=True, redirect=port is None)
    if not port:
        raise wrong
    return Listen(f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}", None, https=False)


def take(place: Listen) -> None:
    """See that nobody else listens there, and that we may.  Caddy shares its ports with whoever is willing
    to share them, and a second Caddy is: then each would get a part of the requests.  ``RouterError``."""
    until = time.monotonic() + LINGERING_SECONDS
    while (error := _in_the_way(place)) is not None:
        taken = error.errno == errno.EADDRINUSE
        # The kernel closes the sockets of a process that was killed a little after it is gone.
        if taken and time.monotonic() < until:
            time.sleep(0.02)
            continue
        raise RouterError(
            "something else listens there" if taken else f"cannot listen there: {error.strerror}",
            where=place.address,
            todo="end it, or choose another router/listen"
            if taken
            else "choose an address of this machine and a port that this user may take (above 1023)",
        ) from error


def _in_the_way(place: Listen) -> OSError | None:
    host, _, port = place.address.rpartition(":")
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host.strip("[]") or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        try:
            with socket.socket(family, kind, protocol) as probe:
                # Connections of an earlier router that linger on are in nobody's way.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
        except OSError as error:
            # A machine without IPv6 still listens everywhere.
            if host or error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                return error
    return None
