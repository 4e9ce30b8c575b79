"""Log-probabilities and entropies of labelled tokens only: the others do not pass through the LM head."""

from __future__ import annotations

from types import MethodType
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel
from trl.kernels import ChunkedLogProbFunction
from trl.trainer.utils import FusedCausalLMOutput

from .collator import IGNORED


def score_labelled_tokens_only(model: PreTrainedModel, outputs: tuple[str, ...], temperature: float = 1.0) -> None:
    """Applies the fused LM head of TRL's trainers (add_fused_lm_head of trl 1.16) to labelled tokens only.

    TRL does so itself on a GPU; on a CPU it also scores prompts and padding, and discards the results. `outputs` and
    `temperature` are those of the trainer.
    """
    if model.device.type != "cpu":
        return
    stock = model.forward

    def forward(
        self: PreTrainedModel,
        *args: Any,
        fused_lm_head: bool = False,
        labels: Tensor | None = None,
        shift_labels: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        if not fused_lm_head or (labels is None) == (shift_labels is None):
            return stock(*args, fused_lm_head=fused_lm_head, labels=labels, shift_labels=shift_labels, **kwargs)
        states = self.model(*args, **{**kwargs, "use_cache": False}).last_hidden_state
        if shift_labels is None:
            assert labels is not None
            states, shift_labels = states[:, :-1], labels[:, 1:]
        mask = shift_labels != IGNORED
        weight = self.lm_head.weight
        scored = ChunkedLogProbFunction.apply(
            states[mask], weight, None, shift_labels[mask], temperature, len(weight), None, 1.0, outputs
        )
        padded = [x if x is None else x.new_zeros(mask.shape).masked_scatter(mask, x) for x in scored]
        log_probs, entropy, _, _, is_top1 = padded
        return FusedCausalLMOutput(log_probs=log_probs, entropy=entropy, is_top1=is_top1, label_mask=mask)

    model.forward = MethodType(forward, model)
