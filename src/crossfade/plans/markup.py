"""HTML and SVG as text, in which nothing but what `element` makes is markup.

Whatever is put into an element or an attribute is escaped unless it came out of `element` itself, so a plan that
contains ``<script>`` shows ``<script>``.
"""

from __future__ import annotations

import html
import re

_UNFIT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9:-]*")
_VOID = frozenset({"meta", "br", "hr"})
_SVG_EMPTY = frozenset({"path", "line", "rect", "circle", "polyline", "polygon"})


class Markup(str):
    """Text that is markup already.  Only `element` and `joined` make it of other texts."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str | float | None) -> Markup:
    """``<name …>children</name>``.

    Attributes are named as in HTML, with ``_`` for ``-`` and one ``_`` at the end ignored (``class_``); one that is
    None is left out.  ``ValueError`` for a name that is none.
    """
    parts = ["<", _checked(name)]
    for attribute, value in attributes.items():
        if value is not None:
            shown = f"{value:g}" if isinstance(value, float) else str(value)
            parts.append(f' {_checked(attribute.rstrip("_").replace("_", "-"))}="{escaped(shown)}"')
    if name in _VOID:
        return Markup("".join([*parts, ">"]))
    if name in _SVG_EMPTY and not children:
        return Markup("".join([*parts, "/>"]))
    return Markup("".join([*parts, ">", *map(escaped, children), f"</{name}>"]))


def joined(*parts: str) -> Markup:
    """Several pieces after one another; what is not markup is escaped."""
    return Markup("".join(map(escaped, parts)))


def escaped(text: str) -> Markup:
    """The text as it is shown; control characters that HTML does not allow become a replacement character."""
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(_UNFIT.sub("\N{REPLACEMENT CHARACTER}", text), quote=True))


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of an element or an attribute")
    return name
