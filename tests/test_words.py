"""Private words that may not come back, each with the field's term in its place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLACES = ("gemvg_repro", "tests", "tools", "sweeps", "notebooks", "README.md")
SUFFIXES = (".py", ".ipynb", ".yaml", ".md", ".css", ".jinja")

BETTER = {
    r"\b(is|are|was|be|not) told (from|apart)\b": "statistically indistinguishable from; distinguished",
    r"\basked to think\b|\bthinking first\b": "with CoT prompts",
    r"\basked (direct|CoT|directly)\b": "with direct prompts; with CoT prompts",
    r"\bput to (the|a) (model|checkpoint)\b": "evaluate the model on",
    r"\bby t\b": "paired t-interval",
    r"\bluck of\b": "variance over training seeds",
    r"\bas much arithmetic\b": "compute-matched (equal FLOPs)",
    r"\bdearest\b": "most expensive",
    r"\bnone right\b": "no-target accuracy",
    r"\btokens said\b": "response length",
    r"\bspoilt\b": "altered",
    r"\bsigns? of life\b": "heartbeat",
    r"\bgoes on (where|from)\b": "resumes; continues from",
    r"\bwhat came of it\b": "results",
    r"\bbefall": "happens to",
    r"\bfrom the ground up\b": "from the lowest floor to the highest",
    r"\bprove[sd]? (every|against|each)\b": "verify",
    r"\bSharingGRPOTrainer\b": "SharedPrefixGRPOTrainer",
    r"\bclass Speech\b": "class SamplingParams",
    r"\bclass Wanted\b": "class Request",
    r"\bclass Reading\b": "class ParsedAnswer",
    r"\bclass _Room\b": "class KVCache",
    r"\bhear\(|\bheard\(": "parse_answer(",
    r"\bspoken\(": "visible_text(",
    r"\blessons\(": "training_conversations(",
    r"\bAnnouncer\b": "ProgressPrinter",
    r"\bdesk_of\b": "job_folder",
    r"\basked_to_stop\b|\bstop_if_asked\b": "stop_requested; stop_if_requested",
    r"^\s*(found|asked|said|wanted|told|shown)(: [^=]+)? = ": "a noun for what the variable holds: rows, params, text",
    r"\b(found|asked|said|wanted|told|shown): [A-Z]\w*Parameters\b": "params: a noun for what the parameter holds",
}
"""Regular expression -> what to write instead. Where a sentence needs the word in its plain sense, rephrase it."""


def lapses(text: str) -> Iterator[tuple[int, str, str]]:
    """(line, word, what to write instead) of every private word in a text."""
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, better in BETTER.items():
            for match in re.finditer(pattern, line, re.IGNORECASE):
                yield number, match[0].strip(), better


def files() -> list[Path]:
    roots = (ROOT / place for place in PLACES)
    every = (file for root in roots for file in ([root] if root.is_file() else sorted(root.rglob("*"))))
    return [file for file in every if file.suffix in SUFFIXES and file != Path(__file__)]


def test_no_private_word_has_come_back() -> None:
    lines = [
        f"{file.relative_to(ROOT)}:{number}: {word!r}: write {better!r}"
        for file in files()
        for number, word, better in lapses(file.read_text("utf-8"))
    ]
    assert not lines, "\n".join(["words that only this project has:", *lines])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Hybrid is not told from\ndirect, asked directly.", ["not told from", "asked directly"]),
        ("    found = rows()", ["found ="]),
        ("def train(asked: TrainParameters) -> Path:", ["asked: TrainParameters"]),
        ("what was asked for is found; found == expected", []),
    ],
)
def test_what_counts_as_a_private_word(text: str, word: list[str]) -> None:
    assert [each for _, each, _ in lapses(text)] == word
