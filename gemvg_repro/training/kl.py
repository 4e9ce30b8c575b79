"""KL divergence of the policy from the model that training started from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from . import processes
from .collator import IGNORED


class KLFromStart:
    """KL(policy || start) in nats a token: exact, over the whole vocabulary, at the true answers of fixed batches.

    The start is the model as it is when this is constructed. Batches pass through the model one by one, each in one of
    the processes; only the start's log-probabilities, (labelled tokens, vocabulary) in fp32, are kept for all, on the
    model's device.
    """

    def __init__(self, model: PreTrainedModel, batches: Sequence[dict[str, Any]]):
        self._model = model
        self._batches = batches[processes.rank() :: processes.count()]
        self._start_logps = [self._log_probabilities(batch) for batch in self._batches]

    @torch.no_grad()
    def _log_probabilities(self, batch: dict[str, Any]) -> Tensor:
        """(labelled tokens, vocabulary), from one forward pass in eval mode."""
        batch = {k: v.to(self._model.device) if isinstance(v, Tensor) else v for k, v in batch.items()}
        labelled = batch.pop("labels")[:, 1:] != IGNORED
        was_training = self._model.training
        self._model.eval()
        states = self._model.model(**batch, use_cache=False).last_hidden_state[:, :-1][labelled]
        self._model.train(was_training)
        log_probabilities: Tensor = self._model.lm_head(states).float().log_softmax(-1)
        return log_probabilities

    def _token_kl(self, batch: dict[str, Any], start: Tensor) -> Tensor:
        policy = self._log_probabilities(batch)
        return (policy.exp() * (policy - start)).sum(-1)

    def __call__(self) -> float:
        own = [kl.cpu() for kl in map(self._token_kl, self._batches, self._start_logps)]
        return float(torch.cat([kl for of_process in processes.gathered(own) for kl in of_process]).mean())
