"""Who may see the page, and who may not: a token once, this machine, this very page."""

from __future__ import annotations

import base64
import http.client
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from crossfade.errors import UsageError
from crossfade.ui.access import Token, is_loopback, tokens_of
from tests.ui.conftest import ANN, BEN, Dashboard, dashboard

PLAN = "# A secret undertaking\n\n## Phase 1: Look\n\n**Task 1.1: Look <b>twice</b>**\n- **Owner**: Ann\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    folder = tmp_path_factory.mktemp("access")
    plan = folder / "PLAN.md"
    plan.write_text(PLAN)
    with dashboard(folder, str(plan), "--token", f"ann={ANN}", "--token", f"ben={BEN}") as served:
        yield served


def ask(
    served: Dashboard, path: str = "/", method: str = "GET", body: str | None = None, **headers: str
) -> tuple[int, str, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    try:
        connection.request(
            method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers
    finally:
        connection.close()


def cookie(served: Dashboard, token: str = ANN) -> str:
    """What the browser keeps after the first visit."""
    status, _, headers = ask(served, f"/?token={token}")
    assert status == 200
    return (headers["Set-Cookie"] or "").partition(";")[0]


def knock(served: Dashboard, **headers: str) -> int:
    """Try to open the page's WebSocket; the status of the answer."""
    lines = [
        "GET /_nicegui_ws/socket.io/?EIO=4&transport=websocket HTTP/1.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}",
        "Sec-WebSocket-Version: 13",
        *(f"{name}: {value}" for name, value in ({"Host": f"127.0.0.1:{served.port}"} | headers).items()),
    ]
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as door:
        door.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        return int(door.recv(64).split()[1])


def test_without_a_token_nothing_is_shown(served: Dashboard) -> None:
    for path in ("/", "/anything", "/_nicegui_ws/socket.io/?EIO=4&transport=polling", "/favicon.ico"):
        status, body, headers = ask(served, path)
        assert status == 401, path
        assert "undertaking" not in body
        assert headers["Set-Cookie"] is None
    for wrong in ("", "x", ANN[:-1], ANN + "x", "%00", "%ff%fe"):
        assert ask(served, f"/?token={wrong}")[0] == 401
    assert ask(served, Cookie=f"crossfade_{served.port}={ANN}")[0] == 401, "the token is no cookie"
    assert ask(served, Cookie="a=b; =; ;;")[0] == 401


def test_a_token_opens_the_page_once_and_a_cookie_stands_in_for_it(served: Dashboard) -> None:
    status, body, headers = ask(served, f"/?token={ANN}")
    assert status == 200
    flags = {part.strip().lower() for part in (headers["Set-Cookie"] or "").split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= flags
    assert ANN not in body + str(headers)
    assert "location.replace" in body, "the address with the token does not stay in the history"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    kept = cookie(served)
    status, body, headers = ask(served, Cookie=kept)
    assert status == 200
    assert ANN not in body
    assert "You act as ann" in body
    policy = headers["Content-Security-Policy"] or ""
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"https?:", policy)
    assert headers["X-Frame-Options"] == "DENY"
    assert "You act as ben" in ask(served, Cookie=cookie(served, BEN))[1]


def test_everybody_has_an_address_of_their_own(tmp_path: Path) -> None:
    odd = "a+b&c=d/e?f#g%41"
    plan = tmp_path / "PLAN.md"
    plan.write_text("# A plan\n")
    with dashboard(tmp_path, str(plan), "--token", f"ann={ANN}", "--token", f"ben={odd}") as served:
        assert served.people.keys() == {"ann", "ben"}
        assert served.people["ann"] == served.url
        path = served.people["ben"].removeprefix(served.base)
        kept = (ask(served, path)[2]["Set-Cookie"] or "").partition(";")[0]
        assert "You act as ben" in ask(served, Cookie=kept)[1]


def test_nothing_of_the_page_comes_from_elsewhere(served: Dashboard) -> None:
    _, body, _ = ask(served, Cookie=cookie(served))
    loaded = re.findall(
        r"""(?:src|href)\s*=\s*["']([^"']+)|@import url\(["']([^"']+)|import\(["']([^"']+)""", body
    )
    addresses = [address for group in loaded for address in group if address]
    assert len(addresses) > 5
    assert [one for one in addresses if re.match(r"\w+://|//", one)] == []


def test_what_a_plan_says_is_text(served: Dashboard) -> None:
    _, body, _ = ask(served, Cookie=cookie(served))
    assert "twice" in body
    assert "<b>twice" not in body


def test_a_foreign_name_for_this_machine_gets_nothing(served: Dashboard) -> None:
    kept = cookie(served)
    for host in (
        "evil.example",
        f"evil.example:{served.port}",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "",
        "[::2]",
    ):
        status, body, _ = ask(served, Host=host, Cookie=kept)
        assert status == 400, host
        assert "undertaking" not in body
        assert ask(served, f"/?token={ANN}", Host=host)[0] == 400
    for host in ("localhost", f"LOCALHOST:{served.port}", "127.0.0.1", f"[::1]:{served.port}"):
        assert ask(served, Host=host, Cookie=kept)[0] == 200, host


def test_another_site_cannot_act_through_the_browser(served: Dashboard) -> None:
    kept = cookie(served)
    own = f"http://127.0.0.1:{served.port}"
    polling = "/_nicegui_ws/socket.io/?EIO=4&transport=polling"
    for origin in ("http://evil.example", "null", f"{own}.evil.example", "http://127.0.0.1:1", f"{own}/"):
        assert ask(served, Origin=origin, Cookie=kept)[0] == 403, origin
        assert ask(served, polling, "POST", "40", Origin=origin, Cookie=kept)[0] == 403, origin
    assert ask(served, polling, "POST", "40", Cookie=kept)[0] == 403, "a browser always says where it stands"
    assert ask(served, polling, Origin=own, Cookie=kept)[0] == 200


def test_the_live_connection_needs_the_cookie_and_this_very_page(served: Dashboard) -> None:
    kept, own = cookie(served), f"http://127.0.0.1:{served.port}"
    assert knock(served, Origin=own, Cookie=kept) == 101
    assert knock(served, Origin=own) == 403
    assert knock(served, Cookie=kept) == 403
    assert knock(served, Origin="http://evil.example", Cookie=kept) == 403
    assert knock(served, Origin=own, Cookie=kept, Host="evil.example") == 403


def test_the_token_is_never_logged(served: Dashboard) -> None:
    ask(served, f"/?token={ANN}")
    ask(served, "/nowhere", Cookie=cookie(served))
    assert ANN not in served.errors.read_text()


def test_other_machines_are_warned_about(tmp_path: Path) -> None:
    plan = tmp_path / "PLAN.md"
    plan.write_text(PLAN)
    with dashboard(tmp_path, str(plan), "--host", "0.0.0.0") as served:
        kept = cookie(served, served.url.partition("token=")[2])
        assert "not encrypted" in served.errors.read_text()
        assert ask(served, Host=f"{socket.gethostname()}:{served.port}", Cookie=kept)[0] == 200
        assert ask(served, Host="10.1.2.3", Cookie=kept)[0] == 200
        assert ask(served, Host="evil.example", Cookie=kept)[0] == 400


def test_tokens_are_long_and_each_person_has_one() -> None:
    assert tokens_of(["ann=" + "s" * 12]) == (Token("s" * 12, "ann"),)
    assert tokens_of(["s" * 12]) == (Token("s" * 12),)
    assert tokens_of(["c29tZXRoaW5nIGxvbmc=="]) == (Token("c29tZXRoaW5nIGxvbmc=="),)
    assert tokens_of(["ann=c29tZXRoaW5n=="])[0].secret == "c29tZXRoaW5n=="
    first, second = tokens_of([]), tokens_of([])
    assert len(first[0].secret) >= 24
    assert first != second
    for wrong in (
        ["short"],
        ["ann=short"],
        ["ann=with a space in it"],
        ["a\nb=" + "s" * 12],
        ["s" * 12, "t=" + "s" * 12],
    ):
        with pytest.raises(UsageError) as found:
            tokens_of(wrong)
        assert "sss" not in str(found.value)
    assert Token("s" * 12).cookie != Token("t" * 12).cookie


def test_only_loopback_is_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.1", "example.org", "")))
