"""Which variants does the study compare? Each once, with all that others derive from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..corpora.recipe import Stage
from ..grounding.samples import MODES, Mode
from ..training.settings import GRPOForm

BASE = "base"
"""The model before any training: evaluated, never trained."""


@dataclass(frozen=True)
class Variant:
    """One training of the ablation.

    Attributes:
        label: the printed name.
        parent: the variant whose weights it starts from; None: the base.
        stage: the part of a composed training set that it trains on: sft, cot_sft or grpo.
        sections: of the profile, that move its numbers; what its parent's move comes with the parent's id.
        grpo: how it forms groups, rewards and loss; None: supervised finetuning.
    """

    label: str
    parent: str | None
    stage: Stage
    sections: tuple[str, ...]
    grpo: GRPOForm | None = None

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The modes that GRPO prompts in; supervised finetuning mixes both."""
        return self.grpo.modes if self.grpo else MODES


def _grpo(label: str, form: GRPOForm) -> Variant:
    return Variant(label, "cot_sft", "grpo", ("grpo",), form)


TRAINED: Mapping[str, Variant] = {
    "sft": Variant("SFT", None, "sft", ("sft",)),
    "cot_sft": Variant("CoT SFT", "sft", "cot_sft", ("cot_sft",)),
    "cot": _grpo("GRPO, pure CoT", GRPOForm(("cot",))),
    "direct": _grpo("GRPO, pure direct", GRPOForm(("direct",))),
    "hybrid": _grpo("GRPO, hybrid", GRPOForm(("direct", "cot"))),
    "sft_more": Variant("CoT SFT, longer", "cot_sft", "cot_sft", ("cot_sft", "grpo")),  # for the FLOPs of GRPO
    "joint": _grpo("GRPO, joint", GRPOForm(("direct", "cot"), joint=True)),
    "shuffled": _grpo("GRPO, shuffled reward", GRPOForm(("direct", "cot"), shuffled=True)),
    "hybrid_8": _grpo("GRPO, hybrid, groups of 8", GRPOForm(("direct", "cot"), whole=True)),
    "sft_labels": Variant("SFT on GRPO's prompts", "cot_sft", "cot_sft", ("cot_sft", "grpo")),
    "sft_draws": Variant("SFT on the best of 8 draws", "cot_sft", "cot_sft", ("cot_sft", "grpo")),
}
"""By the `mode` that a user types: the two stages of SFT and the three variants of the paper, then the controls.
`sft_more` continues by SFT. Three are `hybrid` but for one thing: group, reward (must not help), whole groups in each
mode over half the samples. The last two tell reinforcement from labels and from rejection sampling: SFT on GRPO's
prompts with their boxes, beside chains that were trained on before, and with the model's own best answers."""

PAPER = ("cot", "direct", "hybrid")
"""The paper's three variants of GRPO."""

FORMS: Mapping[str, GRPOForm] = {name: variant.grpo for name, variant in TRAINED.items() if variant.grpo}
"""Of GRPO, by variant."""

EVALUATED: tuple[str, ...] = (BASE, *TRAINED)
"""The modes that can be evaluated."""


def ancestors(mode: str) -> tuple[str, ...]:
    """The variants that a variant's weights went through before, the first first: `hybrid` -> `sft`, `cot_sft`."""
    parent = TRAINED[mode].parent
    return () if parent is None else (*ancestors(parent), parent)
