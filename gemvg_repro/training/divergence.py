"""How far has a policy moved from where it began?"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import Qwen2VLForConditionalGeneration

from .collation import IGNORED


class Divergence:
    """KL(now || start) in nats a token, over the true answers of a fixed batch, with the whole vocabulary.

    The start is the model as it is when this is made.
    """

    def __init__(self, model: Qwen2VLForConditionalGeneration, batch: dict[str, Tensor]):
        self._model = model
        self._inputs = {k: v.to(model.device) for k, v in batch.items() if k != "labels"}
        self._answered = batch["labels"][:, 1:].to(model.device) != IGNORED
        self._start = self._log_probabilities()

    @torch.no_grad()
    def _log_probabilities(self) -> Tensor:
        """(answered tokens, vocabulary), from one pass without dropout."""
        was_training = self._model.training
        self._model.eval()
        states = self._model.model(**self._inputs, use_cache=False).last_hidden_state[:, :-1][self._answered]
        self._model.train(was_training)
        answered: Tensor = self._model.lm_head(states).float().log_softmax(-1)
        return answered

    def __call__(self) -> float:
        now = self._log_probabilities()
        return float((now.exp() * (now - self._start)).sum(-1).mean())
