"""What the project's Markdown says: its files, their links, their headings, their code blocks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.M | re.S)


class Block(NamedTuple):
    """A fenced code block: its language and its text."""

    language: str
    text: str


def pages() -> list[Path]:
    """README.md, what stands beside it, and all of docs/."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(text: str) -> list[Block]:
    return [Block(language, code) for language, code in FENCE.findall(text)]


def prose(text: str) -> str:
    """Without code: neither fenced, nor indented, nor within a line."""
    text = FENCE.sub("", text)
    text = re.sub(r"^ {4}.*$", "", text, flags=re.M)
    return re.sub(r"`[^`\n]*`", "", text)


def links(text: str) -> list[str]:
    """Targets of inline links, of pictures, and of link definitions."""
    plain = prose(text)
    return re.findall(r"\]\(([^)\s]+)\)", plain) + re.findall(r"^\[[^\]]+\]: (\S+)$", plain, re.M)


def anchors(text: str) -> set[str]:
    """The names that GitHub gives to headings, so that links can lead to them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}
