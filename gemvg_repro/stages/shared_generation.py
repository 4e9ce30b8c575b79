"""Predictions that the processes of a training share out between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from typing import Any

from transformers import PreTrainedModel

from ..grounding.predictions import Prediction
from ..models.generation import Prompt, generate
from ..models.processor import ImageOnlyProcessor
from ..runs.directory import Interrupted
from ..training import processes
from ..training.checkpointing import never


def shared_predictions(
    model: PreTrainedModel,
    processor: ImageOnlyProcessor,
    prompts: Sequence[Prompt],
    *,
    stop_requested: Callable[[], bool] = never,
    **settings: Any,
) -> list[Prediction]:
    """The predictions of `models.generation.generate`, which has the `settings`, in each of the processes.

    They take turns with its batches, so that the predictions are the same from any number of processes.

    Raises:
        Interrupted: in all of them, if one was told to stop, which each is asked after each of its batches.
    """
    own, stopped = [], False
    for batch in generate(model, processor, prompts, share=(processes.rank(), processes.count()), **settings):
        own.append(batch)
        if stopped := stop_requested():
            break
    if processes.any_of(stopped):
        raise Interrupted("the training was stopped as requested; the same command resumes it")
    turns = zip_longest(*processes.gathered(own), fillvalue=())
    return list(chain.from_iterable(chain.from_iterable(turns)))
