"""How does a run log its steps, so that a kill at any byte costs at most one line?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..files.atomic import write_bytes, writing
from .json_files import plain


class Log:
    """A file of one JSON object a line, appended to as a run goes; it may be cut off at any byte."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._replace([line for line, _ in self._lines()])

    def append(self, record: Mapping[str, Any]) -> None:
        """Adds one line; numbers that are not finite are written as null.

        Raises:
            NotWritten: the disk is full.
        """
        line = json.dumps(plain(record), allow_nan=False) + "\n"
        with writing(self.path, len(line)), self.path.open("a", encoding="utf-8") as file:
            file.write(line)

    def rewind(self, step: int) -> None:
        """Drops the records after `step`, the checkpoint from which the run resumes."""
        self._replace([line for line, record in self._lines() if record.get("step", 0) <= step])

    def records(self) -> list[dict[str, Any]]:
        """All records so far, in the order they were appended."""
        return [record for _, record in self._lines()]

    def _lines(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """Whole lines up to the first torn one."""
        for line in self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []:
            try:
                record = json.loads(line)
            except ValueError:
                return
            if not line.endswith(b"\n") or not isinstance(record, dict):
                return
            yield line, record

    def _replace(self, lines: list[bytes]) -> None:
        content = b"".join(lines)
        if self.path.exists() and self.path.stat().st_size != len(content):
            write_bytes(self.path, content)
