"""Generates a prediction for each prompt, in batches of prompts of similar length."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby, takewhile

import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel

from ..grounding.predictions import Prediction
from ..grounding.prompts import CHAT_TEMPLATE_KWARGS, messages, question
from ..grounding.samples import MODES, Mode, Sample
from . import decoding
from .decoding import Request, SamplingParams, uniform_numbers
from .images import image_inputs, token_counts, with_image_tokens
from .processor import ImageOnlyProcessor

Prompt = tuple[Sample, Mode]
"""A sample, and whether the model is to answer it directly or with CoT."""


def prompt_text(processor: ImageOnlyProcessor, sample: Sample, mode: Mode) -> str:
    """The prompt as the chat template writes it, up to the assistant's turn; each image is a single token."""
    chat = messages(sample, mode, processor.write(question(sample, mode), sample.pictures))
    text: str = processor.tokenizer.apply_chat_template(
        chat, tokenize=False, add_generation_prompt=True, **CHAT_TEMPLATE_KWARGS
    )
    return text


def generate(
    model: PreTrainedModel,
    processor: ImageOnlyProcessor,
    prompts: Sequence[Prompt],
    *,
    batch: int,
    max_new_tokens: Mapping[Mode, int],
    temperature: float = 0.0,
    seed: int = 0,
    done: Collection[tuple[str, Mode]] = (),
    share: tuple[int, int] = (0, 1),
) -> Iterator[list[Prediction]]:
    """Predictions for all prompts, a batch at a time; the longest come first, so that memory is tried early.

    Prompts about the same images follow each other, and so do those of a scene: within a batch, an image passes through
    the vision tower once, and the common prefix of prompts about the same images is prefilled once.

    Args:
        model: put into eval mode meanwhile.
        processor: its tokenizer and image processor.
        prompts: in any order.
        batch: prompts that are decoded together.
        max_new_tokens: by mode.
        temperature: 0 decodes greedily; otherwise one completion a prompt is sampled.
        seed: of sampling: the same prompts are sampled with the same numbers each time.
        done: sample ids and modes whose predictions are there already. They are not yielded again; a batch of nothing
            else is skipped. A batch that lacks some is generated whole: what else is in a batch moves the last bits of
            a prompt's logits, and so a tie.
        share: (number, count): of so many processes that share the batches out, which this one is.
    """
    sampling = SamplingParams((processor.tokenizer.eos_token_id,), temperature)
    ordered = _by_length(prompts)
    was_training = model.training
    model.eval()
    number, count = share
    for start in range(number * batch, len(ordered), count * batch):
        chunk = ordered[start : start + batch]
        if all((sample.id, mode) in done for sample, mode in chunk):
            continue
        longest = max(max_new_tokens[mode] for _, mode in chunk)
        uniforms = uniform_numbers(f"answers/{seed}/{start}", len(chunk), longest) if temperature else None
        predictions = _generate_batch(model, processor, chunk, max_new_tokens, sampling, uniforms)
        yield [each for each in predictions if (each.sample, each.mode) not in done]
    model.train(was_training)


def _by_length(prompts: Sequence[Prompt]) -> list[Prompt]:
    """From the longest to the shortest: scenes by their longest query, in each its samples, of each its modes."""
    longest: dict[tuple[int, str], int] = {}
    for s, _ in prompts:
        scene = (len(s.pictures), s.scene)
        longest[scene] = max(longest.get(scene, 0), len(s.query))

    def place(prompt: Prompt) -> tuple[int, int, str, int, str, int]:
        s, mode = prompt
        scene = (len(s.pictures), s.scene)
        return -len(s.pictures), -longest[scene], s.scene, -len(s.query), s.id, MODES.index(mode)

    return sorted(prompts, key=place)


@torch.inference_mode()
def _generate_batch(
    model: PreTrainedModel,
    processor: ImageOnlyProcessor,
    prompts: Sequence[Prompt],
    max_new_tokens: Mapping[Mode, int],
    sampling: SamplingParams,
    uniforms: Tensor | None,
) -> list[Prediction]:
    """Prompts about the same images stand together; their longest common prefix is prefilled once."""
    prompt_ids = processor.tokenizer([prompt_text(processor, *prompt) for prompt in prompts])["input_ids"]
    by_images = groupby(zip(prompts, prompt_ids, strict=True), key=lambda each: each[0][0].pictures)
    groups = [(pictures, list(group)) for pictures, group in by_images]
    images = [Image.fromarray(picture.pixels()) for pictures, _ in groups for picture in pictures]
    inputs = image_inputs(processor.image_processor, images)
    sizes = iter(token_counts(inputs, processor.image_processor.merge_size))
    prefixes, requests = [], []
    for _, group in groups:
        common = takewhile(lambda tokens: len(set(tokens)) == 1, zip(*(ids for _, ids in group), strict=False))
        prefix = [token for token, *_ in common]  # it has all of the images, which come before any text
        prefixes.append(with_image_tokens(prefix, processor.image_token_id, sizes))
        requests.append([Request(max_new_tokens[mode], ids[len(prefix) :]) for (_, mode), ids in group])
    completions = decoding.generate(model, prefixes, inputs, requests, sampling, uniforms)
    texts = processor.tokenizer.batch_decode(completions, skip_special_tokens=False)
    return [
        Prediction(sample.id, mode, processor.read(text, sample.pictures), len(ids))
        for (sample, mode), text, ids in zip(prompts, texts, completions, strict=True)
    ]
