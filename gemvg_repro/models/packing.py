"""How is padding kept out of the work? Rows are laid end to end, and each attends within itself."""

from __future__ import annotations

from collections.abc import Sequence
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, Qwen2VLForConditionalGeneration
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

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
    """transformers' SDPA; with `row_lengths`, (1, heads, tokens, size) are rows end to end, each causal in itself."""
    if row_lengths is None:
        together: Tensor = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)[0]
        return together, None
    rows = zip(*(torch.split(states, list(row_lengths), dim=2) for states in (query, key, value)), strict=True)
    mixed = [sdpa_attention_forward(module, *row, attention_mask=None, **kwargs)[0] for row in rows]
    return torch.cat(mixed, dim=1), None


def _without_padding(
    self: Any, input_ids: Tensor | None = None, attention_mask: Any = None, past_key_values: Any = None, **kwargs: Any
) -> Any:
    """Qwen2VLModel.forward; where a mask hides padding on the right, states there are zeros, and cost nothing."""
    stock = type(self).forward
    if past_key_values is not None or not _right_padded(input_ids, attention_mask) or kwargs.get("use_cache"):
        return stock(
            self, input_ids=input_ids, attention_mask=attention_mask, past_key_values=past_key_values, **kwargs
        )
    assert input_ids is not None
    shown = attention_mask.bool()
    kinds = kwargs.pop("mm_token_type_ids", None)
    if kinds is None:
        kinds = torch.zeros_like(input_ids)
    positions = kwargs.pop("position_ids", None)
    if positions is None:
        positions, _ = self.get_rope_index(input_ids, kinds, kwargs.get("image_grid_thw"))
    output = stock(
        self,
        input_ids=input_ids[shown][None],
        position_ids=positions[:, shown][:, None],
        attention_mask={"full_attention": None},
        row_lengths=shown.sum(dim=1).tolist(),
        **kwargs,
    )

    def spread(states: Tensor) -> Tensor:
        return states.new_zeros((*shown.shape, states.shape[-1])).masked_scatter(shown[..., None], states)

    output.last_hidden_state = spread(output.last_hidden_state)
    if output.hidden_states is not None:
        output.hidden_states = tuple(map(spread, output.hidden_states))
    return output


def _right_padded(input_ids: Tensor | None, mask: Any) -> bool:
    """Whether each row of the mask of these ids is ones, then zeros."""
    if input_ids is None or not isinstance(mask, Tensor) or mask.shape != input_ids.shape:
        return False
    return bool((mask[:, :1] == 1).all() and (mask[:, 1:] <= mask[:, :-1]).all())


def leave_out_padding(model: Qwen2VLForConditionalGeneration) -> None:
    """Makes a model work on the tokens of a batch without its padding, if that is on the right.

    Only attention knows of rows; it goes through them without a mask, in the kernel for causal attention. Attention
    other than SDPA is left alone: transformers' own way to lay rows end to end (padding-free) takes FlashAttention.
    """
    if model.config.text_config._attn_implementation != "sdpa":
        return
    AttentionInterface.register(_ATTENTION, _attend_by_row)
    AttentionMaskInterface.register(_ATTENTION, sdpa_mask)
    model.set_attn_implementation({"text_config": _ATTENTION})
    model.model.forward = MethodType(_without_padding, model.model)
