"""What does the manifest of a folder of shards say? A folder without one is not finished."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..files.validation import Refused, read_json

MANIFEST = "manifest.json"
"""Of a folder of shards: a folder without it is none, or not finished."""

SHARDS_VERSION = 3
"""Of the shards' columns and of the manifest's keys; raised when either changes."""


def manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished folder of shards. Raises Refused if there is none, or of another version."""
    content = read_json(folder / MANIFEST)
    if not isinstance(content, dict) or content.get("version") != SHARDS_VERSION:
        raise Refused(f"{folder / MANIFEST} is no manifest of version {SHARDS_VERSION}; build the data anew")
    return content
