"""What does the model answer? Generation in batches of prompts of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from PIL import Image
from transformers import GenerationConfig, Qwen2VLForConditionalGeneration

from ..benchmarks.predictions import Prediction
from ..grounding.prompts import CHAT_TEMPLATE_KWARGS, messages
from ..grounding.samples import Mode, Sample
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

    Greedily, or, with a `temperature`, one answer a sample drawn from the whole distribution by torch's generator.
    """
    how = GenerationConfig(
        do_sample=temperature > 0,
        **({"temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {}),
        max_new_tokens=max_new_tokens,
        eos_token_id=processor.tokenizer.eos_token_id,
        pad_token_id=processor.tokenizer.pad_token_id,
    )
    order = sorted(samples, key=lambda s: (-len(s.pictures), -len(s.query), s.id))
    was_training = model.training
    model.eval()
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        yield _answer_batch(model, processor, chosen, mode, how)
    model.train(was_training)


@torch.inference_mode()
def _answer_batch(
    model: Qwen2VLForConditionalGeneration,
    processor: ImageOnlyProcessor,
    samples: Sequence[Sample],
    mode: Mode,
    how: GenerationConfig,
) -> list[Prediction]:
    inputs = processor(
        text=[prompt_text(processor, sample, mode) for sample in samples],
        images=[[Image.fromarray(p.pixels()) for p in sample.pictures] for sample in samples],
        padding=True,
        return_tensors="pt",
    ).to(model.device)
    generated = model.generate(**inputs, generation_config=how)[:, inputs["input_ids"].shape[1] :].cpu()
    predictions = []
    for sample, ids in zip(samples, generated, strict=True):
        ended = (ids == how.eos_token_id).nonzero()
        length = int(ended[0]) + 1 if len(ended) else len(ids)
        text = processor.tokenizer.decode(ids[:length], skip_special_tokens=False)
        predictions.append(Prediction(sample.id, mode, text, length))
    return predictions
