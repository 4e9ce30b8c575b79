"""Loads and saves a checkpoint, with the fast paths that training and evaluation use."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from transformers import PreTrainedModel

from ..files.atomic import writing
from ..files.validation import Refused
from .families import family_of_folder
from .packing import remove_padding
from .processor import ImageOnlyProcessor, load_processor
from .vision import batch_vision_tower


def device() -> torch.device:
    """The accelerator, of several that of this process, if there is one, else the CPU."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def load(folder: Path, dtype: str, max_pixels: int | None = None) -> tuple[PreTrainedModel, ImageOnlyProcessor]:
    """A model of a supported family on the device, and its processor, from a checkpoint folder.

    Only safetensors are read, and no code of the checkpoint is run.

    Args:
        folder: the checkpoint.
        dtype: of the weights, by torch's name, such as "bfloat16".
        max_pixels: see `load_processor`.

    Raises:
        Refused: the checkpoint is of no supported family, or weights are missing or unexpected by its config;
            transformers would initialise missing ones at random.
    """
    family = family_of_folder(folder)
    model, info = family.model_class.from_pretrained(
        folder, dtype=getattr(torch, dtype), use_safetensors=True, trust_remote_code=False, output_loading_info=True
    )
    for kind in ("missing", "unexpected"):
        if names := sorted(info[f"{kind}_keys"]):
            raise Refused(
                f"{folder} has {kind} weights, {names[0]} and {len(names) - 1} more, by its own config.json;"
                f" is it another model's? Give the whole folder of one {family.name}"
            )
    model = model.to(device())
    _copy_out_of_mmap(model)
    batch_vision_tower(model)
    remove_padding(model)
    return model, load_processor(folder, max_pixels)


def _copy_out_of_mmap(model: torch.nn.Module) -> None:
    """Copies the weights out of the file that transformers maps: writing to it would change them during training."""
    if device().type == "cpu":
        for weights in (*model.parameters(), *model.buffers()):
            weights.data = weights.data.clone()


def save(model: PreTrainedModel, processor: ImageOnlyProcessor, folder: Path) -> None:
    """Writes the checkpoint that `load` reads; the folder appears only once it is complete.

    Raises:
        NotWritten: the disk is full; nothing of the checkpoint is left.
    """
    partial = folder.with_name(folder.name + ".part")
    try:
        with writing(folder, sum(p.numel() * p.element_size() for p in model.parameters())):
            model.save_pretrained(partial)
            processor.tokenizer.save_pretrained(partial)
            processor.image_processor.save_pretrained(partial)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    partial.rename(folder)
