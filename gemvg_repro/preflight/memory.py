"""How many bytes does a training take on one device, by part?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch

from ..training.settings import GRPOSettings, SFTSettings
from .passes import (
    Batch,
    Settings,
    Trained,
    activation_bytes,
    optimiser_bytes,
    patch_values,
    prefill_bytes,
    read_config,
    weight_bytes,
)


@dataclass(frozen=True)
class Memory:
    """The bytes of a training on each device, by part, in the phase that has the most of them."""

    phase: str
    parts: Mapping[str, float]

    @property
    def total(self) -> float:
        return sum(self.parts.values())


def sft_memory(
    config: Mapping[str, Any], dtype: str, settings: SFTSettings, batch: Batch, processes: int = 1
) -> Memory:
    """Of SFT, with micro-batches like `batch`.

    The batches of a whole step lie on the device: transformers fetches them before the first is computed.
    """
    waiting = settings.conversations / settings.micro_batch / processes * _patch_bytes(config, batch.images)
    return _most(_training(config, dtype, settings, batch, processes, {"patches of a step": waiting}))


def grpo_memory(
    config: Mapping[str, Any],
    dtype: str,
    settings: GRPOSettings,
    batch: Batch,
    prefix: int,
    processes: int = 1,
    kl_tokens: int = 0,
) -> Memory:
    """Of GRPO, which generates and then trains.

    Args:
        config: config.json of the base.
        dtype: of the weights.
        settings: of GRPO.
        batch: a micro-batch of packed rows.
        prefix: tokens of a prompt.
        processes: that share the step.
        kl_tokens: the labelled tokens at which the KL is watched.
    """
    vocabulary = read_config(config).text_config.vocab_size
    prompts = ceil(settings.prompts / processes)
    completions = ceil(settings.prompts * settings.rollouts / processes)
    rows_of_batch = max(1, len(batch.rows))
    images = len(batch.images) // rows_of_batch
    patches = completions * _patch_bytes(config, batch.images[:images])
    always = {"patches of a step": patches, "KL's start": 4.0 * kl_tokens * vocabulary / processes}
    phases = _training(config, dtype, settings, batch, processes, always)
    held = {name: size for name, size in phases["training"].items() if name in ("weights", "optimiser", *always)}
    every = Batch((prefix,) * prompts, batch.images[:images] * prompts, 0)
    prefill = prefill_bytes(Trained.of(config, dtype, settings), every)
    cache = _kv_bytes(config, dtype)
    filled = prompts * prefix + completions * settings.max_new_tokens
    phases["prefill"] = held | {"prefill with its cache": prefill}
    phases["generation"] = held | {"KV cache": cache * (filled + prompts * prefix)}
    return _most(phases)


def generation_memory(config: Mapping[str, Any], dtype: str, settings: Settings, batch: Batch, longest: int) -> Memory:
    """Of an evaluation that generates `longest` tokens for each row of a batch."""
    trained = Trained.of(config, dtype, settings)
    weights = {"weights": float(weight_bytes(trained)[0])}
    prefill = prefill_bytes(trained, batch)
    cache = _kv_bytes(config, dtype) * (2 * sum(batch.rows) + longest * len(batch.rows))
    patches = {"patches": _patch_bytes(config, batch.images)}
    return _most({"prefill": weights | patches | {"prefill with its cache": prefill},
                  "generation": weights | patches | {"KV cache": cache}})  # fmt: skip


def _most(phases: Mapping[str, Mapping[str, float]]) -> Memory:
    return max((Memory(phase, parts) for phase, parts in phases.items()), key=lambda memory: memory.total)


def _training(
    config: Mapping[str, Any],
    dtype: str,
    settings: Settings,
    batch: Batch,
    processes: int,
    always: Mapping[str, float],
) -> dict[str, dict[str, float]]:
    trained = Trained.of(config, dtype, settings)
    weights, gradients = weight_bytes(trained)
    kept, scratch = optimiser_bytes(trained)
    held = {"weights": weights, "gradients": gradients, "optimiser": kept / processes, **always}
    activations = activation_bytes(trained, batch)
    return {"training": held | {"activations": activations}, "optimiser step": held | {"its scratch": scratch}}


def _patch_bytes(config: Mapping[str, Any], images: Sequence[int]) -> float:
    """Of images as the image processor gives them, in fp32."""
    return 4.0 * sum(images) * patch_values(read_config(config).vision_config)


def _kv_bytes(config: Mapping[str, Any], dtype: str) -> float:
    """Of a token's keys and values."""
    text = read_config(config).text_config
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return float(2 * text.num_hidden_layers * text.num_key_value_heads * head * getattr(torch, dtype).itemsize)
