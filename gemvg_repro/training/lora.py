"""LoRA (arXiv 2106.09685): low-rank matrices beside the language model's own, which alone are trained.

peft's layers take the place of the model's linear ones, without a wrapper around the model, so that generation, packed
rows, KL and hashing find what they know. A checkpoint holds what is trained; at the end the product of the matrices is
added to the weights, and all that follows takes a plain model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from ..files.validation import Refused
from .settings import LoRASettings

FILE = "lora.safetensors"
"""In a checkpoint, in the place of the model's weights."""


def inject(model: PreTrainedModel, settings: LoRASettings, seed: int) -> None:
    """Gives the language model's `targets` their matrices, drawn by the seed, and freezes all else, the tower too.

    Raises:
        Refused: no layer has such a name.
    """
    from peft import LoraConfig, inject_adapter_in_model  # takes seconds, which only a training with LoRA spends

    config = LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules=list(settings.targets))
    language_model = model.model.language_model
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            inject_adapter_in_model(config, language_model)
        except ValueError as error:
            linear = {name.rpartition(".")[2] for name, m in language_model.named_modules() if isinstance(m, nn.Linear)}
            raise Refused(f"lora.targets {list(settings.targets)}: {error}; there are {sorted(linear)}") from None
    for name, weights in model.named_parameters():
        weights.requires_grad_(_is_trained(name))


@contextmanager
def injected(model: PreTrainedModel, settings: LoRASettings | None, seed: int) -> Iterator[None]:
    """`inject`s for the time of a training, and then `merge`s; without settings, nothing."""
    if settings is not None:
        inject(model, settings, seed)
    yield
    if settings is not None:
        merge(model)


def is_injected(model: nn.Module) -> bool:
    """Whether the model has matrices that are not yet merged."""
    return any(_is_trained(name) for name, _ in model.named_parameters())


def merge(model: nn.Module) -> None:
    """Adds the product of the matrices to the weights, and puts the model's own layers back."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, layer in list(model.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge()
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, layer.get_base_layer())
    model.requires_grad_(True)


def save_trained(model: nn.Module, folder: Path) -> None:
    """Writes the matrices, and nothing else, into a checkpoint's folder."""
    trained = {name: w.detach().cpu().contiguous() for name, w in model.named_parameters() if _is_trained(name)}
    save_file(trained, folder / FILE)


def load_trained(model: nn.Module, folder: Path) -> None:
    """Reads the matrices of a checkpoint into a model that has them.

    Raises:
        Refused: the checkpoint has others than the model, or is one of a training without LoRA.
    """
    saved = load_file(folder / FILE) if (folder / FILE).is_file() else {}
    own = {name: weights for name, weights in model.named_parameters() if _is_trained(name)}
    if {k: v.shape for k, v in saved.items()} != {k: v.shape for k, v in own.items()}:
        raise Refused(
            f"{folder} is of a training with other settings of `lora`. Delete its folder; the same command begins anew"
        )
    with torch.no_grad():
        for name, weights in own.items():
            weights.copy_(saved[name])


def _is_trained(name: str) -> bool:
    return ".lora_A." in name or ".lora_B." in name
