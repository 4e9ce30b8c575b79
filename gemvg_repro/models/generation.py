"""What does the model answer? Generation in batches of prompts of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from PIL import Image
from transformers import Qwen2VLForConditionalGeneration

from ..benchmarks.predictions import Prediction
from ..grounding.prompts import CHAT_TEMPLATE_KWARGS, messages
from ..grounding.samples import Mode, Sample
from .decoding import Speech, say
from .processor import ImageOnlyProcessor


def prompt_text(processor: ImageOnlyProcessor, sample: Sample, mode: Mode) -> str:
    """The prompt as the chat template writes it, up to the assistant's turn; pictures are single tokens."""
    text: str = processor.tokenizer.apply_chat_template(
        messages(sample, mode), tokenize=False, add_generation_prompt=True, **CHAT_TEMPLATE_KWARGS
    )
    return text


def answer(
    model: Qwen2VLForConditionalGeneration,
    processor: ImageOnlyProcessor,
    samples: Sequence[Sample],
    mode: Mode,
    *,
    batch: int,
    max_new_tokens: int,
    temperature: float = 0.0,
) -> Iterator[list[Prediction]]:
    """Answers every sample, a batch at a time; the longest prompts come first, so that memory is tried early.

    Samples of a scene follow each other: pictures that several of a batch share pass through the tower once.
    Greedily, or, with a `temperature`, one answer a sample drawn from the whole distribution by torch's generator.
    """
    speech = Speech((processor.tokenizer.eos_token_id,), max_new_tokens, temperature)
    order = _by_length(samples)
    was_training = model.training
    model.eval()
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        yield _answer_batch(model, processor, chosen, mode, speech)
    model.train(was_training)


def _by_length(samples: Sequence[Sample]) -> list[Sample]:
    """From the longest to the shortest: scenes by their longest query, and in each its samples."""
    longest: dict[tuple[int, str], int] = {}
    for s in samples:
        scene = (len(s.pictures), s.scene)
        longest[scene] = max(longest.get(scene, 0), len(s.query))

    def place(s: Sample) -> tuple[int, int, str, int, str]:
        return -len(s.pictures), -longest[len(s.pictures), s.scene], s.scene, -len(s.query), s.id

    return sorted(samples, key=place)


@torch.inference_mode()
def _answer_batch(
    model: Qwen2VLForConditionalGeneration,
    processor: ImageOnlyProcessor,
    samples: Sequence[Sample],
    mode: Mode,
    speech: Speech,
) -> list[Prediction]:
    inputs = processor(
        text=[prompt_text(processor, sample, mode) for sample in samples],
        images=[[Image.fromarray(p.pixels()) for p in sample.pictures] for sample in samples],
    )
    pictures = {name: torch.as_tensor(inputs[name]) for name in ("pixel_values", "image_grid_thw")}
    predictions = []
    for sample, ids in zip(samples, say(model, inputs["input_ids"], pictures, speech), strict=True):
        text = processor.tokenizer.decode(ids, skip_special_tokens=False)
        predictions.append(Prediction(sample.id, mode, text, len(ids)))
    return predictions
