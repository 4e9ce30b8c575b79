"""The miniature model: Qwen2-VL's own classes with a config in sizes for a laptop."""

from __future__ import annotations

import copy
import math
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, Qwen2VLConfig, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from .rendering import SIDE
from .tokenizer import build_tokenizer, coordinate_ids

BASE = Path(__file__).with_name("base")
"""The pre-trained base that ships with the package; gemvg_repro.miniature.pretraining.train makes it."""


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
    rope_theta: float = 1000.0
    vision_rope_theta: float = 100.0


def build_config(tokenizer: PreTrainedTokenizerFast, sizes: Sizes) -> Qwen2VLConfig:
    """Qwen2-VL's configuration in these sizes.

    Small heads have few channels: with a rope_theta of 1e6 hardly any would encode positions, and with one near 1
    none could compare contents over a distance.
    """
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
    tokenizer = build_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2VLForConditionalGeneration(build_config(tokenizer, sizes))
        _order_coordinates(model.model.language_model.embed_tokens.weight, coordinate_ids(tokenizer))
        return model


@torch.no_grad()
def deepen(model: Qwen2VLForConditionalGeneration, layers: int, seed: int) -> Qwen2VLForConditionalGeneration:
    """The model with `layers` more before its first, each an identity at first, so that its logits stay the same.

    A large language model has depth to spare, and so small a one has none: what a question refers to (the disc of
    Picture 1) has to be looked up before the layers that find what words describe (docs/log). Training lets the
    new layers do so.
    """
    config = copy.deepcopy(model.config)
    text = config.text_config
    text.num_hidden_layers += layers
    text.layer_types = ["full_attention"] * text.num_hidden_layers
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        deeper = Qwen2VLForConditionalGeneration(config)
        for layer in deeper.model.language_model.layers[:layers]:
            for weight in layer.parameters():
                if weight.ndim > 1:
                    nn.init.normal_(weight, std=1 / math.sqrt(weight.shape[1]))
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
    kept = {
        re.sub(r"(language_model\.layers\.)(\d+)", lambda match: match[1] + str(int(match[2]) + layers), name): value
        for name, value in model.state_dict().items()
    }
    deeper.load_state_dict(kept, strict=False)
    return deeper


@torch.no_grad()
def _order_coordinates(embeddings: Tensor, forms: list[list[int]]) -> None:
    """Puts the tokens of near coordinates near each other, on a smooth curve.

    It stands for the sense of number that a language model brings along; from unrelated embeddings the miniature
    would have to learn each of its coordinates by itself.
    """
    waves = math.pi * torch.tensor([0.5, 1.0, 1.5, 2.0, 3.0, 4.0])
    scale = float(embeddings.std())
    width = embeddings.shape[1]
    directions = torch.randn(2 * len(waves), width)
    for ids in forms:
        angles = torch.linspace(0, 1, len(ids))[:, None] * waves
        curve = torch.cat([angles.cos(), angles.sin()], dim=1) / len(waves) ** 0.5
        embeddings[ids] = scale * (0.7 * torch.randn(width) + curve @ directions)


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
