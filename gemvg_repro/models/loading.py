"""How is a checkpoint loaded and saved?"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import Qwen2VLForConditionalGeneration

from .checksums import check_sums, write_sums
from .padding import leave_out_padding
from .processor import ImageOnlyProcessor, load_processor
from .vision import encode_pictures_together


def device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load(
    folder: str | Path, dtype: str, max_pixels: int | None = None
) -> tuple[Qwen2VLForConditionalGeneration, ImageOnlyProcessor]:
    """A Qwen2-VL model on the device, and its processor, from a local folder or a hub's name.

    Only safetensors are read, and no code of the checkpoint's runs. Raises AlteredCheckpoint if the folder has the
    hashes of its files, as what is saved here does, and they are not those.
    """
    check_sums(Path(folder))
    model = Qwen2VLForConditionalGeneration.from_pretrained(
        folder, dtype=getattr(torch, dtype), use_safetensors=True, trust_remote_code=False
    )
    model = model.to(device())
    encode_pictures_together(model)
    leave_out_padding(model)
    return model, load_processor(folder, max_pixels)


def save(model: Qwen2VLForConditionalGeneration, processor: ImageOnlyProcessor, folder: Path) -> None:
    """Writes the checkpoint that `load` reads; the folder appears only when it is whole."""
    partial = folder.with_name(folder.name + ".part")
    model.save_pretrained(partial)
    processor.tokenizer.save_pretrained(partial)
    processor.image_processor.save_pretrained(partial)
    write_sums(partial)
    partial.rename(folder)
