"""What does the model answer? Generation in batches of prompts of similar length."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby, takewhile

import torch
from PIL import Image
from transformers import Qwen2VLForConditionalGeneration

from ..grounding.predictions import Prediction
from ..grounding.prompts import CHAT_TEMPLATE_KWARGS, messages
from ..grounding.samples import MODES, Mode, Sample
from .decoding import Speech, Wanted, say
from .processor import ImageOnlyProcessor

Question = tuple[Sample, Mode]
"""What a model is asked: a sample, in a mode."""


def prompt_text(processor: ImageOnlyProcessor, sample: Sample, mode: Mode) -> str:
    """The prompt as the chat template writes it, up to the assistant's turn; pictures are single tokens."""
    text: str = processor.tokenizer.apply_chat_template(
        messages(sample, mode), tokenize=False, add_generation_prompt=True, **CHAT_TEMPLATE_KWARGS
    )
    return text


def answer(
    model: Qwen2VLForConditionalGeneration,
    processor: ImageOnlyProcessor,
    questions: Sequence[Question],
    *,
    batch: int,
    max_new_tokens: Mapping[Mode, int],
    temperature: float = 0.0,
    done: Collection[tuple[str, Mode]] = (),
) -> Iterator[list[Prediction]]:
    """Answers every question, a batch at a time; the longest prompts come first, so that memory is tried early.

    Questions about the same pictures follow each other, and so do those of a scene: of a batch, a picture passes
    through the tower once, and what the prompts about the same pictures begin with is read once.
    Greedily, or, with a `temperature`, one answer a question drawn from the whole distribution by torch's generator.

    What is `done` (a sample's id and a mode) is left out, and a batch of nothing else is not asked. A batch that lacks
    some is asked whole: what stands beside a question moves the last bits of its answer's logits, and so a tie.
    """
    speech = Speech((processor.tokenizer.eos_token_id,), temperature)
    order = _by_length(questions)
    was_training = model.training
    model.eval()
    for start in range(0, len(order), batch):
        asked = order[start : start + batch]
        if all((sample.id, mode) in done for sample, mode in asked):
            continue
        said = _answer_batch(model, processor, asked, max_new_tokens, speech)
        yield [each for each in said if (each.sample, each.mode) not in done]
    model.train(was_training)


def _by_length(questions: Sequence[Question]) -> list[Question]:
    """From the longest to the shortest: scenes by their longest query, in each its samples, of each its modes."""
    longest: dict[tuple[int, str], int] = {}
    for s, _ in questions:
        scene = (len(s.pictures), s.scene)
        longest[scene] = max(longest.get(scene, 0), len(s.query))

    def place(question: Question) -> tuple[int, int, str, int, str, int]:
        s, mode = question
        scene = (len(s.pictures), s.scene)
        return -len(s.pictures), -longest[scene], s.scene, -len(s.query), s.id, MODES.index(mode)

    return sorted(questions, key=place)


@torch.inference_mode()
def _answer_batch(
    model: Qwen2VLForConditionalGeneration,
    processor: ImageOnlyProcessor,
    questions: Sequence[Question],
    max_new_tokens: Mapping[Mode, int],
    speech: Speech,
) -> list[Prediction]:
    prompts = processor.tokenizer([prompt_text(processor, *question) for question in questions])["input_ids"]
    asked = groupby(zip(questions, prompts, strict=True), key=lambda each: each[0][0].pictures)
    groups = [(pictures, list(group)) for pictures, group in asked]
    shown = [Image.fromarray(picture.pixels()) for pictures, _ in groups for picture in pictures]
    patches = processor.image_processor(shown, return_tensors="pt")
    sizes = iter((patches["image_grid_thw"].prod(-1) // processor.image_processor.merge_size**2).tolist())
    stems, wanted = [], []
    for _, group in groups:
        alike = takewhile(lambda tokens: len(set(tokens)) == 1, zip(*(ids for _, ids in group), strict=False))
        stem = [token for token, *_ in alike]  # it has all of the pictures, which come before any text
        copies = [next(sizes) if token == processor.image_token_id else 1 for token in stem]
        stems.append([token for token, n in zip(stem, copies, strict=True) for _ in range(n)])
        wanted.append([Wanted(max_new_tokens[mode], ids[len(stem) :]) for (_, mode), ids in group])
    answers = say(model, stems, dict(patches), wanted, speech)
    texts = processor.tokenizer.batch_decode(answers, skip_special_tokens=False)
    return [
        Prediction(sample.id, mode, text, len(ids))
        for (sample, mode), text, ids in zip(questions, texts, answers, strict=True)
    ]
