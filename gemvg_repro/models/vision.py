"""The vision tower, batched: each distinct image is encoded once, images of equal size in one attention call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel
from transformers.models.qwen2_vl.modeling_qwen2_vl import apply_rotary_pos_emb_vision


def _attend_by_length(
    self: Any,
    hidden_states: Tensor,
    cu_seqlens: Tensor,
    position_embeddings: tuple[Tensor, Tensor],
    max_seqlen: int | None = None,
    **kwargs: Any,
) -> Tensor:
    """The forward of attention in transformers' towers, one in all families, with one attention call for each length
    instead of each image or window."""
    total = hidden_states.shape[0]
    q, k, v = self.qkv(hidden_states).reshape(total, 3, self.num_heads, -1).permute(1, 0, 2, 3).unbind(0)
    q, k = apply_rotary_pos_emb_vision(q, k, *position_embeddings)
    qkv = torch.stack([q, k, v], dim=1)
    lengths = (cu_seqlens[1:] - cu_seqlens[:-1]).tolist()
    if len(set(lengths)) == 1:
        projected: Tensor = self.proj(_attention(qkv.view(len(lengths), lengths[0], *qkv.shape[1:]), self.scaling))
        return projected
    sequences = torch.split(qkv, lengths)
    indices: dict[int, list[int]] = defaultdict(list)
    for index, length in enumerate(lengths):
        indices[length].append(index)
    outputs: list[Tensor] = [hidden_states] * len(lengths)
    for length, equal in indices.items():
        attended = _attention(torch.stack([sequences[i] for i in equal]), self.scaling)
        for i, out in zip(equal, torch.split(attended, length), strict=True):
            outputs[i] = out
    projected = self.proj(torch.cat(outputs))
    return projected


def _attention(qkv: Tensor, scaling: float) -> Tensor:
    """(images, length, 3, heads, size) to (images * length, heads * size)."""
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    attended = F.scaled_dot_product_attention(q, k, v, scale=scaling)
    return attended.transpose(1, 2).reshape(qkv.shape[0] * qkv.shape[1], -1)


def _embed_patches(self: Any, hidden_states: Tensor) -> Tensor:
    """PatchEmbed.forward of transformers, as the matrix product that its convolution of whole patches is."""
    return F.linear(hidden_states.to(self.proj.weight.dtype), self.proj.weight.flatten(1), self.proj.bias)


def _encode_distinct(
    self: Any, hidden_states: Tensor, grid_thw: Tensor, copy_of: Sequence[int] | None = None, **kwargs: Any
) -> Any:
    """The vision tower's forward; with `copy_of`, `hidden_states` are the patches of the distinct images, and
    the features are those of all images, see `images.ImageInputs`.

    A frozen tower runs without gradients: activation checkpointing (transformers 5.23) has every input require one, and
    so has a frozen tower computed again and backwards, for nothing.
    """
    with torch.set_grad_enabled(torch.is_grad_enabled() and is_trained(self)):
        return _encode(self, hidden_states, grid_thw, copy_of, **kwargs)


def is_trained(module: Any) -> bool:
    """Whether any of its weights is."""
    return any(weights.requires_grad for weights in module.parameters())


def _encode(self: Any, hidden_states: Tensor, grid_thw: Tensor, copy_of: Sequence[int] | None, **kwargs: Any) -> Any:
    stock = type(self).forward
    if copy_of is None:
        return stock(self, hidden_states, grid_thw=grid_thw, **kwargs)
    grids = grid_thw[[copy_of.index(number) for number in range(max(copy_of) + 1)]]
    output = stock(self, hidden_states, grid_thw=grids, **kwargs)
    tokens = (grids.prod(-1) // self.spatial_merge_size**2).tolist()

    def of_all(features: Tensor) -> Tensor:
        of_distinct = torch.split(features, tokens)
        return torch.cat([of_distinct[number] for number in copy_of])

    output.pooler_output = of_all(output.pooler_output)
    if "deepstack_features" in output:  # of Qwen3-VL: for the first layers of the language model
        output.deepstack_features = [of_all(features) for features in output.deepstack_features]
    return output


def batch_vision_tower(model: PreTrainedModel) -> None:
    """Patches a model's vision tower to take `images.ImageInputs`, and to encode images of equal size in one call.

    The outputs are those of transformers' tower, which attends to images, or windows of them, in a Python loop.
    """
    tower = model.model.visual
    tower.forward = MethodType(_encode_distinct, tower)
    tower.patch_embed.forward = MethodType(_embed_patches, tower.patch_embed)
    for block in tower.blocks:
        block.attn.forward = MethodType(_attend_by_length, block.attn)
