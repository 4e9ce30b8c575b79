"""When does padding need no mask? When it is on the right, and attention looks back only."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import Qwen2VLForConditionalGeneration


def need_no_mask(model: Qwen2VLForConditionalGeneration) -> None:
    """Makes a model leave out a mask that hides padding on the right only.

    No token sees what follows it, so only padding would attend to padding; without a mask attention takes its
    quickest kernel, which skips half of the work. What the model says at padded places is meaningless either way.
    """
    model.model.register_forward_pre_hook(_leave_out, with_kwargs=True)


def _leave_out(module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    mask = kwargs.get("attention_mask")
    if isinstance(mask, Tensor) and kwargs.get("past_key_values") is None and _right_padded(mask):
        kwargs = {**kwargs, "attention_mask": None}
    return args, kwargs


def _right_padded(mask: Tensor) -> bool:
    """Whether each row of a (batch, length) mask is ones, then zeros."""
    return mask.ndim == 2 and bool((mask[:, :1] == 1).all() and (mask[:, 1:] <= mask[:, :-1]).all())
