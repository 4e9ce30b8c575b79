"""How do a benchmark's authors ask? Their words are data, in asking.yaml, each with its source."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from ..grounding.samples import Mode

_FIELD = re.compile(r"\{([a-z_]+)\}")


@cache
def _templates() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((files(__package__) / "asking.yaml").read_text("utf-8"))
    return content


def ask(template: str, mode: Mode, **values: str) -> str:
    """The text of the user's turn: a template of asking.yaml, in this mode, with its {fields} filled in.

    What is filled in is not searched for fields again. Raises KeyError for a field without a value.
    """
    text: str = _templates()[template][mode]["text"]
    return _FIELD.sub(lambda field: values[field[1]], text)


def source(template: str, mode: Mode) -> str:
    """Where the words come from."""
    found: str = _templates()[template][mode]["source"]
    return found
