"""A tiny random model of each supported family, with the miniature's tokenizer."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from transformers import PreTrainedModel

from gemvg_repro.miniature.model import build_image_processor
from gemvg_repro.miniature.tokenizer import build_tokenizer
from gemvg_repro.models.families import QWEN2_5_VL, QWEN2_VL, QWEN3_VL, Family
from gemvg_repro.models.loading import load
from gemvg_repro.models.processor import ImageOnlyProcessor

from . import tiny_model

_TOWER: dict[str, Any] = {
    "depth": 2,
    "num_heads": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
    "out_hidden_size": tiny_model.SIZES.hidden,
    "patch_size": tiny_model.SIZES.patch,
    "spatial_merge_size": tiny_model.SIZES.merge,
    "temporal_patch_size": 1,
    "rope_parameters": {"rope_type": "axial", "rope_theta": 100.0},
}

VISION: dict[str, dict[str, Any]] = {
    QWEN2_5_VL.model_type: {**_TOWER, "window_size": 32, "fullatt_block_indexes": [1]},
    QWEN3_VL.model_type: {**_TOWER, "num_position_embeddings": 16, "deepstack_visual_indexes": [0]},
}
"""Windows of two by two tokens, in the first block only; features of the first block are passed on."""

ROPE: dict[str, dict[str, Any]] = {
    QWEN2_5_VL.model_type: {"mrope_section": [4, 4, 4]},
    QWEN3_VL.model_type: {"mrope_section": [4, 4, 4], "mrope_interleaved": True},
}


def config(family: Family) -> dict[str, Any]:
    """config.json of a tiny model of a later family."""
    sizes, tokenizer = tiny_model.SIZES, build_tokenizer()
    ids = tokenizer.convert_tokens_to_ids
    return {
        "model_type": family.model_type,
        "text_config": {
            "vocab_size": len(tokenizer),
            "hidden_size": sizes.hidden,
            "intermediate_size": sizes.intermediate,
            "num_hidden_layers": sizes.layers,
            "num_attention_heads": sizes.heads,
            "num_key_value_heads": sizes.key_value_heads,
            "head_dim": sizes.hidden // sizes.heads,
            "max_position_embeddings": 2048,
            "rope_parameters": {"rope_type": "default", "rope_theta": sizes.rope_theta, **ROPE[family.model_type]},
            "tie_word_embeddings": True,
            "pad_token_id": ids("<|endoftext|>"),
            "bos_token_id": ids("<|im_start|>"),
            "eos_token_id": ids("<|im_end|>"),
        },
        "vision_config": VISION[family.model_type],
        "image_token_id": ids("<|image_pad|>"),
        "video_token_id": ids("<|video_pad|>"),
        "vision_start_token_id": ids("<|vision_start|>"),
        "vision_end_token_id": ids("<|vision_end|>"),
        "tie_word_embeddings": True,
    }


@cache
def folder(family: Family) -> Path:
    """A checkpoint of the family."""
    if family is QWEN2_VL:
        return tiny_model.folder()
    path = Path(mkdtemp(prefix="tiny-")) / "model"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = family.model_class(family.config_class.from_dict(config(family)))
    model.save_pretrained(path)
    build_tokenizer().save_pretrained(path)
    build_image_processor(tiny_model.SIZES).save_pretrained(path)
    return path


def model_and_processor(family: Family) -> tuple[PreTrainedModel, ImageOnlyProcessor]:
    """The model with the fast paths, and its processor."""
    return load(folder(family), "float32")


def stock(family: Family) -> PreTrainedModel:
    """The model as transformers loads it."""
    return family.model_class.from_pretrained(folder(family))
