"""How does the checker parse a composed text? By its wording as a regular expression with named slots."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import yaml

_SLOTS = {
    "phrase": r'[^"]+?',
    "question": r'[^"]+?',
    "picture": r"[1-9][0-9]?",
    "count": r"[a-z]+|[0-9]+",
    "place": r"[a-z]+(?: [a-z]+)?",
    "places": r"[a-z]+(?: [a-z]+)?(?:, [a-z]+(?: [a-z]+)?)*",
    "marked": r".+?",
    "second": r"[1-9][0-9]?",
    "third": r"[1-9][0-9]?",
    "attribute": r"[a-z]+",
    "link": r"[a-z]+",
    "name": r'[^"]+?',
    "options": r"A\. .+",
} | {corner: "[0-9]{1,4}" for corner in ("x1", "y1", "x2", "y2")}

Patterns = dict[str, dict[str, list[re.Pattern[str]]]]


@cache
def patterns(file: Path) -> Patterns:
    """The wordings of a file as patterns with named slots."""
    content = yaml.safe_load(file.read_text("utf-8"))
    tally_part = "|".join(re.sub(r"\?P<\w+>", "?:", _pattern(text)) for text in content["chains"].get("told", ()))
    tally_slot = {"told": f"(?:{tally_part})(?:, (?:{tally_part}))*"}
    return {
        group: {
            name: [re.compile(_pattern(text, tally_slot)) for text in texts] for name, texts in content[group].items()
        }
        for group in ("queries", "marks", "chains")
    }


@cache
def attributes(file: Path) -> dict[str, list[str]]:
    """The phrases of each attribute."""
    families: dict[str, list[str]] = yaml.safe_load(file.read_text("utf-8")).get("attributes", {})
    return families


def _pattern(template: str, extra_slots: Mapping[str, str] = MappingProxyType({})) -> str:
    """A phrase without quotation marks around it ends at a full stop, or it would reach into the next sentence."""
    slots = {**_SLOTS, **extra_slots}
    if '"{phrase}"' not in template:
        slots |= {"phrase": r'[^".:]+?', "name": r'[^".:]+?'}
    parts = re.split(r"\{(\w+)\}", template)
    return "".join(f"(?P<{part}>{slots[part]})" if n % 2 else re.escape(part) for n, part in enumerate(parts))
