"""How is text that nobody has checked (a model's answer, a host name) shown without doing harm?"""

from __future__ import annotations

import html
import unicodedata


def plain(text: object, limit: int = 400) -> str:
    """One line of at most `limit` visible characters: no control, format, combining or private ones.

    What is too long loses its middle, since an answer stands at the end of a chain of thought.
    """
    whole = str(text)
    if len(whole) > 4 * limit:  # nothing of the middle would be shown; do not normalise megabytes of it
        whole = whole[: 2 * limit] + " " + whole[-2 * limit :]
    visible = (" " if c.isspace() else c for c in whole if c.isspace() or _visible(c))
    line = " ".join("".join(visible).split())
    if len(line) <= limit and len(str(text)) <= 4 * limit:
        return line
    head = (limit - 3) // 2
    return f"{line[:head]} … {line[len(line) - (limit - 3 - head) :]}"


def escaped_html(text: object, limit: int = 400) -> str:
    """The text as the content of an HTML element."""
    return html.escape(plain(text, limit))


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "\N{MINUS SIGN}": "$-$",
} | {c: f"\\{c}" for c in "&%$#_{}"}


_PUNCTUATION = "\N{EN DASH}\N{EM DASH}\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}" + (
    "\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}\N{HORIZONTAL ELLIPSIS}"
)


def escaped_latex(text: object, limit: int = 400) -> str:
    """The text as running text of LaTeX, whose fonts have European letters: any other is a question mark."""
    return "".join(_LATEX.get(c, c if c < "\u0180" or c in _PUNCTUATION else "?") for c in plain(text, limit))


def _visible(character: str) -> bool:
    return unicodedata.category(character)[0] not in "CM"
