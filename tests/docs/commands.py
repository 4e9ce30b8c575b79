"""Which commands do README.md and docs/ name? Those of their code, in blocks and within lines."""

from __future__ import annotations

import re
from pathlib import Path

from .markdown import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
"""The howtos are executed as they are; the log has the commands of its day."""

STARTS = (
    "make",
    "python",
    "python3.11",
    "papermill",
    "jupyter",
    "hf",
    "conda",
    "docker",
    "eval",
    ".",
    ".venv/bin/python",
)


def commands(page: Path) -> list[str]:
    """In order, each once; comments and the breaks of long lines left out."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^ {4}(\S.*)$", text, re.M)
    inline = re.findall(r"`([^`\n]+)`", text)
    return list(dict.fromkeys(filter(None, (_command(line) for line in [*blocks, *inline]))))


def _command(line: str) -> str:
    """The command in a line, with single spaces; empty if it is none."""
    plain = " ".join(re.sub(r"\s+#.*$", "", line).split())
    return plain if plain.split(" ")[0] in STARTS and " " in plain else ""
