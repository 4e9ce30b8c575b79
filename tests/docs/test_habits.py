"""What the hooks, the hosted CI, CITATION.cff and the pages name is what Makefile, .ci/run and pyproject.toml have."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import yaml

from .markdown import ROOT, name, pages

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))


def recipe(target: str) -> list[str]:
    """The commands of a target, with paths in place of the Makefile's variables."""
    lines = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.M)
    assert lines is not None
    return [line.strip().replace("$(BIN)", ".venv/bin") for line in lines[1].splitlines()]


def test_the_hooks_are_make_lint() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0]["hooks"]
    assert [re.sub(r"^bash -c '(.*)'$", r"\1", hook["entry"]) for hook in hooks] == recipe("lint")
    assert all(hook["language"] == "system" and hook["pass_filenames"] is False for hook in hooks)


def test_the_hosted_ci_runs_the_parts_of_ci_run() -> None:
    workflow: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert all(command.startswith(".ci/run ") for command in commands)
    run = {part for command in commands for part in command.split()[1:]}
    parts = re.search(r"^parts=\((.*)\)$", (ROOT / ".ci" / "run").read_text("utf-8"), re.M)
    assert parts is not None and run == set(parts[1].split())
    assert run - {"programs"} <= TARGETS


def test_every_target_that_is_named_exists() -> None:
    """In Markdown but the log, which has those of its day, and in what installs the project otherwise."""
    others = [ROOT / "environment.yml", ROOT / "Dockerfile", ROOT / ".pre-commit-config.yaml", ROOT / ".ci" / "run"]
    for page in [*(page for page in pages() if page.parent.name != "log"), *others]:
        for target in re.findall(r"`make ([a-z-]+)|^ {4}make ([a-z-]+)", page.read_text("utf-8"), re.M):
            assert set(target) - {""} <= TARGETS, f"{name(page)} says make {''.join(target)}"


def test_citation_is_of_this_version_and_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert citation["cff-version"] == "1.2.0" and citation["title"] and citation["authors"]


def test_a_changelog_says_what_moves_results() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    days = re.findall(r"^### (\S+)$", text, re.M)
    assert days == sorted(days, reverse=True)
    marked = re.findall(r"^- \[?\**\[?results.*$", text, re.M)
    assert marked and all(line.startswith("- **[results]** ") for line in marked)
