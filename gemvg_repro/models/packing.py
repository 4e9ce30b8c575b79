"""Padding-free batches: rows are packed end to end into one sequence, and each attends within itself."""

from __future__ import annotations

from collections.abc import Sequence
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from .families import family_of

_ATTENTION = "sdpa_by_row"


def _attend_by_row(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    row_lengths: Sequence[int] | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """transformers' SDPA; with `row_lengths`, (1, heads, tokens, size) are packed rows, causal within each."""
    if row_lengths is None and attention_mask is not None and 1 < query.shape[2] < key.shape[2]:
        return _attend_to_cache(query, key, value, attention_mask, kwargs["scaling"]), None
    if row_lengths is None:
        unpacked: Tensor = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)[0]
        return unpacked, None
    rows = zip(*(torch.split(states, list(row_lengths), dim=2) for states in (query, key, value)), strict=True)
    attended = [sdpa_attention_forward(module, *row, attention_mask=None, **kwargs)[0] for row in rows]
    return torch.cat(attended, dim=1), None


def _attend_to_cache(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> Tensor:
    """Attention of new tokens to a longer cache, (rows, tokens, heads, size). Where heads share keys (GQA), the queries
    of those heads are packed: transformers copies the keys and values of the whole cache for every head instead, unless
    there is a single new token (sdpa_attention.py, `pack_gqa`)."""
    rows, heads, tokens, size = query.shape
    groups = heads // key.shape[1]
    packed = query.reshape(rows, -1, groups * tokens, size)
    attended = F.scaled_dot_product_attention(packed, key, value, mask.repeat(1, 1, groups, 1), scale=scaling)
    return attended.view(rows, heads, tokens, size).transpose(1, 2)


def _without_padding(
    self: Any, input_ids: Tensor | None = None, attention_mask: Any = None, past_key_values: Any = None, **kwargs: Any
) -> Any:
    """transformers' forward without the work on right padding, whose hidden states are zeros."""
    stock = type(self).forward
    if past_key_values is not None or not _right_padded(input_ids, attention_mask) or kwargs.get("use_cache"):
        return stock(
            self, input_ids=input_ids, attention_mask=attention_mask, past_key_values=past_key_values, **kwargs
        )
    assert input_ids is not None
    mask = attention_mask.bool()
    token_types = kwargs.pop("mm_token_type_ids", None)
    if token_types is None:
        token_types = torch.zeros_like(input_ids)
    positions = kwargs.pop("position_ids", None)
    if positions is None:
        positions, _ = self.get_rope_index(input_ids, token_types, kwargs.get("image_grid_thw"))
    output = stock(
        self,
        input_ids=input_ids[mask][None],
        position_ids=positions[:, mask][:, None],
        attention_mask=family_of(self.config).attention_mask(None),
        row_lengths=mask.sum(dim=1).tolist(),
        **kwargs,
    )

    def unpack(states: Tensor) -> Tensor:
        return states.new_zeros((*mask.shape, states.shape[-1])).masked_scatter(mask[..., None], states)

    output.last_hidden_state = unpack(output.last_hidden_state)
    if output.hidden_states is not None:
        output.hidden_states = tuple(map(unpack, output.hidden_states))
    return output


def _right_padded(input_ids: Tensor | None, mask: Any) -> bool:
    """Whether each row of the mask is ones, then zeros."""
    if input_ids is None or not isinstance(mask, Tensor) or mask.shape != input_ids.shape:
        return False
    return bool((mask[:, :1] == 1).all() and (mask[:, 1:] <= mask[:, :-1]).all())


def remove_padding(model: PreTrainedModel) -> None:
    """Patches a model to compute only the tokens of a right-padded batch, not its padding.

    Only attention takes rows one by one, without a mask, in the kernel for causal attention; everything else sees one
    packed sequence. Attention other than SDPA is left alone: transformers' own padding-free path needs FlashAttention.
    """
    if model.config.text_config._attn_implementation != "sdpa":
        return
    AttentionInterface.register(_ATTENTION, _attend_by_row)
    AttentionMaskInterface.register(_ATTENTION, sdpa_mask)
    model.set_attn_implementation({"text_config": _ATTENTION})
    model.model.forward = MethodType(_without_padding, model.model)
