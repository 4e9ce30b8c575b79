"""How far has a policy moved from where it began?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import Qwen2VLForConditionalGeneration

from .collator import IGNORED


class Divergence:
    """KL(now || start) in nats a token, over the true answers of fixed batches, with the whole vocabulary.

    The start is the model as it is when this is made. Batches pass through the model one by one, and only the start's
    log-probabilities are held of all, on the model's device.
    """

    def __init__(self, model: Qwen2VLForConditionalGeneration, batches: Sequence[dict[str, Tensor]]):
        self._model = model
        self._batches = batches
        self._start = [self._log_probabilities(batch) for batch in batches]

    @torch.no_grad()
    def _log_probabilities(self, batch: dict[str, Tensor]) -> Tensor:
        """(answered tokens, vocabulary), from one pass without dropout."""
        inputs = {k: v.to(self._model.device) for k, v in batch.items() if k != "labels"}
        answered_at = batch["labels"][:, 1:].to(self._model.device) != IGNORED
        was_training = self._model.training
        self._model.eval()
        states = self._model.model(**inputs, use_cache=False).last_hidden_state[:, :-1][answered_at]
        self._model.train(was_training)
        answered: Tensor = self._model.lm_head(states).float().log_softmax(-1)
        return answered

    def _of_tokens(self, batch: dict[str, Tensor], start: Tensor) -> Tensor:
        now = self._log_probabilities(batch)
        return (now.exp() * (now - start)).sum(-1)

    def __call__(self) -> float:
        return float(torch.cat(list(map(self._of_tokens, self._batches, self._start))).mean())
