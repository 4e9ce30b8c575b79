"""Under which name, in which order and colour does the report show each variant, mode and kind?"""

from __future__ import annotations

from colorsys import hsv_to_rgb
from dataclasses import dataclass
from zlib import crc32

from ..grounding.samples import GROUNDING_KINDS
from ..study.variants import BASE, PAPER, TRAINED


@dataclass(frozen=True)
class Look:
    """The printed name and the colour (hex, from the palette of Wong 2011, doi:10.1038/nmeth.1618)."""

    label: str
    colour: str


_COLOURS = {
    BASE: "#8c8c8c",
    "sft": "#56b4e9",
    "cot_sft": "#0072b2",
    "sft_more": "#d55e00",
    "sft_labels": "#a0522d",
    "sft_draws": "#e9967a",
    "cot": "#e69f00",
    "direct": "#cc79a7",
    "hybrid": "#009e73",
    "joint": "#7bc8a4",
    "hybrid_8": "#005f45",
    "shuffled": "#c9b400",
}

VARIANTS: dict[str, Look] = {
    name: Look(TRAINED[name].label if name in TRAINED else name, colour) for name, colour in _COLOURS.items()
}
"""In the order of every table and figure."""

START = "cot_sft"

LONGER = "sft_more"
"""The compute-matched control: SFT continued from START for the FLOPs of GRPO."""

CONTROLS = ("joint", "hybrid_8", "shuffled")
"""`hybrid` with one thing changed. Shown where they were run."""

REINFORCED = (*PAPER, *CONTROLS)

SUPERVISED = ("sft_labels", "sft_draws")
"""SFT on GRPO's prompts: with their boxes, with the model's own best answers."""

REFERENCES: dict[str, tuple[str, ...]] = {
    LONGER: (START,),
    **dict.fromkeys(SUPERVISED, (START, LONGER, "hybrid")),
    "cot": (START, LONGER),
    "direct": (START, LONGER),
    "hybrid": (START, LONGER, "cot", "direct"),
    **dict.fromkeys(CONTROLS, (START, LONGER, "hybrid")),
}
"""What each variant is compared with."""

MODES = {"direct": "direct", "cot": "CoT"}
"""The prompts of an evaluation; not to be confused with the variants of the same names."""

SHORTCUTS = {
    "constant_box": "best constant box",
    "picture_prior": "image-index prior",
    "blind": "grey images",
    "shuffled": "shuffled images",
}
"""Shortcut baselines: benchmarks whose scores need no use of the images."""

MODEL_FREE = ("constant_box", "picture_prior")
"""Shortcuts that need no model; the others are a variant's own responses to altered images."""

SHIFTS = {
    "more_pictures": "four images",
    "more_targets": "five or six targets",
    "unseen_shades": "unseen shades",
}
"""Benchmarks out of distribution: what of each no training of the study has seen."""

KINDS = {kind: kind for kind in GROUNDING_KINDS} | {"understanding": "multiple choice"}

TERMS = ("total", "f1", "localisation", "count", "picture", "format")
"""The terms of GRPO's reward, in the order in which they are shown."""

TRUTH, PREDICTION = "#000000", "#e6007e"


def look(variant: str) -> Look:
    """Name and colour of a variant. With other values than the profile's it has these in its name, and a colour drawn
    from it; one that is not listed has its own name, in black."""
    mode, comma, overrides = variant.partition(", ")
    if comma and mode in VARIANTS:
        return Look(f"{VARIANTS[mode].label}, {overrides}", _drawn_colour(variant))
    return VARIANTS.get(variant, Look(variant.replace("_", " "), "#000000"))


def position(variant: str) -> tuple[int, str]:
    """Sort key: the listed variants in their order, each before those with other values; then the others by name."""
    names = list(VARIANTS)
    mode = mode_of(variant)
    return (names.index(mode) if mode in names else len(names), variant)


def mode_of(variant: str) -> str:
    """The mode of a variant, which may have other values than its profile's (`study.overrides.variant`)."""
    return variant.partition(", ")[0]


def references(variant: str) -> tuple[str, ...]:
    """What a variant is compared with: with other values than its profile's, itself without them, and its references
    with and without them."""
    mode, comma, overrides = variant.partition(", ")
    others = REFERENCES.get(mode, ())
    return (mode, *(f"{other}, {overrides}" for other in others), *others) if comma else others


def _drawn_colour(variant: str) -> str:
    red, green, blue = hsv_to_rgb(crc32(variant.encode()) % 360 / 360, 0.65, 0.75)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def rank_of_term(term: str) -> tuple[int, str]:
    """Sort key of a term of the reward: the known ones in their order, then others by name."""
    return (TERMS.index(term) if term in TERMS else len(TERMS), term)
