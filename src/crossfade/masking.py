"""Keeping passwords out of everything that is printed, logged or stored."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from urllib.parse import parse_qsl, unquote, urlsplit

MASK = "***"

_RUN = re.compile(r"\S+")
_CREDENTIALS = re.compile(r"://[^:/?#@]*:")

_WORD = r"(?:password|passwd|pwd)"
_IN_DSN = re.compile(
    rf"({_WORD}\s*=\s*)('(?:[^'\\]|\\.)*(?:'|$)|\"(?:[^\"\\]|\\.)*(?:\"|$)|(?:[^\s\\]|\\.)+)",
    re.IGNORECASE | re.DOTALL,
)
_IN_JSON = re.compile(
    rf"({_WORD}['\"]\s*:\s*)('(?:[^'\\]|\\.)*(?:'|$)|\"(?:[^\"\\]|\\.)*(?:\"|$))",
    re.IGNORECASE | re.DOTALL,
)
_NAMES_A_SECRET = re.compile(
    rf"(?:[a-z_-]*{_WORD}|(?:.*[_-])?(?:secret|api[_-]?key|authorization))", re.IGNORECASE
)


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` with ``***`` in place of passwords in addresses (``postgresql://user:***@host``), of
    values after ``password=`` and its kin, and of each of ``secrets`` wherever it appears: as it is,
    percent-encoded, or escaped as JSON, SQL and libpq write it.

    When in doubt it masks too much.  An empty secret is ignored.
    """
    pattern = _spellings(frozenset(secrets))
    if pattern is not None:
        text = pattern.sub(MASK, text)
    if "://" in text:
        text = _RUN.sub(_mask_address, text)
    text = _IN_DSN.sub(rf"\1{MASK}", text)
    return _IN_JSON.sub(rf'\1"{MASK}"', text)


def passwords_in(url: str) -> tuple[str, ...]:
    """The passwords in a database address, decoded: what to give to ``mask`` as ``secrets``.

    An address that is malformed by a raw @ or / in its password may give two readings of it.
    """
    end = url.rfind("@")
    found = _CREDENTIALS.search(url, 0, max(end, 0))
    given = [unquote(url[found.end() : end])] if found else []
    with suppress(ValueError):
        given.append(unquote(urlsplit(url).password or ""))
    given += [value for name, value in parse_qsl(url.partition("?")[2]) if names_a_secret(name)]
    return tuple(dict.fromkeys(password for password in given if password))


def names_a_secret(name: str) -> bool:
    """Whether a field of this name (``password``, ``db_password``, ``api_key`` …) holds a secret."""
    return _NAMES_A_SECRET.fullmatch(name) is not None


def _mask_address(run: re.Match[str]) -> str:
    # Up to the last @: a password with a raw @ or / in it makes a malformed address, and those are
    # the ones that end up in error messages.
    text = run[0]
    end = text.rfind("@")
    found = _CREDENTIALS.search(text, 0, max(end, 0))
    return f"{text[: found.end()]}{MASK}{text[end:]}" if found and found.end() < end else text


@lru_cache(maxsize=64)
def _spellings(secrets: frozenset[str]) -> re.Pattern[str] | None:
    """Matches any spelling of any of the secrets, the longest first."""
    by_length = sorted((secret for secret in secrets if secret), key=lambda secret: (-len(secret), secret))
    if not by_length:
        return None
    return re.compile("|".join("".join(map(_character, secret)) for secret in by_length))


def _character(character: str) -> str:
    """A pattern for one character in any of its spellings."""
    percent = "".join(f"%{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
    units = character.encode("utf-16-be", "surrogatepass").hex()
    unicode = "".join(f"\\\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
    spellings = [rf"\\?{re.escape(character)}", f"(?i:{percent})", f"(?i:{unicode})"]
    short = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}.get(character)
    if short:
        spellings.append(rf"\\{short}")
    if character in "'\"":
        spellings.insert(0, rf"(?:\\{{1,3}}|{character}){character}")
    if character == "\\":
        spellings.insert(0, r"\\{2,4}")
    if character == " ":
        spellings.append(r"\+")
    return f"(?:{'|'.join(spellings)})"
