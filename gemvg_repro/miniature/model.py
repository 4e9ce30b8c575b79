"""What is the miniature model? Qwen2-VL's own classes, from a config made here, in sizes for a laptop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast, Qwen2VLConfig, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from .rendering import SIDE
from .tokenizer import build_tokenizer


@dataclass(frozen=True)
class Sizes:
    """The sizes in which the miniature differs from Qwen2-VL-7B."""

    hidden: int = 96
    layers: int = 6
    heads: int = 3
    key_value_heads: int = 3
    intermediate: int = 192
    vision_width: int = 64
    vision_layers: int = 3
    vision_heads: int = 2
    vision_mlp_ratio: int = 3
    patch: int = 8
    merge: int = 2
    rope_theta: float = 4.0
    vision_rope_theta: float = 100.0


def build_config(tokenizer: PreTrainedTokenizerFast, sizes: Sizes) -> Qwen2VLConfig:
    """Qwen2-VL's configuration in these sizes; rope_theta 1e6 would leave so small a head no sense of position."""
    half = sizes.hidden // sizes.heads // 2
    across = round(half * 3 / 8)
    sections = [
        half - 2 * across,
        across,
        across,
    ]  # time, height, width: 2:3:3 in the 7B model, and near it here
    token = tokenizer.convert_tokens_to_ids
    ends = {
        "bos_token_id": token("<|im_start|>"),
        "eos_token_id": token("<|im_end|>"),
        "pad_token_id": token("<|endoftext|>"),
    }
    return Qwen2VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": sizes.hidden,
            "intermediate_size": sizes.intermediate,
            "num_hidden_layers": sizes.layers,
            "num_attention_heads": sizes.heads,
            "num_key_value_heads": sizes.key_value_heads,
            "max_position_embeddings": 2048,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": sizes.rope_theta,
                "mrope_section": sections,
            },
            "tie_word_embeddings": True,
            **ends,
        },
        vision_config={
            "depth": sizes.vision_layers,
            "embed_dim": sizes.vision_width,
            "hidden_size": sizes.hidden,
            "num_heads": sizes.vision_heads,
            "mlp_ratio": sizes.vision_mlp_ratio,
            "patch_size": sizes.patch,
            "spatial_merge_size": sizes.merge,
            "temporal_patch_size": 1,
            "in_channels": 3,
            "rope_parameters": {"rope_type": "axial", "rope_theta": sizes.vision_rope_theta},
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
        **ends,
    )


def build_model(sizes: Sizes, seed: int) -> Qwen2VLForConditionalGeneration:
    """A miniature with random weights; the global generator of torch is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Qwen2VLForConditionalGeneration(build_config(build_tokenizer(), sizes))


def build_image_processor(sizes: Sizes) -> Qwen2VLImageProcessorPil:
    """Qwen2-VL's own, with patches and pixel limits in size; pictures keep their shape, up to the world's area."""
    side = sizes.patch * sizes.merge
    return Qwen2VLImageProcessorPil(
        patch_size=sizes.patch,
        merge_size=sizes.merge,
        temporal_patch_size=1,
        size={"shortest_edge": side * side, "longest_edge": SIDE * SIDE},
    )


def save_random(folder: Path, sizes: Sizes, seed: int) -> None:
    """Writes model, tokenizer and image processor as a checkpoint that transformers loads."""
    build_model(sizes, seed).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    build_image_processor(sizes).save_pretrained(folder)
