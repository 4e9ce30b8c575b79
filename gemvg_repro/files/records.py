"""Checks of the fields of a record that several file formats share.

Each adds a fault, and returns None, for a value that is not as expected, so that a reader collects every fault.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .validation import Faults, leaves_folder

_NAMES = {str: "text", list: "a list", bool: "true or false", int: "an integer", dict: "an object"}


def expect(record: Any, where: str, keys: Mapping[str, type], faults: Faults) -> dict[str, Any] | None:
    """The record, if it is an object whose keys have values of these types (a bool is no int)."""
    if not isinstance(record, dict):
        faults.add(where, f"expected an object, got {type(record).__name__}")
        return None
    wrong = [key for key, kind in keys.items() if type(record.get(key)) is not kind]
    for key in wrong:
        value = f"got {record[key]!r:.80}" if key in record else "it is missing"
        faults.add(f"{where}.{key}", f"expected {_NAMES[keys[key]]}, {value}")
    return None if wrong else record


def objects(document: Any, key: str, faults: Faults) -> list[Any]:
    """The list under `key` of a document; empty after a fault."""
    value = document.get(key) if isinstance(document, dict) else None
    if not isinstance(value, list) or not value:
        faults.add(key, "missing, empty, or no list")
        return []
    return value


def identifier(record: Mapping[str, Any], where: str, taken: Mapping[int, Any], faults: Faults) -> int | None:
    """The id of a record: an integer of 53 bits that no record before it has."""
    value = record.get("id")
    if type(value) is not int or not abs(value) < 2**53:
        faults.add(f"{where}.id", f"expected an integer, got {value!r:.80}")
    elif value in taken:
        faults.add(f"{where}.id", f"{value} occurs twice")
    else:
        return value
    return None


def inner_path(value: Any, where: str, faults: Faults) -> str | None:
    """A path that stays below the folder it is relative to."""
    if isinstance(value, str) and value and "\0" not in value and not leaves_folder(value):
        return value
    faults.add(where, f"expected a path that stays in its folder, got {value!r:.120}")
    return None


def texts(value: Any, where: str, faults: Faults, least: int = 1) -> tuple[str, ...] | None:
    """A list of at least so many texts."""
    if isinstance(value, list) and len(value) >= least and all(isinstance(each, str) for each in value):
        return tuple(value)
    faults.add(where, f"expected a list of {least} or more texts, got {value!r:.80}")
    return None


_CONTROL = re.compile(r"<\|(?:im_start|im_end|endoftext|vision_\w{1,10}|image_pad|video_pad)\|>")


def unmarked(text: str, where: str, faults: Faults) -> None:
    """A fault if a text that will be in a prompt has tokens that end a turn or stand for an image."""
    if token := _CONTROL.search(text):
        faults.add(where, f"a text with the control token {token[0]!r}, which would change the conversation")
