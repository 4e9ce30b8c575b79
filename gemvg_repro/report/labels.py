"""What is each variant, mode and kind called, and where and in which colour does it stand?"""

from __future__ import annotations

from dataclasses import dataclass

from ..grounding.samples import GROUNDING_KINDS


@dataclass(frozen=True)
class Look:
    """The printed name and the colour (hex, from the palette of Wong 2011, doi:10.1038/nmeth.1618)."""

    label: str
    colour: str


VARIANTS: dict[str, Look] = {
    "base": Look("base", "#8c8c8c"),
    "sft": Look("SFT", "#56b4e9"),
    "cot_sft": Look("CoT SFT", "#0072b2"),
    "sft_more": Look("CoT SFT, longer", "#d55e00"),
    "cot": Look("GRPO, pure CoT", "#e69f00"),
    "direct": Look("GRPO, pure direct", "#cc79a7"),
    "hybrid": Look("GRPO, hybrid", "#009e73"),
    "joint": Look("GRPO, joint", "#7bc8a4"),
    "token": Look("GRPO, by token", "#4d4d4d"),
    "shuffled": Look("GRPO, shuffled reward", "#c9b400"),
}
"""Order and colour are these in every table and figure."""

START = "cot_sft"

LONGER = "sft_more"
"""The control that goes on from START by SFT, for as much arithmetic as GRPO."""

PAPER = ("cot", "direct", "hybrid")
"""The paper's three variants of GRPO, all of them from START."""

CONTROLS = ("joint", "token", "shuffled")
"""`hybrid` but for one thing. They are shown where they were run."""

REINFORCED = (*PAPER, *CONTROLS)

REFERENCES: dict[str, tuple[str, ...]] = {
    LONGER: (START,),
    "cot": (START, LONGER),
    "direct": (START, LONGER),
    "hybrid": (START, LONGER, "cot", "direct"),
    **dict.fromkeys(CONTROLS, (START, LONGER, "hybrid")),
}
"""What each variant is compared with."""

MODES = {"direct": "direct", "cot": "CoT"}
"""How the model is asked when it is evaluated; not to be confused with the variants of the same names."""

SHORTCUTS = {
    "constant_box": "best constant box",
    "picture_prior": "picture-index prior",
    "blind": "grey pictures",
    "shuffled": "shuffled pictures",
}
"""Benchmarks whose scores come from a shortcut: what they reach says nothing about seeing."""

MODEL_FREE = ("constant_box", "picture_prior")
"""Shortcuts that need no model; the others are a variant's own answers to spoilt pictures."""

KINDS = {kind: kind for kind in GROUNDING_KINDS} | {"understanding": "multiple choice"}

TERMS = ("total", "localisation", "count", "picture", "format")
"""Of GRPO's reward: what is wanted first, what is only needed last."""

TRUTH, PREDICTION = "#000000", "#e6007e"


def look(variant: str) -> Look:
    """A variant that is not listed (a control of a larger grid) goes by its own name, in black."""
    return VARIANTS.get(variant, Look(variant.replace("_", " "), "#000000"))


def position(variant: str) -> tuple[int, str]:
    """Sort key: the listed variants in their order, then the others by name."""
    names = list(VARIANTS)
    return (names.index(variant) if variant in names else len(names), variant)


def rank_of_term(term: str) -> tuple[int, str]:
    """Sort key of a term of the reward: the known ones in their order, then others by name."""
    return (TERMS.index(term) if term in TERMS else len(TERMS), term)
