"""HTML elements for the page: every text goes in as text, and nothing is sent when nothing has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement
from nicegui.events import GenericEventArguments


class Tag(TextElement):
    """An HTML element with text.  ``attributes`` are set as they are (``_`` in a name stands for ``-``)."""

    def __init__(self, tag: str, text: str = "", style: str = "", **attributes: str | bool) -> None:
        super().__init__(tag=tag, text=text)
        if style:
            self.classes(style)
        for name, value in attributes.items():
            self.set(name.rstrip("_").replace("_", "-"), value)

    def say(self, text: str) -> None:
        """Change the text."""
        if self.text != text:
            self.text = text

    def set(self, name: str, value: str | bool | None) -> None:
        """Change an attribute; None and False take it away."""
        if value is None or value is False:
            if name in self.props:
                del self.props[name]
        elif self.props.get(name) != value:
            self.props[name] = value

    def look(self, style: str) -> None:
        """Change the classes."""
        self.classes(replace=style)

    def show(self, shown: bool) -> None:
        """Show it or not."""
        if self.visible is not shown:
            self.visible = shown

    def does(self, handler: Callable[[], Any]) -> Tag:
        """Call that when it is clicked or pressed."""
        self.on("click", lambda _: handler(), args=[])
        return self


class Prose(Tag):
    """A sentence in which what stands between backticks is code."""

    def __init__(self, tag: str, text: str = "", style: str = "", **attributes: str | bool) -> None:
        super().__init__(tag, "", style, **attributes)
        self._said = ""
        self.say(text)

    def say(self, text: str) -> None:
        if text == self._said:
            return
        self._said = text
        self.clear()
        with self:
            for index, part in enumerate(text.split("`")):
                if part:
                    Tag("code" if index % 2 else "span", part)


class Drawing(Tag):
    """A place for an SVG of `crossfade.ui.charts`."""

    def __init__(self, style: str = "") -> None:
        super().__init__("div", "", f"drawing {style}")
        with self:
            self._html = ui.html("", sanitize=False)

    def draw(self, svg: str) -> None:
        """Show it."""
        if self._html.content != svg:
            self._html.content = svg


class Rows(Tag):
    """A list of labels and texts, built anew when they change."""

    def __init__(self, style: str = "rows") -> None:
        super().__init__("dl", "", style)
        self._rows: tuple[tuple[str, str], ...] | None = None

    def fill(self, rows: Iterable[tuple[str, str]]) -> None:
        """Show these; nothing at all when there are none."""
        wanted = tuple(rows)
        if wanted == self._rows:
            return
        self._rows = wanted
        self.clear()
        with self:
            for label, text in wanted:
                with Tag("div"):
                    Tag("dt", label)
                    Tag("dd", text)
        self.show(bool(wanted))


class Listing(Tag):
    """Elements that are kept as long as what they show is there: one for each key, in order."""

    def __init__(self, tag: str, build: Callable[[Any], Any], style: str = "", **attributes: str) -> None:
        super().__init__(tag, "", style, **attributes)
        self._build = build
        self._order: tuple[str, ...] = ()
        self._shown: dict[str, Any] = {}
        self._values: dict[str, Any] = {}

    def fill(self, items: Sequence[tuple[str, Any]]) -> None:
        """Show these by key; an item is told of its new value (``show``) only when that has changed."""
        order = tuple(key for key, _ in items)
        if order != self._order:
            self.clear()
            self._order, self._values = order, {}
            with self:
                self._shown = {key: self._build(value) for key, value in items}
        for key, value in items:
            if key not in self._values or self._values[key] != value:
                self._values[key] = value
                self._shown[key].show(value)

    def item(self, key: str) -> Any:
        """What was built for a key."""
        return self._shown[key]


def icon(name: str) -> Tag:
    """A picture that says nothing to a screen reader: the word beside it does."""
    return Tag("span", "", f"icon i-{name}", aria_hidden="true")


def button(text: str, style: str = "", **attributes: str | bool) -> Tag:
    """A button."""
    return Tag("button", text, f"button {style}", type="button", **attributes)


def number(value: float) -> str:
    """A count for people."""
    return f"{value:,.0f}"


def value_of(event: GenericEventArguments) -> str:
    """What a field's event says that stands in it."""
    return event.args if isinstance(event.args, str) else ""
