"""Which families of models are supported, and in what do they differ? The one place that names them.

All are Qwen's, as in the installed transformers: a vision tower whose patches are merged into tokens, M-RoPE, and a
language model. Sizes (patch, merge, windows, layers whose features are passed on) are in a checkpoint's config.json and
preprocessor_config.json. This module is read without torch: classes are imported when they are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files.validation import Refused, read_json
from ..grounding.notations import Notation


@dataclass(frozen=True)
class Family:
    """A family of models.

    Attributes:
        name: for people.
        model_type: of config.json.
        architecture: the name of its class in transformers.
        example: a model on the hub, whose chat template may be copied.
        notation: of boxes in its prompts and answers.
        one_mask: whether its language model takes an attention mask as it is; else one for each type of layer.
    """

    name: str
    model_type: str
    architecture: str
    example: str
    notation: Notation
    one_mask: bool = False

    @property
    def model_class(self) -> Any:
        """transformers' class of the whole model."""
        import transformers  # takes seconds

        return getattr(transformers, self.architecture)

    @property
    def config_class(self) -> Any:
        """transformers' class of the whole model's config."""
        return self.model_class.config_class

    def attention_mask(self, mask: Any) -> Any:
        """A prepared mask, (rows, 1, queries, keys), as its language model takes it; None is plain causal attention,
        which transformers then leaves to the attention kernel."""
        return mask if self.one_mask else {"full_attention": mask}


QWEN2_VL = Family(
    name="Qwen2-VL",
    model_type="qwen2_vl",
    architecture="Qwen2VLForConditionalGeneration",
    example="Qwen/Qwen2-VL-7B-Instruct",
    notation=Notation(),
)

QWEN2_5_VL = Family(
    name="Qwen2.5-VL",
    model_type="qwen2_5_vl",
    architecture="Qwen2_5_VLForConditionalGeneration",
    example="Qwen/Qwen2.5-VL-7B-Instruct",
    notation=Notation(json=True, pixels=True),
)

QWEN3_VL = Family(
    name="Qwen3-VL",
    model_type="qwen3_vl",
    architecture="Qwen3VLForConditionalGeneration",
    example="Qwen/Qwen3-VL-8B-Instruct",
    notation=Notation(json=True),
    one_mask=True,
)

FAMILIES = (QWEN2_VL, QWEN2_5_VL, QWEN3_VL)


class Unsupported(Refused):
    """A model of another family."""


def family_of(config: Any) -> Family:
    """The family of a model by its config: transformers', or the content of config.json.

    Raises:
        Unsupported: it is of none of them.
    """
    named = config.get("model_type") if isinstance(config, Mapping) else getattr(config, "model_type", config)
    for family in FAMILIES:
        if family.model_type == named:
            return family
    supported = " or ".join(f"{family.model_type!r} ({family.name})" for family in FAMILIES)
    raise Unsupported(
        f"has model_type {named!r:.80}; expected {supported}: give such a model as `base` of a profile, or as a"
        f" checkpoint, such as {QWEN2_VL.example}"
    )


def family_of_folder(folder: Path) -> Family:
    """The family of a checkpoint's folder, by its config.json.

    Raises:
        Refused: it is of none of them, or the file is missing or no JSON.
    """
    file = folder / "config.json"
    try:
        return family_of(read_json(file))
    except Unsupported as error:
        raise Refused(f"{file} {error}") from None
