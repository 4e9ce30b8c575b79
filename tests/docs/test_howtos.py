"""The worked examples of docs/howto, executed to the letter in a copy of the project.

In the order of a page: a block after a line that ends with a path in back quotes and a colon is the file of that path,
a `diff` is applied, `bash` is run, a `text` is what the command before it printed. In such a text, `...` is anything.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from .markdown import ROOT

PAGES = sorted((ROOT / "docs" / "howto").glob("*.md"))
LONG = re.compile("papermill|preflight|tiny_moe|same.py")
"""A command that has one of these takes longer than a test of `make test` may."""

FILES_OF = {"variant": "profile"}
"""A page whose commands use the files of another one."""

STEP = re.compile(r"(?:`([\w./-]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.M | re.S)


class Step(NamedTuple):
    """A block of a page: the path of the file that it is, or none; its language; its text."""

    path: str
    language: str
    text: str


def steps(page: Path) -> Iterator[Step]:
    return (Step(*groups) for groups in STEP.findall(page.read_text("utf-8")))


def copy_of_the_project(folder: Path) -> Path:
    for part in ("gemvg_repro", "notebooks", "sweeps"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    return folder


def run(command: str, project: Path) -> str:
    """What a script of bash prints; it must succeed in every line."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(project), "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    done = subprocess.run(
        ["bash", "-e", "-c", command], cwd=project, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def follow(page: Path, project: Path, long: bool) -> None:
    """Does what a page says. Without `long`, a command that takes its time, and what it printed, are passed over."""
    printed: str | None = None
    for path, language, text in steps(page):
        if path:
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            (project / path).write_text(text, "utf-8")
        elif language == "diff":
            subprocess.run(["patch", "-p1", "--fuzz=0"], input=text, cwd=project, text=True, check=True)
        elif language == "bash":
            printed = run(text, project) if long or not LONG.search(text) else None
        elif language == "text" and printed is not None:
            assert fits(text, printed), f"{page.name} says\n{text}\nprinted was\n{printed}"


def fits(expected: str, printed: str) -> bool:
    """Whether a text is what was printed, but for spaces at the ends of lines, and for what `...` stands for."""
    lines, plain = ("\n".join(line.rstrip() for line in text.strip().splitlines()) for text in (expected, printed))
    pattern = ".*".join(re.escape(part) for part in lines.split("..."))
    return re.fullmatch(pattern, plain, re.S) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_howto_does_what_it_says(page: Path, tmp_path: Path) -> None:
    follow(page, _prepared(page, tmp_path), long=False)


@pytest.mark.slow
def test_the_howtos_that_train_do_what_they_say_to_the_end(tmp_path: Path) -> None:
    """One after the other, in one copy: the variant is trained from runs of the profile's page, as a reader's is."""
    project = copy_of_the_project(tmp_path)
    for page in PAGES:
        if LONG.search(page.read_text("utf-8")):
            follow(page, project, long=True)


def _prepared(page: Path, folder: Path) -> Path:
    project = copy_of_the_project(folder)
    if other := FILES_OF.get(page.stem):
        for path, _, text in steps(page.with_name(f"{other}.md")):
            if path:
                (project / path).write_text(text, "utf-8")
    return project


@pytest.mark.parametrize(
    ("expected", "fit"), [("a\nb", True), ("a\n...", True), ("...b", True), ("a", False), ("a ... c", False)]
)
def test_what_fits(expected: str, fit: bool) -> None:
    assert fits(expected, "a \nb\n") is fit
