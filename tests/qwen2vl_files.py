"""Qwen2-VL's own tokenizer files, where they are beside the project, and a small random model with them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

from gemvg_repro.models.processor import ImageOnlyProcessor, load_processor

FOLDER = Path(__file__).parents[2] / "shared/data/qwen2vl_tokenizer"

needs_files = pytest.mark.skipif(not FOLDER.is_dir(), reason="Qwen2-VL's tokenizer files are not beside the project")

_FILES = ("vocab.json", "merges.txt", "chat_template.json", "preprocessor_config.json", "generation_config.json")

_SIZES = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "rope_scaling": {"type": "mrope", "mrope_section": [2, 1, 1]},
}
_VISION_SIZES = {"depth": 1, "embed_dim": 32, "num_heads": 2, "hidden_size": 16, "mlp_ratio": 2}


@cache
def processor() -> ImageOnlyProcessor:
    """Of the files as they are; making a tokenizer of the merges takes seconds."""
    return load_processor(FOLDER)


def write_checkpoint(
    folder: Path, sizes: Mapping[str, Any] = _SIZES, vision_sizes: Mapping[str, Any] = _VISION_SIZES
) -> int:
    """Writes a random Qwen2-VL with the whole vocabulary in these sizes, laid out as Qwen/Qwen2-VL-7B-Instruct is:
    a flat config, vocab.json and merges.txt without tokenizer.json, the template in chat_template.json alone. Returns
    its number of weights."""
    folder.mkdir()
    config = json.loads((FOLDER / "config.json").read_text()) | dict(sizes)
    config["vision_config"] |= vision_sizes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Qwen2VLForConditionalGeneration(Qwen2VLConfig.from_dict(config)).to(torch.bfloat16)
    model.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config))
    for name in _FILES:
        shutil.copyfile(FOLDER / name, folder / name)
    tokenizer_config = json.loads((FOLDER / "tokenizer_config.json").read_text())
    del tokenizer_config["chat_template"]
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    return sum(weights.numel() for weights in model.parameters())
