"""Collates multi-image conversations into a batch, with labels on the answers only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from ..grounding.answers import completion
from ..grounding.prompts import CHAT_TEMPLATE_KWARGS, messages, question
from ..grounding.samples import Mode, Picture, Sample
from ..models.images import image_inputs, token_counts
from ..models.processor import ImageOnlyProcessor

IGNORED = -100
"""The label of tokens without loss (transformers' convention)."""


@dataclass(frozen=True)
class Turn:
    """One question and answer of a conversation, in direct or CoT mode: the true one, unless `answer` has another."""

    sample: Sample
    mode: Mode
    answer: str | None = None


Conversation = Sequence[Turn]
"""Turns about the same images, which stand before the first question."""


class ConversationCollator:
    """Collates conversations for a model of any family, in its notation of boxes.

    Returns inputs of the model by name: input_ids, attention_mask, mm_token_type_ids and labels, each of shape
    (conversations, longest), padded on the right; and the images' inputs, see `models.images`. Labels are the
    answers' tokens with the end token, IGNORED elsewhere.

    Args:
        processor: its tokenizer, image processor and chat template.
        coordinate_step: the grid, in thousandths of an image's side, that coordinates of answers are rounded to.

    Raises:
        ValueError: on call, for a turn about other images than the first of its conversation.
    """

    def __init__(self, processor: ImageOnlyProcessor, coordinate_step: int):
        self._processor = processor
        self._image_processor = processor.image_processor
        self._tokenizer = processor.tokenizer
        self._image_token: str = processor.image_token
        self._coordinate_step = coordinate_step

    def __call__(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        images = [Image.fromarray(p.pixels()) for turns in conversations for p in _pictures(turns)]
        inputs = image_inputs(self._image_processor, images)
        sizes = iter(token_counts(inputs, self._image_processor.merge_size))
        rows = self._tokenise([self._segments(turns, sizes) for turns in conversations])
        longest = max(len(ids) for ids, _ in rows)
        input_ids = torch.full((len(rows), longest), self._tokenizer.pad_token_id)
        labels = torch.full((len(rows), longest), IGNORED)
        attention = torch.zeros((len(rows), longest), dtype=torch.long)
        for i, (ids, row_labels) in enumerate(rows):
            input_ids[i, : len(ids)] = torch.tensor(ids)
            labels[i, : len(ids)] = torch.tensor(row_labels)
            attention[i, : len(ids)] = 1
        image_id = self._tokenizer.convert_tokens_to_ids(self._image_token)
        return {
            "input_ids": input_ids,
            "attention_mask": attention,
            "mm_token_type_ids": (input_ids == image_id).int(),
            "labels": labels,
            **inputs,
        }

    def count_labels(self, conversations: Sequence[Conversation]) -> int:
        """How many tokens of the conversations have a label; without the work on their images."""
        answers = [self._answer(turn) + self._tokenizer.eos_token for turns in conversations for turn in turns]
        return sum(map(len, self._tokenizer(answers, add_special_tokens=False)["input_ids"]))

    def _answer(self, turn: Turn) -> str:
        answer = turn.answer or completion(turn.sample, turn.mode, self._coordinate_step)
        return self._processor.write(answer, turn.sample.pictures)

    def _question(self, turn: Turn) -> str:
        return self._processor.write(question(turn.sample, turn.mode), turn.sample.pictures)

    def _segments(self, turns: Conversation, sizes: Iterator[int]) -> list[str]:
        """Prompt, answer, prompt, answer ... as text; each image has as many tokens as `sizes` gives next."""
        segments: list[str] = []
        chat: list[dict[str, Any]] = []
        text_so_far = ""
        for number, turn in enumerate(turns):
            if number == 0:
                chat = messages(turn.sample, turn.mode, self._question(turn))
            else:
                chat.append({"role": "user", "content": self._question(turn)})
            text = self._tokenizer.apply_chat_template(
                chat, tokenize=False, add_generation_prompt=True, **CHAT_TEMPLATE_KWARGS
            )
            answer = self._answer(turn)
            segments += [text[len(text_so_far) :], answer + self._tokenizer.eos_token]
            text_so_far = text + segments[-1]
            chat.append({"role": "assistant", "content": answer})
        first, *rest = segments[0].split(self._image_token)
        segments[0] = first + "".join(self._image_token * next(sizes) + text for text in rest)
        return segments

    def _tokenise(self, rows: list[list[str]]) -> list[tuple[list[int], list[int]]]:
        """(ids, labels) of each row of segments; every second segment is an answer."""
        segments = [segment for row in rows for segment in row]
        encoded = iter(self._tokenizer(segments, add_special_tokens=False)["input_ids"])
        batch = []
        for row in rows:
            ids: list[int] = []
            labels: list[int] = []
            for number in range(len(row)):
                segment = next(encoded)
                ids += segment
                labels += segment if number % 2 else [IGNORED] * len(segment)
            batch.append((ids, labels))
        return batch


def _pictures(turns: Conversation) -> tuple[Picture, ...]:
    """The images that all turns share."""
    first = turns[0].sample
    for turn in turns[1:]:
        if turn.sample.pictures != first.pictures:
            raise ValueError(
                f"samples {first.id} and {turn.sample.id} are turns of one conversation, but about different pictures; "
                "give samples one scene only if they share their pictures"
            )
    return first.pictures
