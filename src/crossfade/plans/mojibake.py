"""Text whose UTF-8 was once decoded wrongly: repaired for reading, damaged alike for writing.

Plans travel through chats, wikis and editors, and on the way ``⏳ Not Started`` becomes ``â³ Not Started``:
the three bytes of the emoji were read as Windows-1252 and one of them, which that code page does not define,
was lost.  Three steps repair a piece of text:

1. three or four characters that are one whole symbol of UTF-8 read as Windows-1252 or Latin-1;
2. the characters that plans are full of (status emoji, dashes, quotes, arrows) are known in every damaged
   form, *also with bytes lost*, and put back one by one;
3. what remains goes to ``ftfy.fix_encoding``, which finds the code page by itself.

The order matters: of ``âŒ Failed`` (❌ that lost a byte) ftfy alone makes ``⌠Failed``, and ``ðŸ`` (🏁 that lost two)
is the beginning of most emoji.

Only what is *read* is repaired.  The bytes of a line that nothing is written to stay as they are, and what is
written into a damaged line is damaged in the same way (`damaged_like`), so that one later repair of the whole
file still works; where no such way can be found it is written as plain UTF-8.
"""

from __future__ import annotations

import re

import ftfy

_PLAN_CHARACTERS = (
    "✅✔☑✓✗✘❌❎⏳⌛🔄🔁🔃⬜⬛🔲🔳☐☒🚧⚠⛔🚫🛑🔴🟠🟡🟢🔵🟣⚪⚫🟥🟧🟨🟩🟦⏸⏭⏹⏺▶⏩⏱⏰🏃🔥"
    "🎯🚀📋📊📅📝📈📉📁📚📦📌📍📞📣🔧🔨🔗🔐🔒🔑🔍🔬🏗🛠🧪🧹🎉🏁🏆💡💾💰🤝👥🚨🚢🎛☁⚙⚡⭐❗❓➡⬅⬆⬇🔙🗂🗄🌐🐳🐘"
    "–—’”“‘„†‡•…‰‹›€™←→↑↓↔⇒≈≠≤≥∞√−×÷·°±²³½µ§«»©®"
    "\u200b\u200d\ufe0f\xa0"
)
_CODE_PAGES = ("sloppy-windows-1252", "latin-1", "mac_roman", "sloppy-windows-1254", "sloppy-windows-1250")


def _damaged_forms(character: str, page: str) -> list[str]:
    """How the UTF-8 of a character looks after decoding it by a code page, also with bytes lost that the page
    does not define: dropped, or replaced by a question mark."""
    encoded = character.encode("utf-8")
    forms = [encoded.decode(page)]
    strict = page.replace("sloppy-windows-", "cp")
    if strict != page:
        replaced = encoded.decode(strict, errors="replace")
        forms += [replaced.replace("\ufffd", ""), replaced, replaced.replace("\ufffd", "?")]
    # one character is no evidence, two of an emoji's four are little, and a letter in front of a question mark
    # is a question
    least = 3 if len(encoded) > 3 else 2
    return [form for form in forms if len(form) >= least and not form.endswith("?") and not form.isascii()]


def _known_damage() -> dict[str, str]:
    """Damaged form to character; where a lost byte makes two of them alike, the commoner page and the earlier
    character win."""
    table: dict[str, str] = {}
    for page in _CODE_PAGES:
        for character in _PLAN_CHARACTERS:
            for form in _damaged_forms(character, page):
                table.setdefault(form, character)
    for character in _PLAN_CHARACTERS:
        table.pop(character, None)
    # a dash whose damage a word processor went over: its third character was a curly quote
    table['â€"'] = "—"
    return table


def _tree(forms: list[str]) -> str:
    """A pattern for any of the texts, the longest first, that looks at each character once: an alternation of
    all of them would try hundreds at every place."""
    rests: dict[str, list[str]] = {}
    for form in forms:
        if form:
            rests.setdefault(form[0], []).append(form[1:])
    branches = "|".join(re.escape(first) + _tree(rest) for first, rest in rests.items())
    if not branches:
        return ""
    return f"(?:{branches})?" if "" in forms else f"(?:{branches})"


_KNOWN = _known_damage()
_BYTES = {
    **{chr(byte): byte for byte in range(0x80, 0x100)},
    **{bytes([byte]).decode("sloppy-windows-1252"): byte for byte in range(0x80, 0x100)},
}
_CONTINUED = "[" + "".join(re.escape(one) for one, byte in _BYTES.items() if byte < 0xC0) + "]"
# symbols, punctuation and emoji begin with these bytes; others (é–– could be a word and two dashes) are ftfy's
_WHOLE = re.compile(f"[âï]{_CONTINUED}{{2}}|ð{_CONTINUED}{{3}}")
_KNOWN_PATTERN = re.compile(_tree(list(_KNOWN)))
_LEADS = "".join(sorted({bytes([lead]).decode(page) for page in _CODE_PAGES for lead in range(0xC2, 0xF5)}))
_SUSPECT = re.compile(f"[{re.escape(_LEADS)}][^\x00-\x3e\x40-\x7f]|\ufffd|[ÂÃ] ")
_RUN = re.compile("[^\x00-\x7f]+")


def repair(text: str) -> str:
    """The text as it was meant; the same text when it is not damaged."""
    if text.isascii() or not _SUSPECT.search(text):
        return text
    text = _WHOLE.sub(_whole, text)
    parts, last = [], 0
    for found in _KNOWN_PATTERN.finditer(text):
        # what lies between goes to ftfy alone: a repaired character in it would hide the code page
        parts += [_rest(text[last : found.start()]), _KNOWN[found[0]]]
        last = found.end()
    return "".join([*parts, _rest(text[last:])])


def _rest(text: str) -> str:
    return ftfy.fix_encoding(text) if text and _SUSPECT.search(text) else text


def _whole(found: re.Match[str]) -> str:
    """One character out of the bytes that three or four were read from; unchanged when they are none."""
    try:
        return bytes(_BYTES[one] for one in found[0]).decode("utf-8")
    except UnicodeDecodeError:
        return found[0]


def damaged_like(text: str, line: str) -> str:
    """``text`` (undamaged) as it has to stand in ``line`` so that one repair of the file mends both.

    The code page is the one that explains most of the line's damaged runs, and Windows-1252 where lost bytes
    leave none explained; an undamaged line gives ``text`` itself.
    """
    if text.isascii() or repair(line) == line:
        return text
    runs = _RUN.findall(line)
    best, most = _CODE_PAGES[0], 0
    for page in _CODE_PAGES:
        explained = sum(_is_damage_by(run, page) for run in runs)
        if explained > most:
            best, most = page, explained
    return text.encode("utf-8").decode(best)


def _is_damage_by(run: str, page: str) -> bool:
    try:
        return run.encode(page).decode("utf-8") != run
    except UnicodeError:
        return False
