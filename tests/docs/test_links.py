"""Links in the project's Markdown lead somewhere, and no file speaks of one that has moved."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .markdown import ROOT, anchors, links, name, pages, prose


@pytest.mark.parametrize("page", pages(), ids=name)
def test_links_resolve(page: Path) -> None:
    for link in links(page.read_text("utf-8")):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = page if not file else page.parent / file
        assert target.exists(), f"{name(page)} links to {link}"
        if anchor:
            assert anchor in anchors(target.read_text("utf-8")), f"{name(page)} links to {link}: no such heading"


@pytest.mark.parametrize("page", pages(), ids=name)
def test_links_by_name_are_defined(page: Path) -> None:
    text = page.read_text("utf-8")
    defined = set(re.findall(r"^\[([^\]]+)\]: ", text, re.M))
    used = set(re.findall(r"\[(\d\d-\d\d [^\]]+)\](?![(:])", prose(text)))
    assert used == defined, f"{name(page)}: {used ^ defined} have no link, or no use"


def test_every_month_of_the_log_is_in_its_index() -> None:
    index = (ROOT / "docs" / "log" / "README.md").read_text("utf-8")
    for month in (ROOT / "docs" / "log").glob("[0-9]*.md"):
        assert f"]({month.name})" in index
        headings = re.findall(r"^## (\S+):", month.read_text("utf-8"), re.M)
        assert all(re.fullmatch(rf"{month.stem}-\d\d", date) for date in headings)
        assert headings == sorted(headings, reverse=True), f"{month.name}: newest first"


def test_what_the_code_says_of_docs_is_there() -> None:
    for folder in ("gemvg_repro", "sweeps", "tools", "notebooks"):
        for file in (ROOT / folder).rglob("*.*"):
            if file.suffix in (".py", ".yaml", ".ipynb", ".jinja"):
                for path in re.findall(r"\bdocs/[a-z][\w./-]*\w", file.read_text("utf-8")):
                    assert (ROOT / path).exists(), f"{name(file)} speaks of {path}"
