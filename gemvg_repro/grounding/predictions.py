"""A model's answer to one sample."""

from __future__ import annotations

from dataclasses import dataclass

from .samples import Mode


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to a sample: its text, special tokens included, and how many tokens were generated."""

    sample: str
    mode: Mode
    text: str
    tokens: int
