"""How does a run write and read its JSON files? Each is replaced as a whole, without NaN."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files import validation
from ..files.atomic import write_bytes


class RunError(RuntimeError):
    """A run directory is not what its name says, or was written to by someone who may not."""


def plain(value: Any) -> Any:
    """The value as JSON holds it: scalars of numpy and torch become Python's, and what is not finite null."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, value: Any) -> None:
    """Replaces a JSON file as a whole.

    Raises:
        NotWritten: the disk is full.
    """
    write_bytes(path, (json.dumps(plain(value), indent=2, allow_nan=False) + "\n").encode())


def read_json_or_none(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file, or None where there is no file.

    Raises:
        RunError: the file is damaged, or holds something other than an object.
    """
    if not path.exists():
        return None
    try:
        content = validation.read_json(path)
    except validation.Refused as error:
        raise RunError(f"{error}\nMove the file away and run the same command again") from None
    if not isinstance(content, dict):
        raise RunError(f"{path} holds {content!r:.80}; expected an object. Move it away and run the same command again")
    return content
