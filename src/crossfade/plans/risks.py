"""How grave a risk is, as far as its words and numbers can be read."""

from __future__ import annotations

import re

from crossfade.plans.model import Risk

_WORDS: tuple[tuple[str, float], ...] = (
    (r"very (?:low|unlikely)|rare|remote|negligible|minimal|insignificant|trivial", 1),
    (r"very (?:high|likely)|almost certain|certain|critical|severe|catastrophic|extreme|blocker", 5),
    (r"medium[- ]low|low[- ]medium|low to medium", 2.5),
    (r"medium[- ]high|high[- ]medium|medium to high", 3.5),
    (r"medium|moderate|possible|med", 3),
    (r"unlikely|low|minor", 2),
    (r"likely|high|major|probable|serious", 4),
)
_LETTERS = {"VL": 1.0, "L": 2.0, "M": 3.0, "H": 4.0, "VH": 5.0}
_NUMBER = re.compile(r"(?<![\w.])(\d{1,3}(?:\.\d+)?)\s*(%|/\s*(\d{1,3}))?(?![\w.])")
_CLOSED = re.compile(r"\b(?:closed|resolved|retired|obsolete|eliminated|no longer|done|gone)\b", re.I)


def score_of(risk: Risk) -> float | None:
    """Probability times impact, each from 1 to 5, so 1 to 25; of a risk that states only its severity, the
    square of that.  None when it cannot be read."""
    probability, impact = level(risk.probability), level(risk.impact)
    if probability is not None and impact is not None:
        return round(probability * impact, 2)
    severity = level(risk.severity)
    return round(severity * severity, 2) if severity is not None else None


def is_closed(risk: Risk) -> bool:
    """Whether its status says that it is over."""
    return _CLOSED.search(risk.status_text) is not None


def level(text: str) -> float | None:
    """A grade from 1 to 5: of words (``High``), letters (``VH``), a percentage, a fraction (``3/10``), or a
    number from 1 to 5 (or to 10)."""
    letters = re.sub(r"[^A-Za-z]", "", text)
    if letters in _LETTERS:
        return _LETTERS[letters]
    for words, grade in _WORDS:
        if re.search(rf"\b(?:{words})\b", text, re.I):
            return float(grade)
    found = _NUMBER.search(text)
    if found is None:
        return None
    number = float(found[1])
    if found[2] == "%":
        return 1 + 4 * number / 100 if number <= 100 else None
    most = float(found[3]) if found[3] else 5.0 if number <= 5 else 10.0
    return 5 * number / most if most > 0 and 0 <= number <= most else None
