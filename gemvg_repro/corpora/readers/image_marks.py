"""How do the `<image>` marks of a conversation become names? The k-th is "Picture k", as the images are labelled.

Marks that lead the first question only say that images are shown, as they are before every first question; they go.
Every other mark is part of a text: of a sentence, of an option, of a later turn that brings its own image, of an
answer. The rest of a text stays as it is, line breaks, lists and code included.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import count

MARK = "<image>"

_LEADING = re.compile(rf"(?:\s*{MARK})+\s*")


def named(texts: Sequence[str]) -> list[str]:
    """The turns of a conversation, questions first, with marks named and spaces around each turn removed."""
    numbers = count(1)
    plain = []
    for n, text in enumerate(texts):
        if n == 0 and (leading := _LEADING.match(text)):
            for _ in range(leading[0].count(MARK)):
                next(numbers)
            text = text[leading.end() :]
        pieces = text.split(MARK)
        joined = pieces[0]
        for piece in pieces[1:]:
            joined = _spaced(_spaced(joined, f"Picture {next(numbers)}"), piece)
        plain.append(joined.strip())
    return plain


def _spaced(before: str, after: str) -> str:
    """The two texts, with a space between two words or numbers that would run together."""
    return before + " " * bool(re.search(r"\w$", before) and re.match(r"\w", after)) + after
