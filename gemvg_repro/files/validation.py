"""Refusing an input file before any work begins: every fault is collected, with file, record and key."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

_MAX_LISTED = 20


def printable(text: str, limit: int | None = None) -> str:
    """The text with control and other unprintable characters escaped; line breaks stay.

    A text longer than `limit` characters loses its middle.
    """
    if limit is not None and len(text) > limit:
        text = f"{text[: limit // 2]} … {text[-(limit // 2) :]}"
    return "".join(c if c.isprintable() or c in "\n" else repr(c)[1:-1] for c in text)


class Refused(ValueError):
    """Invalid input; the message says what is wrong, and where."""


class Faults:
    """The faults of a file, all collected; the first are listed, the rest is counted."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._faults: list[str] = []
        self._hints: dict[str, None] = {}

    def add(self, where: str, fault: str) -> None:
        """`where` is the record and key, such as "annotations[3].bbox"."""
        self._faults.append(f"{where}: {fault}")

    def hint(self, text: str) -> None:
        """Adds a line, once, that says what the faults have in common; an empty one is none."""
        if text:
            self._hints[text] = None

    def refuse(self) -> None:
        """Raises Refused if there is any fault."""
        if self._faults:
            more = len(self._faults) - _MAX_LISTED
            lines = [*self._faults[:_MAX_LISTED], *([f"and {more} more"] if more > 0 else [])]
            many = f"{len(self._faults)} faults" if len(self._faults) > 1 else "a fault"
            mend = "mend or leave out what is named, and give the same command again"
            raise Refused(f"{self.file} is refused for {many}; {mend}:\n  " + "\n  ".join([*lines, *self._hints]))


def read_json(file: Path) -> Any:
    """The content of a JSON file. Raises Refused if it is missing, empty, cut off or no JSON."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}; expected a JSON file") from error
    if not content.strip():
        raise Refused(f"{file} is empty; expected JSON")
    try:
        return json.loads(content)
    except RecursionError as error:
        raise Refused(f"{file} is no JSON that can be read: it is nested too deeply") from error
    except ValueError as error:
        raise Refused(f"{file} is no JSON: {error}; is the download complete?") from error


def numbers(value: Any) -> list[float] | None:
    """`value` if it is a list of four finite numbers (a box), else None."""
    if not isinstance(value, list) or len(value) != 4:
        return None
    if any(isinstance(v, bool) or not isinstance(v, int | float) or not abs(v) < 1e9 for v in value):
        return None
    return [float(v) for v in value]


def whole(value: Any) -> int | None:
    """`value` if it is an integer of 53 bits, also one that was written as 17.0; else None."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and abs(value) < 2**53 else None


def leaves_folder(path: str) -> bool:
    """Whether a path points out of the folder it is relative to, by its words: no links are followed."""
    return os.path.isabs(path) or os.path.normpath(path).split(os.sep)[0] == os.pardir


def suggest(word: object, valid: Iterable[str]) -> str:
    """'; did you mean X?' where X is close to the word, else nothing."""
    close = get_close_matches(str(word)[:100], list(valid), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
